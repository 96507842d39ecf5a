"""Asking deployments, and moving traffic: each move is an intent, one write, a read-back, and answers that say so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gates.errors import Unavailable
from gates.rollout.routing import Routing, routing_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.rollout.run import Run
    from gates.serving import Answer, EndpointView


def probe(run: Run, name: str, body: bytes | None = None) -> bool:
    """Whether a deployment answers when asked by name: one 200 of three. Raises Unavailable: nobody could tell."""
    request = body or run.sample
    if request is None:
        view = run.endpoint.observe().deployments.get(name)
        return view is not None and view.state == "ready" and view.healthy is not False
    answer = ask(run, request, name)
    return answer.status == 200 and answer.served_by == name


def ask(run: Run, body: bytes, name: str) -> Answer:
    """The first 200 of three tries to ask a deployment by name, else the last answer; within answer_timeout."""
    until = run.now + run.rollout.answer_timeout
    for left in (2, 1, 0):
        answer = run.endpoint.ask(body, deployment=name, timeout=max(until - run.now, 1.0))
        if answer.status == 200 or not left or run.now >= until:
            break
    return answer


def route(
    run: Run, state: str, target: Routing, *, until: float, after: Mapping[str, Any] | None = None, label: str = "",
    force: bool = False,
) -> None:  # fmt: skip
    """Make traffic, mirror and pointer so: intent, write, poll, read back equal. `label`: the pointer's state.

    Raises Conflict when somebody else edits (unless `force`), Unavailable when it is not so until a wall time.
    """
    name = label or state
    view = run.observe(until=until)
    before = routing_of(view)
    if _is_so(run, view, name, target):
        run.record(state, "observed", after={"routing": target.to_json()})
        return
    meant = {"routing": target.to_json(), **(after or {})}
    run.record(state, "intent", before={"routing": before.to_json()}, after=meant)
    tags = run.pointer(name).tags()
    while True:
        run.mutate(lambda: run.endpoint.write(traffic=target.traffic, mirror=target.mirror, tags=tags, epoch=run.epoch))
        view = run.observe(until=until)
        if _is_so(run, view, name, target):
            break
        run.fenced(view)
        if routing_of(view) not in (before, target) and not force:
            run.ours(view)
        if run.now >= until:
            raise Unavailable(f"traffic could not be set to {target.say()}: {run.trouble or 'no effect'}")
        run.wait(min(run.rollout.poll, 5.0))
    run.record(state, "observed", after={"routing": target.to_json()})


def _is_so(run: Run, view: EndpointView, state: str, target: Routing) -> bool:
    pointer = run.fenced(view)
    mine = pointer is not None and (pointer.id, pointer.state) == (run.at.deploy_id, state)
    return mine and routing_of(view) == target


def confirm(run: Run, names: frozenset[str], *, until: float) -> None:
    """Three answers in a row, asked as a client does, served by one of `names`. Raises Unavailable."""
    if run.sample is None:
        return
    good, seen = 0, ""
    while good < 3:
        answer = run.endpoint.ask(run.sample, timeout=run.rollout.answer_timeout)
        seen = answer.served_by
        good = good + 1 if seen in names else 0
        if good == 0:
            if run.now >= until:
                raise Unavailable(f"responses still come from {seen or 'nobody'}, not {', '.join(sorted(names))}")
            run.wait(min(run.rollout.poll, 5.0))
