"""What an identity must be allowed to do in a workspace, and what of that it is not.

Azure says what a caller may do as a list of roles, each with the actions that it allows and those that it takes out
again; an action is allowed when one role allows it and does not take it out. The role 'AzureML Data Scientist' allows
all that stands here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

PROVIDER = "Microsoft.MachineLearningServices"
ROLE = "AzureML Data Scientist"
_WORKSPACE = f"{PROVIDER}/workspaces"
NEEDED: dict[str, tuple[str, ...]] = {
    "every command": (
        f"{_WORKSPACE}/read", f"{_WORKSPACE}/datastores/read", f"{_WORKSPACE}/datastores/listsecrets/action",
    ),
    "train": (
        f"{_WORKSPACE}/jobs/read", f"{_WORKSPACE}/jobs/write", f"{_WORKSPACE}/jobs/cancel/action",
        f"{_WORKSPACE}/codes/versions/read", f"{_WORKSPACE}/codes/versions/write",
        f"{_WORKSPACE}/codes/versions/startPendingUpload/action", f"{_WORKSPACE}/environments/versions/read",
        f"{_WORKSPACE}/environments/versions/write", f"{_WORKSPACE}/components/versions/read",
        f"{_WORKSPACE}/components/versions/write", f"{_WORKSPACE}/computes/read",
    ),
    "register": (
        f"{_WORKSPACE}/models/read", f"{_WORKSPACE}/models/versions/read", f"{_WORKSPACE}/models/versions/write",
        f"{_WORKSPACE}/models/write",
    ),
    "drift-check": (f"{_WORKSPACE}/data/read", f"{_WORKSPACE}/data/versions/read"),
    "deploy-blue-green": (
        f"{_WORKSPACE}/onlineEndpoints/read", f"{_WORKSPACE}/onlineEndpoints/write",
        f"{_WORKSPACE}/onlineEndpoints/listKeys/action", f"{_WORKSPACE}/onlineEndpoints/deployments/read",
        f"{_WORKSPACE}/onlineEndpoints/deployments/write", f"{_WORKSPACE}/onlineEndpoints/deployments/delete",
        f"{_WORKSPACE}/onlineEndpoints/deployments/getLogs/action",
    ),
}  # fmt: skip
"""Actions by the command that needs them. A gate on the workspace's compute is a job: it needs those of train."""


def missing(permissions: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """The actions that no role allows, by command; commands that lack nothing are left out.

    permissions: the `value` of `{scope}/providers/Microsoft.Authorization/permissions`.
    """
    roles = [(tuple(one.get("actions") or ()), tuple(one.get("notActions") or ())) for one in permissions]
    found = {
        command: tuple(action for action in actions if not any(_allows(action, *role) for role in roles))
        for command, actions in NEEDED.items()
    }
    return {command: actions for command, actions in found.items() if actions}


def _allows(action: str, allowed: tuple[str, ...], taken: tuple[str, ...]) -> bool:
    return any(_matches(one, action) for one in allowed) and not any(_matches(one, action) for one in taken)


def _matches(pattern: str, action: str) -> bool:
    """`*` stands for anything, slashes too; `workspaces/*/read` holds for `workspaces/read` as well."""
    expression = re.escape(pattern).replace(r"/\*/", "/(?:.*/)?").replace(r"\*", ".*")
    return re.fullmatch(expression, action, re.IGNORECASE) is not None
