"""What starting up imports, to the module: the reason why help and a gate over a metrics file are quick.

Our modules are taken out of `sys.modules` and imported anew while every import statement of theirs is written down.
When a list here grows, the start has become slower for everybody: `python benchmarks/startup.py` says by how much.
"""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any

from small_project import make

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pytest

THIRD_PARTY = {"msgspec", "rfc8785", "yaml"}
HELP = {
    "gates", "gates.canonical", "gates.cli", "gates.confidential", "gates.document", "gates.errors", "gates.files",
    "gates.inputs", "gates.platforms", "gates.platforms.azure_devops", "gates.platforms.github",
    "gates.platforms.shell", "gates.platforms.text", "gates.project", "gates.reports", "gates.reports.distributions",
    "gates.reports.json", "gates.reports.markdown", "gates.reports.rollouts", "gates.runtime",
    "gates.runtime.processor", "gates.steps", "gates.steps.execute", "gates.steps.step", "gates.verdict",
}  # fmt: skip
HELP_ASKS = {
    "__future__", "argparse", "contextlib", "dataclasses", "datetime", "difflib", "enum", "getpass", "hashlib",
    "importlib", "importlib.util", "io", "json", "math", "os", "pathlib", "re", "secrets", "signal", "sys",
    "tempfile", "threading", "time", "traceback", "typing", "uuid",
}  # fmt: skip
GATE_ASKS = HELP_ASKS | {
    "base64", "binascii", "collections", "collections.abc", "concurrent.futures", "configparser", "fcntl", "html",
    "selectors", "shutil", "stat", "subprocess", "unicodedata", "xml.etree", "xml.sax.saxutils",
}  # fmt: skip
GATE_ROOMS = {
    "backends.local", "backends.azureml", "collect.importances", "drift", "lineage.verify", "runtime.worker",
    "stats.bootstrap",
}  # fmt: skip
"""What a gate over a metrics file must do without: whole rooms, and modules that load numpy."""


def imported(argv: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, set[str], set[str]]:
    """(exit code, modules of ours, names that they import from elsewhere) of one command, as in a new process."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "gates"]:
        monkeypatch.delitem(sys.modules, name)
    asked: set[str] = set()
    real = builtins.__import__

    def note(
        name: str, globals: Mapping[str, Any] | None = None, locals: Any = None, fromlist: Sequence[str] = (),  # noqa: A002  # as the builtin has them
        level: int = 0,
    ) -> Any:  # fmt: skip
        importer = str((globals or {}).get("__name__", ""))
        if importer.partition(".")[0] == "gates" and not level and name.partition(".")[0] != "gates":
            asked.add(name)
        return real(name, globals, locals, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", note)
    from gates import cli

    code = cli.run(argv, {"PATH": "/usr/bin:/bin"}, folder)
    ours = {name for name in sys.modules if name.partition(".")[0] == "gates"}
    for name in ours:
        monkeypatch.delitem(sys.modules, name)  # the former ones come back
    return code, ours, asked


def test_help_imports_exactly_this(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, ours, asked = imported(["--help"], tmp_path, monkeypatch)
    assert code == 0
    assert ours == HELP
    assert asked == HELP_ASKS | THIRD_PARTY


def test_a_gate_with_point_thresholds_over_a_metrics_file_imports_exactly_this(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = ["validate-gate", "--metrics", "metrics.json"]
    code, ours, asked = imported(line, make(tmp_path / "p"), monkeypatch)
    assert code == 0
    assert asked == GATE_ASKS | THIRD_PARTY
    unwanted = {room for room in GATE_ROOMS for name in ours if f"{name}.".startswith(f"gates.{room}.")}
    assert unwanted == set()


def test_an_import_of_numpy_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gate over predictions needs numpy, and this very test names it."""
    line = ["validate-gate", "--predictions", "predictions.csv"]
    _, _, asked = imported(line, make(tmp_path / "p"), monkeypatch)
    assert "numpy" in asked
