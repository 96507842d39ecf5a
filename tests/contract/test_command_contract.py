"""The contract of the commands, read from their declared inputs and outputs, not from a copy."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from small_project import Ran, gates, make, outputs_of

from gates import cli, inputs, project
from gates.errors import OUTCOMES
from gates.inputs import Option, declared
from gates.project import Mlops
from gates.steps import COMMANDS, STEPS
from gates.steps.step import Common, Folders

if TYPE_CHECKING:
    from pathlib import Path

ACTIONS = [command for command in COMMANDS.values() if command.action]
CASES = [
    pytest.param(command.verb, option, id=f"{command.verb}-{option.flag}")
    for command in COMMANDS.values()
    for option in declared(command.load().Inputs)
]
OURS = [case for case in CASES if COMMANDS[str(case.values[0])].action]
TEXTS: dict[str, tuple[str, str]] = {
    "text": ("one", "two"), "path": ("one.yml", "two.yml"), "bool": ("true", "false"), "duration": ("60s", "2h"),
    "number": ("0.5", "-0.25"), "list": ("train,register", "drift-check"),
}  # fmt: skip
BASE = {
    "train": "train --job job.yml",
    "validate-gate": "validate-gate --metrics metrics.json",
    "register": "register",
    "deploy-blue-green": "deploy-blue-green",
    "drift-check": "drift-check",
    "run": "run --steps drift-check",
    "rollback": "rollback",
    "reconcile": "reconcile",
    "comment": "comment",
}
EXITS = {0: "passed", 1: "refused", 2: "invalid", 3: "inconclusive", 4: "error"}


def texts(option: Option) -> tuple[str, str]:
    return (option.choices[0], option.choices[-1]) if option.choices else TEXTS[option.kind]


@pytest.mark.parametrize(("verb", "option"), CASES)
def test_a_flag_beats_the_environment_beats_mlops_yml_beats_the_default(
    verb: str, option: Option, tmp_path: Path
) -> None:
    declares: Any = COMMANDS[verb].load().Inputs
    first, second = texts(option)
    said = inputs.parse(option, "build" if option.choices == ("current", "build") else first, "mlops.yml", tmp_path)

    def read(flag: str = "", variable: str = "", config: Any = None) -> Any:
        flags = vars(cli.parser_of(COMMANDS[verb]).parse_args([f"--{option.flag}={flag}"] if flag else []))
        env = {option.variable: variable} if variable else {}
        got = inputs.read(declares, flags=flags, env=env, config=lambda key: config if key else None, base=tmp_path)
        return getattr(got, option.name)

    def value(text: str) -> Any:
        return inputs.parse(option, text, "", tmp_path)

    assert read(flag=first, variable=second, config=said) == value(first)
    assert read(variable=second, config=said) == value(second)
    assert read(variable=second) == value(second)
    if option.config:
        assert read(config=said) == said
    default = option.default
    if option.kind == "path" and default is not None:
        default = tmp_path / default
    assert read() == default
    assert option.variable == "GATES_" + option.flag.upper().replace("-", "_")
    assert re.fullmatch(r"[A-Za-z][A-Za-z0-9]*", option.camel), "Azure DevOps takes no other input names"


@pytest.mark.parametrize(("verb", "option"), [c for c in CASES if getattr(c.values[1], "config", "")])
def test_a_key_of_mlops_yml_that_sets_an_input_exists(verb: str, option: Option) -> None:
    definitions: Any = project.schema()["$defs"]
    node = definitions[Mlops.__name__]
    for key in option.config.split("."):
        node = node["properties"][key]
        choices = node.get("anyOf", [node])
        ref = next((choice["$ref"] for choice in choices if "$ref" in choice), None)
        node = definitions[ref.rpartition("/")[2]] if ref else node
    assert node


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.verb)
def test_help_names_every_input_and_output(command: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = gates(tmp_path, capsys, f"{command.verb} --help")
    assert said.exit_code == 0
    assert said.err == ""
    for option in declared(command.load().Inputs):
        assert f"--{option.flag} " in said.out
    if command.action:
        for option in declared(command.load().Outputs):
            assert f"  {option.flag} " in said.out


def test_common_inputs_and_outputs_are_the_documented_ones() -> None:
    assert [o.flag for o in declared(Common)] == [
        "config", "state-dir", "report-dir", "backend", "credential", "python", "json", "quiet",
    ]  # fmt: skip
    wanted = {"exit-code", "outcome", "message", "report-path", "report-digest"}
    for command in ACTIONS:
        assert wanted <= {o.flag for o in declared(command.load().Outputs)}, command.verb
    prefixed = {f"{step.verb}-{o.flag}" for step in STEPS for o in declared(step.load().Outputs)}
    assert prefixed <= {o.flag for o in declared(COMMANDS["run"].load().Outputs)}


def ending(folder: Path, verb: str, said: Ran) -> dict[str, str]:
    """What must hold of every end of an action, however it came."""
    assert "Traceback" not in said.err + said.out
    assert said.outputs is not None, "outputs.json was not written"
    assert list(said.outputs) == [o.flag for o in declared(COMMANDS[verb].load().Outputs)]
    assert all(isinstance(value, str) for value in said.outputs.values())
    assert said.outputs["exit-code"] == str(said.exit_code)
    assert said.outputs["outcome"] in OUTCOMES
    if said.exit_code in EXITS and said.outputs["outcome"] != "job-failed":
        assert said.outputs["outcome"] == EXITS[said.exit_code]
    assert not list(folder.rglob("*.tmp"))
    return said.outputs


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("validate-gate --metrics metrics.json", 0),
        ("validate-gate --metrics low.json", 1),
        ("validate-gate --metrics nothing.json", 2),
        ("validate-gate --metrics metrics.json --policy undecided.yml", 3),
        ("validate-gate --metrics nan.json", 4),
        ("drift-check", 0),
        ("drift-check --current shifted.csv", 1),
        ("drift-check --current shifted.csv --fail-on-drift false", 0),
        ("run --steps validate-gate,drift-check", 0),
        ("train", 2),
        ("register", 2),
        ("deploy-blue-green", 2),
        ("drift-check --curent x", 2),
        ("drift-check --python", 2),
    ],
)
def test_outputs_json_has_exactly_the_declared_outputs_on_every_end(
    line: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p")
    (folder / "low.json").write_text('{"accuracy": 0.1}')
    (folder / "nan.json").write_text('{"accuracy": NaN}')
    policy = (folder / "policy.yml").read_text()
    (folder / "undecided.yml").write_text(policy.replace("min: 0.85", "min: 0.85, min_samples: 1000"))
    env = {"GATES_METRICS": "metrics.json"} if line.startswith("run") else {}
    plain = gates(folder, capsys, line, **env)
    assert plain.exit_code == code, plain.err
    assert plain.out == "", "stdout is for --json and for queries"
    outputs = ending(folder, line.split()[0], plain)
    if code == 2:
        assert len(plain.errors) == 1
    asked = gates(folder, capsys, line, "--json", **env)
    assert asked.exit_code == code
    assert json.loads(asked.out) == asked.outputs, "--json prints exactly outputs.json"
    assert asked.out.count("\n") == 1
    assert asked.outputs is not None
    assert {k: v for k, v in asked.outputs.items() if "digest" not in k} == {
        k: v for k, v in outputs.items() if "digest" not in k
    }


def test_each_step_of_run_leaves_its_outputs_prefixed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    said = gates(folder, capsys, "run --steps validate-gate,drift-check", GATES_METRICS="metrics.json")
    assert said.outputs is not None
    assert said.outputs["validate-gate-verdict"] == "PASS"
    assert said.outputs["drift-check-verdict"] == "PASS"
    assert said.outputs["train-outcome"] == ""
    one = json.loads((folder / ".gates/reports/run/validate-gate/outputs.json").read_text())
    for name, value in one.items():
        assert said.outputs[f"validate-gate-{name}"] == value


def test_run_stops_at_the_first_refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p", metrics='{"accuracy": 0.2}')
    said = gates(folder, capsys, "run --steps drift-check,validate-gate", GATES_METRICS="metrics.json")
    assert said.exit_code == 1
    assert said.outputs is not None
    assert said.outputs["validate-gate-outcome"] == "refused"
    assert said.outputs["drift-check-outcome"] == "", "drift-check follows the gate, and was not reached"
    assert said.outputs["message"].startswith("stopped at validate-gate: ")


def test_run_reads_every_step_s_inputs_before_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    env = {"GATES_METRICS": "metrics.json", "GATES_MODEL_AGE": "old"}
    said = gates(folder, capsys, "run --steps validate-gate,drift-check", **env)
    assert said.exit_code == 2
    assert said.errors == ["error: GATES_MODEL_AGE: expected a duration, got 'old'; write e.g. 60s, 10m, 2h or 7d"]
    assert not (folder / ".gates/reports/run/validate-gate").exists()


@pytest.mark.parametrize("line", ["run --steps ,", "run --steps nope"])
def test_run_of_no_step_is_not_a_pass(line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert gates(make(tmp_path / "p"), capsys, line).exit_code == 2


BAD: dict[str, list[str]] = {
    "path": ["absent.yml", "folder", "latin.bin", "empty.bin", "unclosed.yml", "list.yml", "a\x00b", "\udcff"],
    "text": ["a\x00b", "\udcff"],
    "bool": ["yes", "True", "1", "a\x00b"],
    "number": ["abc", "nan", "1e", "inf", "1e999", "a\x00b"],
    "duration": ["5", "5x", "1 h", "9" * 400 + "d", "a\x00b"],
    "choice": ["nope", "a\x00b"],
    "list": ["nope", "drift-check,nope", "a\x00b"],
}
NOT_READ = {"state-dir", "report-dir"}  # folders that are made; what they may not be stands in a test of its own


def bad_cases() -> list[Any]:
    return [
        pytest.param(
            command.verb, option, bad, id=f"{command.verb}-{option.flag}-{bad.encode(errors='replace')[:12]!r}"
        )
        for command in ACTIONS
        for option in declared(command.load().Inputs)
        for bad in BAD[option.kind]
        if option.flag not in NOT_READ and not (option.flag == "config" and bad in ("a\x00b", "\udcff"))
    ]


@pytest.mark.parametrize(("verb", "option", "bad"), bad_cases())
def test_a_bad_value_of_any_input_is_one_line_and_exit_2(
    verb: str, option: Option, bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p")
    (folder / "folder").mkdir()
    (folder / "latin.bin").write_bytes(b"version: 1\nname: \xff\xfe\n")
    (folder / "empty.bin").write_bytes(b"")
    (folder / "unclosed.yml").write_text("a: [1\nb: 2\n")
    (folder / "list.yml").write_text("- 1\n")
    line = "run" if option.flag == "steps" else BASE[verb]
    said = gates(folder, capsys, line, f"--{option.flag}={bad}")
    ending(folder, verb, said)
    assert said.exit_code == 2, said.err
    assert len(said.errors) == 1
    assert said.out == ""
    if option.kind not in ("path", "text", "list"):
        assert f"--{option.flag}" in said.errors[0]
    if (bad in ("latin.bin", "unclosed.yml", "list.yml")) and option.flag in ("config", "policy", "job"):
        assert re.match(rf"error: {bad}:[12]: ", said.errors[0])


@pytest.mark.parametrize("flag", sorted(NOT_READ))
@pytest.mark.parametrize("verb", [command.verb for command in ACTIONS])
def test_a_file_where_a_folder_must_be(
    verb: str, flag: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p")
    said = gates(folder, capsys, f"{BASE[verb]} --{flag} job.yml")
    assert said.exit_code == 2
    assert said.errors == [f"error: --{flag}: {folder / 'job.yml'} is a file; name a folder"]
    assert (folder / "job.yml").read_text().startswith("$schema")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("trian", "gates: unknown command 'trian'; did you mean 'train'?"),
        ("policy chek", "gates: unknown command 'policy chek'; did you mean 'policy check'?"),
        ("drift-check --curent x", "gates drift-check: unknown argument --curent; did you mean '--current'?"),
        ("drift-check stray", "gates drift-check: unknown argument stray"),
        ("drift-check --cur x", "gates drift-check: unknown argument --cur"),
    ],
)
def test_what_is_misspelt_is_named(argv: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = gates(make(tmp_path / "p"), capsys, argv)
    assert said.exit_code == 2
    assert said.errors[0].startswith(f"error: {message}")


def test_quiet_says_the_verdict_and_not_what_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = "drift-check --reference reference.csv --current shifted.csv"
    loud = gates(make(tmp_path / "p"), capsys, line)
    quiet = gates(make(tmp_path / "q"), capsys, f"{line} --quiet")
    assert loud.exit_code == quiet.exit_code == 1
    assert "comparing 1 columns" in loud.err
    assert "comparing" not in quiet.err
    assert "FAIL" in quiet.err
    assert len(quiet.errors) >= 1


def test_input_variables_of_act_are_ignored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    said = gates(folder, capsys, "validate-gate --metrics metrics.json", INPUT_METRICS="nope", INPUT_POLICY="nope")
    assert said.exit_code == 0


def test_an_empty_flag_or_variable_is_not_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path / "p")
    said = gates(folder, capsys, "validate-gate", "--metrics=metrics.json", "--policy=", GATES_DATA="", GATES_STAGE="")
    assert said.exit_code == 0


def test_outputs_stand_where_report_dir_says_also_when_another_argument_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path / "p")
    gates(folder, capsys, "drift-check --report-dir here --nope 1")
    assert json.loads((folder / "here/outputs.json").read_text())["outcome"] == "invalid"
    assert outputs_of(folder, "drift-check") is None
    assert [o.flag for o in declared(Folders)] == ["config", "state-dir", "report-dir"]
