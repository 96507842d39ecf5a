"""The composition root: the only reader of argv and os.environ, the only sys.exit.

Parses the command line from the declared inputs, chooses the platform and the backend, runs one command and turns its
end into outputs and an exit code.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast

from gates import __version__, inputs, project
from gates.document import did_you_mean
from gates.errors import Cancelled, GatesError, InvalidInput
from gates.platforms import detect
from gates.runtime import processor
from gates.steps import COMMANDS, Command
from gates.steps.execute import defect, execute, failed, finish, print_outputs
from gates.steps.step import CommonOutputs, Context, Ended, Folders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType
    from typing import TextIO

    from gates.backends import Backend
    from gates.platforms import Platform

EXIT_CODES = """\
exit codes:
  0  pass, or done                         5  deployment failed, rolled back
  1  refused, or the job failed            6  rollback failed: a person must look
  2  an input, file or policy is wrong     7  somebody else holds the endpoint
  3  refused as inconclusive               8  waiting for an approval
  4  evidence or backend not to be had    70  a defect of ours
  130, 143  cancelled; can be resumed"""


_AGAIN = 0.05
"""Seconds until a cancellation that was swallowed is raised again."""


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """The command `gates`."""
    take_signals()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that knows ASCII alone is told all the same
    arguments = list(sys.argv[1:] if argv is None else argv)
    env = dict(os.environ)
    os.environ.update(processor.settings(env))
    sys.exit(run(arguments, env, Path.cwd()))


def run(argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> int:
    """One command, from arguments to exit code. Environment and working directory are arguments."""
    platform = detect(env, heedless(sys.stderr))
    command, rest = choose(argv)
    if command is None:
        try:
            _answer(answer_without_command(argv))
        except GatesError as error:
            return failed(error, platform, cwd).exit_code
        return 0
    if "-h" in rest or "--help" in rest:
        _answer(parser_of(command).format_help())
        return 0
    module = command.load()
    out: CommonOutputs = module.Outputs()
    report_dir: Path | None = None
    as_json = "--json" in rest
    try:
        folders = inputs.read(Folders, flags=_places(rest), env=env, base=cwd)
        state_dir, report_dir = _folders(folders, command)
        flags = parse(command, rest)
        as_json = (flags.get("json") or env.get("GATES_JSON")) == "true"
        for flag, folder in (("state-dir", state_dir), ("report-dir", report_dir)):
            _can_be_folder(folder, flag)
        settings = project.none(folders.config) if command.founds else project.load(folders.config, env)
        values = inputs.read(module.Inputs, flags=flags, env=env, config=settings.get, base=cwd)
        as_json = values.json
        if values.python:
            _can_be_run(values.python, env)
        context = Context(
            step=command.verb, env=env, cwd=cwd, platform=platform, now=lambda: datetime.now(timezone.utc),
            project=settings, state_dir=state_dir, report_dir=report_dir or state_dir, python=values.python or None,
            quiet=values.quiet, credential=values.credential,
            open_backend=lambda context: _backend(values.backend, context),
            versions={"mlops-gates": __version__, "python": sys.version.split()[0]},
        )  # fmt: skip
        end = execute(module, values, context, out)
    except GatesError as error:
        end = failed(error, platform, cwd)
    except Exception:  # noqa: BLE001  # the last resort, as in execute()
        end = defect(platform, report_dir)
    return _end(end, out, report_dir, platform, cwd, as_json=as_json, query=not command.action)


def _can_be_run(python: str, env: Mapping[str, str]) -> None:
    """A named interpreter that is not there is said at once, also by a command that would not start it."""
    from gates.runtime.environments import find_user_python

    find_user_python(env, python)


def _end(
    end: Ended,
    out: CommonOutputs,
    report_dir: Path | None,
    platform: Platform,
    cwd: Path,
    *,
    as_json: bool,
    query: bool,
) -> int:
    folder = None if query else report_dir
    try:
        values = finish(end, out, folder, platform)
    except GatesError as error:  # the platform did not take the outputs: what follows must not take this for a pass
        said = failed(error, platform, cwd)
        end = said if end.exit_code == 0 else end
        values = finish(end, out, folder, None)
    if query and end.text:
        _answer(end.text)
    elif as_json:
        print_outputs(values, heedless(sys.stdout))
    if end.exit_code == 0 and end.message:
        platform.say(end.message)
    platform.complete(end.exit_code, end.message)
    return end.exit_code


def _folders(given: Folders, command: Command) -> tuple[Path, Path | None]:
    """state-dir and report-dir; no report-dir when the project's folder is not there to hold one."""
    state_dir = given.state_dir or given.config.parent / ".gates"
    report_dir = given.report_dir or state_dir / "reports" / command.verb.replace(" ", "-")
    return state_dir.absolute(), report_dir.absolute() if given.report_dir or given.config.parent.is_dir() else None


def _backend(name: str, context: Context) -> Backend:
    if name == "local":
        from gates.backends.local.backend import LocalBackend

        uri = context.project.get("tracking_uri") or f"sqlite:///{context.state_dir / 'mlflow.db'}"
        return LocalBackend(context.state_dir, uri, context.python, context.env, context.say, context.platform.mask)
    from gates.backends.azureml.backend import connect

    settings = context.project.settings
    return connect(
        settings.workspace, env=context.env, state_dir=context.state_dir, model=settings.model,
        output=settings.train.model if settings.train else "model", say=context.say, credential=context.credential,
    )  # fmt: skip


