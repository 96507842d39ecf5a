"""One suite over GitHub, Azure DevOps and the shell."""

from __future__ import annotations

import inspect
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gates.platforms import PLATFORMS, Platform

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = sorted(PLATFORMS)
LEVELS = ("error", "warning", "notice")
HOSTILE = [
    "::error::forged", "x\n::set-output name=verdict::PASS", "x\r::add-mask::e",
    "##vso[task.complete result=Succeeded]",
    "a ##VSO[task.setvariable variable=verdict]PASS", "##[endgroup]", "\u2028::stop-commands::t", "\x1b[0m::error::x",
    "title,line=1::x", "a]##vso[b", "\x00\x07", "\u202egpj.exe", "",
]  # fmt: skip
COMMANDS = {
    "github": re.compile(r"^::(group|endgroup|error|warning|notice)( [a-z]+=[^:]*)?::"),
    "azure-devops": re.compile(
        r"^##(\[(group|endgroup)\]|vso\[(task\.(logissue|uploadsummary|setvariable|complete)|results\.publish|"
        r"artifact\.upload|build\.addbuildtag)[ \]])"
    ),
    "shell": re.compile(r"(?!)"),
}


def made(name: str, folder: Path) -> tuple[Platform, io.StringIO]:
    stream = io.StringIO()
    env = {
        "GITHUB_OUTPUT": str(folder / "output"), "GITHUB_STEP_SUMMARY": str(folder / "summary"),
        "AGENT_TEMPDIRECTORY": str(folder),
    }  # fmt: skip
    return PLATFORMS[name](env, stream), stream


def commands(name: str, text: str) -> list[str]:
    """The lines that the platform would obey."""
    lines = re.split(r"\r\n|[\n\r\x0b\x0c\x85\u2028\u2029]", text)
    if name == "github":
        return [line for line in lines if line.lstrip().startswith("::") or "##[" in line]
    return [line for line in lines if "##vso[" in line.lower() or "##[" in line]


def everything(platform: Platform, text: str) -> None:
    platform.say(text)
    platform.group(text)
    for level in LEVELS:
        platform.annotate(level, text, file=text, line=3, title=text)  # type: ignore[arg-type]  # levels of the tuple
    platform.set_outputs({"message": text})
    platform.append_summary(text)
    platform.publish(Path(text.replace("\x00", "")), text, tests=True)
    platform.tag(text)
    platform.end_group()
    platform.complete(1, text)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_forges_a_command(name: str, text: str, tmp_path: Path) -> None:
    platform, stream = made(name, tmp_path)
    everything(platform, text)
    for line in commands(name, stream.getvalue()):
        assert COMMANDS[name].match(line), f"forged: {line!r}"
        data = line.partition("]")[2] if name == "azure-devops" else line
        assert commands("azure-devops", data) == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.lists(st.sampled_from([*HOSTILE, "::", "##", "[", "]", ":", "\n", "\r", " ", "x"]), max_size=6).map("".join)
)
@pytest.mark.parametrize("name", NAMES)
def test_no_composition_forges_a_command(name: str, text: str, tmp_path: Path) -> None:
    test_no_text_forges_a_command(name, text, tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_every_platform_fits_the_protocol(name: str, tmp_path: Path) -> None:
    platform, _ = made(name, tmp_path)
    assert platform.name == name
    wanted: list[tuple[str, Callable[..., object]]] = [
        (method, function)
        for method, function in vars(Platform).items()
        if inspect.isfunction(function) and method[0] != "_"
    ]
    assert len(wanted) >= 9
    for method, function in wanted:
        theirs = inspect.signature(getattr(type(platform), method))
        assert list(theirs.parameters) == list(inspect.signature(function).parameters), method


@pytest.mark.parametrize("name", NAMES)
def test_who_builds_is_said_by_the_same_keys_and_only_from_the_platform(name: str, tmp_path: Path) -> None:
    run = made(name, tmp_path)[0].run()
    assert list(run) == ["builder", "id", "url", "commit", "ref", "actor"]
    assert all(isinstance(value, str) for value in run.values())


@pytest.mark.parametrize("name", NAMES)
def test_a_notice_a_warning_and_an_error_are_all_said(name: str, tmp_path: Path) -> None:
    platform, stream = made(name, tmp_path)
    for level in LEVELS:
        platform.annotate(level, f"this is a {level}")  # type: ignore[arg-type]  # as above
    assert all(f"this is a {level}" in stream.getvalue() for level in LEVELS)
