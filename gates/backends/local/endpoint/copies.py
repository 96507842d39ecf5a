"""What a deployment serves from: its own copies of the model and of the code, made once, then never changed.

So that what was gated is what serves for as long as it serves, whatever happens to the folders it came from. A copy is
made beside and renamed: half of one is never taken for whole.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from gates.canonical import digest
from gates.errors import InvalidInput
from gates.lineage.digest import file_digest, model_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gates.backends.local.endpoint.state import Spec

_LEFT_OUT = (".git", ".gates", "__pycache__", ".venv", "node_modules", ".ipynb_checkpoints", ".mypy_cache")


def model(spec: Spec, folder: Path) -> Path:
    """`<folder>/model/<its own name>`, verified: AZUREML_MODEL_DIR is the folder above it, as on Azure.

    Raises InvalidInput when the model is not there, or is not the one of the spec.
    """
    source = Path(spec.model)
    target = folder / "model" / (source.name or "model")
    if not target.exists():
        if not source.exists():
            raise InvalidInput(f"model of {spec.name} not found: {source}", hint="fetch it first")
        _copy(source, target, ignore=())
    found = model_digest(target) if target.is_dir() else file_digest(target)
    if spec.model_digest != found:
        shutil.rmtree(target.parent)
        raise InvalidInput(
            f"model of {spec.name} is not the one that was gated: {found[:19]}, not {spec.model_digest[:19]}",
            hint="gate these bytes, or deploy those that were gated",
        )
    return target


def code(spec: Spec, folder: Path) -> tuple[Path, str]:
    """The folder of the user's code and the script in it; an empty script where the deployment brings none."""
    given = spec.body.get("code_configuration")
    target = folder / "code"
    if not given:
        target.mkdir(parents=True, exist_ok=True)
        return target, ""
    source, script = Path(given["code"]), str(given["scoring_script"])
    if not target.exists():
        if not (source / script).is_file():
            raise InvalidInput(f"scoring script of {spec.name} not found: {source / script}", hint="mend its YAML file")
        if given.get("digest", found := code_digest(source)) != found:
            raise InvalidInput(
                f"the code of {spec.name} changed after the deployment was planned", hint="deploy it again"
            )
        _copy(source, target, ignore=_LEFT_OUT)
    return target, script


def code_digest(folder: Path) -> str:
    """`sha256:<hex>` of the names and bytes of a folder of code, without what is left out of the copy."""
    return digest({path.relative_to(folder).as_posix(): file_digest(path) for path in _files(folder)})


def _files(folder: Path) -> Iterator[Path]:
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
        for name in sorted(names):
            path = Path(root, name)
            if path.is_file():
                yield path


def _copy(source: Path, target: Path, *, ignore: tuple[str, ...]) -> None:
    half = target.with_name(f".{target.name}.half")
    if half.is_dir():
        shutil.rmtree(half)
    half.unlink(missing_ok=True)
    half.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, half, ignore=shutil.ignore_patterns(*ignore), ignore_dangling_symlinks=True)
    else:
        shutil.copy2(source, half)
    half.replace(target)
