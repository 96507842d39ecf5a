"""Stop a local endpoint: its router and every model server. Its state stays, so that it can start again."""

from __future__ import annotations

from gates.steps.endpoint_status import Inputs, Outputs, endpoint_name
from gates.steps.step import Context, Ended

__all__ = ["Inputs", "Outputs", "run"]


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    from gates.backends.local.endpoint import client

    name = endpoint_name(inputs.name, context)
    was = client.stop(context.state_dir, name)
    return Ended(text=f"endpoint {name} {'stopped' if was else 'was not running'}")
