"""The traffic log: a diagnostic setting sends each endpoint's requests to Log Analytics, which answers our one query.

Like the service, it logs nothing of an endpoint without a setting. The query's language is not run: its conditions are
read by pattern, so that a query which this file does not know is a 400, and what Kusto makes of it stays unproved.
"""

from __future__ import annotations

import datetime
import re
import threading
from typing import TYPE_CHECKING, Any

from azureml_emulator import arm, tokens, wire

if TYPE_CHECKING:
    from azureml_emulator.store import Store

LOGS = "api.loganalytics.io"
CUSTOMER = "55555555-5555-5555-5555-555555555555"
_GROUP = arm.WORKSPACE_ID.partition("/providers/")[0]
HOME = f"{_GROUP}/providers/Microsoft.OperationalInsights/workspaces/risklogs"
CATEGORY = "AmlOnlineEndpointTrafficLog"
_QUERY = re.compile(
    rf"{CATEGORY} \| extend arrived = ingestion_time\(\) \| where arrived > datetime\(([0-9TZ:.-]+)\)"
    r" \| where AzureMLWorkspaceName =~ '([^']+)' and EndpointName =~ '([^']+)'"
    r" \| project ([A-Za-z, ]+) \| order by arrived asc \| take (\d+)"
)
_TYPES = {"ResponseCode": "int", "TotalDurationMs": "int", "arrived": "datetime", "TimeGenerated": "datetime"}


class Traffic:
    """Diagnostic settings by ARM path, and the rows that they let through."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        self._rows: list[dict[str, Any]] = []

    def note(self, endpoint: str, deployment: str, status: int, ms: float, ended: float, request: wire.Request) -> None:
        """One request that was served, where its endpoint has a setting."""
        if not any(self._on(f"{workspace}/onlineEndpoints/{endpoint}") for workspace in _WORKSPACES):
            return
        with self._lock:
            arrived = iso(max(ended, datetime.datetime.now(datetime.timezone.utc).timestamp()))
            self._rows.append({
                "arrived": arrived, "TimeGenerated": iso(ended), "EndpointName": endpoint, "DeploymentName": deployment,
                "ResponseCode": status, "TotalDurationMs": round(ms),
                "XMSClientRequestId": request.headers.get("x-ms-client-request-id", ""),
            })  # fmt: skip

    def _on(self, endpoint: str) -> bool:
        settings = self._store.below(f"{endpoint}/providers/microsoft.insights/diagnosticSettings")
        logs = [log for one in settings for log in one["properties"].get("logs") or ()]
        return any(log.get("enabled") and log.get("category") == CATEGORY for log in logs)

    def manage(self, request: wire.Request) -> wire.Answer:
        """management.azure.com: diagnostic settings, the Application Insights, the Log Analytics workspace."""
        path, lower = request.path.rstrip("/"), request.path.lower().rstrip("/")
        if "/microsoft.insights/components/" in lower:
            return wire.Answer(200, {"id": path, "properties": {"WorkspaceResourceId": HOME}})
        if "/microsoft.operationalinsights/workspaces/" in lower:
            return wire.Answer(200, {"id": path, "properties": {"customerId": CUSTOMER}})
        if lower.endswith("/diagnosticsettings"):
            return wire.Answer(200, {"value": self._store.below(path)})
        if request.method == "PUT":
            made = {"id": path, "name": path.rsplit("/", 1)[1], "properties": request.json()["properties"]}
            return wire.Answer(200, self._store.put(made))
        found = self._store.get(path)
        return wire.Answer(200, found) if found else wire.error(404, "ResourceNotFound", path)

    def query(self, request: wire.Request) -> wire.Answer:
        """api.loganalytics.io"""
        if tokens.require(request).get("aud") != f"https://{LOGS}":
            return wire.error(401, "InvalidTokenError", "the token is for another audience")
        asked = _QUERY.fullmatch(request.json().get("query", ""))
        if asked is None or CUSTOMER not in request.path:
            return wire.error(400, "BadArgumentError", "the emulator does not know this query")
        after, _, endpoint, columns, limit = asked.groups()
        with self._lock:
            rows = [row for row in self._rows if row["arrived"] > after and row["EndpointName"] == endpoint]
        names = [name.strip() for name in columns.split(",")]
        found = sorted(rows, key=lambda row: str(row["arrived"]))[: int(limit)]
        described = [{"name": name, "type": _TYPES.get(name, "string")} for name in names]
        table = {"name": "PrimaryResult", "columns": described, "rows": [[row[n] for n in names] for row in found]}
        return wire.Answer(200, {"tables": [table]})


_WORKSPACES = (arm.WORKSPACE_ID, arm.OTHER_WORKSPACE_ID)


def iso(seconds: float) -> str:
    """With six digits of a second, so that texts compare as times do."""
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
