"""The model card: what lineage knows and what `card.yml`, written by people, says, as one Markdown file.

Hugging Face's front matter, then sections of fixed order; equal inputs give equal bytes. What nobody provided says
NOT PROVIDED, and is an error in strict mode. The card holds the digest of the lineage, never the other way round. The
evidence mapping names where evidence for points of the EU AI Act lies; it claims nothing about their being fulfilled.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import yaml
from msgspec import Struct

from gates.canonical import digest
from gates.document import convert, load_yaml
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gates.lineage.record import Lineage

NOT_PROVIDED = "NOT PROVIDED"


class Card(Struct, frozen=True, forbid_unknown_fields=True):
    """card.yml. Texts are Markdown; task is a Hugging Face task, e.g. tabular-classification."""

    summary: str = ""
    task: str = ""
    license: str = ""
    owner: str = ""
    contact: str = ""
    intended_use: str = ""
    out_of_scope: str = ""
    limitations: str = ""
    risks: str = ""
    human_oversight: str = ""
    training_data: str = ""
    evaluation_data: str = ""
    monitoring: str = ""
    language: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


OPTIONAL = ("language", "tags")
NEEDED = ("code_commit", "data", "environment_lock", "policy_digest", "verdict", "metrics")
SECTIONS = (
    ("Intended use", "intended_use"),
    ("Out of scope", "out_of_scope"),
    ("Limitations", "limitations"),
    ("Risks", "risks"),
    ("Human oversight", "human_oversight"),
    ("Monitoring", "monitoring"),
)
# Point of Regulation (EU) 2024/1689, what it asks about, and which record holds evidence of it.
MAPPING = (
    ("Annex IV 1(a)", "intended purpose, provider, version", "Intended use, Details"),
    ("Annex IV 2(a)", "methods and steps of development", "Details: code, job, parameters; train statement"),
    ("Annex IV 2(d)", "data: origin, scope, characteristics", "Training data; train statement"),
    ("Annex IV 2(e)", "human oversight", "Human oversight; approvals in the gate statement"),
    ("Annex IV 2(g)", "validation and testing, metrics, logs", "Evaluation; gate statement and report"),
    ("Annex IV 3", "monitoring, capabilities, limitations", "Limitations, Monitoring"),
    ("Annex IV 5", "risk management", "Risks"),
    ("Annex IV 6", "changes over the lifecycle", "audit log: registrations, deployments, rollbacks"),
    ("Annex IV 9", "performance after placing on the market", "audit log: drift alarms and reactions"),
    ("Article 12", "automatic recording of events", "audit log, hash-chained"),
)
MAPPING_NOTE = (
    "Where evidence lies for points of Regulation (EU) 2024/1689. Whether it is enough is for others to judge."
)


def read_card(path: Path | str) -> Card:
    """card.yml. Raises InvalidInput, with the line, for an unknown key, a wrong type or no such file."""
    return convert(load_yaml(Path(path), "the model card's text"), Card)


def missing(lineage: Lineage, card: Card) -> tuple[str, ...]:
    """What the card would show as NOT PROVIDED, in its order."""
    human = [name for name in Card.__struct_fields__ if name not in OPTIONAL and not str(getattr(card, name)).strip()]
    machine = [name for name in NEEDED if not getattr(lineage, name)]
    return (*(f"card.yml: {name}" for name in human), *(f"lineage: {name}" for name in machine))


def render_card(lineage: Lineage, card: Card, *, strict: bool = False) -> str:
    """The card's text. Raises InvalidInput in strict mode when something is missing, naming all of it."""
    lacking = missing(lineage, card)
    if strict and lacking:
        raise InvalidInput(f"the model card lacks {', '.join(lacking)}", hint="provide them, or do not ask for strict")
    sections = [f"## {title}\n\n{_text(getattr(card, name))}" for title, name in SECTIONS]
    parts = [
        f"---\n{_front_matter(lineage, card)}---\n\n# {_line(lineage.model_name)}",
        _text(card.summary),
        _warnings(lineage),
        "## Details\n\n" + _table(("what", "value"), _details(lineage, card)),
        *sections,
        f"## Training data\n\n{_text(card.training_data)}\n\n{_data(lineage)}",
        "## Training\n\n"
        + _table(("parameter", "value"), sorted(lineage.parameters.items()))
        + "\n\n"
        + _table(("metric of the training job", "value"), _metrics(lineage)),
        f"## Evaluation\n\n{_text(card.evaluation_data)}\n\n{_checks(lineage)}",
        "## Deployments\n\n" + _deployments(lineage),
        f"## Evidence mapping\n\n{MAPPING_NOTE}\n\n" + _table(("point", "about", "evidence"), MAPPING),
        "## Provenance\n\n" + _provenance(lineage),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(lineage: Lineage, card: Card) -> str:
    metrics = {name: value for name, value in sorted(lineage.metrics.items()) if value is not None}
    front: dict[str, Any] = {}
    if card.language:
        front["language"] = list(card.language)
    front["license"] = card.license.strip() or "unknown"
    front["tags"] = sorted({*card.tags, "mlops-gates"})
    if card.task:
        front["pipeline_tag"] = card.task
    if metrics:
        front["metrics"] = list(metrics)
    if card.task and metrics and lineage.data:
        data = str(lineage.data[0]["name"])
        result = {
            "task": {"type": card.task},
            "dataset": {"name": data, "type": data},
            "metrics": [{"type": name, "value": value} for name, value in metrics.items()],
        }
        front["model-index"] = [{"name": lineage.model_name, "results": [result]}]
    return yaml.safe_dump(front, sort_keys=False, allow_unicode=True, width=1000)


def _warnings(lineage: Lineage) -> str:
    found = []
    if lineage.ungated:
        found.append(f"**Let through without a gate's decision:** {_cell(lineage.ungated)}")
    if lineage.code_dirty:
        found.append("**The working tree differed from the commit when this was trained.**")
    if any(item.signed == "unsigned" for item in lineage.statements):
        found.append("**Statements of this lineage are unsigned.**")
    return "\n".join(f"> {line}  " for line in found)


def _details(lineage: Lineage, card: Card) -> list[tuple[str, Any]]:
    return [
        ("model", lineage.model_digest),
        ("files", f"{lineage.model_files} files, {lineage.model_bytes} bytes"),
        ("owner", card.owner),
        ("contact", card.contact),
        ("license", card.license),
        ("task", card.task),
        ("code", lineage.code_commit),
        ("trained", lineage.run.get("finishedOn")),
        ("run", lineage.run.get("invocationId") or lineage.run.get("builder")),
        ("python", lineage.python),
        ("environment lock", lineage.environment_lock),
        ("champion then", lineage.champion or "none"),
    ]


def _metrics(lineage: Lineage) -> list[tuple[str, Any]]:
    return [(name, "not finite" if value is None else value) for name, value in sorted(lineage.metrics.items())]


def _data(lineage: Lineage) -> str:
    keys = ("name", "path", "asset", "rows", "sha256", "content", "dvc")
    rows = [[item.get(key, "–") for key in keys] for item in lineage.data]
    return _table(keys, rows) if rows else NOT_PROVIDED


def _checks(lineage: Lineage) -> str:
    if lineage.verdict is None:
        return NOT_PROVIDED
    said = f"Verdict {lineage.verdict}, decision {lineage.decision}, under policy `{lineage.policy_digest}`."
    approved = f" Approved by {', '.join(_cell(name) for name in lineage.approvers)}." if lineage.approvers else ""
    keys = ("id", "severity", "status", "observed", "required", "reason")
    return f"{said}{approved}\n\n" + _table(
        keys, [["–" if check.get(key) is None else check[key] for key in keys] for check in lineage.checks]
    )


def _deployments(lineage: Lineage) -> str:
    keys = ("timeDeployed", "endpoint", "deployment", "outcome", "approvers")
    rows = [[item.get(key) or "–" for key in keys] for item in lineage.deployments]
    return _table(("time", *keys[1:]), rows) if rows else "None when this card was made."


def _provenance(lineage: Lineage) -> str:
    rows = [(item.kind, item.digest, item.signed) for item in lineage.statements]
    whole = digest(msgspec.to_builtins(lineage))
    return f"Made by MLOps Gates from lineage `{whole}`.\n\n" + _table(("statement", "digest", "signed"), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = ["| " + " | ".join(_cell(value) for value in row) + " |" for row in (head, *rows)]
    lines.insert(1, "| " + " | ".join("---" for _ in head) + " |")
    return "\n".join(lines)


def _cell(value: Any) -> str:
    """One table cell: nothing in it can leave the cell or become markup."""
    if value is None or value == "":
        return NOT_PROVIDED
    if isinstance(value, (list, tuple)):
        return ", ".join(_cell(item) for item in value) or "–"
    if isinstance(value, dict):
        return ", ".join(f"{_cell(key)}: {_cell(item)}" for key, item in value.items()) or "–"
    text = _line(str(value))
    if not text:
        return NOT_PROVIDED
    for char in "\\`*_[]<>|":
        text = text.replace(char, {"<": "&lt;", ">": "&gt;"}.get(char, "\\" + char))
    return text


def _line(text: str) -> str:
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def _text(text: str) -> str:
    return text.strip() or NOT_PROVIDED
