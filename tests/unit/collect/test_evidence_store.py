"""Evidence is kept by digest, and refused when it is no longer what the report was decided on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gates.collect import store as stores
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = {"target": "y", "positive_label": 1}
CSV = b"y,prediction\n1,1\n0,1\n"


def filled(folder: Path) -> stores.Store:
    store = stores.Store(folder)
    (folder / "p.csv").write_bytes(CSV)
    store.add_file(stores.CANDIDATE, folder / "p.csv")
    store.add_bytes(stores.METRICS, b'{"metrics": {"accuracy": 0.9}, "n": 10}', self_reported=True)
    store.add_manifest(stores.Manifest(target="y", positive_label=1, samples={"latency_ms": [1.0, 2.0]}))
    store.add_bytes(stores.POLICY, b"version: 1\n")
    return store


def test_what_is_stored_is_read_back(tmp_path: Path) -> None:
    store = filled(tmp_path)
    found = stores.load(store.folder, store.items)
    assert found.candidate is not None
    assert found.candidate.target.tolist() == [1, 0]
    assert found.candidate.prediction.tolist() == [1, 1]
    assert (found.metrics, found.metrics_n, found.self_reported) == ({"accuracy": 0.9}, 10, True)
    assert found.samples["latency_ms"].tolist() == [1.0, 2.0]
    assert [item.name for item in found.items] == [stores.CANDIDATE, stores.METRICS, stores.MANIFEST]
    assert {path.name for path in store.folder.iterdir()} == {item.sha256.partition(":")[2] for item in store.items}


def test_the_same_evidence_has_the_same_names(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    assert filled(tmp_path / "a").items == filled(tmp_path / "b").items


def flip(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"1", b"0", 1))


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize(
    ("tamper", "message"),
    [(flip, "was changed"), (lambda path: path.write_bytes(b""), "was changed"), (Path.unlink, "is missing")],
    ids=["a byte", "emptied", "removed"],
)
def test_changed_evidence_is_refused(
    which: int, tamper: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    store = filled(tmp_path)
    tamper(store.folder / store.items[which].sha256.partition(":")[2])
    with pytest.raises(InvalidInput, match=message):
        stores.load(store.folder, store.items)


def test_evidence_that_another_file_replaces_by_name_is_refused(tmp_path: Path) -> None:
    store = filled(tmp_path)
    names = [store.folder / item.sha256.partition(":")[2] for item in store.items]
    names[1].write_bytes(names[2].read_bytes())
    with pytest.raises(InvalidInput, match="was changed"):
        stores.load(store.folder, store.items)


def test_a_path_in_place_of_a_digest_reads_nothing_outside(tmp_path: Path) -> None:
    store = filled(tmp_path)
    (tmp_path / "outside").write_bytes(b"{}")
    from gates.verdict import EvidenceItem

    for digest in ("sha256:../outside", "sha256:/etc/hostname", "sha256:", ""):
        with pytest.raises(InvalidInput):
            stores.load(store.folder, [EvidenceItem(stores.METRICS, digest)])


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "evidence").write_text("a file is in the way")
    with pytest.raises(Unavailable, match="cannot write"):
        stores.Store(tmp_path).add_bytes("x", b"y")


@pytest.mark.parametrize("absent", [True, False])
def test_who_was_absent_is_kept(tmp_path: Path, *, absent: bool) -> None:
    store = stores.Store(tmp_path)
    store.add_manifest(stores.Manifest(champion_absent=absent, reference_absent=not absent))
    found = stores.load(store.folder, store.items)
    assert (found.champion_absent, found.reference_absent) == (absent, not absent)


def test_what_the_user_s_tools_wrote_is_told_from_what_we_did() -> None:
    names = {
        stores.METRICS: True,
        f"{stores.FINDINGS}scan.sarif": True,
        stores.CANDIDATE: False,
        stores.MANIFEST: False,
    }
    assert {name: stores.self_reported(name) for name in names} == names
