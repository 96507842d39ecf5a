"""What the model was trained with against what will serve it.

In this order: the same lock digest is the same environment; else the rules about Python and packages; and where golden
rows are asked for, the predictions must agree whatever the versions say: behaviour beats versions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  # dataclass fields, read by people who build the facts
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from gates.checks import ruling
from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Evidence


@dataclass(frozen=True)
class Installed:
    """One environment: its Python version, e.g. 3.11.9, packages by normalised name, and the digest of its lock."""

    python: str
    packages: Mapping[str, str]
    lock_digest: str | None = None


@dataclass(frozen=True)
class ParityFacts:
    """Golden rows predicted in both environments. largest: the largest absolute difference; mismatched: rows whose
    labels differ (for models that answer with text).
    """

    rows: int
    largest: float
    mismatched: int = 0


@dataclass(frozen=True)
class EnvironmentFacts:
    """facts["environment"]. parity None: golden rows were not predicted."""

    trained: Installed
    serving: Installed
    parity: ParityFacts | None = None


class Parity(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Golden rows that both environments must answer alike."""

    rows: Annotated[int, Meta(description="How many rows to predict in both.", ge=1)]
    atol: Annotated[float, Meta(description="The largest absolute difference that passes.", ge=0)] = 0.0


class EnvironmentDrift(Spec, frozen=True, kw_only=True, tag="environment_drift"):
    """The serving environment may differ from the training one only where the rules allow.

    Needs: `environment` (options.golden_rows: how many rows to predict in both, 0 for none; see EnvironmentFacts).
    """

    python: Annotated[
        Literal["exact", "minor", "major", "any"], Meta(description="How far the Python version must agree.")
    ] = "minor"
    deny_any: Annotated[tuple[str, ...], Meta(description="Packages whose version must be the same.")] = ()
    deny_minor: Annotated[tuple[str, ...], Meta(description="Packages whose major and minor must be the same.")] = ()
    deny_major: Annotated[tuple[str, ...], Meta(description="Packages whose major version must be the same.")] = ()
    prediction_parity: Annotated[
        Parity | None, Meta(description="Golden rows that both environments must answer alike.")
    ] = None

    def needs(self) -> tuple[Need, ...]:
        rows = 0 if self.prediction_parity is None else self.prediction_parity.rows
        return (Need("environment", options={"golden_rows": rows}),)

    def lint(self) -> Iterable[tuple[str, str]]:
        seen: dict[str, str] = {}
        for key, names in (
            ("deny_any", self.deny_any),
            ("deny_minor", self.deny_minor),
            ("deny_major", self.deny_major),
        ):
            for name in names:
                if normalised(name) in seen:
                    yield key, f"'{name}' is already in {seen[normalised(name)]}; name it once"
                seen.setdefault(normalised(name), key)
        if not seen and self.python == "any" and self.prediction_parity is None:
            yield "python", "nothing is required; name packages, a Python version or prediction_parity"
        if self.prediction_parity is not None and not math.isfinite(self.prediction_parity.atol):
            yield "prediction_parity", "atol must be a finite number"

    def explain(self) -> str:
        parts = [] if self.python == "any" else [f"Python must agree ({self.python})"]
        for names, how in (
            (self.deny_any, "exactly"),
            (self.deny_minor, "in major.minor"),
            (self.deny_major, "in major"),
        ):
            if names:
                parts.append(f"{', '.join(names)} must agree {how}")
        if self.prediction_parity is not None:
            parts.append(
                f"{self.prediction_parity.rows} golden rows must be answered within {self.prediction_parity.atol:g}"
            )
        return "; ".join(parts) + ". The same lock digest answers for Python and packages."

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:  # noqa: ARG002  # nothing is estimated
        wanted = ruling.required(
            python=self.python,
            deny_any=list(self.deny_any) or None,
            deny_minor=list(self.deny_minor) or None,
            deny_major=list(self.deny_major) or None,
            golden_rows=None if self.prediction_parity is None else self.prediction_parity.rows,
        )
        facts = evidence.facts.get("environment")
        wrong = self._unsound(facts)
        if not isinstance(facts, EnvironmentFacts) or wrong:
            return ruling.error(self, wrong, wanted)
        same = facts.trained.lock_digest is not None and facts.trained.lock_digest == facts.serving.lock_digest
        broken, missing = ([], []) if same else self._rules(facts.trained, facts.serving)
        n = None if facts.parity is None else facts.parity.rows
        apart = self._behaviour(facts.parity)
        if broken or apart:
            return ruling.result(self, Status.FAIL, "; ".join([*apart, *broken]) + ".", wanted=wanted, n=n)
        if missing:
            return ruling.error(self, "; ".join(missing), wanted)
        why = "the lock digests are equal" if same else "no rule is broken"
        if self.prediction_parity is not None:
            why += f", and {n} golden rows are answered alike"
        return ruling.result(self, Status.PASS, f"{why[0].upper()}{why[1:]}.", wanted=wanted, n=n)

    def _unsound(self, facts: object) -> str:
        if facts is None:
            return "the environments were not compared"
        if not isinstance(facts, EnvironmentFacts):
            return f"the environment is of the wrong type: {type(facts).__name__}"
        sides: tuple[tuple[str, object], ...] = (("training", facts.trained), ("serving", facts.serving))
        for who, one in sides:
            if not isinstance(one, Installed) or not _version(one.python) or not one.packages:
                return f"the {who} environment is not known: no Python version or no packages"
        if self.prediction_parity is None:
            return ""
        parity = facts.parity
        if not isinstance(parity, ParityFacts) or parity.rows < self.prediction_parity.rows:
            rows = parity.rows if isinstance(parity, ParityFacts) else 0
            return f"{rows} golden rows were predicted in both environments, {self.prediction_parity.rows} are asked"
        if not math.isfinite(parity.largest) or parity.largest < 0 or parity.mismatched < 0:
            return f"the golden rows' difference is {parity.largest}, not a number of at least 0"
        return ""

    def _behaviour(self, parity: ParityFacts | None) -> list[str]:
        if self.prediction_parity is None or parity is None:
            return []
        found = []
        if not ruling.at_most(parity.largest, self.prediction_parity.atol):
            found.append(f"golden rows differ by up to {parity.largest:.3g}, over {self.prediction_parity.atol:g}")
        if parity.mismatched:
            found.append(f"{parity.mismatched} of {parity.rows} golden rows get another label")
        return found

    def _rules(self, trained: Installed, serving: Installed) -> tuple[list[str], list[str]]:
        """Rules that are broken, and packages that a rule names and neither environment has."""
        broken, missing = [], []
        depth = {"exact": 9, "minor": 2, "major": 1, "any": 0}[self.python]
        if _version(trained.python)[:depth] != _version(serving.python)[:depth]:
            broken.append(f"Python is {serving.python}, trained with {trained.python}")
        ours = {normalised(name): version for name, version in trained.packages.items()}
        theirs = {normalised(name): version for name, version in serving.packages.items()}
        for names, depth in ((self.deny_any, 0), (self.deny_minor, 2), (self.deny_major, 1)):
            for name in names:
                before, after = ours.get(normalised(name)), theirs.get(normalised(name))
                if before is None and after is None:
                    missing.append(f"'{name}' is in neither environment; correct the name or remove the rule")
                elif before is None or after is None:
                    broken.append(f"{name} is {after or 'missing'}, trained with {before or 'none'}")
                elif before != after and (depth == 0 or _version(before)[:depth] != _version(after)[:depth]):
                    broken.append(f"{name} is {after}, trained with {before}")
        return broken, missing


def normalised(name: str) -> str:
    """A package's name as PEP 503 compares it."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _version(text: Any) -> tuple[str, ...]:
    return tuple(str(text).split("+", maxsplit=1)[0].split(".")) if text else ()
