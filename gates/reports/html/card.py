"""The model card's Markdown as HTML: headings, tables, lists, quotes, paragraphs; everything else is text.

A small reader of our own, because people's text in a card must not become markup of the page: all of it is escaped, and
a link is one only to http, https or mailto.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from gates.reports.html import marks

if TYPE_CHECKING:
    from collections.abc import Sequence

_ESCAPED = re.compile(r"\\([\\`*_\[\]<>|#~])")
_INLINE = re.compile(
    r"`(?P<code>[^`]+)`|\*\*(?P<bold>[^*]+)\*\*|\[(?P<said>[^\]]+)\]\((?P<to>(?:https?://|mailto:)[^)\s]+)\)"
)


def section(markdown: str) -> str:
    """The card below a heading of its own level 3."""
    lines = _body(markdown)
    blocks, i = ["<h3>Model card</h3>"], 0
    while i < len(lines):
        end = i
        kind = _kind(lines[i])
        while end < len(lines) and _kind(lines[end]) == kind and (end == i or kind != "heading"):
            end += 1
        blocks.append(_block(kind, lines[i:end]))
        i = end
    return '<div class="card">' + "".join(blocks) + "</div>"


def _body(markdown: str) -> list[str]:
    """The lines after the front matter."""
    lines = markdown.splitlines()
    if lines[:1] == ["---"] and "---" in lines[1:]:
        return lines[lines.index("---", 1) + 1 :]
    return lines


def _kind(line: str) -> str:
    said = line.strip()
    if not said:
        return "nothing"
    if re.match(r"#{1,6} ", said):
        return "heading"
    return {"|": "table", ">": "quote"}.get(said[0], "list" if re.match(r"[-*] ", said) else "text")


def _block(kind: str, lines: Sequence[str]) -> str:
    if kind == "nothing":
        return ""
    if kind == "heading":
        return f"<h4>{_inline(lines[0].strip().lstrip('#').strip())}</h4>"
    if kind == "table":
        return _table(lines)
    if kind == "quote":
        said = " ".join(_inline(line.strip().lstrip(">").strip()) for line in lines)
        return f"<blockquote><p>{said}</p></blockquote>"
    if kind == "list":
        return "<ul>" + "".join(f"<li>{_inline(line.strip()[2:])}</li>" for line in lines) + "</ul>"
    return f"<p>{_inline(' '.join(line.strip() for line in lines))}</p>"


def _table(lines: Sequence[str]) -> str:
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))] for line in lines]
    head, body = rows[0], [row for row in rows[1:] if set("".join(row)) - set("-: ")]
    top = "".join(f'<th scope="col">{_inline(cell)}</th>' for cell in head)
    inner = "".join("<tr>" + "".join(f"<td>{_inline(cell)}</td>" for cell in row) + "</tr>" for row in body)
    return (
        '<div class="scroll" role="group" tabindex="0" aria-label="Table of the model card"><table>'
        f"<thead><tr>{top}</tr></thead><tbody>{inner}</tbody></table></div>"
    )


def _inline(said: str) -> str:
    """Escaped, with code, bold and links."""
    found, at = [], 0
    for match in _INLINE.finditer(said):
        found.append(_plain(said[at : match.start()]))
        if match["code"] is not None:
            found.append(f"<code>{_plain(match['code'])}</code>")
        elif match["bold"] is not None:
            found.append(f"<strong>{_plain(match['bold'])}</strong>")
        else:
            found.append(f'<a href="{marks.text(match["to"])}" rel="noreferrer">{_plain(match["said"])}</a>')
        at = match.end()
    return "".join([*found, _plain(said[at:])])


def _plain(said: str) -> str:
    """The text that the card's own escaping stands for, escaped for this page; blanks at its ends are kept."""
    inner = marks.text(_ESCAPED.sub(r"\1", html.unescape(said)))
    if not inner:
        return " " if said else ""
    return f"{' ' * said[:1].isspace()}{inner}{' ' * said[-1:].isspace()}"
