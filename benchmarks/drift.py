"""Drift against the limit (read and sort) and against peers, on the same files, interleaved, each in its own process.

Run: `python -m benchmarks.drift --sizes S,M,M2rows,M2cols,L,XL --runs 3 --peers`

CPU seconds are of the whole process, start-up included, after one run that is thrown away; memory is its largest
resident size. `--peers` makes an environment for each of them; without it, those of `--peer NAME=PYTHON` run. Ours and
the limit are told about the processor as `gates` tells itself (`gates.runtime.processor`); the scipy loop runs as it
comes, and once more so told. The last table says which goals are met; the exit code follows it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks import drift_peers
from gates.runtime import processor

READ_AND_SORT = """
import sys
import numpy as np, pyarrow.parquet as pq
sort, files = sys.argv[1] == 'sort', sys.argv[2:]
for name in pq.ParquetFile(files[0]).schema_arrow.names:
    for path in files:
        file, parts = pq.ParquetFile(path), []
        for i in range(file.num_row_groups):
            for a in file.read_row_group(i, columns=[name], use_threads=False).column(0).chunks:
                if str(a.type) != 'string':
                    kind = np.float64 if str(a.type) == 'double' else np.int64
                    parts.append(np.frombuffer(a.buffers()[1], dtype=kind)[a.offset:a.offset + len(a)])
        if parts:
            column = np.concatenate(parts)
            if sort:
                column.sort()
"""
OURS = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from gates.drift.source import open_source
from gates.drift.profile import Profile
from gates.drift.scan import scan
from gates.drift.decide import decide
reference, current, report, threads, memory = sys.argv[1:]
where = Path(reference)
ref = Profile.from_bytes(where.read_bytes()) if where.suffix == '.gates' else open_source(where)
found = scan(ref, open_source(current), threads=int(threads), memory=int(memory))
rows = [decision.to_json() for decision in decide(found)]
Path(report).write_text(json.dumps({'columns': rows, 'found': [asdict(c) for c in found]}))
print(sorted({c.method for c in found}))
"""
PROFILE = """
import sys
from pathlib import Path
from gates.drift.source import open_source
from gates.drift.profile import build
Path(sys.argv[2]).write_bytes(build(open_source(sys.argv[1])).to_bytes())
"""
SCIPY = """
import sys
import numpy as np, pandas as pd
from scipy import stats
a, b = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
for name in a.columns:
    if a[name].dtype.kind in 'if':
        x, y = a[name].dropna().to_numpy(), b[name].dropna().to_numpy()
        stats.ks_2samp(x, y)
        stats.wasserstein_distance(x, y)
        edges = np.unique(np.quantile(x, np.linspace(0, 1, 11)))
        p, q = np.histogram(x, edges)[0] / len(x) + 1e-6, np.histogram(y, edges)[0] / len(y) + 1e-6
        ((q - p) * np.log(q / p)).sum()
    else:
        stats.chi2_contingency(pd.concat([a[name].value_counts(), b[name].value_counts()], axis=1).fillna(0).T)
"""
PEERS = {
    "evidently": """
import sys
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
a, b = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
Report([DataDriftPreset()]).run(b, a).dict()
""",
    "nannyml": """
import sys
import pandas as pd, nannyml as nml
a, b = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
calculator = nml.UnivariateDriftCalculator(column_names=list(a.columns), chunk_number=1,
    continuous_methods=['kolmogorov_smirnov', 'jensen_shannon', 'wasserstein'],
    categorical_methods=['chi2', 'jensen_shannon'])
calculator.fit(a).calculate(b).to_df()
""",
    "alibi-detect": """
import sys
import numpy as np, pandas as pd
from alibi_detect.cd import TabularDrift
a, b = pd.read_parquet(sys.argv[1]), pd.read_parquet(sys.argv[2])
n = min(len(a), len(b))
codes = {}
for i, name in enumerate(a.columns):
    if a[name].dtype.kind not in 'if':
        words = sorted(set(a[name]) | set(b[name]))
        a[name], b[name] = (pd.Categorical(side[name], words).codes for side in (a, b))
        codes[i] = None
TabularDrift(a.fillna(0).to_numpy(), p_val=.05, categories_per_feature=codes).predict(b.fillna(0).to_numpy())
""",
}
MEMORY = {"XL": 1 << 30}
COMMAND = "from gates.cli import main; main()"
MLOPS = (
    "version: 1\nmodel: bench\npolicy: policy.yml\ndrift: {reference: reference.parquet, current: current.parquet}\n"
)
POLICY = """\
version: 1
name: bench
stages:
  drift:
    checks: [{id: features, type: drift, effect: {psi_max: 0.2, ks_max: 0.1}, max_drifted_share: 0.2}]
"""
TOLD = processor.settings({})
"""Environment of ours and of the limit."""
GOALS_MB = {"M": 250, "L": 450}


