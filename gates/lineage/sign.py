"""DSSE envelopes: who vouches for a statement.

Two tiers here: none (an envelope without signatures, shown as `unsigned`) and a key. A signer is a value that holds a
function, so that a key vault fits as well as a file. We sign with ed25519 (RFC 8032); ECDSA on P-256, which key vaults
offer, is verified too. Signing inside the job that trains is not SLSA level 3: that job could have signed anything.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from gates.canonical import canonical
from gates.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

PAYLOAD_TYPE = "application/vnd.in-toto+json"
UNSIGNED = "unsigned"


class Signature(Struct, frozen=True):
    """One signature: base64 of the signature's bytes, and a hint at the key."""

    sig: str
    keyid: str = ""

    @property
    def raw(self) -> bytes:
        """The signature's bytes; none when it is not base64, which no key accepts."""
        try:
            return base64.b64decode(self.sig, validate=True)
        except binascii.Error:
            return b""


class Envelope(Struct, frozen=True, rename="camel"):
    """A DSSE v1 envelope. `payload` is base64 of the statement's bytes."""

    payload_type: str
    payload: str
    signatures: tuple[Signature, ...] = ()

    @property
    def body(self) -> bytes:
        """The statement's bytes. Raises InvalidInput."""
        try:
            return base64.b64decode(self.payload, validate=True)
        except binascii.Error as error:
            raise InvalidInput("the payload of an envelope is not base64", hint="restore the statement") from error

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the statement's bytes: what the next statement points at; signatures are not part of it."""
        return f"sha256:{hashlib.sha256(self.body).hexdigest()}"

    @property
    def tier(self) -> str:
        """`unsigned`, or `signed by KEYID, …`; a claim until `accepted_keys` has looked."""
        return "signed by " + ", ".join(s.keyid for s in self.signatures) if self.signatures else UNSIGNED

    def to_json(self) -> bytes:
        """One line of canonical JSON."""
        return canonical(msgspec.to_builtins(self))


@dataclass(frozen=True)
class Signer:
    """`sign` takes the bytes to sign (the PAE) and returns the raw signature; `keyid` names the public key."""

    keyid: str
    sign: Callable[[bytes], bytes]


@dataclass(frozen=True)
class PublicKey:
    """A key that is trusted. `verify(signature, message)` is true or false and never raises."""

    keyid: str
    verify: Callable[[bytes, bytes], bool]


def pae(payload_type: str, payload: bytes) -> bytes:
    """Pre-authentication encoding, DSSE v1: what is signed. Lengths are in bytes, decimal."""
    kind = payload_type.encode()
    return b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload))


def seal(statement: Any, signer: Signer | None) -> Envelope:
    """The statement (a dict) as canonical JSON in an envelope, signed when there is a signer."""
    payload = canonical(statement)
    signatures: tuple[Signature, ...] = ()
    if signer is not None:
        raw = signer.sign(pae(PAYLOAD_TYPE, payload))
        signatures = (Signature(sig=base64.b64encode(raw).decode(), keyid=signer.keyid),)
    return Envelope(payload_type=PAYLOAD_TYPE, payload=base64.b64encode(payload).decode(), signatures=signatures)


def parse_envelope(line: bytes) -> Envelope:
    """An envelope from its JSON. Raises InvalidInput."""
    try:
        return msgspec.json.decode(line, type=Envelope)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"not a DSSE envelope: {error}", hint="restore the line") from error


def accepted_keys(envelope: Envelope, trusted: Iterable[PublicKey]) -> tuple[str, ...]:
    """The keyids of the trusted keys that signed this envelope. The keyid in it is a hint and is not believed."""
    if envelope.payload_type != PAYLOAD_TYPE:
        return ()
    message = pae(envelope.payload_type, envelope.body)
    return tuple(key.keyid for key in trusted if any(key.verify(s.raw, message) for s in envelope.signatures))


def ed25519_signer(pem: bytes, password: bytes | None = None) -> Signer:
    """A signer from a PEM private key (PKCS#8). Raises InvalidInput, never showing the key."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(pem, password=password)
    except (ValueError, TypeError) as error:
        raise InvalidInput(
            "the signing key cannot be read", hint="give a PEM private key: openssl genpkey -algorithm ed25519"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InvalidInput("the signing key is not ed25519", hint="openssl genpkey -algorithm ed25519")
    return Signer(keyid=_keyid(key.public_key()), sign=key.sign)


def public_key(pem: bytes) -> PublicKey:
    """A trusted key from PEM: ed25519, or ECDSA on P-256 with SHA-256. Raises InvalidInput."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise InvalidInput("a trusted key cannot be read", hint="give a PEM public key") from error

    def verify(signature: bytes, message: bytes) -> bool:
        try:
            if isinstance(key, Ed25519PublicKey):
                key.verify(signature, message)
            elif isinstance(key, EllipticCurvePublicKey):
                key.verify(signature, message, ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True

    if not isinstance(key, Ed25519PublicKey) and not (
        isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, SECP256R1)
    ):
        raise InvalidInput("a trusted key is neither ed25519 nor P-256", hint="give a key of one of these kinds")
    return PublicKey(keyid=_keyid(key), verify=verify)


def _keyid(key: Any) -> str:
    """`sha256:<hex>` of the DER SubjectPublicKeyInfo: what `openssl pkey -pubin -outform DER | sha256sum` says."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return f"sha256:{hashlib.sha256(der).hexdigest()}"
