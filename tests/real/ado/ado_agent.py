"""Runs one step on this machine as the agent does: a script, or a packaged task on Node with INPUT_* and ENDPOINT_*.

Reads the logging commands that the step prints, keeps its secrets out of the log, and holds it to the restrictions of
its task.json.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ado_commands import Command, CommandError, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

MACRO = re.compile(r"\$\(([A-Za-z_][\w.]*)\)")
SYSTEM_TOKEN = "system-access-token-4711"
ORDER = ("Succeeded", "SucceededWithIssues", "Failed")


@dataclass(frozen=True)
class Task:
    """A task of the extension, where it was unpacked."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def inputs(self) -> dict[str, dict[str, Any]]:
        return {given["name"].lower(): given for given in self.manifest["inputs"]}


@dataclass
class StepRun:
    """What one step did."""

    name: str
    result: str = "Succeeded"
    log: list[str] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.log)

    def of(self, name: str) -> list[Command]:
        return [command for command in self.commands if command.name == name]


@dataclass
class Agent:
    """One machine. `tasks` by `Name@1`; `connections` by the name of the service connection."""

    node: Path
    tasks: dict[str, Task]
    folder: Path
    env: Mapping[str, str]
    connections: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def run(self, step: Mapping[str, Any], cwd: Path, variables: dict[str, str], secrets: set[str]) -> StepRun:
        """One step with a task, bash or script. `variables` is the job's, and is written by task.setvariable."""
        ran = StepRun(str(step.get("name") or step.get("displayName") or ""))
        env = self._environment(variables) | {
            name: macros(_plain(value), variables) for name, value in (step.get("env") or {}).items()
        }
        task = None
        if "task" in step:
            task = self.tasks.get(step["task"])
            if task is None:
                raise CommandError(f"no task {step['task']}")
            command = [str(self.node), str(task.folder / task.manifest["execution"]["Node24"]["target"])]
            env |= self._inputs(task, step.get("inputs") or {}, variables)
            secrets |= {value for name, value in env.items() if name.endswith("_SERVICEPRINCIPALKEY")}
        else:
            kind = "bash" if "bash" in step else "script"
            script = self.folder / "tmp" / f"step-{len(list((self.folder / 'tmp').iterdir()))}.sh"
            script.write_text(macros(str(step[kind]), variables) + "\n", encoding="utf-8")
            command = ["bash", "--noprofile", "--norc", str(script)] if kind == "bash" else ["sh", str(script)]
        process = subprocess.Popen(
            command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        for raw in process.stdout:
            self._line(raw.decode("utf-8", "replace").rstrip("\n"), ran, task, variables, secrets)
        if process.wait() != 0:
            ran.result = "Failed"
            ran.log.append(f"exit code {process.returncode}")
        return ran

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        named = {name.upper().replace(".", "_").replace(" ", "_"): value for name, value in variables.items()}
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "TF_BUILD": "True",
            "AGENT_TEMPDIRECTORY": str(self.folder / "tmp"), "AGENT_TOOLSDIRECTORY": str(self.folder / "tools"),
            **self.env, **named,
        }  # fmt: skip

    def _inputs(self, task: Task, given: Mapping[str, Any], variables: Mapping[str, str]) -> dict[str, str]:
        env = {
            "ENDPOINT_AUTH_SYSTEMVSSCONNECTION": json.dumps(
                {"parameters": {"AccessToken": SYSTEM_TOKEN}, "scheme": "OAuth"}
            ),
            "ENDPOINT_AUTH_SCHEME_SYSTEMVSSCONNECTION": "OAuth",
            "ENDPOINT_AUTH_PARAMETER_SYSTEMVSSCONNECTION_ACCESSTOKEN": SYSTEM_TOKEN,
            "ENDPOINT_URL_SYSTEMVSSCONNECTION": str(variables.get("System.CollectionUri", "")),
        }
        env |= {f"INPUT_{declared['name'].upper()}": "" for declared in task.inputs.values()}  # declared, and not given
        for name, value in given.items():
            declared = task.inputs.get(name.lower())
            if declared is None:
                raise CommandError(f"{task.manifest['name']} has no input '{name}'")
            text = macros(_plain(value), variables)
            env[f"INPUT_{declared['name'].upper()}"] = text
            if declared["type"].startswith("connectedService:") and text:
                if text not in self.connections:
                    raise CommandError(f"no service connection '{text}'")
                env |= self.connections[text]
        return env

    def _line(self, line: str, ran: StepRun, task: Task | None, variables: dict[str, str], secrets: set[str]) -> None:
        shown = line
        for secret in sorted(secrets, key=len, reverse=True):
            shown = shown.replace(secret, "***")
        try:
            command = parse(line)
        except CommandError as error:
            ran.wrong.append(str(error))
            return
        if command is None or command.name != "task.setsecret":  # the agent shows no such line
            ran.log.append(shown)
        if command is None:
            return
        ran.commands.append(command)
        if command.name == "task.setsecret":
            secrets.add(command.data)
        elif command.name == "task.setvariable":
            self._set(command, ran, task, variables, secrets)
        elif command.name == "task.complete":
            ran.result = max(ran.result, command.properties["result"], key=ORDER.index)
        elif command.name in ("task.uploadsummary", "artifact.upload") and not Path(command.data).exists():
            ran.wrong.append(f"{command.name}: no file {command.data}")
        elif command.name == "results.publish" and not Path(command.properties["resultfiles"]).is_file():
            ran.wrong.append(f"results.publish: no file {command.properties['resultfiles']}")

    def _set(
        self, command: Command, ran: StepRun, task: Task | None, variables: dict[str, str], secrets: set[str]
    ) -> None:
        name = command.properties["variable"]
        if task is not None and name not in task.manifest["restrictions"]["settableVariables"]["allowed"]:
            ran.wrong.append(f"{task.manifest['name']} may not set the variable {name}")
            return
        if command.properties.get("issecret") == "true":
            secrets.add(command.data)
        if command.properties.get("isoutput") == "true":
            ran.outputs[name] = command.data
            variables[f"{ran.name}.{name}"] = command.data
        else:
            variables[name] = command.data


def macros(text: str, variables: Mapping[str, str]) -> str:
    """`$(name)` by its value, once, without regard to case; an unknown one stays as it is."""
    known = {name.lower(): value for name, value in variables.items()}
    return MACRO.sub(lambda match: known.get(match[1].lower(), match[0]), text)


def tasks_of(extension: Path) -> dict[str, Task]:
    """The tasks of an unpacked extension."""
    found = {}
    for file in extension.glob("*/task.json"):
        manifest = json.loads(file.read_text(encoding="utf-8"))
        found[f"{manifest['name']}@{manifest['version']['Major']}"] = Task(file.parent, manifest)
    return found


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
