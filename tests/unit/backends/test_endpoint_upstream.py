"""Answers of a model server, as they come over the wire: whole, in pieces, chunked, cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gates.backends.local.endpoint.upstream import Answer, Parser

PLAIN = b"HTTP/1.1 200 OK\r\nServer: gunicorn\r\nContent-Type: application/json\r\nContent-Length: 6\r\n\r\n[1, 2]"
CHUNKED = (
    b"HTTP/1.1 500 Oh\r\nX-A: b: c\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n1A;x=y\r\n"
    + b" " * 25
    + b"]\r\n0\r\n\r\n"
)
EXPECTED: dict[bytes, Answer] = {
    PLAIN: (200, {"server": "gunicorn", "content-type": "application/json", "content-length": "6"}, b"[1, 2]"),
    CHUNKED: (500, {"x-a": "b: c", "transfer-encoding": "chunked"}, b"[1," + b" " * 25 + b"]"),
    b"HTTP/1.1 204 No\r\n\r\n": (204, {}, b""),
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n": (200, {"content-length": "0"}, b""),
}


@given(st.sampled_from(sorted(EXPECTED)), st.lists(st.integers(0, 200), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(wire: bytes, cuts: list[int]) -> None:
    parser = Parser()
    places = [0, *sorted(cut for cut in cuts if cut < len(wire)), len(wire)]
    answers = [parser.feed(wire[a:b]) for a, b in pairwise(places) if a < b]
    assert answers[:-1] == [None] * (len(answers) - 1)
    assert answers[-1] == EXPECTED[wire]
    assert parser.keeps_alive


@pytest.mark.parametrize("cut", range(1, len(PLAIN)))
def test_a_cut_answer_is_none(cut: int) -> None:
    parser = Parser()
    assert parser.feed(PLAIN[:cut]) is None
    assert parser.end() is None


def test_an_answer_without_length_ends_with_its_connection() -> None:
    parser = Parser()
    assert parser.feed(b"HTTP/1.0 200 OK\r\n\r\n[1") is None
    assert parser.feed(b"]") is None
    assert parser.end() == (200, {}, b"[1]")
    assert not parser.keeps_alive


@pytest.mark.parametrize(
    ("head", "alive"),
    [
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n", True),
        (b"HTTP/1.0 200 OK\r\n", False),
        (b"HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_a_connection_is_used_again_when_both_say_so(head: bytes, alive: bool) -> None:
    parser = Parser()
    assert parser.feed(head + b"Content-Length: 0\r\n\r\n") is not None
    assert parser.keeps_alive is alive


@pytest.mark.parametrize(
    "wire",
    [
        b"SSH-2.0-x\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ],
)
def test_what_is_no_http_is_refused(wire: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Parser().feed(wire)
