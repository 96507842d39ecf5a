"""Route all traffic back to a deployment, now, because a person wants it.

An unfinished deployment is rolled back to what was before; a finished one to the deployment it replaced, or to `--to`.
The champion alias follows. A model that is not what was gated any more does not serve again: that is refused, and
nothing is touched. That it was restored is what was asked for, hence exit 0.
"""

from __future__ import annotations

from dataclasses import dataclass

from gates.inputs import option, output
from gates.rollout import machine
from gates.steps import judged, pages, restoring
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, done

SUMMARY = "Route all traffic back to a deployment, now."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    to: str = option("The deployment that shall have all traffic. Default: the one that had it before.")
    name: str = option("The endpoint's name. Default: that of mlops.yml's deploy.endpoint.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    state: str = output("The state that the journal reached: ROLLED_BACK.")
    live_deployment: str = output("The deployment that has most traffic now.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Roll back; raise what is not a rollback."""
    policy, _ = judged.load_policy(context, context.project.get("policy"))
    ports = restoring.ports(context, policy, inputs.name)
    ended = machine.rollback(**ports, to=inputs.to or None, verify=restoring.verifying(context, policy))
    out.state, out.live_deployment = ended.state, ended.live
    shown = {**values_of(out, "state", "live_deployment"), "reason": ended.reason}
    rollout = pages.write_rollout(context, ports["endpoint"], ports["journal"])
    context.write_report(done(context, policy=policy), out, shown, policy_file=policy.file, rollout=rollout)
    restoring.require(ended)
    restoring.note(context, ended, ports["endpoint"])
    return Ended(message=f"{ended.live} has the traffic: {ended.reason}")
