"""Files are whole or not there."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gates.errors import Unavailable
from gates.files import copy_by_digest, sha256_of, write_whole


def test_a_file_is_made_with_its_folder_and_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "f.txt"
    write_whole(path, "one")
    write_whole(path, "zwei ü")
    assert path.read_text(encoding="utf-8") == "zwei ü"
    assert [p.name for p in path.parent.iterdir()] == ["f.txt"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("call", ["fsync", "replace", "write"])
def test_whatever_fails_the_old_file_stays_and_nothing_lies_beside(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.txt"
    write_whole(path, "old")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    if call == "fsync":
        monkeypatch.setattr(os, "fsync", full)
    elif call == "replace":
        monkeypatch.setattr(Path, "replace", full)
    else:
        monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(Unavailable, match="No space left on device; free space, or name another folder"):
        write_whole(path, "new")
    monkeypatch.undo()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["f.txt"]


def test_an_interrupt_leaves_nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "f.txt", "new")
    assert list(tmp_path.iterdir()) == []


def test_a_large_file_is_kept_under_its_digest(tmp_path: Path) -> None:
    source = tmp_path / "predictions.parquet"
    source.write_bytes(b"0123456789" * 1_000_000)
    digest = copy_by_digest(source, tmp_path / "evidence")
    assert digest == hashlib.sha256(source.read_bytes()).hexdigest() == sha256_of(source)
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == [digest]
    assert (tmp_path / "evidence" / digest).read_bytes() == source.read_bytes()
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Unavailable, match="cannot write"):
        copy_by_digest(source, tmp_path / "file" / "evidence")
