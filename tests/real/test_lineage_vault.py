"""Statements signed by a key that never leaves Azure Key Vault: the SDK over TLS, and a vault on loopback."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from azureml_emulator import start, tokens, vault
from lineage_project import POLICY, gates, make

from gates.backends.azureml import credentials
from gates.backends.azureml import vault as ours
from gates.errors import InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("azure.keyvault.keys")
pytestmark = pytest.mark.timeout(600)
KEY = f"https://{vault.HOST}/keys/lineage"


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[start.Running]:
    with start.running(tmp_path_factory.mktemp("azure")) as running:
        yield running


@pytest.fixture
def env(azure: start.Running, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    found = azure.environment()
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


def public_pem(azure: start.Running) -> str:
    """As `az keyvault key download` gives it, by openssl from the vault's own file."""
    file = azure.folder / "vault" / "lineage.pem"
    made = subprocess.run(["openssl", "pkey", "-in", file, "-pubout"], capture_output=True, text=True, check=True)
    return made.stdout


def test_what_a_vault_signed_is_accepted_and_openssl_agrees(
    azure: start.Running, env: dict[str, str], tmp_path: Path, need: Callable[[str], str]
) -> None:
    need("openssl")
    signer = ours.signer(KEY, lambda: credentials.prepare(env))
    signature = signer.sign(b"what was gated")
    (tmp_path / "key.pem").write_text(public_pem(azure))
    (tmp_path / "sig").write_bytes(signature)
    (tmp_path / "message").write_bytes(b"what was gated")
    line = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "message"]
    assert "Verified OK" in subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    (tmp_path / "message").write_bytes(b"what was not")
    assert subprocess.run(line, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_a_model_is_registered_by_a_vaults_signature_and_refused_by_another_key(
    azure: start.Running, env: dict[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str],
    need: Callable[[str], str],
) -> None:  # fmt: skip
    need("git")
    ours.signer(KEY, lambda: credentials.prepare(env))  # the vault makes its key when it is first asked
    folder = make(tmp_path / "tiny")
    policy = POLICY.replace("    approvals: {min: 1, forbid_author: false}\n", "")
    (folder / "policy.yml").write_text(f"{policy}signing: {{keys: [{json.dumps(public_pem(azure))}]}}\n")
    told = {name: env[name] for name in env if name.startswith("AZURE_")}
    for line in ("train", "validate-gate", "register"):
        assert gates(folder, line, **told, GATES_SIGNING_KEY=KEY) == 0, capfd.readouterr().err
    lineage = next((folder / ".gates/lineage").glob("*/lineage.intoto.jsonl"))
    signatures = [json.loads(line)["signatures"] for line in lineage.read_text().splitlines()]
    assert [len(found) for found in signatures] == [1, 1]
    assert all(found[0]["keyid"].startswith("sha256:") for found in signatures)
    assert gates(folder, "validate-gate", **told) == 0  # this statement is not signed
    capfd.readouterr()
    assert gates(folder, "register", **told, GATES_SIGNING_KEY=KEY) == 1
    assert "not signed by a trusted key" in capfd.readouterr().err
    planted = tokens.SECRET
    for file in folder.rglob("*"):
        if file.is_file():
            assert planted.encode() not in file.read_bytes(), file


@pytest.mark.parametrize(
    ("key", "kind", "says"),
    [
        ("https://risk-keys.vault.azure.net/secrets/lineage", InvalidInput, "is not the identifier of a key"),
        (f"https://{vault.HOST}/keys/other-curve", InvalidInput, "not on the curve P-256"),
        (f"https://{vault.HOST}/keys/nobody", Unavailable, "was not found in this key vault"),
        ("https://elsewhere.vault.azure.net/keys/lineage", Unavailable, "the signing key"),
    ],
)
def test_keys_that_cannot_sign(env: dict[str, str], key: str, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        ours.signer(key, lambda: credentials.prepare(env))
