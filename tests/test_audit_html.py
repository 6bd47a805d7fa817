"""The audit's page in a real browser: legible at both widths and in both colour schemes, inert whatever is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from audit_samples import HOSTILE, SCRIPT, hostile_events, recorded_report, report_of
from browser import Browser, browsing
from pages import WIDTHS, assert_fits, assert_legible, assert_quiet

from switchcast.app.reports.audit_words import TITLES
from switchcast.app.reports.html import html_page
from switchcast.guard.audit.leaks import Leak


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("pages") / "recorded.html"
    page.write_text(html_page(recorded_report()), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as browser:
        yield browser


def test_the_page_is_legible_at_both_widths_and_in_both_schemes(browser: Browser, recorded: Path) -> None:
    assert_legible(browser, recorded, least_texts=200)


def test_the_page_says_what_the_audit_found(browser: Browser, recorded: Path) -> None:
    browser.show(recorded, 1280)
    text = browser.value("document.body.innerText")
    report = recorded_report()
    for row in report.leaks:
        assert TITLES[row.leak] in text
    for finding in report.findings:
        assert finding.title in text
        assert all(mend.how in text for mend in finding.mends)
    for sentence in (
        "1,877",
        "225.1.1.1 port 4242",
        "not scoped",
        "up to 7 routers may forward it",
        "freeswitch (pid 812)",
        "a program of another user",
        "Whoever hears a datagram can read it".lower(),
        "Under the policy suggested",
    ):
        assert sentence in text or sentence in text.lower(), sentence
    assert "[policies.suggested]" in browser.value("document.body.textContent")
    first = text.partition("What leaves")[0]
    assert all(finding.title in first for finding in report.findings)
    links = browser.value(
        "[...document.querySelectorAll('.wrong a')].map(a => document.querySelector(a.hash)?.innerText)"
    )
    assert [finding.title in shown for finding, shown in zip(report.findings, links, strict=True)] == [True] * len(
        links
    )
    order = [text.index(heading) for heading in ("What leaves", "How far it goes", "What is wrong", "Under the policy")]
    assert order == sorted(order)


def test_what_was_folded_is_printed(browser: Browser, recorded: Path) -> None:
    browser.show(recorded, 794)
    folded = "[...document.querySelectorAll('details > table, details > pre')].filter(t => t.checkVisibility()).length"
    height = "document.documentElement.scrollHeight"
    on_screen = browser.value(height)
    assert browser.value("document.querySelectorAll('details').length") > 0
    assert browser.value(folded) == 0
    browser.show(recorded, 794, medium="print")
    assert browser.value(height) > on_screen
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_what_a_stranger_sends_is_text(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "hostile.html"
    report = report_of(hostile_events(), reveal=True)
    page.write_text(html_page(report), encoding="utf-8")
    for width in WIDTHS:
        browser.show(page, width)
        assert_quiet(browser, page)
        assert_fits(browser, width)
    assert browser.value("document.title").startswith("Audit of multicast://225.1.1.1:4242")
    text = browser.value("document.body.textContent")
    assert HOSTILE in text
    assert SCRIPT in text
    assert "\\u202eCaller-ANI\\x07" in text
    assert (
        browser.value("document.querySelectorAll('script, img, iframe, object, link, [onerror], [style]').length") == 0
    )
    assert browser.value("document.querySelectorAll('style').length") == 1


def test_the_page_forbids_itself_what_it_does_not_have(browser: Browser, tmp_path: Path) -> None:
    """Even where something did get in as an element, it would not run and not be loaded."""
    page = tmp_path / "pierced.html"
    pierced = html_page(report_of(hostile_events(), keep=())).replace("<main>", f"<main>{SCRIPT}{HOSTILE}", 1)
    page.write_text(pierced, encoding="utf-8")
    browser.show(page, 1280)
    assert browser.value("document.title") != "taken"
    assert browser.value("document.querySelector('h1').checkVisibility()") is True
    refused = [entry["entry"]["text"] for entry in browser.told("Log.entryAdded")]
    assert len(refused) >= 3
    assert all("Content Security Policy" in text for text in refused)


class Addresses(HTMLParser):
    """Every attribute by which a page could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action", "data"}]


def test_the_page_stands_by_itself() -> None:
    page = html_page(recorded_report())
    addresses = Addresses()
    addresses.feed(page)
    assert addresses.found
    assert all(re.fullmatch(r"#[a-z-]+", address) for address in addresses.found)
    assert "url(" not in page
    assert "@import" not in page
    assert all(f'href="#{leak}"' in page for leak in (Leak.CONTENT, Leak.NUMBERS))


def test_an_audit_that_heard_nothing_has_a_page(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "empty.html"
    page.write_text(html_page(report_of([], keep=())), encoding="utf-8")
    browser.show(page, 390)
    assert_quiet(browser, page)
    assert_fits(browser, 390)
    assert "No event came." in browser.value("document.body.innerText")
