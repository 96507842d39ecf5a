"""What a rollout saw, as one file: counts and series of both sides, so that its verdict can be made again."""

from __future__ import annotations

from typing import Any

import msgspec

from gates.checks.rate_ratio import Window
from gates.errors import InvalidInput
from gates.evidence import Counted, Evidence


class Live(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Evidence of one stage of a rollout. Series are in the unit of their signal, in order of time.

    mirroring: only copies reached the new deployment. windows: by signal, (bad, n) of the candidate and (bad, n) of the
    champion at one split of the traffic each. accuracy: the gated one, where labels come during the rollout.
    """

    final: bool
    champion_absent: bool
    mirroring: bool = False
    accuracy: float | None = None
    counts: dict[str, tuple[int, int]] = {}
    champion_counts: dict[str, tuple[int, int]] = {}
    samples: dict[str, list[float]] = {}
    champion_samples: dict[str, list[float]] = {}
    windows: dict[str, list[tuple[int, int, int, int]]] = {}


def dump(evidence: Evidence) -> bytes:
    """The file. The same evidence gives the same bytes."""
    windows = evidence.facts.get("windows") or {}
    return msgspec.json.encode(
        Live(
            final=evidence.final,
            champion_absent=evidence.champion_absent,
            mirroring=bool(evidence.facts.get("mirroring")),
            accuracy=evidence.facts.get("accuracy"),
            counts={name: (seen.bad, seen.n) for name, seen in evidence.counts.items()},
            champion_counts={name: (seen.bad, seen.n) for name, seen in evidence.champion_counts.items()},
            samples={name: values.tolist() for name, values in evidence.samples.items()},
            champion_samples={name: values.tolist() for name, values in evidence.champion_samples.items()},
            windows={
                name: [(w.candidate.bad, w.candidate.n, w.champion.bad, w.champion.n) for w in some]
                for name, some in windows.items()
            },
        ),
        order="deterministic",
    )


def load(raw: bytes) -> Evidence:
    """The evidence again. Raises InvalidInput for what is no such file."""
    import numpy as np

    try:
        live = msgspec.json.decode(raw, type=Live)
    except msgspec.DecodeError as error:
        raise InvalidInput(f"not the evidence of a rollout: {error}", hint="restore the report's folder") from error
    windows = {
        name: tuple(Window(Counted(a, n), Counted(b, m)) for a, n, b, m in some) for name, some in live.windows.items()
    }
    facts: dict[str, Any] = {"windows": windows, "mirroring": live.mirroring, "accuracy": live.accuracy}
    return Evidence(
        final=live.final,
        champion_absent=live.champion_absent,
        counts={name: Counted(*seen) for name, seen in live.counts.items()},
        champion_counts={name: Counted(*seen) for name, seen in live.champion_counts.items()},
        samples={name: np.asarray(values, dtype=np.float64) for name, values in live.samples.items()},
        champion_samples={name: np.asarray(values, dtype=np.float64) for name, values in live.champion_samples.items()},
        facts={name: fact for name, fact in facts.items() if fact},
    )
