"""The page: well-formed, complete, labelled, escaped, the same for the same chapters; nothing in it reaches out."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from page_world import CARD, CHECKS, HOSTILE, chapters, check, hostile, report, rollout

from gates.reports.html import card, checks, forest, marks, page
from gates.reports.html.values import Chapter, Forest, Row

VOID = {"meta", "br", "line", "rect", "circle", "path"}
ALLOWED = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "h1", "main", "nav", "ul", "li", "span", "p",
    "section", "h2", "h3", "h4", "ol", "small", "svg", "desc", "line", "rect", "circle", "path", "text", "time", "div",
    "figure", "figcaption", "details", "summary", "table", "thead", "tbody", "tr", "th", "td", "b", "br", "strong",
    "code", "blockquote",
}  # fmt: skip


class Reader(HTMLParser):
    """Elements in order with their attributes; `wrong` says what is not balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.feed(text)
        self.close()
        self.wrong += [f"<{tag}> stays open" for tag in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        if len(set(names)) < len(names):
            self.wrong.append(f"<{tag}> has an attribute twice")
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID or not self.open or self.open.pop() != tag:
            self.wrong.append(f"</{tag}>")


def read(text: str) -> Reader:
    return Reader(text)


@pytest.mark.parametrize("made", [chapters(), hostile()], ids=["plain", "hostile"])
def test_the_page_is_balanced_and_has_only_elements_that_we_write(made: list[Chapter]) -> None:
    found = read(page.render("credit", made))
    assert found.wrong == []
    assert {tag for tag, _ in found.elements} <= ALLOWED


@pytest.mark.parametrize("made", [chapters(), hostile()], ids=["plain", "hostile"])
def test_nothing_runs_and_nothing_is_fetched(made: list[Chapter]) -> None:
    text = page.render(HOSTILE, made)
    for tag, attributes in read(text).elements:
        assert tag not in ("script", "img", "link", "iframe", "object", "base", "form", "input"), tag
        assert not [name for name in attributes if name.startswith("on")]
        address = attributes.get("href", "") + attributes.get("src", "")
        assert re.fullmatch(r"|#[\w-]+|https?://[^\s]+|mailto:\S+", address), address
    assert "url(" not in text
    assert "@import" not in text
    assert "default-src 'none'" in text
    assert not re.search("[\x00-\x08\x1b\u202e]", text)


def test_equal_chapters_give_equal_bytes() -> None:
    assert page.render("credit", chapters()) == page.render("credit", chapters())


def test_ids_are_unique_and_every_label_and_link_finds_its_own() -> None:
    elements = read(page.render("credit", chapters())).elements
    ids = [a["id"] for _, a in elements if "id" in a]
    assert len(set(ids)) == len(ids)
    named = [one for _, a in elements for one in a.get("aria-labelledby", "").split()]
    assert set(named) <= set(ids)
    assert {a["href"][1:] for _, a in elements if a.get("href", "").startswith("#")} <= set(ids)


def test_every_picture_has_a_role_a_title_a_description_and_its_size() -> None:
    elements = read(page.render("credit", chapters())).elements
    pictures = [a for tag, a in elements if tag == "svg"]
    assert len(pictures) >= 10
    for a in pictures:
        assert a["role"] == "img"
        assert len(a["aria-labelledby"].split()) == 2
        assert float(a["width"]) > 0
        assert float(a["height"]) > 0


def test_headings_never_skip_a_level() -> None:
    levels = [int(tag[1]) for tag, _ in read(page.render("credit", chapters())).elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))


def test_every_part_is_there() -> None:
    text = page.render("credit", chapters())
    for said in ("Checks", "Candidate and champion", "ROC", "Calibration", "Confusion", "Slices and groups", "Rollout",
                 "Columns", "Distribution of age", "Lineage", "Model card", "What this is bound to", "A note.",
                 "Retrain: yes"):  # fmt: skip
        assert said in text, said


def test_the_verdict_stands_in_the_title_and_first_on_the_page() -> None:
    text = page.render("credit", [Chapter(report())])
    assert "<title>credit: FAIL, refused</title>" in text
    assert "<h1>credit: FAIL, refused</h1>" in text


def numbers(picture: str, name: str) -> list[float]:
    return [float(value) for value in re.findall(rf'\b{name}="(-?[\d.]+)"', picture)]


