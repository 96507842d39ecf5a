"""False alarms and detection on the shifts of 'Failing Loudly' (Rabanser et al. 2019), by our default rule.

Run: `python -m benchmarks.failing_loudly [trials]`; with `--peers` the defaults of Evidently and alibi-detect judge the
same tables (1,000 rows; every table follows from its trial's number), each in an environment that is made for it.
Twenty numeric columns, one of ten classes, 5,000 reference rows. A trial raises an alarm when any column drifted;
Evidently's own rule, half of the columns, beside it. 'significance only' is the same scan judged without effect sizes:
what tools do that stop at a p-value. A shift below the effect limits is measured, and called drift only by tighter
limits ('tight': KS 0.05, PSI 0.05).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import drift_peers
from gates.drift.decide import decide
from gates.drift.scan import scan
from gates.drift.source import from_table

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gates.drift.found import ColumnDrift

COLUMNS = 20


@dataclass(frozen=True)
class Shift:
    """share: rows touched; noise: standard deviation added to them; knocked: share of class 0 that is removed."""

    share: float = 0.0
    noise: float = 0.0
    knocked: float = 0.0


SHIFTS = {
    "none": Shift(),
    "small noise (0.1 sd), 10 % of rows": Shift(0.1, 0.1),
    "small noise (0.1 sd), all rows": Shift(1.0, 0.1),
    "medium noise (1 sd), 50 % of rows": Shift(0.5, 1.0),
    "medium noise (1 sd), all rows": Shift(1.0, 1.0),
    "large noise (10 sd), 10 % of rows": Shift(0.1, 10.0),
    "large noise (10 sd), all rows": Shift(1.0, 10.0),
    "class 0 knocked out by 10 %": Shift(knocked=0.1),
    "class 0 knocked out by 50 %": Shift(knocked=0.5),
    "class 0 knocked out": Shift(knocked=1.0),
}


def draw(rng: np.random.Generator, rows: int, shift: Shift) -> pa.Table:
    """Each class has its own mean in every column, so that a knock-out moves the columns too."""
    classes: NDArray[Any] = rng.integers(0, 10, rows * 2)
    classes = classes[(classes != 0) | (rng.random(len(classes)) >= shift.knocked)][:rows]
    centres = np.random.default_rng(0).normal(size=(10, COLUMNS))
    values = centres[classes] + rng.normal(size=(rows, COLUMNS))
    touched = rng.random(rows) < shift.share
    values[touched] += rng.normal(size=(int(touched.sum()), COLUMNS)) * shift.noise
    columns: dict[str, Any] = {f"x{i}": pa.array(values[:, i]) for i in range(COLUMNS)}
    columns["label"] = pa.array([f"class {k}" for k in classes])
    return pa.table(columns)


PEERS = {
    "evidently": """
import sys
import pandas as pd
from evidently import Report
from evidently.presets import DataDriftPreset
columns = table = 0
for i in range(int(sys.argv[2])):
    a, b = (pd.read_parquet(f'{sys.argv[1]}/{i}-{side}.parquet') for side in ('reference', 'current'))
    metrics = Report([DataDriftPreset()]).run(b, a).dict()['metrics']
    said = next(m['value'] for m in metrics if isinstance(m['value'], dict) and 'count' in m['value'])
    columns += said['count'] > 0
    table += said['share'] >= 0.5
print(columns, table)
""",
    "alibi-detect": """
import sys
import numpy as np, pandas as pd
from alibi_detect.cd import TabularDrift
alarms = 0
for i in range(int(sys.argv[2])):
    a, b = (pd.read_parquet(f'{sys.argv[1]}/{i}-{side}.parquet') for side in ('reference', 'current'))
    words = sorted(set(a['label']) | set(b['label']))
    a['label'], b['label'] = (pd.Categorical(side['label'], words).codes for side in (a, b))
    detector = TabularDrift(a.to_numpy(), p_val=.05, categories_per_feature={a.shape[1] - 1: None})
    alarms += detector.predict(b.to_numpy())['data']['is_drift']
