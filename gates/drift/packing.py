"""A file of a JSON header and number arrays: magic, version, lengths, header, arrays, sha256. No pickle, no surprise.

Layout: b"GATESPRF", u32 version, u64 header bytes, header (canonical JSON, UTF-8), arrays, 32 bytes of sha256 over all
before. Integers are stored as zlib-deflated differences, everything else as zlib-deflated bytes, both little-endian.
"""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

MAGIC = b"GATESPRF"
_HEAD = struct.Struct("<8sIQ")
_DTYPES = frozenset(
    ["<f2", "<f4", "<f8", "|i1", "<i2", "<i4", "<i8", "|u1", "<u2", "<u4", "<u8"],
)


def pack(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], version: int) -> bytes:
    """Equal contents give equal bytes."""
    table, blobs = [], []
    for name in sorted(arrays):
        array = arrays[name]
        spelled = array.dtype.newbyteorder("<").str
        if spelled not in _DTYPES:
            raise ValueError(f"an array of {array.dtype} cannot be packed")
        raw = np.ascontiguousarray(array, dtype=spelled)
        deltas = raw.dtype == np.int64
        blob = zlib.compress((np.diff(raw, prepend=0) if deltas else raw).tobytes(), 1)
        table.append([name, spelled, len(raw), len(blob)])
        blobs.append(blob)
    text = json.dumps({"header": header, "arrays": table}, sort_keys=True, separators=(",", ":"), allow_nan=False)
    head = text.encode()
    body = b"".join([_HEAD.pack(MAGIC, version, len(head)), head, *blobs])
    return body + hashlib.sha256(body).digest()


def unpack(data: bytes, version: int, file: str | None) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header and the arrays; InvalidInput when the bytes are not such a file of this version."""
    hint = "record it again by training"
    if len(data) < _HEAD.size + 32 or data[:8] != MAGIC:
        raise InvalidInput("this is no reference profile", hint=hint, file=file)
    _, found, size = _HEAD.unpack_from(data)
    if found != version:
        raise InvalidInput(f"the profile is of version {found}, this release reads {version}", hint=hint, file=file)
    body = data[:-32]
    if hashlib.sha256(body).digest() != data[-32:]:
        raise InvalidInput("the profile is cut or was changed", hint=hint, file=file)
    whole = json.loads(body[_HEAD.size : _HEAD.size + size])
    arrays, at = {}, _HEAD.size + size
    for name, spelled, count, length in whole["arrays"]:
        raw = zlib.decompress(body[at : at + length])
        at += length
        if spelled not in _DTYPES:
            raise InvalidInput(f"the profile holds an array of {spelled}", hint=hint, file=file)
        array = np.frombuffer(raw, dtype=spelled)
        if len(array) != count:
            raise InvalidInput("the profile holds an array of another length than it says", hint=hint, file=file)
        arrays[name] = np.cumsum(array) if spelled == "<i8" else array
    return whole["header"], arrays