def test_a_passing_interval_lies_off_what_is_refused_and_a_failing_one_on_it() -> None:
    def places(one: dict[str, object]) -> tuple[float, float, float, float]:
        drawn = checks.strip(one, "x")
        out = re.search(r'<rect x="([\d.]+)" y="18" width="([\d.]+)"', drawn)
        bar = re.search(r'<rect x="([\d.]+)" y="26" width="([\d.]+)"', drawn)
        assert out is not None
        assert bar is not None
        a, b = (float(v) for v in out.groups())
        c, d = (float(v) for v in bar.groups())
        return a, a + b, c, c + d

    out_from, out_to, bar_from, _ = places(CHECKS[0])  # at least 0.85, interval 0.901 to 0.923
    assert out_from == 6.0
    assert out_to < bar_from
    out_from, _, bar_from, bar_to = places(CHECKS[1])  # at most 0.05, interval 0.08 to 0.10
    assert out_from < bar_from < bar_to
    _, out_to, bar_from, bar_to = places(CHECKS[2])  # at least -0.01, interval -0.012 to 0.014: it straddles
    assert bar_from < out_to < bar_to


@pytest.mark.parametrize(
    ("one", "wanted"),
    [
        (check("a", "PASS", required={"min": 0.1, "max": 0.9}), (0.1, 0.9)),
        (check("a", "PASS", type="champion_delta", required={"test": "superiority", "absolute": 0.02}), (0.02, None)),
        (check("a", "PASS", type="champion_delta", required={"test": "non_inferiority", "relative": 0.1}), (0.0, None)),
        (check("a", "PASS", required={"max": True, "min": "x"}), (None, None)),
        (check("a", "PASS", required={"ok": 0.01, "bad": 0.05}), (None, 0.05)),
    ],
)
def test_the_limits_of_a_check(one: dict[str, object], wanted: tuple[float | None, float | None]) -> None:
    assert checks.limits(one) == wanted


def test_a_check_without_figures_has_no_picture() -> None:
    assert checks.strip(check("a", "ERROR"), "x") == ""


def test_the_worst_checks_come_first_and_advice_last() -> None:
    text = checks.listing(CHECKS, "x")
    order = re.findall(r"</span> ([\w.]+)(?: <small>)?", text)
    assert order == ["ece", "broken", "vs", "waived", "skipped", "auc.floor", "p95", "errors", "advice"]


def test_a_row_beyond_its_limit_is_marked_and_all_rows_stand_in_the_table() -> None:
    rows = tuple(Row(f"g{i}", i / 100, i / 100 - 0.001, i / 100 + 0.001, i + 1) for i in range(60))
    text = forest.section(Forest("t", rows, least=0.02), "x")
    assert text.count('class="dot bad"') == 2  # g0, g1; g2 lies on the limit
    assert text.count('class="dot') == forest.MOST
    assert text.count('<th scope="row">') == 60


def test_the_card_is_read_as_text_and_its_links_only_as_links() -> None:
    text = card.section(CARD)
    assert "license" not in text
    assert '<a href="https://example.org/p?a=1&amp;b=2" rel="noreferrer">the paper</a>' in text
    assert "javascript" in text
    assert 'href="javascript' not in text
    assert "<td>rows | cols</td><td>1_000</td>" in text
    assert "<li>not for <strong>children</strong></li>" in text
    assert "<code>score</code>" in text
    assert read(text).wrong == []


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;"),
        ("a\x00b\x1b[1m\u202ec\nd", "a b [1m c d"),
        ("\ud800", "�"),
    ],
)
def test_text_is_made_harmless(given: str, wanted: str) -> None:
    assert marks.text(given) == wanted


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 17.0), (0.901, 0.9134), (1e-9, 2e-9), (5.0, 5.0)])
def test_ticks_are_few_and_inside(low: float, high: float) -> None:
    found = marks.ticks(low, high)
    assert 1 <= len(found) <= 8
    assert all(low - 1e-12 <= tick <= high + 1e-12 for tick in found)


def test_a_rollout_without_requests_or_traffic_is_still_a_page() -> None:
    bare = {**rollout(), "requests": [], "traffic": [{"at": 0.0, "shares": {}}], "steps": []}
    text = page.render("credit", [Chapter(report(), rollout=bare)])
    assert "At the end: nobody. No request was seen." in text
    assert read(text).wrong == []
