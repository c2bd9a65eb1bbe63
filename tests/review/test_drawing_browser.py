"""Drawing in a real browser, with keys, mouse and fingers: what is seen is what is kept."""

from __future__ import annotations

import json

import pytest

import errata

LEFT, RIGHT, UP, DOWN, SHIFT = "\ue012", "\ue014", "\ue013", "\ue015", "\ue008"
ENTER, ESCAPE, DELETE, TAB = "\ue007", "\ue00c", "\ue017", "\ue004"


@pytest.fixture
def boxes(browser, opens, ledgers, tmp_path):
    """The page with the boxes of row 3, where one is missing."""
    opened = opens(ledgers.boxes(tmp_path), reviewer="ann")
    return opened, browser.page(opened.port).open("/?row=3")


def begin(page, name="e"):
    page.press(name)
    page.until(lambda: page.one("#draw").is_displayed() and page.one("#draw-board").rect["width"] > 50)


def labels(opened):
    return {d.row: d.label if d.label is None else json.loads(d.label) for d in opened.record.standing()}


def shown(page):
    """The boxes as the page tells them to a screen reader."""
    return [g.get_attribute("aria-label") for g in page.driver.find_elements("css selector", "#draw-board g[data-id]")]


def press_with(page, held, keys):
    from selenium.webdriver.common.action_chains import ActionChains

    ActionChains(page.driver).key_down(held).send_keys(keys).key_up(held).perform()


def drag(page, start, end, size=(40, 30)):
    """The mouse, pressed, from a pixel of the picture to another."""
    from selenium.webdriver.common.actions.action_builder import ActionBuilder
    from selenium.webdriver.common.actions.pointer_input import PointerInput

    board = page.one("#draw-board").rect
    width, height = size
    at = [(board["x"] + x * board["width"] / width, board["y"] + y * board["height"] / height) for x, y in (start, end)]
    action = ActionBuilder(page.driver, mouse=PointerInput("mouse", "mouse"), duration=10)
    pointer = action.pointer_action
    pointer.move_to_location(*map(round, at[0])).pointer_down()
    pointer.move_to_location(*(round((a + b) / 2) for a, b in zip(*at)))
    pointer.move_to_location(*map(round, at[1])).pointer_up()
    action.perform()


def test_a_box_is_added_moved_and_resized_with_keys_alone(boxes):
    opened, page = boxes
    begin(page)
    assert shown(page) == ["red, 5, 5 to 15, 15 (10 × 10)", "blue, 20, 18 to 35, 28 (15 × 10)"]  # as proposed
    page.press("2", "a")
    assert shown(page)[2].startswith("blue, 15, 11 to 25, 19")
    page.press(LEFT * 3, UP)
    assert shown(page)[2].startswith("blue, 12, 10 to 22, 18")
    press_with(page, SHIFT, RIGHT * 4 + UP)  # only the right and lower edges
    assert shown(page)[2].startswith("blue, 12, 10 to 26, 17")
    assert page.one("#draw-said").text.startswith("blue, 12, 10 to 26, 17")
    page.press(UP * 40)  # no further than the picture
    assert shown(page)[2].startswith("blue, 12, 0 to 26, 7")
    page.press("1")
    assert shown(page)[2].startswith("red, 12, 0")
    page.press("uu")
    assert shown(page)[2].startswith("blue, 12, 10 to 26, 17")
    page.press("y")
    assert shown(page)[2].startswith("blue, 12, 0 to 26, 7")
    page.press(ESCAPE, RIGHT)  # nothing is selected: the first is
    assert page.one("#draw-said").text.startswith("red, 5, 5")
    page.press(DELETE)
    assert len(shown(page)) == 2
    before = page.row
    page.press(ENTER)
    page.until(lambda: page.row != before)
    assert not page.one("#draw").is_displayed()
    assert labels(opened)[3] == [{"label": "blue", "box": [20, 18, 35, 28]}, {"label": "blue", "box": [12, 0, 26, 7]}]
    page.press("u")  # back on the page, its own undo brings the row and what was drawn again
    page.until(lambda: page.row == before)
    begin(page)
    assert [one[:8] for one in shown(page)] == ["blue, 20", "blue, 12"]
    assert page.one("#draw-own").is_displayed()
    page.one("#draw-given").click()
    assert shown(page) == ["red, 5, 5 to 15, 15 (10 × 10)"]
    page.press("u")
    assert len(shown(page)) == 2
    assert page.errors() == []


