"""Templates: every value comes through as it is, and a mistake is told with what would do."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import PROPERTY

from switchcast import Event
from switchcast.rules.template import FIELDS, Template

EVENT = Event(
    "CUSTOM",
    {
        "Event-Subclass": "sofia::register",
        "Unique-ID": "u-1",
        "variable_nolocal:foo": "bar baz",
        "x[4]": "four",
        "Multicast-Sender": "fs2",
    },
    b"caf\xe9\n",
)


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("plain", "plain"),
        ("{name}/{subclass}", "CUSTOM/sofia::register"),
        ("{sender} to {node}", "fs2 to fs1"),
        ("{unique_id}", "u-1"),
        ("{h[Unique-ID]}{h[unique-id]}", "u-1u-1"),
        ("{h[variable_nolocal:foo]}", "bar baz"),
        ("{h[x[4]]}", "four"),
        ("{h[No-Such]}", ""),
        ("<{h[No-Such]}>", "<>"),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{CUSTOM}"),
        ("{{}}", "{}"),
        ("{body}", "caf\udce9\n"),
    ],
)
def test_fields_are_replaced_by_what_the_event_holds(text: str, rendered: str) -> None:
    assert Template(text).render(EVENT, "fs1") == rendered


def test_what_an_event_does_not_have_is_empty() -> None:
    bare = Event.from_headers([("A", "b")])
    assert Template("[{name}{subclass}{sender}{unique_id}{body}]").render(bare, "fs1") == "[]"


def test_a_template_tells_what_it_is_made_of() -> None:
    template = Template("https://{{host}}/{h[A]}/{name}?{h[A]}")
    assert template.fields == ("h[A]", "name")
    assert template.literals == ("https://{host}/", "/", "?")
    assert template.beginning == "https://{host}/"
    assert not template.constant
    assert Template("{name}").beginning == ""
    assert Template("{{}} is constant").constant
    assert Template("a") == Template("a") != Template("b")


def test_escape_is_for_values_alone() -> None:
    event = Event("X", {"A": "a/b c"})
    assert Template("/x y/{h[A]}").render(event, "", lambda value: quote(value, safe="")) == "/x y/a%2Fb%20c"


@PROPERTY
@given(
    before=st.text(),
    value=st.text(alphabet=st.characters(exclude_categories=["Cs"])),
    behind=st.text(),
)
def test_any_value_comes_through_between_any_texts(before: str, value: str, behind: str) -> None:
    escaped = [text.replace("{", "{{").replace("}", "}}") for text in (before, behind)]
    template = Template(f"{escaped[0]}{{h[A]}}{escaped[1]}")
    assert template.render(Event("X", {"A": value}), "") == f"{before}{value}{behind}"


@pytest.mark.parametrize(
    "field", ["nam", "h", "H[A]", "0", "", "name!r", "name:>10", "h[A].upper()", "event.name", "!s"]
)
def test_an_unknown_field_is_an_error_that_names_the_known_ones(field: str) -> None:
    with pytest.raises(ValueError, match="is no field") as error:
        Template(f"x {{{field}}}")
    assert all(f"{{{known}}}" in str(error.value) for known in FIELDS)


@pytest.mark.parametrize("name", ['"A"', "'A'", " A", "A ", ""])
def test_a_header_that_cannot_be_one_is_an_error_that_shows_how(name: str) -> None:
    with pytest.raises(ValueError, match=r"write it as \{h\[(A|Header-Name)\]\}, without quotes"):
        Template(f"{{h[{name}]}}")


@pytest.mark.parametrize(("text", "place"), [("{name", 1), ("a}", 2), ("{name}}", 7), ("ab{{{", 5), ("{a{name}", 1)])
def test_a_lone_brace_is_an_error_with_its_place(text: str, place: int) -> None:
    with pytest.raises(ValueError, match=f"a brace at character {place} "):
        Template(text)
