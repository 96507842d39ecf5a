"""False alarms and detection on the shifts of 'Failing Loudly' (Rabanser et al. 2019), by our default rule.

Run: `python -m benchmarks.failing_loudly [trials]`; with `--peers` the defaults of Evidently and alibi-detect judge the
same tables (1,000 rows), each in an environment that is made for it. Twenty numeric columns, one of ten classes, 5,000
reference rows. A trial raises an alarm when any column drifted; Evidently's own rule, half of the columns, beside it.
'significance only' is the same scan judged without effect sizes: what tools do that stop at a p-value. A shift below
the effect limits is measured, and called drift only by tighter limits ('tight': KS 0.05, PSI 0.05).
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
from dataclasses import dataclass
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
HEADS = {"evidently": ["Evidently, any column", "Evidently, half of them"], "alibi-detect": ["alibi-detect"]}


def beside_peers(trials: int, peers: dict[str, str]) -> None:
    """Alarms of our rules and of the peers' defaults on the same tables of 1,000 rows; any column counts."""
    for name, python in peers.items():
        print(drift_peers.versions(name, python))
    heads = ["ours, default", "ours, tight", "significance only", *(head for peer in peers for head in HEADS[peer])]
    print(f"{trials} trials each, 1,000 rows\n\n| shift | {' | '.join(heads)} |")
    print(f"| --- {'| ---: ' * len(heads)}|")
    for name, shift in SHIFTS.items():
        with tempfile.TemporaryDirectory() as folder:
            alarms = [0, 0, 0]
            for trial in range(trials):
                rng = np.random.default_rng([trial, 1000])
                pair = draw(rng, 5000, Shift()), draw(rng, 1000, shift)
                found = scan(from_table(pair[0]), from_table(pair[1]))
                alarms[0] += any(d.drifted for d in decide(found))
                alarms[1] += any(d.drifted for d in decide(found, ks_max=TIGHT, psi_max=TIGHT))
                alarms[2] += any(c.p is not None and c.p < 0.05 for c in found)
                for side, table in zip(("reference", "current"), pair, strict=True):
                    pq.write_table(table, f"{folder}/{trial}-{side}.parquet")
            for peer, python in peers.items():
                said = subprocess.run(
                    [python, "-W", "ignore", "-c", PEERS[peer], folder, str(trials)],
                    check=True, capture_output=True, text=True,
                ).stdout.split()[-len(HEADS[peer]) :]  # fmt: skip
                alarms += [int(count) for count in said]
        print(f"| {name} | {' | '.join(f'{count / trials:.0%}' for count in alarms)} |", flush=True)


def main(trials: int) -> None:
    print(f"{trials} trials each\n\n| shift | rows | alarm | significance only |\n| --- | --- | --- | --- |")
    for name, shift in SHIFTS.items():
        for rows in (200, 1000, 5000):
            ours = naive = 0
            for trial in range(trials):
                rng = np.random.default_rng([trial, rows])
                reference = from_table(draw(rng, 5000, Shift()))
                found = scan(reference, from_table(draw(rng, rows, shift)))
                ours += any(d.drifted for d in decide(found))
                naive += any(c.p is not None and c.p < 0.05 for c in found)
            print(f"| {name} | {rows} | {ours / trials:.0%} | {naive / trials:.0%} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="?", type=int, default=100)
    parser.add_argument("--peers", action="store_true", help="make an environment for each peer, and ask it too")
    options = parser.parse_args()
    if options.peers:
        beside_peers(options.trials, {name: str(drift_peers.interpreter(name)) for name in HEADS})
    else:
        main(options.trials)
