"""What drift-check looks at: the two sides, the columns, the model's importances, performance where labels have come.

Rules: the time column, a row id and a target whose labels have not come are no features, so that `columns: all` leaves
them out and says so; a column that a check lists must be there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.collect.gather import Scorer, needs_kind, union
from gates.errors import InvalidInput, Unavailable
from gates.lineage.digest import file_digest, model_digest
from gates.runtime.environments import find_user_python
from gates.steps import records

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gates.backends import ModelVersion
    from gates.checks.spec import Need
    from gates.collect.performance import Performance
    from gates.drift.profile import Profile
    from gates.drift.source import Source
    from gates.policy import Stage
    from gates.steps.step import Context

PROFILE_SUFFIX = ".gates"


def reference_path(context: Context, reference: str, champion: ModelVersion | None) -> Path:
    """The file of the reference: as named, or the profile beside the champion's lineage."""
    if reference != "profile":
        return context.cwd / reference
    if champion is None:
        raise Unavailable(
            "there is no champion whose profile could be the reference",
            hint="deploy a model first, or give --reference FILE",
        )
    path = records.fetched_lineage(context, champion).path / records.PROFILE
    if not path.is_file():
        raise Unavailable(
            f"version {champion.version} has no reference profile",
            file=path,
            hint="give --reference FILE, or train again",
        )
    return path


def open_reference(path: Path, champion: ModelVersion | None) -> Profile | Source:
    """A recorded profile (its suffix is .gates), or a data file."""
    from gates.drift import source

    return open_profile(path, champion) if path.suffix == PROFILE_SUFFIX else source.open_source(path)


def open_profile(path: Path, champion: ModelVersion | None) -> Profile:
    """InvalidInput when it is cut, of another version, or of another model than the champion, where there is one."""
    from gates.drift.profile import Profile

    if not path.is_file():
        raise InvalidInput("no such file", hint="check the path", file=path)
    profile = Profile.from_bytes(path.read_bytes(), file=str(path))
    if champion is not None:
        profile.require(champion.digest)
    return profile


def columns_of(
    context: Context, stage: Stage, names: tuple[str, ...], current: tuple[str, ...], time_column: str
) -> list[str]:
    """The columns that the checks name; where one says `all`, those of the reference that are features or answers."""
    listed, every = columns_listed([need for need in union(stage.checks) if need.kind == "drift"])
    if not every:
        return listed
    evaluate = context.project.settings.evaluate
    target = evaluate.target if evaluate else ""
    left = {time_column, "row_id", *([target] if target not in current else [])} - set(listed)
    skipped = [name for name in names if name in left]
    if skipped:
        context.say(f"not compared, since it is no feature: {', '.join(skipped)}")
    return list(dict.fromkeys([*(name for name in names if name not in left), *listed]))


def columns_listed(needs: Sequence[Need]) -> tuple[list[str], bool]:
    """The columns that the checks name, and whether one of them means all beside."""
    listed = list(dict.fromkeys(column for need in needs for column in need.columns))
    return listed, not needs or not all(need.columns for need in needs)


def wants_importances(stage: Stage) -> bool:
    return needs_kind(union(stage.checks), "explanations")


def importances_of(context: Context, champion: ModelVersion | None, current: Path) -> dict[str, float]:
    """The champion's, on the evaluation data or else the current data; Unavailable when there is nothing to ask."""
    from gates.collect.importances import importances

    if champion is None:
        raise Unavailable(
            "weights: importance needs the champion, and there is none", hint="write the weights as numbers"
        )
    data = context.project.get("evaluate.data") or current
    if not data.is_file():
        raise Unavailable("weights: importance needs one file to ask the model on", hint="set evaluate.data", file=data)
    evaluate = context.project.settings.evaluate
    scorer = Scorer(
        find_user_python(context.env, context.python), context.env, context.state_dir / "cache",
        evaluate.score if evaluate else "auto", context.say,
    )  # fmt: skip

    def fetch(into: Path) -> Path:
        folder = context.backend.fetch(champion, into)
        if model_digest(folder) != champion.digest:
            raise Unavailable(f"the registry's bytes of {champion.uri} are not those registered ({champion.digest})")
        return folder

    return importances(fetch, champion.digest, data, file_digest(data), scorer)


def performance_of(
    context: Context,
    source: Source,
    champion: ModelVersion | None,
    baseline: Path | None,
    time_column: str,
    width: float | None,
) -> Performance | None:
    """Over windows of `width` seconds of all current rows; None, said in one line, where it cannot be measured."""
    evaluate = context.project.settings.evaluate
    if evaluate is None or evaluate.target not in source.names or "prediction" not in source.names:
        if baseline is not None:
            target = evaluate.target if evaluate else "evaluate.target"
            raise InvalidInput(
                f"a baseline needs the columns {target!r} and 'prediction' in the current data", file=source.name,
                hint="add them, or leave the baseline out",
            )  # fmt: skip
        return None
    from gates.collect.performance import baseline_in, measure

    held = baseline_in(baseline, evaluate.target) if baseline else records.judged_baseline(context, champion)
    if held is None:
        context.say("performance is not judged: no baseline; give --baseline FILE, or judge the champion by a gate")
        return None
    found = measure(source, held, evaluate.target, time_column, width)
    context.say(found.sentence() if found else "performance is not judged: no label has come")
    return found
