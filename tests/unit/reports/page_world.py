"""Chapters with every part that a page can have; for the unit tests and, in a real browser, for tests/real."""

from __future__ import annotations

import random
from typing import Any

from gates.reports.html.values import Chapter, Curves, Forest, Pictures, Row

HOSTILE = (
    "</title><script>alert(1)</script><img src=x onerror=alert(2)> \"'&#x27; {{x}} \u202e \x00\x1b[31m javascript:x"
)
STARTED = "2026-11-21T04:00:00+00:00"
RUN: dict[str, Any] = {"started": STARTED, "platform": "shell", "versions": {"python": "3.11"}, "paths": {}}
SHA = "sha256:" + "ab" * 32


def check(name: str, status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name, "type": "threshold", "severity": "block", "status": status, "observed": None, "interval": None,
        "required": {}, "n": None, "n_needed": None, "reason": "Because.", "line": 1, **more,
    }  # fmt: skip


def report(step: str = "validate-gate", *, started: str = STARTED, **more: Any) -> dict[str, Any]:
    result = {
        "step": step, "stage": "validate", "verdict": "FAIL", "decision": "refuse",
        "policy": {"digest": SHA, "name": "credit", "revision": 7, "source": "file"}, "model": {"digest": SHA},
        "champion": {"digest": SHA, "version": "3"}, "data": {"digest": SHA, "rows": 20_000}, "checks": CHECKS,
        "evidence": [{"name": "metrics", "sha256": SHA, "self_reported": True}], **more,
    }  # fmt: skip
    return {"schema": "report.v1", "result": result, "run": {**RUN, "started": started, "actor": "ann"}}


CHECKS = [
    check("auc.floor", "PASS", observed=0.912, interval=[0.901, 0.923], required={"min": 0.85}, n=20_000),
    check("ece", "FAIL", observed=0.09, interval=[0.08, 0.10], required={"max": 0.05}, n=400),
    check("vs", "INCONCLUSIVE", type="champion_delta", observed=0.001, interval=[-0.012, 0.014],
          required={"test": "non_inferiority", "absolute": 0.01}, n=300, n_needed=4200),
    check("broken", "ERROR", reason="f1 is nan, not a finite number"),
    check("advice", "FAIL", severity="warn", observed=0.07, required={"max": 0.05}),
    check("skipped", "SKIPPED"), check("waived", "WAIVED", observed=1.0),
    check("p95", "PASS", type="latency_quantile", observed=80.0, interval=[70.0, 95.0], required={"max_ms": 350.0}),
    check("errors", "PASS", type="rate", observed=0.001, interval=[0.0, 0.004], required={"ok": 0.01, "bad": 0.05}),
]  # fmt: skip
COLUMNS: list[dict[str, Any]] = [
    {"name": "age", "kind": "numeric", "ks": 0.31, "p": 1e-9, "q": 2e-9, "psi": 0.4, "w1": 3.0, "js": 0.2,
     "chi2": None, "drifted": True, "severity": "high", "action": "check the upstream feed, then retrain",
     "histogram": {"edges": [0, 20, 40, 60], "reference": [0.2, 0.5, 0.3], "current": [0.0, 0.3, 0.7]}},
    {"name": "sex", "kind": "categorical", "ks": None, "p": 0.7, "q": 0.7, "psi": 0.01, "w1": None, "js": 0.01,
     "chi2": 0.4, "drifted": False, "severity": "none", "action": ""},
]  # fmt: skip


def curves(who: str, slope: float) -> Curves:
    grid = [i / 50 for i in range(51)]
    return Curves(
        who, 20_000, ("repaid", "defaulted"), ((15_000, 1_000), (1_500, 2_500)),
        tuple((x, min(1.0, x ** slope)) for x in grid), 0.9,
        tuple((x, min(1.0, x * 1.1), max(0.0, x - 0.05), min(1.0, x * 1.1 + 0.05), 400) for x in (0.1, 0.3, 0.5, 0.9)),
    )  # fmt: skip


FORESTS = (
    Forest("by.region: recall by region", tuple(
        Row(f"region {i}", 0.7 + i / 50, 0.68 + i / 50, 0.72 + i / 50, 100 * i + 50) for i in range(7)), least=0.72),
    Forest("parity: share answered positive by sex", (Row("f", 0.2, 0.18, 0.22, 900), Row("m", 0.3, 0.28, 0.32, 800)),
           note="demographic_parity_difference must be at most 0.08."),
)  # fmt: skip


