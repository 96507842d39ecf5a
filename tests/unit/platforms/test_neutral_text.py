"""Text that is not ours cannot command a runner. The parsers below are written after those of the runners."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from gates.platforms.text import cut, neutral

PIECES = st.sampled_from([
    "::", ":", "#", "##", "##[", "##vso[", "##VSO[", "vso[", "[", "]", "error", "set-output", "add-mask", " ",
    "\t", "\n", "\r", "\r\n", "\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\u2029", "\u00a0", "\u3000",
    "\u202e", "\u200f",
    "\x00", "\x08", "\x1b", "\x1b[31m", "\x1b[0m", "\x1b[", "m", "é", "\ud800", "x",
])  # fmt: skip
TEXT = st.one_of(st.text(), st.lists(PIECES, max_size=12).map("".join))
EVERY_LINE_END = re.compile(r"\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
DOTNET_WHITE = " \t\n\x0b\x0c\r\x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


def github_obeys(line: str) -> bool:
    """actions/runner, ActionCommand.cs: `::` after TrimStart; the older form `##[` anywhere."""
    return line.lstrip(DOTNET_WHITE).startswith("::") or "##[" in line


def act_obeys(line: str) -> bool:
    """act, pkg/runner/command.go."""
    return bool(re.match(r"^::([^ ]+)( (.+))?::", line) or re.match(r"^##\[([^ ]+)( (.+))?]", line))


def azure_devops_obeys(line: str) -> bool:
    """azure-pipelines-agent, Command.cs: `##vso[` anywhere, in any case; `##[` sets the format of a line."""
    return "##vso[" in line.lower() or "##[" in line


@settings(max_examples=1500, deadline=None)
@given(TEXT)
@example("x\r::error::forged")
@example("\x1b[31m::error::forged")
@example("\x00::error::forged")
@example("#\x00#vso[task.complete result=Succeeded]")
@example("\u3000::add-mask::x")
@example(":::error::x")
def test_no_line_of_neutral_text_is_a_command_anywhere(text: str) -> None:
    for line in EVERY_LINE_END.split(neutral(text)):
        assert not github_obeys(line)
        assert not act_obeys(line)
        assert not azure_devops_obeys(line)
        assert not line.strip().startswith("::")


@given(st.text(alphabet="abc {}:=,.\n%[]()äö", max_size=60).filter(lambda t: "::" not in t and not t.endswith("\n")))
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert neutral(text) == text


@given(st.text(max_size=300), st.integers(min_value=10, max_value=400))
def test_cut_text_fits_its_limit_in_bytes(text: str, limit: int) -> None:
    short = cut(text, limit, "…")
    assert len(short.encode("utf-8", "replace")) <= limit
    assert short == text or short.endswith("…")
