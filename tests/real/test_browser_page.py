"""The page in a real browser: silent, still, reaching out to nothing, readable at two widths in both schemes, usable
by keyboard, sound to axe-core, whole on paper. Screenshots stay in .run/screenshots (or GATES_ARTIFACTS)."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browser_rig import NAMES, browser

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "reports"))
from page_world import chapters, hostile  # the chapters that the unit tests use

from gates.reports.html import page

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from browser_rig import Page

ROOT = Path(__file__).resolve().parents[2]
AXE = ROOT / "ado-tasks/node_modules/axe-core/axe.min.js"
SHOTS = Path(os.environ.get("GATES_ARTIFACTS") or ROOT / ".run" / "screenshots")
PHONE, DESK = 390, 1280
WATCH = """new Promise(done => {
  let sum = 0
  new PerformanceObserver(list => list.getEntries().forEach(e => sum += e.value))
    .observe({type: 'layout-shift', buffered: true})
  requestAnimationFrame(() => setTimeout(() => done(sum), 300))
})"""
AXE_RUN = """axe.run(document, {resultTypes: ['violations'], runOnly: {type: 'tag',
  values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']}})
  .then(r => r.violations.map(v => v.id + ': ' + v.nodes.map(n => n.target + ' ' + n.failureSummary).join(' | ')))"""
CONTRAST = """(() => {
  const s = getComputedStyle(document.documentElement)
  const c = name => {
    const e = document.createElement('i'); e.style.color = s.getPropertyValue('--' + name); document.body.append(e)
    const rgb = getComputedStyle(e).color.match(/[\\d.]+/g).slice(0, 3).map(Number); e.remove()
    const l = rgb.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]
  }
  const ratio = (a, b) => (Math.max(c(a), c(b)) + 0.05) / (Math.min(c(a), c(b)) + 0.05)
  const found = {}
  for (const name of ['ink', 'muted', 'link', 'good', 'bad', 'open', 'one', 'two', 'three'])
    found[name] = Math.min(ratio(name, 'paper'), ratio(name, 'soft'))
  return found
})()"""


@pytest.fixture(scope="module")
def program(request: pytest.FixtureRequest) -> str:
    import shutil

    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        if os.environ.get("GATES_REQUIRE") == "1":
            pytest.fail("no Chromium is installed, and GATES_REQUIRE=1; .ci/browser.sh installs it")
        pytest.skip("no Chromium is installed; .ci/browser.sh installs it")
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    files = {"page": folder / "page.html", "hostile": folder / "hostile.html"}
    files["page"].write_text(page.render("credit", chapters()), encoding="utf-8")
    files["hostile"].write_text(page.render("credit", hostile()), encoding="utf-8")
    return files


def see(program: str, look: Callable[[Callable[[], Awaitable[Page]]], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with browser(program) as tab:
            return await look(tab)

    return asyncio.run(run())


@pytest.mark.parametrize("name", ["page", "hostile"])
def test_a_page_is_silent_still_and_reaches_out_to_nothing(program: str, made: dict[str, Path], name: str) -> None:
    async def look(tab: Callable[[], Awaitable[Page]]) -> None:
        for width, dark in ((PHONE, False), (PHONE, True), (DESK, False), (DESK, True)):
            shown = await tab()
            await shown.open(made[name], width=width, dark=dark)
            assert await shown.ask(WATCH) == 0, "layout shift"
            assert shown.complaints() == []
            assert shown.requested() == [made[name].as_uri()]
            assert await shown.ask("document.documentElement.scrollWidth <= innerWidth"), f"{width} scrolls sideways"
            assert await shown.ask("document.scripts.length") == 0
            await shown.picture(SHOTS / f"{name}-{width}{'-dark' if dark else ''}.png")

    see(program, look)
    shots = sorted(SHOTS.glob(f"{name}-*.png"))
    assert len(shots) >= 4
    assert all(shot.stat().st_size > 20_000 for shot in shots)


def test_a_page_is_sound_to_axe_in_both_schemes(program: str, made: dict[str, Path]) -> None:
    if not AXE.is_file():
        pytest.fail(f"no {AXE}; `make test` installs it")

    async def look(tab: Callable[[], Awaitable[Page]]) -> None:
        for name, width, dark in (("page", PHONE, False), ("page", DESK, True), ("hostile", DESK, False)):
            shown = await tab()
            await shown.open(made[name], width=width, dark=dark)
            await shown.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
            await shown.ask(AXE.read_text(encoding="utf-8") + "; 1")
            assert await shown.ask(AXE_RUN) == [], (name, width, dark)
            marks = await shown.ask(CONTRAST)
            texts = {k: v for k, v in marks.items() if k not in ("one", "two", "three")}
            assert min(texts.values()) >= 4.5, texts
            assert min(marks.values()) >= 3, marks

    see(program, look)


def test_everything_that_folds_or_scrolls_is_reached_and_opened_by_keyboard(
    program: str, made: dict[str, Path]
) -> None:
    async def look(tab: Callable[[], Awaitable[Page]]) -> None:
        shown = await tab()
        await shown.open(made["page"], width=PHONE)
        await shown.press("Tab", 9)
        assert await shown.ask("document.activeElement.className") == "skip"
        wanted = await shown.ask("document.querySelectorAll('summary').length")
        assert wanted >= 5
        seen: set[int] = set()
        for _ in range(200):
            await shown.press("Tab", 9)
            at = await shown.ask(
                "(() => { const e = document.activeElement; const s = getComputedStyle(e);"
                " if (e === document.body) return -1;"
                " if (s.outlineStyle === 'none' || parseFloat(s.outlineWidth) < 2) return -2;"
                " return e.tagName === 'SUMMARY' ? [...document.querySelectorAll('summary')].indexOf(e) : 1000 })()"
            )
            assert at != -2, "the focus cannot be seen"
            if at == -1:
                break
            if at < 1000 and at not in seen:
                seen.add(at)
                await shown.press("Enter", 13)
                opened = f"document.querySelectorAll('summary')[{at}].parentElement.open"
                if not await shown.ask(opened):  # headless Chromium opens on the character, not on the raw key
                    await shown.call("Input.dispatchKeyEvent", type="char", text="\r")
                assert await shown.ask(opened)
        assert len(seen) == wanted

    see(program, look)


def test_a_screen_reader_is_told_of_every_picture_and_part(program: str, made: dict[str, Path]) -> None:
    async def look(tab: Callable[[], Awaitable[Page]]) -> None:
        shown = await tab()
        await shown.open(made["page"], width=DESK)
        nodes = (await shown.call("Accessibility.getFullAXTree"))["nodes"]
        said = [
            (n["role"]["value"], n.get("name", {}).get("value", ""), n.get("description", {}).get("value", ""))
            for n in nodes if not n.get("ignored")
        ]  # fmt: skip
        pictures = [(name, about) for role, name, about in said if role in ("image", "img", "SvgRoot")]
        assert len(pictures) >= 10
        assert all(len(name) > 10 for name, _ in pictures), pictures
        assert any("ROC" in name for name, _ in pictures)
        roles = {role for role, *_ in said}
        assert {"main", "navigation", "banner", "table", "heading", "list"} <= roles
        assert any(role == "heading" and name == "credit: FAIL, refused" for role, name, _ in said)

    see(program, look)


def test_a_page_prints_light_without_what_only_a_screen_needs(program: str, made: dict[str, Path]) -> None:
    async def look(tab: Callable[[], Awaitable[Page]]) -> None:
        shown = await tab()
        await shown.open(made["page"], width=DESK, dark=True)
        await shown.call("Emulation.setEmulatedMedia", media="print", features=[])
        assert await shown.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert await shown.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
        await shown.call("Emulation.setEmulatedMedia", media="", features=[])
        paper = await shown.call("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)
        assert len(paper["data"]) > 20_000

    see(program, look)
