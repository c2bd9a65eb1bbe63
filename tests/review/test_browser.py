"""The page in a real browser: a person presses keys, and the decisions are in the database."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from PIL import Image

from errata.ledger import Ledger


def test_a_person_decides_with_single_keys(browser, opens):
    opened = opens(suggestion="me")
    page = browser.page(opened.port).open()
    page.until(lambda: page.one("input[name=name]").is_displayed())
    page.press("Ann", "\ue007")  # the suggestion is selected; Enter
    page.until(lambda: page.row == "0")
    page.decide("k", then="1")
    page.press("r")
    page.until(lambda: page.one("#picker").is_displayed())
    page.decide("ow", "\ue007", then="2")  # typing finds owl
    page.press("r")
    page.until(lambda: page.one("#picker").is_displayed())
    page.decide("1", then="3")  # the first class
    page.decide("p", then="4")  # as proposed
    page.decide("d", then="5")
    page.decide("s", then="6")
    page.decide("u", then="5")
    page.decide("d", then="6")
    assert [(d.row, d.action, d.label) for d in opened.record.standing()] == [
        (0, "keep", None),
        (1, "relabel", "owl"),
        (2, "relabel", "cat"),
        (3, "relabel", "dog"),
        (4, "drop", None),
        (5, "drop", None),
    ]
    assert {d.reviewer for d in opened.record.history()} == {"Ann"}
    assert [d.undone is None for d in opened.record.history()] == [True] * 5 + [False] + [True]
    assert "Row 5 dropped." in page.one(".said").text
    assert "6 of 15 suspicious rows decided" in page.one(".figures").text
    assert page.errors() == []


def test_keys_do_nothing_while_one_writes_and_a_note_goes_along(browser, opens):
    opened = opens(reviewer="ann")
    page = browser.page(opened.port).open()
    page.press("n", "keep skip drop", "\ue007")
    assert opened.record.standing() == []
    page.decide("k", then="1")
    assert opened.record.standing(0)[0].note == "keep skip drop"
    page.one("#help summary").click()
    page.one("#keys").click()
    page.press("d")
    time.sleep(0.3)
    assert page.row == "1"
    page.one("button.drop").click()  # the button still works
    page.until(lambda: page.row == "2")
    page.one("#keys").click()
    page.open()
    page.decide("d", then="3")


def test_the_list_of_classes_can_be_used_by_keyboard_and_left(browser, opens):
    opened = opens(reviewer="ann")
    page = browser.page(opened.port).open()
    page.press("r")
    page.until(lambda: page.one("#picker").is_displayed())
    assert page.one("#found [aria-selected=true]").text.startswith("dog")  # the proposed class
    assert page.one("#find").get_attribute("aria-activedescendant") == "class-1"
    page.press("\ue00c")  # Escape
    page.until(lambda: not page.one("#picker").is_displayed())
    page.press("r")
    page.press("xyz")
    page.until(lambda: "no such class" in page.one("#found-more").text)
    page.press("\ue007")
    assert opened.record.standing() == []
    page.press("\ue003" * 3)
    page.decide("\ue015", "\ue007", then="1")  # one down from cat, the first again
    assert opened.record.standing(0)[0].label == "dog"
    page.press("r")
    page.until(lambda: page.one("#picker").is_displayed())
    page.one("#class-0").click()
    page.until(lambda: page.row == "2")
    assert opened.record.standing(1)[0].label == "cat"


def test_filters_leafing_and_results_by_hand(browser, opens):
    opened = opens(reviewer="ann")
    page = browser.page(opened.port).open()
    page.decide("d", then="1")
    page.decide("k", then="2")
    page.one("#filter summary").click()
    page.one("select[name=show] option[value=decided]").click()
    page.one(".filter button").click()
    page.until(lambda: page.row == "0")
    page.decide("\ue014", then="1")  # right
    page.decide("\ue012", then="0")  # left
    assert "You dropped this row" in page.one(".panel").text
    page.open("/agreement")
    assert page.one("h1").text == "Results"
    assert page.errors() == []


def test_a_decision_outlasts_a_server_that_is_away_for_a_while(browser, opens):
    opened = opens(reviewer="ann")
    page = browser.page(opened.port).open()
    browser.driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    page.press("d")
    page.until(lambda: "Trying again" in page.one("#trouble").text)
    page.press("k")  # not taken for another decision
    browser.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    page.until(lambda: page.row == "1")
    assert not page.one("#trouble").is_displayed()
    assert [(d.row, d.action) for d in opened.record.history()] == [(0, "drop")]
    page.errors()


def test_pictures_can_be_enlarged(browser, opens, tmp_path):
    for name, colour in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("RGB", (1500, 700), colour).save(tmp_path / "pets" / name / "1.png")
    about = {"source": str(tmp_path / "pets")}
    Ledger([0, 1], [1, 1], [0.1, 0.9], classes=["cat", "dog"], meta=about).save(tmp_path / "audit", report=False)
    opened = opens(tmp_path / "audit", reviewer="ann")
    page = browser.page(opened.port).open()
    width = "return document.querySelector('{} img').naturalWidth"
    page.until(lambda: browser.driver.execute_script(width.format("#picture")) == 640)
    page.press("z")
    page.until(lambda: browser.driver.execute_script(width.format("#zoom")) == 1500)
    page.press("\ue00c")
    page.until(lambda: not page.one("#zoom").is_displayed())
    page.decide("d", then="1")
    assert page.errors() == []


def test_it_fits_a_phone_and_has_a_name_for_everything(browser, opens, tmp_path: Path):
    texts = ["word " * 400, *(f"https://example.org/{'long' * 60}/{i} and so on" for i in range(5))]
    names = ["a_class_whose_name_is_long_and_without_any_space_in_it", "another"]
    given = np.arange(6) % 2
    Ledger(given, 1 - given, np.arange(6) / 6, classes=names).save(tmp_path, report=False)
    opened = opens(tmp_path, reviewer="ann", data=texts)
    page = browser.page(opened.port)
    phone = {"width": 360, "height": 740, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    try:
        for path in ("/", "/?row=1", "/agreement", "/name"):
            page.open(path)
            overflow = browser.driver.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
            assert overflow <= 0, path
            unnamed = browser.driver.execute_script(
                "return [...document.querySelectorAll('input:not([type=hidden]), select, button, a, img')].filter(e =>"
                "!(e.textContent.trim() || e.alt || e.getAttribute('aria-label') || (e.labels && e.labels.length)"
                " || e.hidden || e.closest('dialog'))).map(e => e.outerHTML)"
            )
            assert unnamed == []
        page.open("/?row=0")
        keep = page.one("button.keep").rect
        assert 0 < keep["y"] < 740  # reached without scrolling, below a long text
        assert keep["height"] >= 44
    finally:
        browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
