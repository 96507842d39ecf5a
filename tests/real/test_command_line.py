"""The command as a process: what it imports, and how it ends when pipes, disks and homes are not there."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from small_project import make, report_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GATES = [sys.executable, "-m", "gates"]
HEAVY = {"numpy", "scipy", "pyarrow", "mlflow", "azure", "sklearn", "pandas", "aiohttp", "cryptography"}
LIBC = ctypes.CDLL(None)
METRICS = ["validate-gate", "--metrics", "metrics.json"]


def run(
    arguments: list[str], folder: Path, env: dict[str, str] | None = None, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **(env or {})}
    return subprocess.run(
        [*GATES, *arguments],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=before,
        timeout=120,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["validate-gate", "--help"], METRICS, ["policy", "check"]])
def test_help_and_a_gate_over_a_metrics_file_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    script = (
        "import sys, json; from gates import cli; from pathlib import Path\n"
        f"code = cli.run({arguments!r}, {{'PATH': '/usr/bin:/bin'}}, Path({str(folder)!r}))\n"
        "print(json.dumps([code, sorted({name.partition('.')[0] for name in sys.modules})]), file=sys.stderr)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, modules = json.loads(said.stderr.splitlines()[-1])
    assert code == 0, said.stderr
    assert set(modules) & HEAVY == set()


def test_a_reader_that_goes_away_ends_quietly(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    for arguments in (["train", "--help"], ["--help"], ["policy", "explain"], [*METRICS, "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.run(
            [*GATES, *arguments], cwd=folder, stdout=writing, stderr=subprocess.PIPE, text=True, check=False
        )
        os.close(writing)
        assert process.returncode == 0, arguments
        assert "Broken" not in process.stderr
        assert "Traceback" not in process.stderr


def test_help_into_head(need: Callable[[str], str], tmp_path: Path) -> None:
    need("head")
    line = f"'{sys.executable}' -m gates train --help | head -1; echo ${{PIPESTATUS[0]}}"
    said = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[1:] == ["0"]
    assert said.stderr == ""


def test_a_log_that_nobody_reads_does_not_change_the_verdict(tmp_path: Path) -> None:
    for metrics, code in (('{"accuracy": 0.99}', 0), ('{"accuracy": 0.10}', 1)):
        folder = make(tmp_path / str(code), metrics=metrics)
        reading, writing = os.pipe()
        os.close(reading)
        process = subprocess.run([*GATES, *METRICS], cwd=folder, stderr=writing, check=False)
        os.close(writing)
        assert process.returncode == code
        assert json.loads((folder / ".gates/reports/validate-gate/outputs.json").read_text())["exit-code"] == str(code)


def test_without_a_home_without_a_user_s_name_and_in_plain_ascii(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    bare = {"PATH": os.environ["PATH"], "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    for arguments, code in ((METRICS, 0), (["--help"], 0), ([*METRICS, "--json", "--policy", "größe.yml"], 2)):
        said = subprocess.run([*GATES, *arguments], cwd=folder, env=bare, capture_output=True, check=False)
        assert b"Traceback" not in said.stderr
        assert said.returncode == code, said.stderr
        if "--json" in arguments:
            assert json.loads(said.stdout)["outcome"] == "invalid"


def limited() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600))


def test_a_full_disk_ends_clearly_and_leaves_no_half_written_file(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    said = run(METRICS, folder, before=limited)
    assert said.returncode == 4, said.stderr
    assert "Traceback" not in said.stderr
    errors = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "cannot write" in errors[0]
    assert not (folder / ".gates/reports/validate-gate/report.json").exists()
    assert [path for path in (folder / ".gates").rglob(".*.*") if path.is_file()] == [], "nothing lies beside"
    assert json.loads((folder / ".gates/reports/validate-gate/outputs.json").read_text())["exit-code"] == "4"
    assert run(METRICS, folder).returncode == 0, "the next run is whole"
    assert report_of(folder)["result"]["verdict"] == "PASS"


def unprivileged() -> None:
    """In the child: root obeys the modes of files too. Without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH it must."""
    if os.geteuid() == 0:
        for capability in (1, 2):
            assert LIBC.prctl(24, capability, 0, 0, 0) == 0  # PR_CAPBSET_DROP: what an exec gives to root


def test_a_read_only_checkout_is_said_and_a_state_dir_elsewhere_helps(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    folder.chmod(0o555)
    try:
        said = run(METRICS, folder, before=unprivileged)
        assert said.returncode == 4, said.stderr
        assert "Traceback" not in said.stderr
        [error] = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
        assert "cannot write" in error
        elsewhere = tmp_path / "state"
        said = run([*METRICS, "--state-dir", str(elsewhere)], folder, before=unprivileged)
        assert said.returncode == 0, said.stderr
        assert (elsewhere / "reports/validate-gate/report.json").is_file()
        assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []
    finally:
        folder.chmod(0o755)


def test_a_file_where_a_folder_belongs_is_said(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    (folder / ".gates").mkdir()
    (folder / ".gates/reports").write_text("in the way")
    said = run(METRICS, folder)
    assert said.returncode == 2, said.stderr
    assert "is a file; name a folder" in said.stderr


def test_an_output_file_that_cannot_be_written_is_no_pass(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    said = run(METRICS, folder, {"GITHUB_ACTIONS": "true", "GITHUB_OUTPUT": str(tmp_path / "absent" / "file")})
    assert said.returncode == 4
    assert "error: cannot write GITHUB_OUTPUT" in said.stderr
    assert json.loads((folder / ".gates/reports/validate-gate/outputs.json").read_text())["exit-code"] == "4"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    said = subprocess.run(["git", *identity, *arguments], cwd=folder, capture_output=True, text=True, check=True)
    return said.stdout.strip()


def test_policy_ref_judges_with_the_base_branch_s_policy_also_in_a_shallow_checkout(
    need: Callable[[str], str], tmp_path: Path
) -> None:
    need("git")
    origin = make(tmp_path / "origin", metrics='{"accuracy": 0.5}')
    git(origin, "init", "-q", "-b", "main")
    git(origin, "add", ".")
    git(origin, "commit", "-qm", "strict")
    git(origin, "checkout", "-qb", "lax")
    (origin / "policy.yml").write_text((origin / "policy.yml").read_text().replace("min: 0.85", "min: 0.1"))
    git(origin, "commit", "-qam", "lax")
    git(tmp_path, "clone", "-q", "--depth=1", "--branch", "lax", f"file://{origin}", "checkout")
    checkout = tmp_path / "checkout"
    assert run(METRICS, checkout).returncode == 0, "the file at hand is lax"
    said = run([*METRICS, "--policy-ref", "origin/main"], checkout)
    assert said.returncode == 1, said.stderr
    assert report_of(checkout)["result"]["policy"]["source"] == "ref:origin/main"
    for ref in ("origin/absent", "--upload-pack=x", "HEAD~99"):
        said = run([*METRICS, f"--policy-ref={ref}"], checkout)
        assert said.returncode in (2, 4), ref
        assert said.stderr.count("error: ") == 1


def test_policy_digest_pins_the_policy(tmp_path: Path) -> None:
    import hashlib

    folder = make(tmp_path / "p")
    digest = hashlib.sha256((folder / "policy.yml").read_bytes()).hexdigest()
    for given in (digest, f"sha256:{digest}", f"sha256:{digest.upper()}"):
        assert run([*METRICS, "--policy-digest", given], folder).returncode == 0
        assert report_of(folder)["result"]["policy"]["source"] == "digest"
    said = run([*METRICS, "--policy-digest", "0" * 64], folder)
    assert said.returncode == 2
    assert "not the pinned sha256:0000" in said.stderr


def test_sigterm_ends_with_143_and_outputs(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    os.mkfifo(folder / "slow.json")
    with (
        subprocess.Popen(
            [*GATES, "validate-gate", "--metrics", "slow.json"], cwd=folder, stderr=subprocess.PIPE, text=True
        ) as process,
        (folder / "slow.json").open("w"),
    ):  # opens once the gate reads: it is in the middle of its work
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 143, said
    assert "cancelled by signal 15; run the same command again to resume" in said
    outputs = json.loads((folder / ".gates/reports/validate-gate/outputs.json").read_text())
    assert (outputs["exit-code"], outputs["outcome"]) == ("143", "cancelled")
