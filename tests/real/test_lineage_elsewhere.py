"""On a registry that other machines see, a version's lineage travels with it: kept as artefacts beside the model's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gates.backends.local.backend import LocalBackend
from gates.backends.local.tracking import tracking
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("mlflow")
pytestmark = pytest.mark.xdist_group("lineage-elsewhere")


@pytest.fixture(scope="module")
def uri(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    state = tmp_path_factory.mktemp("server")
    with tracking(f"sqlite:///{state}/mlflow.db", state_dir=state, env=dict(os.environ)) as server:
        yield server.uri


def machine(state: Path, uri: str) -> LocalBackend:
    return LocalBackend(state, uri, None, dict(os.environ), lambda _: None)


def model(folder: Path, text: str) -> Path:
    folder.mkdir()
    (folder / "MLmodel").write_text(f"flavors: {{}}\n# {text}\n")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_another_machine_gets_the_lineage_of_now_from_an_mlflow_server(uri: str, tmp_path: Path) -> None:
    made, lineage = model(tmp_path / "model", "far"), tmp_path / "lineage"
    lineage.mkdir()
    (lineage / "lineage.intoto.jsonl").write_text("one\n")
    (lineage / "lineage.json").write_text("{}\n")
    here, there = machine(tmp_path / "here", uri), machine(tmp_path / "there", uri)
    assert here.shared
    version, new = here.register(
        "far", made, digest=model_digest(made), run_id="", tags={"gates.decision": "allow"}, lineage=lineage
    )
    assert new
    found = there.find("far", version="1")
    assert found is not None
    got = there.fetch_lineage(found, tmp_path / "there" / "lineage" / "x")
    assert got is not None
    assert files(got) == files(lineage)
    (lineage / "lineage.intoto.jsonl").write_text("one\ntwo\n")
    here.keep_lineage(version, lineage)
    later = machine(tmp_path / "later", uri).fetch_lineage(found, tmp_path / "later" / "x")
    assert later is not None
    assert files(later) == files(lineage)
    assert model_digest(there.fetch(found, tmp_path / "there" / "model")) == version.digest


def test_a_version_that_somebody_else_registered_has_no_lineage(uri: str, tmp_path: Path) -> None:
    backend = machine(tmp_path / "here", uri)
    made, _ = backend._registry.register("theirs", model(tmp_path / "model", "theirs"))
    found = backend.find("theirs", version=made.version)
    assert found is not None
    assert backend.fetch_lineage(found, tmp_path / "into") is None
