"""Every policy in tests/golden/policies/bad is refused with exactly the line beside it: exit 2, file and line.

`python tests/unit/test_policy_refusals.py` writes the lines anew, to be read before they are committed.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from small_project import gates, make

from gates import policy
from gates.checks import CHECKS
from gates.errors import InvalidInput

BAD = Path(__file__).resolve().parents[1] / "golden" / "policies" / "bad"
FILES = sorted(BAD.glob("*.yml"))
TODAY = date(2026, 11, 21)


def refusal(file: Path) -> str:
    """What is said of a policy, with the file by its name."""
    try:
        policy.load(file.read_bytes(), Path(file.name), today=TODAY)
    except InvalidInput as error:
        return f"error: {error}\n"
    return "accepted\n"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_bad_policy_is_refused_in_these_words(file: Path) -> None:
    said = refusal(file)
    assert said == file.with_suffix(".txt").read_text(encoding="utf-8")
    assert said.startswith(f"error: {file.name}:"), "file and line"
    assert re.match(r"error: [a-z0-9-]+\.yml:\d+: ", said)
    assert said.count("\n") == 1


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_command_says_the_same_and_exits_2(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    (folder / file.name).write_bytes(file.read_bytes())
    said = gates(folder, capsys, f"validate-gate --metrics metrics.json --policy {file.name}")
    assert said.exit_code == 2
    assert said.err == file.with_suffix(".txt").read_text(encoding="utf-8")


def test_there_is_a_bad_policy_for_every_check_and_its_words_beside_it() -> None:
    assert len(FILES) >= 40
    assert {file.stem for file in BAD.glob("*.txt")} == {file.stem for file in FILES}
    everything = "".join(file.read_text(encoding="utf-8", errors="replace") for file in FILES)
    assert [kind for kind in CHECKS if f"type: {kind}" not in everything] == []


if __name__ == "__main__":
    for bad in FILES:
        bad.with_suffix(".txt").write_text(refusal(bad), encoding="utf-8")
