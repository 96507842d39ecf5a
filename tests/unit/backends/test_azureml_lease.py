"""The lease of an endpoint: one owner, an epoch that rises, the storage's time, and a fence."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from fake_blobs import FakeStorage

from gates.backends.azureml import lease as leasing
from gates.backends.azureml.lease import EndpointLease
from gates.errors import Conflict, StateUnknown, Unavailable

PATH = "mlops-gates/endpoints/credit/lease.json"


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def storage(ahead: float = 0.0, **parts: Any) -> FakeStorage:
    return FakeStorage(clock=lambda: time.time() + ahead, **parts)


def lease(found: FakeStorage) -> EndpointLease:
    return EndpointLease(found, "endpoints/credit")  # type: ignore[arg-type]  # fits by shape


def said(found: FakeStorage) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(found.blobs[PATH])
    return value


def test_a_free_lease_is_taken_and_its_epoch_rises_from_hand_to_hand() -> None:
    found, now = storage(), time.time()
    first = lease(found).acquire("a", seconds=60, now=now)
    assert (first.owner, first.epoch, first.expires) == ("a", 1, now + 60)
    assert said(found) == {"owner": "a", "epoch": 1, "expires": now + 60}
    assert found.leases == {}
    assert lease(found).acquire("a", seconds=60, now=now + 30).epoch == 1
    with pytest.raises(Conflict, match="credit is held by a for another 60 s") as raised:
        lease(found).acquire("b", seconds=60, now=now + 30)
    assert raised.value.hint
    assert lease(found).acquire("b", seconds=60, now=now + 91).epoch == 2
    assert lease(found).acquire("a", seconds=60, now=now + 152).epoch == 3


def test_the_moment_it_runs_out_is_the_first_that_another_may_take_it() -> None:
    found, now = storage(), time.time()
    lease(found).acquire("a", seconds=60, now=now)
    with pytest.raises(Conflict):
        lease(found).acquire("b", seconds=60, now=now + 59.9)
    assert lease(found).acquire("b", seconds=60, now=now + 60).epoch == 2


def test_a_lease_that_was_given_back_is_free_and_its_epoch_is_kept() -> None:
    found, now = storage(), time.time()
    mine = lease(found)
    held = mine.acquire("a", seconds=60, now=now)
    mine.release(held)
    assert said(found) == {"owner": "", "epoch": 1, "expires": 0.0}
    assert lease(found).acquire("b", seconds=60, now=now).epoch == 2
    mine.release(held)
    assert said(found)["owner"] == "b", "what is no longer ours is not given back"
    assert found.leases == {}
    lease(storage()).release(held)


def test_an_old_lease_of_the_same_owner_is_not_given_back_either() -> None:
    found, now = storage(), time.time()
    mine = lease(found)
    old = mine.acquire("a", seconds=1, now=now)
    lease(found).acquire("b", seconds=1, now=now + 2)
    mine.acquire("a", seconds=60, now=now + 4)
    mine.release(old)
    assert (said(found)["owner"], said(found)["epoch"]) == ("a", 3)


def test_the_fence_refuses_every_epoch_below_the_highest_that_was_seen() -> None:
    found, now = storage(), time.time()
    mine = lease(found)
    mine.fence(0)
    mine.acquire("a", seconds=1, now=now)
    mine.fence(1)
    lease(found).acquire("b", seconds=60, now=now + 2)
    with pytest.raises(Conflict, match="epoch 1 is over, b has 2") as raised:
        mine.fence(1)
    assert raised.value.hint
    found.blobs[PATH] = json.dumps({"owner": "", "epoch": 1, "expires": 0.0}).encode()
    with pytest.raises(Conflict, match="another runner has 2"):
        mine.fence(1)
    mine.fence(2)


@pytest.mark.parametrize("ahead", [-600.0, 600.0])
def test_a_runner_whose_clock_is_wrong_neither_takes_a_live_lease_nor_leaves_one_for_longer(ahead: float) -> None:
    found, now = storage(ahead), time.time()
    mine = lease(found).acquire("a", seconds=60, now=now)
    assert mine.expires == now + 60
    assert said(found)["expires"] == pytest.approx(now + ahead + 60, abs=3)
    right = storage()  # a runner whose clock is right
    right.blobs, right.leases = found.blobs, found.leases
    with pytest.raises(Conflict):
        lease(right).acquire("b", seconds=60, now=now + ahead + 50)
    assert lease(right).acquire("b", seconds=60, now=now + ahead + 63).epoch == 2


def test_a_second_of_difference_is_no_wrong_clock() -> None:
    found, now = storage(1.0), time.time()
    lease(found).acquire("a", seconds=60, now=now)
    assert said(found)["expires"] == now + 60


def test_the_blob_lease_is_waited_for_and_given_up_on() -> None:
    found, now = storage(), time.time()
    lease(found).acquire("a", seconds=60, now=now)
    waited = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            found.leases.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "sleep", wait)
        found.leases[PATH] = "another's"
        assert lease(found).acquire("a", seconds=60, now=now).epoch == 1
        assert len(waited) == 3
        assert all(0.05 <= seconds <= 1.0 for seconds in waited)
        waited.clear()
        found.leases[PATH] = "another's"
        patch.setattr(time, "sleep", waited.append)
        with pytest.raises(Exception, match="409"):
            lease(found).acquire("a", seconds=60, now=now)
        assert sum(waited) > 15, "a dead holder's blob lease has run out by then"


def test_a_blob_lease_that_ran_out_meanwhile_is_not_an_error() -> None:
    found, now = storage(), time.time()
    mine = lease(found)
    write = leasing._write

    def slow(blob: Any, value: dict[str, Any], held: Any) -> None:
        write(blob, value, held)
        found.leases.clear()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leasing, "_write", slow)
        assert mine.acquire("a", seconds=60, now=now).epoch == 1


def test_the_blob_lease_is_given_back_whatever_happens() -> None:
    found, now = storage(), time.time()
    lease(found).acquire("a", seconds=60, now=now)
    with pytest.raises(Conflict):
        lease(found).acquire("b", seconds=60, now=now)
    assert found.leases == {}
    found.faults = ["", "", "gone"]  # the first write of its existence, the hold, the write
    with pytest.raises(Unavailable):
        lease(found).acquire("a", seconds=60, now=now)
    assert found.leases == {}


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b'{"owner": "a", "epoch": "x", "expires": 1}'])
def test_a_lease_that_cannot_be_read_is_nobodys_to_take(text: bytes) -> None:
    found = storage()
    found.blobs[PATH] = text
    with pytest.raises(StateUnknown, match="cannot be read"):
        lease(found).acquire("a", seconds=60, now=time.time())
    with pytest.raises(StateUnknown):
        lease(found).fence(1)
    assert found.blobs[PATH] == text
    assert found.leases == {}
