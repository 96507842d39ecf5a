"""The first policy: what data and task show by themselves, and nothing that only a person can know.

A limit is what a model must beat to be worth anything: chance, the most frequent label, the mean. Its owner raises it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.scaffold.yaml import item, listed, quoted

if TYPE_CHECKING:
    from gates.scaffold.table import Table

SCHEMA = "https://raw.githubusercontent.com/ORG/mlops-gates/v1/gates/schemas"


def text(name: str, table: Table | None) -> str:
    """policy.yml. Without a table only what needs none: a gate on a metrics file."""
    head = f"""\
# yaml-language-server: $schema={SCHEMA}/policy.v1.schema.json
# What is good enough. Its owner answers for it: CODEOWNERS asks them at every change. `gates policy explain` says in
# plain words what each check requires, and how many rows it needs to decide.
version: 1
name: {quoted(name)}
revision: 1
defaults: {{ severity: block, on_inconclusive: block, confidence: 0.95 }}
champion: {{ alias: champion, when_absent: bootstrap }}
stages:
"""
    parts = [_data(table) if table else "", _validate(table), _canary()]
    if table:
        parts.append(_drift(table))
    return head + "".join(parts)


def _data(table: Table) -> str:
    """What the data keep to today. Whole numbers may become fractions, so `number` stands for both."""
    dtype = {"integer": "number"}
    lines = []
    for name, kind in table.columns:
        promises = [f"dtype: {dtype.get(kind, kind)}"] if kind else []
        promises += ["max_null_ratio: 0"] if name in table.complete else []
        if promises:
            lines.append(f"          {quoted(name)}: {{ {', '.join(promises)} }}\n")
    columns = "".join(lines)
    return f"""\
  # Also the data checks of every pull request: `gates validate-gate --stage train`.
  train:
    checks:
      - id: data.contract
        type: data_contract
        min_rows: {max(1, table.rows // 2)}
        columns:
{columns}"""


def _validate(table: Table | None) -> str:
    if table is None:
        checks = [
            "      # Figures of your own metrics file. With `evaluate.data` in mlops.yml the gate measures by itself.\n"
            + item(
                id="accuracy.floor", type="threshold", metric="accuracy", source="metrics", min=0.5, decide_on="point"
            )
        ]
    elif table.task == "numbers":
        checks = [
            "      # 0 is a model that always says the mean.\n"
            + item(id="r2.floor", type="threshold", metric="r2", min=0.0, decide_on="ci_lower"),
            item(id="mae.vs_champion", type="champion_delta", metric="mae", test="non_inferiority",
                 margin="{ relative: 0.05 }"),
        ]  # fmt: skip
    elif table.task == "classes":
        checks = [
            f"      # {table.majority:.1%} of the rows have the most frequent label: who always says so gets that.\n"
            + item(id="accuracy.floor", type="threshold", metric="accuracy", min=round(table.majority, 4),
                   decide_on="ci_lower"),
            item(id="accuracy.vs_champion", type="champion_delta", metric="accuracy", test="non_inferiority",
                 margin="{ absolute: 0.01 }"),
        ]  # fmt: skip
    else:
        checks = [
            "      # 0.5 is chance.\n"
            + item(id="roc_auc.floor", type="threshold", metric="roc_auc", min=0.5, decide_on="ci_lower"),
            item(id="roc_auc.vs_champion", type="champion_delta", metric="roc_auc", test="non_inferiority",
                 margin="{ absolute: 0.01 }", method="delong"),
        ]  # fmt: skip
        if table.sensitive:
            checks.append(
                "      # Advisory until somebody decides what is fair here.\n"
                + item(id="parity", type="fairness", metric="demographic_parity_difference",
                       sensitive=listed(table.sensitive), max=0.1, severity="warn")
            )  # fmt: skip
    return "  validate:\n    checks:\n" + "".join(checks)


def _canary() -> str:
    return "  canary:\n    checks:\n" + "".join([
        item(id="errors", type="rate", signal="http_5xx", ok=0.01, bad=0.1, max_duration="60s"),
        item(id="latency.p95", type="latency_quantile", signal="latency_ms", q=0.95, max_ms=2000, min_samples=60),
    ])  # fmt: skip


def _drift(table: Table) -> str:
    return f"""\
  drift:
    checks:
      - id: features
        type: drift
        columns: {listed(table.features)}
        effect: {{ psi_max: 0.2, ks_max: 0.1 }}
        max_drifted_share: 0.2
        min_samples: {max(100, min(1000, table.rows // 4))}
    retrain: {{ on_drift: true }}
"""
