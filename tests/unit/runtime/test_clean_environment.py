"""What a process of the user's interpreter is told of ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from gates.backends.local.endpoint import servers
from gates.runtime import environments
from gates.runtime.scoring import worker_environment


def test_what_binds_to_our_interpreter_goes_and_the_settings_of_the_machine_stay() -> None:
    env = {
        "PATH": "/bin",
        "PYTHONPATH": "/ours",
        "VIRTUAL_ENV": "/ours",
        "UV_INDEX_URL": "https://i",
        "HTTPS_PROXY": "p",
    }
    kept = environments.clean(env)
    assert kept == {"PATH": "/bin", "UV_INDEX_URL": "https://i", "HTTPS_PROXY": "p", "OMP_WAIT_POLICY": "passive"}


@pytest.mark.parametrize(("given", "found"), [({}, "passive"), ({"OMP_WAIT_POLICY": "active"}, "active")])
def test_threads_that_wait_do_not_spin_unless_the_user_says_so(given: dict[str, str], found: str) -> None:
    env = {"PATH": "/bin", **given}
    assert environments.clean(env)["OMP_WAIT_POLICY"] == found
    assert servers.serving(env)["OMP_WAIT_POLICY"] == found
    assert worker_environment(env, Path("/usr/bin/python3"))["OMP_WAIT_POLICY"] == found
