"""ROC, calibration and confusion of candidate and champion: told apart by form (solid, dashed), not by colour alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.reports.html import marks
from gates.reports.html.marks import WIDTH, label, line, number, path, svg, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gates.reports.html.values import Curves

HEIGHT = 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 12, 12, 40
_KINDS = ("one", "two")


def section(curves: Sequence[Curves], prefix: str) -> str:
    """All pictures that there are figures for; "" when there are none."""
    parts = []
    if any(c.roc for c in curves):
        parts.append(marks.figure(_roc(curves, f"{prefix}-roc"), "ROC: true positives won for false positives paid"))
    if any(c.calibration for c in curves):
        rows = [
            (c.who, number(at), number(share), f"{number(low)} to {number(high)}", f"{n:,}")
            for c in curves
            for at, share, low, high, n in c.calibration
        ]
        after = marks.folded("The figures", marks.table(
            ("model", "mean score", "observed", "interval", "rows"), rows, name="Calibration", numeric=1))  # fmt: skip
        said = "Calibration: of rows with a score, the share that is positive; on the diagonal, scores are honest"
        parts.append(marks.figure(_calibration(curves, f"{prefix}-cal"), said, after))
    parts += [_confusion(c) for c in curves if c.confusion]
    return '<div class="grid">' + "".join(parts) + "</div>" if parts else ""


def _x(value: float) -> float:
    return _LEFT + value * (WIDTH - _LEFT - _RIGHT)


def _y(value: float) -> float:
    return HEIGHT - _BOTTOM - value * (HEIGHT - _TOP - _BOTTOM)


def _frame(across: str, up: str) -> list[str]:
    body = [line(_x(0), _y(0), _x(1), _y(1), "guide")]
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        body += [line(_x(share), _y(0), _x(share), _y(1), "rule"), line(_x(0), _y(share), _x(1), _y(share), "rule")]
        body += [label(_x(share), _y(0) + 14, f"{share:g}", anchor="middle"),
                 label(_x(0) - 5, _y(share) + 4, f"{share:g}", anchor="end")]  # fmt: skip
    body.append(label(_x(0.5), HEIGHT - 6, across, anchor="middle"))
    body.append(f'<text transform="translate(10 {_y(0.5):.0f}) rotate(-90)" text-anchor="middle">{text(up)}</text>')
    return body


def _legend(names: Sequence[str], y: float) -> list[str]:
    body = []
    for i, (name, kind) in enumerate(zip(names, _KINDS, strict=False)):
        at = y + 16 * i
        body += [line(_x(0.42), at - 4, _x(0.5), at - 4, f"curve {kind}"), label(_x(0.52), at, name)]
    return body


def _roc(curves: Sequence[Curves], identifier: str) -> str:
    body = _frame("false positive rate", "true positive rate")
    named = [f"{c.who}: area {number(c.auc)}" for c in curves]
    for c, kind in zip(curves, _KINDS, strict=False):
        if c.roc:
            body.append(path([(_x(a), _y(b)) for a, b in c.roc], f"curve {kind}"))
    return svg(identifier, HEIGHT, "ROC curves", "; ".join(named), [*body, *_legend(named, _y(0.16))])


def _calibration(curves: Sequence[Curves], identifier: str) -> str:
    body = _frame("mean score", "observed share")
    for i, (c, kind) in enumerate(zip(curves, _KINDS, strict=False)):
        for at, share, low, high, _ in c.calibration:
            x = _x(at) + (2 * i - 1) * 1.5
            body.append(line(x, _y(low), x, _y(high), f"whisker {kind}"))
            body.append(_point(x, _y(share), kind))
        body.append(path([(_x(at), _y(share)) for at, share, *_ in c.calibration], f"curve thin {kind}"))
    worst = [f"{c.who}: off by at most {number(max((abs(a - s) for a, s, *_ in c.calibration), default=None))}"
             for c in curves if c.calibration]  # fmt: skip
    body += _legend([c.who for c in curves], _y(0.16))
    return svg(identifier, HEIGHT, "Calibration", "; ".join(worst), body)


def _point(x: float, y: float, kind: str) -> str:
    if kind == "one":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" class="dot {kind}"/>'
    return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" class="dot {kind}"/>'


def _confusion(c: Curves) -> str:
    """A table, since it is one; shaded by the share of its row."""
    head = "".join(f'<th scope="col" class="n">{text(marks.short(name, 14))}</th>' for name in c.labels)
    rows = []
    for name, counts in zip(c.labels, c.confusion, strict=True):
        total = sum(counts) or 1
        cells = "".join(
            f'<td class="n"><span class="shade" style="opacity:{0.45 * n / total:.3f}"></span>'
            f"<b>{n:,}</b><br><small>{n / total:.1%}</small></td>"
            for n in counts
        )
        rows.append(f'<tr><th scope="row">{text(marks.short(name, 14))}</th>{cells}</tr>')
    said = f"Confusion of the {c.who}: rows by truth, columns by answer"
    return (
        f'<figure><div class="scroll" role="group" tabindex="0" aria-label="{text(said)}"><table class="confusion">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
        f"<figcaption>{text(said)}</figcaption></figure>"
    )
