"""The local registry keeps bytes, versions and aliases as promised, on real MLflow over SQLite and over HTTP."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from gates.backends.local.registry import DIGEST_TAG, Registry
from gates.backends.local.tracking import tracking
from gates.errors import Conflict, InvalidInput, Refused, Unavailable
from gates.lineage.digest import model_digest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest.importorskip("mlflow")


@pytest.fixture(scope="module", params=["sqlite", "http"])
def registry(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    state = tmp_path_factory.mktemp(f"state {request.param}")
    uri = f"sqlite:///{state}/mlflow.db"
    if request.param == "sqlite":
        yield Registry(uri, state_dir=state)
        return
    with tracking(uri, state_dir=state, env=dict(os.environ)) as server:
        yield Registry(server.uri, state_dir=state / "client")


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    return request.node.name.replace("[", "-").replace("]", "")[:60]  # type: ignore[no-any-return]  # pytest types it Any


def folder(path: Path, text: str) -> Path:
    """A folder that looks like an MLflow model; the registry never loads one."""
    (path / "data").mkdir(parents=True)
    (path / "MLmodel").write_text(f"flavors: {{}}\nmlflow_version: 3.0\n# {text}\n")
    (path / "data" / "weights ü.bin").write_bytes(text.encode() * 100)
    return path


def test_a_version_keeps_the_bytes_and_is_made_once(registry: Registry, tmp_path: Path, name: str) -> None:
    model = folder(tmp_path / "model", "one")
    assert registry.versions(name) == ()
    assert registry.find(name, "champion") is None
    first, new = registry.register(name, model, tags={"stage": "validate"})
    assert new
    assert (first.version, first.digest, first.tags["stage"]) == ("1", model_digest(model), "validate")
    assert first.uri == f"models:/{name}/1"
    again, new = registry.register(name, folder(tmp_path / "copy", "one"))
    assert not new
    assert again.version == "1"
    second, new = registry.register(name, folder(tmp_path / "other", "two"))
    assert (second.version, new) == ("2", True)
    assert [v.version for v in registry.versions(name)] == ["1", "2"]
    found = registry.by_digest(name, first.digest)
    assert found is not None
    assert found.version == "1"
    assert registry.by_digest(name, "sha256:" + "0" * 64) is None

    fetched = registry.fetch(first, tmp_path / "fetched")
    assert model_digest(fetched) == first.digest
    assert sorted(p.name for p in fetched.iterdir()) == ["MLmodel", "data"]
    with pytest.raises(InvalidInput, match="is not empty"):
        registry.fetch(first, fetched)


def test_versions_are_numbers_not_text(registry: Registry, tmp_path: Path, name: str) -> None:
    for number in range(1, 12):
        registry.register(name, folder(tmp_path / str(number), f"model {number}"))
    assert [v.version for v in registry.versions(name)] == [str(n) for n in range(1, 12)]


def test_an_alias_moves_only_from_where_it_was_expected(registry: Registry, tmp_path: Path, name: str) -> None:
    for text in ("one", "two"):
        registry.register(name, folder(tmp_path / text, text))
    with pytest.raises(Conflict, match="points at nothing, not at 1"):
        registry.set_alias(name, "champion", "2", expected="1")
    registry.set_alias(name, "champion", "1", expected=None)
    registry.set_alias(name, "champion", "1", expected="7")  # it is there already: no effect
    found = registry.find(name, "champion")
    assert found is not None
    assert (found.version, found.aliases) == ("1", ("champion",))
    with pytest.raises(Conflict, match="points at 1, not at nothing"):
        registry.set_alias(name, "champion", "2", expected=None)
    with pytest.raises(InvalidInput, match="has no version 9"):
        registry.set_alias(name, "champion", "9", expected="1")
    registry.set_alias(name, "champion", "2", expected="1")
    assert [v.aliases for v in registry.versions(name)] == [(), ("champion",)]
    registry.set_alias(name, "champion", None, expected="2")
    assert registry.find(name, "champion") is None


def test_of_two_who_move_the_alias_at_once_one_wins(registry: Registry, tmp_path: Path, name: str) -> None:
    for text in ("one", "two", "three"):
        registry.register(name, folder(tmp_path / text, text))
    registry.set_alias(name, "champion", "1", expected=None)
    ends: list[str] = []

    def move(version: str) -> None:
        other = Registry(registry.uri, state_dir=registry._state)
        try:
            other.set_alias(name, "champion", version, expected="1")
            ends.append("moved")
        except Conflict:
            ends.append("conflict")

    threads = [threading.Thread(target=move, args=(version,)) for version in ("2", "3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ends) == ["conflict", "moved"]


def test_tags_are_added_and_the_digest_is_not_one_to_set(registry: Registry, tmp_path: Path, name: str) -> None:
    version, _ = registry.register(name, folder(tmp_path / "model", "one"), tags={"a": "1"})
    registry.set_tags(version, {"b": "2"})
    found = registry.get(name, "1")
    assert found is not None
    assert {key: found.tags[key] for key in ("a", "b")} == {"a": "1", "b": "2"}
    with pytest.raises(InvalidInput, match="set by register alone"):
        registry.set_tags(version, {DIGEST_TAG: "sha256:0"})


def test_names_that_cannot_be_are_refused(registry: Registry, tmp_path: Path) -> None:
    for name in ("", "a/b", "a:1", "x' or name='y", "a" * 300):
        with pytest.raises(InvalidInput, match="model name"):
            registry.versions(name)
    with pytest.raises(InvalidInput, match="not a number"):
        registry.get("model", "latest")
    assert registry.get("never-registered", "1") is None


def test_bytes_that_changed_after_registration_are_refused(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", state_dir=tmp_path)
    version, _ = registry.register("model", folder(tmp_path / "model", "one"))
    kept = next((tmp_path / "models" / "model").iterdir())
    (kept / "MLmodel").write_text("tampered")
    with pytest.raises(Refused, match="are not those that were registered"):
        registry.fetch(version, tmp_path / "fetched")
    assert not (tmp_path / "fetched").exists()
    again, new = registry.register("model", tmp_path / "model")
    assert not new
    for path in sorted(kept.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    kept.rmdir()
    with pytest.raises(Unavailable, match="are gone"):
        registry.fetch(again, tmp_path / "fetched")


def test_what_mlflow_adds_to_a_download_is_taken_away(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/mlflow.db", state_dir=tmp_path)
    version, _ = registry.register("model", folder(tmp_path / "model", "one"))
    kept = next((tmp_path / "models" / "model").iterdir())
    (kept / "registered_model_meta").write_text("model_name: model\n")
    fetched = registry.fetch(version, tmp_path / "fetched")
    assert model_digest(fetched) == version.digest


def test_a_database_that_is_none_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("not a database, but long enough to look at" * 100)
    with pytest.raises(Unavailable, match="cannot be had"):
        Registry(f"sqlite:///{tmp_path}/mlflow.db", state_dir=tmp_path).versions("model")
