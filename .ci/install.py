"""Fills the checkout's own .venv from lock/dev.txt and makes `gates` a command of it: with uv, as pip is configured."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gates.runtime import environments, indexes  # noqa: E402  # the library beside this script


def main() -> int:
    env = environments.clean(dict(os.environ))
    settings = indexes.read(env, sys.prefix)
    env |= indexes.uv_environment(settings, env)
    uv = [str(Path(sys.executable).parent / "uv"), "pip", "install", "--quiet", "--python", sys.executable]
    asked = indexes.uv_arguments(settings, env)
    subprocess.run([*uv, *asked, "--require-hashes", "-r", str(ROOT / "lock/dev.txt")], env=env, check=True)
    subprocess.run([*uv, *asked, "--no-deps", "--editable", str(ROOT)], env=env, check=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
