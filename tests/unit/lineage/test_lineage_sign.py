"""DSSE envelopes: the published example, keys of both kinds, and everything that must not verify."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from lineage_built import key_pair

from gates.errors import InvalidInput
from gates.lineage.sign import (
    PAYLOAD_TYPE,
    Envelope,
    Signature,
    Signer,
    accepted_keys,
    ed25519_signer,
    pae,
    parse_envelope,
    public_key,
    seal,
)

STATEMENT = {"_type": "https://in-toto.io/Statement/v1", "n": 1, "text": "ü"}


def test_pae_of_the_specification() -> None:
    """The test vector of the DSSE protocol document."""
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    assert pae("é", "é".encode()) == "DSSEv1 2 é 2 é".encode()


def test_sealed_and_accepted() -> None:
    signer, key = key_pair()
    envelope = seal(STATEMENT, signer)
    assert accepted_keys(envelope, [key]) == (signer.keyid,)
    assert envelope.body == '{"_type":"https://in-toto.io/Statement/v1","n":1,"text":"ü"}'.encode()
    assert envelope.digest == "sha256:" + hashlib.sha256(envelope.body).hexdigest()
    assert parse_envelope(envelope.to_json()) == envelope
    assert envelope.tier == f"signed by {signer.keyid}"


def test_unsigned_is_labelled_and_never_accepted() -> None:
    _, key = key_pair()
    envelope = seal(STATEMENT, None)
    assert envelope.tier == "unsigned"
    assert accepted_keys(envelope, [key]) == ()


def test_what_must_not_verify() -> None:
    signer, key = key_pair()
    other, other_key = key_pair()
    good = seal(STATEMENT, signer)
    changed = base64.b64encode(good.body.replace(b"1", b"2")).decode()
    claimed = Signature(sig=seal(STATEMENT, other).signatures[0].sig, keyid=signer.keyid)
    sig = good.signatures[0].sig
    for bad in (
        Envelope(PAYLOAD_TYPE, changed, good.signatures),
        Envelope("application/json", good.payload, good.signatures),
        Envelope(PAYLOAD_TYPE, good.payload, (claimed,)),
        Envelope(PAYLOAD_TYPE, good.payload, (Signature("", signer.keyid),)),
        Envelope(PAYLOAD_TYPE, good.payload, (Signature("%%%", signer.keyid),)),
        Envelope(PAYLOAD_TYPE, good.payload, (Signature(sig[:-8], signer.keyid),)),
    ):
        assert accepted_keys(bad, [key]) == ()
    assert accepted_keys(good, [other_key]) == ()
    assert accepted_keys(good, []) == ()
    both = Envelope(PAYLOAD_TYPE, good.payload, (claimed, *good.signatures))
    assert set(accepted_keys(both, [key, other_key])) == {key.keyid, other_key.keyid}


def test_the_keyid_is_only_a_hint() -> None:
    signer, key = key_pair()
    envelope = seal(STATEMENT, Signer("sha256:whatever", signer.sign))
    assert accepted_keys(envelope, [key]) == (key.keyid,)


def test_a_p256_key_of_a_vault_verifies() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    key = public_key(private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    envelope = seal(STATEMENT, Signer("vault", lambda message: private.sign(message, ec.ECDSA(hashes.SHA256()))))
    assert accepted_keys(envelope, [key]) == (key.keyid,)
    wrong = seal(STATEMENT, Signer("vault", lambda message: private.sign(message + b"x", ec.ECDSA(hashes.SHA256()))))
    assert accepted_keys(wrong, [key]) == ()


def test_a_key_under_a_password() -> None:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw"))
    assert ed25519_signer(pem, b"pw").keyid.startswith("sha256:")
    for password in (None, b"wrong"):
        with pytest.raises(InvalidInput, match="cannot be read"):
            ed25519_signer(pem, password)


def test_keys_that_are_none() -> None:
    p256 = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(InvalidInput, match="not ed25519"):
        ed25519_signer(p256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    for bad in (b"", b"SECRET", b"-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"):
        with pytest.raises(InvalidInput) as caught:
            ed25519_signer(bad)
        assert "SECRET" not in str(caught.value)
        with pytest.raises(InvalidInput):
            public_key(bad)
    for weak in (ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)):
        with pytest.raises(InvalidInput, match="neither ed25519 nor P-256"):
            public_key(weak.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.mark.parametrize("line", [b"", b"[]", b"{}", b'{"payloadType": 1, "payload": ""}', b"\xff"])
def test_what_is_no_envelope(line: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a DSSE envelope"):
        parse_envelope(line)


def test_a_payload_that_is_no_base64() -> None:
    with pytest.raises(InvalidInput, match="base64"):
        _ = parse_envelope(b'{"payloadType": "x", "payload": "%"}').body
