"""What a repository already has: Azure ML YAML by its schema, data, a training script, requests, where it is hosted.

Azure ML files are known by `$schema`, or by `type` and keys where that is missing; so a repository made from mlops-v2
is used as it stands. Folders that hold no sources (`.git`, environments, caches) are not entered.
"""

from __future__ import annotations

import ast
import json
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

_SKIPPED = {
    ".git", ".gates", ".venv", "venv", "env", "node_modules", "__pycache__", ".tox", ".mypy_cache", ".ruff_cache",
    ".pytest_cache", ".ipynb_checkpoints", "site-packages", "mlruns", "build", "dist", ".run", ".github",
}  # fmt: skip
_KINDS = {
    "commandjob": "job", "pipelinejob": "job", "sweepjob": "job", "managedonlineendpoint": "endpoint",
    "managedonlinedeployment": "deployment", "data": "data", "environment": "environment",
}  # fmt: skip
_TOO_LARGE = 1 << 20
_MOST = 5_000


@dataclass(frozen=True)
class Script:
    """A training script and its command-line options: (flag or position, required)."""

    path: Path
    options: tuple[tuple[str, bool], ...] = ()


@dataclass(frozen=True)
class Found:
    """Paths are absolute, those of a kind in the order of preference; documents by path for Azure ML YAML."""

    folder: Path
    jobs: tuple[Path, ...] = ()
    endpoints: tuple[Path, ...] = ()
    deployments: tuple[Path, ...] = ()
    assets: Mapping[str, Path] = field(default_factory=dict)
    documents: Mapping[Path, Mapping[str, Any]] = field(default_factory=dict)
    tables: tuple[Path, ...] = ()
    requests: tuple[Path, ...] = ()
    script: Script | None = None
    conda: Path | None = None
    requirements: Path | None = None
    platforms: tuple[str, ...] = ()
    owner: str = ""
    repository: str = ""


def look(folder: Path) -> Found:
    """Everything that can be found without asking, and without running anything of the repository's."""
    files = list(_files(folder))
    documents = {path: document for path in files if (document := _azure_ml(path))}
    kinds = {path: kind(document) for path, document in documents.items()}

    def of(wanted: str) -> tuple[Path, ...]:
        return tuple(path for path in documents if kinds[path] == wanted)

    host, owner, repository = _remote(folder)
    return Found(
        folder=folder,
        jobs=tuple(sorted(of("job"), key=lambda path: (_job_rank(path, documents[path]), str(path)))),
        endpoints=of("endpoint"),
        deployments=of("deployment"),
        assets={str(documents[path].get("name")): path for path in of("data")},
        documents=documents,
        tables=tuple(path for path in files if path.suffix.lower() in (".csv", ".parquet") and path.stat().st_size),
        requests=tuple(path for path in files if path.suffix == ".json" and _is_request(path)),
        script=_script(files),
        conda=next((p for p in files if p.suffix in (".yml", ".yaml") and "conda" in p.stem.lower()), None),
        requirements=next((p for p in files if re.fullmatch(r"(train[-_])?requirements\.txt", p.name)), None),
        platforms=_platforms(folder, host, files),
        owner=owner,
        repository=repository or folder.name,
    )  # fmt: skip


def kind(document: Mapping[str, Any]) -> str:
    """job, endpoint, deployment, data or environment; "" for none of them."""
    schema = re.search(r"([A-Za-z]+)\.schema\.json$", str(document.get("$schema", "")))
    if schema:
        return _KINDS.get(schema.group(1).lower(), "")
    if document.get("type") in ("command", "pipeline", "sweep") and ("command" in document or "jobs" in document):
        return "job"
    return ""


def model_output(document: Mapping[str, Any]) -> str:
    """The job output that is the model: by its type, else by its name; `model` where nothing says so."""
    outputs = document.get("outputs") or {}
    typed = [name for name, o in outputs.items() if isinstance(o, dict) and o.get("type") == "mlflow_model"]
    named = [name for name in outputs if "model" in str(name).lower() and "info" not in str(name).lower()]
    return str((typed or named or ["model"])[0])


