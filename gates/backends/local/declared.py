"""The environment that a job declares, and how the interpreter that really runs it differs.

A conda file's pip packages are requirements as they are; its conda packages are read as the pip packages of the same
name, which holds for Python libraries. An image or a curated environment cannot be had without Docker: that is said.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates import document
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NOT_PIP = {"python", "pip", "setuptools", "wheel", "gcc", "gxx", "git", "libgcc", "nodejs", "openjdk", "conda"}
_CONDA = re.compile(r"^(?:[\w-]+::)?([A-Za-z0-9._-]+)\s*(.*)$")


@dataclass(frozen=True)
class Declared:
    """reference: an `azureml:` name. requirements: lines for pip. python: the version prefix."""

    reference: str = ""
    image: str = ""
    requirements: tuple[str, ...] = ()
    python: str = ""
    notes: tuple[str, ...] = ()

    @property
    def lines(self) -> tuple[str, ...]:
        """What is declared, a line each, for the lineage."""
        named = (("environment", self.reference), ("image", self.image), ("python", self.python))
        return (*(f"{kind} {value}" for kind, value in named if value), *self.requirements)

    @property
    def buildable(self) -> bool:
        return bool(self.requirements)


def read(environment: Any, base: Path) -> Declared:
    """The value of a job's `environment` key; `base` is the folder of the YAML file."""
    if environment is None:
        return Declared()
    if isinstance(environment, str):
        if environment.startswith("file:"):
            path = base / environment[len("file:") :]
            return read(document.load_yaml(path, "environment file").value, path.parent)
        return Declared(reference=environment)
    image = str(environment.get("image") or "")
    notes = ("build: needs Docker and is not honoured",) if environment.get("build") else ()
    conda = environment.get("conda_file")
    if conda is None:
        return Declared(reference=str(environment.get("name") or ""), image=image, notes=notes)
    if isinstance(conda, str):
        path = base / conda
        base = path.parent
        conda = document.load_yaml(path, "conda file").value
    return _conda(conda, image, notes, base)


def _conda(conda: Mapping[str, Any], image: str, notes: tuple[str, ...], base: Path) -> Declared:
    requirements: list[str] = []
    python = ""
    for entry in conda.get("dependencies") or ():
        if isinstance(entry, dict):
            requirements += [one for line in entry.get("pip") or () for one in _pip_lines(str(line), base)]
            continue
        match = _CONDA.match(str(entry).strip())
        if match is None:
            raise InvalidInput(f"{entry!r} is not a conda dependency")
        name, version = match.group(1).lower(), match.group(2).strip()
        if name == "python":
            python = version.lstrip("=><~! ").split(",")[0]
        elif name not in _NOT_PIP:
            requirements.append(name + _pip_version(version))
    return Declared("", image, tuple(requirements), python, notes)


def _pip_lines(line: str, base: Path) -> list[str]:
    """A line of a conda file's pip list: itself, or the lines of the requirements file that it names with `-r`."""
    match = re.match(r"^(?:-r|--requirement)[\s=]+(.+)$", line.strip())
    if match is None:
        return [line]
    path = base / match.group(1).strip()
    text = document.read_bytes(path, "requirements file").decode("utf-8-sig")
    lines = [re.sub(r"(^|\s)#.*$", "", one).strip() for one in text.splitlines()]
    return [found for one in lines if one for found in _pip_lines(one, path.parent)]


def _pip_version(version: str) -> str:
    """`=1.26` (a prefix in conda) as `==1.26.*`; a build string is dropped; operators stay."""
    if not version:
        return ""
    match = re.match(r"^(={1,2})\s*([^=\s]+)(?:=\S+)?$", version)
    if match is None:
        return version.replace(" ", "")
    if match.group(1) == "==" or "*" in match.group(2):
        return f"=={match.group(2)}"
    return f"=={match.group(2)}.*"


def differences(declared: Declared, installed: Mapping[str, str], python: str) -> tuple[str, ...]:
    """What is declared and is not what is there, in words. `installed`: normalised name to version."""
    from packaging.requirements import InvalidRequirement, Requirement

    found = list(declared.notes)
    if declared.python and not f"{python}.".startswith(declared.python.rstrip(".*") + "."):
        found.append(f"python {declared.python} declared, {python} used")
    for line in declared.requirements:
        try:
            wanted = Requirement(line.split(" #")[0])
        except InvalidRequirement:
            found.append(f"{line} declared, not compared")
            continue
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        version = installed.get(re.sub(r"[-_.]+", "-", wanted.name).lower())
        if version is None:
            found.append(f"{line} declared, not installed")
        elif not wanted.specifier.contains(version, prereleases=True):
            found.append(f"{line} declared, {version} installed")
    if declared.reference:
        found.append(f"environment {declared.reference} stands in a workspace and was not used")
    if declared.image:
        found.append(f"image {declared.image} was not used: local runs need no Docker")
    return tuple(found)
