"""Azure Monitor's metrics of an online endpoint, by deployment and minute, from the requests that were served."""

from __future__ import annotations

import datetime
import time
from typing import TYPE_CHECKING, Any

from azureml_emulator import wire

if TYPE_CHECKING:
    from azureml_emulator.arm import Call
    from azureml_emulator.serving import Serving

_QUANTILES = {
    "RequestLatency_P50": 0.5,
    "RequestLatency_P90": 0.9,
    "RequestLatency_P95": 0.95,
    "RequestLatency_P99": 0.99,
}


class Insights:
    def __init__(self, serving: Serving) -> None:
        self._serving = serving

    def handle(self, call: Call) -> wire.Answer:
        """`…/onlineEndpoints/E[/deployments/D]/providers/Microsoft.Insights/metrics`"""
        words = call.path.split("/providers/")[1].split("/")
        endpoint = words[words.index("onlineEndpoints") + 1]
        query = call.request.query
        begin, end = _timespan(query.get("timespan", ""))
        seen = [one for one in self._serving.seen if one[1] == endpoint and begin <= one[0] < end]
        if "deployments" in words:
            seen = [one for one in seen if one[2] == words[words.index("deployments") + 1]]
        values = [self._metric(name, seen, query.get("$filter", "")) for name in query["metricnames"].split(",")]
        return wire.Answer(200, {"cost": 0, "timespan": query.get("timespan"), "interval": "PT1M", "value": values})

    def _metric(self, name: str, seen: list[tuple[float, str, str, int, float]], filtered: str) -> dict[str, Any]:
        split = [one for one in ("deployment", "statusCodeClass") if one in filtered]
        groups: dict[tuple[str, ...], dict[int, list[tuple[int, float]]]] = {}
        for ts, _, deployment, status, ms in seen:
            told = {"deployment": deployment, "statusCodeClass": f"{status // 100}xx"}
            group = groups.setdefault(tuple(told[one] for one in split), {})
            group.setdefault(int(ts // 60) * 60, []).append((status, ms))
        series = [
            {
                "metadatavalues": [{"name": {"value": n}, "value": v} for n, v in zip(split, key, strict=True)],
                "data": [
                    {"timeStamp": _iso(minute)} | _figure(name, found) for minute, found in sorted(minutes.items())
                ],
            }
            for key, minutes in sorted(groups.items())
        ]
        return {
            "name": {"value": name},
            "unit": "Count" if name not in _QUANTILES else "Milliseconds",
            "timeseries": series,
        }


def _figure(name: str, found: list[tuple[int, float]]) -> dict[str, float]:
    if name in _QUANTILES:
        ordered = sorted(ms for _, ms in found)
        return {"average": ordered[min(len(ordered) - 1, int(_QUANTILES[name] * len(ordered)))]}
    return {"total": float(len(found)), "average": float(len(found)), "count": float(len(found))}


def _timespan(text: str) -> tuple[float, float]:
    if not text:
        return time.time() - 3600, time.time() + 1
    begin, _, end = text.partition("/")
    return _parse(begin), _parse(end)


def _parse(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _iso(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
