"""The rule of this folder can be broken, and is noticed."""

from __future__ import annotations

import os
import socket
import subprocess

import pytest


def test_a_socket_that_connects_fails_the_test_even_where_errors_are_caught() -> None:
    with pytest.raises(pytest.fail.Exception, match=r"socket\.connect"):
        _carelessly()


def test_a_process_fails_the_test() -> None:
    with pytest.raises(pytest.fail.Exception, match="Popen"):
        subprocess.run(["true"], check=False)
    with pytest.raises(pytest.fail.Exception, match="fork"):
        os.fork()


def _carelessly() -> None:
    with socket.socket() as client:
        try:
            client.connect(("127.0.0.1", 9))
        except Exception:
            return
