"""The data collector that Azure puts beside a model server: takes what azureml-ai-monitoring posts, keeps JSON lines.

Microsoft's own package speaks to it in the model server: one listener on loopback a deployment, an event a post, below
`modelDataCollector/ENDPOINT/DEPLOYMENT/COLLECTION/YYYY/MM/DD/HH/` of the default container.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from azureml_emulator.storage import Storage

CONTAINER = "azureml-blobstore-4711"


class Collecting:
    def __init__(self, storage: Storage) -> None:
        self._storage, self._open = storage, dict[str, ThreadingHTTPServer]()

    def variables(self, endpoint: str, deployment: str, about: dict[str, Any], home: Path) -> dict[str, str]:
        """The environment by which the package in the model server finds its collector; nothing where it is off."""
        given = ((about.get("dataCollector") or {}).get("collections")) or {}
        on = {
            name: {"enabled": True, "sampleRatePercentage": 100 * float(one.get("samplingRate") or 1)}
            for name, one in given.items()
            if str(one.get("dataCollectionMode") or "").lower() == "enabled"
        }
        if not on:
            return {}
        home.mkdir(parents=True, exist_ok=True)
        config = home / "collections.json"
        config.write_text(json.dumps({"runMode": "cloud", "collections": on}))
        port = self._listen(f"{endpoint}/{deployment}")
        return {"AZUREML_MDC_CONFIG_PATH": str(config), "AZUREML_MDC_HOST": "127.0.0.1", "AZUREML_MDC_PORT": str(port)}

    def _listen(self, place: str) -> int:
        if place not in self._open:
            server = self._open[place] = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
            server.keep = lambda headers, body: self._keep(place, headers, body)  # type: ignore[attr-defined]  # for the handler
            server.daemon_threads = True
            threading.Thread(target=server.serve_forever, daemon=True).start()
        return int(self._open[place].server_address[1])

    def _keep(self, place: str, headers: dict[str, str], body: bytes) -> None:
        collection = headers["ce-type"].removeprefix("azureml.inference.")
        at = time.gmtime(float(headers["ce-time"]))
        event = {
            "specversion": "1.0", "id": headers["trace-id"], "source": f"/endpoints/{place}",
            "type": headers["ce-type"], "datacontenttype": headers["content-type"],
            "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", at),
            "data": json.loads(body), "correlationid": headers.get("ce-x-request-id", ""), "agent": headers["ce-agent"],
            "modelversion": "default", "collectdatatype": headers["ce-collect-data-type"],
            "contentrange": f"bytes 0-{len(body) - 1}/{len(body)}",
        }  # fmt: skip
        name = f"modelDataCollector/{place}/{collection}/{time.strftime('%Y/%m/%d/%H', at)}/{uuid.uuid4()}.jsonl"
        client = self._storage.service.get_container_client(CONTAINER)
        client.upload_blob(name, json.dumps(event).encode() + b"\n")

    def stop(self) -> None:
        for server in self._open.values():
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.keep({name.lower(): value for name, value in self.headers.items()}, body)  # type: ignore[attr-defined]  # as above
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # http.server's name
        pass
