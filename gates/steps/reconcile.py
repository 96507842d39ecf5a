"""Finish what a killed runner left: roll an abandoned deployment back, delete old ones that are due.

It changes nothing while a runner lives, while a person is waited for, or when all is in order; so it may run after
every deployment (`if: always()`) and on a schedule. To go on with an unfinished deployment, run its command again.
"""

from __future__ import annotations

from dataclasses import dataclass

from gates import errors
from gates.inputs import option, output
from gates.rollout import machine
from gates.steps import judged, pages, restoring
from gates.steps.execute import values_of
from gates.steps.step import Common, CommonOutputs, Context, Ended, done

SUMMARY = "Finish or undo what a killed deployment left; delete old deployments that are due."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    name: str = option("The endpoint's name. Default: that of mlops.yml's deploy.endpoint.")


@dataclass(kw_only=True)
class Outputs(CommonOutputs):
    state: str = output("The state that the journal reached; empty when there is none.")
    live_deployment: str = output("The deployment that has most traffic now.")
    rolled_back: str = output("true when an abandoned deployment was undone.")


def run(inputs: Inputs, context: Context, out: Outputs) -> Ended:
    """Look, and make it so."""
    policy, _ = judged.load_policy(context, context.project.get("policy"))
    ports = restoring.ports(context, policy, inputs.name)
    ended = machine.reconcile(None, **ports)
    out.state, out.live_deployment = ended.state, ended.live
    out.rolled_back = "true" if ended.rolled_back else "false"
    shown = {**values_of(out, "state", "live_deployment", "rolled_back"), "reason": ended.reason}
    undone = ended.outcome == "rolled-back"
    rollout = pages.write_rollout(context, ports["endpoint"], ports["journal"]) if undone else None
    context.write_report(done(context, policy=policy), out, shown, policy_file=policy.file, rollout=rollout)
    restoring.require(ended)
    if undone:
        restoring.note(context, ended, ports["endpoint"])
        raise errors.RolledBack(ended.reason)
    return Ended(message=ended.reason)
