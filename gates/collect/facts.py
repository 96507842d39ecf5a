"""Gathers the facts that a stage's checks need beside predictions: table, package, environments, explanations,
findings, drift and figures of the user's own functions.

What cannot be had is left out and noted in `Gathering.lacking` as one sentence that says what to provide; the check
that needs it says ERROR with that sentence.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from gates.checks.environment_drift import EnvironmentFacts
from gates.collect import environment, explanations, findings, package, table
from gates.collect.gather import rows_explained
from gates.collect.store import CANDIDATE, DRIFT, EXPLANATIONS, FINDINGS
from gates.errors import Cancelled, GatesError
from gates.runtime import scoring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gates.checks.spec import Need
    from gates.collect.gather import Gathering, Subject
    from gates.lineage.record import Lineage


@dataclass(frozen=True)
class About:
    """What the facts are of. data: the table a contract is held to, and current data of a drift check; reference: a
    profile or a data source, None when there is none; lineage: the candidate's; champion: its folder was fetched.
    """

    candidate: Subject
    champion: Subject | None
    data: Path | None
    lineage: Lineage | None
    reference: Any
    folder: Path


def gather(needs: Sequence[Need], about: About, into: Gathering) -> None:
    """Every fact that is needed, once."""
    collectors = {
        "table": _table, "package": _package, "environment": _environment, "explanations": _explanations,
        "findings": _findings, "drift": _drift, "metric": _own_metrics,
    }  # fmt: skip
    for kind, collect in collectors.items():
        wanted = [need for need in needs if need.kind == kind]
        if not wanted:
            continue
        try:
            lack = collect(wanted, about, into)
        except Cancelled:
            raise
        except GatesError as error:
            lack = f"{error}."
        if lack:
            into.lacking[kind] = lack


def _table(wanted: list[Need], about: About, into: Gathering) -> str:
    if about.data is None or not about.data.is_file():
        return (
            "Give the data: evaluate.data in mlops.yml, or an input of the training job that is a csv or parquet file."
        )
    if len(wanted) > 1:
        return "One data_contract a stage can be held to the data; join them."
    into.store.add_fact("table", table.read(about.data, wanted[0].options["contract"]))
    return ""


def _package(wanted: list[Need], about: About, into: Gathering) -> str:
    if about.candidate.model is None:
        return "Give the model's folder with --model."
    predict = any(need.options["predict"] for need in wanted)
    clean = any(need.options["clean_environment"] for need in wanted)
    into.store.add_fact("package", package.facts(about.candidate.model, into.scorer, predict=predict, clean=clean))
    return ""


def _environment(wanted: list[Need], about: About, into: Gathering) -> str:
    if about.lineage is None:
        return "Train the model with `gates train`, which records its environment, or give --model its folder."
    trained = environment.trained_with(about.lineage)
    if trained is None:
        return "The model's lineage does not say what was installed; train it again with `gates train`."
    serving, rows = environment.serving_with(into.scorer), max(need.options["golden_rows"] for need in wanted)
    parity, lack = None, ""
    if rows and (about.candidate.model is None or about.data is None):
        lack = "Golden rows need evaluate.data and the model's folder."
    elif rows and about.candidate.model and about.data:
        parity = environment.parity(
            about.candidate.model, about.data, trained, serving, into.scorer, into.work, rows
        )  # fmt: skip
        lack = "" if parity else "The training environment could not be built again; see the log, and give --python."
    into.store.add_fact("environment", EnvironmentFacts(trained, serving, parity))
    return lack


def _explanations(wanted: list[Need], about: About, into: Gathering) -> str:
    if about.candidate.model is None or about.data is None:
        return "Give the model's folder and evaluate.data: predictions alone cannot be explained."
    rows = rows_explained(wanted)

    def explain(subject: Subject | None, method: str = "") -> Any:
        if subject is None or subject.model is None or about.data is None:
            return None
        return explanations.attributions(
            subject.model, subject.digest, about.data, into.data_digest, rows, into.scorer, into.work, method=method
        )

    ours = explain(about.candidate)
    theirs = explain(about.champion, ours["method"])
    if theirs is None and not into.champion_absent:
        return "The champion's bytes could not be had, so its explanations could not."
    if theirs is not None and theirs["method"] != ours["method"]:  # the candidate's was kept from other days
        ours = explain(about.candidate, theirs["method"])
    if theirs is not None and theirs["method"] != ours["method"]:
        return (
            f"Explained by {ours['method']}, and the champion by {theirs['method']}: install shap where both are asked."
        )
    into.store.add_bytes(EXPLANATIONS, msgspec.json.encode({"candidate": ours, "champion": theirs}))
    return ""


def _findings(wanted: list[Need], about: About, into: Gathering) -> str:
    lacks = []
    for need in wanted:
        path = about.folder / need.name
        try:
            findings.read(path, need.options["format"])
            into.store.add_file(FINDINGS + need.name, path, self_reported=True)
            into.findings[need.name] = need.options["format"]
        except GatesError as error:
            lacks.append(str(error))
    return f"{'; '.join(lacks)}: run the tool that writes it before this step." if lacks else ""


def _drift(wanted: list[Need], about: About, into: Gathering) -> str:
    from gates.drift import scan, source

    if about.reference is None or about.data is None:
        return "Give drift.reference a file in mlops.yml: there is no reference profile of training to compare with."
    every = any(not need.columns for need in wanted)
    columns = about.reference.names if every else [column for need in wanted for column in need.columns]
    current = source.open_source(about.data)
    found = scan.scan(about.reference, current, columns=list(dict.fromkeys(columns)), threads=2)
    into.store.add_bytes(DRIFT, msgspec.json.encode(found))
    return ""


def _own_metrics(wanted: list[Need], about: About, into: Gathering) -> str:
    names = [need.name for need in wanted if need.options.get("source") == "import_path"]
    if not names:
        return ""
    stored = [item for item in into.store.items if item.name == CANDIDATE]
    if not stored:
        return "A function of yours needs predictions: give evaluate.data and a model, or --predictions."
    answers = into.work / "own-metrics.parquet"
    raw = (into.store.folder / stored[0].sha256.partition(":")[2]).read_bytes()
    answers = answers if raw[:4] == b"PAR1" else answers.with_suffix(".csv")
    answers.write_bytes(raw)
    found = scoring.own_metrics(names, answers, folder=about.folder, python=into.scorer.python, env=into.scorer.env)
    into.metrics |= {name: value for name, value in found.items() if math.isfinite(value)}
    none = [f"{name} returned {value}" for name, value in found.items() if not math.isfinite(value)]
    return f"{'; '.join(none)}: that is no figure." if none else ""
