"""Azure DevOps: everything by `##vso[` commands on the log; the summary is a file that the agent uploads."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from gates.errors import Unavailable
from gates.platforms.text import MESSAGE_LIMIT, cut, neutral

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TextIO

    from gates.platforms import Level


_NOT_IN_A_NAME = re.compile(r"[^\w. -]")


class AzureDevOps:
    name = "azure-devops"

    def __init__(self, env: Mapping[str, str], stream: TextIO) -> None:
        self._env, self._stream = env, stream
        self._warned = False

    def say(self, text: str) -> None:
        print(neutral(text), file=self._stream, flush=True)

    def group(self, title: str) -> None:
        print(f"##[group]{neutral(' '.join(title.split()))}", file=self._stream, flush=True)

    def end_group(self) -> None:
        print("##[endgroup]", file=self._stream, flush=True)

    def mask(self, secret: str) -> None:
        for line in filter(None, secret.splitlines()):  # as it is: made harmless, it would be another text
            print(f"##vso[task.setsecret]{_escaped(line)}", file=self._stream, flush=True)

    def annotate(self, level: Level, message: str, *, file: str = "", line: int = 0, title: str = "") -> None:
        text = cut(f"{title}: {message}" if title else message, MESSAGE_LIMIT, "…")
        if level == "notice":
            self.say(text)
            return
        self._warned = self._warned or level == "warning"
        self._command("task.logissue", text, type=level, sourcepath=file, linenumber=str(line or ""))

    def set_outputs(self, outputs: Mapping[str, str]) -> None:
        for name, value in outputs.items():
            head, *rest = name.split("-")
            camel = head + "".join(word.capitalize() for word in rest)
            self._command("task.setvariable", value, variable=camel, isOutput="true")

    def append_summary(self, markdown: str) -> None:
        folder = Path(self._env.get("AGENT_TEMPDIRECTORY") or ".")
        path = folder / f"gates-summary-{uuid.uuid4().hex}.md"
        try:
            path.write_text(markdown, encoding="utf-8")
        except OSError as error:
            raise Unavailable(f"cannot write the summary {path}: {error.strerror}") from error
        self._command("task.uploadsummary", str(path.absolute()))

    def publish(self, folder: Path, name: str, *, tests: bool) -> None:
        env = self._env
        parts = ["gates", name, *(env.get(v, "") for v in ("SYSTEM_STAGENAME", "SYSTEM_JOBNAME"))]
        attempt = env.get("SYSTEM_JOBATTEMPT", "1")
        if attempt != "1":
            parts.append(attempt)
        title = _NOT_IN_A_NAME.sub("-", "-".join(part for part in parts if part and part != "__default"))
        if tests:
            self._command("results.publish", "", type="JUnit", mergeResults="true", runTitle=title,
                          publishRunAttachments="true", resultFiles=str((folder / "junit.xml").absolute()))  # fmt: skip
        report = str((folder / "report.json").absolute())
        self._command("artifact.upload", report, containerfolder=title, artifactname=title)

    def tag(self, *names: str) -> None:
        for name in names:
            self._command("build.addbuildtag", _NOT_IN_A_NAME.sub("-", name)[:256])

    def complete(self, exit_code: int, message: str) -> None:
        result = "Failed" if exit_code else "SucceededWithIssues" if self._warned else "Succeeded"
        self._command("task.complete", message, result=result)

    def run(self) -> Mapping[str, str]:
        env = self._env
        project = f"{env.get('SYSTEM_COLLECTIONURI', '')}{env.get('SYSTEM_TEAMPROJECT', '')}"
        number = env.get("BUILD_BUILDID", "")
        return {
            "builder": f"{project}/_build?definitionId={env.get('SYSTEM_DEFINITIONID', '')}" if project else "",
            "id": number,
            "url": f"{project}/_build/results?buildId={number}" if number else "",
            "commit": env.get("BUILD_SOURCEVERSION", ""),
            "ref": env.get("BUILD_SOURCEBRANCH", ""),
            "actor": env.get("BUILD_REQUESTEDFOR", ""),
        }

    def _command(self, command: str, data: str, **properties: str) -> None:
        given = "".join(f"{key}={_escape(value, property=True)};" for key, value in properties.items() if value)
        print(f"##vso[{command}{' ' + given if given else ''}]{_escape(data)}", file=self._stream, flush=True)


def _escape(text: str, *, property: bool = False) -> str:  # noqa: A002  # the word of the logging-command syntax
    text = _escaped(neutral(text))
    return text.replace(";", "%3B").replace("]", "%5D") if property else text


def _escaped(text: str) -> str:
    return text.replace("%", "%AZP25").replace("\r", "%0D").replace("\n", "%0A")
