"""What each platform is told, to the byte: escapes, masks, caps, outputs."""

from __future__ import annotations

import io
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.errors import Unavailable
from gates.platforms import SECRETS, detect
from gates.platforms.azure_devops import AzureDevOps
from gates.platforms.github import GitHub
from gates.platforms.shell import Shell
from gates.platforms.text import SUMMARY_LIMIT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_the_platform_is_known_from_its_own_variables() -> None:
    names = [
        detect(env, io.StringIO()).name
        for env in ({"GITHUB_ACTIONS": "true"}, {"TF_BUILD": "True"}, {}, {"GITHUB_ACTIONS": "false"})
    ]
    assert names == ["github", "azure-devops", "shell", "shell"]


def test_github_escapes_data_and_properties() -> None:
    said = io.StringIO()
    GitHub({}, said).annotate("error", "50 % off\nnext: a,b", file="a,b:c.yml", line=3, title="x: y, z\n%")
    assert said.getvalue() == ("::error file=a%2Cb%3Ac.yml,line=3,title=x%3A y%2C z %25::50 %25 off%0Anext: a,b\n")


def test_azure_devops_escapes_data_and_properties() -> None:
    said = io.StringIO()
    AzureDevOps({}, said).annotate("warning", "50 % off\nnext", file="a;b].yml", line=3, title="t")
    assert said.getvalue() == (
        "##vso[task.logissue type=warning;sourcepath=a%3Bb%5D.yml;linenumber=3;]t: 50 %AZP25 off%0Anext\n"
    )


def test_a_secret_is_masked_as_it_is() -> None:
    secret = "p%w::d##[x]\n::second"
    github, azure = io.StringIO(), io.StringIO()
    GitHub({}, github).mask(secret)
    AzureDevOps({}, azure).mask(secret)
    assert github.getvalue() == "::add-mask::p%25w::d##[x]\n::add-mask::::second\n"
    assert azure.getvalue() == "##vso[task.setsecret]p%AZP25w::d##[x]\n##vso[task.setsecret]::second\n"


PEM = "-----BEGIN PRIVATE KEY-----\nMC4CAQ+first\nsecond==\n-----END PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    ("place", "command"), [("GITHUB_ACTIONS", "::add-mask::"), ("TF_BUILD", "##vso[task.setsecret]")]
)
def test_what_our_steps_know_to_be_secret_is_masked_before_anything_is_said(place: str, command: str) -> None:
    for variable in SECRETS:
        stream = io.StringIO()
        secret = PEM if variable == "GATES_SIGNING_KEY" else " 100% s3cr3t "
        detect({place: "true", variable: secret}, stream).say("said")
        escaped = "100%25 s3cr3t" if place == "GITHUB_ACTIONS" else "100%AZP25 s3cr3t"
        lines = ["MC4CAQ+first", "second=="] if variable == "GATES_SIGNING_KEY" else [escaped]
        assert stream.getvalue().splitlines() == [*(command + line for line in lines), "said"], variable


def test_nothing_is_masked_where_nothing_is_secret() -> None:
    for env in ({"GATES_SIGNING_KEY": "keys/release.pem"}, dict.fromkeys(SECRETS, "")):
        stream = io.StringIO()
        detect({"GITHUB_ACTIONS": "true", **env}, stream)
        assert stream.getvalue() == ""
    stream = io.StringIO()
    detect(dict.fromkeys(SECRETS, PEM), stream).say("said")
    assert stream.getvalue() == "said\n", "a terminal has no masks, and is not shown the secret either"


def test_github_shows_nine_annotations_of_a_level_and_says_how_many_more() -> None:
    said = io.StringIO()
    platform = GitHub({}, said)
    for i in range(23):
        platform.annotate("error", f"number {i}")
    for i in range(9):
        platform.annotate("warning", f"number {i}")
    platform.complete(1, "")
    errors = [line for line in said.getvalue().splitlines() if line.startswith("::error")]
    assert len(errors) == 10
    assert errors[8] == "::error::number 8"
    assert errors[9] == "::error::and 14 more; see the job summary"
    assert said.getvalue().count("::warning") == 9


@pytest.mark.parametrize("platform", [GitHub, AzureDevOps])
def test_a_long_message_is_cut(platform: type[GitHub] | type[AzureDevOps]) -> None:
    said = io.StringIO()
    platform({}, said).annotate("error", "x" * 10_000)
    assert len(said.getvalue()) < 4096 + 60
    assert said.getvalue().endswith("…\n")


def test_the_summary_stays_under_github_s_cap_and_says_that_it_was_cut(tmp_path: Path) -> None:
    path = tmp_path / "summary.md"
    GitHub({"GITHUB_STEP_SUMMARY": str(path)}, io.StringIO()).append_summary("ä" * 1024 * 1024)
    assert 899 * 1024 < path.stat().st_size <= SUMMARY_LIMIT + 1 < 1024 * 1024
    assert path.read_text(encoding="utf-8").endswith("… cut: the report file has the rest.\n\n")


def parsed(text: str) -> dict[str, str]:
    """As the runner's file command parser reads it."""
    found, lines = {}, iter(text.split("\n"))
    for line in lines:
        if not line:
            continue
        name, mark, delimiter = line.partition("<<")
        assert mark, f"a line outside of a value: {line!r}"
        value = []
        for inner in lines:
            if inner == delimiter:
                break
            value.append(inner)
        found[name] = "\n".join(value)
    return found


@given(st.text(alphabet=st.one_of(st.sampled_from("\ngates_<=EOF01"), st.characters(exclude_categories=["Cs"]))))
def test_no_value_breaks_out_of_its_output(value: str) -> None:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "output"
        GitHub({"GITHUB_OUTPUT": str(path)}, io.StringIO()).set_outputs({"message": value, "verdict": "FAIL"})
        assert parsed(path.read_bytes().decode()) == {"message": value, "verdict": "FAIL"}


