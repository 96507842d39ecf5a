"""All five steps in order; stops at the first that does not allow to go on.

Each step takes its inputs from the environment and mlops.yml as it would alone; its report stands in a folder of its
own below the report-dir, and its outputs are this command's, prefixed with its name.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates import inputs as declaring
from gates.document import did_you_mean
from gates.errors import InvalidInput
from gates.inputs import declared, option, output
from gates.steps import STEPS
from gates.steps.execute import execute, finish
from gates.steps.step import Common, CommonOutputs, Context, Ended

if TYPE_CHECKING:
    from gates.steps import Command

SUMMARY = "All five steps in order; stops at the first refusal."


@dataclass(frozen=True, kw_only=True)
class Inputs(Common):
    steps: tuple[str, ...] = option(
        "The steps to run, comma-separated. Default: all five.", kind="list", default=tuple(step.verb for step in STEPS)
    )


def _outputs() -> type[CommonOutputs]:
    """The common outputs, and each step's, prefixed: `validate-gate-verdict`."""
    fields = [
        (f"{step.module}_{option.name}", str, output(f"{step.verb}: {option.help}"))
        for step in STEPS
        for option in declared(step.load().Outputs)
    ]
    return dataclasses.make_dataclass("Outputs", fields, bases=(CommonOutputs,), kw_only=True)


Outputs = _outputs()


def run(inputs: Inputs, context: Context, out: Any) -> Ended:
    """Run the steps that are named, in the order of the pipeline."""
    known = {step.verb: step for step in STEPS}
    if not inputs.steps:
        raise InvalidInput("--steps names no step", hint=f"write e.g. {','.join(known)}")
    for name in inputs.steps:
        if name not in known:
            raise InvalidInput(f"--steps: '{name}' is no step", hint=did_you_mean(name, known))
    chosen = [(step, _values(step, inputs, context)) for step in STEPS if step.verb in inputs.steps]
    end = Ended()
    done = []
    for step, values in chosen:
        end = _one(step, values, context, out)
        if end.exit_code != 0:
            return Ended(end.outcome, end.exit_code, f"stopped at {step.verb}: {end.message}")
        done.append(step.verb)
    return Ended(message=f"done: {', '.join(done)}. {end.message}")


def _values(step: Command, inputs: Inputs, context: Context) -> Any:
    """A step's own inputs, read before the first step starts: a bad one is not found after hours of training."""
    common = {
        f.name: str(getattr(inputs, f.name)) for f in dataclasses.fields(Common) if f.name in ("python", "backend")
    }
    get = context.project.get
    return declaring.read(step.load().Inputs, flags=common, env=context.env, config=get, base=context.cwd)


def _one(step: Command, values: Any, context: Context, out: Any) -> Ended:
    module = step.load()
    theirs = module.Outputs()
    own = dataclasses.replace(context, step=step.verb, report_dir=context.report_dir / step.verb)
    context.say(f"── {step.verb}")
    end = execute(module, values, own, theirs)
    for name, value in finish(end, theirs, own.report_dir, None).items():
        setattr(out, f"{step.module}_{name.replace('-', '_')}", value)
    out.report_path, out.report_digest = theirs.report_path, theirs.report_digest  # of the step that it ended with
    if end.exit_code == 0:
        context.say(end.message)
    return end
