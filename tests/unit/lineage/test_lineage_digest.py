"""The identity of a model: the digest is the published rule's, and what has no one identity is refused by name."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest
from lineage_built import make_model

from gates.errors import InvalidInput, Unavailable
from gates.lineage.digest import (
    FileSum,
    differences,
    file_digest,
    folder_sums,
    hexdigest,
    model_digest,
    sums_digest,
    sums_text,
)

if TYPE_CHECKING:
    from pathlib import Path


def test_the_digest_is_the_rule_worked_out_by_hand(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name, body in (("b/x", b"1"), ("a", b"2"), ("b.txt", b""), ("é", b"3"), ("Z", b"4")):
        (tmp_path / name).write_bytes(body)
    order = ["Z", "a", "b.txt", "b/x", "é"]  # by bytes: '.' < '/', upper case first, non-ASCII last
    text = "".join(f"{hashlib.sha256((tmp_path / n).read_bytes()).hexdigest()}  {n}\n" for n in order)
    sums = folder_sums(tmp_path)
    assert sums_text(sums) == text
    assert [item.path for item in sums] == order
    assert [item.size for item in sums] == [1, 1, 0, 1, 1]
    assert model_digest(tmp_path) == "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def test_many_large_files_hash_the_same_in_threads(tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"part-{number}").write_bytes(bytes([number]) * (700_000 * number + number))
    expected = [(p.name, hashlib.sha256(p.read_bytes()).hexdigest()) for p in sorted(tmp_path.iterdir())]
    assert [(item.path, item.sha256) for item in folder_sums(tmp_path)] == expected


def test_nothing_but_names_and_bytes_counts(tmp_path: Path) -> None:
    first, second = make_model(tmp_path / "a"), make_model(tmp_path / "b")
    (second / "MLmodel").chmod(0o755)
    os.utime(second / "MLmodel", (1, 1))
    (second / "empty").mkdir()
    assert model_digest(first) == model_digest(second)


def _link(path: Path) -> None:
    (path / "link").symlink_to(path / "MLmodel")


def _folder_link(path: Path) -> None:
    (path / "link").symlink_to(path / "data")


def _dangling(path: Path) -> None:
    (path / "link").symlink_to("/nowhere")


def _pipe(path: Path) -> None:
    os.mkfifo(path / "pipe")


def _clash(path: Path) -> None:
    (path / "mlMODEL").write_text("x")


def _folder_clash(path: Path) -> None:
    (path / "Data").mkdir()
    (path / "Data" / "y").write_text("x")


def _unicode_clash(path: Path) -> None:
    (path / "data" / "u\u0308ni\u0308.txt").write_text("x")


def _newline(path: Path) -> None:
    (path / "a\nb").write_text("x")


def _escape(path: Path) -> None:
    (path / "a\x1b[31m").write_text("x")


def _backslash(path: Path) -> None:
    (path / "a\\b").write_text("x")


def _not_utf8(path: Path) -> None:
    (path / os.fsdecode(b"a\xff")).write_text("x")


def _git(path: Path) -> None:
    (path / "data" / ".git").mkdir()


def _git_file(path: Path) -> None:
    (path / ".GIT").write_text("gitdir: /elsewhere")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_link, "link: is a symbolic link"),
        (_folder_link, "link: is a symbolic link"),
        (_dangling, "link: is a symbolic link"),
        (_pipe, "pipe: is neither a file nor a folder"),
        (_clash, "'MLmodel' and 'mlMODEL' are one name"),
        (_folder_clash, "'Data' and 'data' are one name"),
        (_unicode_clash, "are one name"),
        (_newline, "control character"),
        (_escape, "control character"),
        (_backslash, "backslash"),
        (_not_utf8, "not UTF-8"),
        (_git, r".git: a .git folder"),
        (_git_file, r".GIT: a .git folder"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_has_no_one_identity_is_refused(tmp_path: Path, spoil: object, why: str) -> None:
    model = make_model(tmp_path / "model")
    assert callable(spoil)
    spoil(model)
    with pytest.raises(InvalidInput) as caught:
        folder_sums(model)
    assert why in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_no_folder_no_files_no_identity(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "sub").mkdir()
    (tmp_path / "link").symlink_to(make_model(tmp_path / "model"))
    for name in ("none", "file", "link"):
        with pytest.raises(InvalidInput, match="is not a folder"):
            folder_sums(tmp_path / name)
    with pytest.raises(InvalidInput, match="holds no files"):
        folder_sums(tmp_path / "real")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_cannot_be_read_is_unavailable(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    (model / "MLmodel").chmod(0)
    with pytest.raises(Unavailable, match="MLmodel"):
        folder_sums(model)


def test_a_file_swapped_for_a_link_while_hashing_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make_model(tmp_path / "model")
    from gates.lineage import digest as module

    listed = list(module._files(model, ""))
    (model / "MLmodel").unlink()
    (model / "MLmodel").symlink_to("/etc/hostname")
    monkeypatch.setattr(module, "_files", lambda root, inside: listed)
    with pytest.raises(Unavailable, match="MLmodel"):
        folder_sums(model)


def test_file_digest(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_digest(tmp_path / "a") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert file_digest(tmp_path / "link") == file_digest(tmp_path / "a")
    with pytest.raises(InvalidInput, match="not a file"):
        file_digest(tmp_path)


@pytest.mark.parametrize(
    "text", ["", "sha256:", "a" * 64, "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 64]
)
def test_what_is_no_digest(text: str) -> None:
    with pytest.raises(InvalidInput, match="not a digest"):
        hexdigest(text)


def test_differences_are_told_once_each() -> None:
    old = [FileSum("a", "1"), FileSum("b", "2"), FileSum("c", "3"), FileSum("same", "9")]
    new = [FileSum("a", "1x"), FileSum("d", "3"), FileSum("e", "5"), FileSum("same", "9")]
    assert [f"{path} {what}" for path, what in differences(old, new)] == [
        "a was changed: sha256 1x, recorded 1",
        "b is missing",
        "c was renamed to d",
        "e is not recorded: it was added",
    ]
    assert not list(differences(old, list(reversed(old))))
    assert sums_digest(old) == sums_digest(list(reversed(old)))
