"""The data are what the model was promised: columns, types, gaps, ranges, values, keys, rows, age.

Every violation is listed with its count and samples; one is enough to FAIL. What was not measured is ERROR.
"""

from __future__ import annotations

import math
from collections.abc import Mapping  # noqa: TC003  # dataclass fields
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from gates.checks import ruling
from gates.checks.rate import Duration  # noqa: TC001  # msgspec reads it at run time
from gates.checks.spec import Need, Settings, Spec
from gates.verdict import CheckResult, Status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gates.evidence import Evidence

Dtype = Literal["integer", "number", "boolean", "string", "category", "datetime"]
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class ColumnFacts:
    """One column as it was read. dtype: what its type is, in the policy's words, "other" where there is none; an
    integer column is a number too, and a string column a category. nulls: nulls and NaN. below, above: values under
    min, over max; not_allowed: values outside `allowed`; infinite: values that are infinite. samples: by violation
    (nulls, below, above, not_allowed, infinite), a few `row N: value`.
    """

    dtype: str
    nulls: int
    below: int = 0
    above: int = 0
    not_allowed: int = 0
    infinite: int = 0
    samples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class TableFacts:
    """facts["table"]. rows; columns in the table's order; duplicates: rows whose unique key was seen before, None when
    not asked; age_seconds: now minus the newest `age_column` (or the file's time), None when not asked.

    Gathered by `table_facts(batches: Iterable[pyarrow.RecordBatch], contract: DataContract, *, age_seconds: float |
    None) -> TableFacts`: pure, one pass, memory bounded by a batch (and by the distinct keys when a unique key is
    asked).
    """

    rows: int
    columns: Mapping[str, ColumnFacts]
    duplicates: int | None = None
    duplicate_samples: tuple[str, ...] = ()
    age_seconds: float | None = None


