"""Where traffic goes, and the pointer to the journal that stands in the endpoint's tags beside it.

Traffic and pointer are one write, so that whoever finds the endpoint knows who moved it and what was before. Each tag
is below 256 characters. Values only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gates.rollout.port import EndpointView

TAG = "gates."
LIMIT = 255


@dataclass(frozen=True)
class Routing:
    """traffic, mirror: whole percents by deployment; zeros are left out."""

    traffic: Mapping[str, int] = field(default_factory=dict)
    mirror: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("traffic", "mirror"):
            object.__setattr__(self, name, {k: int(v) for k, v in sorted(getattr(self, name).items()) if v})

    def to_json(self) -> dict[str, Any]:
        return {"traffic": dict(self.traffic), "mirror": dict(self.mirror)}

    def say(self) -> str:
        mirrored = "".join(f", mirrored to {name} {share} %" for name, share in self.mirror.items())
        return (", ".join(f"{name} {share} %" for name, share in self.traffic.items()) or "no traffic") + mirrored


def routing_of(view: EndpointView) -> Routing:
    return Routing(view.traffic, view.mirror)


def parse_routing(raw: Mapping[str, Any]) -> Routing:
    return Routing(raw.get("traffic", {}), raw.get("mirror", {}))


def split(before: Mapping[str, int], green: str, percent: int) -> dict[str, int]:
    """`percent` to green, the rest to the others in their present proportion; whole percents that sum to 100.

    Rounding is by largest remainder, ties by name, so that the same input gives the same split.
    """
    others = {name: share for name, share in sorted(before.items()) if share and name != green}
    if not others or percent == 100:
        return {green: 100}
    rest, total = 100 - percent, sum(others.values())
    exact = {name: share * rest / total for name, share in others.items()}
    whole = {name: int(share) for name, share in exact.items()}
    for name in sorted(exact, key=lambda n: (whole[n] - exact[n], n))[: rest - sum(whole.values())]:
        whole[name] += 1
    return {name: share for name, share in {green: percent, **whole}.items() if share}


@dataclass(frozen=True)
class Pointer:
    """What the tags say about the last deployment. prev: the traffic to restore, None when the tag could not hold it.

    champion_prev, champion_next: the alias before and after; '' is none. seq: the journal's record of this write.
    """

    id: str
    state: str
    seq: int
    epoch: int
    owner: str
    lease: float
    prev: Routing | None
    spec: str
    green: str
    champion_prev: str
    champion_next: str

    def tags(self) -> dict[str, str]:
        """Tags for `Endpoint.write`. What would not fit is '?': then only the journal knows."""
        raw = {
            "deploy_id": self.id, "state": self.state, "seq": str(self.seq), "epoch": str(self.epoch),
            "owner": self.owner, "lease": str(int(self.lease)), "spec": self.spec, "green": self.green,
            "prev": "?" if self.prev is None else _pack(self.prev),
            "champion_prev": self.champion_prev, "champion_next": self.champion_next,
        }  # fmt: skip
        return {TAG + key: value if len(value) <= LIMIT else "?" for key, value in raw.items()}


def pointer_of(tags: Mapping[str, str]) -> Pointer | None:
    """The pointer in an endpoint's tags; None when there is none. Raises ValueError when it cannot be read."""
    if TAG + "deploy_id" not in tags:
        return None
    get = {key.removeprefix(TAG): value for key, value in tags.items() if key.startswith(TAG)}
    try:
        return Pointer(
            id=get["deploy_id"], state=get["state"], seq=int(get["seq"]), epoch=int(get["epoch"]), owner=get["owner"],
            lease=float(get["lease"]), prev=None if get["prev"] == "?" else _unpack(get["prev"]), spec=get["spec"],
            green=get["green"], champion_prev=get["champion_prev"], champion_next=get["champion_next"],
        )  # fmt: skip
    except KeyError as error:
        raise ValueError(f"the tag {TAG}{error.args[0]} is missing") from error


def _pack(routing: Routing) -> str:
    live = [f"{name}={share}" for name, share in routing.traffic.items()]
    return " ".join([*live, *(f"mirror:{name}={share}" for name, share in routing.mirror.items())])


def _unpack(text: str) -> Routing:
    traffic: dict[str, int] = {}
    mirror: dict[str, int] = {}
    for part in text.split():
        name, _, share = part.rpartition("=")
        into = mirror if name.startswith("mirror:") else traffic
        into[name.removeprefix("mirror:")] = int(share)
    return Routing(traffic, mirror)
