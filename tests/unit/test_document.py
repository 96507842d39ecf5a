"""YAML and JSON that people write: what is read, what is refused, and on which line."""

from __future__ import annotations

from pathlib import Path

import pytest

from gates.document import did_you_mean, load_json, parse_yaml
from gates.errors import InvalidInput

FILE = Path("f.yml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("no", "no"), ("on", "on"), ("true", True), ("False", False), ("2027-06-30", "2027-06-30"),
        ("1:30", "1:30"), ("007", "007"), ("0x1F", "0x1F"), ("1_000", 1000), ("1.5", 1.5), ("1.0e-6", 1e-6), ("-3", -3),
        ("~", None), ("null", None), ("'1e-6'", "1e-6"), ('"a\\tb"', "a\tb"), ("0o17", "0o17"), (".5", 0.5),
        ("1\u0663", "1\u0663"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_it_looks_like(text: str, value: object) -> None:
    found = parse_yaml(f"k: {text}\n".encode(), FILE, "it").value["k"]
    assert found == value
    assert type(found) is type(value)


def test_every_key_and_item_has_its_line() -> None:
    document = parse_yaml(b"a:\n  - x\n  - b: 1\n    c: {d: 2}\n", FILE, "it")
    lines = {
        path: document.line(path) for path in [("a",), ("a", 1), ("a", 1, "c"), ("a", 1, "c", "d"), ("a", 1, "zz")]
    }
    assert lines == {("a",): 1, ("a", 1): 3, ("a", 1, "c"): 4, ("a", 1, "c", "d"): 4, ("a", 1, "zz"): 3}


def test_variables_of_the_environment_are_replaced_and_a_missing_one_is_an_error() -> None:
    text = b"a: x-${env:ONE}-y\nb: ${env:TWO}\n"
    assert parse_yaml(text, FILE, "it", env={"ONE": "1", "TWO": "a: [b"}).value == {"a": "x-1-y", "b": "a: [b"}
    assert parse_yaml(text, FILE, "it").value["b"] == "${env:TWO}", "only where the caller wants it"
    with pytest.raises(
        InvalidInput, match=r"^f\.yml:2: environment variable TWO is not set; set TWO or write the value$"
    ):
        parse_yaml(text, FILE, "it", env={"ONE": "1"})


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert parse_yaml(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n", FILE, "it").value == {"a": 1, "b": 2}


@pytest.mark.parametrize("raw", [b"\xff\xfea\x00:\x00", b"a: \x00", b"a: \x07", b"\x80"])
def test_bytes_that_are_no_text_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"^f\.yml"):
        parse_yaml(raw, FILE, "it")


def test_json_is_strict(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    for text, message in (
        ('{"a": 1, "a": 2}', "duplicate key 'a'"), ('{"a": NaN}', "NaN is not JSON"),
        ("[" * 100_000, "nested too deeply"), ('{"a": 1', "not JSON"), ("", "is empty"), (" \n", "is empty"),
    ):  # fmt: skip
        path.write_text(text)
        with pytest.raises(InvalidInput, match=message):
            load_json(path, "it")
    path.write_text('{"a": NaN}')
    assert load_json(path, "it", allow_nan=True)["a"] != load_json(path, "it", allow_nan=True)["a"]


def test_a_hint_names_the_nearest_word_or_all() -> None:
    assert did_you_mean("treshold", ["threshold", "drift"]) == "did you mean 'threshold'?"
    assert did_you_mean("deplo", ["deploy-blue-green", "drift-check"]) == "did you mean 'deploy-blue-green'?"
    assert did_you_mean("end", ["endpoint status", "endpoint stop"]) == "known: endpoint status, endpoint stop"
    assert did_you_mean("zzz", ["threshold", "drift"]) == "known: drift, threshold"
