"""The marker by which a comment is found again, and which pull request a run is for."""

from __future__ import annotations

import pytest

from gates.errors import InvalidInput
from gates.platforms import pull_request


@pytest.mark.parametrize("key", ["a --> b", "a -->\n<script>", "--!>", "x <!-- y"])
def test_no_key_ends_the_marker_or_begins_another(key: str) -> None:
    first, rest = pull_request.body(key, "text").split("\n", 1)
    assert first.startswith("<!-- mlops-gates: ")
    assert first.endswith(" -->")
    assert first.count("--") == 2
    assert rest == "text"


@pytest.mark.parametrize(
    ("platform", "env", "name"),
    [
        ("github", {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_REPOSITORY": "a/b"}, "a/b#12"),
        ("github", {"GITHUB_REF": "refs/heads/refs/pull/12/merge", "GITHUB_REPOSITORY": "a/b"}, None),
        ("github", {"GITHUB_REF": "refs/pull/x/merge", "GITHUB_REPOSITORY": "a/b"}, None),
        ("azure-devops", {"SYSTEM_PULLREQUEST_PULLREQUESTID": "x/../1"}, None),
        ("shell", {"GITHUB_REF": "refs/pull/12/merge", "GITHUB_REPOSITORY": "a/b"}, None),
    ],
)
def test_only_the_platform_says_which_pull_request_it_is(platform: str, env: dict[str, str], name: str | None) -> None:
    found = pull_request.find(platform, env, "token")
    assert (found.name if found else None) == name


def test_a_pipeline_that_does_not_say_where_it_is_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="BUILD_REPOSITORY_ID"):
        pull_request.find("azure-devops", {"SYSTEM_PULLREQUEST_PULLREQUESTID": "1"}, "token")
