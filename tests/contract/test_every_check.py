"""One suite over every check: no evidence never passes, nothing raises, order and repetition change nothing."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gates.checks import CHECKS
from gates.checks.data_contract import ColumnFacts, TableFacts
from gates.checks.environment_drift import EnvironmentFacts, Installed, ParityFacts
from gates.checks.explanation_stability import ExplanationFacts
from gates.checks.findings import FindingsFacts
from gates.checks.package_sound import PackageFacts
from gates.checks.spec import Check, Settings
from gates.drift.found import ColumnDrift
from gates.evidence import Counted, Evidence, Predictions
from gates.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Callable

SAMPLES: dict[str, list[dict[str, Any]]] = {
    "threshold": [
        {"metric": "accuracy", "min": 0.6},
        {"metric": "f1", "min": 0.6},
        {"metric": "roc_auc", "min": 0.6},
        {"metric": "brier", "max": 0.4},
        {"metric": "log_loss", "max": 1.0, "decide_on": "ci_upper"},
        {"metric": "average_precision", "min": 0.6, "decide_on": "point"},
        {"metric": "artifact_megabytes", "max": 500.0},
    ],
    "champion_delta": [
        {"metric": "accuracy", "margin": {"absolute": 0.1}},
        {"metric": "f1", "margin": {"relative": 0.2}},
        {"metric": "roc_auc", "margin": {"absolute": 0.1}, "method": "delong"},
        {"metric": "brier", "margin": {"absolute": 0.1}},
    ],
    "slice_threshold": [{"metric": "recall", "by": ["sex"], "required": {"sex": ["F", "M"]}, "min": 0.5}],
    "fairness": [
        {"metric": "demographic_parity_difference", "sensitive": ["sex"], "max": 0.5, "max_regression": 0.3},
        {"metric": "equalized_odds_ratio", "sensitive": ["sex"], "min": 0.1, "required_groups": {"sex": ["F", "M"]}},
    ],
    "latency_quantile": [{"signal": "latency_ms", "q": 0.95, "max_ms": 350.0, "min_samples": 100}],
    "rate": [{"signal": "http_5xx", "ok": 0.005, "bad": 0.02}],
    "rate_ratio": [{"signal": "http_5xx", "max_ratio": 3.0}],
    "drift": [{"effect": {"psi_max": 0.2, "ks_max": 0.1}}],
    "explanation_stability": [{"top_k": 2, "min_overlap": 0.5, "forbidden_in_top_k": ["id"]}],
    "environment_drift": [{"deny_any": ["numpy"], "prediction_parity": {"rows": 10, "atol": 1e-6}}],
    "data_contract": [
        {
            "columns": {"age": {"dtype": "integer", "min": 18, "max_null_ratio": 0.1}},
            "unique_key": ["age"],
            "max_age": "7d",
        }
    ],
    "package_sound": [{"max_megabytes": 10.0}],
    "findings": [{"file": "scan.sarif", "format": "sarif"}],
}
UNDECIDABLE = ("explanation_stability", "environment_drift", "data_contract", "package_sound", "findings")
"""What these look at either is so or is not."""
CASES = [pytest.param(kind, raw, id=f"{kind}-{i}") for kind, rows in SAMPLES.items() for i, raw in enumerate(rows)]
N = 300


def check(kind: str, raw: dict[str, Any]) -> Check:
    return msgspec.convert({"id": "x", "type": kind, **raw}, CHECKS[kind])


def predictions(seed: int) -> Predictions:
    rng = np.random.default_rng(7)
    target = rng.permutation(np.arange(N) % 2)
    sex = rng.permutation(np.array(["F", "M"])[np.arange(N) % 2])
    noise = np.random.default_rng(seed).normal(0, 0.18, N)
    scores = np.clip(0.25 + 0.5 * target + noise, 0.01, 0.99)
    return Predictions(
        target=target,
        prediction=(scores > 0.5).astype(np.int64),
        scores=scores,
        labels=(0, 1),
        positive_label=1,
        groups={"sex": sex},
        row_id=np.arange(N),
    )


def good() -> Evidence:
    rng = np.random.default_rng(1)
    attributions = np.abs(rng.normal([3.0, 2.0, 0.1, 0.1], 0.1, (50, 4)))
    same = Installed("3.11.9", {"numpy": "2.1.0"}, None)
    return Evidence(
        candidate=predictions(1),
        champion=predictions(2),
        metrics={"artifact_megabytes": 12.0},
        samples={"latency_ms": rng.gamma(4, 10, 1000)},
        counts={"http_5xx": Counted(20, 10_000)},
        champion_counts={"http_5xx": Counted(20, 10_000)},
        drift=(
            ColumnDrift(
                "age", "numeric", 5000, 4000, 0, 0, 0.0, (-0.001, 0.001), 1.0, 0.01, 0.0, 0.8, 0.001, 0.002, 0.1
            ),
        ),
        facts={
            "explanations": ExplanationFacts(("a", "b", "c", "id"), attributions, attributions[::-1] * 1.01, "shap"),
            "environment": EnvironmentFacts(same, same, ParityFacts(10, 0.0)),
            "table": TableFacts(100, {"age": ColumnFacts("integer", 2)}, 0, (), 3600.0),
            "package": PackageFacts(True, True, ("numpy==2.1.0",), True, True, True, True, "", 5.0),
            "findings": {"scan.sarif": FindingsFacts("sarif", {"error": 0, "warning": 3, "note": 0}, 1, True)},
        },
    )


def test_every_check_has_a_sample() -> None:
    assert SAMPLES.keys() == CHECKS.keys()


@pytest.mark.parametrize(("kind", "raw"), CASES)
def test_good_evidence_passes_so_that_bad_evidence_can_fail(kind: str, raw: dict[str, Any]) -> None:
    result = check(kind, raw).decide(good(), Settings())
    assert result.status is Status.PASS, result
    assert (result.id, result.type) == ("x", kind)
    assert result.reason.endswith((".", ")")) or kind == "drift"


@pytest.mark.parametrize(("kind", "raw"), CASES)
def test_sample_is_clean_says_what_it_needs_and_explains_itself(kind: str, raw: dict[str, Any]) -> None:
    made = check(kind, raw)
    assert list(made.lint()) == []
    assert made.needs()
    assert len(made.explain()) > 20
    assert "\n" not in made.explain()


@pytest.mark.parametrize("kind", CHECKS)
def test_every_field_is_described_and_unknown_ones_are_refused(kind: str) -> None:
    _, components = msgspec.json.schema_components([CHECKS[kind]])
    described = components[CHECKS[kind].__name__]["properties"]
    bare = [name for name, schema in described.items() if name != "type" and "description" not in schema]
    assert not bare
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        check(kind, {**SAMPLES[kind][0], "treshold": 1})


@pytest.mark.parametrize(("kind", "raw"), CASES)
def test_no_evidence_is_an_error(kind: str, raw: dict[str, Any]) -> None:
    assert check(kind, raw).decide(Evidence(), Settings()).status is Status.ERROR


@pytest.mark.parametrize(("kind", "raw"), CASES)
def test_an_absent_champion_never_passes_a_comparison(kind: str, raw: dict[str, Any]) -> None:
    without = replace(good(), champion=None, champion_counts={}, champion_absent=True)
    strict, bootstrap = Settings(), Settings(champion_when_absent="bootstrap")
    made = check(kind, raw)
    if any(need.kind.startswith("champion") for need in made.needs()) and kind != "fairness":
        assert made.decide(without, strict).status is Status.ERROR
        assert made.decide(without, bootstrap).status is Status.SKIPPED
        assert made.decide(replace(without, champion_absent=False), bootstrap).status is Status.ERROR


def test_importing_the_checks_imports_no_numpy() -> None:
    code = (
        "import sys, gates.checks, gates.metrics; print([m for m in ('numpy', 'scipy', 'pyarrow') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


# What may be wrong with predictions; each leaves nothing that may pass.
def _with(part: Predictions, **changes: Any) -> Predictions:
    return replace(part, **changes)


def _spoilt(values: Any, bad: Any) -> Any:
    out = np.asarray(values).astype(object) if not isinstance(bad, float) else np.asarray(values).astype(float)
    out[len(out) // 2] = bad
    return out


PREDICTIONS: dict[str, Callable[[Predictions], Predictions]] = {
    "nan target": lambda p: _with(p, target=_spoilt(p.target, float("nan"))),
    "none target": lambda p: _with(p, target=_spoilt(p.target, None)),
    "nan prediction": lambda p: _with(p, prediction=_spoilt(p.prediction, float("nan"))),
    "infinite prediction": lambda p: _with(p, prediction=_spoilt(p.prediction, float("inf"))),
    "mixed prediction": lambda p: _with(p, prediction=_spoilt(p.prediction, "1")),
    "text prediction": lambda p: _with(p, prediction=p.prediction.astype(str)),
    "object prediction": lambda p: _with(p, prediction=np.array([object()] * p.n)),
    "dates": lambda p: _with(p, target=np.array(["2024-01-01"] * p.n, dtype="datetime64[D]")),
    "two columns": lambda p: _with(p, target=np.stack([p.target, p.target], axis=1)),
    "a scalar": lambda p: _with(p, prediction=np.array(1)),
    "short prediction": lambda p: _with(p, prediction=p.prediction[:-1]),
    "long prediction": lambda p: _with(p, prediction=np.r_[p.prediction, 1]),
    "empty": lambda p: _cut(p, 0),
    "one row": lambda p: _cut(p, 1),
    "two rows": lambda p: _cut(p, 2),
    "one class": lambda p: _with(p, target=np.ones(p.n, dtype=np.int64)),
    "no class": lambda p: _with(p, target=np.zeros(p.n, dtype=np.int64)),
}
SCORES: dict[str, Callable[[Predictions], Predictions]] = {
    "none": lambda p: _with(p, scores=None),
    "nan": lambda p: _with(p, scores=_spoilt(p.scores, float("nan"))),
    "infinite": lambda p: _with(p, scores=_spoilt(p.scores, float("inf"))),
    "text": lambda p: _with(p, scores=np.array(["0.5"] * p.n)),
    "short": lambda p: _with(p, scores=np.asarray(p.scores)[:-1]),
    "three columns": lambda p: _with(p, scores=np.full((p.n, 3), 1 / 3)),
}
GROUPS: dict[str, Any] = {
    "absent": {},
    "short": {"sex": np.array(["F", "M"])},
    "gaps": {"sex": np.array([None, "M"] * (N // 2), dtype=object)},
    "nan": {"sex": np.array([np.nan, 1.0] * (N // 2))},
    "one group": {"sex": np.array(["F"] * N)},
    "one of the other": {"sex": np.array(["M"] + ["F"] * (N - 1))},
}


def _cut(p: Predictions, n: int) -> Predictions:
    return replace(
        p,
        target=p.target[:n],
        prediction=p.prediction[:n],
        scores=None if p.scores is None else p.scores[:n],
        groups={name: values[:n] for name, values in p.groups.items()},
        row_id=None if p.row_id is None else p.row_id[:n],
    )


def _refuses(kind: str, raw: dict[str, Any], evidence: Evidence) -> None:
    result = check(kind, raw).decide(evidence, Settings())
    assert result.status is not Status.PASS, result
    assert result.reason


JUDGES_PREDICTIONS = [
    case for case in CASES if str(case.id).split("-")[0] in ("champion_delta", "slice_threshold", "fairness")
] + [case for case in CASES if str(case.id).startswith("threshold") and case.id != "threshold-6"]


@pytest.mark.parametrize("wrong", PREDICTIONS)
@pytest.mark.parametrize(("kind", "raw"), JUDGES_PREDICTIONS)
def test_unsound_predictions_never_pass(kind: str, raw: dict[str, Any], wrong: str) -> None:
    whole = good()
    assert whole.candidate is not None
    assert whole.champion is not None
    spoilt = PREDICTIONS[wrong](whole.candidate)
    _refuses(kind, raw, replace(whole, candidate=spoilt))
    _refuses(kind, raw, replace(whole, candidate=spoilt, champion=PREDICTIONS[wrong](whole.champion)))
    if kind == "champion_delta":
        _refuses(kind, raw, replace(whole, champion=PREDICTIONS[wrong](whole.champion)))


@pytest.mark.parametrize("wrong", SCORES)
@pytest.mark.parametrize(("kind", "raw"), [c for c in CASES if "roc_auc" in str(c.values) or "brier" in str(c.values)])
def test_unsound_scores_never_pass(kind: str, raw: dict[str, Any], wrong: str) -> None:
    whole = good()
    assert whole.candidate is not None
    _refuses(kind, raw, replace(whole, candidate=SCORES[wrong](whole.candidate)))


@pytest.mark.parametrize("wrong", GROUPS)
@pytest.mark.parametrize(("kind", "raw"), [case for case in CASES if str(case.id).startswith(("slice", "fairness"))])
def test_unsound_groups_never_pass(kind: str, raw: dict[str, Any], wrong: str) -> None:
    whole = good()
    assert whole.candidate is not None
    _refuses(kind, raw, replace(whole, candidate=replace(whole.candidate, groups=GROUPS[wrong])))


@pytest.mark.parametrize(("kind", "raw"), [case for case in CASES if str(case.id).startswith("champion_delta")])
def test_other_rows_are_no_comparison(kind: str, raw: dict[str, Any]) -> None:
    whole = good()
    champion = whole.champion
    assert champion is not None
    for other in (
        replace(champion, row_id=np.arange(N) + 1),
        replace(champion, row_id=None),
        replace(champion, row_id=np.zeros(N, dtype=np.int64)),
        replace(champion, row_id=champion.row_id[::-1] if champion.row_id is not None else None),
        replace(champion, target=1 - champion.target),
        _cut(champion, N - 1),
    ):
        result = check(kind, raw).decide(replace(whole, champion=other), Settings())
        assert result.status is Status.ERROR, result


def test_rows_in_another_order_are_matched_by_their_ids() -> None:
    whole = good()
    order = np.random.default_rng(3).permutation(N)
    assert whole.champion is not None
    moved = _taken(whole.champion, order)
    for kind, raw in (("champion_delta", SAMPLES["champion_delta"][0]), ("fairness", SAMPLES["fairness"][0])):
        same = check(kind, raw).decide(whole, Settings())
        assert check(kind, raw).decide(replace(whole, champion=moved), Settings()) == same


def _taken(p: Predictions, order: Any) -> Predictions:
    return replace(
        p,
        target=p.target[order],
        prediction=p.prediction[order],
        scores=None if p.scores is None else p.scores[order],
        groups={name: values[order] for name, values in p.groups.items()},
        row_id=None if p.row_id is None else p.row_id[order],
        entity=None if p.entity is None else p.entity[order],
    )


@pytest.mark.parametrize("entity", [False, True])
@pytest.mark.parametrize(("kind", "raw"), CASES)
def test_the_order_of_rows_changes_nothing(kind: str, raw: dict[str, Any], entity: bool) -> None:
    whole = good()
    assert whole.candidate is not None
    assert whole.champion is not None
    codes = np.arange(N) // 3 if entity else None
    a, b = replace(whole.candidate, entity=codes), replace(whole.champion, entity=codes)
    order = np.random.default_rng(5).permutation(N)
    facts = dict(whole.facts)
    explained = facts["explanations"]
    facts["explanations"] = replace(explained, candidate=explained.candidate[::-1], champion=explained.champion[::-1])
    first = replace(whole, candidate=a, champion=b)
    second = replace(
        whole,
        candidate=_taken(a, order),
        champion=_taken(b, order),
        samples={name: values[::-1] for name, values in whole.samples.items()},
        facts=facts,
    )
    made = check(kind, raw)
    assert made.decide(first, Settings()) == made.decide(second, Settings())
    assert made.decide(first, Settings()) == made.decide(first, Settings())


WORTHLESS = st.one_of(
    st.none(),
    st.sampled_from([float("nan"), float("inf"), float("-inf"), "", "0.9", True, [], {}, b"1"]),
    st.integers(max_value=-1),
)


@given(value=WORTHLESS)
@settings(max_examples=60, deadline=None)
def test_a_worthless_ready_figure_is_an_error(value: Any) -> None:
    for raw in ({"metric": "accuracy", "max": 2.0}, {"metric": "artifact_megabytes", "max": 500.0}):
        if isinstance(value, int) and not isinstance(value, bool):
            continue
        result = check("threshold", raw).decide(
            Evidence(metrics={raw["metric"]: value}, self_reported=True),  # type: ignore[dict-item]  # wrong on purpose
            Settings(),
        )
        assert result.status is Status.ERROR, result


@given(bad=st.one_of(WORTHLESS, st.floats()), n=st.one_of(WORTHLESS, st.floats()))
@settings(max_examples=80, deadline=None)
def test_worthless_counts_never_pass(bad: Any, n: Any) -> None:
    for counted in (Counted(bad, n), Counted(bad, 1000), Counted(0, n), Counted(11, 10), Counted(0, 0), (0, 1000)):
        for kind in ("rate", "rate_ratio"):
            for final in (True, False):
                evidence = Evidence(
                    counts={"http_5xx": counted},  # type: ignore[dict-item]  # wrong on purpose
                    champion_counts={"http_5xx": Counted(5, 1000)},
                    final=final,
                )
                _refuses(kind, SAMPLES[kind][0], evidence)


@given(values=st.lists(st.one_of(st.floats(), st.floats(min_value=0, max_value=400)), max_size=58), final=st.booleans())
@settings(max_examples=100, deadline=None)
def test_few_or_unsound_times_never_pass(values: list[float], final: bool) -> None:
    raw = {"signal": "latency_ms", "q": 0.95, "max_ms": 350.0}
    _refuses("latency_quantile", raw, Evidence(samples={"latency_ms": np.array(values)}, final=final))


@pytest.mark.parametrize(
    "values", [np.array(["1"] * 500), np.array([None] * 500), np.ones((500, 2)), np.array(5.0), -np.ones(500)]
)
def test_times_of_the_wrong_type_are_an_error(values: Any) -> None:
    result = check("latency_quantile", SAMPLES["latency_quantile"][0]).decide(
        Evidence(samples={"latency_ms": values}), Settings()
    )
    assert result.status is Status.ERROR


def _fact(name: str, value: Any) -> Evidence:
    whole = good()
    return replace(whole, facts={**whole.facts, name: value})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("explanation_stability", "explanations"),
        ("environment_drift", "environment"),
        ("data_contract", "table"),
        ("package_sound", "package"),
        ("findings", "findings"),
    ],
)
@pytest.mark.parametrize("value", [None, {}, [], "x", 1.0, float("nan"), True])
def test_facts_of_the_wrong_type_are_an_error(kind: str, name: str, value: Any) -> None:
    result = check(kind, SAMPLES[kind][0]).decide(_fact(name, value), Settings())
    assert result.status is Status.ERROR


ATTRIBUTIONS = good().facts["explanations"].candidate


@pytest.mark.parametrize(
    "wrong",
    [
        np.full_like(ATTRIBUTIONS, np.nan),
        np.full_like(ATTRIBUTIONS, np.inf),
        np.zeros_like(ATTRIBUTIONS),
        ATTRIBUTIONS[:0],
        ATTRIBUTIONS[:1],
        ATTRIBUTIONS[:, :3],
        ATTRIBUTIONS[0],
        ATTRIBUTIONS.astype(str),
    ],
)
def test_worthless_explanations_never_pass(wrong: Any) -> None:
    facts = good().facts["explanations"]
    for changed in (replace(facts, candidate=wrong), replace(facts, champion=wrong)):
        _refuses("explanation_stability", SAMPLES["explanation_stability"][0], _fact("explanations", changed))


@given(
    rows=st.integers(-2, 9) | st.just(10),
    largest=st.floats() | st.just(0.0),
    mismatched=st.integers(-3, 3),
)
@settings(max_examples=80, deadline=None)
def test_golden_rows_that_differ_or_are_missing_never_pass(rows: int, largest: float, mismatched: int) -> None:
    whole = good().facts["environment"]
    evidence = _fact("environment", replace(whole, parity=ParityFacts(rows, largest, mismatched)))
    result = check("environment_drift", SAMPLES["environment_drift"][0]).decide(evidence, Settings())
    fine = rows >= 10 and 0 <= largest <= 1e-6 * (1 + 1e-12) and mismatched == 0
    assert (result.status is Status.PASS) == fine


@pytest.mark.parametrize(
    "changes", [{"nulls": -1}, {"nulls": 101}, {"nulls": 1.5}, {"nulls": 100}, {"below": 1}, {"dtype": "string"}]
)
def test_columns_that_break_or_cannot_keep_a_promise_never_pass(changes: dict[str, Any]) -> None:
    facts = good().facts["table"]
    column = replace(facts.columns["age"], **changes)
    _refuses("data_contract", SAMPLES["data_contract"][0], _fact("table", replace(facts, columns={"age": column})))


@pytest.mark.parametrize(
    "changes", [{"rows": 0}, {"rows": -1}, {"duplicates": None}, {"duplicates": 1}, {"age_seconds": None},
                {"age_seconds": float("nan")}, {"age_seconds": 7.1 * 86400}, {"columns": {}}]
)  # fmt: skip
def test_tables_that_break_a_promise_never_pass(changes: dict[str, Any]) -> None:
    facts = good().facts["table"]
    _refuses("data_contract", SAMPLES["data_contract"][0], _fact("table", replace(facts, **changes)))


@pytest.mark.parametrize(
    "changes", [{"loads": None}, {"loads": False}, {"predicts": None}, {"predicts": False}, {"clean": False},
                {"predictions_finite": False}, {"predictions_finite": None}, {"signature": False},
                {"input_example": False}, {"megabytes": float("nan")}, {"megabytes": None}, {"megabytes": 10.1}]
)  # fmt: skip
def test_packages_that_lack_something_never_pass(changes: dict[str, Any]) -> None:
    facts = good().facts["package"]
    _refuses("package_sound", SAMPLES["package_sound"][0], _fact("package", replace(facts, **changes)))


@pytest.mark.parametrize(
    "changes", [{"counts": {}}, {"counts": {"error": 1}}, {"counts": {"error": -1}}, {"counts": {"error": "0"}},
                {"counts": {"error": 0.0}}, {"evaluated": 0}, {"completed": False}, {"format": "junit"}]
)  # fmt: skip
def test_findings_that_say_nothing_never_pass(changes: dict[str, Any]) -> None:
    facts = good().facts["findings"]["scan.sarif"]
    _refuses("findings", SAMPLES["findings"][0], _fact("findings", {"scan.sarif": replace(facts, **changes)}))


@given(data=st.data())
@settings(max_examples=150, deadline=None)
def test_arbitrary_columns_never_raise_and_never_pass_with_a_gap(data: Any) -> None:
    cell = st.one_of(st.none(), st.floats(), st.integers(-2, 2), st.booleans(), st.sampled_from(["0", "1", "a", ""]))
    n = data.draw(st.integers(0, 12))
    column = st.lists(cell, min_size=n, max_size=n)
    target, prediction, group = (np.array(data.draw(column), dtype=object) for _ in range(3))
    scores = np.array(data.draw(st.lists(st.floats(), min_size=n, max_size=n)), dtype=float)
    made = Predictions(target, prediction, scores, positive_label=data.draw(cell), groups={"sex": group})
    for kind, rows in SAMPLES.items():
        for raw in rows:
            if (
                kind in ("threshold", "champion_delta", "slice_threshold", "fairness")
                and raw["metric"] != "artifact_megabytes"
            ):
                result = check(kind, raw).decide(Evidence(candidate=made, champion=made), Settings())
                gap = any(v is None or v != v for v in [*target, *prediction])
                assert not (gap and result.status is Status.PASS), result
                if n == 0:
                    assert result.status is Status.ERROR


def fewer(n: int) -> Evidence:
    """Good evidence of n rows or requests."""
    whole = good()
    assert whole.candidate is not None
    assert whole.champion is not None
    assert whole.drift is not None
    return replace(
        whole,
        candidate=_cut(whole.candidate, n),
        champion=_cut(whole.champion, n),
        samples={name: values[:n] for name, values in whole.samples.items()},
        counts={"http_5xx": Counted(1, n)},
        champion_counts={"http_5xx": Counted(1, n)},
        drift=tuple(replace(column, n_ref=n, n_cur=n) for column in whole.drift),
    )


CLOSE: dict[str, dict[str, Any]] = {
    "threshold": {"min": 0.93},
    "slice_threshold": {"min": 0.93},
    "champion_delta": {"margin": {"absolute": 0.005}},
    "fairness": {"max": 0.02},
}


@pytest.mark.parametrize("final", [True, False])
@pytest.mark.parametrize("kind", [kind for kind in CHECKS if kind not in UNDECIDABLE])
def test_what_is_undecided_says_how_many_would_decide(kind: str, *, final: bool) -> None:
    """More than there are, in the same unit; slices say how many of theirs."""
    seen = []
    for n in (5, 12, 20, 30, 40, 60, 100, 200, 300):
        for raw in SAMPLES[kind]:
            near = {key: value for key, value in CLOSE.get(kind, {}).items() if key in raw}
            for asked in (raw, {**raw, **near}):
                result = check(kind, asked).decide(replace(fewer(n), final=final), Settings())
                if result.status is Status.INCONCLUSIVE:
                    seen.append(result)
                    assert result.n_needed is not None, result
                    assert result.n is not None, result
                    assert result.n_needed > result.n or kind == "slice_threshold", result
    assert seen, kind
