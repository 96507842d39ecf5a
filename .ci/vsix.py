"""Builds the Azure DevOps extension: `python .ci/vsix.py` writes dist/mlops-gates-VERSION.vsix; `make vsix` calls it.

A task is downloaded alone, so each holds all that it needs: the bundled shim, the library's source with its lock files
and setup.py. esbuild and tfx are those of ado-tasks/package-lock.json. tfx says 'Completed' over an invalid task, so
its warnings are errors here, and lint_tasks.check() looks at what it does not.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / ".ci")]

import lint_tasks  # noqa: E402  # beside this script
import nodes  # noqa: E402  # same

from gates import __version__  # noqa: E402  # the library beside this script

TASKS = ROOT / "ado-tasks"
MODULES = TASKS / "node_modules"
THIRD_PARTY = "THIRD-PARTY.txt"
LIBRARY = ("gates", "lock/gate.txt", "lock/stats.txt", "lock/local.txt", "lock/azure.txt", "actions/setup/setup.py")


def main() -> int:
    try:
        print(build(ROOT / "dist", ROOT / "build" / "vsix"))
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def build(target: Path, work: Path) -> Path:
    """The extension's file, in `target`; `work` is emptied. Raises ValueError for a finding, OSError for what lacks."""
    node = nodes.find("24")
    shutil.rmtree(work, ignore_errors=True)
    stage(work, node)
    found = [line for task in sorted(work.glob("*/task.json")) for line in lint_tasks.check(task)]
    if found:
        raise ValueError("\nerror: ".join(found))
    return pack(work, target, node)


def stage(work: Path, node: Path) -> None:
    """The extension's folder as tfx wants it."""
    for name in ("images", "overview.md"):
        (shutil.copytree if (TASKS / name).is_dir() else shutil.copy2)(TASKS / name, _parent(work / name))
    shutil.copy2(ROOT / "LICENSE", work / "LICENSE")
    bundle = shim(work, node)
    tasks = sorted(path.parent for path in TASKS.glob("*/task.json"))
    for task in tasks:
        folder = work / task.name
        shutil.copytree(task, folder)
        shutil.copy2(bundle, folder / "index.js")
        shutil.copy2(TASKS / "images/task.png", folder / "icon.png")
        shutil.copy2(work / THIRD_PARTY, folder / THIRD_PARTY)
        for name in LIBRARY:
            library(folder / "library", name)
    bundle.unlink()
    manifest = json.loads((TASKS / "vss-extension.json").read_text(encoding="utf-8"))
    manifest["version"] = __version__
    manifest["files"] = [{"path": task.name} for task in tasks]
    manifest["files"] += [{"path": "images", "addressable": True}, {"path": THIRD_PARTY}]
    manifest["contributions"] = [
        {"id": task.name.removesuffix("V1").lower(), "type": "ms.vss-distributed-task.task",
         "targets": ["ms.vss-distributed-task.tasks"], "properties": {"name": task.name}} for task in tasks
    ]  # fmt: skip
    (work / "vss-extension.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def library(target: Path, name: str) -> None:
    """A file or folder of ours, without what running it leaves behind."""
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    if (ROOT / name).is_dir():
        shutil.copytree(ROOT / name, target / name, ignore=ignored)
    else:
        shutil.copy2(ROOT / name, _parent(target / name))


def shim(work: Path, node: Path) -> Path:
    """The shim and what it needs in one file that runs on Node 20; beside it the licences of what is inside."""
    target, meta = work / "index.js", work / "meta.json"
    _run(node, MODULES / "esbuild/bin/esbuild", TASKS / "shim.js", "--bundle", "--platform=node", "--target=node20",
         "--minify", f"--outfile={target}", f"--metafile={meta}", "--log-level=warning")  # fmt: skip
    inside = json.loads(meta.read_text(encoding="utf-8"))["inputs"]
    meta.unlink()
    names = sorted({match[1] for name in inside if (match := re.match(r".*node_modules/((?:@[^/]+/)?[^/]+)/", name))})
    (work / THIRD_PARTY).write_text("".join(_licence(name) for name in names), encoding="utf-8")
    return target


def _licence(name: str) -> str:
    """A package's own licence text; what has none in its folder says it in package.json."""
    folder = MODULES / name
    found = sorted(path for path in folder.iterdir() if path.name.upper().startswith(("LICENSE", "LICENCE")))
    said = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    text = found[0].read_text(encoding="utf-8") if found else f"{said.get('license')}\n"
    return f"{name} {said['version']}\n\n{text.strip()}\n\n{'-' * 80}\n"


def pack(work: Path, target: Path, node: Path) -> Path:
    """Let tfx make the file. Raises ValueError for any of its warnings."""
    file = target / f"mlops-gates-{__version__}.vsix"
    said = _run(node, MODULES / "tfx-cli/_build/tfx-cli.js", "extension", "create", "--root", work, "--manifests",
                work / "vss-extension.json", "--output-path", file, "--no-color", "--no-prompt")  # fmt: skip
    if "warning:" in said.lower():
        raise ValueError(f"tfx: {said.strip()}")
    return file


def _run(*command: object) -> str:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False,
                          env={**os.environ, "TFX_CLI_VERSION_CHECK": "0"})  # fmt: skip
    if done.returncode:
        raise ValueError(f"{Path(str(command[1])).name}: {(done.stderr or done.stdout).strip()}")
    return done.stdout + done.stderr


def _parent(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    sys.exit(main())