def test_an_output_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="GITHUB_OUTPUT"):
        GitHub({"GITHUB_OUTPUT": str(tmp_path / "no" / "file")}, io.StringIO()).set_outputs({"a": "b"})


def test_azure_devops_outputs_are_camel_case_and_end_with_a_result(tmp_path: Path) -> None:
    said = io.StringIO()
    platform = AzureDevOps({"AGENT_TEMPDIRECTORY": str(tmp_path)}, said)
    platform.set_outputs({"exit-code": "0", "message": "a;b]\nc"})
    platform.append_summary("# Hello\n")
    platform.annotate("warning", "careful")
    platform.complete(0, "done")
    lines = said.getvalue().splitlines()
    assert lines[:2] == [
        "##vso[task.setvariable variable=exitCode;isOutput=true;]0",
        "##vso[task.setvariable variable=message;isOutput=true;]a;b]%0Ac",
    ]
    assert lines[2].startswith(f"##vso[task.uploadsummary]{tmp_path}/gates-summary-")
    assert next(tmp_path.glob("gates-summary-*.md")).read_text() == "# Hello\n"
    assert lines[-1] == "##vso[task.complete result=SucceededWithIssues;]done"


@pytest.mark.parametrize(("code", "result"), [(0, "Succeeded"), (1, "Failed"), (143, "Failed")])
def test_azure_devops_is_told_the_result(code: int, result: str) -> None:
    said = io.StringIO()
    AzureDevOps({}, said).complete(code, "m")
    assert said.getvalue() == f"##vso[task.complete result={result};]m\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "env", "coloured"),
    [(Terminal(), {}, True), (Terminal(), {"NO_COLOR": "1"}, False), (Terminal(), {"TERM": "dumb"}, False),
     (io.StringIO(), {}, False)],
)  # fmt: skip
def test_the_shell_is_coloured_only_where_that_is_wanted(
    stream: io.StringIO, env: dict[str, str], *, coloured: bool
) -> None:
    Shell(env, stream).annotate("error", "no such thing", file="a.yml", line=3)
    plain = "error: a.yml:3: no such thing\n"
    assert stream.getvalue() == (plain.replace("error", "\x1b[31merror\x1b[0m", 1) if coloured else plain)


def _said_on_azure_devops(act: Callable[[AzureDevOps], None], **env: str) -> str:
    stream = io.StringIO()
    act(AzureDevOps(env, stream))
    return stream.getvalue()


def test_a_report_is_an_artifact_and_its_checks_are_tests_named_after_stage_and_job(tmp_path: Path) -> None:
    where = {"SYSTEM_STAGENAME": "staging", "SYSTEM_JOBNAME": "deploy job", "SYSTEM_JOBATTEMPT": "2"}
    said = _said_on_azure_devops(lambda p: p.publish(tmp_path, "validate-gate", tests=True), **where)
    tests, artifact = said.splitlines()
    title = "gates-validate-gate-staging-deploy job-2"
    assert tests == (
        f"##vso[results.publish type=JUnit;mergeResults=true;runTitle={title};publishRunAttachments=true;"
        f"resultFiles={tmp_path}/junit.xml;]"
    )
    assert artifact == f"##vso[artifact.upload containerfolder={title};artifactname={title};]{tmp_path}/report.json"


def test_a_report_without_checks_is_no_test(tmp_path: Path) -> None:
    said = _said_on_azure_devops(lambda p: p.publish(tmp_path, "train", tests=False), SYSTEM_STAGENAME="__default")
    assert "results.publish" not in said
    assert "artifactname=gates-train;" in said


def test_tags_hold_nothing_but_names() -> None:
    said = _said_on_azure_devops(lambda p: p.tag("gate-pass", "a/b:c]##vso[x]\n", "x" * 300))
    assert said.splitlines() == [
        "##vso[build.addbuildtag]gate-pass", "##vso[build.addbuildtag]a-b-c---vso-x--",
        "##vso[build.addbuildtag]" + "x" * 256,
    ]  # fmt: skip


def screen(text: str) -> list[str]:
    """What stands on a terminal after `text`: a carriage return and the erasing of a line are obeyed."""
    return [line.rpartition("\r\x1b[K")[2] for line in text.split("\n")]


def test_a_terminal_shows_what_runs_and_keeps_only_the_lines() -> None:
    stream = Terminal()
    shell = Shell({}, stream)
    shell.group("train: job.yml")
    for line in ("first", "second"):
        before = stream.getvalue()
        while "train: job.yml … " not in stream.getvalue()[len(before) :]:
            time.sleep(0.02)
        shell.say(line)
    while not stream.getvalue().endswith(" s"):
        time.sleep(0.02)
    shell.end_group()
    after = stream.getvalue()
    time.sleep(1.5)
    assert stream.getvalue() == after, "nothing is said of a group that has ended"
    shell.say("last")
    assert screen(stream.getvalue()) == ["\x1b[1m── train: job.yml\x1b[0m", "first", "second", "last", ""]


@pytest.mark.parametrize(
    ("stream", "env"), [(io.StringIO(), {}), (Terminal(), {"NO_COLOR": "1"}), (Terminal(), {"TERM": "dumb"})]
)
def test_elsewhere_there_are_plain_lines_and_no_thread(stream: io.StringIO, env: dict[str, str]) -> None:
    threads = threading.active_count()
    shell = Shell(env, stream)
    shell.group("train: job.yml")
    assert threading.active_count() == threads
    shell.say("first")
    shell.end_group()
    assert stream.getvalue() == "── train: job.yml\nfirst\n"
