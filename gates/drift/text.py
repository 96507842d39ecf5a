"""Text columns: lengths, and the vocabulary as hashes of tokens with their counts.

Rules: a token is a run of letters, digits or underscores, in lower case. At most `VOCABULARY` tokens are kept, those
with the smallest hashes: the same ones whatever the order of parts (a bottom-k sample), so that profiles merge exactly.
No word is stored, only hashes.

New words are no drift in themselves: a fresh sample of the same text holds about f1 / N of them (Good 1953, eq. 9: the
share of tokens seen once), so that is what the share of unknown tokens is compared with.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

VOCABULARY = 50_000
SLICE = 100_000
"""Rows that are split into tokens at once: tokens take several times the room of the text."""
ARRAYS = ("hashes", "counts", "lengths", "length_counts")
_SPLIT = r"[^\pL\pN_]+"


@dataclass(frozen=True, eq=False)
class Words:
    """lengths: (k,) distinct numbers of characters, ascending, and length_counts rows of each. tokens: all of them.
    hashes: (v,) uint64 ascending, and counts (v,); complete: whether no token was left out.
    """

    lengths: NDArray[np.int64]
    length_counts: NDArray[np.int64]
    tokens: int
    hashes: NDArray[np.uint64]
    counts: NDArray[np.int64]
    complete: bool

    @property
    def share_kept(self) -> float:
        """The share of all hashes below the largest that was kept."""
        return 1.0 if self.complete or not len(self.hashes) else (float(self.hashes[-1]) + 1.0) / 2.0**64


def words(chunks: Iterable[pa.Array[Any]], cap: int = VOCABULARY) -> tuple[Words, int]:
    """The words of a string (or dictionary of strings) column, and how many rows are null."""
    nulls = 0
    parts: list[Words] = []
    for chunk in chunks:
        import pyarrow.compute as pc
        import pyarrow.types as pt

        array: Any = chunk
        if pt.is_dictionary(chunk.type):
            array = array.dictionary_decode()
        nulls += array.null_count
        array = pc.drop_null(array)
        for at in range(0, len(array), SLICE):
            piece = array.slice(at, SLICE)
            parts.append(_measured(piece, np.ones(len(piece), dtype=np.int64), cap))
            if len(parts) > 1:
                parts = [merge(parts[0], parts[1], cap)]
    return (parts[0] if parts else from_counts({}, cap)), nulls


def from_counts(counts: Mapping[str, int], cap: int = VOCABULARY) -> Words:
    """The words of a column whose distinct values are counted."""
    import pyarrow as pa

    array = pa.array(list(counts), type=pa.string())
    return _measured(array, np.array(list(counts.values()), dtype=np.int64), cap)


def _measured(array: Any, weights: NDArray[np.int64], cap: int) -> Words:
    import pyarrow.compute as pc

    from gates.drift.column import values_of

    lengths, length_counts = _sum_by(values_of(pc.utf8_length(array))[0].astype(np.int64), weights)
    split = pc.split_pattern_regex(pc.utf8_lower(array), _SPLIT)
    parents = values_of(pc.list_parent_indices(split))[0]
    coded = pc.list_flatten(split).dictionary_encode()
    sizes = np.bincount(values_of(coded.indices)[0], weights=weights[parents], minlength=len(coded.dictionary))
    tokens = coded.dictionary
    hashed = np.fromiter((_hash(token) for token in _in_turn(tokens)), dtype=np.uint64, count=len(tokens))
    some = values_of(pc.utf8_length(tokens))[0] > 0
    hashes, counts = _sum_by(hashed[some], sizes[some].astype(np.int64))
    kept, kept_counts = hashes[:cap], counts[:cap]
    return Words(lengths, length_counts, int(counts.sum()), kept, kept_counts, len(hashes) <= cap)


def _in_turn(tokens: Any) -> Iterator[str]:
    """As text a few at a time: a string of Python takes sixty bytes more than its letters."""
    for at in range(0, len(tokens), 4096):
        yield from tokens.slice(at, 4096).to_pylist()


def _hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "big")


def _sum_by(keys: NDArray[Any], weights: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    distinct, where = np.unique(keys, return_inverse=True)
    total = np.zeros(len(distinct), dtype=np.int64)
    np.add.at(total, where, weights)
    return distinct, total


def merge(one: Words, other: Words, cap: int = VOCABULARY) -> Words:
    lengths, length_counts = _sum_by(
        np.concatenate([one.lengths, other.lengths]), np.concatenate([one.length_counts, other.length_counts])
    )
    hashes, counts = _sum_by(np.concatenate([one.hashes, other.hashes]), np.concatenate([one.counts, other.counts]))
    complete = one.complete and other.complete and len(hashes) <= cap
    return Words(lengths, length_counts, one.tokens + other.tokens, hashes[:cap], counts[:cap], complete)


@dataclass(frozen=True)
class Unknown:
    """share: of the current tokens that the reference has not; expected: without drift; p: one-sided."""

    share: float
    expected: float
    p: float


def unknown(reference: Words, current: Words) -> Unknown | None:
    """None when a side has no token. Where the vocabulary was too large, both are judged on the hashes kept by both."""
    if reference.tokens == 0 or current.tokens == 0:
        return None
    sampled = min(reference.share_kept, current.share_kept)
    top = int(min(w.hashes[-1] for w in (reference, current) if not w.complete)) if sampled < 1.0 else 2**64 - 1
    ref_in, cur_in = reference.hashes <= top, current.hashes <= top
    strange = cur_in & ~np.isin(current.hashes, reference.hashes[ref_in])
    share = float(current.counts[strange].sum()) / sampled / current.tokens
    once = float(np.count_nonzero(reference.counts[ref_in] == 1)) / sampled
    expected = once / reference.tokens
    spread = math.sqrt(
        max(expected, 1.0 / reference.tokens) * (1.0 / current.tokens + 1.0 / reference.tokens) / sampled
    )
    return Unknown(min(share, 1.0), min(expected, 1.0), 0.5 * math.erfc((share - expected) / spread / math.sqrt(2.0)))


def header(held: Words) -> dict[str, Any]:
    return {"tokens": held.tokens, "complete": held.complete}


def arrays(held: Words) -> dict[str, NDArray[Any]]:
    return {key: getattr(held, key) for key in ARRAYS}


def parse(row: Mapping[str, Any], found: Mapping[str, NDArray[Any]]) -> Words:
    return Words(
        found["lengths"], found["length_counts"], row["tokens"], found["hashes"], found["counts"], row["complete"]
    )
