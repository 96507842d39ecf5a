"""What every check is: a frozen value parsed from the policy that says what it needs and decides on evidence.

A check is a msgspec Struct, so that parsing, the JSON Schema and the frozen value are one declaration. It sees values
only (`evidence.Evidence`), never a file, a network or a clock. It returns a result and never raises for bad evidence:
what could not be computed is ERROR, and ERROR never passes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

from msgspec import Meta, Struct

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from gates.evidence import Evidence
    from gates.verdict import CheckResult

Severity = Literal["block", "warn"]
OnInconclusive = Literal["block", "warn"]
NeedKind = Literal[
    "predictions", "champion_predictions", "metric", "samples", "champion_samples", "counts", "champion_counts",
    "drift", "explanations", "environment", "table", "package", "findings", "approvals",
]  # fmt: skip


@dataclass(frozen=True)
class Need:
    """One thing that a check must have. `collect/` gathers exactly the union of the needs, once.

    name: the metric, signal or file meant; columns: slice, sensitive or contract columns that must be there; scores:
    probabilities are needed, not only labels; options: whatever the collector of this kind documents.
    """

    kind: NeedKind
    name: str = ""
    columns: tuple[str, ...] = ()
    scores: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What the policy's `defaults` and `champion` say to every check."""

    confidence: float = 0.95
    seed: int = 20240601
    champion_when_absent: Literal["bootstrap", "fail"] = "fail"


class Spec(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type"):
    """The keys that every check has. Data only: what a check does stands in its own file."""

    id: Annotated[str, Meta(description="Unique name of the check.", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
    severity: Annotated[Severity | None, Meta(description="block decides; warn is advisory. Default: defaults.")] = None
    on_inconclusive: Annotated[
        OnInconclusive | None, Meta(description="Whether undecided evidence blocks. Default: defaults.on_inconclusive.")
    ] = None
    description: Annotated[str, Meta(description="Why this check exists, for people.")] = ""


class Check(Protocol):
    """The protocol that every class in CHECKS fits; tests/contract runs one suite over all of them."""

    @property
    def id(self) -> str: ...
    @property
    def severity(self) -> Severity | None: ...
    @property
    def on_inconclusive(self) -> OnInconclusive | None: ...

    def needs(self) -> tuple[Need, ...]:
        """What must be gathered before `decide`."""
        ...

    def lint(self) -> Iterable[tuple[str, str]]:
        """What the schema cannot see: pairs of (key, message with what to write instead)."""
        ...

    def explain(self) -> str:
        """In one plain sentence, what this check will require."""
        ...

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        """PASS, FAIL, INCONCLUSIVE, ERROR or SKIPPED, with the numbers and one sentence of reason."""
        ...
