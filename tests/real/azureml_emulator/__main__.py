"""The process: `python -m azureml_emulator FOLDER`. Says its address in FOLDER/address when it is ready."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from azureml_emulator import arm, certificates, storage, tokens, vault
from azureml_emulator.assets import Assets
from azureml_emulator.batch import Batch
from azureml_emulator.dataplane import DataPlane
from azureml_emulator.endpoints import DOMAIN, Endpoints
from azureml_emulator.faults import Plan
from azureml_emulator.jobs import Jobs
from azureml_emulator.operations import Operations
from azureml_emulator.registries import Registries
from azureml_emulator.server import Emulator, Log
from azureml_emulator.serving import Serving
from azureml_emulator.start import HOSTS
from azureml_emulator.storage import Storage
from azureml_emulator.store import Store
from azureml_emulator.tracking import Tracking
from azureml_emulator.traffic import LOGS, Traffic

if TYPE_CHECKING:
    from azureml_emulator.server import Handler
    from azureml_emulator.wire import Answer, Request


def main() -> int:
    folder = Path(sys.argv[1]).absolute()
    if not (folder / "server.pem").exists():
        certificates.make(folder, HOSTS)
    data = Storage(folder / "storage")
    store = Store(folder / "resources")
    given = tokens.Tokens(Log(folder / "tokens.jsonl"))
    assets = Assets(store, data)
    tracking = Tracking(folder / "mlflow", store, dict(os.environ))
    cache = Path(os.environ.get("EMULATOR_ENVIRONMENTS") or folder / "environments")
    serving = Serving(folder / "serving", store, assets, env=dict(os.environ), cache=cache)
    jobs = Jobs(folder / "jobs", store, assets, data, tracking, dict(os.environ))
    manager = arm.Arm(store, data, Log(folder / "invalid.jsonl"))
    plane = DataPlane(store, data, assets, tracking)
    keys = vault.Vault(folder / "vault")
    traffic = Traffic(store)
    manager.monitor, serving.noted = traffic.manage, traffic.note
    known: dict[str, Handler] = {
        LOGS: traffic.query,
        vault.HOST: keys.handle,
        "management.azure.com": manager.handle, tokens.LOGIN: given.entra, tokens.GITHUB: given.github,
        tokens.DEVOPS: given.devops, tokens.IMDS: given.metadata, storage.HOST: data.handle,
        arm.DATAPLANE: plane.handle, arm.DISCOVERY: plane.handle,
    }  # fmt: skip

    def serve(request: Request) -> Answer:
        """An inference host: a file to a batch endpoint, a request to an online one."""
        return batch.invoke(request) if request.path == "/jobs" else serving.handle(request)

    def find(host: str) -> Handler | None:
        return serve if host.endswith(f".{DOMAIN}") else known.get(host)

    emulator = Emulator(
        find, folder / "server.pem", Plan(folder / "faults.json"), Log(folder / "requests.jsonl"),
        Log(folder / "egress.jsonl"),
    )  # fmt: skip
    operations = Operations(store, arm.SUBSCRIPTION, arm.REGION)
    batch = Batch(folder / "batch", store, assets, data, operations, emulator.failing, dict(os.environ))
    endpoints = Endpoints(store, serving, operations, emulator.failing)
    manager.operations = operations.status
    plane.manager = manager.handle
    manager.roles = lambda: json.loads((folder / "roles.json").read_text())
    manager.enforced = lambda: (folder / "enforced").exists() and bool((folder / "enforced").read_text())
    shared = Registries(store, data, assets, operations)
    manager.special = {
        "onlineEndpoints": endpoints.endpoint, "onlineEndpoints/deployments": endpoints.deployment,
        "batchEndpoints": batch.endpoint, "batchEndpoints/deployments": batch.deployment,
        "jobs": jobs.handle, "": shared.registry, "tempdatarefs/versions": shared.upload,
        "datarefs/versions": shared.reference,
    }  # fmt: skip
    if not (folder / "roles.json").exists():
        (folder / "roles.json").write_text('[{"actions": ["*"], "notActions": []}]')
    data.ready()
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    threading.Thread(target=emulator.serve_forever, daemon=True).start()
    beside = folder / "address.new"
    beside.write_text(f"http://127.0.0.1:{emulator.server_address[1]}")
    beside.replace(folder / "address")
    stopping.wait()
    emulator.shutdown()
    for part in (jobs, batch, serving, tracking, data):
        part.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
