"""`gates doctor` against a workspace: what it found, what is missing, and never a token."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, get_args

import pytest
from azureml_emulator import arm, tokens

from gates import cli
from gates.backends.azureml import credentials, rights
from gates.project import CredentialKind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from azureml_emulator.start import Running

    Ask = Callable[..., tuple[int, str]]
EVERYTHING = {"actions": ["*"], "notActions": []}
OF = "Microsoft.MachineLearningServices/workspaces"
TAKEN = ("delete", "write", "computes/*/write", "computes/*/delete", "computes/listKeys/action", "listKeys/action")
SCIENTIST = {
    "actions": [f"{OF}/*/{verb}" for verb in ("read", "action", "delete", "write")],
    "notActions": [f"{OF}/{what}" for what in TAKEN],
}  # fmt: skip
READER = {"actions": ["*/read"], "notActions": []}
MLOPS = """\
version: 1
model: risk
backend: azureml
workspace: {subscription_id: "${env:AZURE_SUBSCRIPTION_ID}", resource_group: risk-rg, name: NAME}
"""


@pytest.fixture
def ask(azure: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ask:
    """`gates doctor` in a project: exit code, and all that it said on both streams. No secret is ever in that."""
    led = azure.environment()
    for name, value in led.items():
        monkeypatch.setenv(name, value)
    azure.allow(EVERYTHING)

    def run(*arguments: str, workspace: str = arm.WORKSPACE, **variables: str) -> tuple[int, str]:
        (tmp_path / "mlops.yml").write_text(MLOPS.replace("NAME", workspace))
        env = {**led, **variables}
        code = cli.run(["doctor", *arguments], {k: v for k, v in env.items() if v}, tmp_path)
        said = "".join(capfd.readouterr())
        secret = [one["token"] for one in azure.tokens()] + [tokens.SECRET, tokens.REQUEST_TOKEN, "eyJ"]
        assert not [text for text in secret if text in said]
        return code, said

    return run


def test_a_workspace_that_has_everything_is_said_to(ask: Ask) -> None:
    code, said = ask()
    assert code == 0, said
    assert "credential client-secret" in said
    assert f"as {tokens.CLIENT} of tenant {tokens.TENANT}, until" in said
    assert "MISSING" not in said
    code, said = ask("--json")
    findings = json.loads(said.splitlines()[0])
    assert code == 0
    assert {one["ok"] for one in findings} == {True, None}


def test_a_right_that_is_missing_is_named_with_the_command_that_needs_it(azure: Running, ask: Ask) -> None:
    azure.allow(READER)
    code, said = ask()
    lines = {line[8:].split("  ")[0].strip(): line for line in said.splitlines()}
    assert code == 4, said
    assert "workspaces/datastores/listsecrets/action" in lines["rights for every command"]
    assert "workspaces/jobs/write" in lines["rights for train"]
    assert "workspaces/jobs/read" not in lines["rights for train"]
    assert "onlineEndpoints/deployments/write" in lines["rights for deploy-blue-green"]
    assert f"assign the role '{rights.ROLE}'" in lines["rights for register"]


def test_the_role_of_data_scientists_is_enough(azure: Running, ask: Ask) -> None:
    azure.allow(SCIENTIST)
    assert ask()[0] == 0
    azure.allow(READER, SCIENTIST)
    assert ask()[0] == 0
    azure.allow({**SCIENTIST, "notActions": ["*/models/versions/write"]})
    code, said = ask()
    assert (code, said.count("MISSING")) == (4, 1)


def test_what_cannot_be_had_is_said_and_the_rest_is_looked_at(azure: Running, ask: Ask) -> None:
    code, said = ask(workspace="another")
    assert code == 4
    assert "there is no workspace another" in said
    assert "rights for train" in said
    azure.plant({"match": f"get *{arm.WORKSPACE_ID}/datastores*", "do": "status", "status": 403, "times": 99})
    code, said = ask()
    assert code == 4
    assert [line.split()[1] for line in said.splitlines() if line.startswith("MISSING")] == ["storage"]


def test_a_sign_in_that_fails_names_its_way_and_asks_for_nothing_more(azure: Running, ask: Ask) -> None:
    before = len(azure.requests())
    code, said = ask(AZURE_CLIENT_SECRET="wrong~secret~Zq8")
    assert code == 4
    assert "credential client-secret: no token for https://management.azure.com" in said
    assert "wrong~secret~Zq8" not in said
    assert {one["host"] for one in azure.requests()[before:]} == {tokens.LOGIN}
    code, said = ask(AZURE_CLIENT_SECRET="", PATH="/nowhere")
    assert code == 4
    assert "nothing says how to sign in to Azure" in said


def test_github_s_subject_is_shown_for_the_federated_credential(ask: Ask) -> None:
    code, said = ask(
        ACTIONS_ID_TOKEN_REQUEST_URL=f"https://{tokens.GITHUB}/idtoken/1?v=2",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN=tokens.REQUEST_TOKEN,
    )
    assert code == 0, said
    assert "subject repo:octo/risk:ref:refs/heads/main, audience api://AzureADTokenExchange" in said
    code, said = ask(
        "--credential", "client-secret", ACTIONS_ID_TOKEN_REQUEST_URL=f"https://{tokens.GITHUB}/idtoken/1?v=2",
        ACTIONS_ID_TOKEN_REQUEST_TOKEN=tokens.REQUEST_TOKEN,
    )  # fmt: skip
    assert code == 0
    assert "subject" not in said


def test_the_ways_that_files_and_flags_may_name_are_those_there_are() -> None:
    assert get_args(CredentialKind) == credentials.ORDER
