"""What a registry has beside the assets that a workspace has too: room for uploads, ways to the bytes, import."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from azureml_emulator import arm, wire

if TYPE_CHECKING:
    from azureml_emulator.assets import Assets
    from azureml_emulator.operations import Operations
    from azureml_emulator.storage import Storage
    from azureml_emulator.store import Store


class Registries:
    def __init__(self, store: Store, storage: Storage, assets: Assets, operations: Operations) -> None:
        self._store, self._storage, self._assets, self._operations = store, storage, assets, operations

    def upload(self, call: arm.Call) -> wire.Answer:
        """`PUT …/tempdatarefs/N/versions/V`: a container of its own, by signature."""
        return wire.Answer(200, arm.pending(self._storage))

    def reference(self, call: arm.Call) -> wire.Answer:
        """`POST …/datarefs/N/versions/V`: a signature for the bytes of a version."""
        uri = str(call.request.json()["blobUri"])
        container, _ = self._storage.locate(uri)
        signed = self._storage.sas(container)
        reference = {"blobUri": uri, "credential": {"credentialType": "SAS", "sasUri": signed}}
        return wire.Answer(200, {"blobReferenceForConsumption": reference})

    def registry(self, call: arm.Call) -> wire.Answer | None:
        """`POST …/registries/R/import`: a copy of a workspace's version, its bytes too."""
        if call.verb.lower() != "import":
            return None
        given = call.request.json()["properties"]
        source = _path(str(given["sourceAssetId"]))
        found = self._assets.find(source)
        kind = found["type"].split("/")[-2]
        name, version = given.get("destinationName") or source.split("/")[-3], given.get("destinationVersion") or "1"
        path = f"{call.path}/{kind}/{name}/versions/{version}"

        def work() -> None:
            copied = {key: value for key, value in found.items() if key != "id"}
            made = arm.kept(path, f"{kind}/versions", copied, None)
            made["properties"]["modelUri"] = self._copy(source)
            self._store.put(made)
            self._store.put(arm.kept(path.rsplit("/", 2)[0], kind, {"properties": {"latestVersion": version}}, None))

        headers = self._operations.begin(f"{call.path}/import", work, None, state="Updating")
        return wire.Answer(202, {}, headers)

    def _copy(self, source: str) -> str:
        import tempfile
        from pathlib import Path

        reference: dict[str, Any] = arm.pending(self._storage)["blobReferenceForConsumption"]
        with tempfile.TemporaryDirectory() as folder:
            fetched = self._assets.fetch(source, Path(folder))
            self._storage.keep(fetched, str(reference["blobUri"]).rsplit("/", 1)[1], fetched.name)
        return f"{reference['blobUri']}/{fetched.name}"


def _path(asset: str) -> str:
    """The ARM path behind `azureml://locations/…/workspaces/ID/models/N/versions/V`, or what is one already."""
    match = re.fullmatch(r"azureml://locations/[^/]+/workspaces/[^/]+/(.+)", asset)
    return f"{arm.WORKSPACE_ID}/{match.group(1)}" if match else asset
