"""The audit log and its questions, on a history small enough to work out by hand, and on 10,000 events."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from gates.chain import ChainBroken
from gates.errors import InvalidInput
from gates.lineage.audit import AuditLog, Event, gather, merged, write_event
from gates.lineage.questions import delivery, made_from, movements, serving, stand_behind, table
from gates.lineage.record import seconds, utc

if TYPE_CHECKING:
    from pathlib import Path

T0 = 1_800_000_000.0
HOUR = 3600.0
DAY = 24 * HOUR
ONE, TWO = "sha256:" + "1" * 64, "sha256:" + "2" * 64
DATA = "sha256:" + "d" * 64


def _event(kind: Any, hours: float, **values: Any) -> Event:
    return Event(kind=kind, at=utc(T0 + hours * HOUR), model_name="credit", **values)


def _history() -> tuple[Event, ...]:
    """One trained, gated, approved, deployed; two likewise and rolled back to one after half an hour of traffic."""
    return (
        _event("trained", 0, model=ONE, data=(DATA,), code="a" * 40, environment="sha256:e", code_time=utc(T0 - HOUR)),
        _event("gated", 1, model=ONE, policy="sha256:p", verdict="PASS", decision="allow"),
        _event("registered", 2, model=ONE, version="1"),
        _event("approved", 2.5, model=ONE, approvers=("user:bob",)),
        _event("deployed", 3, model=ONE, endpoint="prod", deployment="blue", deploy_id="d1", outcome="succeeded"),
        _event("drifted", 10, model=ONE),
        _event("trained", 12, model=TWO, data=(DATA, "sha256:x"), code="b" * 40),
        _event("gated", 13, model=TWO, policy="sha256:q", verdict="INCONCLUSIVE", decision="allow"),
        _event("registered", 14, model=TWO, version="2"),
        _event("shifted", 15, model=TWO, endpoint="prod", deploy_id="d2", traffic={"blue": 90, "green": 10}),
        _event("deployed", 15.25, model=TWO, endpoint="prod", deployment="green", deploy_id="d2", outcome="succeeded",
               ungated="incident", previous=ONE),
        _event("rolled-back", 15.5, model=TWO, previous=ONE, endpoint="prod", deployment="blue", deploy_id="d2"),
        _event("drifted", 20, model=ONE),
    )  # fmt: skip


def test_events_are_read_back_as_written_and_empty_fields_are_not_stored(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    heads = [log.append(event) for event in _history()]
    assert log.events(heads) == _history()
    assert log.head() == heads[-1]
    line = json.loads(log.chain.path.read_text().splitlines()[1])
    assert sorted(line) == [
        "at",
        "decision",
        "hash",
        "kind",
        "model",
        "model_name",
        "policy",
        "prev_hash",
        "seq",
        "verdict",
    ]


def test_an_anchor_that_is_gone_is_seen(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.jsonl")
    heads = [log.append(event) for event in _history()]
    lines = log.chain.path.read_bytes().splitlines(keepends=True)
    log.chain.path.write_bytes(b"".join(lines[:5]))
    assert len(log.events(heads[:5])) == 5
    with pytest.raises(ChainBroken, match="cut"):
        log.events(heads)


@pytest.mark.parametrize("at", ["", "yesterday", "2026-11-21T03:40:00", "2026-13-01T00:00:00Z"])
def test_an_event_without_a_time_is_refused(tmp_path: Path, at: str) -> None:
    with pytest.raises(InvalidInput, match="time"):
        AuditLog(tmp_path / "a.jsonl").append(Event(kind="gated", at=at))


def test_an_unknown_event_in_the_log_is_an_error_with_its_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "a.jsonl")
    log.append(_history()[0])
    log.chain.append({"kind": "guessed", "at": utc(T0)})
    with pytest.raises(InvalidInput, match=r"a\.jsonl:2"):
        log.events()


def test_one_file_an_event_is_gathered_by_time_and_once(tmp_path: Path) -> None:
    history = _history()
    for event in (*reversed(history), history[0]):
        write_event(tmp_path / "events", event)
    assert gather(tmp_path / "events") == history
    assert merged(history[:5], history[3:]) == history
    assert gather(tmp_path / "none") == ()


def test_an_altered_event_file_is_refused(tmp_path: Path) -> None:
    path = write_event(tmp_path, _history()[1])
    path.write_text(path.read_text().replace("PASS", "FAIL"))
    with pytest.raises(ChainBroken, match="altered"):
        gather(tmp_path)
    path.write_text("{")
    with pytest.raises(ChainBroken, match="not JSON"):
        gather(tmp_path)


def test_what_stands_behind_a_model() -> None:
    assert stand_behind(_history(), ONE) == {
        "model": ONE, "model_name": "credit", "version": "1", "trained": utc(T0), "data": [DATA], "code": "a" * 40,
        "environment": "sha256:e", "policy": "sha256:p", "verdict": "PASS", "decision": "allow",
        "approvers": ["user:bob"], "ungated": None,
    }  # fmt: skip
    unknown = stand_behind(_history(), "sha256:" + "0" * 64)
    assert unknown["verdict"] is None
    assert unknown["data"] is None


def test_what_serves_now_is_what_was_rolled_back_to() -> None:
    (before,) = serving(_history()[:11])
    assert (before["endpoint"], before["model"], before["deployment"], before["ungated"]) == (
        "prod",
        TWO,
        "green",
        "incident",
    )
    (after,) = serving(_history(), "prod")
    assert (after["model"], after["deployment"], after["since"]) == (ONE, "blue", utc(T0 + 15.5 * HOUR))
    assert serving(_history(), "other") == []


def test_a_failed_deployment_does_not_serve() -> None:
    failed = _event("deployed", 30, model=TWO, endpoint="prod", outcome="failed")
    assert serving((*_history(), failed))[0]["model"] == ONE


def test_which_models_were_made_from_data() -> None:
    assert [row["version"] for row in made_from(_history(), DATA)] == ["1", "2"]
    assert [row["model"] for row in made_from(_history(), "sha256:x")] == [TWO]
    assert made_from(_history(), "sha256:none") == []


def test_movements_in_a_window() -> None:
    kinds = [row["kind"] for row in movements(_history())]
    assert kinds == ["registered", "deployed", "registered", "deployed", "rolled-back"]
    window = movements(_history(), since=T0 + 3 * HOUR, until=T0 + 15.25 * HOUR)
    assert [row["at"] for row in window] == [utc(T0 + 3 * HOUR), utc(T0 + 14 * HOUR)]


def test_delivery_figures_worked_out_by_hand() -> None:
    """Leads: 3 h + 1 h from the commit; 15.25 − 12 from the training. Two tries, one rolled back after 0.5 h."""
    assert delivery(_history(), since=T0, until=T0 + 7 * DAY) == {
        "deployments": 2,
        "deployments_per_week": 2.0,
        "lead_time": {"median": (4 + 3.25) / 2 * HOUR, "max": 4 * HOUR, "n": 2},
        "change_failure_rate": 0.5,
        "time_to_restore": {"median": 0.5 * HOUR, "max": 0.5 * HOUR, "n": 1},
        "drift_reaction": {"median": 5.25 * HOUR, "max": 5.25 * HOUR, "n": 1},
        "drift_open": 1,
    }


def test_delivery_of_nothing_claims_nothing() -> None:
    assert delivery((), since=T0, until=T0 + DAY) == {
        "deployments": 0, "deployments_per_week": 0.0, "lead_time": None, "change_failure_rate": None,
        "time_to_restore": None, "drift_reaction": None, "drift_open": 0,
    }  # fmt: skip


def test_a_deployment_that_failed_and_was_rolled_back_failed_once() -> None:
    events = (
        _event("shifted", 1, model=ONE, endpoint="prod", deploy_id="d"),
        _event("rolled-back", 2, model=ONE, endpoint="prod", deploy_id="d"),
        _event("shifted", 3, model=ONE, endpoint="prod", deploy_id="d"),
        _event("deployed", 4, model=ONE, endpoint="prod", deploy_id="d", outcome="succeeded"),
        _event("deployed", 5, model=TWO, endpoint="prod", deploy_id="e", outcome="rolled-back"),
        _event("rolled-back", 6, model=TWO, endpoint="prod", deploy_id="e"),
    )
    figures = delivery(events, since=T0, until=T0 + DAY)
    assert figures["change_failure_rate"] == pytest.approx(2 / 3)
    assert figures["time_to_restore"] == {"median": HOUR, "max": HOUR, "n": 2}


def test_tables_are_aligned_and_say_when_nothing_was_found() -> None:
    text = table(movements(_history()))
    lines = text.splitlines()
    assert len(lines) == 6
    assert {line.index("credit") for line in lines[1:]} == {lines[0].index("model_name")}
    assert "sha256:111111111111 " in text
    assert ONE in table([stand_behind(_history(), ONE)])
    assert table([]) == "nothing found\n"


def test_a_table_cannot_be_broken_by_a_reason() -> None:
    rows = [{"reason": "a\nb\x1b[31m"}, {"reason": "c"}]
    assert "\x1b" not in table(rows)
    assert len(table(rows).splitlines()) == 3


def test_nothing_serves_after_the_first_deployment_was_rolled_back() -> None:
    first = _event("deployed", 1, model=ONE, endpoint="prod", deployment="blue", deploy_id="d", outcome="succeeded")
    assert [row["model"] for row in serving((first,))] == [ONE]
    assert serving((first, _event("rolled-back", 2, model=ONE, endpoint="prod", deployment="blue"))) == []


def test_after_a_rollback_the_deployment_from_before_serves() -> None:
    history = _history()[:-2]
    back = _event("rolled-back", 15.5, model=TWO, previous=ONE, endpoint="prod", deployment="green", deploy_id="d2")
    assert [(row["model"], row["deployment"]) for row in serving((*history, back))] == [(ONE, "blue")]


def test_ten_thousand_events_are_answered_within_a_second(tmp_path: Path) -> None:
    """Each question, with reading and verifying the log, in processor time, so that a busy machine does not decide."""
    log, history = AuditLog(tmp_path / "audit.jsonl"), _many(10_000)
    _write_log(log, history)
    questions: dict[str, Any] = {
        "serving": lambda events: serving(events),
        "behind": lambda events: [stand_behind(events, history[-10].model)],
        "data": lambda events: made_from(events, DATA),
        "movements": lambda events: movements(events),
        "delivery": lambda events: [delivery(events, since=T0, until=T0 + 1000 * DAY)],
    }
    for name, ask in questions.items():
        began = time.process_time()
        rows = ask(log.events([log.head()]))
        text, data = table(rows), json.dumps(rows)
        spent = time.process_time() - began
        assert rows
        assert text
        assert data
        assert spent < 1.0, (name, spent)


def _many(n: int) -> list[Event]:
    events: list[Event] = []
    for index in range(n // 10):
        model, hours = f"sha256:{index:064x}", index * 3.0
        parts = [
            {"kind": kind, "endpoint": "prod", "deploy_id": f"d{index}", "outcome": "succeeded"}
            for kind in ("trained", "gated", "approved", "registered", "shifted", "shifted", "shifted", "deployed")
        ]
        back = {"kind": "rolled-back", "endpoint": "prod", "deploy_id": f"d{index}"}
        parts += [{"kind": "drifted"}, {**back, "previous": f"sha256:{max(index - 1, 0):064x}"}]
        events += [_event(p.pop("kind"), hours + i / 10, model=model, data=(DATA,), **p) for i, p in enumerate(parts)]
    return events


def _write_log(log: AuditLog, events: list[Event]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gates.chain.os.fsync", lambda fd: None)
        for event in events:
            log.append(event)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1970-01-01T00:00:00Z", 0.0), ("1970-01-01T01:00:00.5+01:00", 0.5), ("1970-01-01", 86400.0)],
)
def test_seconds(text: str, expected: float) -> None:
    assert seconds(text) == expected
    assert seconds(utc(1_800_000_000.25)) == 1_800_000_000.25
