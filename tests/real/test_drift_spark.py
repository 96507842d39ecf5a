"""The spark engine on a real local SparkSession: the figures and verdicts of the arrow engine, on the same files."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_project import MLOPS, gates, make, report_of

from gates.drift.decide import decide
from gates.drift.profile import build
from gates.drift.scan import scan
from gates.drift.source import open_source
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("pyspark")


@pytest.fixture(scope="module")
def session(need: Callable[[str], str]) -> Iterator[Any]:
    need("java")
    from pyspark.sql import SparkSession

    from gates.drift import spark

    made: Any = (
        SparkSession.builder.master("local[2]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.sql.files.maxPartitionBytes", "200000")
        .getOrCreate()
    )
    made.sparkContext.setLogLevel("OFF")
    assert spark.session() is made
    yield made
    made.stop()


def write(path: Path, rows: int, seed: int, *, shift: float) -> None:
    """Each kind of column, with nulls, NaN and ties, in small row groups so that Spark cuts it into partitions."""
    rng = np.random.default_rng(seed)
    words = np.array(["low", "middle", "high", "none"])
    share = np.array([0.4, 0.3, 0.2, 0.1]) if shift == 0 else np.array([0.1, 0.2, 0.3, 0.4])
    noisy = rng.normal(size=rows)
    noisy[rng.random(rows) < 0.01] = np.nan
    times = np.datetime64("2026-01-01", "us") + rng.integers(0, 10**12, rows).astype("timedelta64[us]")
    embedding = list((rng.normal(size=(rows, 8)) + np.array([shift, *[0.0] * 7])).astype(np.float32))
    columns: dict[str, Any] = {
        "moved": pa.array(rng.normal(size=rows) + shift),
        "calm": pa.array(noisy, mask=rng.random(rows) < 0.02, from_pandas=False),
        "tied": pa.array(rng.poisson(4, rows)),
        "kind": pa.array(words[rng.choice(4, rows, p=share)]),
        "flag": pa.array(rng.random(rows) < 0.3),
        "at": pa.array(times).cast(pa.timestamp("us", tz="UTC")),
        "said": pa.array([f"order {i} number {i * seed % 977}" for i in range(rows)]),
        "meant": pa.array(embedding, pa.list_(pa.float32()), mask=rng.random(rows) < 0.01),
    }
    pq.write_table(pa.table(columns), path, row_group_size=3000)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("pair")
    write(folder / "reference.parquet", 20_000, 1, shift=0.0)
    write(folder / "current.parquet", 17_000, 2, shift=0.8)
    return folder / "reference.parquet", folder / "current.parquet"


@pytest.mark.parametrize("partitions", [1, 7])
def test_against_a_profile_the_figures_are_those_of_arrow(
    session: Any, pair: tuple[Path, Path], partitions: int
) -> None:
    from gates.drift import spark

    profile = build(open_source(pair[0]))
    ours = scan(profile, open_source(pair[1]), memory=100_000)  # so little that arrow counts against the profile too
    frame = spark.open_frame(session, str(pair[1])).repartition(partitions)
    theirs, rows = spark.scan(profile, frame)
    assert rows == 17_000
    assert [c.name for c in theirs] == [c.name for c in ours]
    for a, b in zip(theirs, ours, strict=True):
        left, right = asdict(a), asdict(b)
        for key in ("w1", "w1_bound", "w1_scaled"):  # sums of floats: their order differs
            one, other = left.pop(key), right.pop(key)
            assert one == other or one == pytest.approx(other, rel=1e-9)
        assert left.pop("histogram").keys() == right.pop("histogram").keys() if a.histogram else b.histogram is None
        assert left == right
    assert [d.drifted for d in decide(theirs)] == [d.drifted for d in decide(ours)]
    (meant,) = (c for c in theirs if c.name == "meant")
    assert (meant.kind, meant.method, meant.n_cur + meant.nulls_cur) == ("vector", "sample", 17_000)
    assert meant.auc is not None
    assert meant.auc > 0.6
    assert meant.nulls_cur > 100


def test_two_files_give_the_verdicts_of_the_exact_engine(session: Any, pair: tuple[Path, Path]) -> None:
    from gates.drift import spark

    before, after = (spark.open_frame(session, str(path)) for path in pair)
    profile = spark.build(before, before.columns)
    theirs, _ = spark.scan(profile, after)
    ours = {c.name: c for c in scan(open_source(pair[0]), open_source(pair[1]))}
    exact = decide(tuple(ours[c.name] for c in theirs))
    assert [(d.name, d.drifted, d.severity) for d in decide(theirs)] == [(d.name, d.drifted, d.severity) for d in exact]
    assert {d.name for d in exact if d.drifted} >= {"moved", "kind", "meant"}
    for column in theirs:
        if column.ks is not None:
            assert abs(column.ks - (ours[column.name].ks or 0.0)) <= column.ks_bound + 1e-12


def test_the_step_says_the_same_on_both_engines(
    session: Any, pair: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path, mlops=MLOPS.replace("reference.csv", str(pair[0])).replace("current.csv", str(pair[1])))
    seen = []
    for engine in ("arrow", "spark"):
        said = gates(folder, capsys, f"drift-check --engine {engine}")
        assert said.outputs is not None
        seen.append((said.exit_code, said.outputs["verdict"], set(said.outputs["drifted-columns"].split(","))))
        assert report_of(folder, "drift-check")["result"]["data"]["rows"] == 17_000
    assert seen[0] == seen[1]
    assert json.loads((folder / ".gates/reports/drift-check/outputs.json").read_text())["exit-code"] == "1"


def test_what_cannot_be_compared_is_said_in_one_line(session: Any, pair: tuple[Path, Path], tmp_path: Path) -> None:
    from gates.drift import spark

    frame = spark.open_frame(session, str(pair[1]))
    profile = build(open_source(pair[0]), columns=["moved", "kind"])
    with pytest.raises(InvalidInput, match="no column 'kind'; the columns are moved, calm"):
        spark.scan(profile, frame.drop("kind"))
    with pytest.raises(InvalidInput, match="column 'moved' is string now and was double in the reference"):
        spark.scan(profile, frame.withColumn("moved", frame["said"]))
    cut = tmp_path / "cut.parquet"
    cut.write_bytes(pair[1].read_bytes()[:-500])
    with pytest.raises(InvalidInput, match=r"cut\.parquet: Spark cannot read it: "):
        spark.open_frame(session, str(cut))
    with pytest.raises(InvalidInput, match="no rows"):
        spark.scan(profile, frame.limit(0))
