"""`make run`: the example's workflow, run by real GitHub Actions steps on this machine (act, host mode, no Docker).

A first model goes live, a better one takes over blue-green, a bad one is refused, the same population passes, a shifted
one raises drift. Shows progress, ends with a summary, the endpoint's answer to a sample request and the reports' paths,
and leaves nothing running; KEEP=1 keeps the endpoint.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "census-income"
SHOWN = ("register-v2", "deploy-v1", "deploy-v2", "gate-v1", "gate-v2", "gate-bad", "drift-same", "drift-shifted")


@dataclass
class Step:
    """One step of the workflow as act told of it."""

    name: str
    began: float
    result: str = ""
    seconds: float = 0.0
    outputs: dict[str, str] = field(default_factory=dict)


def main() -> int:
    run = Path(os.environ.get("RUN_DIR") or ROOT / ".run").absolute()
    state = run / "state"
    gates = [sys.executable, "-m", "gates"]
    stop = [*gates, "endpoint", "stop", "--config", str(EXAMPLE / "mlops.yml"), "--state-dir", str(state)]
    if state.exists():
        subprocess.run(stop, check=False, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for folder in (state, run / "repository", run / "mlops-gates"):
        shutil.rmtree(folder, ignore_errors=True)
    export(run / "mlops-gates")
    repository(run / "repository")
    began = time.monotonic()
    try:
        steps, code = act(run, state)
        report(steps, state, time.monotonic() - began)
        answer(state, gates)
    finally:
        if os.environ.get("KEEP") != "1":
            subprocess.run(stop, check=False, cwd=ROOT, stdout=subprocess.DEVNULL)
    print("The endpoint is kept: stop it with `gates endpoint stop`." if os.environ.get("KEEP") == "1"
          else "Nothing is left running; KEEP=1 keeps the endpoint.")  # fmt: skip
    if code:
        print(f"error: the workflow failed; act's own log is {run / 'act.jsonl'}", file=sys.stderr)
    return 1 if code else 0


def export(target: Path) -> None:
    """This work tree as a released action would be: what git tracks or would track, and nothing that was built."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source = ROOT / name
        if source.is_file() and not name.startswith("tests/"):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / name)


def repository(target: Path) -> None:
    """The example as a repository of its own, which uses the actions as anybody would."""
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns(".gates", "__pycache__"))
    git = ["git", "-c", "user.name=example", "-c", "user.email=example@localhost", "-c", "commit.gpgsign=false"]
    for command in (
        ["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "--message=The example"],
        ["remote", "add", "origin", "https://github.com/acme/census-income"],
    ):  # fmt: skip
        subprocess.run([*git, *command], cwd=target, check=True)


def act(run: Path, state: Path) -> tuple[dict[str, Step], int]:
    """Run the story; say each step as it begins and what it says; return the steps and act's exit code."""
    tools = Path(sys.executable).parent
    env = {**os.environ, "PATH": f"{tools}{os.pathsep}{os.environ['PATH']}"}
    env.setdefault("HOME", str(run / "home"))
    Path(env["HOME"]).mkdir(parents=True, exist_ok=True)
    command = [
        "act", "workflow_dispatch", "--workflows", ".github/workflows/story.yml", "--input", f"state-dir={state}",
        "--platform", "ubuntu-latest=-self-hosted", "--no-cache-server", "--json",
        "--local-repository", f"acme/mlops-gates@v1={run / 'mlops-gates'}",
    ]  # fmt: skip
    steps: dict[str, Step] = {}
    with (run / "act.jsonl").open("w", encoding="utf-8") as log, subprocess.Popen(
        command, cwd=run / "repository", env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            try:
                event = json.loads(line)
            except ValueError:
                print(f"  {line.rstrip()}", flush=True)
                continue
            follow(event, steps)
    return steps, process.returncode


def follow(event: dict[str, Any], steps: dict[str, Step]) -> None:
    ids, message = event.get("stepID") or [], str(event.get("msg", "")).rstrip()
    if event.get("stage") != "Main" or not ids:
        return
    if ids[0] not in steps:
        steps[ids[0]] = Step(str(event.get("step")), time.monotonic())
        print(f"\n▶ {event.get('step')}", flush=True)
    step = steps[ids[0]]
    if event.get("raw_output"):
        for line in message.splitlines():
            print(f"  {line[:200]}", flush=True)
    elif event.get("command") == "set-output" and len(ids) == 1:
        step.outputs[str(event["name"])] = str(event["arg"])
    elif "stepResult" in event and len(ids) == 1:
        step.result, step.seconds = str(event["stepResult"]), time.monotonic() - step.began


def report(steps: dict[str, Step], state: Path, seconds: float) -> None:
    """The summary that the README shows."""
    print(f"\n{'═' * 100}\nThe story of census-income, told by GitHub Actions under act in {seconds:.0f} s\n")
    for identity, step in steps.items():
        if "exit-code" not in step.outputs:
            continue
        code, outcome = step.outputs["exit-code"], step.outputs["outcome"]
        mark = "✓" if code == "0" else "✗"
        what = step.outputs["message"]
        if identity == "drift-shifted" and step.outputs.get("retrain") == "true":
            what = f"retrain: {step.outputs['retrain-reason']}"
        print(f"  {mark} {step.name:<34} {outcome:<8} exit {code}  {step.seconds:4.0f} s  {short(what)}")
    print(f"\nReports: {state / 'reports'}")
    for path in sorted((state / "reports").glob("*/report.json")):
        print(f"  {path.relative_to(state / 'reports')}")


def short(text: str, limit: int = 110) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def answer(state: Path, gates: list[str]) -> None:
    """What the endpoint says to the sample request, asked as a client would."""
    command = [*gates, "endpoint", "status", "--config", str(EXAMPLE / "mlops.yml"), "--state-dir", str(state)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if said.returncode:
        print(f"\nNo endpoint answers: {said.stderr.strip()}")
        return
    status = json.loads(said.stdout)
    body = (EXAMPLE / "deploy/sample.json").read_bytes()
    key = Path(status["key_file"]).read_text(encoding="utf-8").strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(status["url"], data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as reply:
        served = reply.headers["azureml-model-deployment"]
        print(f"\nPOST {status['url']} answers, from {served}:\n  {reply.read().decode()}\n")


if __name__ == "__main__":
    sys.exit(main())
