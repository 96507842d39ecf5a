"""What an endpoint serves, as JSON: url, traffic, mirror, deployments; of a local one the key file too."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from gates.backends import is_batch
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
    name = endpoint_name(inputs.name, context)
    found = _local(context, name) if context.backend.name == "local" else _observed(endpoint_of(context, name))
    if found is None:
        where = "--name and --state-dir" if context.backend.name == "local" else "--name and the key workspace"
        kind = "local endpoint" if context.backend.name == "local" else "endpoint"
        raise InvalidInput(f"there is no {kind} '{name}'", hint=f"deploy one, or check {where}")
    return Ended(text=json.dumps(found, indent=2))


def _local(context: Context, name: str) -> dict[str, Any] | None:
    from gates.backends.local.endpoint import client

    return client.status(context.state_dir, name)


def _observed(endpoint: Any) -> dict[str, Any] | None:
    """As the backend tells: what the machine sees."""
    view = endpoint.observe()
    if not view.exists:
        return None
    deployments = [
        {"name": one.name, "model_digest": one.model_digest, "state": one.state, "reason": one.reason}
        for one in sorted(view.deployments.values(), key=lambda one: str(one.name))
    ]
    return {
        "url": view.url, "updating": view.updating, "traffic": dict(view.traffic), "mirror": dict(view.mirror),
        "deployments": deployments,
    }  # fmt: skip


def endpoint_of(context: Context, name: str) -> Any:
    """The endpoint of that name, of the kind of the project's deployment file; fits rollout.port.Endpoint."""
    evaluate, path = context.project.settings.evaluate, context.project.get("deploy.deployment")
    batch = path is not None and path.is_file() and is_batch(load_yaml(path, "the deployment file").value)
    return context.backend.endpoint(name, score=evaluate.score if evaluate else "auto", batch=batch)


def endpoint_name(given: str, context: Context) -> str:
    """As given, or as the endpoint file of mlops.yml says."""
    if given:
        return given
    path = context.need(context.project.get("deploy.endpoint"), "deploy.endpoint", flag="name")
    return str(load_yaml(path, "the endpoint file").value.get("name") or "")