def inputs_of(found: Found, job: Path) -> list[Path]:
    """The local tables that a job reads, also by way of a data asset's file in the repository."""
    tables = []
    for value in (found.documents[job].get("inputs") or {}).values():
        where = str(value.get("path", "")) if isinstance(value, dict) else ""
        base = job.parent
        named = re.match(r"azureml:([\w.-]+)[:@]", where)
        if named and named.group(1) in found.assets:
            asset = found.assets[named.group(1)]
            where, base = str(found.documents[asset].get("path", "")), asset.parent
        path = (base / where).resolve()
        if where and ":" not in where and path in found.tables:
            tables.append(path)
    return tables


def _files(folder: Path) -> Iterator[Path]:
    """Files in a stable order, shallow ones first within a folder."""
    seen = 0
    for root, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.endswith(".egg-info"))
        for name in sorted(names):
            path = folder / os.path.join(root, name)  # noqa: PTH118  # os.walk gives texts
            seen += 1
            if seen > _MOST:
                return
            if not path.is_symlink() and path.is_file():
                yield path


def _azure_ml(path: Path) -> Mapping[str, Any] | None:
    """A YAML file of one mapping that is an Azure ML asset; None for any other file."""
    if path.suffix not in (".yml", ".yaml") or path.stat().st_size > _TOO_LARGE:
        return None
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, ValueError):  # not ours to complain of: it is somebody's other file
        return None
    return document if isinstance(document, dict) and kind(document) else None


def _job_rank(path: Path, document: Mapping[str, Any]) -> int:
    """Jobs that make a model first."""
    trains = "train" in path.as_posix().lower() or "train" in str(document.get("experiment_name", "")).lower()
    makes = any("model" in str(name).lower() for name in document.get("outputs") or {})
    return -2 * makes - trains


def _is_request(path: Path) -> bool:
    if path.stat().st_size > _TOO_LARGE:
        return False
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, UnicodeDecodeError):  # as above
        return False
    return isinstance(said, dict) and ("input_data" in said or "dataframe_split" in said)


def _script(files: Sequence[Path]) -> Script | None:
    """train.py, or another script whose name begins so, the shallowest first."""
    named = [path for path in files if re.fullmatch(r"train\w*\.py|fit\.py", path.name)]
    if not named:
        return None
    path = min(named, key=lambda p: (len(p.parts), p.name != "train.py", str(p)))
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):  # the job will say it better
        return Script(path)
    return Script(path, tuple(_options(tree)))


def _options(tree: ast.AST) -> Iterator[tuple[str, bool]]:
    """What argparse is told in `add_argument`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument":
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            given = {word.arg: word.value for word in node.keywords}
            required = given.get("required")
            must = isinstance(required, ast.Constant) and required.value is True
            if names:
                best = next((name for name in names if name.startswith("--")), names[0])
                yield best, must or not best.startswith("-")


def _remote(folder: Path) -> tuple[str, str, str]:
    """(host, owner, repository) of git's remote `origin`, read from its file; empty texts where there is none."""
    config = folder / ".git" / "config"
    text = config.read_text(encoding="utf-8", errors="replace") if config.is_file() else ""
    said = re.search(r'\[remote "origin"\][^\[]*?url\s*=\s*(\S+)', text)
    if not said:
        return "", "", ""
    url = re.sub(r"^\w+://|^git@", "", said.group(1))
    host, _, rest = url.partition("@")[2].replace(":", "/", 1).partition("/") if "@" in url else (
        url.replace(":", "/", 1).partition("/"))  # fmt: skip
    parts = [part for part in rest.removesuffix(".git").split("/") if part not in ("", "_git", "v3")]
    return host.lower(), parts[0] if parts else "", parts[-1] if parts else ""


def _platforms(folder: Path, host: str, files: Sequence[Path]) -> tuple[str, ...]:
    """By the remote; else by the pipelines that are there; else GitHub."""
    if "dev.azure.com" in host or "visualstudio.com" in host:
        return ("azure-devops",)
    if "github" in host or (folder / ".github").is_dir():
        return ("github",)
    if any("azure-pipelines" in path.name or "devops-pipelines" in path.parts for path in files):
        return ("azure-devops",)
    return ("github",)
