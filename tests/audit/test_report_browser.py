"""The report in a real browser: on a phone, on paper, in the dark, for keyboards and screen readers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit.report import render
from errata.findings import Finding
from errata.ledger import Ledger
from errata.vouching import Vouched

LONG = "a_class_whose_name_is_long_and_without_any_space_in_it"

# Contrast of every visible text with what is behind it, as WCAG 2 reckons it; pictures of text apart.
FAINT = """
const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4);
  return .2126 * r + .7152 * g + .0722 * b; };
const parts = s => (s.match(/[\\d.]+/g) || []).map(Number);
const behind = e => { for (; e; e = e.parentElement) { const c = parts(getComputedStyle(e).backgroundColor);
  if (c.length === 3 || c[3] > .99) return c.slice(0, 3); } return [255, 255, 255]; };
const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), faint = [];
while (walk.nextNode()) { const e = walk.currentNode.parentElement;
  if (!walk.currentNode.data.trim() || e.closest('svg, .unseen, .skip') || !e.getClientRects().length) continue;
  const a = light(parts(getComputedStyle(e).color).slice(0, 3)), b = light(behind(e));
  const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
  if (ratio < 4.5) faint.push([e.tagName, walk.currentNode.data.trim().slice(0, 30), ratio]); }
return faint;
"""

UNNAMED = """
const named = e => (e.tagName !== 'SECTION' && e.textContent.trim()) || e.getAttribute('aria-label')
  || (e.getAttribute('aria-labelledby') || '').split(' ').filter(Boolean).some(i => document.getElementById(i));
return [...document.querySelectorAll('a, img:not([alt]), summary, [tabindex], section, svg[role=img]')]
  .filter(e => !named(e)).map(e => e.outerHTML.slice(0, 200));
"""


@pytest.fixture(scope="module")
def browser(start_chromium) -> Any:
    driver = start_chromium()
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """A report with everything in it, on texts and on pictures."""
    rng = np.random.default_rng(0)
    n, found = 60, {}
    given = np.arange(n) % 3
    proposed = np.where(np.arange(n) < 20, (given + 1) % 3, given)
    lengths = np.arange(1, 40)
    sources = {
        "texts": [f"https://example.org/{'long' * 40}/{i} and a text of many words" for i in range(n)],
        "pictures": rng.integers(0, 256, (n, 3, 24, 24)).astype(np.uint8),
    }
    for name, source in sources.items():
        parts = pd.DataFrame(
            {
                "row": range(n),
                "given": LONG,
                "proposed": "B",
                "trust": 0.1,
                "issue": True,
                "rank": range(n),
                "label": LONG,
            }
        )
        ledger = Ledger(
            given,
            proposed,
            np.where(proposed != given, 0.1, 0.9),
            classes=["cat", LONG, "dog"],
            parts=parts,
            findings=[Finding("outliers", 3, "word " * 60, 0.8, np.arange(60), {"a": LONG, "b": [1, 2]})],
            vouched=Vouched(*[lengths / lengths.max() * s for s in (39, 0.9, 0.8, 1, 1, 9)], 20.0),
            meta={"annotators": [{"annotator": LONG, "labels": 3, "quality": 0.5}], "notes": ["A note."]},
        )
        ledger.data = errata.read(source, label=[["cat", LONG, "dog"][k] for k in given])
        file = tmp_path_factory.mktemp("report") / f"{name}.html"
        file.write_text(render(ledger), encoding="utf-8")
        found[name] = file.as_uri()
    return found


def shown(browser, url, *, width=1200, dark=False, media="screen"):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": scheme})
    browser.get(url)
    return browser


@pytest.mark.parametrize("name", ["texts", "pictures"])
@pytest.mark.parametrize("width", [340, 390, 800, 1400])
def test_nothing_is_wider_than_the_window(browser, pages, name, width):
    page = shown(browser, pages[name], width=width)
    assert page.execute_script("return document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.execute_script("return document.querySelectorAll('.rows > li').length") == 20


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["texts", "pictures"])
def test_every_text_can_be_read(browser, pages, name, dark):
    page = shown(browser, pages[name], dark=dark)
    page.execute_script("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert page.execute_script(FAINT) == []


def test_everything_has_a_name_and_a_place(browser, pages):
    for name in pages:
        page = shown(browser, pages[name])
        unnamed = page.execute_script(UNNAMED)
        assert unnamed == []
        assert page.execute_script(
            "return ['main', 'header', 'footer', 'nav', 'h1'].map(t => document.querySelectorAll(t).length)"
        ) == [1, 1, 1, 1, 1]
        levels = page.execute_script("return [...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert page.execute_script("return document.documentElement.lang") == "en"


def test_the_keyboard_reaches_what_can_be_opened(browser, pages):
    from selenium.webdriver.common.keys import Keys

    page = shown(browser, pages["texts"])
    seen = set()
    for _ in range(60):
        page.switch_to.active_element.send_keys(Keys.TAB)
        seen.add(page.execute_script("return document.activeElement.tagName"))
        if page.execute_script("return document.activeElement.tagName") == "SUMMARY":
            page.switch_to.active_element.send_keys(Keys.ENTER)
            break
    assert "A" in seen
    assert page.execute_script("return document.activeElement.parentElement.open")


def test_it_asks_for_nothing_and_complains_of_nothing(browser, pages):
    browser.get_log("browser")
    for url in pages.values():
        shown(browser, url)
    assert [e["message"] for e in browser.get_log("browser") if e["level"] in ("SEVERE", "WARNING")] == []
    assert (
        browser.execute_script(
            "return performance.getEntriesByType('resource').filter(r => !r.name.startsWith('data:')).length"
        )
        == 0
    )


def test_on_paper_it_is_black_on_white_whatever_the_screen(browser, pages):
    page = shown(browser, pages["texts"], dark=True, media="print")
    assert page.execute_script("return getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert page.execute_script("return getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.execute_script(FAINT) == []
