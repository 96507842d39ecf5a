"""What every step shares: the common inputs and outputs, and the context that `cli` hands to `run()`.

A step is a module with SUMMARY, `Inputs`, `Outputs` and `run(inputs, context, out)`. It fills `out` as it goes, so that
what is known is written on failure as on success; it returns an `Ended`, or raises one of `errors`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from gates.errors import InvalidInput, Unavailable
from gates.files import write_whole
from gates.inputs import option, output
from gates.project import CredentialKind
from gates.reports import json as json_report
from gates.reports import markdown
from gates.verdict import GateReport, Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime
    from pathlib import Path

    from gates.backends import Backend
    from gates.platforms import Platform
    from gates.policy import Policy
    from gates.project import Project


@dataclass(frozen=True, kw_only=True)
class Folders:
    """The inputs that say where things are; they are read first, so that every later error finds its place."""

    config: Path = option("The project file; see docs/reference.", kind="path", default="mlops.yml")
    state_dir: Path | None = option(
        "Registry, artefacts, endpoints and journals of the local backend. Default: .gates beside the project file.",
        kind="path",
    )
    report_dir: Path | None = option("Where the report goes. Default: STATE-DIR/reports/STEP.", kind="path")


@dataclass(frozen=True, kw_only=True)
class Common(Folders):
    """The inputs that every step has."""

    backend: str = option(
        "Where things run.", kind="choice", default="local", config="backend", choices=("local", "azureml")
    )
    credential: str = option(
        "azureml: how to sign in to Azure. Default: the first way for which the environment is complete, never "
        "managed-identity; `gates doctor` says which.",
        kind="choice", config="workspace.credential", choices=get_args(CredentialKind),
    )  # fmt: skip
    python: str = option(
        "The interpreter that runs your code and your model. Default: the one on PATH before ours; when it lacks what "
        "a model needs, an environment built from the model's own requirements, cached."
    )
    json: bool = option("Print the outputs as one JSON object on stdout.", kind="bool", default=False)
    quiet: bool = option("Say only warnings, errors and the verdict.", kind="bool", default=False)


@dataclass(kw_only=True)
class CommonOutputs:
    """The outputs that every step has; all are texts, empty when there is nothing to say."""

    exit_code: str = output("The exit code of the table in the README.")
    outcome: str = output("One word for it: passed, refused, job-failed, invalid, inconclusive, error, …")
    message: str = output("One sentence: what happened.")
    report_path: str = output("The report.json of this step.")
    report_digest: str = output("sha256 of the canonical JSON of the report's `result`.")


@dataclass(frozen=True)
class Ended:
    """How a step ended when it did not raise."""

    outcome: str = "passed"
    exit_code: int = 0
    message: str = ""
    text: str = ""
    """What a query answers, for stdout."""


@dataclass
class Context:
    """What the composition root gives to a step: the world, as arguments."""

    step: str
    env: Mapping[str, str]
    cwd: Path
    platform: Platform
    now: Callable[[], datetime]
    project: Project
    state_dir: Path
    report_dir: Path
    python: str | None
    quiet: bool = False
    credential: str = ""
    open_backend: Callable[[Context], Backend] | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    _backend: Backend | None = None

    def say(self, text: str) -> None:
        """Progress: one line, unless `--quiet`."""
        if not self.quiet:
            self.platform.say(text)

    @contextmanager
    def group(self, title: str) -> Iterator[None]:
        """A long piece of work that folds away where the platform folds; nothing of it is said with `--quiet`."""
        if self.quiet:
            yield
            return
        self.platform.group(title)
        try:
            yield
        finally:
            self.platform.end_group()

    @property
    def backend(self) -> Backend:
        """Opened on first use: a gate over a metrics file needs none."""
        if self._backend is None:
            assert self.open_backend is not None  # noqa: S101  # cli always sets it; tests that need it do too
            self._backend = self.open_backend(self)
        return self._backend

    @property
    def opened(self) -> bool:
        """Whether the step asked for its backend."""
        return self._backend is not None

    def need(self, value: Any, name: str, *, flag: str | None = None) -> Any:
        """`value`, or an error that says which input or key of mlops.yml is missing; `flag` where names differ."""
        if value is None or value == "":
            flag = name.rpartition(".")[2].replace("_", "-") if flag is None else flag
            hint = f"add the key {name}" + (f", or give --{flag}" if flag else "")
            raise InvalidInput(f"nothing says what '{name}' is", file=self.project.file, hint=hint)
        return value

    def write_report(
        self,
        report: GateReport,
        out: CommonOutputs,
        shown: Mapping[str, str],
        *,
        policy_file: Path | None = None,
        rollout: Mapping[str, Any] | None = None,
        places: Mapping[str, str] | None = None,
    ) -> None:
        """Write report.json, summary.md and junit.xml; say the checks, the annotations and the summary.

        `shown` are the figures for the summary's table; `policy_file` is where annotations point; `rollout` is what a
        rollout did over time (`rollout.timeline`); `places`, where else something of it stands.
        """
        from gates.reports import junit  # an XML library: `gates --help` does without

        run = {
            "started": self.now().isoformat(timespec="seconds"),
            "platform": self.platform.name,
            "versions": dict(self.versions),
            "paths": {"project": str(self.project.file), "report": str(self.report_dir), **(places or {})},
            **{k: v for k, v in self.platform.run().items() if v},
        }
        text, digest = json_report.render(report, run)
        path = self.report_dir / "report.json"
        summary = markdown.summary(report, shown, rollout=rollout, mermaid=self.platform.name == "github")
        write_whole(path, text)
        write_whole(self.report_dir / "summary.md", summary)
        write_whole(self.report_dir / "junit.xml", junit.render(report))
        self.platform.publish(self.report_dir, self.step, tests=bool(report.checks))
        out.report_path, out.report_digest = str(path), digest
        for line in markdown.lines(report):
            self.platform.say(line)
        self._annotate(report, policy_file)
        try:
            self.platform.append_summary(summary)
        except Unavailable as error:  # the verdict stands in the report; only its picture is missing
            self.platform.annotate("warning", str(error))

    def _annotate(self, report: GateReport, policy_file: Path | None) -> None:
        for check in report.checks:
            if check.status.decided and check.status is not Status.PASS:
                self.platform.annotate(
                    "error" if check.severity == "block" and not report.allowed else "warning",
                    check.reason,
                    file=shown_path(policy_file, self.cwd),
                    line=check.line,
                    title=f"{check.status.value} {check.id}",
                )


def shown_path(path: Path | None, cwd: Path) -> str:
    """A path as people read it: relative to the working directory where it lies below."""
    if path is None:
        return ""
    try:
        return path.absolute().relative_to(cwd).as_posix()
    except ValueError:
        return str(path)


def done(
    context: Context, *, stage: str = "", policy: Policy | None = None, model: str = "", rows: int = 0
) -> GateReport:
    """The report of a step that judged nothing: it says so, and nothing in it can stand for a gate's PASS."""
    return GateReport(
        step=context.step,
        stage=stage,
        verdict=Verdict.INCONCLUSIVE,
        decision="allow",
        policy=policy.describe() if policy else {"digest": "", "name": "", "revision": 0, "source": ""},
        model={"digest": model},
        champion=None,
        data={"digest": "", "rows": rows},
        checks=(),
        note=f"not judged: the policy has no stage '{stage}'" if stage else "not judged: this step has no stage",
    )


def ended(report: GateReport) -> Ended:
    """Outcome, exit code and sentence of a judged report."""
    passed = sum(1 for check in report.checks if check.status.value == "PASS")
    failed = ", ".join(report.failed_checks)
    if report.allowed:
        undecided = f"; undecided but tolerated: {failed}" if failed else ""
        return Ended("passed", 0, f"{report.step} passed: {passed} of {len(report.checks)} checks{undecided}")
    if report.verdict is Verdict.FAIL:
        return Ended("refused", 1, f"{report.step} refused by {failed}")
    if report.verdict is Verdict.INCONCLUSIVE:
        return Ended("inconclusive", 3, f"{report.step} refused as inconclusive: {failed}")
    return Ended("error", 4, f"{report.step} could not decide: {failed or 'no blocking check decided'}")
