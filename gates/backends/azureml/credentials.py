"""How a run signs in to Azure: one way of six, chosen by what stands in the environment and named in every error.

Never a chain that tries one after the other: which identity acted must be known, and a chain hangs where a metadata
service accepts and never answers. The order is that of ORDER; a way whose variables are not all there is passed over,
and `gates doctor` says which. A managed identity is used only when asked for. Whatever a way does, it ends in time.

A job outlives a token, and an assertion of GitHub or Azure DevOps lives five minutes: ways get a function that fetches
a new one, never the text of one. No token, assertion or secret is written, said or put into an error.
"""

from __future__ import annotations

import base64
import json
import queue
import re
import shutil
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import message_of
from gates.errors import GatesError, InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SCOPES = ("https://management.azure.com/.default", "https://ml.azure.com/.default")
"""What a run needs: the resource manager, and the workspace's own services. Both are asked for at the start."""
ORDER = (
    "github-oidc", "azure-pipelines", "workload-identity", "client-secret", "azure-cli", "managed-identity",
)  # fmt: skip
AUDIENCE = "api://AzureADTokenExchange"
SECONDS = {"managed-identity": 20.0}
"""How long a way may take for one token; 60 s for the others."""
_DEFAULT_SECONDS = 60.0
_RENEW = 300.0
"""A token with fewer seconds to live is not used again; azure-core's own margin."""
_TRANSPORT: dict[str, Any] = {
    "connection_timeout": 10, "read_timeout": 20, "retry_total": 3, "retry_backoff_factor": 0.4, "retry_backoff_max": 5,
}  # fmt: skip
_METADATA: dict[str, Any] = {**_TRANSPORT, "connection_timeout": 3, "read_timeout": 8, "retry_total": 1}
_NEEDS: dict[str, tuple[str, ...]] = {
    "github-oidc": (
        "ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "AZURE_CLIENT_ID", "AZURE_TENANT_ID",
    ),
    "azure-pipelines": (
        "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID", "AZURESUBSCRIPTION_CLIENT_ID", "AZURESUBSCRIPTION_TENANT_ID",
        "SYSTEM_ACCESSTOKEN", "SYSTEM_OIDCREQUESTURI",
    ),
    "workload-identity": ("AZURE_FEDERATED_TOKEN_FILE", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"),
    "client-secret": ("AZURE_CLIENT_SECRET", "AZURE_CLIENT_ID", "AZURE_TENANT_ID"),
    "azure-cli": (),
    "managed-identity": (),
}  # fmt: skip
"""The variables of each way; the first one tells that the way is meant."""
_HINTS = {
    "700213": "let the federated credential of the app trust this subject; `gates doctor` shows it",
    "700212": "let the federated credential of the app trust this audience and issuer; `gates doctor` shows them",
    "70021": "let the federated credential of the app trust this subject; `gates doctor` shows it",
    "700016": "AZURE_CLIENT_ID names no app of this tenant",
    "90002": "AZURE_TENANT_ID names no tenant",
    "7000215": "AZURE_CLIENT_SECRET is not the secret's value (its ID, perhaps?)",
    "7000222": "AZURE_CLIENT_SECRET has run out: make a new one, or federate instead",
    "700024": "the clock of this machine is wrong, or the assertion is old",
}
"""By Microsoft Entra's error numbers."""
_LOGIN = {
    "github-oidc": "grant the job `permissions: id-token: write`; see docs/how-to/azure-credentials.md",
    "azure-pipelines": "check that the service connection may be used by this pipeline",
    "workload-identity": "check AZURE_FEDERATED_TOKEN_FILE",
    "client-secret": "check AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET",
    "azure-cli": "run `az login`, or azure/login or AzureCLI@2 in the pipeline",
    "managed-identity": "this machine has no managed identity, or AZURE_CLIENT_ID names another; choose another way",
}


@dataclass(frozen=True)
class Way:
    """A way to sign in: what of its needs is `missing`, and whether the environment means it."""

    kind: str
    meant: bool
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        return self.meant and not self.missing


def ways(env: Mapping[str, str]) -> tuple[Way, ...]:
    """Every way, in the order of choice."""
    return tuple(_way(kind, env) for kind in ORDER)


def _way(kind: str, env: Mapping[str, str]) -> Way:
    if kind == "azure-cli":
        there = shutil.which("az", path=env.get("PATH", "")) is not None
        return Way(kind, there, () if there else ("az on PATH",))
    if kind == "managed-identity":
        return Way(kind, meant=False, missing=())
    needs = _NEEDS[kind]
    return Way(kind, bool(_value(env, needs[0])), tuple(name for name in needs if not _value(env, name)))


def choose(env: Mapping[str, str], kind: str = "") -> str:
    """The way: `kind` when it is named, else the first of ORDER that is complete.

    Raises InvalidInput when the named one lacks something, or none is complete.
    """
    found = ways(env)
    if kind:
        way = next((way for way in found if way.kind == kind), None)
        if way is None:
            raise InvalidInput(f"credential '{kind}' is not known", hint=f"write one of {', '.join(ORDER)}")
        if way.missing:
            raise InvalidInput(f"credential {kind} needs {', '.join(way.missing)}", hint=_LOGIN[kind])
        return kind
    complete = next((way.kind for way in found if way.complete), None)
    if complete is not None:
        return complete
    begun = [f"{way.kind} needs {', '.join(way.missing)}" for way in found if way.meant and way.missing]
    said = (
        f"no way to sign in to Azure is complete: {'; '.join(begun)}"
        if begun
        else "nothing says how to sign in to Azure"
    )
    raise InvalidInput(said, hint=_start(env))


def _start(env: Mapping[str, str]) -> str:
    if env.get("GITHUB_ACTIONS") == "true" and not _value(env, "ACTIONS_ID_TOKEN_REQUEST_URL"):
        return "grant the job `permissions: id-token: write` and set AZURE_CLIENT_ID and AZURE_TENANT_ID"
    if env.get("TF_BUILD"):
        return "give the task its input azureSubscription, a service connection"
    return "run `az login`, or see docs/how-to/azure-credentials.md"


def _value(env: Mapping[str, str], name: str) -> str:
    """The variable's value; an Azure Pipelines macro that nothing filled, `$(NAME)`, is none."""
    value = env.get(name, "").strip()
    return "" if re.fullmatch(r"\$\([^)]*\)", value) else value


def open_credential(env: Mapping[str, str], kind: str = "") -> tuple[Credential, str]:
    """The credential and the name of its way, proved by a token of each of SCOPES.

    Raises InvalidInput when nothing says how to sign in, Unavailable when no token can be had.
    """
    credential = prepare(env, kind)
    for scope in SCOPES:
        credential.get_token(scope)
    return credential, credential.kind


def prepare(env: Mapping[str, str], kind: str = "") -> Credential:
    """The credential, before it has asked for anything."""
    chosen = choose(env, kind)
    told: dict[str, str] = {}
    try:
        inner = _make(chosen, env, told)
    except ImportError as error:
        raise Unavailable(
            f"the Azure identity library is needed: {error}", hint="install mlops-gates[azure]"
        ) from error
    except ValueError as error:  # a tenant or client that has not the form of one
        raise InvalidInput(f"credential {chosen}: {message_of(error)}", hint=_LOGIN[chosen]) from error
    return Credential(chosen, inner, told, SECONDS.get(chosen, _DEFAULT_SECONDS))


def _make(kind: str, env: Mapping[str, str], told: dict[str, str]) -> Any:
    import azure.identity as identity

    tenant, client = _value(env, "AZURE_TENANT_ID"), _value(env, "AZURE_CLIENT_ID")
    if kind == "github-oidc":
        url, token = env["ACTIONS_ID_TOKEN_REQUEST_URL"], env["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]
        return identity.ClientAssertionCredential(tenant, client, lambda: _github(url, token, told), **_TRANSPORT)
    if kind == "azure-pipelines":
        return identity.AzurePipelinesCredential(
            tenant_id=_value(env, "AZURESUBSCRIPTION_TENANT_ID"), client_id=_value(env, "AZURESUBSCRIPTION_CLIENT_ID"),
            service_connection_id=_value(env, "AZURESUBSCRIPTION_SERVICE_CONNECTION_ID"),
            system_access_token=_value(env, "SYSTEM_ACCESSTOKEN"), **_TRANSPORT,
        )  # fmt: skip
    if kind == "workload-identity":
        file = _value(env, "AZURE_FEDERATED_TOKEN_FILE")
        return identity.WorkloadIdentityCredential(
            tenant_id=tenant, client_id=client, token_file_path=file, **_TRANSPORT
        )
    if kind == "client-secret":
        return identity.ClientSecretCredential(tenant, client, _value(env, "AZURE_CLIENT_SECRET"), **_TRANSPORT)
    if kind == "azure-cli":
        return identity.AzureCliCredential(tenant_id=tenant, process_timeout=30)
    return identity.ManagedIdentityCredential(**({"client_id": client} if client else {}), **_METADATA)


def _github(url: str, token: str, told: dict[str, str]) -> str:
    """A new identity token of the GitHub job. What it says of the job, no secret, goes into `told`."""
    from azure.core import PipelineClient
    from azure.core.pipeline.policies import RetryPolicy
    from azure.core.rest import HttpRequest

    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    asked = f"{url}{'&' if '?' in url else '?'}audience={AUDIENCE.replace(':', '%3A').replace('/', '%2F')}"
    with PipelineClient(url, policies=[RetryPolicy(**_TRANSPORT)]) as client:
        answer = client.send_request(HttpRequest("GET", asked, headers=headers), connection_timeout=10, read_timeout=20)
        found = answer.json().get("value") if answer.status_code == 200 else None
    if not found:
        raise Unavailable(
            f"credential github-oidc: GitHub gave no identity token (status {answer.status_code})",
            hint=_LOGIN["github-oidc"],
        )
    claims = claims_of(str(found))
    told.update({name: str(claims[name]) for name in ("iss", "sub", "aud") if name in claims})
    return str(found)


class Credential:
    """Fits azure-core's TokenCredential: one way, its tokens kept until they are old, its errors ours, in time.

    `told`: issuer, subject and audience of the last assertion, where the way uses one that we see.
    """

    def __init__(self, kind: str, inner: Any, told: dict[str, str], seconds: float) -> None:
        self.kind, self.told, self.seconds = kind, told, seconds
        self._inner = inner
        self._turn = threading.Lock()
        self._kept: dict[tuple[str, ...], Any] = {}

    def get_token(self, *scopes: str, **kwargs: Any) -> Any:
        """An AccessToken. Raises Unavailable, naming the way, when there is none within `seconds`."""
        if kwargs.get("claims") or kwargs.get("tenant_id"):
            return self._ask(scopes, kwargs)
        with self._turn:
            kept = self._kept.get(scopes)
            if kept is None or kept.expires_on - time.time() < _RENEW:
                kept = self._kept[scopes] = self._ask(scopes, kwargs)
            return kept

    def _ask(self, scopes: tuple[str, ...], kwargs: Mapping[str, Any]) -> Any:
        what = f"credential {self.kind}: no token for {' '.join(scope.removesuffix('/.default') for scope in scopes)}"
        try:
            return within(self.seconds, lambda: self._inner.get_token(*scopes, **kwargs))
        except GatesError:
            raise
        except TimeoutError as error:
            raise Unavailable(f"{what} within {self.seconds:.0f} s", hint=_LOGIN[self.kind]) from error
        except Exception as error:  # identity libraries raise their own, MSAL's, requests' and OSError
            said = message_of(error)
            number = re.search(r"AADSTS(\d+)", said)
            hint = _HINTS.get(number.group(1), "") if number else ""
            raise Unavailable(f"{what}: {said}", hint=hint or _LOGIN[self.kind]) from error

    def close(self) -> None:
        """Nothing is held that outlives the process."""


def within(seconds: float, act: Callable[[], Any]) -> Any:
    """What `act` returns or raises. TimeoutError after `seconds`; its thread ends with the process at the latest."""
    answers: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()

    def run() -> None:
        try:
            answers.put((act(), None))
        except BaseException as error:  # noqa: BLE001  # raised again in the caller's thread
            answers.put((None, error))

    threading.Thread(target=run, daemon=True, name="azure-token").start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error is not None:
        raise error
    return answer


def claims_of(token: str) -> dict[str, Any]:
    """What a JWT says, unverified: for people to read, never to decide on. Empty when it is none."""
    try:
        middle = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
