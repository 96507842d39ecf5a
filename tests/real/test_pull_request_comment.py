"""The comment on the pull request, over HTTP, to servers on loopback that answer in the shapes of both REST APIs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from act_rig import job, repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from act_rig import Rig

TOKEN = "t0ken-planted-4715"
POLICY = """\
version: 1
name: small
revision: 1
owner: tests
stages:
  validate:
    checks:
      - {id: accuracy.floor, type: threshold, metric: accuracy, min: 0.9, decide_on: point}
"""


@dataclass
class Service:
    """Both services over one store; `refuse` is the status of every write, `fails` are those of the next answers."""

    url: str = ""
    comments: dict[int, dict[str, Any]] = field(default_factory=dict)
    threads: dict[int, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    refuse: int = 0
    fails: list[int] = field(default_factory=list)

    def answer(self, method: str, path: str, given: Any) -> tuple[int, Any]:
        if self.fails:
            return self.fails.pop(0), {"message": "try again"}
        if self.refuse and method != "GET":
            return self.refuse, {"message": "Resource not accessible by integration"}
        if match := re.fullmatch(r"/repos/acme/models/issues/(?:7/comments|comments/(\d+))(?:\?(.*))?", path):
            return self._github(method, int(match[1] or 0), match[2] or "", given)
        place = (
            r"/acme/p%20id/_apis/git/repositories/r1/pullRequests/7/threads"
            r"(?:/(\d+))?(?:/comments/(\d+))?\?api-version=7\.1"
        )
        if match := re.fullmatch(place, path):
            return self._azure_devops(method, int(match[1] or 0), int(match[2] or 0), given)
        return 404, {"message": f"no such place: {path}"}

    def _github(self, method: str, identity: int, query: str, given: Any) -> tuple[int, Any]:
        if method == "GET":
            page = int(re.findall(r"(?:^|&)page=(\d+)", query)[0])
            return 200, list(self.comments.values())[100 * (page - 1) : 100 * page]
        if method == "POST":
            identity = max(self.comments, default=0) + 1
            self.comments[identity] = {"id": identity, "html_url": f"https://github.example/7#{identity}"}
        self.comments[identity] |= {"body": given["body"]}
        return 201 if method == "POST" else 200, self.comments[identity]

    def _azure_devops(self, method: str, thread: int, comment: int, given: Any) -> tuple[int, Any]:
        if method == "GET":
            return 200, {"value": list(self.threads.values()), "count": len(self.threads)}
        if method == "POST":
            thread = max(self.threads, default=40) + 1
            comments = [{"id": 1, **one} for one in given["comments"]]
            self.threads[thread] = {"id": thread, "status": given["status"], "comments": comments, "isDeleted": False}
        elif comment:
            self.threads[thread]["comments"][comment - 1]["content"] = given["content"]
        else:
            self.threads[thread]["status"] = given["status"]
        return 200, self.threads[thread]


@pytest.fixture
def service() -> Iterator[Service]:
    made = Service()

    class Handler(BaseHTTPRequestHandler):
        def _any(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            given = json.loads(self.rfile.read(length)) if length else None
            made.asked.append((self.command, self.path, self.headers["Authorization"]))
            status, answer = made.answer(self.command, self.path, given)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _any  # noqa: N815  # the base class's names

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Nothing is said."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield made
    server.shutdown()
    server.server_close()


def project(folder: Path, accuracy: float) -> None:
    (folder / "mlops.yml").write_text("version: 1\nmodel: small\n")
    (folder / "policy.yml").write_text(POLICY)
    (folder / "metrics.json").write_text(json.dumps({"metrics": {"accuracy": accuracy}, "n": 4000}))


def gates(folder: Path, arguments: str, **env: str) -> tuple[int, dict[str, str], str]:
    """Exit code, outputs and log of one command on a platform."""
    done = subprocess.run([sys.executable, "-I", "-m", "gates", *arguments.split(), "--json"], cwd=folder, text=True,
                          capture_output=True, check=False,
                          env={"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*", **env})  # fmt: skip
    return done.returncode, json.loads(done.stdout), done.stderr


def on(platform: str, service: Service, folder: Path, **changed: str) -> dict[str, str]:
    """The environment of a pull request's run."""
    github = {"GITHUB_ACTIONS": "true", "GITHUB_API_URL": service.url, "GITHUB_REPOSITORY": "acme/models",
              "GITHUB_REF": "refs/pull/7/merge", "GATES_TOKEN": TOKEN}  # fmt: skip
    azure = {"TF_BUILD": "True", "SYSTEM_COLLECTIONURI": f"{service.url}/acme/", "SYSTEM_TEAMPROJECTID": "p id",
             "BUILD_REPOSITORY_ID": "r1", "BUILD_REPOSITORY_PROVIDER": "TfsGit", "GATES_TOKEN": TOKEN,
             "SYSTEM_PULLREQUEST_PULLREQUESTID": "7", "AGENT_TEMPDIRECTORY": str(folder)}  # fmt: skip
    return (github if platform == "github" else azure) | changed