@dataclass(frozen=True)
class Contender:
    """told: whether it knows of the processor. cwd: None is the checkout's folder."""

    python: str
    code: str
    args: tuple[str, ...]
    told: bool = True
    cwd: Path | None = None
    allowed: tuple[int, ...] = (0,)


def run(one: Contender) -> tuple[float, float, float]:
    """CPU seconds, wall seconds, largest resident megabytes of one process."""
    env = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONDONTWRITEBYTECODE", "NPY_DISABLE_CPU_FEATURES")
    }
    env |= {"OPENBLAS_NUM_THREADS": "1", "NML_DISABLE_USAGE_LOGGING": "1", "PYTHONPATH": str(Path.cwd())}
    env |= {"PYTHONPYCACHEPREFIX": "/tmp/gates-drift-pyc", **(TOLD if one.told else {})}
    start = time.perf_counter()
    child = subprocess.Popen(
        [one.python, "-W", "ignore", "-c", one.code, *one.args], env=env, cwd=one.cwd, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )  # fmt: skip
    said = child.stderr.read() if child.stderr else b""
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) not in one.allowed:
        raise SystemExit(f"a contender failed with status {status}: {said.decode(errors='replace')[-500:]}")
    scale = 1e6 if sys.platform == "darwin" else 1e3
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / scale


def contenders(size: str, folder: Path, peers: dict[str, str]) -> dict[str, Contender]:
    # in a process of its own: a child starts with the largest size that this one ever had
    subprocess.run([sys.executable, "-m", "benchmarks.drift_data", str(folder), size], check=True, stdout=sys.stderr)
    ref, cur = str(folder / f"{size}-reference.parquet"), str(folder / f"{size}-current.parquet")
    profile, report = str(folder / f"{size}.gates"), str(folder / f"{size}-report.json")
    me, memory = sys.executable, str(MEMORY.get(size, 2 << 30))
    found = {
        "read the pair": Contender(me, READ_AND_SORT, ("read", ref, cur)),
        "limit: read and sort": Contender(me, READ_AND_SORT, ("sort", ref, cur)),
        "ours": Contender(me, OURS, (ref, cur, report, "1", memory)),
    }
    if size != "XL":
        run(Contender(me, PROFILE, (ref, profile)))
        found["read and sort the current data"] = Contender(me, READ_AND_SORT, ("sort", cur))
        found["ours, stored profile"] = Contender(me, OURS, (profile, cur, report, "1", memory))
        found["ours, two threads"] = Contender(me, OURS, (ref, cur, report, "2", memory))
    if size in ("S", "M"):
        found["gates drift-check"] = command(folder / f"{size}-project", ref, cur)
        found["scipy loop"] = Contender(me, SCIPY, (ref, cur), told=False)
        found["scipy loop, told"] = Contender(me, SCIPY, (ref, cur))
        found |= {name: Contender(python, PEERS[name], (ref, cur), told=False) for name, python in peers.items()}
    return found


def command(project: Path, ref: str, cur: str) -> Contender:
    """The whole command on a project of its own: policy, verdict, report in every form. 1 is drift found."""
    project.mkdir(exist_ok=True)
    (project / "mlops.yml").write_text(MLOPS)
    (project / "policy.yml").write_text(POLICY)
    for name, path in (("reference", ref), ("current", cur)):
        link = project / f"{name}.parquet"
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return Contender(sys.executable, COMMAND, ("drift-check",), told=False, cwd=project, allowed=(0, 1))


