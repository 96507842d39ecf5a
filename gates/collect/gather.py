"""Gathers exactly what a stage's checks need: predictions of candidate and champion, figures, timings.

The champion's predictions are cached by model and data digest (loading a model takes seconds). What cannot be had here
is left out, and the check that needs it says ERROR.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gates.collect import metrics_file, predictions
from gates.collect.store import CANDIDATE, CHAMPION, METRICS, Manifest, Store
from gates.errors import Cancelled, GatesError, InvalidInput
from gates.files import write_whole
from gates.runtime import scoring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from gates.checks.spec import Need

TIMING = "predict_one_ms"


@dataclass(frozen=True)
class Scorer:
    """How a model is asked: the user's interpreter, the function, where environments and answers are cached."""

    python: Path
    env: Mapping[str, str]
    cache: Path
    function: str
    say: Callable[[str], None]

    def answers(
        self, model: Path, digest: str, data: Path, data_digest: str, *, timings: int = 0, explain: int = 0
    ) -> Answers:
        """The model's answers on the data, from the cache when these bytes answered these bytes before.

        explain: rows that will have to be explained as well: the same process does it, since loading takes longest.
        Where it cannot explain, it answers all the same.
        """
        key = f"{_short(digest)}-{_short(data_digest)}-{self.function}.parquet"
        cached = self.cache / "predictions" / key
        if not timings and cached.is_file():
            return Answers(cached, ())
        cached.parent.mkdir(parents=True, exist_ok=True)
        beside = cached.with_name(f".{os.getpid()}-{key}")
        more: dict[str, Any] = {
            "python": self.python, "out": beside, "env": self.env, "cache": self.cache / "environments",
            "function": self.function, "timings": timings, "say": self.say,
        }  # fmt: skip
        kept = self.explained(digest, data_digest, explain)
        try:
            if not explain or kept.is_file():
                scored = scoring.score_model(model, data, **more)
            else:
                scored = scoring.score_model(model, data, explain_rows=explain, attributions=True, **more)
                write_whole(kept, json.dumps(scored.attributions))
        except Cancelled:
            raise
        except GatesError:  # it may be the explaining; then whoever needs that says so
            if not explain:
                raise
            scored = scoring.score_model(model, data, **more)
        beside.replace(cached)
        return Answers(cached, scored.timings_ms)

    def explained(self, digest: str, data_digest: str, rows: int) -> Path:
        """Where attributions of a model on so many rows of the data are kept."""
        return self.cache / "attributions" / f"{_short(digest)}-{_short(data_digest)}-{self.function}-{rows}.json"


@dataclass(frozen=True)
class Answers:
    """`path`: parquet with `prediction` and `score_<label>`, a row a row of the data; timings: ms of one row."""

    path: Path
    timings: tuple[float, ...]


@dataclass(frozen=True)
class Subject:
    """A model to score, or its answers ready made. `digest` is of the model; "" when only answers are given."""

    model: Path | None = None
    digest: str = ""
    predictions: Path | None = None


@dataclass
class Gathering:
    """What is being put together for one report."""

    store: Store
    shape: predictions.Shape
    data: Path | None
    data_digest: str
    scorer: Scorer
    work: Path
    samples: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    lacking: dict[str, str] = field(default_factory=dict)
    findings: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    champion_absent: bool = False
    reference_absent: bool = False
    explain: int = 0

    def candidate(self, subject: Subject, needs: Iterable[Need]) -> None:
        """Predictions, and one-row timings where a check needs them."""
        needs = tuple(needs)
        timings = max((int(need.options.get("min_samples", 200)) for need in needs if need.name == TIMING), default=0)
        self.explain = rows_explained(needs)
        path = self._ready(subject, "the predictions") or self._score(subject, "candidate", timings)
        self.store.add_file(CANDIDATE, path)

    def champion(self, subject: Subject) -> None:
        path = self._ready(subject, "the champion's predictions") or self._score(subject, "champion", 0)
        self.store.add_file(CHAMPION, path)

    def reported(self, path: Path) -> None:
        """A metrics file of the user's own, which must be readable as one."""
        metrics_file.read(path)
        self.store.add_file(METRICS, path, self_reported=True)

    def finish(self) -> None:
        """Write the manifest, last: it says how the rest is read."""
        shape = self.shape
        self.store.add_manifest(
            Manifest(
                target=shape.target,
                positive_label=shape.positive_label,
                groups=shape.groups,
                champion_absent=self.champion_absent,
                reference_absent=self.reference_absent,
                metrics=self.metrics,
                samples=self.samples,
                lacking=self.lacking,
                findings=self.findings,
                about=self.about,
            )
        )

    def _ready(self, subject: Subject, what: str) -> Path | None:
        """A predictions file of the user's own, which must be readable as one: complaints name it, not our copy."""
        if subject.predictions is not None:
            predictions.read(subject.predictions, self.shape, what)
        return subject.predictions

    def _score(self, subject: Subject, who: str, timings: int) -> Path:
        if subject.model is None or self.data is None:
            raise InvalidInput(
                f"nothing to score the {who} on", hint="give evaluate.data in mlops.yml, or --data, or --predictions"
            )
        self.scorer.say(f"the {who} answers on {self.data.name}")
        answers = self.scorer.answers(
            subject.model, subject.digest, self.data, self.data_digest, timings=timings, explain=self.explain
        )
        if answers.timings:
            self.samples[TIMING] = list(answers.timings)
        joined = self.work / f"{who}-predictions.parquet"
        predictions.join(self.data, answers.path, self.shape, joined)
        return joined


def _short(digest: str) -> str:
    return digest.partition(":")[2][:32]


def rows_explained(needs: Iterable[Need]) -> int:
    """How many rows a stage's checks want explained; 0 where none does."""
    return max((int(need.options.get("sample", 2000)) for need in needs if need.kind == "explanations"), default=0)


def union(checks: Iterable[Any]) -> tuple[Need, ...]:
    """The needs of all checks of a stage."""
    return tuple(need for bound in checks for need in bound.check.needs())


def group_columns(needs: Iterable[Need]) -> tuple[str, ...]:
    """Slice and sensitive columns that the checks name, in order, once each."""
    kinds = ("predictions", "champion_predictions")
    return tuple(dict.fromkeys(column for need in needs if need.kind in kinds for column in need.columns))


def needs_kind(needs: Iterable[Need], *kinds: str) -> bool:
    return any(need.kind in kinds for need in needs)
