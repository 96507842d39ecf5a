"""The walks of CONTRIBUTING.md lead somewhere: every path and name in them exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+/?|[\w-]+\.(?:md|toml|yml))`")
WALKS = ("Add a check", "Add an input", "Add a backend")
USERS_OWN = {"mlops.yml"}


def dead(text: str) -> list[str]:
    """Paths named in `text` that are not there."""
    return [name for name in PATH.findall(text) if name not in USERS_OWN and not (ROOT / name).exists()]


def walk(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


@pytest.mark.parametrize("title", WALKS)
def test_a_walk_is_numbered_and_has_no_dead_path(title: str) -> None:
    steps = re.findall(r"^(\d+)\. ", walk(title), re.MULTILINE)
    assert steps == [str(number) for number in range(1, len(steps) + 1)]
    assert len(steps) >= 4
    assert len(PATH.findall(walk(title))) >= 5
    assert dead(walk(title)) == []


def test_no_dead_path_anywhere() -> None:
    assert dead(TEXT) == []


def test_a_dead_path_is_seen() -> None:
    assert dead("see `gates/checks/treshold.py` and `gates/cli.py`") == ["gates/checks/treshold.py"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("CHECKS", "gates/checks/__init__.py"), ("class Backend(Protocol)", "gates/backends/__init__.py"),
        ("def _backend", "gates/cli.py"), ("_PATHS", "gates/project.py"), ("def option(", "gates/inputs.py"),
        ("__version__", "gates/__init__.py"),
    ],
)  # fmt: skip
def test_the_names_in_the_walks_stand_where_they_are_said_to(name: str, file: str) -> None:
    assert name in (ROOT / file).read_text(encoding="utf-8")


def test_every_make_target_named_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"`make ([a-z]+)`", TEXT):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