def shown(service: Service) -> list[str]:
    return [c["body"] for c in service.comments.values()] + [
        t["comments"][0]["content"] for t in service.threads.values()
    ]


@pytest.mark.parametrize("platform", ["github", "azure-devops"])
def test_one_comment_updated_in_place(service: Service, tmp_path: Path, platform: str) -> None:
    env = on(platform, service, tmp_path)
    for accuracy, word, status in ((0.5, "❌ FAIL", "active"), (0.95, "✅ PASS", "closed")):
        project(tmp_path, accuracy)
        gates(tmp_path, "validate-gate --metrics metrics.json", **env)
        code, outputs, said = gates(tmp_path, "comment", **env)
        assert (code, outputs["commented"]) == (0, "created" if accuracy < 0.9 else "updated"), said
        assert outputs["comment-url"] in said
        [text] = shown(service)
        assert word in text
        assert text.startswith("<!-- mlops-gates: small validate-gate validate -->\n")
        assert [thread["status"] for thread in service.threads.values()] in ([], [status])
    assert {authorization for _, _, authorization in service.asked} == {f"Bearer {TOKEN}"}


def test_our_comment_is_found_behind_a_hundred_others_and_theirs_are_left_alone(
    service: Service, tmp_path: Path
) -> None:
    project(tmp_path, 0.95)
    env = on("github", service, tmp_path)
    gates(tmp_path, "validate-gate --metrics metrics.json", **env)
    for number in range(1, 251):
        service.comments[number] = {"id": number, "html_url": "x", "body": f"comment {number}"}
    assert gates(tmp_path, "comment", **env)[1]["commented"] == "created"
    assert gates(tmp_path, "comment", **env)[1]["commented"] == "updated"
    assert len(service.comments) == 251
    assert service.comments[250]["body"] == "comment 250"


@pytest.mark.parametrize(
    ("platform", "rights"),
    [("github", "permissions: pull-requests: write"), ("azure-devops", "'Contribute to pull requests'")],
)
def test_a_missing_permission_is_one_line_that_says_what_to_give(
    service: Service, tmp_path: Path, platform: str, rights: str
) -> None:
    project(tmp_path, 0.95)
    env = on(platform, service, tmp_path)
    gates(tmp_path, "validate-gate --metrics metrics.json", **env)
    service.refuse = 403
    code, outputs, said = gates(tmp_path, "comment", **env)
    assert (code, outputs["outcome"]) == (4, "error")
    assert rights in outputs["message"]
    assert "403" in outputs["message"]
    assert "Traceback" not in said
    assert TOKEN not in re.sub(r"(?m)^(::add-mask::|##vso\[task\.setsecret\]).*$", "", said)


def test_a_service_that_stumbles_is_asked_again_but_nothing_is_posted_twice(service: Service, tmp_path: Path) -> None:
    project(tmp_path, 0.95)
    env = on("github", service, tmp_path)
    gates(tmp_path, "validate-gate --metrics metrics.json", **env)
    service.fails = [502, 503]
    assert gates(tmp_path, "comment", **env)[1]["commented"] == "created"
    service.fails = []
    service.comments.clear()
    answer, service.refuse = service.refuse, 500
    assert gates(tmp_path, "comment", **env)[0] == 4
    assert [method for method, _, _ in service.asked[-2:]] == ["GET", "POST"], "a POST may have been obeyed"
    service.refuse = answer


