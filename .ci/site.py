"""Hooks of MkDocs: the order of the pages, and links to what stands outside of docs/.

A page links to files of the repository as they lie; on the site those links lead to the repository at this release.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
SOURCE = "https://github.com/ORG/mlops-gates/blob/v1"
ORDER = ("how-to", "reference", "explanation", "decisions")


def on_config(config: Any) -> Any:
    """Every page there is, in the order of learning, doing, looking up, understanding."""
    nav: list[Any] = [{"Start": "index.md"}, {"Tutorial": "tutorial.md"}]
    for folder in ORDER:
        pages = sorted(path.relative_to(DOCS).as_posix() for path in (DOCS / folder).glob("*.md"))
        nav.append({folder.capitalize().replace("-", " "): pages})
    config["nav"] = [*nav, {"Capabilities": "capabilities.md"}]
    return config


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links that leave docs/ lead to the repository. Code is left alone."""
    here = Path(page.file.abs_src_path).parent

    def outside(match: re.Match[str]) -> str:
        target, _, anchor = match[2].partition("#")
        path = (here / target).resolve()
        if not target or "://" in target or path.is_relative_to(DOCS) or not path.is_relative_to(ROOT):
            return match[0]
        if not path.exists():
            raise FileNotFoundError(f"{page.file.src_uri} links to {target}, which is not there")
        return f"{match[1]}({SOURCE}/{path.relative_to(ROOT).as_posix()}{'#' + anchor if anchor else ''})"

    parts = re.split(r"(^```.*?^```\s*$|`[^`\n]+`)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(
        part if i % 2 else re.sub(r"(\[[^\]]*\])\(([^)\s]+)\)", outside, part) for i, part in enumerate(parts)
    )
