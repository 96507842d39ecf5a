"""Hostile text in every place that text can come from: nothing is executed, nothing forged, masks hold."""

from __future__ import annotations

import json
import re
import shlex
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from act_rig import CHECKOUT, POLICY, git, job, repository

from gates.inputs import declared
from gates.steps import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from act_rig import ActRun, Rig

SECRET = "s3cr3t-planted-4711"
FORGED = (
    "a b'c\"d $(touch {pwned}) `touch {pwned}` ; touch {pwned} | touch {pwned} && touch {pwned} 🚀 ü\n"
    "::error::forged-error\n::set-output name=verdict::FORGED\n::set-env name=FORGED::yes\n::add-path::/forged\n"
    "##vso[task.setvariable variable=FORGED]yes\n##[error]forged\nverdict=FORGED\nverdict<<EOF\nFORGED\nEOF\n"
    "::stop-commands::forged\r::error::forged-by-cr\u2028::error::forged-by-separator"
)
VERBS = ("train", "validate-gate", "register", "deploy-blue-green", "drift-check")


def hostile(tmp_path: Path) -> str:
    return FORGED.replace("{pwned}", shlex.quote(str(tmp_path / "pwned")))


def untouched(ran: ActRun, tmp_path: Path) -> None:
    """Nothing of the hostile text was obeyed."""
    assert not (tmp_path / "pwned").exists()
    for event in ran.events:
        if "forged" in str(event.get("arg", "")).lower():
            assert event["command"] in ("error", "group") or event.get("name") in SAID, event
            assert not str(event["arg"]).lower().startswith("forged"), event
    for name in ("set-env", "add-path", "stop-commands", "save-state", "debug"):
        assert ran.commands(name) == [], name
    for line in ran.log().splitlines():
        assert not line.lstrip().startswith("::"), line
        assert "##vso[" not in line.lower(), line
        assert "##[" not in line, line


SAID = ("message", "failed-checks", "report-path", "drifted-columns")
"""Outputs that repeat what was given; they are texts, and nobody obeys them."""


@pytest.mark.parametrize("verb", VERBS)
def test_hostile_text_in_every_input(rig: Rig, tmp_path: Path, verb: str) -> None:
    """Each input of the action, one step each, through the gate's environment (the extras do not matter here)."""
    options = declared(COMMANDS[verb].load().Inputs)
    steps = []
    for option in options:
        given = {"state-dir": str(tmp_path / "state"), option.flag: hostile(tmp_path)}
        steps.append(
            {
                "id": f"x-{option.flag}",
                "continue-on-error": True,
                "with": given,
                "uses": f"acme/mlops-gates/actions/{verb}@v1",
            }
        )
    one = {"runs-on": "ubuntu-latest", "env": {"GATES_EXTRAS": "gate"}, "steps": [{"uses": CHECKOUT}, *steps]}
    workflow = {"on": {"workflow_dispatch": {}}, "permissions": {}, "jobs": {"job": one}}
    ran = rig.run(repository(tmp_path / "r", yaml.safe_dump(workflow, allow_unicode=True)))
    untouched(ran, tmp_path)
    for option in options:
        outputs = ran.outputs(f"x-{option.flag}")
        assert outputs["exit-code"] in ("1", "2", "4"), (option.flag, outputs)
        assert outputs["outcome"] in ("refused", "invalid", "error"), option.flag
        assert "FORGED" not in outputs.get("verdict", "")
        assert "\n" not in outputs["message"]


def test_a_hundred_kilobytes_in_an_input(rig: Rig, tmp_path: Path) -> None:
    step = {"id": "gate", "continue-on-error": True, "uses": "acme/mlops-gates/actions/validate-gate@v1",
            "with": {"metrics": "metrics.json", "stage": "x" * 100_000}}  # fmt: skip
    workflow = {"on": {"workflow_dispatch": {}}, "permissions": {},
                "jobs": {"job": {"runs-on": "ubuntu-latest", "steps": [{"uses": CHECKOUT}, step]}}}  # fmt: skip
    ran = rig.run(repository(tmp_path / "r", yaml.safe_dump(workflow)))
    assert ran.outputs("gate")["outcome"] == "invalid"
    assert all(len(str(error["arg"])) <= 4096 for error in ran.commands("error"))


def test_hostile_metric_names_check_ids_and_branch(rig: Rig, tmp_path: Path) -> None:
    text = hostile(tmp_path)
    names = [text, "::error::forged-name", "##vso[task.complete result=Failed]forged", "<script>forged</script>"]
    policy = yaml.safe_load(POLICY)
    policy["stages"]["validate"]["checks"] += [
        {"id": f"c{number}", "type": "threshold", "metric": name, "source": "metrics", "max": 0.5, "decide_on": "point"}
        for number, name in enumerate(names)
    ]
    step = """\
      - id: gate
        continue-on-error: true
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {metrics: metrics.json}
"""
    folder = repository(tmp_path / "r", job(step), policy=yaml.safe_dump(policy, allow_unicode=True))
    (folder / "metrics.json").write_text(json.dumps(dict.fromkeys([*names, "accuracy"], 0.95)))
    (tmp_path / "odd").mkdir()
    git(folder, "checkout", "--quiet", "-b", "a';touch${IFS}pwned;$(touch${IFS}pwned)`id`🚀")
    ran = rig.run(folder)
    untouched(ran, tmp_path)
    assert not list(folder.rglob("pwned"))
    assert ran.outputs("gate")["exit-code"] in ("1", "2"), ran.outputs("gate")
    assert "<script>" not in ran.summary("gate")
    for error in ran.commands("error"):
        assert set(error["kvPairs"]) <= {"file", "line", "title"}


