"""Who hands out tokens: Microsoft Entra, GitHub's and Azure DevOps' issuers of assertions, the metadata service.

A token is a real JWT in shape, unsigned in substance: it names tenant, client, audience, the way it was got by
(`way`), and when it ends. What the issuers gave is kept in `tokens.jsonl`, so that tests can look for it elsewhere.
"""

from __future__ import annotations

import base64
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

from azureml_emulator import wire

if TYPE_CHECKING:
    from azureml_emulator.server import Log

TENANT = "11111111-1111-1111-1111-111111111111"
CLIENT = "22222222-2222-2222-2222-222222222222"
SECRET = "planted~client~secret~Zq8"
REQUEST_TOKEN = "planted-request-token-Zq8"
LOGIN = "login.microsoftonline.com"
GITHUB = "pipelines.actions.githubusercontent.com"
DEVOPS = "dev.azure.com"
IMDS = "169.254.169.254"
CONNECTION = "33333333-3333-3333-3333-333333333333"
SECONDS = 3600


def jwt(claims: dict[str, Any]) -> str:
    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    unsigned = f"{part({'alg': 'RS256', 'typ': 'JWT', 'kid': 'loopback'})}.{part(claims)}"
    return f"{unsigned}.{secrets.token_urlsafe(32)}"


def claims(token: str) -> dict[str, Any]:
    """What a token of ours says; nothing for any other text."""
    try:
        middle = token.split(".")[1]
        found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4)))
    except (IndexError, ValueError):
        return {}
    return found


class Tokens:
    """`given` logs each token; `scopes_refused` may be set by a plan of the test (see `refused.json`)."""

    def __init__(self, given: Log) -> None:
        self._given = given

    def entra(self, request: wire.Request) -> wire.Answer:
        """login.microsoftonline.com"""
        if request.path.endswith("/.well-known/openid-configuration"):
            base = f"https://{LOGIN}/{request.path.strip('/').split('/')[0]}"
            return wire.Answer(200, {
                "token_endpoint": f"{base}/oauth2/v2.0/token", "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            })  # fmt: skip
        if request.path.endswith("/discovery/instance"):
            return wire.Answer(200, {
                "tenant_discovery_endpoint": f"https://{LOGIN}/{TENANT}/v2.0/.well-known/openid-configuration",
                "metadata": [{"preferred_network": LOGIN, "preferred_cache": LOGIN, "aliases": [LOGIN]}],
            })  # fmt: skip
        if request.path.endswith("/oauth2/v2.0/token"):
            return self._exchange(request.path.strip("/").split("/")[0], request.form())
        return wire.error(404, "NotFound", request.path)

    def _exchange(self, tenant: str, form: dict[str, str]) -> wire.Answer:
        if tenant != TENANT:
            return _refuse(400, "invalid_request", f"AADSTS90002: Tenant '{tenant}' not found.")
        if form.get("client_id") != CLIENT:
            return _refuse(400, "unauthorized_client", "AADSTS700016: Application was not found in the directory.")
        assertion = claims(form.get("client_assertion", ""))
        way = "secret" if "client_secret" in form else str(assertion.get("way", "certificate"))
        if way == "secret" and form["client_secret"] != SECRET:
            return _refuse(401, "invalid_client", "AADSTS7000215: Invalid client secret provided.")
        if way != "secret" and assertion.get("aud") != "api://AzureADTokenExchange":
            return _refuse(401, "invalid_client", "AADSTS700212: No matching federated identity record found.")
        if way != "secret" and float(assertion.get("exp", 0)) < time.time():
            return _refuse(401, "invalid_client", "AADSTS700024: Client assertion is not within its valid time range.")
        audience = form.get("scope", "").removesuffix("/.default")
        return wire.Answer(200, {
            "token_type": "Bearer", "expires_in": SECONDS, "ext_expires_in": SECONDS,
            "access_token": self.access(audience, way),
        })  # fmt: skip

    def access(self, audience: str, way: str, seconds: float = SECONDS) -> str:
        now = int(time.time())
        token = jwt({
            "aud": audience, "iss": f"https://sts.windows.net/{TENANT}/", "iat": now, "nbf": now,
            "exp": int(now + seconds), "tid": TENANT, "appid": CLIENT, "oid": CLIENT, "way": way,
        })  # fmt: skip
        self._given(kind="access", way=way, audience=audience, token=token)
        return token

    def assertion(self, way: str, subject: str, audience: str, seconds: float = 300) -> str:
        now = int(time.time())
        token = jwt({"aud": audience, "sub": subject, "iat": now, "exp": int(now + seconds), "way": way})
        self._given(kind="assertion", way=way, audience=audience, token=token)
        return token

    def github(self, request: wire.Request) -> wire.Answer:
        """The issuer behind ACTIONS_ID_TOKEN_REQUEST_URL."""
        if request.bearer != REQUEST_TOKEN:
            return wire.Answer(401, {"message": "Unauthorized"})
        audience = request.query.get("audience", "https://github.com/octo")
        return wire.Answer(200, {"value": self.assertion("github", "repo:octo/risk:ref:refs/heads/main", audience)})

    def devops(self, request: wire.Request) -> wire.Answer:
        """The issuer behind SYSTEM_OIDCREQUESTURI."""
        if request.bearer != REQUEST_TOKEN:
            return wire.Answer(401, {"message": "Unauthorized"})
        if request.query.get("serviceConnectionId") != CONNECTION:
            return wire.Answer(404, {"message": "no such service connection"})
        subject = "sc://octo/risk/azure"
        return wire.Answer(200, {"oidcToken": self.assertion("devops", subject, "api://AzureADTokenExchange")})

    def metadata(self, request: wire.Request) -> wire.Answer:
        """169.254.169.254"""
        if request.headers.get("metadata", "").lower() != "true":
            return wire.Answer(400, {"error": "invalid_request", "error_description": "Required metadata header"})
        wanted = request.query.get("client_id")
        if wanted not in (None, CLIENT):
            return wire.Answer(400, {"error": "invalid_request", "error_description": "Identity not found"})
        resource = request.query.get("resource", "")
        return wire.Answer(200, {
            "access_token": self.access(resource, "managed"), "expires_in": str(SECONDS), "resource": resource,
            "expires_on": str(int(time.time()) + SECONDS), "token_type": "Bearer", "client_id": CLIENT,
        })  # fmt: skip


def _refuse(status: int, code: str, text: str) -> wire.Answer:
    return wire.Answer(status, {"error": code, "error_description": text, "error_codes": [0]})


def require(request: wire.Request) -> dict[str, Any]:
    """The claims of the bearer token of a request to Azure. 401 without one that holds."""
    found = claims(request.bearer)
    if not found:
        raise wire.Fault(401, "AuthenticationFailed", "Authentication failed.")
    if float(found.get("exp", 0)) < time.time():
        raise wire.Fault(401, "ExpiredAuthenticationToken", "The access token has expired.")
    return found
