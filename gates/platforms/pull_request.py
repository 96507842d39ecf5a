"""One comment on the pull request, found again by its marker and updated in place: GitHub and Azure DevOps.

The environment says which pull request this is, never an input. The token is an argument and stands in no error.
GitHub: issue comments of the REST API. Azure DevOps: pull request threads, api-version 7.1; the thread is closed when
the gate allowed and active when it refused, so that a branch policy on open comments can hold.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gates.errors import InvalidInput, Unavailable
from gates.platforms.text import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

LIMIT = 60_000  # bytes; GitHub takes 65,536 characters, Azure DevOps 150,000
_PAGES = 30
_TRIES = 3
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Put:
    """What became of the comment: `how` is created or updated."""

    url: str
    how: str


@dataclass(frozen=True)
class Target:
    """The pull request of this run. `foreign`: it comes from a fork, whose runs get a token that may not write."""

    put: Callable[[str, str, bool], Put]  # the key, the markdown, whether the gate allowed
    name: str
    foreign: bool = False


def find(platform: str, env: Mapping[str, str], token: str) -> Target | None:
    """The pull request that this run is for; None when it is for none. InvalidInput where it cannot be spoken to."""
    if platform == "github":
        return _github(env, token)
    if platform == "azure-devops":
        return _azure_devops(env, token)
    return None


def body(marker: str, markdown: str) -> str:
    """The comment's text: the marker, which nobody sees, then the markdown within what both platforms take."""
    return cut(f"{_marker(marker)}\n{markdown}", LIMIT, "\n\n… cut: the report has the rest.\n")


def _marker(key: str) -> str:
    return f"<!-- mlops-gates: {re.sub(r'[^A-Za-z0-9._/ -]', '_', key).replace('--', '-_')} -->"


