"""What an endpoint remembers, and the rules by which it changes: values in, values out.

The supervisor applies one function after another and saves the result before it answers, so a state on disk is always
one that a client may have been told of. Rules are Azure's for a managed online endpoint: traffic sums to 100, or to 0
before the first deployment; the mirror is at most 50 and has one target, which carries no live traffic; a deployment
with traffic is not deleted; only a ready one gets any. Every mutation carries the fencing epoch, and one lower than the
highest seen is refused, as is a lease that somebody else holds.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from gates.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z](?:[A-Za-z0-9-]{1,30}[A-Za-z0-9])")
_TAG_LIMIT = 256


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A deployment as it was asked for. `body`: the user's deployment YAML with absolute paths; `score`: how an MLflow
    model is asked (auto, predict, predict_proba)."""

    name: str
    spec_digest: str
    model: str
    model_digest: str
    body: dict[str, Any] = {}
    score: str = "auto"


class LeaseRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who may write, until when (wall seconds), under which epoch."""

    owner: str
    epoch: int
    expires: float


class State(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that survives the supervisor. `epoch`: the highest seen; `port`: the router's, kept when it can be."""

    name: str
    created: bool = False
    port: int = 0
    epoch: int = 0
    traffic: dict[str, int] = {}
    mirror: dict[str, int] = {}
    tags: dict[str, str] = {}
    deployments: dict[str, Spec] = {}
    lease: LeaseRecord | None = None


def fence(state: State, epoch: int) -> State:
    """The state with `epoch` seen. Raises Conflict when a later one was."""
    if epoch < state.epoch:
        raise Conflict(
            f"epoch {epoch} was fenced off: endpoint {state.name} has seen {state.epoch}",
            hint="somebody took the endpoint over; observe it before writing again",
        )
    return msgspec.structs.replace(state, epoch=epoch)


def create_endpoint(state: State, tags: Mapping[str, str], *, epoch: int) -> State:
    """Make the endpoint exist; one that exists stays as it is."""
    state = fence(state, epoch)
    return state if state.created else msgspec.structs.replace(state, created=True, tags={**tags, **state.tags})


def create(state: State, spec: Spec, *, epoch: int) -> State:
    """Add a deployment without traffic. The same again has no effect; another spec under that name: Conflict."""
    state = fence(state, epoch)
    if not state.created:
        raise Conflict(f"endpoint {state.name} does not exist", hint="create the endpoint first")
    there = state.deployments.get(spec.name)
    if there is not None:
        if there.spec_digest == spec.spec_digest:
            return state
        raise Conflict(
            f"deployment {spec.name} exists with spec {there.spec_digest[:12]}, not {spec.spec_digest[:12]}",
            hint="delete it first, or choose another name",
        )
    if _NAME.fullmatch(spec.name) is None:
        raise InvalidInput(
            f"deployment name {spec.name!r} is not allowed", hint="3 to 32 letters, digits and -, a letter first"
        )
    return msgspec.structs.replace(state, deployments={**state.deployments, spec.name: spec})


def write(
    state: State,
    *,
    traffic: Mapping[str, int],
    mirror: Mapping[str, int],
    tags: Mapping[str, str],
    epoch: int,
    ready: frozenset[str],
) -> State:
    """Set traffic, mirror and the tags given; other tags are kept. `ready`: who may get more traffic than it has."""
    state = fence(state, epoch)
    traffic = {name: share for name, share in traffic.items() if share != 0}
    mirror = {name: share for name, share in mirror.items() if share != 0}
    check_shares(traffic, mirror, first=not state.traffic)
    for name in (*traffic, *mirror):
        if name not in state.deployments:
            raise InvalidInput(
                f"endpoint {state.name} has no deployment {name}", hint="create it before it gets traffic"
            )
        gains = traffic.get(name, 0) > state.traffic.get(name, 0) or mirror.get(name, 0) > state.mirror.get(name, 0)
        if gains and name not in ready:
            raise Conflict(f"deployment {name} is not ready, so it gets no traffic", hint="wait until it is ready")
    for key, value in tags.items():
        if len(key) > _TAG_LIMIT or len(value) > _TAG_LIMIT:
            raise InvalidInput(f"tag {key[:40]} is longer than {_TAG_LIMIT} characters", hint="shorten it")
    return msgspec.structs.replace(state, traffic=traffic, mirror=mirror, tags={**state.tags, **tags})


def check_shares(traffic: Mapping[str, int], mirror: Mapping[str, int], *, first: bool) -> None:
    """Raise InvalidInput where the shares break a rule of the service. `first`: nothing had traffic before."""
    for name, share in (*traffic.items(), *mirror.items()):
        if type(share) is not int or not 0 <= share <= 100:
            raise InvalidInput(f"share of {name} is {share!r}", hint="write a whole number from 0 to 100")
    total = sum(traffic.values())
    if total != 100 and not (total == 0 and first):
        raise InvalidInput(f"traffic sums to {total}", hint="write whole percents that sum to 100")
    if len(mirror) > 1:
        raise InvalidInput(f"mirror has {len(mirror)} targets", hint="mirror to one deployment")
    for name, share in mirror.items():
        if share > 50:
            raise InvalidInput(f"mirror to {name} is {share}", hint="write at most 50")
        if name in traffic:
            raise InvalidInput(f"{name} has live traffic and the mirror", hint="give a deployment one of them")


def delete(state: State, name: str, *, epoch: int) -> State:
    """Forget a deployment. Conflict while it has live or mirrored traffic; what is gone stays gone."""
    state = fence(state, epoch)
    if state.traffic.get(name, 0) or state.mirror.get(name, 0):
        raise Conflict(f"deployment {name} has traffic", hint="send its traffic elsewhere before deleting it")
    return msgspec.structs.replace(state, deployments={k: v for k, v in state.deployments.items() if k != name})


def acquire(state: State, owner: str, *, seconds: float, now: float) -> State:
    """Take or renew the lease at `now` (wall seconds). Another live owner: Conflict.

    An owner's renewal keeps its epoch, even when it comes late, while nobody else took the lease; a free or expired one
    is taken with a higher epoch, so that whoever held it before is fenced off.
    """
    held = state.lease
    if held is not None and held.owner != owner and held.expires > now:
        raise Conflict(
            f"endpoint {state.name} is held by {held.owner} for another {held.expires - now:.0f} s",
            hint="wait for that deployment, or run gates reconcile once its lease has expired",
        )
    epoch = held.epoch if held is not None and held.owner == owner else state.epoch + 1
    return msgspec.structs.replace(state, epoch=max(epoch, state.epoch), lease=LeaseRecord(owner, epoch, now + seconds))


def release(state: State, owner: str, epoch: int) -> State:
    """Give the lease back; one that is not held by `owner` under `epoch` any more is left alone."""
    held = state.lease
    ours = held is not None and held.owner == owner and held.epoch == epoch
    return msgspec.structs.replace(state, lease=None) if ours else state


def load(path: Path, name: str) -> State:
    """The state on disk, or a new one. A file that cannot be read is an error, never a fresh start."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return State(name=name)
    try:
        state = msgspec.json.decode(raw, type=State)
    except msgspec.DecodeError as error:
        raise InvalidInput(
            f"state of the endpoint is damaged: {error}", hint="restore or remove it", file=path
        ) from error
    if state.name != name:
        raise InvalidInput(f"state belongs to endpoint {state.name}, not {name}", hint="restore it", file=path)
    return state


def dump(state: State) -> bytes:
    return msgspec.json.format(msgspec.json.encode(state, order="deterministic"), indent=1) + b"\n"
