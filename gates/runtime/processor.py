"""What numpy must be told of this machine's processor before it is imported: on AMD's Zen 4, not to sort by AVX-512.

Its compress-store to memory is microcoded, and numpy's AVX-512 sort is built on it: 52 ns a value where the AVX2 sort
takes 9 (EPYC of family 25, numpy 2.4; numpy/numpy#32690, and OpenJDK's JDK-8317976 for the same). Drift, DeLong and
every quantile sort. The setting is for this process alone: what it starts gets the environment as it came.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "NPY_DISABLE_CPU_FEATURES"
_CPUINFO = Path("/proc/cpuinfo")
_ZEN_4 = "25"


def settings(env: Mapping[str, str], cpuinfo: Path = _CPUINFO) -> dict[str, str]:
    """Environment variables for this process, none where there is nothing to mend or the user has said something."""
    if VARIABLE in env or "NPY_ENABLE_CPU_FEATURES" in env:
        return {}
    try:
        with cpuinfo.open(encoding="ascii", errors="replace") as file:
            first = file.read(4096)  # one processor's; with hundreds of them the whole takes the kernel long
    except OSError:
        return {}  # not Linux: then numpy decides
    features = without_avx512(numpy_version()) if slow_compress_store(first) else ""
    return {VARIABLE: features} if features else {}


def slow_compress_store(cpuinfo: str) -> bool:
    """Whether this is a Zen 4; Zen 3 is of the same family and has no AVX-512."""
    facts = dict(re.findall(r"^(vendor_id|cpu family|flags)\s*: (.*)$", cpuinfo, re.MULTILINE))
    same = facts.get("vendor_id") == "AuthenticAMD" and facts.get("cpu family") == _ZEN_4
    return same and "avx512f" in facts.get("flags", "").split()


def without_avx512(version: tuple[int, int] | None) -> str:
    """The features to disable, in the words of that numpy; it warns of words that it does not know.

    None of a numpy before 2.0, whose only fast sort is the AVX-512 one, nor of one that we do not know.
    """
    if version is None or not (2, 0) <= version < (3, 0):
        return ""
    return "AVX512F" if version < (2, 4) else "X86_V4"


def numpy_version() -> tuple[int, int] | None:
    """(major, minor) by its version file, since importing it is what must not happen yet; None when it is not there."""
    spec = importlib.util.find_spec("numpy")
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin).with_name("version.py")
    text = file.read_text(encoding="utf-8") if file.is_file() else ""
    found = re.search(r"""^version = ["'](\d+)\.(\d+)""", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found else None
