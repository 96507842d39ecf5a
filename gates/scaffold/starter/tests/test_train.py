"""The training code, on rows made here."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "src"))
import train


def rows(n: int = 200) -> pd.DataFrame:
    random = np.random.default_rng(1)
    amount = random.normal(size=n)
    kind, y = list("ab") * (n // 2), (amount > 0).astype(int)
    return pd.DataFrame({"row_id": range(n), "amount": amount, "kind": kind, "y": y})


def test_a_model_learns_what_is_plain_and_does_not_need_row_id() -> None:
    data = rows()
    model = train.fit(data, "y", numbers=False)
    assert train.measure(model, data, "y", numbers=False)["accuracy"] > 0.95
    assert list(model.feature_names_in_) == ["amount", "kind"]


def test_a_category_never_seen_is_answered() -> None:
    model = train.fit(rows(), "y", numbers=False)
    assert len(model.predict(pd.DataFrame({"amount": [3.0], "kind": ["new"]}))) == 1


def test_the_model_is_saved_with_its_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    rows().to_csv(tmp_path / "train.csv", index=False)
    out = tmp_path / "model"
    train.main(["--train-data", str(tmp_path / "train.csv"), "--model-out", str(out), "--target", "y"])
    assert "signature" in (out / "MLmodel").read_text()
