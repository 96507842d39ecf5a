"""An organisation on this machine: the extension that `make vsix` builds, agents with Node 20 or 24, repositories."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ado_agent import Agent, tasks_of
from ado_expander import Sources, expand
from ado_runner import Runner
from ado_schema import findings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ado_agent import Task
    from ado_runner import StageRun

ROOT = Path(__file__).resolve().parents[3]
INHERITED = ("HOME", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
PREDEFINED = {
    "Build.Reason": "Manual", "Build.BuildId": "17", "Build.SourceBranch": "refs/heads/main",
    "Build.Repository.Provider": "TfsGit", "Build.Repository.ID": "repository-id", "System.TeamProjectId": "project-id",
    "System.CollectionUri": "https://dev.azure.example/acme/", "System.TeamProject": "models",
    "System.DefinitionId": "4", "System.JobAttempt": "1",
}  # fmt: skip


@dataclass(frozen=True)
class Organisation:
    """Where tasks, Node and caches are; `tools` is the tool cache that agents share."""

    tasks: dict[str, Task]
    nodes: Mapping[str, Path]
    tools: Path
    home: Path

    def agent(
        self,
        folder: Path,
        *,
        node: str = "24",
        env: Mapping[str, str] | None = None,
        connections: Mapping[str, Mapping[str, str]] | None = None,
    ) -> Agent:
        """A machine below `folder`."""
        for name in ("work", "tmp"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        kept = {name: os.environ[name] for name in os.environ if name in INHERITED or name.startswith(("PIP_", "UV_"))}
        place = {"HOME": str(self.home), "AGENT_TOOLSDIRECTORY": str(self.tools)}
        return Agent(self.nodes[node], self.tasks, folder, {**kept, **place, **(env or {})}, connections or {})

    def run(
        self,
        pipeline: Path,
        repository: Path,
        folder: Path,
        *,
        node: str = "24",
        parameters: Mapping[str, Any] | None = None,
        variables: Mapping[str, str] | None = None,
        environments: Mapping[str, bool] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Run:
        """Expand, hold against Microsoft's schema, and run; our repository is `gates`, at any tag."""
        known = {**PREDEFINED, **(variables or {})}
        document = expand(
            pipeline, sources=Sources(repository, {"gates": ROOT}), parameters=parameters, variables=known
        )
        wrong = findings(document, self.tasks)
        assert wrong == [], wrong
        agent = self.agent(folder, node=node, env=env)
        runner = Runner(agent, repository, variables=known, environments=environments or {})
        return Run(document, runner.run(document), runner)


@dataclass(frozen=True)
class Run:
    """What a pipeline did."""

    document: Mapping[str, Any]
    stages: dict[str, StageRun]
    runner: Runner

    @property
    def results(self) -> dict[str, str]:
        return {name: stage.result for name, stage in self.stages.items()}

    def log(self) -> str:
        """Everything that any step said."""
        return "\n".join(
            step.text for stage in self.stages.values() for job in stage.jobs.values() for step in job.steps
        )

    def wrong(self) -> list[str]:
        """Commands that the agent would have refused."""
        return [line for stage in self.stages.values() for job in stage.jobs.values() for step in job.steps
                for line in step.wrong]  # fmt: skip


def organisation(folder: Path) -> Organisation:
    """Build the extension and unpack it, as the service does before it hands tasks to agents; once in a folder."""
    sys.path.insert(0, str(ROOT / ".ci"))
    import nodes
    import vsix

    found = {major: nodes.find(major) for major in ("20", "24")}
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "extension").is_dir():
            file = vsix.build(folder / "dist", folder / "build")
            with zipfile.ZipFile(file) as archive:
                archive.extractall(folder / "unpacked")
            (folder / "home").mkdir(exist_ok=True)
            shutil.rmtree(folder / "build")
            (folder / "unpacked").rename(folder / "extension")
    return Organisation(tasks_of(folder / "extension"), found, folder / "tools", folder / "home")


def repository(target: Path, files: Mapping[str, str]) -> Path:
    """A git repository that holds these files."""
    for name, text in files.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, encoding="utf-8")
    git = ["git", "-c", "user.name=tests", "-c", "user.email=tests@localhost", "-c", "commit.gpgsign=false"]
    for command in (["init", "--quiet", "--initial-branch=main"], ["add", "--all"], ["commit", "--quiet", "-m", "It"]):
        subprocess.run([*git, *command], cwd=target, check=True)
    return target
