"""Stop a local endpoint: its router and every model server. Its state stays, so that it can start again."""

from __future__ import annotations

from gates.errors import InvalidInput
from gates.steps.endpoint_status import Inputs, Outputs, endpoint_name
from gates.steps.step import Context, Ended

__all__ = ["Inputs", "Outputs", "run"]


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    from gates.backends.local.endpoint import client

    name = endpoint_name(inputs.name, context)
    if context.backend.name != "local":
        raise InvalidInput(
            f"endpoint {name} is not stopped: on Azure one serves as long as it exists",
            hint=f"what to delete is yours to say: az ml online-endpoint delete --name {name}",
        )
    was = client.stop(context.state_dir, name)
    return Ended(text=f"endpoint {name} {'stopped' if was else 'was not running'}")