def test_boxes_are_drawn_moved_and_resized_with_the_mouse(boxes):
    opened, page = boxes
    begin(page)
    drag(page, (1, 20), (8, 28))
    assert shown(page)[2] == "red, 1, 20 to 8, 28 (7 × 8)"
    drag(page, (4, 24), (10, 22))  # the selected one moves
    assert shown(page)[2] == "red, 7, 18 to 14, 26 (7 × 8)"
    drag(page, (14, 26), (18, 29))  # by its corner
    assert shown(page)[2] == "red, 7, 18 to 18, 29 (11 × 11)"
    drag(page, (7, 22), (3, 25))  # by its side: only across
    assert shown(page)[2] == "red, 3, 18 to 18, 29 (15 × 11)"
    drag(page, (10, 10), (10, 10))  # a click selects another
    assert page.one("#draw-said").text.startswith("red, 5, 5")
    page.press(DELETE)
    drag(page, (38, 1), (41, -1))  # cut at the picture's edge
    assert shown(page)[2] == "red, 38, 0 to 40, 1 (2 × 1)"
    page.press("u", "u", "u")
    assert shown(page)[0].startswith("red, 5, 5")
    assert len(shown(page)) == 3
    page.one("#draw-chips button:nth-child(2)").click()
    page.one("#draw-save").click()
    page.until(lambda: page.row != "3")
    assert [one["label"] for one in labels(opened)[3]] == ["red", "blue", "blue"]
    assert page.errors() == []


def fingers(page, kind, *points):
    at = [{"x": round(x), "y": round(y), "id": i} for i, (x, y) in enumerate(points)]
    page.driver.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})


PHONE = {"width": 390, "height": 740, "deviceScaleFactor": 1, "mobile": True}


@pytest.fixture
def phone(browser):
    """The browser as a phone."""
    run = browser.driver.execute_cdp_cmd
    run("Emulation.setDeviceMetricsOverride", PHONE)
    run("Emulation.setTouchEmulationEnabled", {"enabled": True})
    yield browser
    run("Emulation.setTouchEmulationEnabled", {"enabled": False})
    run("Emulation.clearDeviceMetricsOverride", {})


def test_fingers_draw_zoom_and_save_on_a_phone(phone, boxes):
    opened, page = boxes
    begin(page)
    board = page.one("#draw-board").rect
    x, y, scale = board["x"], board["y"], board["width"] / 40
    at = [(x + 2 * scale, y + 18 * scale), (x + 5 * scale, y + 20 * scale), (x + 8 * scale, y + 24 * scale)]
    fingers(page, "touchStart", at[0])
    fingers(page, "touchMove", at[1])
    fingers(page, "touchMove", at[2])
    fingers(page, "touchEnd")
    assert shown(page)[2].startswith("red, 2, 18 to 8, 24")
    middle = (x + 195, y + 100)
    fingers(page, "touchStart", (middle[0] - 30, middle[1]))
    fingers(page, "touchStart", (middle[0] - 30, middle[1]), (middle[0] + 30, middle[1]))
    for far in range(40, 100, 10):
        fingers(page, "touchMove", (middle[0] - far, middle[1]), (middle[0] + far, middle[1]))
    fingers(page, "touchEnd")
    assert page.one("#draw-board").rect["width"] > 2.5 * board["width"]
    assert len(shown(page)) == 3  # that drew nothing
    page.one("#draw-fit").click()
    assert page.one("#draw-board").rect["width"] == board["width"]
    script = (
        "return [...document.querySelectorAll('#draw button')].filter(e => e.offsetParent).map(e => e.offsetHeight)"
    )
    assert min(page.driver.execute_script(script)) >= 44
    script = "const d = document.querySelector('#draw'); return d.scrollWidth - d.clientWidth"
    assert page.driver.execute_script(script) == 0
    page.one("#draw-save").click()
    page.until(lambda: page.row != "3")
    assert labels(opened)[3][2] == {"label": "red", "box": [2, 18, 8, 24]}
    assert page.errors() == []


