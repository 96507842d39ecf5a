"""Every distribution of Azure ML gives values where its definition says, and a seed gives the same ones."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest

from gates.backends.local.search_space import Parameter, Sampling, Search, read
from gates.document import Document
from gates.errors import InvalidInput

optuna = pytest.importorskip("optuna")
N = 400


def values(space: dict[str, Any], **sampling: Any) -> list[str]:
    found, how = read(
        Document(Path("s.yml"), {}, b""), {"search_space": {"x": space}, "sampling_algorithm": sampling}, ()
    )
    search = Search(found, how, maximize=True)
    return [search.ask()[1]["x"] for _ in range(N)]


@pytest.mark.parametrize("rule", ["random", "sobol"])
@pytest.mark.parametrize(
    ("space", "low", "middle", "high"),
    [
        ({"type": "uniform", "min_value": 1, "max_value": 3}, 1, 2, 3),
        ({"type": "quniform", "min_value": 1, "max_value": 9, "q": 2}, 0, 5, 10),
        ({"type": "loguniform", "min_value": -6, "max_value": -2}, math.exp(-6), math.exp(-4), math.exp(-2)),
        ({"type": "qloguniform", "min_value": 0, "max_value": 4, "q": 1}, 1, math.exp(2), 55),
        ({"type": "normal", "mu": 10, "sigma": 2}, -10, 10, 30),
        ({"type": "qnormal", "mu": 10, "sigma": 2, "q": 1}, -10, 10, 30),
        ({"type": "lognormal", "mu": 0, "sigma": 1}, 0, 1, 1e4),
        ({"type": "qlognormal", "mu": 2, "sigma": 0.5, "q": 1}, 0, math.exp(2), 1e3),
        ({"type": "randint", "upper": 10}, 0, 4.5, 9),
        ({"type": "choice", "values": [1, 2, 3]}, 1, 2, 3),
    ],
)
def test_values_lie_where_the_distribution_says(
    space: dict[str, Any], low: float, middle: float, high: float, rule: str
) -> None:
    drawn = [float(value) for value in values(space, type="random", seed=1, rule=rule)]
    assert all(low <= value <= high for value in drawn)
    spread = statistics.stdev(drawn)
    assert abs(statistics.median(drawn) - middle) <= max(0.3 * spread, 1.0 if "q" in space else 0.0)
    if "q" in space:
        assert all(value % space["q"] == 0 for value in drawn)


def test_whole_numbers_are_written_as_such_and_others_as_they_are() -> None:
    assert set(values({"type": "quniform", "min_value": 2, "max_value": 4, "q": 2}, type="random")) <= {"2", "4"}
    assert "0.3" in values({"type": "quniform", "min_value": 0, "max_value": 1, "q": 0.1}, type="random")
    assert set(values({"type": "choice", "values": ["a", 1, 0.5]}, type="random")) == {"a", "1", "0.5"}


def test_logbase_is_the_base_of_the_logarithm() -> None:
    drawn = values({"type": "loguniform", "min_value": -2, "max_value": 2}, type="random", logbase=10)
    assert 0.01 <= min(map(float, drawn)) < 0.05
    assert 50 < max(map(float, drawn)) <= 100


@pytest.mark.parametrize("kind", ["random", "grid", "bayesian"])
def test_a_seed_gives_the_same_trials_and_another_one_others(kind: str) -> None:
    space = {"x": Parameter("choice", values=tuple("abcdefgh")), "y": Parameter("choice", values=("1", "2"))}

    def trials(seed: int) -> list[dict[str, str]]:
        search = Search(space, Sampling(kind, seed), maximize=False)
        found = []
        for _ in range(16):
            number, drawn = search.ask()
            search.tell(number, float(ord(drawn["x"])))
            found.append(drawn)
        return found

    assert trials(3) == trials(3)
    if kind == "grid":
        assert len({tuple(one.values()) for one in trials(3)}) == 16
    else:
        assert trials(3) != trials(4)


def test_bayesian_search_learns() -> None:
    """TPE finds the middle of a parabola better than drawing at random does."""
    space = {"x": Parameter("uniform", low=-10.0, high=10.0)}

    def later(kind: str) -> float:
        search = Search(space, Sampling(kind, 1), maximize=False)
        seen = []
        for _ in range(40):
            number, drawn = search.ask()
            seen.append((float(drawn["x"]) - 3) ** 2)
            search.tell(number, seen[-1])
        return statistics.median(seen[20:])

    assert later("bayesian") < later("random") / 4


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"type": "normal", "mu": 0, "sigma": 0}, "sigma must be a positive number"),
        ({"type": "uniform", "min_value": 2, "max_value": 1}, "max_value is below min_value"),
        ({"type": "quniform", "min_value": 1, "max_value": 2, "q": 0}, "q must be above 0"),
        ({"type": "randint", "upper": 0}, "upper must be 1 or more"),
        ({"type": "choice", "values": []}, "a choice needs values"),
        ({"type": "uniform", "min_value": 0, "max_value": math.nan}, "must be a positive number"),
    ],
)
def test_what_has_no_values_is_refused(space: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        values(space, type="random")