def measure(size: str, folder: Path, peers: dict[str, str], runs: int) -> dict[str, tuple[float, float, float]]:
    """Medians over interleaved runs, the first of which is thrown away."""
    racing = contenders(size, folder, peers)
    seen: dict[str, list[tuple[float, float, float]]] = {name: [] for name in racing}
    for number in range(runs + (size == "S")):  # S warms the caches of files and of compiled modules
        for name, one in racing.items():
            taken = run(one)
            print(f"{size}, run {number}, {name}: {taken[0]:.2f} CPU s, {taken[2]:.0f} MB", file=sys.stderr, flush=True)
            if number or size != "S":
                seen[name].append(taken)
    medians = {}
    for name, rows in seen.items():
        cpu, wall, memory = (statistics.median(values) for values in zip(*rows, strict=True))
        medians[name] = (cpu, wall, memory)
    return medians


def goals(results: dict[str, dict[str, tuple[float, float, float]]]) -> dict[str, tuple[float, float]]:
    """Goal: (measured, at most). Ratios of CPU seconds unless the name says otherwise."""
    found = {}

    def ratio(size: str, a: str, b: str, name: str, at_most: float) -> None:
        if a in results.get(size, {}) and b in results[size]:
            found[f"{size}: {name}"] = (results[size][a][0] / results[size][b][0], at_most)

    for size in ("M", "L"):
        ratio(size, "ours", "limit: read and sort", "against the limit", 1.5)
        ratio(size, "ours, stored profile", "read and sort the current data", "stored profile", 1.2)
        if size in results:
            found[f"{size}: peak MB, one thread"] = (results[size]["ours"][2], GOALS_MB[size])
    ratio("M", "ours", "scipy loop", "against a scipy loop", 1 / 8)
    ratio("M", "ours", "evidently", "against Evidently's default preset", 1 / 25)
    if "S" in results:
        found["S: seconds from start to written report"] = (results["S"]["gates drift-check"][1], 1.0)
    if "XL" in results:
        found["XL: peak MB, budget 1 GiB"] = (results["XL"]["ours"][2], MEMORY["XL"] / 1e6)
    for size, name, at_most in (("M2rows", "twice the rows", 2.3), ("M2cols", "twice the columns", 2.1)):
        if size in results and "M" in results:
            found[name] = (results[size]["ours"][0] / results["M"]["ours"][0], at_most)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="S,M")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/gates-drift"))
    parser.add_argument("--peers", action="store_true", help="make an environment for each peer, and race it")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    peers = drift_peers.chosen(options.peer, options.peers)
    options.folder.mkdir(parents=True, exist_ok=True)
    import numpy
    import pyarrow
    import scipy

    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}", end=", ")
    print(f"numpy {numpy.__version__}, pyarrow {pyarrow.__version__}, scipy {scipy.__version__}; runs: {options.runs}")
    print(f"told about the processor: {TOLD or 'nothing'}; not run: {', '.join(set(PEERS) - set(peers)) or 'none'}")
    for name, python in peers.items():
        print(drift_peers.versions(name, python))
    results = {}
    for size in options.sizes.split(","):
        results[size] = measure(size, options.folder, peers, options.runs)
        print(f"\n| {size} | CPU s | wall s | peak MB |\n| --- | --- | --- | --- |")
        for name, (cpu, wall, memory) in results[size].items():
            print(f"| {name} | {cpu:.2f} | {wall:.2f} | {memory:.0f} |", flush=True)
    table = goals(results)
    print("\n| goal | measured | at most | met |\n| --- | --- | --- | --- |")
    for name, (value, at_most) in table.items():
        print(f"| {name} | {value:.3g} | {at_most:.3g} | {'yes' if value <= at_most else 'NO'} |")
    if options.json:
        options.json.write_text(json.dumps({"results": results, "goals": table}, indent=1))
    return 0 if all(value <= at_most for value, at_most in table.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
