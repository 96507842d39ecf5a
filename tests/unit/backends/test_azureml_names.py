"""What a workspace's things are called: data, outputs, jobs, rights, times; and which way to sign in is taken."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from fake_workspace import FakeWorkspace

from gates.backends.azureml import credentials, references, rights, shared_registry, submission
from gates.backends.azureml.schedules import Clock
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from pathlib import Path

STORED = "azureml://subscriptions/s/datastores/d/paths/a/b"


def held(**resources: dict[str, Any]) -> Any:
    return FakeWorkspace({path.replace("__", "/"): {"properties": about} for path, about in resources.items()})


@pytest.mark.parametrize(
    "uri",
    ["azureml:loans:3", "azureml:loans@latest", "/subscriptions/s/workspaces/w/data/loans/versions/3",
     "azureml:/subscriptions/s/workspaces/w/data/loans/versions/3"],
)  # fmt: skip
def test_a_reference_to_data_is_a_path_in_a_datastore(uri: str) -> None:
    workspace = held(data__loans={"latestVersion": "3"}, data__loans__versions__3={"dataUri": STORED})
    assert references.data_uri(workspace, uri) == STORED
    assert references.data_uri(held(), STORED) == STORED


@pytest.mark.parametrize("uri", ["azureml:loans", "loans:3", "azureml:a:b:c"])
def test_what_names_no_data_is_refused(uri: str) -> None:
    with pytest.raises(InvalidInput, match="names no data"):
        references.data_uri(held(), uri)


def test_data_that_is_not_there_is_named() -> None:
    with pytest.raises(InvalidInput, match="no data loans version 4"):
        references.data_uri(held(data__loans__versions__3={"dataUri": STORED}), "azureml:loans:4")
    with pytest.raises(InvalidInput, match="no data loans version"):
        references.data_uri(held(), "azureml:loans@latest")


@pytest.mark.parametrize(
    ("about", "where"),
    [
        ({"outputs": {"model": {"uri": STORED}}}, STORED),
        ({"outputs": {"model": {"uri": "azureml://datastores/d/paths/${{name}}/model"}}}, "OURS/job/model"),
        ({"outputs": {"model": {"uri": "https://x/paths/y"}}}, "OURS/job/model"),
        ({"outputs": {"other": {"uri": STORED}}}, "OURS/job/model"),
        ({"properties": {"best_child_run_id": "job_7"}}, "OURS/job_7/model"),
        ({}, "OURS/job/model"),
    ],
)
def test_an_output_stands_where_the_job_says_else_where_azure_puts_it(about: dict[str, Any], where: str) -> None:
    expected = where.replace("OURS", "azureml://datastores/workspaceblobstore/paths/azureml")
    assert references.output_uri(about, "job", "model") == expected
    for uri in ("azureml://jobs/job/outputs/model", "azureml://locations/w/workspaces/g/jobs/job/outputs/model/"):
        assert references.resolved(held(jobs__job=about), uri) == expected
    assert references.resolved(held(), STORED) == STORED


def test_a_version_of_a_registry_has_three_names() -> None:
    assert shared_registry.named("azureml://registries/r/models/m/versions/7") == ("r", "m", "7")
    for uri in (
        "azureml:m:7",
        "azureml://registries/r/models/m/versions/x",
        "azureml://registries/r/data/m/versions/7",
    ):
        with pytest.raises(InvalidInput, match="names no version of a registry"):
            shared_registry.named(uri)


OF = "Microsoft.MachineLearningServices/workspaces"


def test_an_action_is_allowed_when_one_role_allows_it_and_does_not_take_it_out() -> None:
    everything = {"actions": ["*"], "notActions": []}
    reader = {"actions": ["*/read"]}
    assert rights.missing([everything]) == {}
    assert rights.missing([{"actions": ["Another/read", "*"]}]) == {}
    assert set(rights.missing([])) == set(rights.NEEDED)
    assert f"{OF}/jobs/write" in rights.missing([reader])["train"]
    assert f"{OF}/jobs/read" not in rights.missing([reader])["train"]
    assert "drift-check" not in rights.missing([reader])
    taken = {"actions": ["*"], "notActions": [f"{OF}/jobs/write"]}
    assert rights.missing([taken]) == {"train": (f"{OF}/jobs/write",)}
    assert rights.missing([taken, {"actions": [f"{OF.lower()}/jobs/*"]}]) == {}
    assert f"{OF}/read" not in rights.missing([{"actions": [f"{OF}/*/read"]}]).get("every command", ())


@pytest.mark.parametrize(
    ("clock", "frequency", "interval"),
    [(Clock(every=7 * 86400), "day", 7), (Clock(every=12 * 3600), "hour", 12), (Clock(every=90 * 60), "minute", 90)],
)
def test_a_recurrence_is_of_the_largest_unit_that_fits(clock: Clock, frequency: str, interval: int) -> None:
    pytest.importorskip("azure.ai.ml")
    trigger = clock.trigger()
    assert (str(trigger.frequency).lower().rpartition(".")[2], trigger.interval) == (frequency, interval)


@pytest.mark.parametrize(
    ("clock", "said"),
    [(Clock(), "needs a time"), (Clock(cron="0 6 * * 1", every=60.0), "needs a time"), (Clock(cron="6 * *"), "five"),
     (Clock(every=90.0), "no number of minutes")],
)  # fmt: skip
def test_a_time_that_is_none_is_refused(clock: Clock, said: str) -> None:
    pytest.importorskip("azure.ai.ml")
    with pytest.raises(InvalidInput, match=said):
        clock.trigger()


CLIENT = {"AZURE_CLIENT_ID": "c", "AZURE_TENANT_ID": "t"}
GITHUB = {"ACTIONS_ID_TOKEN_REQUEST_URL": "https://x", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "y"}


@pytest.mark.parametrize(
    ("env", "kind"),
    [
        ({**CLIENT, **GITHUB, "AZURE_CLIENT_SECRET": "s"}, "github-oidc"),
        ({**CLIENT, "AZURE_CLIENT_SECRET": "s", "ACTIONS_ID_TOKEN_REQUEST_URL": "https://x"}, "client-secret"),
        ({**CLIENT, "AZURE_FEDERATED_TOKEN_FILE": "f", "AZURE_CLIENT_SECRET": "s"}, "workload-identity"),
        ({**CLIENT, "AZURE_CLIENT_SECRET": "$(SECRET)", "AZURE_FEDERATED_TOKEN_FILE": "f"}, "workload-identity"),
    ],
)
def test_the_first_way_that_is_complete_is_taken(env: dict[str, str], kind: str) -> None:
    assert credentials.choose({**env, "PATH": "/nowhere"}) == kind
    assert credentials.choose(env, "managed-identity") == "managed-identity"


def test_a_way_that_lacks_something_is_told_by_name() -> None:
    with pytest.raises(InvalidInput, match="client-secret needs AZURE_CLIENT_ID, AZURE_TENANT_ID"):
        credentials.choose({"AZURE_CLIENT_SECRET": "s", "PATH": "/nowhere"})
    with pytest.raises(InvalidInput, match="client-secret needs AZURE_CLIENT_SECRET"):
        credentials.choose({**CLIENT, "AZURE_CLIENT_SECRET": " "}, "client-secret")
    with pytest.raises(InvalidInput, match="nothing says how to sign in"):
        credentials.choose({"PATH": "/nowhere"})
    with pytest.raises(InvalidInput, match="'secret' is not known"):
        credentials.choose({}, "secret")


def asked(tmp_path: Path, run: str = "github 77") -> Any:
    """As much of a job as its name is made from. `sent`: under which names it was submitted."""
    entity = SimpleNamespace(name="", tags={"team": "risk"}, compute="", limits=None)
    return SimpleNamespace(path=tmp_path / "my train.yml", run=run, entity=entity, tags={"a": "b"}, compute="",
                           timeout=None, pending=tmp_path)  # fmt: skip


def workspace_of(sent: list[str], statuses: dict[str, str] | None = None, problem: Exception | None = None) -> Any:
    made = FakeWorkspace(
        {f"jobs/{name}": {"properties": {"status": status}} for name, status in (statuses or {}).items()}
    )

    def create(entity: Any) -> None:
        sent.append(entity.name)
        if problem is not None and len(sent) == 1:
            raise problem

    made.ml = SimpleNamespace(jobs=SimpleNamespace(create_or_update=create))  # type: ignore[attr-defined]  # the SDK's part
    return made


def find(job: Any, workspace: Any, tmp_path: Path) -> str:
    return submission.find_or_submit(job, workspace, "sha256:" + "a" * 64, tmp_path / "note.json", lambda _: None)


def test_a_job_is_found_by_its_name_and_submitted_where_there_is_none(tmp_path: Path) -> None:
    sent: list[str] = []
    job = asked(tmp_path)
    name = find(job, workspace_of(sent), tmp_path)
    assert sent == [name]
    assert name.startswith("my-train-")
    assert job.entity.tags == {"team": "risk", "a": "b", "gates.job": "my train.yml"}
    for status in ("Running", "Queued", "Completed"):
        assert find(job, workspace_of(sent, {name: status}), tmp_path) == name
    assert sent == [name]
    for status in ("Failed", "Canceled"):
        assert find(job, workspace_of(sent, {name: status}), tmp_path) == f"{name}-2"
    assert find(asked(tmp_path, "github 78"), workspace_of(sent), tmp_path) != name
    failed = {name: "Failed", **{f"{name}-{number}": "Failed" for number in range(2, 21)}}
    with pytest.raises(Unavailable, match="failed 20 times"):
        find(job, workspace_of(sent, failed), tmp_path)


def test_a_laptop_s_run_is_noted_until_it_has_ended(tmp_path: Path) -> None:
    sent: list[str] = []
    job = asked(tmp_path, run="")
    first = find(job, workspace_of(sent), tmp_path)
    assert find(job, workspace_of(sent, {first: "Running"}), tmp_path) == first
    (tmp_path / "note.json").unlink()
    assert find(job, workspace_of(sent), tmp_path) != first


def test_an_upload_that_finds_itself_is_made_once_more(tmp_path: Path) -> None:
    sent: list[str] = []
    job = asked(tmp_path)
    busy = type("HttpResponseError", (Exception,), {"status_code": 409})("busy")
    name = find(job, workspace_of(sent, problem=busy), tmp_path)
    assert sent == [name, name]
    sent.clear()
    refused = type("HttpResponseError", (Exception,), {"status_code": 400})("no such compute")
    with pytest.raises(InvalidInput, match=r"my train\.yml: submit my train\.yml: Azure refused it: no such compute"):
        find(job, workspace_of(sent, problem=refused), tmp_path)
