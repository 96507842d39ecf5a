"""`gates policy check --prove`: a sound policy refuses all that is bad; each hole that a policy can have is found."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from small_project import gates, make
from test_every_check import CASES, SAMPLES, check

from gates import policy
from gates.checks import CHECKS
from gates.checks.spec import Settings
from gates.prove import KNOWN_BAD, Proof, prove
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from gates.evidence import Evidence

TODAY = date(2026, 11, 21)
DESIGN = Path(__file__).resolve().parents[1] / "golden/policies/credit-risk.yml"


def proved(text: str) -> tuple[Proof, ...]:
    return prove(policy.load(text.encode(), Path("policy.yml"), today=TODAY), TODAY)


def one(line: str, stage: str = "validate", more: str = "") -> Proof:
    found = proved(f"version: 1\nname: p\nstages:\n  {stage}:\n    checks:\n      - {{id: x, {line}}}\n{more}")
    return next(proof for proof in found if proof.check == "x")


def test_there_is_bad_evidence_for_every_check() -> None:
    assert KNOWN_BAD.keys() == CHECKS.keys()


@pytest.mark.parametrize(("kind", "raw"), CASES)
def test_every_check_as_people_write_it_refuses_all_of_it(kind: str, raw: dict[str, Any]) -> None:
    made = check(kind, raw)
    bad = list(KNOWN_BAD[kind](made))
    assert len(bad) >= 3
    assert len({what for what, _ in bad}) == len(bad)
    for what, evidence in bad:
        result = made.decide(evidence, Settings())
        said_so = raw.get("decide_on") == "point"  # a hole of the sample's own, which the next test names
        assert result.status is not Status.PASS or said_so, (what, result)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("type: threshold, metric: accuracy, min: 0.0", "every answer wrong"),
        ("type: threshold, metric: accuracy, min: 0.4", "three rows, answered rightly"),
        ("type: threshold, metric: accuracy, min: 0.9, decide_on: point", "three rows, answered rightly"),
        ("type: threshold, metric: f1, min: 0.9, on_inconclusive: warn", "three rows, answered rightly"),
        ("type: threshold, metric: brier, max: 1.0", "every answer wrong"),
        ("type: champion_delta, metric: accuracy, margin: {absolute: 0.6}", "three rows, both right"),
        ("type: champion_delta, metric: f1, margin: {absolute: 0.9}", "worse than the champion in nine rows of ten"),
        (
            "type: slice_threshold, metric: recall, by: [region], min: 0.0",
            "every answer wrong where region is a",
        ),
        (
            "type: fairness, metric: demographic_parity_difference, sensitive: [sex], max: 1.0",
            "every a of sex answered positive, nobody else",
        ),
        (
            "type: latency_quantile, signal: s, q: 0.95, max_ms: 9, on_inconclusive: warn",
            "one value, a quick one",
        ),
        ("type: rate, signal: s, ok: 0.01, bad: 0.99, on_inconclusive: warn", "one request, without an error"),
        (
            "type: rate_ratio, signal: s, max_ratio: 3, on_inconclusive: warn",
            "one request each, without an error",
        ),
        ("type: drift, effect: {psi_max: 0.2, ks_max: 0.1}, on_inconclusive: warn", "too few values to compare"),
        ("type: findings, file: f, format: sarif, max: {error: 2000000}", "a million of level error"),
        ("type: environment_drift, deny_any: [numpy], prediction_parity: {rows: 5, atol: 1.0}", ""),
        ("type: data_contract, min_rows: 5", ""),
        ("type: package_sound", ""),
        ("type: explanation_stability, top_k: 5, min_overlap: 0.8, forbidden_in_top_k: [id]", ""),
        (
            "type: champion_delta, metric: accuracy, margin: {absolute: 0.01}",
            "",
        ),
        ("type: threshold, metric: rmse, max: 3.5", ""),
        ("type: threshold, metric: r2, min: 0.5", ""),
        ("type: threshold, metric: accuracy, max: 0.99", ""),
        ("type: threshold, metric: true_positives, min: 100", ""),
        ("type: threshold, metric: 'mine:cost', max: 10.0", ""),
        ("type: champion_delta, metric: mae, margin: {relative: 0.1}", ""),
        ("type: slice_threshold, metric: mae, by: [region], max: 4.0, required: {region: [n, s]}", ""),
    ],
)
def test_a_hole_is_named_and_a_sound_check_has_none(line: str, what: str) -> None:
    proof = one(line)
    assert proof.tried >= 3
    assert [hole.what for hole in proof.holes][:1] == ([what] if what else [])
    assert all(hole.reason for hole in proof.holes)


def test_a_waiver_that_excuses_everything_is_a_hole_and_advice_is_none() -> None:
    floor = "type: threshold, metric: accuracy, min: 0.85"
    waiver = 'waivers:\n  - {check: x, reason: r, approved_by: "user:x", expires: "2026-12-31"}\n'
    assert [hole.what for hole in one(floor, more=waiver).holes] == ["every answer wrong"]
    for_one = waiver.replace("}\n", ', model_version: "42"}\n')
    assert one(floor, more=for_one).holes == ()
    assert (one(floor).advisory, one(floor + ", severity: warn").advisory) == (False, True)


def test_a_check_that_let_no_evidence_pass_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The defect planted: a check that passes whatever it is shown."""

    def content(self: Any, evidence: Evidence, settings: Settings) -> CheckResult:
        return CheckResult(self.id, "", Status.PASS, "Fine.")

    for kind, of in CHECKS.items():
        raw = SAMPLES[kind][0]
        line = f"type: {kind}, " + ", ".join(f"{key}: {_flow(value)}" for key, value in raw.items())
        with monkeypatch.context() as patched:
            patched.setattr(of, "decide", content)
            proof = one(line)
        assert len(proof.holes) == proof.tried, kind


