"""One client of an endpoint's /score: a key that stays in memory, a deployment pinned by header, who served as it says.

Not the SDK's `invoke`: it pins every later call of the process to the deployment that one call named.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

from gates.backends.azureml.calls import scrub
from gates.errors import Unavailable
from gates.serving import Answer

if TYPE_CHECKING:
    from gates.backends.azureml.client import Workspace

SERVED_BY = "azureml-model-deployment"
PINNED = "gates-pinned-"
"""How our pinned requests call themselves in `x-ms-client-request-id`, so that the traffic log can tell them apart."""
_DATA_SCOPE = "https://ml.azure.com/.default"


class Client:
    """Asks one endpoint. The key or token is fetched on first use, and again after a 401."""

    def __init__(self, workspace: Workspace, name: str) -> None:
        self._workspace, self._name = workspace, name
        self._session: Any = None
        self._key = ""

    def ask(self, url: str, auth: str, body: bytes, *, deployment: str | None, timeout: float) -> Answer:
        """One POST. status 0 where nothing answered within `timeout` seconds. `auth`: the endpoint's authMode."""
        answer = self._post(url, auth, body, deployment, timeout)
        if answer.status == 401:
            self._key = ""
            answer = self._post(url, auth, body, deployment, timeout)
        return answer

    def _post(self, url: str, auth: str, body: bytes, deployment: str | None, timeout: float) -> Answer:
        import requests

        if self._session is None:
            self._session = requests.Session()
        headers = self.headers(auth, deployment)
        begun = time.perf_counter()
        try:
            answer = self._session.post(url, data=body, headers=headers, timeout=timeout, allow_redirects=False)
        except (requests.RequestException, OSError) as error:
            return Answer(0, "", time.perf_counter() - begun, scrub(str(error)).encode())
        return Answer(
            answer.status_code, answer.headers.get(SERVED_BY, ""), time.perf_counter() - begun, answer.content
        )

    def headers(self, auth: str, deployment: str | None) -> dict[str, str]:
        """Of one request, the key among them; a pinned one calls itself ours."""
        headers = {"Authorization": f"Bearer {self._secret(auth)}", "Content-Type": "application/json"}
        if deployment is not None:
            headers |= {SERVED_BY: deployment, "x-ms-client-request-id": f"{PINNED}{uuid.uuid4()}"}
        return headers

    def _secret(self, auth: str) -> str:
        if not self._key:
            place = f"onlineEndpoints/{self._name}"
            mode = auth.lower()
            if mode == "key":
                self._key = str(self._workspace.post(f"{place}/listKeys").get("primaryKey") or "")
            elif mode == "amltoken":
                self._key = str(self._workspace.post(f"{place}/token").get("accessToken") or "")
            else:
                self._key = self._workspace.token(_DATA_SCOPE)
        if not self._key:
            raise Unavailable(
                f"endpoint {self._name} gives no key", hint="the identity needs the right to list its keys"
            )
        return self._key
