"""Grades told apart on constructed cases, and parity of what was recorded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lineage_built import DATA, empty

from gates.lineage.digest import FileSum
from gates.lineage.fingerprint import as_data, fingerprint
from gates.lineage.grade import Outcome, grade, inputs_of, parity
from gates.lineage.statement import compose

if TYPE_CHECKING:
    from pathlib import Path

    from gates.lineage.record import Lineage

INPUTS = {"code": "1" * 40, "data/train": DATA}
FILES = (FileSum("MLmodel", "1"), FileSum("model.skops", "2"), FileSum("conda.yaml", "3"))
BASE = Outcome(FILES, {"coef": "a", "intercept": "b"}, "p", {"auc": 0.91, "f1": 0.8})
VOLATILE = ("MLmodel", "*.skops")
OTHER_FILES = (FileSum("MLmodel", "x"), FileSum("model.skops", "y"), FileSum("conda.yaml", "z"))
TOLERANCES = {"auc": 0.005, "f1": 0.01}


def _grade(retrained: Outcome | None, recorded: Outcome = BASE, **options: Any) -> tuple[str, str]:
    options = {"volatile": VOLATILE, "tolerances": TOLERANCES} | options
    found = grade((INPUTS, options.pop("inputs", INPUTS)), recorded, retrained, **options)
    return found.grade, "; ".join(found.reasons)


def test_r0_nothing_was_trained_again() -> None:
    assert _grade(None) == ("R0", "nothing was trained again")


def test_r1_bytes_but_for_the_volatile() -> None:
    assert _grade(BASE) == ("R1", "")
    assert _grade(replace(BASE, files=(*OTHER_FILES[:2], FILES[2]))) == ("R1", "")
    assert _grade(replace(BASE, files=(*OTHER_FILES[:2], FILES[2])), volatile=())[0] == "R2"


def test_r2_state_or_predictions() -> None:
    assert _grade(replace(BASE, files=OTHER_FILES, predictions="q"))[0] == "R2"
    assert _grade(replace(BASE, files=OTHER_FILES, state={"coef": "z"}))[0] == "R2"
    name, reasons = _grade(replace(BASE, files=(*FILES, FileSum("new", "9"))))
    assert (name, reasons) == ("R2", "new is not recorded: it was added")


def test_everything_volatile_proves_nothing() -> None:
    assert _grade(BASE, volatile=("*",)) == ("R2", "every file is listed as volatile")


def test_r3_metrics_within_tolerance() -> None:
    other = replace(BASE, files=OTHER_FILES, state={"coef": "z", "intercept": "b"}, predictions="q")
    name, reasons = _grade(replace(other, metrics={"auc": 0.905, "f1": 0.805, "more": 1.0}))
    assert name == "R3"
    assert "learned coef differs" in reasons
    assert "probe predictions differ" in reasons


@pytest.mark.parametrize(
    ("metrics", "why"),
    [
        ({"auc": 0.9, "f1": 0.8}, "metric auc: 0.9, recorded 0.91, allowed 0.005"),
        ({"auc": 0.91}, "metric f1 is not there twice"),
        ({"auc": float("nan"), "f1": 0.8}, "metric auc is not there twice"),
        ({"auc": None, "f1": 0.8}, "metric auc is not there twice"),
        ({}, "not there twice"),
    ],
)
def test_r4_metrics_that_do_not_hold(metrics: dict[str, float | None], why: str) -> None:
    name, reasons = _grade(Outcome(OTHER_FILES, metrics=metrics))
    assert name == "R4"
    assert why in reasons


def test_r4_without_tolerances() -> None:
    assert _grade(replace(BASE, files=OTHER_FILES, state=None, predictions=None), tolerances={})[0] == "R4"
    assert _grade(Outcome(OTHER_FILES, metrics=BASE.metrics), tolerances={"auc": float("nan")})[0] == "R4"


def test_r4_other_inputs_are_no_reproduction() -> None:
    assert _grade(BASE, inputs=INPUTS | {"code": "2" * 40}) == ("R4", "input code differs")
    assert _grade(None, inputs={"code": "1" * 40}) == ("R4", "input data/train differs")
    assert grade(({}, {}), BASE, BASE).grade == "R4"


def test_nothing_recorded_is_not_equal_to_nothing() -> None:
    """Two absent states, two absent predictions, two empty folders: no R1, no R2."""
    assert _grade(Outcome(()), recorded=Outcome(()), tolerances={})[0] == "R4"
    assert _grade(Outcome((), state={}), recorded=Outcome((), state={}))[0] == "R4"


def _lineage(tmp_path: Path, **changes: Any) -> tuple[Lineage, Path, Path]:
    table = pa.table({"id": [2, 1], "x": [0.5, None]})
    data = tmp_path / "train.parquet"
    pq.write_table(table, data)
    seen = fingerprint(data, key=["id"])
    built = empty(tmp_path)
    built.train(data=(as_data("train", seen, key=["id"]),), **changes)
    return compose(built.folder.statements()), built.model, data


FOUND = {"code_commit": "1" * 40, "environment_lock": "sha256:" + "e" * 64}


def test_parity_of_what_was_recorded(tmp_path: Path) -> None:
    lineage, model, data = _lineage(tmp_path)
    assert parity(lineage, model=model, data={"train": data}, found=FOUND) == ()


def test_parity_fails_on_each_thing_that_changed_or_does_not_resolve(tmp_path: Path) -> None:
    lineage, model, data = _lineage(tmp_path)
    assert parity(lineage, model=None, data={}, found={}) == (
        "model: does not resolve",
        "data train: does not resolve",
        f"code_commit: does not resolve, recorded {'1' * 40}",
        f"environment_lock: does not resolve, recorded sha256:{'e' * 64}",
    )
    (gone,) = parity(lineage, model=model, data={"train": tmp_path / "gone.parquet"}, found=FOUND)
    assert gone.startswith("data train: does not resolve: ")
    (commit,) = parity(lineage, model=model, data={"train": data}, found=FOUND | {"code_commit": "2" * 40})
    assert commit.startswith("code_commit: 2222")
    (model / "MLmodel").write_text("changed")
    assert len(parity(lineage, model=model, data={"train": data}, found=FOUND)) == 1
    (model / "MLmodel").write_text("flavors: {}\n")
    pq.write_table(pa.table({"id": [2, 1], "x": [0.5, None]}), data, compression="none")
    (stored,) = parity(lineage, model=model, data={"train": data}, found=FOUND)
    assert stored.startswith("data train: sha256:")
    pq.write_table(pa.table({"id": [2, 1], "x": [0.25, None]}), data)
    both = parity(lineage, model=model, data={"train": data}, found=FOUND)
    assert [line.split(":")[0] for line in both] == ["data train", "content of data train"]


def test_inputs_are_content_where_there_is_one(tmp_path: Path) -> None:
    lineage, _, data = _lineage(tmp_path)
    found = inputs_of(lineage)
    assert set(found) == {"data/train", "parameters", "environment", "code"}
    assert found["data/train"] == fingerprint(data, key=["id"]).content
    (tmp_path / "b").mkdir()
    other, _, _ = _lineage(tmp_path / "b", parameters={"C": 1.0})
    assert inputs_of(other)["parameters"] != found["parameters"]


def test_volatile_files_are_on_record(tmp_path: Path) -> None:
    lineage, _, _ = _lineage(tmp_path, volatile=("MLmodel",))
    assert lineage.volatile == ("MLmodel",)
