"""What a model's package holds, and whether it loads and predicts in an environment of its own requirements alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.checks.package_sound import PackageFacts
from gates.collect.signature import mlmodel
from gates.errors import Cancelled, GatesError
from gates.runtime import environments, scoring

if TYPE_CHECKING:
    from pathlib import Path

    from gates.collect.gather import Scorer


def facts(model: Path, scorer: Scorer, *, predict: bool, clean: bool) -> PackageFacts:
    """predict: try it; clean: in an environment built from the package's own requirements (cached), else in yours."""
    said = mlmodel(model)
    listed = model / "requirements.txt"
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    requirements = tuple(line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#"))
    example = (said.get("saved_input_example_info") or {}).get("artifact_path")
    has_example = bool(example) and (model / str(example)).is_file()
    size = sum(file.stat().st_size for file in model.rglob("*") if file.is_file()) / 1e6
    known: dict[str, Any] = {
        "signature": bool((said.get("signature") or {}).get("inputs")),
        "input_example": has_example,
        "megabytes": size,
    }
    if not predict or not has_example:
        return PackageFacts(**known, requirements=requirements)
    try:
        python = scorer.python
        if clean:
            python = environments.build(
                scoring.model_requirements(model), python=scorer.python, cache=scorer.cache / "environments",
                env=scorer.env, say=scorer.say,
            )  # fmt: skip
        tried = scoring.try_model(model, python=python, env=scorer.env)
    except Cancelled:
        raise
    except GatesError as error:  # it could not be tried: the check says ERROR, with this as its reason
        return PackageFacts(**known, requirements=requirements, problem=f"{error.what}; {error.hint}".strip("; "))
    return PackageFacts(
        **known,
        requirements=requirements,
        loads=tried.loads,
        predicts=tried.predicts,
        predictions_finite=tried.finite,
        clean=clean,
        problem=tried.problem,
    )