def rollout(outcome: str = "SUCCEEDED") -> dict[str, Any]:
    chance = random.Random(5)
    requests = [
        {"at": float(i), "deployment": name, "n": 40, "errors": chance.choice((0, 0, 0, 1, 4)), "p95_ms": 21.5}
        for i in range(24) for name in (("blue",) if i < 6 else ("blue", "green"))
    ]  # fmt: skip
    return {
        "schema": "rollout.v1", "endpoint": "credit", "deploy_id": SHA, "outcome": outcome, "started": 1795234682.0,
        "seconds": 24.5, "window": 1.0,
        "steps": [{"state": "GREEN_CREATING", "at": 6.0, "seconds": 6.0}, {"state": "CANARY_1", "at": 18.0,
                  "seconds": 12.0}, {"state": outcome, "at": 24.5, "seconds": 6.5}],
        "traffic": [{"at": 0.0, "shares": {"blue": 100}}, {"at": 6.0, "shares": {"blue": 90, "green": 10}},
                    {"at": 18.0, "shares": {"green": 100}}],
        "requests": requests,
    }  # fmt: skip


def lineage(name: str = "credit") -> dict[str, Any]:
    return {
        "model_name": name, "model_digest": SHA, "code_commit": "c" * 40, "code_dirty": True, "python": "3.11.7",
        "environment_lock": SHA, "environment": {"installed": ["numpy==2.0"]}, "run": {"builder": "shell"},
        "data": [{"name": "train", "path": "data/train.parquet", "sha256": SHA, "content": SHA}], "verdict": "PASS",
        "decision": "allow", "policy_digest": SHA, "approvers": ["ann"], "ungated": "",
        "statements": [{"kind": "train", "digest": SHA, "signed": "ed25519"}],
        "deployments": [{"endpoint": "credit", "deployment": "green", "outcome": "succeeded",
                         "timeDeployed": "2026-11-21T04:18:27Z"}],
    }  # fmt: skip


CARD = """---
license: mit
---

# credit

Says who *repays*; see [the paper](https://example.org/p?a=1&b=2) and [this](javascript:alert(1)).

> **Let through:** a reason

## Limits

- not for **children**
- `score` is no probability

| what | value |
| --- | --- |
| rows \\| cols | 1\\_000 |
"""


def chapters() -> list[Chapter]:
    """A gate with everything, a rollout, a drift check, a step that judged nothing."""
    gate = Chapter(report(), Pictures((curves("candidate", 0.2), curves("champion", 0.3)), FORESTS, ("A note.",)))
    deploy = Chapter(report("deploy-blue-green", checks=[], note="not judged", decision="allow"), rollout=rollout())
    drift = Chapter(
        report("drift-check", columns=COLUMNS, retrain={"decide": True, "reason": "drift: age"}),
        lineage=lineage(), card=CARD,
    )  # fmt: skip
    return [gate, deploy, drift]


def hostile() -> list[Chapter]:
    """The same, with text that wants to be more than text wherever text can come from."""
    bad = [check(HOSTILE, "FAIL", reason=HOSTILE, observed=1.0, required={"max": 0.5}, type=HOSTILE)]
    column = {**COLUMNS[0], "name": HOSTILE, "action": HOSTILE}
    labels = {"labels": [HOSTILE, "b"], "reference": [0.5, 0.5], "current": [0.1, 0.9]}
    spoilt = {
        **lineage(HOSTILE), "approvers": [HOSTILE], "run": {"builder": HOSTILE}, "python": HOSTILE,
        "data": [{"name": HOSTILE, "path": HOSTILE, "sha256": HOSTILE}],
    }  # fmt: skip
    pictures = Pictures(
        (Curves(HOSTILE, 2, (HOSTILE, "b"), ((1, 0), (0, 1)), ((0.0, 0.0), (1.0, 1.0)), 0.5),),
        (Forest(HOSTILE, (Row(HOSTILE, 0.5, 0.4, 0.6, 3),), note=HOSTILE),), (HOSTILE,),
    )  # fmt: skip
    moved = rollout()
    moved["endpoint"] = moved["outcome"] = HOSTILE
    moved["traffic"] = [{"at": 0.0, "shares": {HOSTILE: 100}}]
    moved["requests"] = [{"at": 0.0, "deployment": HOSTILE, "n": 3, "errors": 1, "p95_ms": 1.0}]
    moved["steps"] = [{"state": HOSTILE, "at": 1.0, "seconds": 1.0}]
    said = report(HOSTILE, checks=bad, columns=[column, {**column, "histogram": labels}], note=HOSTILE,
                  retrain={"decide": True, "reason": HOSTILE},
                  policy={"digest": SHA, "name": HOSTILE, "revision": 1, "source": HOSTILE})  # fmt: skip
    said["run"] |= {"actor": HOSTILE, "platform": HOSTILE, "started": HOSTILE}
    return [
        Chapter(said, pictures, moved, spoilt, f"# {HOSTILE}\n\n{HOSTILE}\n\n| {HOSTILE} |\n| --- |\n| `{HOSTILE}` |\n")
    ]
