"""A trace's page in a real browser: legible at both widths and in both schemes, its ladder in place, and inert."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from audit_samples import HOSTILE, SCRIPT
from browser import Browser, browsing
from pages import WIDTHS, assert_fits, assert_legible, assert_quiet
from tracing import only_call, recorded_calls, trace_of
from two_node_call import LEGS, two_node_call

from switchcast import Event
from switchcast.app.reports.trace_page import trace_page
from switchcast.archive.trace.ladder import rows_of
from switchcast.archive.trace.story import Story

LANES = """
[...document.querySelector('.ladder').querySelectorAll('%s')].map(each => {
  const box = each.getBoundingClientRect();
  return {left: box.left, right: box.right, top: box.top, bottom: box.bottom};
})
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


@pytest.fixture(scope="module")
def story() -> Story:
    return only_call(trace_of("1001", two_node_call()))


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, story: Story) -> Path:
    file = tmp_path_factory.mktemp("pages") / "call.html"
    file.write_text(trace_page(story), encoding="utf-8")
    return file


def boxes(browser: Browser, selector: str) -> list[dict[str, float]]:
    found: list[dict[str, float]] = browser.value(LANES % selector)
    return found


def middle(box: dict[str, float]) -> float:
    return (box["left"] + box["right"]) / 2


def test_the_page_is_legible_at_both_widths_and_in_both_schemes(browser: Browser, page: Path) -> None:
    assert_legible(browser, page, least_texts=100)


def test_the_page_tells_the_story(browser: Browser, page: Path, story: Story) -> None:
    browser.show(page, 1280)
    text: str = browser.value("document.body.innerText")
    for sentence in (
        "1001 called 2000 over fs1 and fs2",
        "C is transferred to 1002 (blind)",
        "B is hung up by fs2: 16 normal call clearing",
        "4.9 s later",
        "DTMF •",
        "BLIND_TRANSFER (blind transfer), by the telephone",
        "have one SIP Call-ID",
        LEGS["E"],
    ):
        assert sentence in text, sentence
    order = [text.index(row.words) for row in rows_of(story) if row.step.kind in {"begin", "transfer"}]
    assert order == sorted(order)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_ladder_is_in_place(browser: Browser, page: Path, story: Story, width: int) -> None:
    """Marks stand on their lifelines, arrows and bars reach from one to another, and words do not overlap."""
    browser.show(page, width)
    letters = boxes(browser, ".letter")
    assert len(letters) == len(story.legs)
    marks = boxes(browser, ".mark")
    rows = [row for row in rows_of(story) if row.at is not None and row.step.kind not in {"bridge", "unbridge"}]
    assert len(marks) == len(rows)
    for mark, row in zip(marks, rows, strict=True):
        assert middle(mark) == pytest.approx(middle(letters[row.at or 0]), abs=2)
    spans = [row for row in rows_of(story) if row.to is not None]
    lines = boxes(browser, ".lanes .arrow, .lanes .bridge")
    assert len(lines) == len(spans)
    for line, row in zip(lines, spans, strict=True):
        ends = sorted((row.at or 0, row.to or 0))
        assert line["left"] == pytest.approx(middle(letters[ends[0]]), abs=2)
        assert line["right"] == pytest.approx(middle(letters[ends[1]]), abs=2)
    for lanes, words in zip(boxes(browser, "ol .lanes"), boxes(browser, "ol .words"), strict=True):
        assert lanes["right"] <= words["left"] + 0.5
        assert words["right"] <= width


def test_the_page_is_printed_without_colours_of_the_screen(browser: Browser, page: Path) -> None:
    browser.show(page, 794, "dark", medium="print")
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert_fits(browser, 794)


@pytest.mark.parametrize("key", ["c8954013", "11b64889", "34239e9b"])
def test_other_calls_have_pages_too(browser: Browser, tmp_path: Path, key: str) -> None:
    page = tmp_path / "call.html"
    page.write_text(trace_page(only_call(recorded_calls(key)), detail=True), encoding="utf-8")
    for width in WIDTHS:
        browser.show(page, width)
        assert_quiet(browser, page)
        assert_fits(browser, width)


def hostile() -> Story:
    """A call of which every value is a stranger's."""
    events = []
    for event in two_node_call():
        headers = [
            (
                name,
                f"{value}{HOSTILE}{SCRIPT}" if name.startswith(("Caller-Caller", "Application", "Hangup")) else value,
            )
            for name, value in event.items()
        ]
        headers = [(name, f"fs1{SCRIPT}" if name == "Multicast-Sender" else value) for name, value in headers]
        events.append(Event.from_headers(headers))
    return only_call(trace_of(LEGS["A"], events))


def test_what_a_stranger_sends_is_text(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "hostile.html"
    page.write_text(trace_page(hostile(), detail=True), encoding="utf-8")
    for width in WIDTHS:
        browser.show(page, width)
        assert_quiet(browser, page)
        assert_fits(browser, width)
    assert browser.value("document.title") != "taken"
    assert SCRIPT in browser.value("document.body.textContent")
    elements: Any = browser.value("document.querySelectorAll('script, img, iframe, link, [onerror], [style]').length")
    assert elements == 0
    assert browser.value("document.querySelectorAll('style').length") == 1


def test_the_page_forbids_itself_what_it_does_not_have(browser: Browser, tmp_path: Path, story: Story) -> None:
    page = tmp_path / "pierced.html"
    page.write_text(trace_page(story).replace("<main>", f"<main>{SCRIPT}{HOSTILE}", 1), encoding="utf-8")
    browser.show(page, 1280)
    assert browser.value("document.title") != "taken"
    refused = [entry["entry"]["text"] for entry in browser.told("Log.entryAdded")]
    assert refused
    assert all("Content Security Policy" in text for text in refused)


def test_the_page_stands_by_itself(story: Story) -> None:
    page = trace_page(story)
    assert "url(" not in page
    assert "@import" not in page
    assert "src=" not in page
    assert "href=" not in page
