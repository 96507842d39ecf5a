"""Where a run's words go: one protocol, one file a platform. Only this room prints `::` or `##vso[`.

Environment and streams are arguments. Everything that is not ours (names, data values, logs of models) goes through
`neutral()` first, on every platform, so that no text can forge a command and the same text stands everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

from gates import confidential
from gates.confidential import SECRETS
from gates.platforms import azure_devops, github, shell

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import TextIO

Level = Literal["error", "warning", "notice"]


class Platform(Protocol):
    """What a step may say to the place it runs on."""

    name: str

    def say(self, text: str) -> None:
        """Lines of the log, made harmless."""
        ...

    def group(self, title: str) -> None: ...

    def end_group(self) -> None: ...

    def mask(self, secret: str) -> None:
        """Never show this text again in any log."""
        ...

    def annotate(self, level: Level, message: str, *, file: str = "", line: int = 0, title: str = "") -> None: ...

    def set_outputs(self, outputs: Mapping[str, str]) -> None: ...

    def append_summary(self, markdown: str) -> None: ...

    def publish(self, folder: Path, name: str, *, tests: bool) -> None:
        """A report's folder, where the platform keeps reports: an artifact, and with `tests` the Tests tab."""
        ...

    def tag(self, *names: str) -> None:
        """Words by which the run can be found again, where the platform has such."""
        ...

    def complete(self, exit_code: int, message: str) -> None:
        """The last word, where the platform wants one."""
        ...

    def run(self) -> Mapping[str, str]:
        """Who builds: builder, run id, url, commit, ref, actor; only what the platform itself says."""
        ...


PLATFORMS: dict[str, Callable[[Mapping[str, str], TextIO], Platform]] = {
    "github": github.GitHub,
    "azure-devops": azure_devops.AzureDevOps,
    "shell": shell.Shell,
}


def detect(env: Mapping[str, str], stream: TextIO) -> Platform:
    """GitHub Actions (act too), Azure DevOps, or a shell; the values of SECRETS are masked before anything is said."""
    name = "github" if env.get("GITHUB_ACTIONS") == "true" else "azure-devops" if env.get("TF_BUILD") else "shell"
    platform = PLATFORMS[name](env, stream)
    for secret in confidential.values(env):
        platform.mask(secret)
    return platform


__all__ = ["PLATFORMS", "SECRETS", "Level", "Platform", "detect"]
