"""Where bytes stand in a workspace: the datastore path behind a data asset or a job's output."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.backends.azureml.client import Workspace


def data_uri(workspace: Workspace, uri: str) -> str:
    """The datastore path behind a data asset: `azureml:NAME:VERSION`, `azureml:NAME@latest` or its ARM id."""
    if "/datastores/" in uri:
        return uri
    match = re.search(r"(?:^azureml:|/data/)([^/:@]+)(?:/versions/|[:@])([^/:@]+)$", uri)
    if match is None:
        raise InvalidInput(
            f"{uri} names no data", hint="write azureml:NAME:VERSION or azureml://datastores/NAME/paths/PATH"
        )
    name, version = match.groups()
    if version == "latest":
        container = workspace.get(f"data/{name}") or {"properties": {}}
        version = str(container["properties"].get("latestVersion") or "")
    found = workspace.get(f"data/{name}/versions/{version}")
    if found is None:
        raise InvalidInput(f"the workspace has no data {name} version {version}", hint="check name and version")
    return str(found["properties"]["dataUri"])


def asset_of(uri: str) -> str:
    match = re.search(r"/data/([^/]+)/versions/([^/]+)$", uri)
    return f"azureml:{match.group(1)}:{match.group(2)}" if match else uri


def resolved(workspace: Workspace, uri: str) -> str:
    """The datastore path behind `azureml://…jobs/J/outputs/O`; any other URI as it is."""
    match = re.search(r"^azureml://(?:.*/)?jobs/([^/]+)/outputs/([^/]+)/?$", uri)
    if match is None:
        return uri
    about = (workspace.get(f"jobs/{match.group(1)}") or {}).get("properties") or {}
    return output_uri(about, match.group(1), match.group(2))


def output_uri(about: Mapping[str, Any], name: str, output: str) -> str:
    """Where the output stands: as the job says, else where Azure puts it; of a sweep, the best trial's.

    Not `jobs.download`: for an output of a model type this SDK fails before it asks.
    """
    said = str(((about.get("outputs") or {}).get(output) or {}).get("uri") or "")
    if "/datastores/" in said and "/paths/" in said and "${{" not in said:
        return said
    best = str((about.get("properties") or {}).get("best_child_run_id") or "")
    return f"azureml://datastores/workspaceblobstore/paths/azureml/{best or name}/{output}"
