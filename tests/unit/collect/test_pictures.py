"""Pictures come from the stored bytes, agree with what was judged, and say why where there are none."""

from __future__ import annotations

import hashlib
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gates import policy as policies
from gates.collect import pictures
from gates.collect import store as stores
from gates.judge import judge
from gates.reports.html.values import Pictures

if TYPE_CHECKING:
    from pathlib import Path

POLICY = b"""version: 1
name: credit
stages:
  validate:
    checks:
      - {id: auc, type: threshold, metric: roc_auc, min: 0.5}
      - {id: by.region, type: slice_threshold, metric: accuracy, by: [region], min: 0.55}
      - {id: parity, type: fairness, metric: equalized_odds_difference, sensitive: [sex], max: 0.5}
"""
TODAY = date(2026, 11, 21)


def predictions(path: Path, seed: int, n: int = 2_000) -> Path:
    random = np.random.default_rng(seed)
    target = random.integers(0, 2, n)
    score = np.clip(0.5 + (target - 0.5) * 0.4 + random.normal(0, 0.2, n), 0, 1)
    columns: dict[str, Any] = {
        "y": target, "prediction": (score > 0.5).astype(int), "score": score,
        "region": np.array(list("nsew"))[np.arange(n) % 4], "sex": np.array(["f", "m"])[random.integers(0, 2, n)],
    }  # fmt: skip
    pq.write_table(pa.table(columns), path)
    return path


@pytest.fixture
def stored(tmp_path: Path) -> dict[str, Any]:
    """A judged report as report.json has it, its evidence below tmp_path."""
    store = stores.Store(tmp_path)
    store.add_file(stores.CANDIDATE, predictions(tmp_path / "a.parquet", 1))
    store.add_file(stores.CHAMPION, predictions(tmp_path / "b.parquet", 2))
    store.add_manifest(stores.Manifest(target="y", positive_label=1, groups=("region", "sex")))
    store.add_bytes(stores.POLICY, POLICY)
    policy = policies.load(POLICY, tmp_path / "policy.yml", today=TODAY)
    evidence = stores.load(store.folder, store.items)
    report = judge(policy, "validate", evidence, step="validate-gate", today=TODAY, data={"digest": "", "rows": 2_000})
    return {"schema": "report.v1", "result": report.to_json(), "run": {"started": "2026-11-21T04:00:00+00:00"}}


def test_curves_of_both_models_agree_with_what_was_judged(stored: dict[str, Any], tmp_path: Path) -> None:
    drawn = pictures.draw(stored, tmp_path)
    assert drawn.notes == ()
    assert [c.who for c in drawn.curves] == ["candidate", "champion"]
    judged = {c["id"]: c for c in stored["result"]["checks"]}
    assert drawn.curves[0].auc == pytest.approx(judged["auc"]["observed"])
    for c in drawn.curves:
        assert sum(map(sum, c.confusion)) == c.n == 2_000
        assert c.labels == ("0", "1")
        assert sum(row[-1] for row in c.calibration) == 2_000


def test_forests_are_of_the_slices_and_groups_that_were_judged(stored: dict[str, Any], tmp_path: Path) -> None:
    drawn = pictures.draw(stored, tmp_path)
    region, tpr, fpr = drawn.forests
    assert region.title == "by.region: accuracy by region"
    assert region.least == 0.55
    assert {row.name for row in region.rows} == set("nsew")
    judged = next(c for c in stored["result"]["checks"] if c["id"] == "by.region")
    assert judged["observed"] in [pytest.approx(row.value) for row in region.rows]
    assert (tpr.title, fpr.title) == ("parity: true positive rate by sex", "parity: false positive rate by sex")
    gap = max(abs(f.rows[0].value - f.rows[1].value) for f in (tpr, fpr))
    parity = next(c for c in stored["result"]["checks"] if c["id"] == "parity")
    assert parity["observed"] == pytest.approx(gap)
    assert all(row.low <= row.value <= row.high for f in drawn.forests for row in f.rows)


def test_changed_evidence_is_not_drawn(stored: dict[str, Any], tmp_path: Path) -> None:
    item = next(i for i in stored["result"]["evidence"] if i["name"] == stores.CANDIDATE)
    path = tmp_path / "evidence" / item["sha256"].partition(":")[2]
    path.write_bytes(path.read_bytes() + b"x")
    drawn = pictures.draw(stored, tmp_path)
    assert drawn.curves == ()
    assert "was changed" in drawn.notes[0]


def test_a_changed_policy_is_not_drawn_from(stored: dict[str, Any], tmp_path: Path) -> None:
    kept = tmp_path / "evidence" / hashlib.sha256(POLICY).hexdigest()
    kept.write_bytes(POLICY.replace(b"0.55", b"0.01"))
    assert "No curves" in pictures.draw(stored, tmp_path).notes[0]
    kept.unlink()
    assert "No curves" in pictures.draw(stored, tmp_path).notes[0]


def test_many_rows_are_left_to_the_command_and_no_predictions_give_no_pictures(
    stored: dict[str, Any], tmp_path: Path
) -> None:
    drawn = pictures.draw(stored, tmp_path, most_rows=1_999)
    assert drawn.curves == ()
    assert "gates report html" in drawn.notes[0]
    assert pictures.draw(stored, tmp_path, most_rows=2_000).curves
    stored["result"]["evidence"] = []
    assert pictures.draw(stored, tmp_path) == Pictures()


def test_numbers_are_no_classes(stored: dict[str, Any], tmp_path: Path) -> None:
    store = stores.Store(tmp_path)
    y = np.linspace(0.1, 9.7, 100)
    columns: dict[str, Any] = {"y": y, "prediction": y + 0.1}
    pq.write_table(pa.table(columns), tmp_path / "r.parquet")
    store.add_file(stores.CANDIDATE, tmp_path / "r.parquet")
    store.add_manifest(stores.Manifest(target="y"))
    stored["result"]["evidence"] = [
        {"name": i.name, "sha256": i.sha256, "self_reported": i.self_reported} for i in store.items
    ]
    drawn = pictures.draw(stored, tmp_path)
    assert drawn.curves == ()
    assert "Numbers are predicted" in drawn.notes[0]
