"""The peers of the drift benchmarks, each at a fixed version in an environment of its own, made here when missing.

Run: `python -m benchmarks.drift_peers FOLDER` makes them all; the benchmarks call `interpreter`. A peer pins its own
numpy and pandas, so that one environment could not hold two of them.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import venv
from pathlib import Path

REQUIREMENTS = {
    "evidently": ("evidently==0.7.23", "pandas==2.3.3", "numpy==2.4.6", "scipy==1.17.1", "pyarrow==26.0.1"),
    "nannyml": (
        "nannyml==0.13.1",
        "statsmodels==0.15.0",
        "pandas==2.3.3",
        "numpy==1.26.4",
        "scipy==1.17.1",
        "pyarrow==17.0.0",
    ),
    "alibi-detect": ("alibi-detect==0.13.0", "pandas==2.3.3", "numpy==1.26.4", "scipy==1.17.1", "pyarrow==17.0.0"),
}
FOLDER = Path("/tmp/gates-drift-peers")


def interpreter(name: str, folder: Path = FOLDER) -> Path:
    """The Python of the peer's environment; made and filled on the first call, and when the requirements changed."""
    wanted = REQUIREMENTS[name]
    where = folder / f"{name}-{hashlib.sha256(' '.join(wanted).encode()).hexdigest()[:8]}"
    python, done = where / "bin" / "python", where / "done"
    if not done.exists():
        print(f"making the environment of {name} in {where}", file=sys.stderr)
        venv.create(where, with_pip=True, clear=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *wanted], check=True, stdout=sys.stderr)
        done.write_text("\n".join(wanted) + "\n")
    return python


def chosen(given: list[str], everyone: bool) -> dict[str, str]:
    """Interpreters by name: those given as NAME=PYTHON, and with `everyone` the rest made here."""
    peers = dict(peer.split("=", 1) for peer in given)
    if everyone:
        peers |= {name: str(interpreter(name)) for name in REQUIREMENTS if name not in peers}
    return peers


def versions(name: str, python: str) -> str:
    """What the environment holds of what matters, as one line."""
    code = (
        "import importlib.metadata as m, sys; "
        "print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]), 'on Python', sys.version.split()[0])"
    )
    names = (name, "pandas", "numpy", "scipy", "pyarrow")
    return subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    for peer in REQUIREMENTS:
        print(peer, interpreter(peer, Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER))
