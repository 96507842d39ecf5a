"""Who serves the next request: whole percents dealt like cards.

A deck of 100 cards holds each deployment as often as its percentage says; it is shuffled, dealt, and shuffled again.
The order is as unpredictable as independent draws, but of every 100 requests exactly the share goes where it should:
a canary of 5 % gets its sample in a known number of requests, and a split is never outside its binomial interval.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Deck:
    """Deals names by whole percents; what is missing to 100 is dealt as None."""

    def __init__(self, shares: Mapping[str, int], rng: random.Random | None = None) -> None:
        self.shares = dict(shares)
        self._cards: list[str | None] = [name for name, share in shares.items() for _ in range(share)]
        self._cards += [None] * (100 - len(self._cards))
        self._one = len(set(self._cards)) == 1
        self._left: list[str | None] = []
        self._rng = rng if rng is not None else random.Random()  # noqa: S311  # a split, not a secret

    def deal(self) -> str | None:
        if self._one:
            return self._cards[0]
        if not self._left:
            self._left = self._cards.copy()
            self._rng.shuffle(self._left)
        return self._left.pop()