class Column(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one column promises."""

    dtype: Annotated[Dtype | None, Meta(description="integer, number, boolean, string, category or datetime.")] = None
    max_null_ratio: Annotated[
        Annotated[float, Meta(ge=0, le=1)] | None, Meta(description="The largest share of missing values.")
    ] = None
    min: Annotated[float | None, Meta(description="No value may be below.")] = None
    max: Annotated[float | None, Meta(description="No value may be above.")] = None
    allowed: Annotated[list[str | int | float | bool] | None, Meta(description="No other value may occur.")] = None


class DataContract(Spec, frozen=True, kw_only=True, tag="data_contract"):
    """The data must keep every promise that is written here.

    Needs: `table` (columns: those of the contract; options.contract: this check; see TableFacts).
    """

    columns: Annotated[dict[str, Column], Meta(description="By name, what each column promises.")] = msgspec.field(
        default_factory=dict
    )
    min_rows: Annotated[int, Meta(description="Fewer rows than this FAIL.", ge=1)] = 1
    unique_key: Annotated[tuple[str, ...], Meta(description="Columns whose values together occur once.")] = ()
    max_age: Annotated[Duration | None, Meta(description="How old the newest row may be, e.g. 7d.")] = None
    age_column: Annotated[str | None, Meta(description="The column of times; else the file's own time.")] = None
    allow_extra: Annotated[bool, Meta(description="Whether columns that are not named may be there.")] = True

    def needs(self) -> tuple[Need, ...]:
        return (Need("table", columns=tuple(self.columns), options={"contract": self}),)

    def lint(self) -> Iterable[tuple[str, str]]:
        if not (self.columns or self.unique_key or self.max_age or self.min_rows > 1):
            yield "columns", "nothing is promised; name columns, unique_key, min_rows or max_age"
        if self.age_column is not None and self.max_age is None:
            yield "age_column", "there is no max_age to hold it to; add `max_age: 7d` or remove it"
        if not self.allow_extra and not self.columns:
            yield "allow_extra", "no column is named, so every column would be extra"
        for name, column in self.columns.items():
            if any(limit is not None and not math.isfinite(limit) for limit in (column.min, column.max)):
                yield "columns", f"{name}: min and max must be finite numbers"
            elif column.allowed is not None and not column.allowed:
                yield "columns", f"{name}: `allowed` is empty; list the values or remove it"
            elif column.min is not None and column.max is not None and column.min > column.max:
                yield "columns", f"{name}: min {column.min:g} is over max {column.max:g}; swap them"
            if (column.min is not None or column.max is not None) and column.dtype not in (None, "integer", "number"):
                instead = "max_age" if column.dtype == "datetime" else "allowed"
                yield "columns", f"{name}: a {column.dtype} has no min or max; use `{instead}`"

    def explain(self) -> str:
        parts = [f"at least {self.min_rows} rows", f"{len(self.columns)} columns as promised"]
        if self.unique_key:
            parts.append(f"{' and '.join(self.unique_key)} unique")
        if self.max_age is not None:
            parts.append(f"newest no older than {self.max_age}")
        if not self.allow_extra:
            parts.append("no other columns")
        return f"The data have {', '.join(parts)}; one violation fails."

    def decide(self, evidence: Evidence, settings: Settings) -> CheckResult:  # noqa: ARG002  # nothing is estimated
        wanted = ruling.required(min_rows=self.min_rows, columns=sorted(self.columns), max_age=self.max_age)
        facts = evidence.facts.get("table")
        wrong = self._unsound(facts)
        if not isinstance(facts, TableFacts) or wrong:
            return ruling.error(self, wrong, wanted)
        broken = [*self._whole(facts)]
        for name, column in self.columns.items():
            found = facts.columns.get(name)
            if found is None:
                broken.append(f"column '{name}' is missing")
            else:
                broken += _column(name, column, found, facts.rows)
        if broken:
            reason = f"{len(broken)} promises are broken: {'; '.join(broken)}."
            return ruling.result(self, Status.FAIL, reason, wanted=wanted, n=facts.rows)
        reason = f"{facts.rows} rows keep all that is promised of {len(self.columns)} columns."
        return ruling.result(self, Status.PASS, reason, wanted=wanted, n=facts.rows)

    def _unsound(self, facts: object) -> str:
        if facts is None:
            return "the data were not read"
        if not isinstance(facts, TableFacts):
            return f"the table is of the wrong type: {type(facts).__name__}"
        counts: list[Any] = [facts.rows]
        for one in facts.columns.values():
            counts += [one.nulls, one.below, one.above, one.not_allowed, one.infinite]
        if any(type(count) is not int or not 0 <= count <= facts.rows for count in counts):
            return "the table's counts are not whole numbers between 0 and its rows"
        if facts.rows == 0:
            return "the data hold no row"
        if self.unique_key and (type(facts.duplicates) is not int or facts.duplicates < 0):
            return "duplicates of the unique key were not counted"
        age = facts.age_seconds
        if self.max_age is not None and (age is None or not math.isfinite(age)):
            return f"the age of the data is not known: {age}"
        return ""

    def _whole(self, facts: TableFacts) -> Iterable[str]:
        if facts.rows < self.min_rows:
            yield f"{facts.rows} rows, at least {self.min_rows} are promised"
        if self.unique_key and facts.duplicates:
            shown = f" ({', '.join(facts.duplicate_samples[:3])})" if facts.duplicate_samples else ""
            yield f"{facts.duplicates} rows repeat {' and '.join(self.unique_key)}{shown}"
        for name in self.unique_key:
            if name not in facts.columns:
                yield f"key column '{name}' is missing"
        if self.max_age is not None and facts.age_seconds is not None:
            limit = int(self.max_age[:-1]) * SECONDS[self.max_age[-1]]
            if facts.age_seconds > limit:
                yield f"the newest row is {facts.age_seconds / 86400:.2f} days old, over {self.max_age}"
            elif facts.age_seconds < -86400:
                yield f"the newest row lies {-facts.age_seconds / 86400:.2f} days in the future"
        extra = [name for name in facts.columns if name not in self.columns]
        if extra and not self.allow_extra:
            yield f"{len(extra)} columns are not promised: {', '.join(sorted(extra)[:5])}"


FITS: dict[str, tuple[str, ...]] = {
    "number": ("number", "integer"),
    "category": ("category", "string", "boolean", "integer"),
    "string": ("string", "category"),
}


def _column(name: str, promised: Column, found: ColumnFacts, rows: int) -> Iterable[str]:
    if promised.dtype is not None and found.dtype not in FITS.get(promised.dtype, (promised.dtype,)):
        yield f"{name} is {found.dtype}, promised {promised.dtype}"
    if found.nulls == rows and promised.max_null_ratio != 1.0:
        yield f"{name} holds no value"
    elif promised.max_null_ratio is not None and not ruling.at_most(found.nulls / rows, promised.max_null_ratio):
        share = f"{found.nulls / rows:.3g}"
        yield f"{name} misses {found.nulls} of {rows} values ({share}, at most {promised.max_null_ratio:g})"
    ranged = promised.min is not None or promised.max is not None
    if ranged and promised.dtype is None and found.dtype not in ("integer", "number"):
        yield f"{name} is {found.dtype}, which has no range"
    checks = (
        (promised.min is not None, "below", found.below, f"below {ruling.show(promised.min)}"),
        (promised.max is not None, "above", found.above, f"above {ruling.show(promised.max)}"),
        (promised.allowed is not None, "not_allowed", found.not_allowed, "outside what is allowed"),
        (ranged, "infinite", found.infinite, "infinite"),
    )
    for asked, key, count, what in checks:
        if asked and count:
            samples = ", ".join(found.samples.get(key, ())[:3])
            yield f"{name} has {count} values {what}{f' ({samples})' if samples else ''}"