print(alarms)
""",
}


TIGHT = 0.05
ROUND = 25
"""Trials of every shift before the next round begins: a run that is ended early has the same number for each row."""
HEADS = {"evidently": ["Evidently, any column", "Evidently, half of them"], "alibi-detect": ["alibi-detect"]}
OURS = ("ours, default", "ours, tight", "significance only")


def ours(found: tuple[ColumnDrift, ...]) -> list[bool]:
    """Whether each of `OURS` raises an alarm."""
    return [
        any(d.drifted for d in decide(found)),
        any(d.drifted for d in decide(found, ks_max=TIGHT, psi_max=TIGHT)),
        any(c.p is not None and c.p < 0.05 for c in found),
    ]


def asked(peer: str, python: str, folder: str, trials: int) -> list[int]:
    """Alarms of each rule of the peer over the tables in the folder."""
    said = subprocess.run(
        [python, "-W", "ignore", "-c", PEERS[peer], folder, str(trials)], check=True, capture_output=True, text=True
    ).stdout.split()
    return [int(count) for count in said[-len(HEADS[peer]) :]]


def one_round(shift: Shift, rows: int, trials: range, peers: dict[str, str]) -> list[int]:
    """Alarms of each rule on the same tables: ours, then those of each peer."""
    alarms = [0] * len(OURS)
    with tempfile.TemporaryDirectory() as folder:
        for number, trial in enumerate(trials):
            rng = np.random.default_rng([trial, rows])
            pair = draw(rng, 5000, Shift()), draw(rng, rows, shift)
            for i, alarm in enumerate(ours(scan(from_table(pair[0]), from_table(pair[1])))):
                alarms[i] += alarm
            for side, table in zip(("reference", "current"), pair, strict=True):
                if peers:
                    pq.write_table(table, f"{folder}/{number}-{side}.parquet")
        return alarms + [n for peer, python in peers.items() for n in asked(peer, python, folder, len(trials))]


def measure(trials: int, rows: int, peers: dict[str, str], out: Path | None) -> None:
    """Print the table, and after each round write it to `out`."""
    heads = [*OURS, *(head for peer in peers for head in HEADS[peer])]
    alarms = {name: [0] * len(heads) for name in SHIFTS}
    for first in range(0, trials, ROUND):
        numbers = range(first, min(first + ROUND, trials))
        for name, shift in SHIFTS.items():
            new = one_round(shift, rows, numbers, peers)
            alarms[name] = [a + b for a, b in zip(alarms[name], new, strict=True)]
        table = _table(heads, alarms, numbers.stop, rows)
        if out is not None:
            out.write_text(table)
    print(table)


def _table(heads: list[str], alarms: dict[str, list[int]], trials: int, rows: int) -> str:
    lines = [f"{trials} trials each, {rows:,} rows", "", f"| shift | {' | '.join(heads)} |"]
    lines.append(f"| --- {'| ---: ' * len(heads)}|")
    lines += [f"| {name} | {' | '.join(f'{n / trials:.0%}' for n in found)} |" for name, found in alarms.items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="?", type=int, default=200)
    parser.add_argument("--rows", default="200,1000,5000", help="rows of the current data; with --peers: 1000")
    parser.add_argument("--peers", action="store_true", help="make an environment for each peer, and ask it too")
    parser.add_argument("--out", type=Path, help="the table so far, written after each round of 25 trials")
    options = parser.parse_args()
    peers = {name: str(drift_peers.interpreter(name)) for name in HEADS} if options.peers else {}
    for name, python in peers.items():
        print(drift_peers.versions(name, python), flush=True)
    for rows in [1000] if peers else [int(n) for n in options.rows.split(",")]:
        measure(options.trials, rows, peers, options.out)


if __name__ == "__main__":
    main()