def test_a_run_for_no_pull_request_says_so_and_asks_nothing(service: Service, tmp_path: Path) -> None:
    project(tmp_path, 0.95)
    for env in (
        on("github", service, tmp_path, GITHUB_REF="refs/heads/main"),
        on("azure-devops", service, tmp_path, SYSTEM_PULLREQUEST_PULLREQUESTID=""), {},
    ):  # fmt: skip
        code, outputs, _ = gates(tmp_path, "comment", **env)
        assert (code, outputs["commented"]) == (0, "")
        assert "no pull request" in outputs["message"]
    assert service.asked == []


def test_a_fork_s_pull_request_is_a_warning_and_not_a_failure(service: Service, tmp_path: Path) -> None:
    project(tmp_path, 0.95)
    event = {"pull_request": {"number": 7, "head": {"repo": {"full_name": "somebody/models"}}}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    env = on("github", service, tmp_path, GITHUB_REF="refs/heads/main", GITHUB_EVENT_PATH=str(tmp_path / "event.json"))
    gates(tmp_path, "validate-gate --metrics metrics.json", **env)
    code, outputs, said = gates(tmp_path, "comment", **env)
    assert (code, outputs["commented"]) == (0, "")
    assert "::warning::acme/models#7 comes from a fork" in said
    assert service.asked == []


def test_what_cannot_work_is_said(service: Service, tmp_path: Path) -> None:
    project(tmp_path, 0.95)
    env = on("azure-devops", service, tmp_path)
    assert gates(tmp_path, "comment", **env)[0] == 2, "no report was made"
    gates(tmp_path, "validate-gate --metrics metrics.json", **env)
    code, outputs, _ = gates(tmp_path, "comment", **env | {"BUILD_REPOSITORY_PROVIDER": "GitHub"})
    assert (code, "the repository is on GitHub" in outputs["message"]) == (2, True)
    code, outputs, _ = gates(tmp_path, "comment", **env | {"GATES_TOKEN": ""})
    assert (code, "GATES_TOKEN is not set" in outputs["message"]) == (2, True)
    code, outputs, _ = gates(tmp_path, "comment", **env | {"SYSTEM_COLLECTIONURI": "http://127.0.0.1:1/acme/"})
    assert (code, "does not answer" in outputs["message"]) == (4, True)
    assert service.threads == {}


def test_a_large_summary_is_cut_to_what_the_services_take(service: Service, tmp_path: Path) -> None:
    project(tmp_path, 0.95)
    env = on("github", service, tmp_path)
    gates(tmp_path, "validate-gate --metrics metrics.json", **env)
    (tmp_path / ".gates/reports/validate-gate/summary.md").write_text("ä" * 80_000)
    assert gates(tmp_path, "comment", **env)[0] == 0
    [text] = shown(service)
    assert len(text.encode()) <= 60_000
    assert text.endswith("… cut: the report has the rest.\n")


def test_the_action_gives_the_token_and_finds_the_pull_request(service: Service, rig: Rig, tmp_path: Path) -> None:
    """Under act, as a workflow for a pull request would call it."""
    steps = """\
      - id: gate
        uses: acme/mlops-gates/actions/validate-gate@v1
        with: {metrics: metrics.json}
      - id: comment
        if: ${{ always() }}
        uses: acme/mlops-gates/actions/comment@v1
        with:
          report: ${{ steps.gate.outputs.report-path }}
"""
    workflow = job(steps).replace("{workflow_dispatch: {}}", "{pull_request: {}}")
    folder = repository(tmp_path / "r", workflow, accuracy=0.5)
    head = {"ref": "change", "repo": {"full_name": "acme/models"}}
    event = {"pull_request": {"number": 7, "head": head, "base": {"ref": "main"}}}
    (tmp_path / "event.json").write_text(json.dumps(event))
    given = ["--eventpath", str(tmp_path / "event.json"), "--secret", f"GITHUB_TOKEN={TOKEN}",
             "--env", f"GITHUB_API_URL={service.url}", "--env", "GITHUB_REPOSITORY=acme/models"]  # fmt: skip
    ran = rig.run(folder, event="pull_request", arguments=given, env={"NO_PROXY": "*"})
    assert ran.outputs("comment").get("commented") == "created", ran.raw[-3000:]
    [text] = shown(service)
    assert "❌ FAIL" in text
    assert {authorization for _, _, authorization in service.asked} == {f"Bearer {TOKEN}"}
    assert TOKEN not in ran.log()