def test_a_drawing_outlasts_a_closed_dialog_a_refusal_and_a_server_that_is_away(boxes):
    opened, page = boxes
    begin(page)
    page.press("a", ESCAPE, ESCAPE)  # the first only lets go of the box
    page.until(lambda: not page.one("#draw").is_displayed())
    assert "unsaved" in page.one("button.draw").get_attribute("class")
    begin(page)
    assert len(shown(page)) == 3
    page.driver.execute_script("window.send = errata.send; errata.send = (f) => window.send({ ...f, shapes: '[7]' })")
    page.press(ENTER)
    page.until(lambda: "Not saved" in page.one("#draw-trouble").text)
    assert "'label' and 'box'" in page.one("#draw-trouble").text
    page.driver.execute_script("errata.send = window.send")
    offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.enable", {})
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    page.press(ENTER)
    page.until(lambda: "Trying again" in page.one("#draw-trouble").text)
    page.press(ENTER)  # not another decision
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", {**offline, "offline": False})
    page.until(lambda: page.row != "3")
    assert [(d.row, len(json.loads(d.label))) for d in opened.record.history()] == [(3, 3)]
    assert not page.one("#draw").is_displayed()
    begin(page)
    assert len(shown(page)) == 2  # the next row's own
    page.errors()


@pytest.fixture
def tokens(browser, opens, ledgers, tmp_path):
    """The page with the tokens of row 13, of which one is not labelled."""
    opened = opens(ledgers.tokens(tmp_path), reviewer="ann")
    return opened, browser.page(opened.port).open("/?row=13")


def words(page):
    return [one.get_attribute("aria-label") for one in page.driver.find_elements("css selector", ".words span")]


def test_tokens_are_marked_with_keys_alone(tokens):
    opened, page = tokens
    begin(page)
    assert words(page) == ["🎉: none", "Eve: PER", "saw: none", "New: LOC", "York: LOC"]
    assert page.one("#draw-said").text == "New York – LOC"  # what is doubtful, all of its entity
    page.press(LEFT, LEFT, LEFT)
    assert page.one("#draw-said").text == "🎉"
    press_with(page, SHIFT, RIGHT * 2)
    assert page.one("#draw-said").text == "🎉 Eve saw"
    page.press("1")  # LOC: takes the place of Eve's entity
    assert words(page)[:4] == ["🎉: LOC", "Eve: LOC", "saw: LOC", "New: LOC"]
    page.press("u", LEFT)
    assert words(page)[:2] == ["🎉: none", "Eve: PER"]
    page.press(RIGHT, DELETE)
    assert words(page)[1] == "Eve: none"
    page.press(RIGHT, RIGHT, "<", "2")  # of New York only New, as PER; York stays what it was
    assert words(page)[3:] == ["New: PER", "York: LOC"]
    page.press(ENTER)
    page.until(lambda: page.row != "13")
    assert labels(opened)[13] == ["O", "O", "O", "B-PER", "B-LOC"]
    assert page.errors() == []


def test_tokens_are_marked_with_mouse_and_finger(tokens, phone):
    from selenium.webdriver.common.action_chains import ActionChains

    opened, page = tokens
    begin(page)
    items = page.driver.find_elements("css selector", ".words span")
    chain = ActionChains(page.driver, duration=10).click_and_hold(items[1]).move_to_element(items[2])
    chain.release().perform()
    assert page.one("#draw-said").text == "Eve saw"
    page.one("#draw-chips button:nth-child(1)").click()
    at = items[4].rect
    fingers(page, "touchStart", (at["x"] + 5, at["y"] + 5))
    fingers(page, "touchEnd")
    assert page.one("#draw-said").text == "New York – LOC"
    page.one("#draw-tools button:nth-child(2)").click()  # none
    assert words(page) == ["🎉: none", "Eve: LOC", "saw: LOC", "New: none", "York: none"]
    page.one("#draw-save").click()
    page.until(lambda: page.row != "13")
    assert labels(opened)[13] == ["O", "B-LOC", "I-LOC", "O", "O"]
    assert page.errors() == []


def test_a_name_of_a_class_is_text_and_nothing_else(browser, opens, ledgers, tmp_path):
    name = "<img src=x onerror=document.title='owned'>"
    ledgers.boxes(tmp_path)
    text = (tmp_path / "boxes.json").read_text().replace('"blue"', json.dumps(name))
    (tmp_path / "boxes.json").write_text(text)
    place = {name: str(tmp_path / name) for name in ("boxes.json", "seen.json", "images")}
    ledger = errata.audit(
        place["boxes.json"], predictions=place["seen.json"], task="boxes", images=place["images"], progress=False
    )
    opened = opens(ledger.save(tmp_path / "odd", report=False), reviewer="ann")
    page = browser.page(opened.port).open("/?row=3")
    begin(page)
    assert name in page.one("#draw-chips").text
    page.press("2", "a", ENTER)
    page.until(lambda: page.row != "3")
    assert labels(opened)[3][2]["label"] == name
    assert "owned" not in page.driver.title
    assert page.errors() == []


