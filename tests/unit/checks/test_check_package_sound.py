"""package_sound: what a package lacks fails, what was not tried is an error."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from decided import brief, check, decide, lints

from gates.checks.package_sound import PackageFacts
from gates.evidence import Evidence
from gates.verdict import Status

WHOLE = PackageFacts(
    signature=True, input_example=True, requirements=("numpy==2.1.0",), loads=True, predicts=True,
    predictions_finite=True, clean=True, megabytes=5.0,
)  # fmt: skip


def judged(facts: object, **raw: Any) -> tuple[Status, str]:
    return brief(decide("package_sound", Evidence(facts={"package": facts}), **raw))


def test_a_whole_package_passes() -> None:
    said = (Status.PASS, "The package has all that is required.")
    assert judged(WHOLE) == said
    assert judged(WHOLE, pinned=True, max_megabytes=5.0) == said
    assert judged(replace(WHOLE, loads=None, predicts=None, clean=False), predict=False) == said
    assert judged(replace(WHOLE, clean=False), clean_environment=False) == said


@pytest.mark.parametrize(
    ("changes", "raw", "said"),
    [
        ({"signature": False}, {}, "has no signature"),
        ({"input_example": False}, {}, "has no input example"),
        ({"signature": False, "input_example": False}, {}, "has no signature; it has no input example"),
        ({"requirements": ()}, {"pinned": True}, "names no requirement"),
        ({"requirements": ("a==1", "b>=2")}, {"pinned": True}, "does not pin b>=2"),
        ({"loads": False, "problem": "no module x"}, {}, "does not load (no module x)"),
        ({"predicts": False}, {}, "does not predict"),
        ({"predictions_finite": False}, {}, "predicts what is no number"),
        ({"megabytes": 5.1}, {"max_megabytes": 5.0}, "has 5.1 MB, over 5"),
    ],
)
def test_what_it_lacks_fails(changes: dict[str, Any], raw: dict[str, Any], said: str) -> None:
    assert judged(replace(WHOLE, **changes), **raw) == (Status.FAIL, f"The package {said}.")


@pytest.mark.parametrize(
    ("facts", "raw", "reason"),
    [
        (None, {}, "The package was not examined."),
        (3, {}, "The package is of the wrong type: int."),
        (replace(WHOLE, loads=None, problem="timeout"), {},
         "Loading and predicting was not tried to the end: timeout."),
        (replace(WHOLE, predicts=None), {}, "Loading and predicting was not tried to the end."),
        (replace(WHOLE, predictions_finite=None), {}, "Loading and predicting was not tried to the end."),
        (replace(WHOLE, clean=False), {},
         "Loading and predicting was tried, but not in an environment of the package's own requirements."),
        (replace(WHOLE, megabytes=None), {"max_megabytes": 5.0},
         "The package's size is None, not a number over 0."),
        (replace(WHOLE, megabytes=float("nan")), {"max_megabytes": 5.0},
         "The package's size is nan, not a number over 0."),
    ],
)  # fmt: skip
def test_what_was_not_tried_is_an_error(facts: object, raw: dict[str, Any], reason: str) -> None:
    assert judged(facts, **raw) == (Status.ERROR, reason)


def test_lint_and_words() -> None:
    assert lints("package_sound") == []
    assert lints("package_sound", input_example=False) == [
        ("predict", "there is nothing to predict without input_example; write `input_example: true`")
    ]
    assert lints("package_sound", max_megabytes=float("inf")) == [("max_megabytes", "write a finite number")]
    nothing = dict.fromkeys(("signature", "input_example", "predict"), False)
    assert lints("package_sound", **nothing) == [
        ("id", "nothing is required; turn one of signature, input_example, pinned, predict on")
    ]
    assert check("package_sound", max_megabytes=10.0).explain() == (
        "The model's package has a signature, an input example, at most 10 MB and loads and predicts its example in an "
        "environment of its own requirements."
    )
