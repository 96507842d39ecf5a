"""Starts the emulator as a process of its own, and says how a child finds it."""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azureml_emulator import faults
from gates.runtime import process

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[3]
NPM = Path(__file__).resolve().parent
"""Where `make test` installs azurite, from the lock file beside this one."""
REGION = "westeurope"
HOSTS = (
    "management.azure.com", "login.microsoftonline.com", f"{REGION}.api.azureml.ms", "*.blob.core.windows.net",
    f"*.{REGION}.inference.ml.azure.com", "pipelines.actions.githubusercontent.com", "dev.azure.com",
    "api.loganalytics.io", "eastus.api.azureml.ms",
    "*.vault.azure.net",
)  # fmt: skip
START_SECONDS = 180.0


@dataclass(frozen=True)
class Running:
    """An emulator that answers at `address`, its state in `folder`."""

    folder: Path
    address: str
    child: process.Child

    def environment(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """`base` (default: our own environment) with what leads the Azure SDK, requests and curl to the emulator."""
        from azureml_emulator import arm, tokens

        env = {k: v for k, v in (os.environ if base is None else base).items() if not k.startswith(_OURS)}
        bundle = str(self.bundle())
        names = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE", "AZURE_CLI_CA")
        return {
            **env, **dict.fromkeys(names, bundle),
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), self.address),
            "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
            "AZURE_SUBSCRIPTION_ID": arm.SUBSCRIPTION, "AZURE_RESOURCE_GROUP": arm.GROUP,
            "AZURE_ML_WORKSPACE": arm.WORKSPACE, "AZURE_TENANT_ID": tokens.TENANT, "AZURE_CLIENT_ID": tokens.CLIENT,
            "AZURE_CLIENT_SECRET": tokens.SECRET,
        }  # fmt: skip

    def bundle(self) -> Path:
        """The emulator's authority, after those that were trusted before."""
        path = self.folder / "bundle.pem"
        if not path.exists():
            before = next((os.environ[n] for n in ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE") if os.environ.get(n)), "")
            if not before:
                import certifi

                before = certifi.where()
            path.write_text(Path(before).read_text() + "\n" + (self.folder / "ca.pem").read_text())
        return path

    def plant(self, *rules: dict[str, Any]) -> None:
        """Replace the plan of faults (see faults.py); none: nothing goes wrong any more."""
        faults.write(self.folder / "faults.json", list(rules))

    def allow(self, *roles: dict[str, list[str]], enforced: bool = False) -> None:
        """What the caller may do: `actions` and `notActions` of each role. Told; `enforced`: anything else is a 403."""
        (self.folder / "roles.json").write_text(json.dumps(list(roles)))
        (self.folder / "enforced").write_text("1" if enforced else "")

    def requests(self) -> list[dict[str, Any]]:
        return _lines(self.folder / "requests.jsonl")

    def egress(self) -> list[dict[str, Any]]:
        return _lines(self.folder / "egress.jsonl")

    def invalid(self) -> list[dict[str, Any]]:
        """PUT bodies that Microsoft's schemas refuse."""
        return _lines(self.folder / "invalid.jsonl")

    def tokens(self) -> list[dict[str, Any]]:
        return _lines(self.folder / "tokens.jsonl")


_OURS = ("AZURE_", "ACTIONS_ID_TOKEN", "SYSTEM_", "IDENTITY_", "MSI_", "IMDS_", "ARM_")


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def begin(folder: Path, *, environments: Path | None = None) -> Running:
    """Start it and wait until it answers. It dies with us, whatever it started with it.

    environments: where the environments of model servers are kept, to share them between emulators.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    address = folder / "address"
    address.unlink(missing_ok=True)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "real"), str(ROOT)))}
    if environments is not None:
        env["EMULATOR_ENVIRONMENTS"] = str(environments)
    argv: list[str | Path] = [sys.executable, "-m", "azureml_emulator", folder]
    child = process.start(argv, cwd=folder, env=env, log=folder / "emulator.log", grace=20.0)
    until = time.monotonic() + START_SECONDS
    while not address.exists():
        if child.poll() is not None or time.monotonic() > until:
            said = (folder / "emulator.log").read_text() if (folder / "emulator.log").exists() else ""
            raise RuntimeError(f"the emulator did not start: {said[-2000:]}")
        time.sleep(0.05)
    return Running(folder, address.read_text(), child)


@contextmanager
def running(folder: Path, *, environments: Path | None = None) -> Iterator[Running]:
    """`begin`, and its end with the block."""
    started = begin(folder, environments=environments)
    try:
        yield started
    finally:
        started.child.terminate(grace=20.0)
