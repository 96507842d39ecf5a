"""One workspace and the ways to speak to it: Microsoft's SDK, and plain ARM requests through the same pipeline.

Plain requests are for what the SDK's entities would lose: an endpoint is read, changed and put back as it was said,
with every setting that neither we nor this SDK know. Retries and back-off stand here, once, for all three clients.
The SDK prints and logs as it likes: `quiet` keeps that away from workflow commands and `--json`.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import explained, status_of
from gates.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

ARM = "https://management.azure.com"
ARM_SCOPE = f"{ARM}/.default"
VERSION = "2025-01-01-preview"
"""The newest that the SDK speaks: an older one would not show, and so would drop, what newer tools set."""
RETRIES = {"retry_total": 4, "retry_backoff_factor": 0.4, "retry_backoff_max": 10}
"""azure-core's: 408, 429, 5xx and lost connections; waits 0, 0.8, 1.6, 3.2 s, or what Retry-After says."""
METHODS = frozenset(("HEAD", "GET", "PUT", "DELETE", "POST"))
"""What is made again. azure-core leaves POST out: it cannot know that one asks for a key or for room to upload."""
POLLING_SECONDS = 5
_NOISY = ("azure", "azure.ai.ml", "msrest", "urllib3", "msal")


class Workspace:
    """The workspace that mlops.yml names. `open_credential` gives (azure credential, the name of its kind)."""

    def __init__(
        self, *, subscription: str, group: str, name: str, open_credential: Callable[[], tuple[Any, str]],
        registry: str = "",
    ) -> None:  # fmt: skip
        self.subscription, self.group, self.name, self.registry = subscription, group, name, registry
        self._open = open_credential
        self._credential: Any = None
        self._ml: Any = None
        self._registry_ml: Any = None
        self._pipeline: Any = None
        self._about: dict[str, Any] | None = None
        self.kind = ""

    def beside(self, registry: str) -> Workspace:
        """This workspace beside another registry; itself where that is its own, or '' is asked for."""
        if registry in ("", self.registry):
            return self
        return Workspace(
            subscription=self.subscription, group=self.group, name=self.name, registry=registry,
            open_credential=lambda: (self.credential, self.kind),
        )  # fmt: skip

    @property
    def id(self) -> str:
        return (
            f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"
            f"/providers/Microsoft.MachineLearningServices/workspaces/{self.name}"
        )

    @property
    def credential(self) -> Any:
        if self._credential is None:
            self._credential, self.kind = self._open()
        return self._credential

    def token(self, scope: str = ARM_SCOPE) -> str:
        """A bearer token, for the one request that is about to be made."""
        with explained(f"a token of {self.kind or 'the credential'}"):
            return str(self.credential.get_token(scope).token)

    @property
    def ml(self) -> Any:
        """Microsoft's MLClient on the workspace. Its import takes about two seconds."""
        if self._ml is None:
            self._ml = self._client(workspace_name=self.name)
        return self._ml

    @property
    def registry_ml(self) -> Any:
        """MLClient on the registry that models are shared through."""
        if self._registry_ml is None:
            self._registry_ml = self._client(registry_name=self.registry)
        return self._registry_ml

    def _client(self, **where: str) -> Any:
        with quiet(), explained("the Azure ML SDK"):
            try:
                from azure.ai.ml import MLClient
                from azure.ai.ml._utils import _azureml_polling
            except ImportError as error:
                raise Unavailable(f"the Azure ML SDK is needed: {error}", hint="install mlops-gates[azure]") from error
            # its poller prints dots to stdout from a thread of its own, into workflow commands and --json
            _azureml_polling.print = lambda *_, **__: None
            # the bar (which `quiet` swallows) is what notices a failed upload: without it the SDK waits for ever
            return MLClient(
                self.credential, self.subscription, self.group, show_progress=True, enable_telemetry=False,
                polling_interval=POLLING_SECONDS, per_call_policies=[_replayed()], **RETRIES, **where,
            )  # fmt: skip

    def about(self) -> Mapping[str, Any]:
        """The workspace's own properties. Unavailable when there is none."""
        if self._about is None:
            found = self.get("")
            if found is None:
                raise Unavailable(
                    f"there is no workspace {self.name} in resource group {self.group}", hint="check the key workspace"
                )
            self._about = {"location": found.get("location", ""), **(found.get("properties") or {})}
        return self._about

    # plain requests; `path` is below the workspace, or a whole ARM id that begins with /subscriptions

    def get(self, path: str, *, version: str = VERSION) -> dict[str, Any] | None:
        """The resource as JSON; None when it is not there."""
        return self.send("GET", path, version=version)

    def put(
        self, path: str, body: Mapping[str, Any], *, version: str = VERSION, conflicts: bool = False
    ) -> dict[str, Any]:
        """`conflicts`: a 409 is errors.Conflict, for who can tell busy from taken over; else errors.Unavailable."""
        return self.send("PUT", path, body, version=version, conflicts=conflicts) or {}

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, version: str = VERSION) -> dict[str, Any]:
        return self.send("POST", path, body or {}, version=version) or {}

    def delete(self, path: str, *, conflicts: bool = False) -> None:
        """Begin to delete; what is gone is gone. `conflicts`: as in `put`."""
        self.send("DELETE", path, conflicts=conflicts)

    def each(self, path: str, *, version: str = VERSION) -> Iterator[dict[str, Any]]:
        """The items of a list, page by page; none where the parent is not there."""
        page = self.send("GET", path, version=version)
        while page is not None:
            yield from page.get("value") or ()
            after = page.get("nextLink")
            page = self.send("GET", str(after)) if after else None

    def send(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, version: str = VERSION,
        scope: str = ARM_SCOPE, conflicts: bool = False, headers: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:  # fmt: skip
        """One request. None for a 404 of GET and DELETE. What a long-running one began is not waited for."""
        url = self._url(path, version)
        shown = url.partition("?")[0].removeprefix(ARM).removeprefix(self.id).lstrip("/") or f"workspace {self.name}"
        with explained(f"{method} {shown}", changes=conflicts):
            from azure.core.exceptions import HttpResponseError
            from azure.core.rest import HttpRequest
            from azure.mgmt.core.exceptions import ARMErrorFormat

            answer = self._client_of(scope).send_request(HttpRequest(method, url, json=body, headers=headers))
            if answer.status_code == 401:  # the pipeline keeps a token until it says that it has run out
                self._pipeline.pop(scope)
                answer = self._client_of(scope).send_request(HttpRequest(method, url, json=body, headers=headers))
            if answer.status_code == 404 and method in ("GET", "DELETE"):
                return None
            if answer.status_code >= 400:
                raise HttpResponseError(response=answer, error_format=ARMErrorFormat)
            if not answer.content:
                return {}
            found = answer.json()
            return found if isinstance(found, dict) else {"value": found}

    def _url(self, path: str, version: str) -> str:
        if path.startswith("https://"):
            return path
        whole = path if path.startswith("/subscriptions") else f"{self.id}/{path}".rstrip("/")
        return f"{ARM}{whole}{'&' if '?' in whole else '?'}api-version={version}"

    def _client_of(self, scope: str) -> Any:
        self._pipeline = self._pipeline or {}
        if scope not in self._pipeline:
            from azure.core import PipelineClient
            from azure.core.pipeline.policies import BearerTokenCredentialPolicy, RequestIdPolicy, RetryPolicy

            policies = [
                _replayed(),
                RequestIdPolicy(),
                RetryPolicy(**RETRIES),
                BearerTokenCredentialPolicy(self.credential, scope),
            ]
            self._pipeline[scope] = PipelineClient(ARM, policies=policies, connection_timeout=30, read_timeout=60)
        return self._pipeline[scope]


def busy_wait(error: BaseException, attempt: int) -> float | None:
    """Seconds to wait before a blob is asked for again; None when it is not. Its SDK retries 5xx, and no 409 or 429."""
    if status_of(error) not in (409, 429) or attempt >= RETRIES["retry_total"]:
        return None
    answer = getattr(error, "response", None)
    said = str((getattr(answer, "headers", None) or {}).get("Retry-After", ""))
    return min(float(said), 60.0) if said.isdigit() else RETRIES["retry_backoff_factor"] * 2**attempt


def _replayed() -> Any:
    """A policy by which a POST too is made again when its answer was lost: made twice, ours do no harm."""
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class Replayed(SansIOHTTPPolicy):  # type: ignore[misc]  # azure ships no types that we follow
        def on_request(self, request: Any) -> None:
            request.context.options.setdefault("retry_on_methods", METHODS)

    return Replayed()


@contextlib.contextmanager
def quiet(lines: io.TextIOBase | None = None) -> Iterator[None]:
    """What is printed inside goes to `lines`, or nowhere; what is logged or warned goes nowhere."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(lines or io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)
            for name in _NOISY:  # the SDK gives its logger a level and a stream of its own when it is imported
                logging.getLogger(name).setLevel(logging.CRITICAL + 1)
