"""The six ways to sign in, each with the real identity library against a token server over TLS."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from azureml_emulator import tokens

from gates.backends.azureml import credentials
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    from azureml_emulator.start import Running

NOBODY = {"PATH": "/nowhere"}
APP = {"AZURE_CLIENT_ID": tokens.CLIENT, "AZURE_TENANT_ID": tokens.TENANT}
GITHUB = {
    "ACTIONS_ID_TOKEN_REQUEST_URL": f"https://{tokens.GITHUB}/idtoken/1?api-version=2.0",
    "ACTIONS_ID_TOKEN_REQUEST_TOKEN": tokens.REQUEST_TOKEN,
}
DEVOPS = {
    "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID": tokens.CONNECTION, "AZURESUBSCRIPTION_CLIENT_ID": tokens.CLIENT,
    "AZURESUBSCRIPTION_TENANT_ID": tokens.TENANT, "SYSTEM_ACCESSTOKEN": tokens.REQUEST_TOKEN,
    "SYSTEM_OIDCREQUESTURI": f"https://{tokens.DEVOPS}/octo/risk/_apis/oidctoken",
}  # fmt: skip
DEVOPS_CONNECTION = "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"
SECRET = {"AZURE_CLIENT_SECRET": tokens.SECRET}
AZ = """\
#!{python}
import json, subprocess, sys, time, urllib.parse, urllib.request
words = sys.argv[1:]
assert words[:2] == ["account", "get-access-token"], words
resource = words[words.index("--resource") + 1]
form = dict(client_id={client!r}, client_secret={secret!r}, grant_type="client_credentials")
form["scope"] = resource + "/.default"
url = "https://{login}/{tenant}/oauth2/v2.0/token"
answer = json.load(urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()))
print(json.dumps(dict(accessToken=answer["access_token"], expires_on=int(time.time()) + answer["expires_in"])))
"""


@pytest.fixture
def world(azure: Running, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The process's own environment leads to the token server, and means no way to sign in."""
    led = azure.environment()
    for name in led:
        if not name.startswith("AZURE_"):
            monkeypatch.setenv(name, led[name])
    for name in (*APP, *GITHUB, *DEVOPS, *SECRET):
        monkeypatch.delenv(name, raising=False)
    return dict(NOBODY)


def ways_of(azure: Running, since: int) -> list[tuple[str, str]]:
    """The access tokens given after the first `since` tokens: way and audience."""
    return [(one["way"], one["audience"]) for one in azure.tokens()[since:] if one["kind"] == "access"]


@pytest.mark.parametrize(
    ("kind", "variables", "way"),
    [
        ("github-oidc", {**GITHUB, **APP}, "github"),
        ("azure-pipelines", DEVOPS, "devops"),
        ("workload-identity", {**APP, "AZURE_FEDERATED_TOKEN_FILE": "{assertion}"}, "file"),
        ("client-secret", {**APP, **SECRET}, "secret"),
        ("azure-cli", {"PATH": "{az}"}, "secret"),
    ],
)
def test_each_way_is_chosen_by_its_variables_and_gets_both_tokens(
    azure: Running, world: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    kind: str, variables: dict[str, str], way: str,
) -> None:  # fmt: skip
    import os
    import sys

    (tmp_path / "assertion").write_text(
        tokens.jwt({"aud": credentials.AUDIENCE, "exp": time.time() + 300, "way": "file", "sub": "system:risk"})
    )
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "az"
    script.write_text(
        AZ.format(
            python=sys.executable, client=tokens.CLIENT, secret=tokens.SECRET, login=tokens.LOGIN, tenant=tokens.TENANT
        )
    )
    script.chmod(0o755)
    places = {"{assertion}": str(tmp_path / "assertion"), "{az}": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    env = {**world, **{name: places.get(value, value) for name, value in variables.items()}}
    for name, value in env.items():
        monkeypatch.setenv(name, value)  # the library looks into the process's own for az and for Azure DevOps
    since = len(azure.tokens())
    credential, chosen = credentials.open_credential(env)
    assert chosen == kind
    assert ways_of(azure, since) == [(way, "https://management.azure.com"), (way, "https://ml.azure.com")]
    before = len(azure.tokens())
    assert credential.get_token(credentials.SCOPES[0]).token
    assert len(azure.tokens()) == before, "a token that is not old was asked for again"


def test_a_managed_identity_is_used_when_asked_for_and_only_then(azure: Running, world: dict[str, str]) -> None:
    with pytest.raises(InvalidInput, match="nothing says how to sign in"):
        credentials.open_credential(world)
    since = len(azure.tokens())
    credential, chosen = credentials.open_credential(world, "managed-identity")
    assert chosen == credential.kind == "managed-identity"
    assert {way for way, _ in ways_of(azure, since)} == {"managed"}


@pytest.mark.parametrize("do", ["hang", "reset"])
def test_a_metadata_service_that_hangs_does_not_hang_us(
    azure: Running, world: dict[str, str], monkeypatch: pytest.MonkeyPatch, do: str
) -> None:
    monkeypatch.setitem(credentials.SECONDS, "managed-identity", 3.0)
    azure.plant({"match": f"get {tokens.IMDS}*", "do": do, "seconds": 60, "times": 99})
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="managed-identity"):
        credentials.open_credential(world, "managed-identity")
    assert time.monotonic() - begun < 30


