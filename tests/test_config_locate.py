"""Lines of keys in a TOML text: right where tomllib can read it, and none rather than a wrong one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from switchcast.app.config.locate import Path, line_of, lines_of
from switchcast.app.config.writing import toml_key, toml_text, toml_value

TEXT = '''\
# a comment with [brackets] = and "quotes"
title = "a # b"            # behind it
"quoted key"."dotted\\u0041" = 'literal # \\ '
long = """
[not.a.table]
key = "in text \\""" """""
raw = \'\'\'
x = 1
\'\'\'\'
numbers = [
    1, # one
    [2, 3],
    {deep = {er = "x"}, list = [
        "y"]},
]

[ node . name ] # spaced
since = 1979-05-27 07:32:00

[[route]]
to = ["a", "b"]
[route.inside]
key = true

[[route]]
from.here = 1.5
[[route.again]]
x = 1
[[route.again]]
x = 2
'''


def paths_of(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of everything in tables that tomllib has read."""
    if path:
        yield path
    if isinstance(value, dict):
        for key, each in value.items():
            yield from paths_of(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from paths_of(each, (*path, index))


@pytest.mark.parametrize("text", [TEXT, TEXT.replace("\n", "\r\n"), TEXT.rstrip("\n")])
def test_every_key_has_its_line(text: str) -> None:
    lines = lines_of(text)
    assert set(lines) == set(paths_of(tomllib.loads(text)))
    found = {
        ("title",): 2,
        ("quoted key", "dottedA"): 3,
        ("long",): 4,
        ("raw",): 7,
        ("numbers",): 10,
        ("numbers", 0): 11,
        ("numbers", 1, 1): 12,
        ("numbers", 2, "deep", "er"): 13,
        ("numbers", 2, "list", 0): 14,
        ("node", "name", "since"): 18,
        ("route",): 20,
        ("route", 0, "to", 1): 21,
        ("route", 0, "inside", "key"): 23,
        ("route", 1): 25,
        ("route", 1, "from", "here"): 26,
        ("route", 1, "again", 1, "x"): 30,
    }
    assert {path: lines[path] for path in found} == found


def test_what_is_missing_is_looked_for_in_its_table() -> None:
    lines = lines_of(TEXT)
    assert line_of(lines, ("route", 0, "from")) == 20
    assert line_of(lines, ("nowhere", "at", "all")) is None


def test_a_key_is_found_however_its_dashes_are_written() -> None:
    lines = lines_of('[[rule]]\nesl_api = {}\nonce-per = {}\n[endpoints.a-b]\nurl = ""')
    assert line_of(lines, ("rule", 0, "esl-api", "endpoint")) == 2
    assert line_of(lines, ("rule", 0, "once_per")) == 3
    assert line_of(lines, ("endpoints", "a_b", "url")) == 4  # the line of [endpoints], not of another's url


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
SCALARS = (
    NAMES
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
TABLES = st.dictionaries(NAMES, VALUES, max_size=4)


@settings(max_examples=200, deadline=None)
@given(TABLES)
def test_what_is_written_reads_back_the_same_and_is_found(tables: dict[str, Any]) -> None:
    text = toml_text(tables)
    assert tomllib.loads(text) == tables
    assert set(lines_of(text)) == set(paths_of(tables))


@settings(max_examples=100, deadline=None)
@given(TABLES)
def test_inline_tables_too(tables: dict[str, Any]) -> None:
    text = "".join(f"{toml_key(key)} = {toml_value(value)}\n\n" for key, value in tables.items())
    assert tomllib.loads(text) == tables
    assert set(lines_of(text)) == set(paths_of(tables))


@settings(max_examples=200, deadline=None)
@given(st.text(st.sampled_from("[]{}=.,\"'#\\\n\r ab1_-")))
def test_any_text_at_all_does_no_harm(text: str) -> None:
    lines = lines_of(text)
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(lines) == set(paths_of(tables))
