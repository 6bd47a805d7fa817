"""The table of a view: whatever is in its rows, it fits the terminal, a line a row."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from switchcast.app.cli.render import printable
from switchcast.app.cli.views.table import Column, Line, Widths, lay_out, plain, shortened, styled

TEXTS = st.text(max_size=40)
COLUMNS = (
    Column("name", 0, lambda row, _: str(row["name"]), "bold", least=4, most=30),
    Column("state", 1, lambda row, _: str(row["state"]), "green"),
    Column("figure", 2, lambda row, _: str(row["figure"]), left=False),
    Column("more", 9, lambda row, _: str(row["more"]), least=8),
    Column("trust", 10, lambda row, _: str(row.get("trust", "stock")), differing=True),
)
ROWS = st.fixed_dictionaries({"name": TEXTS, "state": TEXTS, "figure": st.integers(0, 10**9), "more": TEXTS})


@given(st.lists(ROWS, min_size=1, max_size=5), st.integers(6, 120), st.booleans())
def test_no_line_is_wider_than_the_terminal(rows: list[dict[str, object]], width: int, marked: bool) -> None:
    lines = [Line(row, "?" if marked else "", "bold") for row in rows]
    drawn = lay_out(COLUMNS, lines, width, 0.0)
    assert len(drawn) == 1 + len(rows)
    for pieces in drawn:
        text = plain(pieces)
        assert cell_len(text) <= width
        assert text == printable(text)
        assert styled(pieces).plain == text


@given(TEXTS.map(printable), st.integers(1, 60))
def test_what_is_shortened_fits_and_says_so(text: str, width: int) -> None:
    short = shortened(text, width)
    assert cell_len(short) <= width
    assert short == text if cell_len(text) <= width else short.endswith("…")


def test_a_table_that_is_drawn_again_keeps_its_shape() -> None:
    kept: Widths = {}
    row = {"name": "1000", "state": "ringing", "figure": 1, "more": ""}
    before = plain(lay_out(COLUMNS, [Line(row)], 80, 0.0, kept=kept)[0])
    after = plain(lay_out(COLUMNS, [Line(row | {"state": "up", "name": "9"})], 80, 0.0, kept=kept)[0])
    assert before == after == "  name  state    figure"


def test_the_essential_is_not_cut_short_for_a_detail() -> None:
    row = {"name": "a name that is long", "state": "up", "figure": 1, "more": "something else"}
    for width in range(20, 60):
        heading, line = map(plain, lay_out(COLUMNS, [Line(row)], width, 0.0))
        assert "more" not in heading or "a name that is long" in line
