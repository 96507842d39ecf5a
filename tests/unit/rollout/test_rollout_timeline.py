"""A rollout's figures over time, from a journal of a real run and from requests made by hand."""

from __future__ import annotations

from typing import Any

from gates.rollout.timeline import WINDOWS, timeline
from gates.serving import RequestEvent

START = 1_000.0


def record(seq: int, state: str, kind: str, ts: float, **after: Any) -> dict[str, Any]:
    return {
        "seq": seq, "epoch": 1, "state": state, "kind": kind, "ts": START + ts, "deploy_id": "sha256:d",
        "before": {"routing": {"traffic": {}, "mirror": {}}}, "after": after,
    }  # fmt: skip


def routed(**traffic: int) -> dict[str, Any]:
    return {"traffic": traffic, "mirror": {}}


PLAN = {"green": {"name": "green", "spec_digest": "s"}, "endpoint": "credit"}
JOURNAL = [
    record(0, "PLANNED", "done", 0.0, plan=PLAN, snapshot={**routed(blue=100), "champion": "1"}),
    record(1, "GREEN_CREATING", "intent", 0.5, name="green"),
    record(2, "GREEN_CREATING", "done", 6.0, name="green"),
    record(3, "CANARY_1", "intent", 6.5, routing=routed(blue=90, green=10)),
    record(4, "CANARY_1", "observed", 7.0, routing=routed(blue=90, green=10)),
    record(5, "CANARY_1", "done", 17.0),
    record(6, "PROMOTED", "intent", 17.5, routing=routed(green=100)),
    record(7, "PROMOTED", "observed", 18.0, routing=routed(green=100)),
    record(8, "PROMOTED", "done", 18.5),
    record(9, "SUCCEEDED", "done", 20.0, live="green", retire={}),
]


def event(ts: float, name: str, status: int = 200, **more: bool) -> RequestEvent:
    return RequestEvent(START + ts, name, status, 20.0 + ts, 0.1, **more)


def test_traffic_changes_when_it_was_seen_to_not_when_it_was_meant() -> None:
    found = timeline(JOURNAL, [])
    assert found is not None
    assert found["traffic"] == [
        {"at": 0.0, "shares": {"blue": 100}},
        {"at": 7.0, "shares": {"blue": 90, "green": 10}},
        {"at": 18.0, "shares": {"green": 100}},
    ]
    assert [(s["state"], s["at"], s["seconds"]) for s in found["steps"]] == [
        ("GREEN_CREATING", 6.0, 6.0), ("CANARY_1", 17.0, 11.0), ("PROMOTED", 18.5, 1.5), ("SUCCEEDED", 20.0, 1.5),
    ]  # fmt: skip
    assert (found["endpoint"], found["outcome"], found["seconds"]) == ("credit", "SUCCEEDED", 20.0)


def test_requests_are_counted_by_window_without_pinned_mirrored_and_earlier_ones() -> None:
    events = [event(-1, "blue", 500), event(8, "green", 503), event(8.1, "green"), event(8.1, "blue"),
              event(8.2, "green", 500, pinned=True), event(8.2, "green", 500, mirrored=True), event(9, "green", 0),
              event(9, "green", 404)]  # fmt: skip
    found = timeline(JOURNAL, events)
    assert found is not None
    counted = {(r["at"], r["deployment"]): (r["n"], r["errors"]) for r in found["requests"]}
    assert counted == {(8.0, "green"): (2, 1), (8.0, "blue"): (1, 0), (9.0, "green"): (2, 1)}


def test_the_figures_are_bounded_whatever_the_requests_are() -> None:
    events = [event(i / 1000, "green" if i % 3 else "blue") for i in range(20_000)]
    found = timeline(JOURNAL, events)
    assert found is not None
    assert len(found["requests"]) <= 2 * WINDOWS
    assert sum(r["n"] for r in found["requests"]) == 20_000


def test_only_the_last_deployment_counts_and_an_empty_journal_gives_nothing() -> None:
    again = [{**r, "seq": r["seq"] + 10, "deploy_id": "sha256:e", "ts": r["ts"] + 100} for r in JOURNAL[:3]]
    found = timeline([*JOURNAL, *again], [event(8, "green"), event(101, "blue")])
    assert found is not None
    assert found["deploy_id"] == "sha256:e"
    assert found["outcome"] == "GREEN_CREATING"
    assert [r["deployment"] for r in found["requests"]] == ["blue"]
    assert timeline([], []) is None
