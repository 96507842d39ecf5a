"""The few calls to an MLflow tracking server that a job's run needs, over its REST API.

Importing mlflow costs four seconds; this costs none. Loopback never goes through a proxy. Credentials are MLflow's own
variables: MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gates.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")
TIMEOUT = 30.0


@dataclass(frozen=True)
class Run:
    """A run as the server has it. metrics: the last value of each."""

    run_id: str
    experiment_id: str
    status: str
    metrics: Mapping[str, float] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


def experiment(uri: str, name: str, env: Mapping[str, str]) -> str:
    """The id of the experiment `name`, made if it is not there."""
    path = f"experiments/get-by-name?experiment_name={urllib.parse.quote(name)}"
    found = call(uri, path, None, env, missing_ok=True)
    if found is None:
        return str((call(uri, "experiments/create", {"name": name}, env) or {})["experiment_id"])
    if found["experiment"].get("lifecycle_stage") == "deleted":
        call(uri, "experiments/restore", {"experiment_id": found["experiment"]["experiment_id"]}, env)
    return str(found["experiment"]["experiment_id"])


def create_run(
    uri: str, experiment_id: str, name: str, tags: Mapping[str, str], start: float, env: Mapping[str, str]
) -> str:
    """A new run, status RUNNING; its id. `start` in seconds since the epoch."""
    body = {
        "experiment_id": experiment_id,
        "run_name": name,
        "start_time": int(start * 1000),
        "tags": [{"key": key, "value": value[:5000]} for key, value in tags.items()],
    }
    return str((call(uri, "runs/create", body, env) or {})["run"]["info"]["run_id"])


def end_run(uri: str, run_id: str, status: str, end: float, env: Mapping[str, str]) -> None:
    """Set the end: FINISHED, FAILED or KILLED."""
    call(uri, "runs/update", {"run_id": run_id, "status": status, "end_time": int(end * 1000)}, env)


def get_run(uri: str, run_id: str, env: Mapping[str, str]) -> Run:
    return read_run(call(uri, f"runs/get?run_id={urllib.parse.quote(run_id)}", None, env) or {})


def read_run(found: Mapping[str, Any]) -> Run:
    """The answer of `runs/get`."""
    info, data = found["run"]["info"], found["run"].get("data", {})
    return Run(
        run_id=info["run_id"],
        experiment_id=info["experiment_id"],
        status=info["status"],
        metrics={item["key"]: _number(item.get("value")) for item in data.get("metrics", ())},
        params={item["key"]: str(item.get("value", "")) for item in data.get("params", ())},
        tags={item["key"]: str(item.get("value", "")) for item in data.get("tags", ())},
    )


def search_runs(uri: str, experiment_id: str, tags: Mapping[str, str], env: Mapping[str, str]) -> tuple[str, ...]:
    """Ids of the runs of an experiment that carry these tags; at most 1000."""
    wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
    body = {"experiment_ids": [experiment_id], "filter": wanted, "max_results": 1000}
    found = call(uri, "runs/search", body, env) or {}
    return tuple(str(run["info"]["run_id"]) for run in found.get("runs", ()))


def log_metrics(uri: str, run_id: str, metrics: Mapping[str, float], at: float, env: Mapping[str, str]) -> None:
    """Log one value of each metric at step 0."""
    values = [{"key": key, "value": value, "timestamp": int(at * 1000), "step": 0} for key, value in metrics.items()]
    if values:
        call(uri, "runs/log-batch", {"run_id": run_id, "metrics": values[:1000]}, env)


def set_tag(uri: str, run_id: str, key: str, value: str, env: Mapping[str, str]) -> None:
    call(uri, "runs/set-tag", {"run_id": run_id, "key": key, "value": value[:5000]}, env)


def metric_history(uri: str, run_id: str, key: str, env: Mapping[str, str]) -> tuple[tuple[int, float], ...]:
    """(step, value) of every report of a metric, by step."""
    query = urllib.parse.urlencode({"run_id": run_id, "metric_key": key, "max_results": 25000})
    found = call(uri, f"metrics/get-history?{query}", None, env, missing_ok=True) or {}
    return tuple(sorted((int(item.get("step", 0)), _number(item.get("value"))) for item in found.get("metrics", ())))


def _number(value: Any) -> float:
    """JSON has no NaN: the server writes it as text."""
    return float("nan") if value is None else float(value)


def call(
    uri: str, path: str, body: Mapping[str, Any] | None, env: Mapping[str, str], *, missing_ok: bool = False
) -> dict[str, Any] | None:
    """GET, or POST `body`. None for a 404 when `missing_ok`. Unavailable for everything that goes wrong."""
    url = f"{uri.rstrip('/')}/api/2.0/mlflow/{path}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json", **_credentials(env)})  # noqa: S310  # scheme checked by whoever chose the URI
    host = urllib.parse.urlsplit(uri).hostname or ""
    proxies = urllib.request.ProxyHandler({}) if host in LOOPBACK else urllib.request.ProxyHandler()
    try:
        with urllib.request.build_opener(proxies).open(request, timeout=TIMEOUT) as answer:
            found: dict[str, Any] = json.loads(answer.read() or b"{}")
            return found
    except urllib.error.HTTPError as error:
        if error.code == 404 and missing_ok:
            return None
        said = " ".join(error.read(2000).decode("utf-8", "replace").split())
        raise Unavailable(
            f"the MLflow server at {uri} answered {error.code} to {path.partition('?')[0]}: {said}"
        ) from error
    except (OSError, ValueError) as error:
        raise Unavailable(
            f"the MLflow server at {uri} cannot be reached: {error}", hint="check tracking_uri"
        ) from error


def _credentials(env: Mapping[str, str]) -> dict[str, str]:
    if env.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {env['MLFLOW_TRACKING_TOKEN']}"}
    if env.get("MLFLOW_TRACKING_USERNAME"):
        pair = f"{env['MLFLOW_TRACKING_USERNAME']}:{env.get('MLFLOW_TRACKING_PASSWORD', '')}"
        return {"Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    return {}
