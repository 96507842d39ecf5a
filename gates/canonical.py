"""One value, one spelling: canonical JSON (RFC 8785), so that a digest of a value means something.

Every digest of JSON in this project is a sha256 of these bytes, written `sha256:<64 hex>`. What JSON cannot say
without loss (NaN, infinities, integers from 2**53 on, keys that are not text) is an error, never a near miss.
"""

from __future__ import annotations

import hashlib
from typing import Any

import rfc8785

from gates.errors import InvalidInput


def canonical(value: Any) -> bytes:
    """RFC 8785 bytes of dicts, lists, tuples, text, integers, finite floats, bools and None. Raises InvalidInput."""
    try:
        return rfc8785.dumps(value)
    except (rfc8785.CanonicalizationError, RecursionError) as error:
        raise InvalidInput(
            f"a value has no canonical JSON: {error}",
            hint="write finite numbers, text keys, and integers below 2**53",
        ) from error


def digest(value: Any) -> str:
    """`sha256:<hex>` of the canonical JSON of `value`."""
    return f"sha256:{hashlib.sha256(canonical(value)).hexdigest()}"
