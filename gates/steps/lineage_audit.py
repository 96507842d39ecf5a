"""Ask the audit log: what stands behind what serves now or behind one model, which models were made from this data,
every registration, deployment and rollback of a window, and the delivery figures.

Reads the log, what other machines published on a registry that they share, and with --events a folder of event files;
the chain is verified, its anchors are what `gates lineage verify` looks at.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput, Unavailable
from gates.inputs import option
from gates.lineage import audit, questions
from gates.lineage.digest import file_digest, hexdigest
from gates.lineage.record import seconds
from gates.steps import records, sharing
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    question: str = option(
        "serving: what stands behind what serves now; behind: what stands behind --model; made-from: which models were "
        "made from --data; movements: registrations, deployments and rollbacks; delivery: lead time, frequency, "
        "failure rate, time to restore, drift reaction.",
        kind="choice", default="serving", choices=("serving", "behind", "made-from", "movements", "delivery"),
    )  # fmt: skip
    model: str = option("For behind: a model's digest, or a registered version.")
    data: str = option("For made-from: the digest of the data's bytes or content, or the data file itself.")
    endpoint: str = option("For serving: only this endpoint.")
    since: str = option(
        "For movements and delivery: a time like 2026-11-21T03:40:00Z, or a date. Default: the first event."
    )
    until: str = option("Likewise, the end of the window; of a date, the end of the day. Default: now.")
    events: Path | None = option("A folder of event files of other runners, merged with the log.", kind="path")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout, a table, or JSON with --json."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    events = _events(inputs, context)
    answer = _answer(inputs, context, events)
    if inputs.json:
        return Ended(text=json.dumps({"question": inputs.question, "answer": answer}, indent=2, ensure_ascii=False))
    return Ended(text=questions.table(answer if isinstance(answer, list) else [answer]).rstrip())


def _events(inputs: Inputs, context: Context) -> Sequence[audit.Event]:
    log = records.audit(context)
    others = sharing.published_events(context)
    if not log.chain.path.is_file() and inputs.events is None and not others:
        raise Unavailable("there is no audit log", hint="name --state-dir or --events", file=log.chain.path)
    if inputs.events is None:
        return audit.merged(log.events(), others) if others else log.events()
    if not inputs.events.is_dir():
        raise InvalidInput("--events: is not a folder", file=inputs.events, hint="name the folder of event files")
    return audit.merged(log.events(), others, audit.gather(inputs.events))


def _answer(inputs: Inputs, context: Context, events: Sequence[audit.Event]) -> Any:
    if inputs.question == "serving":
        return questions.serving(events, inputs.endpoint)
    if inputs.question == "behind":
        return questions.stand_behind(events, _model(inputs.model, events))
    if inputs.question == "made-from":
        return questions.made_from(events, _data(inputs.data, context))
    since, until = _window(inputs, context, events)
    if inputs.question == "movements":
        return questions.movements(events, since=since, until=until)
    return questions.delivery(events, since=since, until=until)


def _model(given: str, events: Sequence[audit.Event]) -> str:
    """The digest of a model named by digest or version. Raises InvalidInput when the log tells of none."""
    if not given:
        raise InvalidInput("--question behind: nothing says which model", hint="give --model")
    found = [
        e.model for e in events if e.model and (given == e.model or (e.kind == "registered" and e.version == given))
    ]
    if not found:
        raise InvalidInput(f"--model: the audit log tells of no model {given}", hint="give a digest or a version")
    return found[-1]


def _data(given: str, context: Context) -> str:
    if not given:
        raise InvalidInput("--question made-from: nothing says which data", hint="give --data")
    if given.startswith("sha256:"):
        hexdigest(given)
        return given
    return file_digest(context.cwd / given)


def _window(inputs: Inputs, context: Context, events: Sequence[audit.Event]) -> tuple[float, float]:
    """since ≤ time < until, seconds since the epoch."""
    until = seconds(inputs.until) if inputs.until else context.now().timestamp() + 1e-3
    if not inputs.since:
        return min((seconds(event.at) for event in events), default=until), until
    day = 86400.0 if len(inputs.since) == 10 else 0.0  # a date alone is its end
    return seconds(inputs.since) - day, until
