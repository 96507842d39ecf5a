"""Runs workflows of a throw-away repository under act, on the host, against a clean export of this work tree.

act runs the work tree that `--local-repository` names, so the export is what a release would hold: what git tracks or
would track. One HOME and one tool cache serve a whole session, as on a runner that stands.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parents[2]
CHECKOUT = "actions/checkout@11bd71901bbe5b1630ceea73d27597364c9af683"
POLICY = """\
version: 1
name: small
revision: 1
owner: tests
stages:
  validate:
    checks:
      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.9, decide_on: point}
"""
INHERITED = ("PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")


@dataclass(frozen=True)
class ActRun:
    """What act told: its events, one a line; `raw` is all that it printed."""

    code: int
    events: tuple[dict[str, Any], ...]
    raw: str

    def outputs(self, step: str) -> dict[str, str]:
        """The outputs of a step of the workflow, by its id."""
        return {str(e["name"]): str(e["arg"]) for e in self.events
                if e.get("command") == "set-output" and e.get("stepID") == [step]}  # fmt: skip

    def log(self, step: str = "") -> str:
        """What the step's processes printed; of all steps without a name."""
        return "".join(str(e["msg"]) for e in self.events
                       if e.get("raw_output") and (not step or (e.get("stepID") or [""])[0] == step))  # fmt: skip

    def summary(self, step: str = "") -> str:
        found = (e for e in self.events if e.get("command") == "summary")
        return "".join(str(e["content"]) for e in found if not step or (e.get("stepID") or [""])[0] == step)

    def result(self, step: str) -> str:
        found = [e["stepResult"] for e in self.events if "stepResult" in e and e.get("stepID") == [step]
                 and e.get("stage") == "Main"]  # fmt: skip
        return str(found[-1]) if found else "not run"

    def commands(self, name: str) -> list[dict[str, Any]]:
        """The workflow commands that the runner obeyed, e.g. `error`, `set-env`."""
        return [e for e in self.events if e.get("command") == name]


@dataclass(frozen=True)
class Rig:
    """A runner: act, the export, and the folders that last."""

    act: str
    export: Path
    home: Path

    def env(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in os.environ if name in INHERITED or name.startswith(("PIP_", "UV_"))}
        tools = str(Path(sys.executable).parent)
        return kept | {"HOME": str(self.home), "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}

    def run(
        self,
        repository: Path,
        *,
        event: str = "workflow_dispatch",
        arguments: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        timeout: float = 240,
    ) -> ActRun:
        """Commit what the repository holds and run its workflow for `event`."""
        commit(repository)
        command = [
            self.act, event, "--platform", "ubuntu-latest=-self-hosted", "--no-cache-server", "--json",
            "--local-repository", f"acme/mlops-gates@v1={self.export}",
            "--local-repository", f"ORG/mlops-gates@v1={self.export}", *arguments,
        ]  # fmt: skip
        done = subprocess.run(
            command, cwd=repository, env=self.env() | dict(env or {}), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout, check=False,
        )  # fmt: skip
        raw = done.stdout.decode("utf-8", "replace")
        events = tuple(json.loads(line) for line in raw.split("\n") if line.startswith("{"))
        return ActRun(done.returncode, events, raw)


def export(target: Path) -> Path:
    """This work tree without tests and without anything that was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, check=True,
        capture_output=True,
    )  # fmt: skip
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("tests/", "docs/", "examples/")):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    return target


def repository(target: Path, workflow: str = "", *, policy: str = POLICY, accuracy: object = 0.95) -> Path:
    """A repository of somebody else's, with a project that is gated on a metrics file."""
    (target / ".github/workflows").mkdir(parents=True)
    (target / "mlops.yml").write_text("version: 1\nmodel: small\n", encoding="utf-8")
    (target / "policy.yml").write_text(policy, encoding="utf-8")
    (target / "metrics.json").write_text(json.dumps({"metrics": {"accuracy": accuracy}, "n": 4000}), encoding="utf-8")
    if workflow:
        (target / ".github/workflows/w.yml").write_text(workflow, encoding="utf-8")
    git(target, "init", "--quiet", "--initial-branch=main")
    git(target, "remote", "add", "origin", "https://github.com/acme/example")
    return target


def job(steps: str) -> str:
    """A workflow of one job that checks out and then does `steps` (indented by six)."""
    return (
        "on: {workflow_dispatch: {}}\npermissions: {}\njobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n"
        f"      - uses: {CHECKOUT}\n{steps}"
    )


def commit(folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=As it is")


def git(folder: Path, *arguments: str) -> None:
    identity = ["-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)
