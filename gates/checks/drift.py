"""drift: columns of current data against the reference, by effect and by significance.

A column drifted only if an effect (bias-corrected PSI, KS D, a change in its tails or in missing values) is over its
limit and the test is significant after Benjamini–Hochberg across columns. FAIL when the share of drifted columns is
over the limit whatever the undecided columns are; INCONCLUSIVE when it depends on them; a listed column that is not
there is ERROR.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.drift.decide import ColumnDecision
    from gates.drift.found import ColumnDrift
    from gates.evidence import Evidence


class Effect(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Sizes that matter. Of what is left out, psi_max and ks_max are not judged, the others are; null: not judged."""

    psi_max: Annotated[float | None, Meta(description="Largest bias-corrected PSI that is no drift.")] = None
    ks_max: Annotated[float | None, Meta(description="Largest KS distance D that is no drift.")] = None
    tail_max: Annotated[
        float | None,
        Meta(description="Numbers: largest change in the share beyond the reference's middle 90 %. Noise shows here."),
    ] = 0.05
    missing_max: Annotated[float | None, Meta(description="Largest change in the share of missing values.")] = 0.05
    oov_max: Annotated[
        float | None, Meta(description="Text: largest share of unknown tokens beyond the expected one.")
    ] = 0.1
    auc_max: Annotated[
        float | None,
        Meta(description="Vectors: largest AUC of telling both sides apart that is no drift; 0.5 is none."),
    ] = 0.6


