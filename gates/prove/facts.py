"""Facts that must be refused: of a table, a package, environments, explanations and other tools' findings."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gates.checks.data_contract import ColumnFacts, DataContract, TableFacts
from gates.checks.environment_drift import EnvironmentDrift, EnvironmentFacts, Installed, ParityFacts
from gates.checks.explanation_stability import ExplanationFacts, ExplanationStability
from gates.checks.findings import LEVELS, Findings, FindingsFacts
from gates.checks.package_sound import PackageFacts, PackageSound
from gates.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gates.checks.spec import Check

    Bad = tuple[str, Evidence]

MANY = 1_000_000


def _each(name: str, bad: dict[str, Any]) -> Iterable[Bad]:
    yield "nothing gathered", Evidence()
    yield "facts of another kind", Evidence(facts={name: {}})
    for what, fact in bad.items():
        yield what, Evidence(facts={name: fact})


def _data_contract(check: Check) -> Iterable[Bad]:
    assert isinstance(check, DataContract)  # noqa: S101  # the table's key is the class's tag
    rows = max(MANY, check.min_rows)
    kept = {name: ColumnFacts(column.dtype or "number", 0) for name, column in check.columns.items()}
    kept |= {name: ColumnFacts("string", 0) for name in check.unique_key if name not in kept}
    good = TableFacts(rows, kept, 0 if check.unique_key else None, (), 0.0 if check.max_age else None)
    bad: dict[str, Any] = {"a table without rows": replace(good, rows=0)}
    if check.min_rows > 1:
        bad[f"fewer rows than {check.min_rows}"] = replace(good, rows=check.min_rows - 1)
    if check.unique_key:
        bad["rows that repeat the key"] = replace(good, duplicates=1)
        bad["a key that nobody counted"] = replace(good, duplicates=None)
    if check.max_age:
        bad["data of unknown age"] = replace(good, age_seconds=None)
        bad["data a century old"] = replace(good, age_seconds=100 * 365.0 * 86400)
    if not check.allow_extra:
        bad["a column more"] = replace(good, columns={**kept, "one more": ColumnFacts("number", 0)})
    for name, column in check.columns.items():
        bad[f"no column '{name}'"] = replace(good, columns={k: v for k, v in kept.items() if k != name})
        for what, broken in _columns(column, kept[name], rows):
            bad[f"{what} in '{name}'"] = replace(good, columns={**kept, name: broken})
    yield from _each("table", bad)


def _columns(promised: Any, kept: ColumnFacts, rows: int) -> Iterable[tuple[str, ColumnFacts]]:
    if promised.max_null_ratio is not None and promised.max_null_ratio < 1.0:
        yield "nothing but nulls", replace(kept, nulls=rows)
    if promised.dtype is not None:
        yield "another type", replace(kept, dtype="other")
    if promised.min is not None:
        yield "a value below the least", replace(kept, below=1)
    if promised.max is not None:
        yield "a value above the most", replace(kept, above=1)
    if promised.allowed is not None:
        yield "a value that is not allowed", replace(kept, not_allowed=1)


def _package_sound(check: Check) -> Iterable[Bad]:
    assert isinstance(check, PackageSound)  # noqa: S101  # as above
    size = (check.max_megabytes or 2.0) / 2.0
    good = PackageFacts(True, True, ("numpy==2.1.0",), True, True, True, True, "", size)
    bad: dict[str, Any] = {}
    if check.signature:
        bad["no signature"] = replace(good, signature=False)
    if check.input_example:
        bad["no input example"] = replace(good, input_example=False)
    if check.pinned:
        bad["a requirement that is not pinned"] = replace(good, requirements=("numpy",))
    if check.max_megabytes is not None:
        bad["a package of twice the size"] = replace(good, megabytes=2.0 * check.max_megabytes)
    if check.predict:
        bad["a model that does not load"] = replace(good, loads=False, predicts=None, predictions_finite=None)
        bad["a model that raises"] = replace(good, predicts=False, predictions_finite=None)
        bad["a model that answers NaN"] = replace(good, predictions_finite=False)
        bad["a model that nobody tried"] = replace(good, loads=None, predicts=None, predictions_finite=None)
    if check.predict and check.clean_environment:
        bad["a model that was tried in your environment only"] = replace(good, clean=False)
    yield from _each("package", bad)


def _environment_drift(check: Check) -> Iterable[Bad]:
    assert isinstance(check, EnvironmentDrift)  # noqa: S101  # as above
    named = [*check.deny_any, *check.deny_minor, *check.deny_major]
    asked = check.prediction_parity
    golden = ParityFacts(asked.rows, 0.0) if asked else None
    here = Installed("3.11.9", {"one": "1.0.0", **dict.fromkeys(named, "1.0.0")})
    good = EnvironmentFacts(here, here, golden)
    bad: dict[str, Any] = {
        "environments that nobody knows": replace(good, serving=Installed("", {})),
    }
    if check.python != "any":
        bad["another major version of Python"] = replace(good, serving=replace(here, python="4.0.0"))
    for name in named:
        other = replace(here, packages={**here.packages, name: "2.0.0"})
        bad[f"another major version of {name}"] = replace(good, serving=other)
    if asked and golden:
        bad["golden rows that nobody asked"] = replace(good, parity=None)
        far = replace(golden, largest=10.0 * (1.0 + asked.atol))
        bad["golden rows answered otherwise"] = replace(good, parity=far)
        bad["golden rows with another label"] = replace(good, parity=replace(golden, mismatched=1))
    yield from _each("environment", bad)


def _explanation_stability(check: Check) -> Iterable[Bad]:
    assert isinstance(check, ExplanationStability)  # noqa: S101  # as above
    import numpy as np

    d = 2 * check.top_k + len(check.forbidden_in_top_k) + 2
    names = (*(f"feature {i}" for i in range(d - len(check.forbidden_in_top_k))), *check.forbidden_in_top_k)
    rows = max(50, min(check.sample, 200))
    noise = np.random.default_rng(1).uniform(0.99, 1.01, (rows, d))
    champion = noise * np.linspace(100.0, 1.0, d)
    good = ExplanationFacts(names, champion[::-1], champion, "shap")
    bad: dict[str, Any] = {
        "a model that looks at nothing": replace(good, candidate=np.zeros_like(champion)),
        "attributions that are NaN": replace(good, candidate=np.full_like(champion, np.nan)),
        "a champion that nobody explained": replace(good, champion=None),
    }
    turned = np.roll(champion, -check.top_k - 1, axis=1)  # none of the champion's top is among the candidate's
    plain = [i for i, name in enumerate(names) if name not in check.forbidden_in_top_k]
    if len(plain) >= 2 * check.top_k:
        apart = champion.copy()
        apart[:, plain] = np.roll(champion[:, plain], check.top_k, axis=1)
        turned = apart
    bad["other features on top, all of them"] = replace(good, candidate=turned)
    for name in check.forbidden_in_top_k:
        leaked = champion.copy()
        leaked[:, names.index(name)] = 1000.0
        bad[f"'{name}' on top"] = replace(good, candidate=leaked, champion=leaked)
    yield from _each("explanations", bad)


def _findings(check: Check) -> Iterable[Bad]:
    assert isinstance(check, Findings)  # noqa: S101  # as above
    clean = dict.fromkeys(LEVELS[check.format], 0)
    good = FindingsFacts(check.format, clean, max(MANY, check.min_evaluated), completed=True)
    other = next(kind for kind in LEVELS if kind != check.format)
    bad = {
        "results of another format": replace(good, format=other),  # type: ignore[arg-type]  # a key of LEVELS
        "a run that broke off": replace(good, completed=False),
        "a run that evaluated nothing": replace(good, evaluated=0),
        **{f"a million of level {level}": replace(good, counts={**clean, level: MANY}) for level in check.allowed},
    }
    yield "nothing gathered", Evidence()
    for what, fact in bad.items():
        yield what, Evidence(facts={"findings": {check.file: fact}})


KNOWN_BAD: dict[str, Callable[[Check], Iterable[Bad]]] = {
    "data_contract": _data_contract,
    "package_sound": _package_sound,
    "environment_drift": _environment_drift,
    "explanation_stability": _explanation_stability,
    "findings": _findings,
}
