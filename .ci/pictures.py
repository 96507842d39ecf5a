"""The pictures of docs/explanation, drawn from the formulas that decide, so that they cannot say anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gates.reports.html.marks import WIDTH, Scale, label, line, path, svg
from gates.stats.proportion import wilson

if TYPE_CHECKING:
    from collections.abc import Callable

# As files of their own they have no page whose style sheet could serve them.
STYLE = (
    "<style>text{font:11px sans-serif;fill:#333}.strong{font-weight:700}.limit{stroke:#333;stroke-dasharray:5 3}"
    ".axis{stroke:#777}.out{fill:#b3261e;opacity:.13}.pass{fill:#1a7f4b;stroke:#1a7f4b}.fail{fill:#b3261e;stroke:#b3261e}"
    ".open{fill:#8a5a00;stroke:#8a5a00}.curve{fill:none;stroke:#2f6fb0;stroke-width:2}.two{stroke-dasharray:6 3}"
    ".band{fill:#2f6fb0;opacity:.2}.dot{fill:#2f6fb0}"
    "@media(prefers-color-scheme:dark){svg{background:#fff}}</style>"
)


def pictures() -> dict[str, str]:
    """Each picture by its name in docs/explanation/pictures."""
    drawn: dict[str, Callable[[], str]] = {
        "three-ways.svg": three_ways, "rows.svg": rows, "many-columns.svg": many_columns,
    }  # fmt: skip
    return {name: draw() for name, draw in drawn.items()}


def _file(picture: str) -> str:
    head, _, body = picture.partition("\n")
    named = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')
    return f"{named}\n{STYLE}\n{body}\n"


def three_ways() -> str:
    """Wilson's intervals of three test sets against one limit."""
    limit, sets = 0.85, ((890, 1000, "pass", "PASS"), (430, 500, "open", "INCONCLUSIVE"), (1600, 2000, "fail", "FAIL"))
    x = Scale([0.76, 0.93], 96, WIDTH - 8, 0.0)
    body = [
        f'<rect x="96" y="24" width="{x(limit) - 96:.1f}" height="120" class="out"/>',
        line(x(limit), 20, x(limit), 150, "limit"),
        label(x(limit), 14, f"at least {limit}", anchor="middle"),
    ]
    said = []
    for i, (good, n, kind, word) in enumerate(sets):
        low, high = wilson(good, n, 0.95)
        y = 48 + 40 * i
        body += [
            label(4, y - 2, word, kind="strong"), label(4, y + 12, f"{good} of {n:,}"),
            f'<rect x="{x(low):.1f}" y="{y - 4}" width="{x(high) - x(low):.1f}" height="8" class="{kind}"/>',
            label(x((low + high) / 2), y + 18, f"{good / n:.3f} [{low:.3f}, {high:.3f}]", anchor="middle"),
        ]  # fmt: skip
        said.append(f"{word}: {good} of {n} right, interval {low:.3f} to {high:.3f}")
    return _file(svg("three-ways", 156, "Three ways to decide against a limit of 0.85", "; ".join(said), body))


def rows() -> str:
    """How the interval of an accuracy of 0.88 narrows with the rows, and when it clears 0.85."""
    truth, limit = 0.88, 0.85
    sizes = [50, 70, 100, 150, 200, 300, 450, 650, 1000, 1500, 2000, 3000, 5000]
    bounds = [wilson(truth * n, n, 0.95) for n in sizes]

    def x(i: float) -> float:
        return 44 + i * (WIDTH - 56) / (len(sizes) - 1)

    y = Scale([0.75, 0.96], 180, 20, 0.0)
    band = [*((x(i), y(low)) for i, (low, _) in enumerate(bounds)),
            *((x(i), y(high)) for i, (_, high) in reversed(list(enumerate(bounds))))]  # fmt: skip
    first = next(i for i, (low, _) in enumerate(bounds) if low >= limit)
    body = [
        path(band, "band") + path([(x(0), y(truth)), (x(len(sizes) - 1), y(truth))], "curve"),
        line(44, y(limit), WIDTH - 8, y(limit), "limit"), label(48, y(limit) + 14, f"limit {limit}"),
        label(48, y(truth) - 6, f"observed {truth}"),
        line(x(first), 20, x(first), 184, "limit"), label(x(first) + 4, 30, f"{sizes[first]:,} rows decide"),
        line(44, 184, WIDTH - 8, 184, "axis"),
        *(label(x(i), 198, f"{n:,}", anchor="middle") for i, n in enumerate(sizes) if i % 3 == 0),
        label(WIDTH / 2, 214, "rows of the test set", anchor="middle"),
        *(label(40, y(tick) + 4, f"{tick:.2f}", anchor="end") for tick in (0.8, 0.85, 0.9, 0.95)),
    ]  # fmt: skip
    said = f"With {sizes[first]} rows the lower bound of an accuracy of {truth} clears {limit}; with fewer it does not."
    return _file(svg("rows", 220, "More rows, a narrower interval", said, body))


def many_columns() -> str:
    """The chance of at least one false alarm over columns without drift, each tested at 5 %, and all at once at 5 %."""
    x, y = Scale([0, 50], 44, WIDTH - 10, 0.0), Scale([0, 1], 180, 16, 0.0)
    alone = [(x(k), y(1 - 0.95**k)) for k in range(1, 51)]
    body = [
        path(alone, "curve"), path([(x(1), y(0.05)), (x(50), y(0.05))], "curve two"),
        line(44, 180, WIDTH - 10, 180, "axis"), label(x(22), y(0.78), "each column at 5 %"),
        label(x(22), y(0.1), "all together at 5 %"), label(WIDTH / 2, 212, "columns without drift", anchor="middle"),
        *(label(x(k), 196, str(k), anchor="middle") for k in (1, 10, 20, 30, 40, 50)),
        *(label(40, y(share) + 4, f"{share:.0%}", anchor="end") for share in (0.05, 0.5, 0.9)),
    ]  # fmt: skip
    said = f"Of 50 columns tested alone at 5 %, a false alarm comes in {1 - 0.95**50:.0%} of runs; together in 5 %."
    return _file(svg("many-columns", 218, "False alarms over many columns", said, body))
