"""An OpenSSF model-signing signature over the same folder, for who wants to require one.

Their library verifies the signature and the bytes, but leaves out paths that the signature says to ignore. We do not:
every file of the model's identity must be one that was signed. Needs `model-signing`, whose release 1.1.1 imports
`pyopenssl` without declaring it.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from gates.errors import InvalidInput, Refused
from gates.lineage.digest import folder_sums

if TYPE_CHECKING:
    from pathlib import Path


def require_openssf(model: Path, signature: Path, public_key: Path) -> None:
    """Raises Refused unless `signature`, by the EC key in the PEM file, covers exactly the files of `model`."""
    try:
        from model_signing import verifying
    except ImportError as error:
        raise InvalidInput(
            "an OpenSSF signature is required and model-signing is not installed",
            hint="pip install model-signing pyopenssl",
        ) from error
    files = {item.path for item in folder_sums(model)}
    try:
        verifier: Any = verifying.Config  # its methods are typed, its constructor is not
        verifier().use_elliptic_key_verifier(public_key=public_key).verify(model, signature)
    except Exception as error:  # whatever their library trips over, it did not verify
        raise Refused(
            f"the OpenSSF signature does not hold for {model}: {error}", hint="sign these bytes", file=signature
        ) from error
    unsigned = sorted(files - _signed(signature))
    if unsigned:
        raise Refused(
            f"{model / unsigned[0]} is not covered by the OpenSSF signature", hint="sign all files", file=signature
        )


def _signed(signature: Path) -> set[str]:
    """Names of the files in the signed manifest of a Sigstore bundle."""
    try:
        bundle = msgspec.json.decode(signature.read_bytes())
        statement = msgspec.json.decode(base64.b64decode(bundle["dsseEnvelope"]["payload"], validate=True))
        return {str(resource["name"]) for resource in statement["predicate"]["resources"]}
    except (OSError, msgspec.DecodeError, binascii.Error, KeyError, TypeError) as error:
        raise Refused("not a bundle of OpenSSF model-signing", hint="sign again", file=signature) from error
