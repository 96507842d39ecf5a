"""The journal in a blob: who appends where, and what a lost answer leaves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from fake_blobs import FakeStorage

from gates.backends.azureml.journal import BlobJournal
from gates.chain import ChainBroken
from gates.errors import Conflict, InvalidInput, Unavailable

PATH = "mlops-gates/endpoints/credit/journal.jsonl"


def journal(storage: FakeStorage) -> BlobJournal:
    return BlobJournal(storage, "credit")  # type: ignore[arg-type]  # fits by shape


def lines(storage: FakeStorage) -> list[dict[str, Any]]:
    return [json.loads(line) for line in storage.blobs.get(PATH, b"").splitlines()]


def test_entries_follow_one_another_over_many_writers_one_after_the_other() -> None:
    storage = FakeStorage()
    first = journal(storage)
    assert first.read() == []
    assert [first.append({"n": n})["seq"] for n in (0, 1)] == [0, 1]
    second = journal(storage)
    assert second.append({"n": 2})["seq"] == 2
    assert [one["n"] for one in journal(storage).read()] == [0, 1, 2]


def test_what_is_known_is_not_read_again() -> None:
    storage = FakeStorage()
    mine = journal(storage)
    for n in range(5):
        mine.append({"n": n})
    assert storage.made.count(f"read {PATH}") == 1
    assert storage.made.count(f"create {PATH}") == 1


def test_of_two_at_once_one_is_refused_and_may_go_on_after_the_other() -> None:
    storage = FakeStorage()
    mine, other = journal(storage), journal(storage)
    mine.append({"n": 0})
    other.append({"n": 1})
    with pytest.raises(Conflict, match="somebody else appended"):
        mine.append({"n": 2})
    assert mine.append({"n": 3})["seq"] == 2
    assert [one["n"] for one in journal(storage).read()] == [0, 1, 3]


@pytest.mark.parametrize("fault", ["lost", "gone"])
@pytest.mark.parametrize("before", [0, 2])
def test_an_append_that_was_in_doubt_stands_once_when_it_is_tried_again(fault: str, before: int) -> None:
    storage = FakeStorage()
    mine = journal(storage)
    for n in range(before):
        mine.append({"n": n})
    storage.faults = ["", fault] if before == 0 else [fault]
    with pytest.raises(Unavailable):
        mine.append({"ts": 1.5})
    assert mine.append({"ts": 1.5})["seq"] == before
    assert mine.append({"ts": 2.5})["seq"] == before + 1
    assert [one["seq"] for one in journal(storage).read()] == list(range(before + 2))


@pytest.mark.parametrize("fault", ["lost", "gone"])
def test_after_one_in_doubt_another_is_appended_behind_what_stands(fault: str) -> None:
    storage = FakeStorage()
    mine = journal(storage)
    mine.append({"n": 0})
    storage.faults = [fault]
    with pytest.raises(Unavailable):
        mine.append({"n": 1})
    mine.append({"n": 2})
    assert [one["n"] for one in journal(storage).read()] == ([0, 1, 2] if fault == "lost" else [0, 2])


def test_a_blob_whose_creation_was_lost_is_appended_to() -> None:
    storage = FakeStorage(faults=["lost"])
    mine = journal(storage)
    with pytest.raises(Unavailable):
        mine.append({"n": 0})
    assert mine.append({"n": 0})["seq"] == 0
    assert len(lines(storage)) == 1


def test_a_retry_inside_the_client_finds_its_own_line() -> None:
    """The client itself makes the call again after a lost answer, and is told 412."""
    storage = FakeStorage()
    mine = journal(storage)
    mine.append({"n": 0})
    known = mine._end
    mine.append({"n": 1})
    mine._end = known
    assert mine.append({"n": 1})["seq"] == 1
    assert len(lines(storage)) == 2


def test_an_edited_or_a_torn_journal_is_not_appended_to() -> None:
    storage = FakeStorage()
    journal(storage).append({"n": 0})
    whole = storage.blobs[PATH]
    storage.blobs[PATH] = whole.replace(b'"n":0', b'"n":7')
    with pytest.raises(ChainBroken):
        journal(storage).read()
    with pytest.raises(ChainBroken):
        journal(storage).append({"n": 1})
    storage.blobs[PATH] = whole + b'{"n":'
    assert len(journal(storage).read()) == 1
    with pytest.raises(ChainBroken, match="whole line"):
        journal(storage).append({"n": 1})
    with pytest.raises(InvalidInput):
        journal(storage).append({"seq": 1})
