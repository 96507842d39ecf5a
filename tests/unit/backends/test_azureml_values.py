"""The azureml backend's values: what a PUT keeps, what an error says, what a row of the traffic log is."""

from __future__ import annotations

import logging
import sys
from typing import Any

import pytest

from gates.backends.azureml import calls, client, endpoint, registry, traffic_log
from gates.backends.azureml.backend import run_of
from gates.errors import Conflict, GatesError, InvalidInput, Unavailable

FOUND: dict[str, Any] = {
    "id": "/subscriptions/s/e", "name": "e", "type": "t", "systemData": {"createdBy": "ann"}, "location": "westeurope",
    "kind": "Managed", "sku": {"name": "Default"}, "tags": {"team": "risk", "gates.state": "OLD"},
    "identity": {
        "type": "SystemAssigned,UserAssigned", "principalId": "p", "tenantId": "t",
        "userAssignedIdentities": {"/sub/id": {"principalId": "p", "clientId": "c"}},
    },
    "properties": {
        "authMode": "Key", "description": "by hand", "publicNetworkAccess": "Disabled", "tomorrowsSetting": {"a": [1]},
        "traffic": {"blue": 100}, "mirrorTraffic": {}, "keys": None, "scoringUri": "https://e", "swaggerUri": "https://s",
        "provisioningState": "Succeeded", "properties": {"x": "y"},
    },
}  # fmt: skip


def test_a_write_changes_traffic_mirror_and_our_tags_and_nothing_else() -> None:
    body = endpoint.changed(FOUND, {"green": 100}, {}, {"gates.state": "PROMOTED"})
    assert body == {
        "location": "westeurope", "kind": "Managed", "sku": {"name": "Default"},
        "tags": {"team": "risk", "gates.state": "PROMOTED"},
        "identity": {"type": "SystemAssigned,UserAssigned", "userAssignedIdentities": {"/sub/id": {}}},
        "properties": {
            "authMode": "Key", "description": "by hand", "publicNetworkAccess": "Disabled",
            "tomorrowsSetting": {"a": [1]}, "traffic": {"green": 100}, "mirrorTraffic": {}, "properties": {"x": "y"},
        },
    }  # fmt: skip


class HttpResponseError(Exception):
    """As azure-core's: a status, and the answer's error with nested details."""

    def __init__(self, status: int, error: Any = None, message: str = "said") -> None:
        self.status_code, self.error = status, error
        super().__init__(message)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, InvalidInput), (403, Unavailable), (404, Unavailable), (409, Conflict), (412, Conflict), (429, Unavailable),
     (500, Unavailable), (503, Unavailable), (401, Unavailable), (422, InvalidInput)],
)  # fmt: skip
def test_a_status_is_an_error_of_ours_on_one_line(status: int, kind: type[GatesError]) -> None:
    with pytest.raises(kind) as raised, calls.explained("PUT onlineEndpoints/e"):
        raise HttpResponseError(status, message="many\nlines")
    assert type(raised.value) is kind
    assert str(raised.value).startswith("PUT onlineEndpoints/e")
    assert "\n" not in str(raised.value)
    assert raised.value.hint


def test_quota_is_known_by_its_code_however_deep_and_never_by_words() -> None:
    nested = {"code": "BadRequest", "details": [{"code": "X", "innererror": {"code": "OutOfQuota"}}]}
    with pytest.raises(InvalidInput, match="OutOfQuota") as raised, calls.explained("create"):
        raise HttpResponseError(400, nested)
    assert "ask for more quota" in raised.value.hint
    with pytest.raises(InvalidInput) as plain, calls.explained("create"):
        raise HttpResponseError(400, {"code": "BadRequest"}, "OutOfQuota is said here")
    assert "quota" not in plain.value.hint


def test_an_unknown_error_is_a_defect_and_passes() -> None:
    with pytest.raises(KeyError), calls.explained("x"):
        raise KeyError("mine")


