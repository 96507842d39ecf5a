"""The shell itself completes `gates` with the script that `gates completion` prints."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable


def printed(shell: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gates", "completion", shell]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def complete(bash: str, *words: str) -> set[str]:
    """What bash offers after `words`, the last of which is being typed."""
    typed = " ".join(f"'{word}'" for word in words)
    code = (
        f"{printed('bash').stdout}\nCOMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}; _gates; echo ${{COMPREPLY[@]}}"
    )
    done = subprocess.run([bash, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("gates", "val"), {"validate-gate"}),
        (("gates", "validate-gate", "--champion"), {"--champion", "--champion-predictions"}),
        (("gates", "endpoint", "st"), {"status", "stop"}),
        (("gates", "endpoint", "stop", "--conf"), {"--config"}),
        (("gates", "train", "--job", "--time"), {"--timeout"}),
        (("gates", "completion", ""), {"bash", "zsh", "fish"}),
        (("gates", "nothing", ""), set()),
    ],
)
def test_bash_completes_verbs_and_flags(need: Callable[[str], str], words: tuple[str, ...], offered: set[str]) -> None:
    assert complete(need("bash"), *words) == offered


def test_every_shell_has_a_script_and_another_is_refused() -> None:
    assert "bashcompinit" in printed("zsh").stdout
    assert "complete -c gates" in printed("fish").stdout
    refused = printed("tcsh")
    assert refused.returncode == 2
    assert "'tcsh' is no shell known here" in refused.stderr
