"""The hash-chained JSONL: what is appended is read back, and nothing else passes for it."""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import rfc8785

from gates.chain import GENESIS, Chain, ChainBroken
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from pathlib import Path


def _chain(tmp_path: Path, n: int = 5) -> Chain:
    chain = Chain(tmp_path / "log" / "audit.jsonl")
    for number in range(n):
        chain.append({"type": "gated", "note": f"ü line\n{number}", "score": number / 3})
    return chain


def _lines(chain: Chain) -> list[bytes]:
    return chain.path.read_bytes().splitlines(keepends=True)


def test_no_file_is_an_empty_chain(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "none.jsonl")
    assert chain.read() == []
    assert chain.head() == GENESIS
    chain.verify()
    chain.verify(GENESIS)
    assert not chain.path.exists()


def test_append_returns_what_read_returns_and_head_is_the_last_hash(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "a.jsonl")
    first, second = chain.append({"a": 1}), chain.append({"a": 2.5, "b": [None, True]})
    assert chain.read() == [first, second]
    assert (first["seq"], first["prev_hash"], second["seq"], second["prev_hash"]) == (0, GENESIS, 1, first["hash"])
    assert chain.head() == second["hash"]


def test_hash_is_what_the_docstring_says(tmp_path: Path) -> None:
    """Recomputed here from the published rule, not with our own code."""
    for line in _lines(_chain(tmp_path)):
        entry = json.loads(line)
        stated = entry.pop("hash")
        assert stated == "sha256:" + hashlib.sha256(rfc8785.dumps(entry)).hexdigest()


@pytest.mark.parametrize("key", ["seq", "prev_hash", "hash"])
def test_our_keys_are_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(InvalidInput, match=key):
        Chain(tmp_path / "a.jsonl").append({key: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**60, object(), {1: 2}])
def test_what_json_cannot_hold_is_refused_before_the_file_is_touched(tmp_path: Path, value: Any) -> None:
    chain = Chain(tmp_path / "a.jsonl")
    with pytest.raises(InvalidInput):
        chain.append({"value": value})
    assert not chain.path.exists()


@pytest.mark.parametrize("tail", [b'{"half":', b"\x00" * 9000, b"x" * 200_000])
def test_torn_tail_is_left_out_by_readers_and_cut_by_the_next_append(tmp_path: Path, tail: bytes) -> None:
    chain = _chain(tmp_path)
    whole, head = chain.read(), chain.head()
    with chain.path.open("ab") as file:
        file.write(tail)
    assert chain.read() == whole
    assert chain.head() == head
    added = chain.append({"type": "after"})
    assert chain.read() == [*whole, added]
    assert tail not in chain.path.read_bytes()
    assert chain.path.read_bytes().endswith(b"}\n"), "nothing of the torn tail may stay behind the new line"


@pytest.mark.parametrize("kept", [0, 2, 5])
def test_a_chain_follows_one_that_it_is_the_beginning_of(tmp_path: Path, kept: int) -> None:
    other = _chain(tmp_path)
    chain = Chain(tmp_path / "ours" / "audit.jsonl")
    if kept:
        chain.path.parent.mkdir()
        chain.path.write_bytes(b"".join(_lines(other)[:kept]) + b'{"torn')
    assert chain.follow(other)
    assert chain.read() == other.read()


def test_a_chain_that_went_another_way_follows_nothing(tmp_path: Path) -> None:
    other, ours = _chain(tmp_path), Chain(tmp_path / "ours.jsonl")
    ours.path.write_bytes(b"".join(_lines(other)[:2]))
    ours.append({"type": "ours"})
    before = ours.path.read_bytes()
    assert not ours.follow(other)
    assert ours.path.read_bytes() == before
    longer = Chain(tmp_path / "longer.jsonl")
    longer.path.write_bytes(b"".join(_lines(other)))
    longer.append({"type": "more"})
    assert not longer.follow(other)
    assert len(longer.read()) == 6


def test_a_broken_chain_is_neither_followed_nor_follows(tmp_path: Path) -> None:
    other, ours = _chain(tmp_path), Chain(tmp_path / "ours.jsonl")
    lines = _lines(other)
    ours.path.write_bytes(lines[1])
    with pytest.raises(ChainBroken):
        ours.follow(other)
    whole = Chain(tmp_path / "whole.jsonl")
    other.path.write_bytes(b"".join([lines[1], lines[0], *lines[2:]]))
    with pytest.raises(ChainBroken):
        whole.follow(other)
    assert whole.read() == []


