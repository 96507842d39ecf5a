"""What is asked of a workspace when a job is: the file, read with the SDK's loader, and what the command line changed.

Its identity is made from its bytes, and from those of its code and its local inputs: the same job asked for again is
known by it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gates import document
from gates.backends.azureml.client import quiet
from gates.backends.local.endpoint.copies import code_digest
from gates.backends.local.job_file import ask_sdk
from gates.canonical import digest
from gates.errors import InvalidInput
from gates.lineage.digest import file_digest, model_digest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gates.document import Document

TRAINS = ("command", "pipeline", "sweep")


@dataclass(frozen=True)
class Asked:
    """What `gates train` asks for. run: the platform's run, '' on a laptop; pending: the folder of unfinished ones.

    tags: beside those of the file; they do not make another job of it.
    """

    path: Path
    file: Document
    entity: Any
    model_output: str
    compute: str
    timeout: float | None
    run: str
    pending: Path
    tags: Mapping[str, str] = field(default_factory=dict)


def load(
    path: Path, *, model_output: str, compute: str, timeout: float | None, run: str, pending: Path,
    tags: Mapping[str, str], kinds: tuple[str, ...] = TRAINS,
) -> Asked:  # fmt: skip
    """Read a job file with the SDK's loader. InvalidInput with file and line for what Azure refuses."""
    file = document.load_yaml(path, "the job file")
    if compute == "local":
        raise InvalidInput(
            "--compute local: the azureml backend runs jobs in the workspace", hint="write backend: local"
        )
    kind = str(file.value.get("type") or "command")
    if kind not in kinds:
        raise file.error(f"type: {kind} is not a job that trains", ("type",), "write command, pipeline or sweep")
    entity = ask_sdk(file)
    if model_output not in (file.value.get("outputs") or {}):
        raise file.error(f"the job has no output '{model_output}'", ("outputs",), "name it in train.model of mlops.yml")
    return Asked(path, file, entity, model_output, compute, timeout, run, pending, tags)


def identity_of(asked: Asked) -> str:
    """`sha256:…` of what the job is: its file, its code, its local inputs, and what the command line changed."""
    with quiet():
        whole = json.dumps(asked.entity._to_dict(), sort_keys=True, default=str)  # noqa: SLF001  # components inlined
    parts: dict[str, Any] = {
        "file": file_digest(asked.path), "compute": asked.compute, "timeout": str(asked.timeout or ""),
        "code": code_digest(code) if (code := code_of(asked)) is not None and code.is_dir() else "",
        "inputs": {name: _bytes(path) for name, path in sorted(local_inputs(asked).items())},
        "whole": whole,
    }  # fmt: skip
    return digest(parts)


def _bytes(path: Path) -> str:
    return file_digest(path) if path.is_file() else model_digest(path)


def local_inputs(asked: Asked) -> dict[str, Path]:
    """The inputs that are files or folders beside the job file, by name."""
    base = asked.path.absolute().parent
    found = {}
    for name, value in (asked.file.value.get("inputs") or {}).items():
        path = value.get("path") if isinstance(value, dict) else None
        if path is not None and not re.match(r"^[a-z][a-z0-9+]+:", str(path)):
            found[str(name)] = (base / str(path)).resolve()
            if not found[str(name)].exists():
                raise asked.file.error(f"no such file or folder: {base / str(path)}", ("inputs", name, "path"))
    return found


def code_of(asked: Asked) -> Path | None:
    raw = asked.file.value
    code = raw.get("code") or (raw.get("trial") or {}).get("code") if isinstance(raw.get("trial") or {}, dict) else None
    if code is None or re.match(r"^[a-z][a-z0-9+]+:", str(code)):
        return None
    return (asked.path.absolute().parent / str(code)).resolve()