def test_an_assertion_is_fetched_anew_for_every_token(azure: Running, world: dict[str, str]) -> None:
    credential = credentials.prepare({**world, **GITHUB, **APP})
    since = len(azure.tokens())
    for scope in credentials.SCOPES:
        credential.get_token(scope)
    assertions = [one["token"] for one in azure.tokens()[since:] if one["kind"] == "assertion"]
    assert len(assertions) == len(set(assertions)) == 2
    assert credential.told["sub"] == "repo:octo/risk:ref:refs/heads/main"


def test_an_old_token_is_not_used_again(azure: Running, world: dict[str, str]) -> None:
    credential = credentials.prepare({**world, **APP, **SECRET})
    first = credential.get_token(credentials.SCOPES[0])
    credential._kept[(credentials.SCOPES[0],)] = first._replace(expires_on=int(time.time()) + 60)
    credential._inner = credentials.prepare({**world, **APP, **SECRET})._inner  # without what the library itself keeps
    assert credential.get_token(credentials.SCOPES[0]).token != first.token


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({**DEVOPS, DEVOPS_CONNECTION: tokens.CLIENT}, "no such service connection.*may be used by this pipeline"),
        ({**APP, "AZURE_CLIENT_SECRET": "wrong~secret~Zq8"}, "AADSTS7000215.*is not the secret's value"),
        ({**APP, **SECRET, "AZURE_CLIENT_ID": tokens.TENANT}, "AADSTS700016.*names no app of this tenant"),
        ({**APP, **SECRET, "AZURE_TENANT_ID": tokens.CLIENT}, "90002.*AZURE_TENANT_ID names no tenant"),
        ({**APP, **GITHUB, "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "stale"}, "gave no identity token.*id-token: write"),
    ],
)
def test_a_refusal_names_the_way_and_says_what_to_do_without_a_secret(
    azure: Running, world: dict[str, str], monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], says: str
) -> None:
    env = {**world, **variables}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Unavailable, match=f"credential [a-z-]+: .*{says}") as refused:
        credentials.open_credential(env)
    hidden = (tokens.SECRET, tokens.REQUEST_TOKEN, "wrong~secret~Zq8", "stale", "eyJ")
    assert not [text for text in hidden if text in str(refused.value)]


@pytest.mark.parametrize("do", ["status", "reset"])
def test_a_token_server_that_stumbles_is_asked_again(azure: Running, world: dict[str, str], do: str) -> None:
    azure.plant({"match": f"post {tokens.LOGIN}*", "do": do, "status": 503, "times": 1})
    assert credentials.open_credential({**world, **APP, **SECRET})[1] == "client-secret"


def test_what_is_missing_is_named(world: dict[str, str]) -> None:
    cases: list[tuple[dict[str, str], str, str]] = [
        ({**GITHUB}, "", "github-oidc needs AZURE_CLIENT_ID, AZURE_TENANT_ID"),
        (
            {**SECRET, "AZURE_CLIENT_ID": "$(AZURE_CLIENT_ID)"},
            "",
            "client-secret needs AZURE_CLIENT_ID, AZURE_TENANT_ID",
        ),
        ({}, "azure-cli", "azure-cli needs az on PATH"),
        ({}, "default", "credential 'default' is not known"),
        ({"GITHUB_ACTIONS": "true", **APP}, "", "id-token: write"),
        ({"TF_BUILD": "True"}, "", "azureSubscription"),
    ]
    for variables, kind, says in cases:
        with pytest.raises(InvalidInput) as wrong:
            credentials.choose({**world, **variables}, kind)
        assert says in str(wrong.value)


def test_the_first_complete_way_is_chosen(world: dict[str, str]) -> None:
    every: list[dict[str, Any]] = [
        {**GITHUB, **APP},
        DEVOPS,
        {**APP, "AZURE_FEDERATED_TOKEN_FILE": "f"},
        {**APP, **SECRET},
    ]
    for number, kind in enumerate(credentials.ORDER[:4]):
        together = {name: value for variables in every[number:] for name, value in variables.items()}
        assert credentials.choose({**world, **together}) == kind
    assert credentials.choose({**world, **GITHUB, **APP, **SECRET}, "client-secret") == "client-secret"
