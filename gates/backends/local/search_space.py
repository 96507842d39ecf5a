"""The search space of a sweep: Azure ML's distributions, drawn by Optuna's samplers.

Optuna draws a choice's index, an integer, or a number in [0, 1]; the distribution's inverse makes the value of it. So
every distribution of Azure's has the sampler's full support, and one seed gives the same trials everywhere.
Definitions: https://learn.microsoft.com/azure/machine-learning/how-to-tune-hyperparameters ("Define the search space").
"""

from __future__ import annotations

import itertools
import math
import warnings
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from gates.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.document import Document, Key

_EDGE = 1e-9  # the normal distributions have no value at 0 and 1


@dataclass(frozen=True)
class Parameter:
    """One dimension. type: choice, randint, (q)(log)uniform, (q)(log)normal; low and high: of uniform, mu and sigma.

    whole: every number in the file is an integer, so a rounded value is written as one.
    """

    type: str
    values: tuple[str, ...] = ()
    upper: int = 0
    low: float = 0.0
    high: float = 0.0
    q: float = 0.0
    base: float = math.e
    whole: bool = False

    def value(self, drawn: float) -> str:
        """The text that a command sees: of an index, an integer, or a number in [0, 1]."""
        if self.type == "choice":
            return self.values[int(drawn)]
        if self.type == "randint":
            return str(int(drawn))
        if self.type.endswith("normal"):
            inner = NormalDist(self.low, self.high).inv_cdf(min(max(drawn, _EDGE), 1.0 - _EDGE))
        else:
            inner = self.low + drawn * (self.high - self.low)
        found = self.base**inner if "log" in self.type else inner
        if self.q:
            found = round(found / self.q) * self.q
            return str(round(found)) if self.whole else repr(round(found, 12))
        return repr(found)


@dataclass(frozen=True)
class Sampling:
    """kind: random, grid, bayesian. rule: random or sobol."""

    kind: str
    seed: int = 0
    rule: str = "random"


def read(file: Document, raw: Mapping[str, Any], at: Key) -> tuple[dict[str, Parameter], Sampling]:
    """`search_space` and `sampling_algorithm` of a sweep."""
    algorithm = raw.get("sampling_algorithm") or "random"
    if isinstance(algorithm, str):
        algorithm = {"type": algorithm}
    kind = str(algorithm["type"]).lower()
    sampling = Sampling(kind, int(algorithm.get("seed") or 0), str(algorithm.get("rule") or "random").lower())
    base = algorithm.get("logbase", "e")
    number = math.e if base == "e" else float(base)
    space = {
        str(name): _parameter(file, value, (*at, "search_space", str(name)), number)
        for name, value in (raw.get("search_space") or {}).items()
    }
    if not space:
        raise file.error("search_space: there is nothing to search", (*at, "search_space"))
    if kind == "grid":
        for name, one in space.items():
            if one.type != "choice":
                raise file.error(
                    f"search_space.{name}: a grid is made of choices, not of {one.type}",
                    (*at, "search_space", name), "write type: choice, or sampling_algorithm: random",
                )  # fmt: skip
    return space, sampling


def _parameter(file: Document, raw: Mapping[str, Any], at: Key, base: float) -> Parameter:
    kind = str(raw["type"]).lower()
    if kind == "choice":
        values = raw.get("values") or []
        if not values or any(isinstance(value, (dict, list)) for value in values):
            raise file.error(f"{at[-1]}: a choice needs values that are texts or numbers", (*at, "values"))
        return Parameter(kind, values=tuple(str(value) for value in values))
    if kind == "randint":
        if int(raw["upper"]) < 1:
            raise file.error(f"{at[-1]}: upper must be 1 or more", (*at, "upper"))
        return Parameter(kind, upper=int(raw["upper"]))
    names = ("mu", "sigma") if kind.endswith("normal") else ("min_value", "max_value")
    low, high, q = float(raw[names[0]]), float(raw[names[1]]), float(raw.get("q") or 0)
    if not all(map(math.isfinite, (low, high, q))) or (kind.endswith("normal") and high <= 0):
        raise file.error(f"{at[-1]}: {names[1]} must be a positive number", (*at, names[1]))
    if kind.endswith("uniform") and high < low:
        raise file.error(f"{at[-1]}: max_value is below min_value", (*at, "max_value"))
    if kind.startswith("q") and q <= 0:
        raise file.error(f"{at[-1]}: q must be above 0", (*at, "q"))
    whole = q > 0 and q == int(q) and isinstance(raw["q"], int)
    return Parameter(kind, low=low, high=high, q=q, base=base, whole=whole)


class Search:
    """Optuna, asked for trials and told their results."""

    def __init__(self, space: Mapping[str, Parameter], sampling: Sampling, *, maximize: bool) -> None:
        try:
            import optuna
        except ImportError as error:
            raise Unavailable(f"sweeps need Optuna: {error}", hint="install mlops-gates[local]") from error
        self._space, self._optuna = space, optuna
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # samplers that Optuna calls experimental
            sampler = self._sampler(sampling)
        self._study = optuna.create_study(direction="maximize" if maximize else "minimize", sampler=sampler)
        self._trials: dict[int, Any] = {}
        self.size: int | None = None
        if sampling.kind == "grid":  # Optuna's own grid sampler insists on ending the study itself
            grid = list(itertools.product(*(range(len(one.values)) for one in space.values())))
            self.size = len(grid)
            for point in grid:
                self._study.enqueue_trial(dict(zip(space, point, strict=True)))
        self.waves = sampling.kind == "bayesian"

    def _sampler(self, sampling: Sampling) -> Any:
        samplers = self._optuna.samplers
        if sampling.kind == "bayesian":
            return samplers.TPESampler(seed=sampling.seed, n_startup_trials=5, multivariate=True)
        if sampling.rule == "sobol":
            independent = samplers.RandomSampler(seed=sampling.seed)
            return samplers.QMCSampler(
                qmc_type="sobol", scramble=True, seed=sampling.seed, independent_sampler=independent
            )
        return samplers.RandomSampler(seed=sampling.seed)

    def ask(self) -> tuple[int, dict[str, str]]:
        """The next trial: its number, and the value of each parameter as a command sees it."""
        trial = self._study.ask()
        self._trials[trial.number] = trial
        drawn = {}
        for name, one in sorted(self._space.items()):
            if one.type == "choice":
                drawn[name] = one.value(trial.suggest_categorical(name, list(range(len(one.values)))))
            elif one.type == "randint":
                drawn[name] = one.value(trial.suggest_int(name, 0, one.upper - 1))
            else:
                drawn[name] = one.value(trial.suggest_float(name, 0.0, 1.0))
        return trial.number, drawn

    def tell(self, number: int, value: float | None) -> None:
        """The metric of a trial; None when it failed or was ended."""
        state = self._optuna.trial.TrialState.FAIL if value is None else None
        self._study.tell(self._trials[number], value, state=state)
