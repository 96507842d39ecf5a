"""Run one command to its end, whatever that is, and write its outputs: on failure as on success."""

from __future__ import annotations

import dataclasses
import json
import traceback
from typing import TYPE_CHECKING, Any

from gates.errors import Cancelled, GatesError, JobFailed, Unavailable
from gates.files import write_whole
from gates.inputs import declared, to_text
from gates.platforms.text import neutral
from gates.steps.step import CommonOutputs, Context, Ended, shown_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import TextIO

    from gates.platforms import Platform


def execute(module: Any, inputs: Any, context: Context, out: CommonOutputs) -> Ended:
    """Call `module.run` and turn every end into an Ended; known ends are said in one line, a defect goes to a file."""
    try:
        end: Ended = module.run(inputs, context, out)
    except GatesError as error:
        end = failed(error, context.platform, context.cwd)
    except KeyboardInterrupt:
        end = failed(Cancelled(2), context.platform, context.cwd)
    except ModuleNotFoundError as error:
        end = _absent(error, context)
    except Exception:  # noqa: BLE001  # the last resort: a defect of ours must not look like the user's mistake
        end = defect(context.platform, context.report_dir)
    if out.report_path == str(context.report_dir / "report.json"):
        from gates.steps import pages  # lineage and its libraries, as below

        pages.write_beside(context, context.report_dir / "report.json")
    return _published(end, context)


def _published(end: Ended, context: Context) -> Ended:
    """Where machines share a registry, none of the step's decisions stays on this one: it may be gone in a minute."""
    if not context.opened:
        return end
    from gates.steps import sharing  # lineage and its libraries: `gates --help` does without

    try:
        sharing.publish_events(context)
    except GatesError as error:
        if end.exit_code == 0:
            return failed(error, context.platform, context.cwd)
        context.platform.annotate("warning", f"audit events were not published: {error}")
    return end


_EXTRAS = {
    "numpy": "stats", "scipy": "stats", "pyarrow": "stats", "mlflow": "local", "aiohttp": "local", "azure": "azure",
    "cryptography": "sign",
}  # fmt: skip


def _absent(error: ModuleNotFoundError, context: Context) -> Ended:
    """A package that another extra of ours brings is missing here; any other missing module is a defect."""
    name = (error.name or "").partition(".")[0]
    if name not in _EXTRAS:
        return defect(context.platform, context.report_dir)
    absent = Unavailable(f"{name} is not installed beside gates", hint=f"install mlops-gates[{_EXTRAS[name]}]")
    return failed(absent, context.platform, context.cwd)


def finish(end: Ended, out: CommonOutputs, report_dir: Path | None, platform: Platform | None) -> dict[str, str]:
    """Write outputs.json and, with a platform, its outputs; returns them."""
    out.exit_code, out.outcome, out.message = str(end.exit_code), end.outcome, one_line(end.message)
    values = {option.flag: to_text(getattr(out, option.name)) for option in declared(type(out))}
    if report_dir is not None:
        try:
            write_whole(report_dir / "outputs.json", json.dumps(values, indent=2, ensure_ascii=False) + "\n")
        except GatesError as error:
            if platform is not None:
                platform.annotate("warning", str(error))
    if platform is not None:
        platform.set_outputs(values)
    return values


def failed(error: GatesError, platform: Platform, cwd: Path) -> Ended:
    """Say a known end: the tail of a job's log, then one line."""
    if isinstance(error, JobFailed):
        for line in error.tail:
            platform.say(f"  | {line}")
    message = str(error)
    if error.file is not None:
        message = message.replace(str(cwd) + "/", "", 1)
    if platform.name != "shell":  # an annotation is cut and folded away; the line is what people grep for
        platform.say(f"error: {message}")
    text = error.what + (f"; {error.hint}" if error.hint else "")
    platform.annotate("error", text, file=_relative(error.file, cwd), line=error.line or 0)
    return Ended(error.outcome, error.exit_code, message)


def defect(platform: Platform, report_dir: Path | None) -> Ended:
    """A defect of ours: the trace to a file, one line to the console."""
    trace = traceback.format_exc()
    where = "no trace could be written"
    if report_dir is not None:
        try:
            write_whole(report_dir / "trace.txt", trace)
            where = f"the trace is in {report_dir / 'trace.txt'}"
        except GatesError as error:
            where = f"no trace could be written: {error}"
    message = f"a defect of mlops-gates ({trace.strip().splitlines()[-1][:200]}); {where}; please report it"
    platform.annotate("error", message)
    return Ended("defect", 70, message)


def values_of(out: CommonOutputs, *names: str) -> Mapping[str, str]:
    """Outputs by their names as people read them, for the summary."""
    flags = {field.name: field.name.replace("_", "-") for field in dataclasses.fields(out)}
    return {flags[name]: to_text(getattr(out, name)) for name in names}


def one_line(text: str) -> str:
    return " ".join(neutral(text).split())


def print_outputs(values: Mapping[str, str], stream: TextIO) -> None:
    print(json.dumps(values), file=stream, flush=True)


def _relative(file: str | None, cwd: Path) -> str:
    return "" if file is None else shown_path(cwd / file, cwd)
