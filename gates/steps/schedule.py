"""Have the workspace train again by the clock, or watch the live deployment with Azure ML's model monitor.

`retraining` submits the training job at these times; gate, registration and rollout stay with the pipeline, which a
schedule of its own starts (`on: schedule`). `monitor` gives Azure's monitor the limits of the policy's stage 'drift'.
Making one again replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput, Unavailable
from gates.inputs import option
from gates.steps import judged
from gates.steps.endpoint_status import endpoint_name
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    what: str = option(
        "What happens by the clock.", kind="choice", default="retraining", choices=("retraining", "monitor")
    )
    cron: str = option("When, as five fields: minute, hour, day, month, weekday. E.g. '0 6 * * 1'.")
    every: float | None = option("Or how often: 30m, 12h, 7d.", kind="duration")
    time_zone: str = option("The time zone of cron, as Azure names it.", default="UTC")
    job: Path | None = option("The Azure ML CLI v2 job file; for retraining.", kind="path", config="train.job")
    data: str = option("The reference, as azureml:NAME:VERSION; for monitor.")
    name: str = option("The endpoint's name; for monitor. Default: that of mlops.yml's deploy.endpoint.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    """The common ones."""


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:  # noqa: ARG001  # what was made is the message
    if inputs.backend != "azureml":
        raise InvalidInput("backend local has no clock", hint="use cron, the pipeline's schedule, or backend: azureml")
    from gates.backends.azureml.schedules import Clock

    backend: Any = context.backend
    clock = Clock(inputs.cron, inputs.every or 0.0, inputs.time_zone)
    model = context.project.settings.model
    if inputs.what == "retraining":
        name = f"{model}-retraining"
        backend.schedule_training(context.need(inputs.job, "train.job"), name, clock)
        return Ended(message=f"schedule {name} trains {model} {_when(inputs)}")
    return _monitor(inputs, context, backend, clock, f"{model}-monitor")


def _monitor(inputs: Inputs, context: Context, backend: Any, clock: Any, name: str) -> Ended:
    from gates.backends.azureml.schedules import Limits

    if not inputs.data.startswith("azureml:"):
        raise InvalidInput("a monitor needs a reference in the workspace", hint="give --data azureml:NAME:VERSION")
    policy, _ = judged.load_policy(context, context.project.get("policy"))
    stage = judged.stage_of(policy, "drift", context)
    check: Any = next((bound.check for bound in stage.checks if bound.type == "drift"), None)
    if check is None:
        raise InvalidInput("the policy's stage 'drift' has no check of type drift", hint="add one", file=policy.file)
    endpoint = endpoint_name(inputs.name, context)
    view = backend.endpoint(endpoint, score="auto").observe()
    live = max(view.traffic, key=lambda one: view.traffic[one], default="")
    if not live:
        raise Unavailable(f"endpoint {endpoint} has no deployment with traffic", hint="deploy a model first")
    columns = () if check.columns == "all" else tuple(check.columns)
    limits = Limits(check.effect.psi_max, check.effect.ks_max, columns)
    evaluate = context.project.settings.evaluate
    backend.schedule_monitor(
        name, clock, endpoint=endpoint, deployment=live, reference=inputs.data, limits=limits,
        regression=evaluate is not None and evaluate.positive_label is None,
    )  # fmt: skip
    return Ended(message=f"monitor {name} watches {endpoint}/{live} {_when(inputs)}")


def _when(inputs: Inputs) -> str:
    return f"at '{inputs.cron}' ({inputs.time_zone})" if inputs.cron else f"every {inputs.every or 0:.0f} s"
