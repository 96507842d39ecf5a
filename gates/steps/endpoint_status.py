"""What a local endpoint serves, as JSON: url, key file, traffic, mirror, deployments."""

from __future__ import annotations

import json
from dataclasses import dataclass

from gates.document import load_yaml
from gates.errors import InvalidInput
from gates.inputs import option
from gates.steps.step import Common, CommonOutputs, Context, Ended


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    name: str = option("The endpoint's name. Default: that of mlops.yml's deploy.endpoint.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones; the answer is on stdout."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # a query's answer is its text
    from gates.backends.local.endpoint import client

    name = endpoint_name(inputs.name, context)
    found = client.status(context.state_dir, name)
    if found is None:
        raise InvalidInput(f"there is no local endpoint '{name}'", hint="deploy one, or check --name and --state-dir")
    return Ended(text=json.dumps(found, indent=2))


def endpoint_name(given: str, context: Context) -> str:
    """As given, or as the endpoint file of mlops.yml says."""
    if given:
        return given
    path = context.need(context.project.get("deploy.endpoint"), "deploy.endpoint", flag="name")
    return str(load_yaml(path, "the endpoint file").value.get("name") or "")
