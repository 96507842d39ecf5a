"""The site builds strictly: every page is there, every link and anchor leads somewhere; examples name their schema."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
GUIDES = (
    "init", "first-gate", "champion-against-challenger", "blue-green", "azure-credentials", "approvals", "drift",
    "from-mlops-v2", "reports",
)  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    done = build(folder, ROOT / "mkdocs.yml")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def build(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", str(config), "-d", str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_page_is_on_the_site_and_reaches_out_to_nothing(site: Path) -> None:
    for path in (ROOT / "docs").rglob("*.md"):
        html = site / path.relative_to(ROOT / "docs").with_suffix(".html")
        assert html.is_file(), html
        fetched = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(https?://[^"]+)"', html.read_text("utf-8"))
        assert [url for url in fetched if "ORG/mlops-gates" not in url] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[x](nowhere.md)", "nowhere.md"),
        ("[x](index.md#nothing)", "nothing"),
        ("[x](../gates/nothing.py)", "nothing.py"),
    ],
)
def test_a_broken_link_is_noticed(tmp_path: Path, text: str, said: str) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "index.md").write_text(f"# Start\n\n{text}\n", encoding="utf-8")
    (tmp_path / "gates").mkdir()
    hook = (ROOT / ".ci/site.py").read_text().replace("parents[1]", "parents[0]")
    (tmp_path / "site.py").write_text(hook, encoding="utf-8")
    strict = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["validation"]
    config = {"site_name": "x", "strict": True, "docs_dir": "docs", "hooks": ["site.py"], "validation": strict}
    (tmp_path / "mkdocs.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    (tmp_path / "docs/tutorial.md").write_text("# T\n")
    (tmp_path / "docs/capabilities.md").write_text("# C\n")
    done = build(tmp_path / "site", tmp_path / "mkdocs.yml")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


@pytest.mark.parametrize("name", GUIDES)
def test_a_guide_is_there(name: str) -> None:
    assert (ROOT / "docs/how-to" / f"{name}.md").is_file()


def test_pictures_say_in_words_what_they_show() -> None:
    pictures = sorted((ROOT / "docs/explanation/pictures").glob("*.svg"))
    assert len(pictures) == 3
    for path in pictures:
        tree = ET.fromstring(path.read_text(encoding="utf-8"))
        name = "{http://www.w3.org/2000/svg}"
        assert tree.find(f"{name}title") is not None
        assert len(tree.findtext(f"{name}desc") or "") > 40


def ours() -> list[Path]:
    """Every project and policy file that people read and copy."""
    found = [p for name in ("mlops.yml", "policy.yml") for p in ROOT.glob(f"examples/**/{name}")]
    return sorted([*found, *ROOT.glob(".github/dogfood/*.yml")])


@pytest.mark.parametrize("path", ours(), ids=lambda path: str(path.relative_to(ROOT)))
def test_an_example_names_its_schema_and_keeps_it(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    kind = "policy" if "policy" in path.name else "mlops"
    schema = json.loads((ROOT / f"gates/schemas/{kind}.v1.schema.json").read_text(encoding="utf-8"))
    assert first == f"# yaml-language-server: $schema={schema['$id']}"
    jsonschema.validate(yaml.safe_load(path.read_text(encoding="utf-8")), schema)


AZURE = re.compile(
    r"# yaml-language-server: \$schema=(https://azuremlschemas\.azureedge\.net/latest/\w+\.schema\.json)"
)


def test_azure_ml_examples_name_their_schema() -> None:
    for path in ROOT.glob("examples/**/*.yml"):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        if isinstance(document, dict) and "$schema" in document:
            found = AZURE.match(path.read_text(encoding="utf-8"))
            assert found is not None, path
            assert found.group(1) == document["$schema"], path


@pytest.mark.parametrize("name", ["mlops.v1", "policy.v1"])
def test_every_key_of_the_published_schemas_says_what_it_is(name: str) -> None:
    schema = json.loads((ROOT / f"gates/schemas/{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    silent = [
        f"{title}.{key}"
        for title, definition in schema["$defs"].items()
        for key, value in definition.get("properties", {}).items()
        if key != "type" and not value.get("description")
    ]
    assert silent == []


def test_every_action_says_the_types_of_its_inputs() -> None:
    actions = [ROOT, *(path.parent for path in ROOT.glob("actions/*/action.yml"))]
    for folder in actions:
        inputs = yaml.safe_load((folder / "action.yml").read_text(encoding="utf-8")).get("inputs") or {}
        typed = yaml.safe_load((folder / "action-types.yml").read_text(encoding="utf-8")).get("inputs") or {}
        assert set(inputs) == set(typed), folder
