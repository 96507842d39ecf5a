"""Azure's ways to say no, as errors of ours: one line, with what to do. Decided on status and code, never on wording.

What a message of the service says is shown, cut and without signatures or tokens, and never looked at.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from gates.errors import Conflict, GatesError, InvalidInput, Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 400
_SECRETS = (
    (
        re.compile(r"(?i)\b(sig|accountkey|sharedaccesskey|client_secret|client_assertion|access_token)=[^&\s\"';]+"),
        r"\1=…",
    ),
    (re.compile(r"(?i)\b(bearer|sharedkey) [A-Za-z0-9._~+/=:-]+"), r"\1 …"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9._-]+"), "…"),
)
_MORE_QUOTA = "ask for more quota of this instance_type in the region, or choose a smaller one or fewer instances"
_NO_MACHINE = "the region has no such machine free now: choose another instance_type, or try again later"
_QUOTA = {
    "OutOfQuota": _MORE_QUOTA,
    "QuotaExceeded": _MORE_QUOTA,
    "OperationNotAllowed": _MORE_QUOTA,
    "OutOfCapacity": _NO_MACHINE,
    "NotEnoughCapacity": _NO_MACHINE,
    "SkuNotAvailable": "choose an instance_type that the region offers",
}
"""Codes of quota and capacity, in the answer or nested in it."""
_RIGHTS = "the identity lacks a right: `gates doctor` names it; see docs/how-to/azureml.md for the roles"
_ODD = "`gates doctor` says what can be reached and what right is missing; a proxy may answer in Azure's place"
_LOGIN = "`gates doctor` says which credential was chosen and what it lacks"


@contextmanager
def explained(what: str, *, changes: bool = True) -> Iterator[None]:
    """Errors of the SDK inside become ours, with `what` was being done. Ours pass.

    changes: whether it would change something; what only asks is Unavailable where it is busy, never a Conflict.
    """
    try:
        yield
    except GatesError:
        raise
    except Exception as error:
        known = explain(what, error)
        if known is None:
            raise
        if isinstance(known, Conflict) and not changes:
            known = Unavailable(known.what, hint=known.hint)
        raise known from error


def explain(what: str, error: BaseException) -> GatesError | None:
    """The error of ours for one of the SDK, its transport or the identity library; None for any other."""
    status = status_of(error)
    said = message_of(error)
    names = {kind.__name__ for kind in type(error).__mro__}
    if "ClientAuthenticationError" in names or status == 401:
        return Unavailable(f"{what}: Azure did not accept the credential: {said}", hint=_LOGIN)
    if status is not None:
        return _by_status(what, status, codes_of(error), said)
    if names & {"ServiceRequestError", "ServiceResponseError", "HttpRequestError", "RequestException", "HTTPError"}:
        return Unavailable(f"{what}: Azure cannot be reached: {said}", hint="check the network and the proxy")
    if names & {"MlException", "ValidationException", "ValidationError", "SchemaValidationError"}:
        if "USER" in str(getattr(error, "error_category", "USER")).upper():
            return InvalidInput(f"{what}: {said}", hint="mend the file or the input that it names")
        return Unavailable(f"{what}: {said}")
    if isinstance(error, (OSError, EOFError)) or type(error).__module__.startswith(
        ("azure.", "msrest.", "requests.", "urllib3.")
    ):
        return Unavailable(f"{what}: {said}")
    if _inside_sdk(error):
        shown = f"{type(error).__name__}: {said}"
        return Unavailable(f"{what}: the Azure SDK cannot read what Azure answered ({shown})", hint=_ODD)
    return None


def _inside_sdk(error: BaseException) -> bool:
    """Whether it comes from the SDK's own code: answers of another form end there in a bare KeyError."""
    modules, link = [], error.__traceback__
    while link is not None:
        modules.append(str(link.tb_frame.f_globals.get("__name__", "")))
        link = link.tb_next
    ours = max((number for number, name in enumerate(modules) if name.partition(".")[0] == "gates"), default=-1)
    return "".join(modules[ours + 1 : ours + 2]).startswith(("azure.", "msrest."))


def _by_status(what: str, status: int, codes: tuple[str, ...], said: str) -> GatesError:
    quota = next((code for code in codes if code in _QUOTA), "")
    if quota:
        return InvalidInput(f"{what}: {quota}: {said}", hint=_QUOTA[quota])
    if status == 403:
        return Unavailable(f"{what}: not allowed ({codes[0] if codes else status}): {said}", hint=_RIGHTS)
    if status in (409, 412):
        return Conflict(f"{what}: {said}", hint="somebody else is changing it; try again when that is done")
    if status == 404:
        return Unavailable(f"{what}: not found: {said}", hint="check the workspace's keys in mlops.yml and the name")
    if status in (400, 413, 422):
        return InvalidInput(f"{what}: Azure refused it: {said}", hint="mend the file or the input that it names")
    return Unavailable(f"{what}: Azure answered {status}: {said}", hint="try again")


def status_of(error: BaseException) -> int | None:
    """The HTTP status behind an error, the SDK's wrappers included; None where there was no answer."""
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen:
        seen.append(link)
        status = getattr(link, "status_code", None)
        if isinstance(status, int):
            return status
        inner = getattr(link, "inner_error", None) or getattr(link, "inner_exception", None)
        link = inner if isinstance(inner, BaseException) else link.__cause__
    return None


def codes_of(error: BaseException) -> tuple[str, ...]:
    """Every error code in Azure's answer, the outermost first."""
    found: list[str] = []
    _walk(getattr(error, "error", None) or getattr(error, "model", None), found)
    code = getattr(error, "error_code", None)
    if code:
        found.append(str(getattr(code, "value", code)))
    return tuple(dict.fromkeys(found))


def _walk(node: Any, found: list[str]) -> None:
    if node is None or len(found) > 50:
        return
    if isinstance(node, dict):
        code, inner, details = node.get("code"), node.get("innererror") or node.get("innerError"), node.get("details")
    else:
        code, inner = getattr(node, "code", None), getattr(node, "innererror", None)
        details = getattr(node, "details", None)
    if isinstance(code, str):
        found.append(code)
    _walk(inner, found)
    for one in details if isinstance(details, (list, tuple)) else ():
        _walk(one, found)


def is_absent(error: BaseException) -> bool:
    return status_of(error) == 404


def message_of(error: BaseException) -> str:
    """One line of what was said, cut, without secrets."""
    node = getattr(error, "error", None)
    text = str(getattr(node, "message", "") or "") or str(error) or type(error).__name__
    return scrub(" ".join(text.split()))[:LIMIT]


def scrub(text: str) -> str:
    """`text` without signatures, keys and tokens."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text