@pytest.mark.parametrize(
    "secret",
    ["https://a.blob.core.windows.net/c/b?sv=1&sig=abc%2Bdef&se=2", "Authorization: Bearer abc.def-ghi",
     "SharedKey account:abc+/=", "AccountKey=abc==;x", "eyJhbGciOiJ9.abc.def", "client_secret=abc&x=y"],
)  # fmt: skip
def test_no_secret_passes_into_an_error(secret: str) -> None:
    with pytest.raises(Unavailable) as raised, calls.explained("x"):
        raise HttpResponseError(500, message=f"before {secret} after")
    assert "abc" not in str(raised.value)
    assert "before" in str(raised.value)


def row(deployment: str, at: str = "2026-01-01T00:00:10.5Z", request: str = "") -> dict[str, Any]:
    return {
        "TimeGenerated": at, "DeploymentName": deployment, "ResponseCode": 200, "TotalDurationMs": 12,
        "XMSClientRequestId": request,
    }  # fmt: skip


def test_a_logged_request_has_the_share_that_the_journal_tells_of_its_time() -> None:
    start = traffic_log.micros("2026-01-01T00:00:00Z") / 1e6
    planned = {"kind": "done", "ts": start, "after": {"snapshot": {"traffic": {"blue": 100}}}}
    mirrored = {
        "kind": "observed",
        "ts": start + 5,
        "after": {"routing": {"traffic": {"blue": 100}, "mirror": {"green": 10}}},
    }
    meant = {"kind": "intent", "ts": start + 8, "after": {"routing": {"traffic": {"green": 100}}}}
    split = {"kind": "observed", "ts": start + 9, "after": {"routing": {"traffic": {"blue": 75, "green": 25}}}}
    shares = traffic_log.Shares([planned, mirrored, meant, split])
    early = shares.event(row("blue", "2026-01-01T00:00:01Z"))
    assert (early.share, early.mirrored, early.pinned, early.ms, early.status) == (1.0, False, False, 12.0, 200)
    assert shares.event(row("green", "2026-01-01T00:00:07Z")).mirrored
    assert shares.event(row("green", "2026-01-01T00:00:08.5Z")).mirrored
    late = shares.event(row("green"))
    assert (late.share, late.mirrored) == (0.25, False)
    pinned = shares.event(row("green", "2026-01-01T00:00:07Z", "gates-pinned-1"))
    assert (pinned.pinned, pinned.mirrored) == (True, False)
    assert shares.event(row("blue", "2026-01-01T00:00:10.1234567Z")).ts == pytest.approx(start + 10.123456, abs=1e-6)


def test_without_a_journal_nobody_has_a_share() -> None:
    assert traffic_log.Shares([]).event(row("blue")).share == 0.0


def test_names_that_azure_refuses_are_refused_before_the_first_call() -> None:
    for name in ("ab", "1abc", "abc-", "a" * 33, "a_b"):
        with pytest.raises(InvalidInput, match="endpoint name"):
            endpoint.named(name)
    for name in ("", "a/b", "-a", "a" * 256):
        with pytest.raises(InvalidInput, match="model name"):
            registry.named(name)


def test_a_run_is_the_same_in_each_attempt_and_none_under_act() -> None:
    hosted = {"GITHUB_RUN_ID": "1", "GITHUB_REPOSITORY": "a/b"}
    assert run_of({**hosted, "GITHUB_RUN_ATTEMPT": "1"}) == run_of({**hosted, "GITHUB_RUN_ATTEMPT": "2"}) != ""
    assert run_of({**hosted, "ACT": "true"}) == ""
    assert run_of({"BUILD_BUILDID": "7", "SYSTEM_COLLECTIONURI": "https://dev.azure.com/o/"})
    assert run_of({}) == ""


def test_what_the_sdk_prints_and_logs_is_not_heard(capsys: pytest.CaptureFixture[str]) -> None:
    with client.quiet():
        print("progress")
        print("colours", file=sys.stderr)
        logging.getLogger("azure.ai.ml.x").warning("experimental")
    print("ours")
    assert capsys.readouterr() == ("ours\n", "")
