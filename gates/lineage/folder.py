"""Where a version's lineage is kept: a folder of its own, never inside the model's, whose bytes are its identity.

`lineage.intoto.jsonl` holds the envelopes in the order they were made, one a line, `lineage.json` the composite view,
`SHA256SUMS` the sums file, `model-card.md` the card as it was when the model was registered. The folder is what
backends store beside a version (MLflow: artefacts under `lineage/`); tags only point at it (`pointers`), since they can
be edited by hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from gates.errors import InvalidInput, Unavailable
from gates.files import write_whole
from gates.lineage.digest import SUMS_NAME, FileSum, sums_text
from gates.lineage.record import Lineage
from gates.lineage.sign import parse_envelope
from gates.lineage.statement import compose, read_statement

if TYPE_CHECKING:
    from pathlib import Path

    from gates.lineage.sign import Envelope
    from gates.lineage.statement import Statement

STATEMENTS = "lineage.intoto.jsonl"
COMPOSITE = "lineage.json"
CARD = "model-card.md"


@dataclass(frozen=True)
class LineageFolder:
    """The lineage in the folder `path`."""

    path: Path

    def statements(self) -> tuple[Statement, ...]:
        """Oldest first. Raises InvalidInput naming the line, Unavailable when there are none."""
        file = self.path / STATEMENTS
        try:
            lines = file.read_bytes().splitlines()
        except OSError as error:
            raise Unavailable(
                f"the lineage is not there: {error.strerror}", hint="train with gates, or fetch it", file=file
            ) from error
        found = []
        for number, line in enumerate(lines, start=1):
            found.append(_read(file, number, line))
        if not found:
            raise Unavailable("holds no statements", hint="train with gates, or fetch the lineage", file=file)
        return tuple(found)

    def add(self, envelope: Envelope) -> Statement:
        """Append a statement and write the composite anew; the same statement again has no effect. Not for races."""
        file = self.path / STATEMENTS
        before = self.statements() if file.exists() else ()
        statement = read_statement(envelope)
        if any(known.digest == statement.digest for known in before):
            return statement
        chain = (*before, statement)
        composite = compose(chain)
        write_whole(file, b"".join(item.envelope.to_json() + b"\n" for item in chain))
        if statement.kind == "train":
            sums = (FileSum(path, sha256) for path, sha256 in statement.subjects.items() if path != SUMS_NAME)
            write_whole(self.path / SUMS_NAME, sums_text(sums))
        write_whole(self.path / COMPOSITE, composite_text(composite))
        return statement

    def composite(self) -> Lineage:
        """`lineage.json` as it stands. Raises InvalidInput, Unavailable."""
        file = self.path / COMPOSITE
        try:
            return msgspec.json.decode(file.read_bytes(), type=Lineage)
        except OSError as error:
            raise Unavailable(f"cannot be read: {error.strerror}", hint="fetch the lineage", file=file) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise InvalidInput(f"not a lineage record: {error}", hint="restore the file", file=file) from error


def composite_text(composite: Lineage) -> str:
    """Two-space indented JSON with a newline at the end; equal values, equal bytes."""
    return msgspec.json.format(msgspec.json.encode(composite), indent=2).decode() + "\n"


def pointers(statements: tuple[Statement, ...], *, audit_head: str | None = None) -> dict[str, str]:
    """The tags that a registry keeps of a version: digests to find and to cross-check, never a source of trust."""
    composite = compose(statements)
    tags = {
        "gates.model_digest": composite.model_digest,
        "gates.data_hash": composite.data_hash,
        "gates.code_commit": composite.code_commit,
        "gates.policy_digest": composite.policy_digest,
        "gates.report_digest": composite.report_digest,
        "gates.decision": composite.decision,
        "gates.ungated": composite.ungated,
        "gates.train_statement": _last(statements, "train"),
        "gates.gate_statement": _last(statements, "gate"),
        "gates.audit_head": audit_head,
    }
    return {key: value for key, value in tags.items() if value}


def _last(statements: tuple[Statement, ...], kind: str) -> str | None:
    return next((s.digest for s in reversed(statements) if s.kind == kind), None)


def _read(file: Path, number: int, line: bytes) -> Statement:
    try:
        return read_statement(parse_envelope(line))
    except InvalidInput as error:
        raise InvalidInput(error.what, hint=error.hint, file=file, line=number) from error