def _can_be_folder(folder: Path | None, flag: str) -> None:
    if folder is not None and (bad := next((p for p in (folder, *folder.parents) if p.exists()), folder)).is_file():
        raise InvalidInput(f"--{flag}: {bad} is a file", hint="name a folder")


def choose(argv: Sequence[str]) -> tuple[Command | None, list[str]]:
    """The command, and the arguments after its verb; (None, argv) when they begin with no command."""
    verb = next((v for v in sorted(COMMANDS, key=len, reverse=True) if list(argv[: len(v.split())]) == v.split()), None)
    if verb is None:
        return None, list(argv)
    command, rest = COMMANDS[verb], list(argv[len(verb.split()) :])
    if command.takes and rest and not rest[0].startswith("-"):
        rest = [f"--{command.takes}", *rest]
    return command, rest


def parse(command: Command, rest: Sequence[str]) -> dict[str, str | None]:
    """The flags as texts, by name. Raises errors.InvalidInput for what is not declared."""
    known, unknown = parser_of(command).parse_known_args(list(rest))
    if unknown:
        flags = ["--" + option.flag for option in inputs.declared(command.load().Inputs)]
        raise InvalidInput(
            f"gates {command.verb}: unknown argument {unknown[0]}", hint=did_you_mean(unknown[0].split("=")[0], flags)
        )
    return vars(known)


def _places(rest: Sequence[str]) -> dict[str, str | None]:
    """Where things are, read even when the other arguments are wrong, so that the outputs find their place."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in inputs.declared(Folders):
        parser.add_argument(f"--{option.flag}", dest=option.name, nargs="?")
    return vars(parser.parse_known_args(list(rest))[0])


def answer_without_command(argv: Sequence[str]) -> str:
    """Help, version or shell completion. Raises errors.InvalidInput for an unknown command."""
    if not argv or argv[0] in ("-h", "--help", "help"):
        return top_help()
    if argv[0] in ("-V", "--version", "version"):
        return f"gates {__version__}"
    if argv[0] == "completion":
        from gates.steps.completion import script

        return script(argv[1] if len(argv) > 1 else "").rstrip()
    word = " ".join(argv[:2]) if any(verb.startswith(f"{argv[0]} ") for verb in COMMANDS) else argv[0]
    raise InvalidInput(f"gates: unknown command '{word}'", hint=did_you_mean(word, COMMANDS))


def heedless(stream: TextIO) -> TextIO:
    """A stream whose reader may go away (`gates … | head`): what is said then is lost, and the run goes on to its end.

    The descriptor is turned to /dev/null, or the interpreter would complain once more when it flushes at its exit.
    """
    return cast("TextIO", _Heedless(stream))


class _Heedless(io.TextIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def isatty(self) -> bool:
        return self._stream.isatty()

    def write(self, text: str) -> int:
        return self._heedlessly(lambda: self._stream.write(text))

    def flush(self) -> None:
        self._heedlessly(self._stream.flush)

    def _heedlessly(self, act: Callable[[], int | None]) -> int:
        try:
            return act() or 0
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            return 0


def _answer(text: str) -> None:
    print(text, file=heedless(sys.stdout), flush=True)


_METAVAR = {"bool": "true|false"}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidInput(f"{self.prog}: {message}", hint=f"see `{self.prog} --help`")


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of one command, from its declared inputs."""
    module = command.load()
    outputs = "\n".join(f"  {option.flag:<20} {option.help}" for option in inputs.declared(module.Outputs))
    parser = _Parser(
        prog=f"gates {command.verb}", description=(module.__doc__ or "").strip(), add_help=False, allow_abbrev=False,
        usage=f"gates {command.verb} [--INPUT VALUE …]", formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=(f"outputs:\n{outputs}\n\n" if command.action else "") + EXIT_CODES,
    )  # fmt: skip
    group = parser.add_argument_group(
        "inputs (flag, then GATES_… in the environment, then mlops.yml, then the default)"
    )
    for option in inputs.declared(module.Inputs):
        default = f" Default: {option.default_text}." if option.default_text else ""
        choices = f" One of {', '.join(option.choices)}." if option.choices else ""
        extra: dict[str, Any] = {"nargs": "?", "const": "true"} if option.kind == "bool" else {}
        group.add_argument(
            f"--{option.flag}", dest=option.name, metavar=_METAVAR.get(option.kind, option.kind.upper()),
            help=(option.help + choices + default).replace("%", "%%"), **extra,
        )  # fmt: skip
    return parser


def top_help() -> str:
    rows = "\n".join(f"  {command.verb:<20} {command.summary}" for command in COMMANDS.values())
    return (
        "usage: gates COMMAND [--INPUT VALUE …]\n\n"
        "Train, gate, register, deploy and watch machine-learning models, with verdicts that can be trusted.\n\n"
        f"commands:\n{rows}\n\n`gates COMMAND --help` says each command's inputs and outputs.\n\n{EXIT_CODES}"
    )


def take_signals() -> None:
    """SIGINT and SIGTERM raise Cancelled, wherever the process is.

    Python lets nothing out of a callback of its garbage collector: what was raised there is raised again soon after.
    """
    others = sys.unraisablehook

    def swallowed(what: sys.UnraisableHookArgs) -> None:
        if not isinstance(what.exc_value, Cancelled):
            others(what)
            return
        number = what.exc_value.signal_number
        signal.signal(signal.SIGALRM, lambda _, frame: _cancel(number, frame))
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)

    sys.unraisablehook = swallowed
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _cancel)


def _cancel(number: int, _: FrameType | None) -> NoReturn:
    signal.setitimer(signal.ITIMER_REAL, 0)
    raise Cancelled(number)
