"""A project small enough for a unit test: a policy over a metrics file, predictions, data, and drift between files.

`make()` writes it, `gates()` runs one command on it in this process, as `cli.main` would.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates import cli

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

MLOPS = """\
version: 1
model: small
policy: policy.yml
evaluate:
  data: data.csv
  target: y
  positive_label: 1
  sensitive: [g]
drift:
  reference: reference.csv
  current: current.csv
"""
VALIDATE = "  validate:\n    checks:\n      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.85}\n"
DRIFT = (
    "  drift:\n    checks:\n      - {id: features, type: drift, min_samples: 20}\n"
    "    retrain: {on_drift: true, on_performance_drop: 0.03, on_age: 30d}\n"
)
POLICY = f"version: 1\nname: small\nstages:\n{VALIDATE}{DRIFT}"
JOB = "$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json\ntype: command\ncommand: 'true'\n"


@dataclass(frozen=True)
class Ran:
    """What a command left behind. `outputs` are those of outputs.json, None where there is none."""

    exit_code: int
    out: str
    err: str
    outputs: dict[str, str] | None

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("error: ")]


def make(folder: Path, *, policy: str = POLICY, mlops: str = MLOPS, metrics: str = '{"accuracy": 0.91}') -> Path:
    """Write the project into `folder` and return it."""
    rows = [
        (i % 2, i % 2 if i % 10 else 1 - i % 2, 0.9 if i % 2 else 0.1, "a" if i % 4 < 2 else "b") for i in range(200)
    ]
    files = {
        "mlops.yml": mlops,
        "policy.yml": policy,
        "metrics.json": metrics,
        "job.yml": JOB,
        "data.csv": "x,y,g\n" + "".join(f"{i % 17},{y},{g}\n" for i, (y, _, _, g) in enumerate(rows)),
        "predictions.csv": "y,prediction,score,g\n" + "".join(f"{y},{p},{s},{g}\n" for y, p, s, g in rows),
        "reference.csv": "x\n" + "".join(f"{i % 17}\n" for i in range(300)),
        "current.csv": "x\n" + "".join(f"{i % 17}\n" for i in range(200)),
        "shifted.csv": "x\n" + "".join(f"{i % 17 + 9}\n" for i in range(200)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def gates(folder: Path, capsys: pytest.CaptureFixture[str], line: str, *more: str, **env: str) -> Ran:
    """Run `gates LINE MORE…` in `folder`, with nothing in the environment but PATH and `env`."""
    argv = [*line.split(), *more]
    capsys.readouterr()
    code = cli.run(argv, {"PATH": "/usr/bin:/bin", **env}, folder)
    said = capsys.readouterr()
    return Ran(code, said.out, said.err, outputs_of(folder, line))


def outputs_of(folder: Path, line: str) -> dict[str, str] | None:
    path = folder / ".gates" / "reports" / line.split()[0] / "outputs.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def report_of(folder: Path, step: str = "validate-gate") -> dict[str, Any]:
    found: Mapping[str, Any] = json.loads(
        (folder / ".gates/reports" / step / "report.json").read_text(encoding="utf-8")
    )
    return dict(found)