@pytest.fixture
def masks(browser, opens, ledgers, tmp_path):
    """The page with the mask of row 4, 40 x 30 pixels, whose first line has no class."""
    opened = opens(ledgers.masks(tmp_path), reviewer="ann")
    return opened, browser.page(opened.port).open("/?row=4")


def painted(opened, row=4):
    """What a decision makes of the mask."""
    form = opened.queue.wholes.form
    (label,) = [d.label for d in opened.record.standing() if d.row == row]
    return form.given(row), form.read(row, label)


def test_a_mask_is_painted_with_the_mouse(masks):
    opened, page = masks
    begin(page)
    page.press("3", "b", "[", "[", "[", "[")  # blue, with a brush of one pixel
    drag(page, (2.5, 25.5), (8.5, 25.5))
    page.press("o", "2")
    drag(page, (1, 17), (1, 17))  # an outline, corner by corner
    drag(page, (7, 17), (7, 17))
    drag(page, (7, 22), (7, 22))
    drag(page, (1, 22), (1, 22))
    page.press(ENTER)
    assert page.one("#draw-said").text == "30 pixels: red"
    page.press("f", "1")
    drag(page, (10, 10), (10, 10))  # the red square becomes ground
    assert page.one("#draw-said").text == "100 pixels: ground"
    page.press("u", "y", "4")  # no class
    drag(page, (37, 0.5), (37, 0.5))  # what has none stays as it is
    assert page.one("#draw-said").text == "Nothing changes."
    page.one("#draw-save").click()
    page.until(lambda: page.row != "4")
    given, new = painted(opened)
    expected = given.copy()
    expected[18:28, 20:35] = 2  # as proposed
    expected[25, 2:9] = 2
    expected[17:22, 1:7] = 1
    expected[5:15, 5:15] = 0
    assert (new == expected).all()
    assert page.errors() == []


def test_a_mask_is_painted_with_keys_alone(masks):
    opened, page = masks
    begin(page)
    page.one("#draw-given").click()
    page.press("[" * 4, "3")
    page.press(RIGHT)  # the cross appears in the middle
    assert page.one("#draw-said").text == "20, 15: ground"
    press_with(page, "\ue009", UP)  # ten pixels
    assert page.one("#draw-said").text == "20, 5: ground"
    page.press(" ")
    press_with(page, SHIFT, RIGHT * 3 + DOWN)
    page.press("u")  # the whole way was one step
    press_with(page, SHIFT, RIGHT * 3 + DOWN)
    page.press("o", "2", RIGHT * 4, " ", RIGHT * 4, " ", DOWN * 4, " ", LEFT * 4, " ", ENTER)
    page.press(ENTER)
    page.until(lambda: page.row != "4")
    given, new = painted(opened)
    expected = given.copy()
    expected[5, 20] = expected[6, 23:27] = expected[7, 26] = 2  # the cross went on from where it was
    expected[7:11, 30:34] = 1
    assert (new == expected).all()
    assert page.errors() == []


def test_a_mask_is_painted_with_a_finger_and_shown_again(masks, phone):
    opened, page = masks
    begin(page)
    page.one("#draw-chips button:nth-child(3)").click()
    page.one("#draw-tools button:nth-child(2)").click()  # an outline, in one go
    board = page.one("#draw-board").rect
    scale = board["width"] / 40
    ring = [(2, 17), (9, 17), (9, 20), (9, 24), (5, 24), (2, 24), (2, 20)]
    at = [(board["x"] + x * scale, board["y"] + y * scale) for x, y in ring]
    fingers(page, "touchStart", at[0])
    for place in at[1:]:
        fingers(page, "touchMove", place)
    fingers(page, "touchEnd")
    assert page.one("#draw-said").text == "49 pixels: blue"
    page.one("#draw-save").click()
    page.until(lambda: page.row != "4")
    given, new = painted(opened)
    assert (new[17:24, 2:9] == 2).all()
    assert int((given != new).sum()) == 49 + 150
    page.open("/?row=4")
    assert "199 pixels changed" in page.one(".panel").text
    assert page.errors() == []
