"""environment_drift: lock digest, then rules, and golden rows whatever the versions say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from decided import brief, check, decide, lints

from gates.checks.environment_drift import EnvironmentFacts, Installed, ParityFacts
from gates.evidence import Evidence
from gates.verdict import Status

TRAINED = Installed("3.11.9", {"scikit-learn": "1.5.2", "numpy": "2.1.0", "pandas": "2.2.3"}, "sha256:a")
RULES: dict[str, Any] = {"deny_any": ["Scikit_Learn"], "deny_minor": ["numpy"], "deny_major": ["pandas"]}
GOLDEN: dict[str, Any] = {"prediction_parity": {"rows": 200, "atol": 1e-6}}


def serving(python: str = "3.11.9", digest: str | None = "sha256:b", **versions: str | None) -> EnvironmentFacts:
    packages = {**TRAINED.packages, **{name.replace("_", "-"): version for name, version in versions.items()}}
    kept = {name: version for name, version in packages.items() if version is not None}
    return EnvironmentFacts(TRAINED, Installed(python, kept, digest))


def judged(facts: object, **raw: Any) -> tuple[Status, str]:
    return brief(decide("environment_drift", Evidence(facts={"environment": facts}), **{**RULES, **raw}))


@pytest.mark.parametrize(
    ("facts", "status", "reason"),
    [
        (serving(), Status.PASS, "No rule is broken."),
        (serving(python="3.11.2", numpy="2.1.7", pandas="2.9.0"), Status.PASS, "No rule is broken."),
        (serving(python="3.12.0"), Status.FAIL, "Python is 3.12.0, trained with 3.11.9."),
        (serving(scikit_learn="1.5.3"), Status.FAIL, "Scikit_Learn is 1.5.3, trained with 1.5.2."),
        (serving(numpy="2.2.0"), Status.FAIL, "numpy is 2.2.0, trained with 2.1.0."),
        (serving(pandas="3.0.0"), Status.FAIL, "pandas is 3.0.0, trained with 2.2.3."),
        (serving(numpy=None), Status.FAIL, "numpy is missing, trained with 2.1.0."),
        (serving(python="3.12.0", digest="sha256:a", numpy="9.0"), Status.PASS, "The lock digests are equal."),
    ],
)
def test_digest_then_rules(facts: EnvironmentFacts, status: Status, reason: str) -> None:
    assert judged(facts) == (status, reason)


@pytest.mark.parametrize(
    ("python", "served", "status"),
    [
        ("exact", "3.11.9", Status.PASS), ("exact", "3.11.8", Status.FAIL), ("minor", "3.11.8", Status.PASS),
        ("minor", "3.10.9", Status.FAIL), ("major", "3.10.9", Status.PASS), ("major", "4.11.9", Status.FAIL),
        ("any", "4.0.0", Status.PASS),
    ],
)  # fmt: skip
def test_how_far_python_must_agree(python: str, served: str, status: Status) -> None:
    assert judged(serving(python=served), python=python)[0] is status


@pytest.mark.parametrize(
    ("parity", "status", "reason"),
    [
        (ParityFacts(200, 1e-6), Status.PASS, "The lock digests are equal, and 200 golden rows are answered alike."),
        (ParityFacts(200, 2e-6), Status.FAIL, "golden rows differ by up to 2e-06, over 1e-06."),
        (ParityFacts(200, 0.0, 3), Status.FAIL, "3 of 200 golden rows get another label."),
        (ParityFacts(199, 0.0), Status.ERROR,
         "199 golden rows were predicted in both environments, 200 are asked."),
        (None, Status.ERROR, "0 golden rows were predicted in both environments, 200 are asked."),
        (ParityFacts(200, float("nan")), Status.ERROR,
         "The golden rows' difference is nan, not a number of at least 0."),
    ],
)  # fmt: skip
def test_behaviour_beats_versions(parity: ParityFacts | None, status: Status, reason: str) -> None:
    same = replace(serving(digest="sha256:a"), parity=parity)
    assert judged(same, **GOLDEN) == (status, reason)


@pytest.mark.parametrize(
    ("facts", "raw", "reason"),
    [
        (None, {}, "The environments were not compared."),
        ("x", {}, "The environment is of the wrong type: str."),
        (EnvironmentFacts(TRAINED, Installed("", {"a": "1"})), {},
         "The serving environment is not known: no Python version or no packages."),
        (EnvironmentFacts(Installed("3.11.9", {}), TRAINED), {},
         "The training environment is not known: no Python version or no packages."),
        (serving(), {"deny_any": ["torch"]},
         "'torch' is in neither environment; correct the name or remove the rule."),
    ],
)  # fmt: skip
def test_what_is_not_known_is_an_error(facts: object, raw: dict[str, Any], reason: str) -> None:
    assert judged(facts, **raw) == (Status.ERROR, reason)


def test_lint_and_words() -> None:
    assert lints("environment_drift", **RULES, **GOLDEN) == []
    assert lints("environment_drift", deny_any=["a-b"], deny_major=["A_B"]) == [
        ("deny_major", "'A_B' is already in deny_any; name it once")
    ]
    assert lints("environment_drift", python="any") == [
        ("python", "nothing is required; name packages, a Python version or prediction_parity")
    ]
    assert check("environment_drift", **RULES, **GOLDEN).explain() == (
        "Python must agree (minor); Scikit_Learn must agree exactly; numpy must agree in major.minor; pandas must "
        "agree in major; 200 golden rows must be answered within 1e-06. The same lock digest answers for "
        "Python and packages."
    )
