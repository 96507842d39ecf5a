"""A small model for a repository that has none: its files as they are written, and made-up loans to learn from."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random

TARGET = "default"
FOLDER = Path(__file__).parent
FILES = ("src/train.py", "tests/test_train.py")
TABLES = {"data/train.csv": (4_000, 1), "data/test.csv": (8_000, 2), "data/production.csv": (2_000, 3)}
"""Rows and seed of each."""
REQUIREMENTS = ("cloudpickle>=3,<4", "mlflow-skinny>=3,<4", "numpy>=1.26,<3", "pandas>=2.2,<4", "scikit-learn>=1.5,<2")


def files() -> dict[str, str]:
    """Each file of the starter, by its path in the new repository."""
    return {name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES} | {
        name: table(rows, seed) for name, (rows, seed) in TABLES.items()
    }


def table(rows: int, seed: int) -> str:
    """Loans as CSV. Who has much debt for their income defaults more often; sex has no part in it."""
    random = Random(seed)  # noqa: S311  # made-up people, no secret
    lines = ["row_id,age,sex,income,debt,months,region,default"]
    for i in range(rows):
        age, months = random.randint(19, 75), random.randint(6, 60)
        sex, region = random.choice("fm"), random.choice(("north", "south", "east", "west"))
        income = round(math.exp(random.gauss(10.2, 0.4)))
        debt = round(math.exp(random.gauss(8.8, 0.9)))
        risk = 3.0 * debt / income + 0.01 * months - 0.02 * age - 1.6 + (0.4 if region == "north" else 0.0)
        default = int(random.random() < 1 / (1 + math.exp(-risk)))
        lines.append(f"{seed * 100_000 + i},{age},{sex},{income},{debt},{months},{region},{default}")
    return "\n".join(lines) + "\n"