class Drift(Spec, frozen=True, kw_only=True, tag="drift"):
    """Data drift between the reference and the current data."""

    columns: Annotated[Literal["all"] | list[str], Meta(description="Columns to judge: all, or a list of names.")] = (
        "all"
    )
    effect: Annotated[Effect, Meta(description="Limits on effect sizes.")] = Effect(psi_max=0.2, ks_max=0.1)
    fdr_q: Annotated[float, Meta(description="False discovery rate across columns.")] = 0.05
    max_drifted_share: Annotated[float, Meta(description="Share of drifted columns that still passes.")] = 0.0
    min_samples: Annotated[int, Meta(description="Fewest values a column needs on each side.", ge=1)] = 100
    weights: Annotated[
        Literal["importance"] | dict[str, float] | None,
        Meta(description="Weigh columns by the model's importances, or by the numbers given; null weighs all alike."),
    ] = None

    def needs(self) -> tuple[Need, ...]:
        listed = () if isinstance(self.columns, str) else tuple(self.columns)
        drift = Need("drift", columns=listed)
        return (drift, Need("explanations")) if self.weights == "importance" else (drift,)

    def lint(self) -> Iterable[tuple[str, str]]:
        effect = self.effect
        for key in ("psi_max", "ks_max", "tail_max", "missing_max", "oov_max"):
            value = getattr(effect, key)
            if value is not None and not (math.isfinite(value) and value >= 0):
                yield "effect", f"{key} is {value!r}; write a number of 0 or more"
        if effect.auc_max is not None and not 0.5 <= effect.auc_max < 1:
            yield "effect", f"auc_max is {effect.auc_max!r}; write a number from 0.5 to below 1, e.g. 0.6"
        if effect.psi_max is None and effect.ks_max is None:
            yield "effect", "it limits nothing; write psi_max or ks_max, e.g. {psi_max: 0.2, ks_max: 0.10}"
        if effect.psi_max is None and self.columns == "all":
            yield "effect", "categories have no KS distance; write psi_max too, e.g. psi_max: 0.2"
        if effect.ks_max is not None and effect.ks_max >= 1:
            yield "ks_max", "a KS distance is never over 1; write e.g. 0.10"
        if not 0 < self.fdr_q < 1:
            yield "fdr_q", f"{self.fdr_q!r} is no rate; write e.g. 0.05"
        if not 0 <= self.max_drifted_share < 1:
            yield "max_drifted_share", f"{self.max_drifted_share!r} can never fail; write a share from 0 to below 1"
        if not isinstance(self.columns, str):
            if not self.columns:
                yield "columns", "the list is empty; write all or name columns"
            if len(set(self.columns)) < len(self.columns):
                yield "columns", "a column is listed twice"
        if isinstance(self.weights, dict):
            bad = [k for k, w in self.weights.items() if not (math.isfinite(w) and w >= 0)]
            if bad or not any(w > 0 for w in self.weights.values()):
                yield "weights", "weights are numbers of 0 or more, one of them above 0"

    def explain(self) -> str:
        which = "Every column" if isinstance(self.columns, str) else f"Each of {', '.join(self.columns)}"
        limits = {
            "a PSI of at most": self.effect.psi_max,
            "a KS distance of at most": self.effect.ks_max,
            "a change in the share beyond the reference's middle 90 % of at most": self.effect.tail_max,
            "a change in missing values of at most": self.effect.missing_max,
        }
        said = ", ".join(f"{name} {limit:g}" for name, limit in limits.items() if limit is not None)
        return (
            f"{which} is compared with the reference and should show {said}; more counts as drift when it "
            f"is significant at a false discovery rate of {self.fdr_q:g}. At most {self.max_drifted_share:.0%} of "
            f"the columns may drift, and each needs {self.min_samples} values on both sides.{self._unseen()}"
        )

    def _unseen(self) -> str:
        """What stays below the KS limit, as a user can picture it: D = 2 Φ(shift / 2) − 1 of two normal columns."""
        if self.effect.ks_max is None or not 0 < self.effect.ks_max < 1:
            return ""
        from statistics import NormalDist  # brings fractions and random; only `explain` asks

        shift = 2 * NormalDist().inv_cdf((1 + self.effect.ks_max) / 2)
        return (
            f" A normal column's mean may so move by {shift:.2f} standard deviations before its KS distance says so; "
            "write a smaller ks_max where less matters."
        )

    def decisions(self, evidence: Evidence) -> tuple[ColumnDecision, ...]:
        """One decision for each column judged; empty where there is nothing to judge."""
        from gates.drift.decide import decide

        chosen = self._chosen(evidence)
        if not chosen:
            return ()
        return decide(
            chosen,
            psi_max=self.effect.psi_max,
            ks_max=self.effect.ks_max,
            tail_max=self.effect.tail_max,
            missing_max=self.effect.missing_max,
            oov_max=self.effect.oov_max,
            auc_max=self.effect.auc_max,
            fdr_q=self.fdr_q,
            min_samples=self.min_samples,
            weights=evidence.importances if self.weights == "importance" else self.weights,
        )

    def _chosen(self, evidence: Evidence) -> tuple[ColumnDrift, ...]:
        found = evidence.drift or ()
        if isinstance(self.columns, str):
            return tuple(found)
        by_name = {column.name: column for column in found}
        return tuple(by_name[name] for name in self.columns if name in by_name)

    def _cannot(self, evidence: Evidence) -> str:
        """Why the evidence cannot be judged; empty when it can."""
        if evidence.drift is None:
            return "no comparison with a reference was made"
        from gates.drift.found import ColumnDrift

        given: object = evidence.drift
        if not isinstance(given, tuple) or not all(isinstance(one, ColumnDrift) for one in given):
            return f"the comparison is of the wrong type: {type(given).__name__}"
        if not evidence.drift:
            return "no column was compared"
        if not isinstance(self.columns, str):
            names = {column.name for column in evidence.drift}
            absent = [name for name in self.columns if name not in names]
            if absent or not self.columns:
                return f"listed columns were not compared: {', '.join(absent) or 'none is listed'}"
        if self.weights == "importance" and not evidence.importances:
            return "weights: importance needs the model's importances, and there are none"
        weights = evidence.importances if self.weights == "importance" else self.weights
        if weights and not all(math.isfinite(w) and w >= 0 for w in weights.values()):
            return "a weight is not a number of 0 or more"
        return ""

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:
        if evidence.drift is None and evidence.reference_absent and settings.champion_when_absent == "bootstrap":
            said = "There is no champion yet to have a profile, and the policy says bootstrap: not compared."
            return self._result(Status.SKIPPED, said)
        reason = self._cannot(evidence)
        if reason:
            return self._result(Status.ERROR, reason)
        from gates.drift.decide import share

        decisions = self.decisions(evidence)
        shares = share(decisions)
        if shares is None:
            return self._result(Status.ERROR, "the columns that were compared weigh nothing; name them in weights")
        rows = min(min(d.found.n_ref, d.found.n_cur) for d in decisions)
        drifted = [d for d in decisions if d.drifted is True]
        undecided = [d for d in decisions if d.drifted is None]
        limit = self.max_drifted_share * (1 + 1e-12)
        said = f"{len(drifted)} of {len(decisions)} columns drifted"
        if drifted:
            said += ": " + "; ".join(f"{d.name} ({d.why})" for d in drifted[:5]) + ("; …" if len(drifted) > 5 else "")
        if shares.drifted > limit:
            return self._result(Status.FAIL, said, shares.drifted, rows)
        if shares.at_most > limit or len(undecided) == len(decisions):
            why = "; ".join(f"{d.name} ({d.why})" for d in undecided[:5]) + ("; …" if len(undecided) > 5 else "")
            needed = [d.n_needed for d in undecided if d.n_needed is not None]
            reason = f"{said}; {len(undecided)} could not be decided: {why}"
            return self._result(Status.INCONCLUSIVE, reason, shares.drifted, rows, max(needed, default=None))
        return self._result(Status.PASS, said, shares.drifted, rows)

    def _result(
        self,
        status: Status,
        reason: str,
        observed: float | None = None,
        n: int | None = None,
        needed: int | None = None,
    ) -> CheckResult:
        effect = {
            k: getattr(self.effect, k) for k in ("psi_max", "ks_max", "tail_max", "missing_max", "oov_max", "auc_max")
        }
        required: dict[str, Any] = {k: v for k, v in effect.items() if v is not None}
        required |= {"fdr_q": self.fdr_q, "max_drifted_share": self.max_drifted_share, "min_samples": self.min_samples}
        return CheckResult(self.id, "drift", status, reason, observed=observed, required=required, n=n, n_needed=needed)
