"""Generated files are fresh, and a change of a declared input makes them stale."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from gates.steps import train

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def sync() -> Any:
    spec = importlib.util.spec_from_file_location("sync", ROOT / ".ci" / "sync.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_generated_file_is_fresh(sync: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert sync.main(["--check"]) == 0, capsys.readouterr().err


def test_a_changed_help_text_makes_the_action_stale_and_the_mend_is_said(
    sync: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    declared = train.Inputs.__dataclass_fields__["job"].metadata["option"]
    monkeypatch.setitem(declared, "help", "Something else.")
    assert sync.main(["--check"]) == 1
    said = capsys.readouterr().err
    assert "stale: actions/train/action.yml; run `python .ci/sync.py` and commit the result" in said


def test_a_lost_file_is_stale_and_is_written(
    sync: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(sync, "ROOT", tmp_path)
    monkeypatch.setattr(sync, "generated", lambda: {tmp_path / "a" / "action.yml": "x\n"})
    assert sync.main(["--check"]) == 1
    assert not (tmp_path / "a").exists(), "--check writes nothing"
    assert sync.main([]) == 0
    assert (tmp_path / "a" / "action.yml").read_text() == "x\n"
    assert sync.main(["--check"]) == 0


def test_no_action_has_a_default_that_would_hide_mlops_yml(sync: Any) -> None:
    for path, text in sync.generated().items():
        if path.name == "action.yml" and path.parent.name != "setup":
            defaults = [line.strip() for line in text.splitlines() if line.strip().startswith("default:")]
            assert set(defaults) == {'default: ""'}, path
