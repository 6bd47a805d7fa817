"""What every page of ours must be: legible at both widths and in both colour schemes, and quiet."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from browser import Browser, Scheme

__all__ = ["SCHEMES", "WIDTHS", "assert_fits", "assert_legible", "assert_quiet"]

LEAST_PIXELS: Final = 14
LEAST_CONTRAST: Final = 4.5
"""WCAG 2.2, level AA, for text of this size."""
WIDTHS: Final = (1280, 390)
SCHEMES: Final[tuple[Scheme, ...]] = ("light", "dark")

MEASURE: Final = """
(() => {
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(
    v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4
  ).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const numbers = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const found = [];
  for (const element of document.body.querySelectorAll('*')) {
    const words = [...element.childNodes].some(node => node.nodeType === 3 && node.data.trim());
    if (!words || !element.checkVisibility()) continue;
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    const [a, b] = [light(numbers(style.color)), light(behind(element))].sort((x, y) => y - x);
    found.push({
      what: element.tagName + '.' + element.className + ': ' + element.textContent.trim().slice(0, 40),
      size: parseFloat(style.fontSize), contrast: (a + 0.05) / (b + 0.05), right: box.right,
    });
  }
  return found;
})()
"""


def assert_quiet(browser: Browser, page: Path) -> None:
    """Nothing was logged, nothing thrown, and nothing asked for but the page itself."""
    assert browser.told("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded") == []
    assert [asked["request"]["url"] for asked in browser.told("Network.requestWillBeSent")] == [page.as_uri()]


def assert_fits(browser: Browser, width: int) -> None:
    assert browser.value("innerWidth") == width
    assert browser.value("document.documentElement.scrollWidth") <= width
    assert browser.value("document.body.scrollWidth") <= width


def assert_legible(browser: Browser, page: Path, *, least_texts: int) -> None:
    """Every text is large enough, stands out from what is behind it, and lies within the window."""
    backgrounds = set()
    for width in WIDTHS:
        for scheme in SCHEMES:
            browser.show(page, width, scheme)
            assert_quiet(browser, page)
            assert_fits(browser, width)
            texts: list[dict[str, Any]] = browser.value(MEASURE)
            assert len(texts) >= least_texts
            assert [each for each in texts if each["size"] < LEAST_PIXELS] == []
            assert [each for each in texts if each["contrast"] < LEAST_CONTRAST] == []
            assert [each for each in texts if each["right"] > width] == []
            backgrounds.add(browser.value("getComputedStyle(document.body).backgroundColor"))
    assert len(backgrounds) == len(SCHEMES)
