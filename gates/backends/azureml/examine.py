"""What `gates doctor` finds out about a workspace: how we sign in, as whom, what is there, and which right is missing.

Each thing is looked at even where another failed, unless it cannot be. Nothing is written: the storage is only listed.
No token is shown; who it is for and until when, is.
"""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from gates.backends.azureml import credentials, rights
from gates.backends.azureml.client import Workspace
from gates.backends.azureml.storage import ROOT, Storage
from gates.backends.examined import Finding, packages
from gates.errors import GatesError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PACKAGES = ("azure-ai-ml", "azure-identity")


def examine(named: Any, env: Mapping[str, str], kind: str = "") -> Iterator[Finding]:
    """Findings, in the order in which things depend on one another. `named`: the key `workspace` of mlops.yml."""
    yield from packages(PACKAGES, "azure")
    yield from _ways(env, kind)
    credential, chosen = _tried("sign-in", lambda: credentials.prepare(env, kind))
    if credential is None:
        yield chosen
        return
    signed_in = True
    for scope in credentials.SCOPES:
        finding = _token(credential, scope)
        signed_in = signed_in and finding.ok is True
        yield finding
    if credential.told:
        said = ", ".join(f"{name} {credential.told[key]}" for name, key in _ASSERTED if key in credential.told)
        yield Finding("assertion", None, said)
    if named is None:
        missing = InvalidInput("nothing says which workspace", hint="add the key workspace to mlops.yml")
        yield Finding("workspace", False, missing.what, missing.hint)
        return
    if signed_in:
        workspace = Workspace(
            subscription=named.subscription_id, group=named.resource_group, name=named.name,
            open_credential=lambda: (credential, credential.kind),
        )  # fmt: skip
        yield from _workspace(workspace)


_ASSERTED = (("issuer", "iss"), ("subject", "sub"), ("audience", "aud"))


def _ways(env: Mapping[str, str], kind: str) -> Iterator[Finding]:
    try:
        chosen = credentials.choose(env, kind)
    except InvalidInput:
        chosen = ""
    for way in credentials.ways(env):
        if way.kind == chosen:
            yield Finding(f"credential {way.kind}", True, "complete, and chosen")
        elif way.complete:
            yield Finding(f"credential {way.kind}", None, "complete, not chosen")
        elif way.meant:
            yield Finding(f"credential {way.kind}", None, f"needs {', '.join(way.missing)}")
        else:
            yield Finding(f"credential {way.kind}", None, "only when asked for" if not way.missing else "not set up")


def _token(credential: credentials.Credential, scope: str) -> Finding:
    what = f"token for {scope.removesuffix('/.default')}"
    token, failed = _tried(what, lambda: credential.get_token(scope))
    if token is None:
        return failed
    claims = credentials.claims_of(token.token)
    until = datetime.fromtimestamp(token.expires_on, timezone.utc).strftime("%H:%M UTC")
    who = claims.get("appid") or claims.get("azp") or claims.get("upn") or claims.get("oid") or "unknown"
    return Finding(what, True, f"as {who} of tenant {claims.get('tid', 'unknown')}, until {until}")


def _workspace(workspace: Workspace) -> Iterator[Finding]:
    shown = f"workspace {workspace.name}"
    about, failed = _tried(shown, workspace.about)
    yield failed if about is None else Finding(shown, True, f"there, in {about.get('location') or 'an unknown region'}")
    scope = f"{workspace.id}/providers/Microsoft.Authorization/permissions"
    found, failed = _tried("rights", lambda: list(workspace.each(scope, version="2022-04-01")))
    if found is None:
        yield failed
    else:
        yield from _rights(found)
    if about is not None:
        names, failed = _tried("storage", lambda: Storage(workspace).below(f"{ROOT}/doctor"))
        yield failed if names is None else Finding("storage", True, "the default datastore can be read")


def _rights(found: list[dict[str, Any]]) -> Iterator[Finding]:
    lacking = rights.missing(found)
    for command in rights.NEEDED:
        if command in lacking:
            hint = f"assign the role '{rights.ROLE}' on the workspace, or one with these actions"
            yield Finding(f"rights for {command}", False, f"missing: {', '.join(lacking[command])}", hint)
        else:
            yield Finding(f"rights for {command}", True, "all there")


def _tried(what: str, act: Callable[[], Any]) -> tuple[Any, Finding]:
    """What `act` gave; else None and the finding that says why."""
    try:
        return act(), Finding(what, True, "")
    except GatesError as error:
        return None, Finding(what, False, error.what, error.hint)
