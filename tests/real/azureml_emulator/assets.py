"""From a reference to bytes: versions by ARM path, `azureml:` names, outputs of jobs, URIs of datastores."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azureml_emulator import arm, wire

if TYPE_CHECKING:
    from pathlib import Path

    from azureml_emulator.storage import Storage
    from azureml_emulator.store import Resource, Store

_URI = {"models": "modelUri", "data": "dataUri", "codes": "codeUri"}


class Assets:
    def __init__(self, store: Store, storage: Storage) -> None:
        self._store, self.storage = store, storage

    def find(self, reference: str) -> Resource:
        """The version that an ARM path, a registry's URI or an `azureml:/subscriptions…` names; labels are resolved."""
        path = re.sub(r"^azureml:/?/?(?=/?subscriptions)", "/", reference).replace("//", "/")
        registry = re.fullmatch(r"azureml://registries/([^/]+)/(\w+)/([^/]+)/(versions|labels)/([^/]+)", reference)
        if registry:
            path = f"{arm.REGISTRY_ID}/{'/'.join(registry.groups()[1:])}"
        label = re.fullmatch(r"(.+)/labels/latest", path)
        if label:
            container = self._store.get(label.group(1))
            path = f"{label.group(1)}/versions/{container['properties']['latestVersion']}" if container else path
        found = self._store.get(path)
        if found is None:
            raise wire.Fault(400, "UserError", f"no such asset: {reference}")
        return found

    def uri(self, reference: str) -> str:
        """The URI of the bytes behind a reference."""
        job = re.fullmatch(r"azureml://jobs/([^/]+)/outputs/([^/]+)(?:/paths)?(/.*)?", reference)
        if job:
            name, output, rest = job.groups()
            if output == "artifacts":
                return f"azureml://datastores/workspaceartifactstore/paths/ExperimentRun/dcid.{name}{rest or ''}"
            return f"azureml://datastores/workspaceblobstore/paths/azureml/{name}/{output}{rest or ''}"
        if reference.startswith(("https://", "azureml://")) and "/registries/" not in reference:
            return reference
        found = self.find(reference)
        kind = found["type"].split("/")[-2]
        return self.uri(str(found["properties"][_URI[kind]]))

    def fetch(self, reference: str, into: Path) -> Path:
        """The file or the folder behind a reference, below `into`."""
        return self.storage.fetch(self.uri(reference).rstrip("/"), into)

    def conda(self, reference: str | None) -> str:
        """The conda file of an environment, as text; empty where it has none."""
        if not reference:
            return ""
        try:
            about: dict[str, Any] = self.find(reference)["properties"]
        except wire.Fault:
            return ""  # a curated environment of Microsoft's registry
        return str(about.get("condaFile") or "")