def _flow(value: Any) -> str:
    """A value as flow YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return f"{value:.12f}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize(
    ("checks", "through"),
    [
        (["metric: accuracy, min: 0.85"], [True, False]),
        (["metric: accuracy, min: 0.85", "metric: f1, min: 0.2"], []),
        (["metric: expected_calibration_error, max: 0.05"], [True, True]),
        (["metric: roc_auc, min: 0.6"], []),
    ],
)
def test_models_that_learnt_nothing_are_tried_on_the_whole_stage(checks: list[str], through: list[bool]) -> None:
    """Accuracy alone lets through who always says no, where few are positive; a calibrated constant is calibrated."""
    lines = "".join(f"      - {{id: c{i}, type: threshold, {line}}}\n" for i, line in enumerate(checks))
    found = proved(f"version: 1\nname: p\nstages:\n  validate:\n    checks:\n{lines}")[-1]
    assert (found.check, found.tried) == ("", 6)
    assert [any("never answers" in h.what for h in found.holes), any("lot, where 50%" in h.what for h in found.holes)][
        : len(through)
    ] == through
    assert bool(found.holes) == bool(through)


def test_the_policy_of_the_design_refuses_everything() -> None:
    found = proved(DESIGN.read_text(encoding="utf-8"))
    assert [(proof.check, [hole.what for hole in proof.holes]) for proof in found if proof.holes] == []
    assert {proof.stage for proof in found} == {"train", "validate", "register", "deploy", "canary", "drift"}
    assert sum(proof.tried for proof in found) > 150


def test_the_command_says_what_is_let_through_and_exits_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lax = "version: 1\nname: lax\nstages:\n  validate:\n    checks:\n"
    lax += "      - {id: floor, type: threshold, metric: accuracy, min: 0.8, decide_on: point}\n"
    lax += "      - {id: hint, type: threshold, metric: f1, min: 0.8, severity: warn}\n"
    folder = make(tmp_path / "p", policy=lax)
    assert gates(folder, capsys, "policy check").exit_code == 0
    said = gates(folder, capsys, "policy check --prove")
    assert said.exit_code == 1
    assert "  floor: LETS THROUGH 1 of 7 (line 6)\n    three rows, answered rightly. PASS: accuracy is 1" in said.out
    assert "  hint: advisory, so it refuses nothing; blocking, it would refuse 7 of 7" in said.out
    assert said.err == "error: policy.yml:6: the policy lets through what must be refused: floor, stage validate\n"
    sound = make(tmp_path / "q", policy=lax.replace(", decide_on: point", "").replace(", severity: warn", ""))
    said = gates(sound, capsys, "policy check --prove")
    assert (said.exit_code, said.err) == (0, "")
    assert "LETS THROUGH" not in said.out
    assert "  floor: refuses all 7\n" in said.out


def test_bad_evidence_beside_good_is_bad_for_one_reason_only() -> None:
    """What is spoilt is otherwise good: the same predictions, whole, pass the floor that refuses them spoilt."""
    made = check("threshold", {"metric": "accuracy", "min": 0.85})
    bad = dict(KNOWN_BAD["threshold"](made))
    spoilt = bad["one prediction that is NaN"].candidate
    assert spoilt is not None
    whole = replace(spoilt, prediction=spoilt.target)
    assert made.decide(replace(bad["no predictions"], candidate=whole), Settings()).status is Status.PASS
