"""The model's package must be whole: what is not declared cannot be served, and what does not load will not serve."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from gates.checks import ruling
from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Evidence


@dataclass(frozen=True)
class PackageFacts:
    """facts["package"]. loads, predicts: None when not tried; clean: they were tried in an environment built from the
    package's own requirements alone. predictions_finite: the input example's answers hold no NaN. problem: what the
    trial said, one line. megabytes: the folder's size, 10^6 bytes each.
    """

    signature: bool
    input_example: bool
    requirements: tuple[str, ...]
    loads: bool | None = None
    predicts: bool | None = None
    predictions_finite: bool | None = None
    clean: bool = False
    problem: str = ""
    megabytes: float | None = None


class PackageSound(Spec, frozen=True, kw_only=True, tag="package_sound"):
    """The MLflow model folder has what serving needs, loads, and predicts its own input example.

    Needs: `package` (options: clean_environment: build the environment from its requirements, predict: try it; see
    PackageFacts).
    """

    signature: Annotated[bool, Meta(description="It must declare inputs and outputs.")] = True
    input_example: Annotated[bool, Meta(description="It must carry an example of its input.")] = True
    pinned: Annotated[bool, Meta(description="Each of its requirements must name one version (==).")] = False
    predict: Annotated[bool, Meta(description="It must load and predict its input example.")] = True
    clean_environment: Annotated[bool, Meta(description="… in an environment of its own requirements alone.")] = True
    max_megabytes: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="The largest size that passes, in 10^6 bytes.")
    ] = None

    def needs(self) -> tuple[Need, ...]:
        options = {"clean_environment": self.clean_environment and self.predict, "predict": self.predict}
        return (Need("package", options=options),)

    def lint(self) -> Iterable[tuple[str, str]]:
        if not (self.signature or self.input_example or self.pinned or self.predict or self.max_megabytes is not None):
            yield "id", "nothing is required; turn one of signature, input_example, pinned, predict on"
        if self.max_megabytes is not None and not math.isfinite(self.max_megabytes):
            yield "max_megabytes", "write a finite number"
        if self.predict and not self.input_example:
            yield "predict", "there is nothing to predict without input_example; write `input_example: true`"

    def explain(self) -> str:
        parts = [
            name
            for asked, name in (
                (self.signature, "a signature"),
                (self.input_example, "an input example"),
                (self.pinned, "pinned requirements"),
                (self.max_megabytes is not None, f"at most {ruling.show(self.max_megabytes)} MB"),
            )
            if asked
        ]
        where = " in an environment of its own requirements" if self.clean_environment else ""
        tried = f" and loads and predicts its example{where}" if self.predict else ""
        return f"The model's package has {', '.join(parts) or 'no declared parts required'}{tried}."

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:  # noqa: ARG002  # nothing is estimated
        wanted = ruling.required(
            signature=self.signature,
            input_example=self.input_example,
            pinned=self.pinned or None,
            predict=self.predict,
            clean_environment=self.clean_environment,
            max_megabytes=self.max_megabytes,
        )
        facts = evidence.facts.get("package")
        if not isinstance(facts, PackageFacts):
            said = "was not examined" if facts is None else f"is of the wrong type: {type(facts).__name__}"
            return ruling.error(self, f"the package {said}", wanted)
        broken, unknown = self._broken(facts), self._unknown(facts)
        if broken:
            return ruling.result(self, Status.FAIL, "The package " + "; it ".join(broken) + ".", wanted=wanted)
        if unknown:
            return ruling.error(self, unknown, wanted)
        return ruling.result(self, Status.PASS, "The package has all that is required.", wanted=wanted)

    def _broken(self, facts: PackageFacts) -> list[str]:
        trouble = f" ({facts.problem})" if facts.problem else ""
        loose = [line for line in facts.requirements if "==" not in line and "@" not in line]
        cases = (
            (self.signature and not facts.signature, "has no signature"),
            (self.input_example and not facts.input_example, "has no input example"),
            (self.pinned and not facts.requirements, "names no requirement"),
            (self.pinned and bool(loose), f"does not pin {', '.join(loose[:5])}"),
            (self.predict and facts.loads is False, f"does not load{trouble}"),
            (self.predict and bool(facts.loads) and facts.predicts is False, f"does not predict{trouble}"),
            (self.predict and bool(facts.predicts) and facts.predictions_finite is False, "predicts what is no number"),
            (
                self.max_megabytes is not None and facts.megabytes is not None and facts.megabytes > self.max_megabytes,
                f"has {ruling.show(facts.megabytes)} MB, over {ruling.show(self.max_megabytes)}",
            ),
        )
        return [said for is_broken, said in cases if is_broken]

    def _unknown(self, facts: PackageFacts) -> str:
        if self.max_megabytes is not None and (facts.megabytes is None or not facts.megabytes > 0):
            return f"the package's size is {facts.megabytes}, not a number over 0"
        if not self.predict:
            return ""
        if facts.loads is not True or facts.predicts is not True or facts.predictions_finite is not True:
            return f"loading and predicting was not tried to the end{': ' + facts.problem if facts.problem else ''}"
        if self.clean_environment and not facts.clean:
            return "loading and predicting was tried, but not in an environment of the package's own requirements"
        return ""
