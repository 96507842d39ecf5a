"""Requests that an endpoint served, one by one, from Azure Monitor's table AmlOnlineEndpointTrafficLog.

Azure has no request log unless a diagnostic setting sends one to Log Analytics: ours sends it to the workspace behind
the Azure ML workspace's Application Insights. Rows are read in the order of their arrival (`ingestion_time()`), so that
a late one is never missed; the cursor is that time in microseconds. Which share a deployment had is what the journal
says of that moment. Ingestion takes minutes: a canary step must be longer than that, or it is undecided.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.scoring_client import PINNED
from gates.errors import InvalidInput
from gates.serving import RequestEvent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gates.backends.azureml.client import Workspace
    from gates.backends.azureml.journal import BlobJournal

SETTING = "mlops-gates"
CATEGORY = "AmlOnlineEndpointTrafficLog"
QUERY_URL = "https://api.loganalytics.io/v1/workspaces"
QUERY_SCOPE = "https://api.loganalytics.io/.default"
DIAGNOSTICS, INSIGHTS, LOG_ANALYTICS = "2021-05-01-preview", "2020-02-02", "2022-10-01"
PAGE = 10_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_COLUMNS = ("arrived", "TimeGenerated", "DeploymentName", "ResponseCode", "TotalDurationMs", "XMSClientRequestId")


class TrafficLog:
    """The traffic log of one endpoint."""

    def __init__(self, workspace: Workspace, endpoint: str, journal: BlobJournal) -> None:
        self._workspace, self._endpoint, self._journal = workspace, endpoint, journal
        self._customer = ""

    @property
    def _id(self) -> str:
        return f"{self._workspace.id}/onlineEndpoints/{self._endpoint}"

    def turn_on(self) -> None:
        """Have the endpoint's traffic logged, unless a setting does already."""
        if self._setting() is None:
            self._workspace.put(
                f"{self._id}/providers/microsoft.insights/diagnosticSettings/{SETTING}",
                {"properties": {"workspaceId": self._home(), "logs": [{"category": CATEGORY, "enabled": True}]}},
                version=DIAGNOSTICS,
            )

    def since(self, cursor: int) -> tuple[Sequence[RequestEvent], int]:
        """Requests that arrived in the log after `cursor`, oldest first, and the next cursor."""
        shares = Shares(self._journal.read())
        events: list[RequestEvent] = []
        while True:
            rows = self._query(cursor)
            full = len(rows) >= PAGE
            if full and rows[0]["arrived"] != rows[-1]["arrived"]:  # more may have arrived at the last one's time
                rows = [row for row in rows if row["arrived"] != rows[-1]["arrived"]]
            events += [shares.event(row) for row in rows]
            cursor = max([cursor, *(micros(str(row["arrived"])) for row in rows)])
            if not full:
                return events, cursor

    def _query(self, cursor: int) -> list[dict[str, Any]]:
        after = (_EPOCH + timedelta(microseconds=cursor)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        query = (
            f"{CATEGORY} | extend arrived = ingestion_time() | where arrived > datetime({after})"
            f" | where AzureMLWorkspaceName =~ '{self._workspace.name}' and EndpointName =~ '{self._endpoint}'"
            f" | project {', '.join(_COLUMNS)} | order by arrived asc | take {PAGE}"
        )
        url = f"{QUERY_URL}/{self._workspace_guid()}/query"
        found = self._workspace.send("POST", url, {"query": query}, scope=QUERY_SCOPE)
        table = ((found or {}).get("tables") or [{}])[0]
        names = [str(column["name"]) for column in table.get("columns") or ()]
        return [dict(zip(names, row, strict=True)) for row in table.get("rows") or ()]

    def _setting(self) -> Mapping[str, Any] | None:
        """The diagnostic setting that logs traffic to Log Analytics, whoever made it."""
        found = self._workspace.get(f"{self._id}/providers/microsoft.insights/diagnosticSettings", version=DIAGNOSTICS)
        for item in (found or {}).get("value") or ():
            properties = item["properties"]
            wanted = ("alllogs", "audit", CATEGORY.lower())
            logs = [log for log in properties.get("logs") or () if log.get("enabled")]
            said = {str(log.get(key) or "").lower() for log in logs for key in ("category", "categoryGroup")}
            if properties.get("workspaceId") and said & set(wanted):
                return dict(properties)
        return None

    def _home(self) -> str:
        """The Log Analytics workspace behind the workspace's Application Insights."""
        insights = str(self._workspace.about().get("applicationInsights") or "")
        found = self._workspace.get(insights, version=INSIGHTS) if insights else None
        home = str(((found or {}).get("properties") or {}).get("WorkspaceResourceId") or "")
        if not home:
            raise InvalidInput(
                f"workspace {self._workspace.name} has no Application Insights with a Log Analytics workspace",
                hint=f"add a diagnostic setting to endpoint {self._endpoint} that sends {CATEGORY} to one",
            )
        return home

    def _workspace_guid(self) -> str:
        if not self._customer:
            setting = self._setting()
            if setting is None:
                self.turn_on()
                setting = {"workspaceId": self._home()}
            found = self._workspace.get(str(setting["workspaceId"]), version=LOG_ANALYTICS)
            self._customer = str(((found or {}).get("properties") or {}).get("customerId") or "")
            if not self._customer:
                raise InvalidInput(
                    f"the Log Analytics workspace of endpoint {self._endpoint} is gone", hint="make another"
                )
        return self._customer


class Shares:
    """Which part of the traffic each deployment had when, from the journal's records."""

    def __init__(self, records: Sequence[Mapping[str, Any]]) -> None:
        done = [record for record in records if record["kind"] != "intent" and "routing" in record["after"]]
        seen = [(float(record["ts"]), record["after"]["routing"]) for record in done]
        first: Mapping[str, Any] = next((r["after"]["snapshot"] for r in records if "snapshot" in r["after"]), {})
        self._times = [ts for ts, _ in seen]
        self._routings = [first, *(routing for _, routing in seen)]

    def event(self, row: Mapping[str, Any]) -> RequestEvent:
        ts, name = micros(str(row["TimeGenerated"])) / 1e6, str(row["DeploymentName"])
        routing = self._routings[bisect_right(self._times, ts)]
        traffic, mirror = routing.get("traffic") or {}, routing.get("mirror") or {}
        pinned = str(row["XMSClientRequestId"] or "").startswith(PINNED)
        return RequestEvent(
            ts=ts, deployment=name, status=int(row["ResponseCode"] or 0), ms=float(row["TotalDurationMs"] or 0.0),
            share=int(traffic.get(name, 0)) / 100, pinned=pinned,
            mirrored=not pinned and not traffic.get(name) and bool(mirror.get(name)),
        )  # fmt: skip


def micros(text: str) -> int:
    """Microseconds since the epoch of an ISO time with up to seven digits of a second, rounded down."""
    whole, _, rest = text.rstrip("Z").partition(".")
    at = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc)
    return (at - _EPOCH) // timedelta(microseconds=1) + int((rest + "000000")[:6])
