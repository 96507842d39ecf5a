"""A signing key that never leaves Azure Key Vault: statements are signed there, with ECDSA on P-256.

Key Vault has no ed25519. Its ES256 signature is `r || s`, 64 bytes; what verifies it, openssl and ourselves, reads DER.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import explained
from gates.errors import InvalidInput, Unavailable
from gates.lineage.sign import Signer, public_key

if TYPE_CHECKING:
    from collections.abc import Callable

_KEY = re.compile(
    r"https://[a-z0-9-]{3,24}\.(?:vault|managedhsm)\.[a-z.]+/keys/[A-Za-z0-9-]{1,127}(?:/[0-9a-f]{32})?/?"
)
_HINT = "write https://VAULT.vault.azure.net/keys/NAME, or with the version after it"


def signer(key_id: str, open_credential: Callable[[], Any]) -> Signer:
    """A signer whose key is named by `key_id`: the version given, else the newest, fixed for the whole step.

    Raises InvalidInput for another identifier or kind of key, Unavailable when the vault cannot be reached or refuses.
    The identity needs the right to get the key and to sign with it (role 'Key Vault Crypto User').
    """
    if not _KEY.fullmatch(key_id):
        raise InvalidInput(f"GATES_SIGNING_KEY: {key_id} is not the identifier of a key", hint=_HINT)
    try:
        from azure.keyvault.keys import KeyClient, KeyCurveName
        from azure.keyvault.keys.crypto import CryptographyClient, SignatureAlgorithm
    except ImportError as error:
        raise Unavailable(f"the Key Vault library is needed: {error}", hint="install mlops-gates[azure]") from error

    vault, _, name = key_id.rstrip("/").partition("/keys/")
    name, _, version = name.partition("/")
    credential = open_credential()
    with explained(f"the signing key {key_id}"):
        key = KeyClient(vault, credential).get_key(name, version or None)
        client = CryptographyClient(key, credential)
    if key.key.crv != KeyCurveName.p_256:
        raise InvalidInput(
            f"the signing key {key_id} is {key.key.kty}, not on the curve P-256", hint="make an EC key of P-256"
        )

    def sign(message: bytes) -> bytes:
        with explained(f"signing with {key_id}"):
            made = client.sign(SignatureAlgorithm.es256, hashlib.sha256(message).digest())
        return _der(made.signature)

    return Signer(keyid=public_key(_pem(key.key)).keyid, sign=sign)


def _der(raw: bytes) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

    half = len(raw) // 2
    return encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))


def _pem(jwk: Any) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    numbers = EllipticCurvePublicNumbers(int.from_bytes(jwk.x, "big"), int.from_bytes(jwk.y, "big"), SECP256R1())
    return numbers.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
