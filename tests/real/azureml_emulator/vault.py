"""A key vault with one EC key, made when it is first asked for. The private half stays in this process's folder."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from azureml_emulator import tokens, wire

if TYPE_CHECKING:
    from pathlib import Path

DOMAIN = "vault.azure.net"
HOST = f"risk-keys.{DOMAIN}"
VERSION = "0123456789abcdef0123456789abcdef"
CURVES = {"lineage": (ec.SECP256R1(), "P-256"), "other-curve": (ec.SECP384R1(), "P-384")}


class Vault:
    """Answers challenges, GET of a key, and its `sign` on a digest."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def handle(self, request: wire.Request) -> wire.Answer:
        if not request.bearer:
            refused = wire.error(401, "Unauthorized", "AKV10000: Request is missing a Bearer or PoP token.")
            login = f"https://{tokens.LOGIN}/{tokens.TENANT}"
            challenge = f'Bearer authorization="{login}", resource="https://{DOMAIN}"'
            return wire.Answer(refused.status, refused.body, {"WWW-Authenticate": challenge})
        if tokens.require(request).get("aud") != f"https://{DOMAIN}":
            return wire.error(401, "Unauthorized", "AKV10022: Invalid audience.")
        _, keys, name, *rest = request.path.split("/")
        if keys != "keys" or name not in CURVES:
            return wire.error(404, "KeyNotFound", f"A key with (name/id) {name} was not found in this key vault.")
        if rest[-1:] == ["sign"] and request.method == "POST":
            return self._sign(name, request.json())
        return wire.Answer(200, {"key": self._public(name), "attributes": {"enabled": True}})

    def _key(self, name: str) -> ec.EllipticCurvePrivateKey:
        path = self._folder / f"{name}.pem"
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            made = ec.generate_private_key(CURVES[name][0])
            path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        found = load_pem_private_key(path.read_bytes(), None)
        assert isinstance(found, ec.EllipticCurvePrivateKey)
        return found

    def _public(self, name: str) -> dict[str, Any]:
        numbers = self._key(name).public_key().public_numbers()
        return {
            "kid": f"https://{HOST}/keys/{name}/{VERSION}", "kty": "EC", "crv": CURVES[name][1],
            "key_ops": ["sign", "verify"], "x": _text(numbers.x.to_bytes(48 if name != "lineage" else 32, "big")),
            "y": _text(numbers.y.to_bytes(48 if name != "lineage" else 32, "big")),
        }  # fmt: skip

    def _sign(self, name: str, asked: dict[str, str]) -> wire.Answer:
        if asked["alg"] != "ES256":
            return wire.error(400, "BadParameter", "Key and signing algorithm are incompatible.")
        digest = base64.urlsafe_b64decode(asked["value"] + "==")
        made = self._key(name).sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
        r, s = utils.decode_dss_signature(made)
        value = _text(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        return wire.Answer(200, {"kid": f"https://{HOST}/keys/{name}/{VERSION}", "value": value})


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