def test_a_hostile_data_value_and_model_name_are_said_and_not_obeyed(rig: Rig, tmp_path: Path) -> None:
    step = """\
      - id: name
        continue-on-error: true
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {metrics: metrics.json}
      - id: data
        continue-on-error: true
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {metrics: odd.json, config: good.yml}
"""
    folder = repository(tmp_path / "r", job(step))
    (folder / "good.yml").write_text("version: 1\nmodel: small\n")
    (folder / "mlops.yml").write_text(yaml.safe_dump({"version": 1, "model": hostile(tmp_path)}, allow_unicode=True))
    (folder / "odd.json").write_text(json.dumps({"accuracy": hostile(tmp_path), hostile(tmp_path): "x"}))
    ran = rig.run(folder)
    untouched(ran, tmp_path)
    assert ran.outputs("name")["outcome"] == ran.outputs("data")["outcome"] == "invalid"


def test_hostile_values_and_columns_of_the_data(rig: Rig, tmp_path: Path) -> None:
    """Categories and a column's name in parquet files: compared for drift, and named as slices of the gate's data."""
    steps = """\
      - id: drift
        continue-on-error: true
        uses: acme/mlops-gates/actions/drift-check@v1
        with: {current: now.parquet, reference: before.parquet}
      - id: gate
        continue-on-error: true
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {predictions: answers.parquet}
"""
    policy = yaml.safe_load(POLICY)
    sliced = {"id": "slices", "type": "slice_threshold", "metric": "accuracy", "by": ["group"], "min": 0.9}
    policy["stages"] = {
        "validate": {"checks": [{**sliced, "min_slice_samples": 10}]},
        "drift": {"checks": [{"id": "all", "type": "drift", "min_samples": 100}]},
    }
    text = job(steps).replace("    steps:\n", "    env: {GATES_EXTRAS: stats}\n    steps:\n")
    folder = repository(tmp_path / "r", text, policy=yaml.safe_dump(policy))
    values = [
        hostile(tmp_path), "::error::forged-category", "##vso[task.complete result=Failed]forged", "forged\x00\u202e",
        "<img src=x onerror=forged>", "|forged|`forged`", "[forged](javascript:forged) @forged", "forged" * 20_000,
    ]  # fmt: skip
    rows = 50 * len(values)
    name = f"forged {hostile(tmp_path)} <b>|"
    for file, shift in (("before", 0), ("now", len(values) // 2)):
        column = [values[(n % len(values) + shift * (n % 3)) % len(values)] for n in range(rows)]
        write_parquet(folder / f"{file}.parquet", {name: column, "kind": [f"{shift}-{v}" for v in column]})
    answers = {"y": [n % 2 for n in range(rows)], "prediction": [(n + n % 3) % 2 for n in range(rows)]}
    write_parquet(folder / "answers.parquet", {**answers, "group": [values[n % len(values)] for n in range(rows)]})
    with (folder / "mlops.yml").open("a") as config:
        config.write("evaluate: {data: answers.parquet, target: y, positive_label: 1}\n")
    ran = rig.run(folder)
    untouched(ran, tmp_path)
    assert (ran.outputs("drift")["verdict"], ran.outputs("gate")["verdict"]) == ("FAIL", "FAIL"), ran.outputs("gate")
    for step in ("drift", "gate"):
        shown = ran.summary(step)
        assert "forged" in shown, "the values are there to be read"
        for text in ("<img", "<b>", "::error", "##vso[", "\u202e", "\x00"):
            assert shown.count(text) == 0, text
        assert re.search(r"(?<!\\)\]\(", shown) is None, "no link"
        assert len(shown.encode()) < 100_000, "one long value does not fill the summary"


def write_parquet(path: Path, columns: Mapping[str, Sequence[object]]) -> None:
    pq.write_table(pa.table(dict(columns)), path)


def test_masks_hold(rig: Rig, tmp_path: Path) -> None:
    """A secret in the environment stands in no log, summary, report or journal."""
    steps = """\
      - id: gate
        continue-on-error: true
        uses: acme/mlops-gates/actions/validate-gate@v1
        env:
          AZURE_CLIENT_SECRET: ${{ secrets.PLANTED }}
          GATES_UNKNOWN: ${{ secrets.PLANTED }}
        with: {metrics: metrics.json, state-dir: "STATE"}
      - id: wrong
        continue-on-error: true
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {metrics: metrics.json, stage: "${{ secrets.PLANTED }}", state-dir: "STATE"}
"""
    state = tmp_path / "state"
    folder = repository(tmp_path / "r", job(steps.replace("STATE", str(state))), accuracy=0.5)
    ran = rig.run(folder, arguments=["--secret", f"PLANTED={SECRET}"])
    assert ran.outputs("gate")["outcome"] == "refused"
    assert ran.outputs("wrong")["outcome"] == "invalid"
    shown = "".join(str(event.get("msg", "")) for event in ran.events) + ran.summary()
    assert SECRET not in shown
    assert "***" in shown, "the secret was in the message of the second step, and the runner masked it"
    found = [path for path in state.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()]
    assert [path.name for path in found if "outputs.json" not in path.name] == []