def _github(env: Mapping[str, str], token: str) -> Target | None:
    event = _event(env.get("GITHUB_EVENT_PATH", ""))
    request = event.get("pull_request") or {}
    match = re.fullmatch(r"refs/pull/(\d+)/(?:merge|head)", env.get("GITHUB_REF", ""))
    number = str(request.get("number") or (match[1] if match else ""))
    repository = env.get("GITHUB_REPOSITORY", "")
    if not number.isdigit() or not repository:
        return None
    home = ((request.get("head") or {}).get("repo") or {}).get("full_name", repository)
    api = f"{env.get('GITHUB_API_URL') or 'https://api.github.com'}/repos/{repository}/issues"
    rights = "give the job `permissions: pull-requests: write` (a run for a fork gets a token that may only read)"
    ask = _Asking(token, rights, {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"})

    def put(key: str, markdown: str, allowed: bool) -> Put:  # noqa: ARG001  # threads are Azure DevOps's
        text = {"body": body(key, markdown)}
        for page in range(1, _PAGES + 1):
            found = ask("GET", f"{api}/{number}/comments?per_page=100&page={page}")
            for comment in found:
                if str(comment.get("body", "")).startswith(_marker(key)):
                    return Put(ask("PATCH", f"{api}/comments/{int(comment['id'])}", text)["html_url"], "updated")
            if len(found) < 100:
                break
        return Put(ask("POST", f"{api}/{number}/comments", text)["html_url"], "created")

    return Target(put, f"{repository}#{number}", foreign=home != repository)


def _event(path: str) -> dict[str, Any]:
    """The event that started the run; empty where there is none or none that can be read."""
    try:
        read = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _azure_devops(env: Mapping[str, str], token: str) -> Target | None:
    number = env.get("SYSTEM_PULLREQUEST_PULLREQUESTID", "")
    if not number.isdigit():
        return None
    if env.get("BUILD_REPOSITORY_PROVIDER", "TfsGit") != "TfsGit":
        raise InvalidInput(
            f"the repository is on {env['BUILD_REPOSITORY_PROVIDER']}, where the pipeline's token may not comment",
            hint="leave the comment out, or run the gate where the repository is",
        )
    collection = env.get("SYSTEM_COLLECTIONURI") or env.get("SYSTEM_TEAMFOUNDATIONCOLLECTIONURI", "")
    project = env.get("SYSTEM_TEAMPROJECTID") or env.get("SYSTEM_TEAMPROJECT", "")
    place = (
        collection.rstrip("/"),
        *(urllib.parse.quote(part, safe="") for part in (project, env.get("BUILD_REPOSITORY_ID", ""))),
    )
    if not all(place):
        raise InvalidInput("SYSTEM_COLLECTIONURI, SYSTEM_TEAMPROJECT or BUILD_REPOSITORY_ID is not set",
                           hint="run it in a pipeline")  # fmt: skip
    api = f"{place[0]}/{place[1]}/_apis/git/repositories/{place[2]}/pullRequests/{number}/threads"
    rights = "give the build service 'Contribute to pull requests' on the repository"
    ask = _Asking(token, rights, {})
    page = f"{place[0]}/{place[1]}/_git/{place[2]}/pullrequest/{number}"

    def put(key: str, markdown: str, allowed: bool) -> Put:
        text, status = body(key, markdown), "closed" if allowed else "active"
        for thread in ask("GET", f"{api}?api-version=7.1")["value"]:
            first: dict[str, Any] = next(iter(thread.get("comments") or []), {})
            if str(first.get("content", "")).startswith(_marker(key)) and not thread.get("isDeleted"):
                own = f"{api}/{int(thread['id'])}"
                ask("PATCH", f"{own}/comments/{int(first['id'])}?api-version=7.1", {"content": text})
                ask("PATCH", f"{own}?api-version=7.1", {"status": status})
                return Put(f"{page}?discussionId={int(thread['id'])}", "updated")
        comment = {"parentCommentId": 0, "content": text, "commentType": "text"}
        made = ask("POST", f"{api}?api-version=7.1", {"comments": [comment], "status": status})
        return Put(f"{page}?discussionId={int(made['id'])}", "created")

    return Target(put, f"pull request {number}")


class _Asking:
    """One REST API with one token. Raises Unavailable; `rights` says what to do where the token may not."""

    def __init__(self, token: str, rights: str, headers: Mapping[str, str]) -> None:
        self._rights = rights
        self._headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json",
                         "User-Agent": "mlops-gates", **headers}  # fmt: skip

    def __call__(self, method: str, url: str, given: Any = None) -> Any:
        if not url.startswith(("https://", "http://")):
            raise InvalidInput(f"not an address: {cut(url, 200, '…')}", hint="run it in a pipeline")
        data = None if given is None else json.dumps(given).encode()
        for last in (False,) * (_TRIES - 1) + (True,):
            request = urllib.request.Request(url, data=data, headers=self._headers, method=method)  # noqa: S310  # http or https, checked above
            try:
                with urllib.request.urlopen(request, timeout=_TIMEOUT) as reply:  # noqa: S310  # same
                    return json.loads(reply.read())
            except urllib.error.HTTPError as error:
                if last or method == "POST" or error.code < 500:
                    raise self._refused(error, method, url) from error
            except (urllib.error.URLError, OSError) as error:
                if last or method == "POST":  # a POST that was not answered may have been obeyed
                    raise Unavailable(f"{_host(url)} does not answer: {error}") from error
            except ValueError as error:
                raise Unavailable(
                    f"{_host(url)} answered no JSON", hint="look whether a proxy asks for a login"
                ) from error
        raise AssertionError

    def _refused(self, error: urllib.error.HTTPError, method: str, url: str) -> Unavailable:
        said = cut(" ".join(error.read().decode("utf-8", "replace").split()), 200, "…")
        if error.code in (401, 403, 404):
            return Unavailable(
                f"the token may not comment on the pull request ({error.code}: {said})", hint=self._rights
            )
        return Unavailable(f"{_host(url)} refused {method} of the comment ({error.code}: {said})")


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc
