"""How requests are dealt by weight, and how they are counted."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import pairwise

import pytest

from gates.backends.local.endpoint.shares import Deck
from gates.backends.local.endpoint.telemetry import BUCKETS, Event, Telemetry


@pytest.mark.parametrize("share", [1, 5, 50, 99])
def test_every_hundred_requests_are_split_exactly(share: int) -> None:
    deck = Deck({"blue": 100 - share, "green": share}, random.Random(1))
    for _ in range(20):
        assert Counter(deck.deal() for _ in range(100)) == {"blue": 100 - share, "green": share}


def test_the_order_is_not_foreseeable() -> None:
    deck = Deck({"blue": 50, "green": 50}, random.Random(1))
    order = [deck.deal() for _ in range(2000)]
    runs = 1 + sum(a != b for a, b in pairwise(order))
    assert 900 < runs < 1100
    assert Counter(order[::2])["green"] == pytest.approx(500, abs=60)


def test_one_or_nobody() -> None:
    assert {Deck({"blue": 100}).deal() for _ in range(10)} == {"blue"}
    assert {Deck({}).deal() for _ in range(10)} == {None}
    assert Counter(Deck({"green": 30}).deal() for _ in range(0)) == {}
    mirror = Deck({"green": 30})
    assert Counter(mirror.deal() for _ in range(200)) == {"green": 60, None: 140}


def event(number: int, deployment: str = "blue", status: int = 200, ms: float = 3.0, mirrored: bool = False) -> Event:
    return (float(number), deployment, status, ms, 1.0, mirrored, False, None)


def test_a_cursor_gives_each_event_once_and_survives_a_restart() -> None:
    seen = Telemetry(kept=5, first=1000)
    assert seen.since(0, 10) == ([], 1000)
    for number in range(3):
        seen.record(event(number))
    first, cursor = seen.since(0, 2)
    assert [e[0] for e in first] == [0.0, 1.0]
    rest, cursor = seen.since(cursor, 2)
    assert ([e[0] for e in rest], cursor) == ([2.0], 1003)
    for number in range(3, 12):
        seen.record(event(number))
    late, cursor = seen.since(cursor, 100)
    assert [e[0] for e in late] == [7.0, 8.0, 9.0, 10.0, 11.0]
    assert seen.since(cursor, 100) == ([], 1012)
    assert Telemetry().since(0, 1)[1] > cursor


def test_the_metrics_text_counts_what_was_recorded() -> None:
    seen = Telemetry()
    for ms in (0.5, 3.0, 3.0, 90.0, 60_000.0):
        seen.record(event(0, ms=ms))
    seen.record(event(0, status=500))
    seen.record(event(0, deployment="green", mirrored=True))
    text = seen.prometheus({"blue": 100}, {"blue": True, "green": False})
    lines = text.splitlines()
    assert 'gates_requests_total{deployment="blue",mirrored="false",status="200"} 5' in lines
    assert 'gates_errors_total{deployment="blue",mirrored="false"} 1' in lines
    assert 'gates_requests_total{deployment="green",mirrored="true",status="200"} 1' in lines
    assert 'gates_request_seconds_bucket{deployment="blue",mirrored="false",le="0.001"} 1' in lines
    assert 'gates_request_seconds_bucket{deployment="blue",mirrored="false",le="0.005"} 4' in lines
    assert 'gates_request_seconds_bucket{deployment="blue",mirrored="false",le="10.0"} 5' in lines
    assert 'gates_request_seconds_bucket{deployment="blue",mirrored="false",le="+Inf"} 6' in lines
    assert 'gates_request_seconds_count{deployment="blue",mirrored="false"} 6' in lines
    assert 'gates_traffic_percent{deployment="blue"} 100' in lines
    assert 'gates_deployment_healthy{deployment="green"} 0' in lines
    assert text.endswith("\n")
    sample = re.compile(r'[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.]+')
    assert all(line.startswith(("# HELP ", "# TYPE ")) or sample.fullmatch(line) for line in lines)
    assert list(BUCKETS) == sorted(BUCKETS)