def test_torn_first_line(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"half')
    chain = Chain(path)
    assert chain.read() == []
    assert chain.append({"a": 1})["seq"] == 0
    assert len(chain.read()) == 1


def test_entry_longer_than_a_block(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "a.jsonl")
    for size in (200_000, 10, 70_000):
        chain.append({"text": "é" * size})
    assert [len(entry["text"]) for entry in chain.read()] == [200_000, 10, 70_000]
    chain.verify(chain.head())


def _altered(lines: list[bytes]) -> list[bytes]:
    return [*lines[:2], lines[2].replace(b"gated", b"Gated"), *lines[3:]]


def _rehashed(lines: list[bytes]) -> list[bytes]:
    entry = json.loads(lines[2])
    entry["note"] = "forged"
    entry.pop("hash")
    entry["hash"] = "sha256:" + hashlib.sha256(rfc8785.dumps(entry)).hexdigest()
    return [*lines[:2], rfc8785.dumps(entry) + b"\n", *lines[3:]]


@pytest.mark.parametrize(
    ("tamper", "line", "why"),
    [
        (_altered, 3, "altered"),
        (_rehashed, 4, "does not follow"),
        (lambda lines: lines[:2] + lines[3:], 3, "does not follow"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], 1, "does not follow"),
        (lambda lines: lines[1:], 1, "does not follow"),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4, "does not follow"),
        (lambda lines: [*lines[:3], b"\n", *lines[3:]], 4, "not JSON"),
        (lambda lines: [*lines[:3], b"[1]\n", *lines[3:]], 4, "not an entry"),
        (lambda lines: [*lines[:3], b'{"a":"\xff"}\n', *lines[3:]], 4, "not JSON"),
        (lambda lines: [lines[0].replace(b"{", b"{ ", 1), *lines[1:]], 1, "altered"),
    ],
)
def test_a_changed_file_is_refused_and_the_line_named(tmp_path: Path, tamper: Any, line: int, why: str) -> None:
    chain = _chain(tmp_path)
    chain.path.write_bytes(b"".join(tamper(_lines(chain))))
    for look in (chain.read, chain.verify):
        with pytest.raises(ChainBroken) as caught:
            look()
        assert caught.value.errors[0].startswith(f"{chain.path}:{line}: ")
        assert why in caught.value.errors[0]
        assert str(caught.value).startswith(f"{chain.path}:{line}: ")


def test_cut_tail_is_seen_only_against_an_anchor(tmp_path: Path) -> None:
    chain = _chain(tmp_path)
    anchor = chain.head()
    chain.append({"type": "later"})
    chain.verify(anchor)
    chain.path.write_bytes(b"".join(_lines(chain)[:3]))
    chain.verify()
    with pytest.raises(ChainBroken, match="cut") as caught:
        chain.verify(anchor)
    assert anchor in str(caught.value)
    chain.path.unlink()
    with pytest.raises(ChainBroken, match="cut"):
        chain.verify(anchor)


def test_append_after_a_foreign_last_line_is_refused(tmp_path: Path) -> None:
    chain = _chain(tmp_path)
    lines = _lines(chain)
    chain.path.write_bytes(b"".join([*lines[:-1], lines[-1].replace(b"gated", b"Gated")]))
    before = chain.path.read_bytes()
    with pytest.raises(ChainBroken, match="last line"):
        chain.append({"a": 1})
    with pytest.raises(ChainBroken):
        chain.head()
    assert chain.path.read_bytes() == before


def test_a_disk_that_refuses_leaves_the_file_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = _chain(tmp_path)
    before = chain.path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gates.chain.os.fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        chain.append({"a": 1})
    assert chain.path.read_bytes() == before


def test_threads_lose_nothing(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "a.jsonl")

    def work(name: int) -> None:
        for number in range(25):
            Chain(chain.path).append({"who": name, "number": number})

    threads = [threading.Thread(target=work, args=(name,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(e["who"], e["number"]) for e in chain.read()} == {(w, n) for w in range(8) for n in range(25)}
