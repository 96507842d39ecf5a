"""numpy is told not to sort by AVX-512 on a Zen 4, in words that its version knows, and nowhere else."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from gates.runtime import processor

if TYPE_CHECKING:
    from pathlib import Path

ZEN_4 = (
    "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nflags\t\t: fpu avx2 avx512f avx512dq\n"
)


@pytest.mark.parametrize(
    ("changes", "slow"),
    [
        ({}, True),
        ({"AuthenticAMD": "GenuineIntel"}, False),
        ({"family\t: 25": "family\t: 26"}, False),
        ({" avx512f avx512dq": ""}, False),
    ],
)
def test_only_a_zen_4_is_slow(changes: dict[str, str], slow: bool, tmp_path: Path) -> None:
    text = ZEN_4
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "cpuinfo").write_text(text)
    found = processor.settings({}, tmp_path / "cpuinfo")
    assert list(found) == ([processor.VARIABLE] if slow and processor.without_avx512(processor.numpy_version()) else [])


def test_what_the_user_said_stands(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text(ZEN_4)
    assert processor.settings({processor.VARIABLE: ""}, tmp_path / "cpuinfo") == {}
    assert processor.settings({"NPY_ENABLE_CPU_FEATURES": "X86_V4"}, tmp_path / "cpuinfo") == {}
    assert processor.settings({}, tmp_path / "nothing") == {}


def test_the_words_are_those_of_the_numpy_that_is_installed() -> None:
    import numpy as np

    known = importlib.import_module("numpy._core._multiarray_umath").__cpu_dispatch__  # what this numpy can disable
    major, minor = (int(part) for part in np.__version__.split(".")[:2])
    assert processor.numpy_version() == (major, minor)
    words = processor.without_avx512((major, minor))
    assert words == "" or words in known or not any("512" in name for name in known)


@pytest.mark.parametrize(
    ("version", "words"),
    [(None, ""), ((1, 26), ""), ((2, 0), "AVX512F"), ((2, 3), "AVX512F"), ((2, 4), "X86_V4"), ((3, 0), "")],
)
def test_each_numpy_has_its_own_words(version: tuple[int, int] | None, words: str) -> None:
    assert processor.without_avx512(version) == words
