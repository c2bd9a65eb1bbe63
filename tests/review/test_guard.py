"""What others may not do: from other sites, with other names, without the token, and with what they write."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser
from urllib.parse import urlencode

import numpy as np
import pytest

from errata.errors import ParameterError
from errata.ledger import Ledger
from errata.review.guard import BODY, is_loopback
from errata.review.server import _token

TOKEN = "a-token-that-is-long"


FOREIGN = (
    "evil.example",
    "127.0.0.1.evil.example",
    " ",
    "localhost.",
    "8.8.8.8",
    "[::1",
    "evil@",
    "a b",
    "localhost/x",
)


def test_only_our_own_names_are_answered(opens):
    opened = opens()
    for host in FOREIGN:
        reply = opened.person(host=host).get("/name")
        assert reply.status in (400, 421), host
        assert "Who are you" not in reply.text


def test_this_machine_may_be_called_by_any_of_its_names_and_through_a_tunnel(opens):
    opened = opens()
    for host in ("localhost", "LOCALHOST:99", "127.0.0.1", "[::1]:8765"):
        assert opened.person(host=host).get("/name").status == 200, host


def test_other_sites_can_neither_write_nor_read(opens):
    opened = opens()
    ann = opened.person("ann")
    for origin in (
        "http://evil.example",
        "null",
        "http://127.0.0.1:1",
        f"http://e@127.0.0.1:{opened.port}",
        "file://",
        "",
    ):
        assert ann.post("/decide", {"row": 0, "action": "drop"}, origin=origin).status == 403, origin
        assert ann.get("/", origin=origin).status == 403, origin
    assert opened.record.standing() == []


def test_our_own_pages_can(opens):
    opened = opens()
    ann = opened.person("ann")
    reply = ann.post("/decide", {"row": 0, "action": "drop"}, origin=f"http://127.0.0.1:{opened.port}")
    assert reply.status == 303
    assert len(opened.record.standing()) == 1


def test_a_browser_that_says_the_form_is_anothers_is_believed(opens):
    opened = opens()
    ann = opened.person("ann")
    assert ann.post("/decide", {"row": 0, "action": "drop"}, sec_fetch_site="cross-site").status == 403
    assert ann.post("/decide", {"row": 0, "action": "drop"}, sec_fetch_site="same-site").status == 403
    assert opened.record.standing() == []


def test_a_form_must_come_from_a_page_of_ours(opens):
    opened = opens()
    ann = opened.person("ann")
    for path in ("/decide", "/undo", "/name"):
        for wrong in ("", "&csrf=", "&csrf=wrong", "&csrf=é", f"&csrf={ann.cookies['errata_form']}x"):
            assert ann.ask("POST", path, f"row=0&action=drop&name=x{wrong}").status == 403, (path, wrong)
    ann.cookies.pop("errata_form")
    assert ann.ask("POST", "/decide", "csrf=&row=0&action=drop").status == 403
    assert opened.record.standing() == []


def test_decisions_are_made_by_post_only(opens):
    opened = opens()
    ann = opened.person("ann")
    for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert ann.ask(method, "/decide?row=0&action=drop").status == 405
    assert opened.record.standing() == []


# -- the token ---------------------------------------------------------------------------------------------------------


def test_without_the_token_nothing_is_shown(opens):
    opened = opens(token=TOKEN)
    for path in (
        "/",
        "/work",
        "/image?row=0",
        "/decisions.csv",
        "/agreement",
        "/static/review.js",
        "/nowhere",
        "/name",
    ):
        reply = opened.person().get(path)
        assert reply.status == 401, path
        assert "animal" not in reply.text
    assert opened.person().post("/decide", {"row": 0, "action": "drop"}).status == 401


def test_the_token_in_the_address_becomes_a_cookie(opens):
    opened = opens(token=TOKEN)
    ann = opened.person()
    reply = ann.get(f"/?given=cat&token={TOKEN}")
    assert (reply.status, reply.headers["location"]) == (303, "/?given=cat")
    assert "HttpOnly" in reply.headers["set-cookie"]
    assert TOKEN not in reply.headers["set-cookie"]
    ann.join("ann")
    assert ann.get("/?given=cat").status == 200
    assert opened.person().get("/name", authorization=f"Bearer {TOKEN}").status == 200


def test_a_wrong_token_is_refused_slowly(opens):
    opened = opens(token=TOKEN)
    start = time.monotonic()
    for guess in ("wrong", TOKEN[:-1], TOKEN + "x", "%C3%A9"):
        assert opened.person().get(f"/?token={guess}").status == 401
    assert time.monotonic() - start > 4 * 0.4
    forger = opened.person(cookies={"errata_token_00000000": "1", next(iter(_cookie(opened))): "forged"})
    assert forger.get("/name").status == 401


def _cookie(opened):
    person = opened.person()
    person.get(f"/?token={TOKEN}")
    return person.cookies


def test_the_way_on_from_the_token_leads_nowhere_else(opens):
    opened = opens(token=TOKEN)
    for path in ("//evil.example/", "/\\evil.example", "///evil.example", "/%0d%0aset-cookie:x=y", "/%5cevil.example"):
        reply = opened.person().get(f"{path}?token={TOKEN}")
        assert reply.status == 303, path
        assert re.match(r"/(?![/\\])", reply.headers["location"]), path
        assert "x=y" not in reply.headers["set-cookie"], path


def test_on_a_network_any_address_is_answered_but_no_foreign_name(opens):
    opened = opens(host="0.0.0.0", token=TOKEN)
    assert opened.person(host="192.168.3.4:8765").get(f"/name?token={TOKEN}").status == 303
    assert opened.person(host="evil.example").get(f"/name?token={TOKEN}").status == 421


def test_who_listens_on_a_network_needs_a_token():
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org", ""):
        assert not is_loopback(host)
        with pytest.raises(ParameterError, match="--token auto"):
            _token(host, None)
    for host in ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost"):
        assert is_loopback(host)
        assert _token(host, None) is None
    with pytest.raises(ParameterError, match="12 characters"):
        _token("0.0.0.0", "secret")
    made = {_token("0.0.0.0", "auto") for _ in range(3)}
    assert len(made) == 3
    assert min(map(len, made)) >= 32


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_large_bodies_are_refused_before_they_are_read(opens):
    ann = opens().person("ann")
    assert ann.ask("POST", "/decide", "row=0&action=drop", content_length=str(BODY + 1)).status == 413
    assert ann.ask("POST", "/decide", "", content_length=str(10**15)).status == 413
    chunks = f"{BODY + 10:x}\r\n" + "x" * (BODY + 10) + "\r\n0\r\n\r\n"
    assert ann.ask("POST", "/decide", chunks, transfer_encoding="chunked", content_length="0").status in (400, 413)
    assert ann.get("/").status == 200


def test_bodies_that_are_no_forms_are_refused(opens):
    ann = opens().person("ann")
    assert ann.ask("POST", "/decide", "\ud83d".encode("utf-8", "replace").decode() + "%ff%fe&&&=").status == 403
    assert ann.ask("POST", "/decide", '{"row": 0}', content_type="application/json").status == 403


PATHS = [
    "/static/../app.py",
    "/static/..%2fapp.py",
    "/static/%2e%2e/%2e%2e/app.py",
    "/static//etc/passwd",
    "/static/review.js%00.css",
    "/static/",
    "/../../etc/passwd",
    "/decisions.sqlite",
    "/ledger.parquet",
    "/animals.csv",
    "/image?row=../animals.csv",
    "/image?row=%2Fetc%2Fpasswd",
    "/openapi.json",
    "/docs",
]


def test_no_file_is_served_that_is_not_ours_to_show(opens):
    ann = opens().person("ann")
    for path in PATHS:
        reply = ann.get(path)
        assert reply.status in (400, 404), (path, reply.text)
        assert b"root:" not in reply.body
        assert b"SQLite format" not in reply.body


def test_every_answer_forbids_scripts_and_frames_of_others(opens):
    opened = opens()
    ann = opened.person("ann")
    for reply in (ann.get("/"), ann.get("/nowhere"), ann.get("/static/review.js"), opened.person(host="x").get("/")):
        policy = reply.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert reply.headers["x-content-type-options"] == "nosniff"
    assert ann.get("/").headers["cache-control"] == "no-store"


EVIL = "\"><script>alert(1)</script><img src=x onerror=alert(2)>'{{7*7}}</textarea></option>"


class Seen(HTMLParser):
    """What a browser would make of a page: its tags with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_what_is_in_the_data_is_shown_and_never_run(opens, tmp_path):
    texts = [f"{EVIL} text number {i} of some length" for i in range(6)]
    given = np.arange(6) % 2
    ledger = Ledger(given, 1 - given, np.arange(6) / 6, classes=[EVIL, EVIL + "2"], meta={"source": EVIL})
    ledger.save(tmp_path, report=False)
    opened = opens(tmp_path, data=texts)
    evil = opened.person().join(EVIL)
    assert evil.decide(0, "relabel", EVIL + "2", note=EVIL).status == 200
    pages = [evil.get(path).text for path in ("/?row=0", "/", "/agreement", "/name", "/?show=decided")]
    pages.append(evil.get(f"/?{urlencode({'given': EVIL + 'x'})}").text)
    pages.append(evil.decide(2, "drop", note=EVIL).json["html"])
    for page in pages:
        seen = Seen(page)
        for tag, attributes in seen.tags:
            assert not [name for name in attributes if name.startswith("on")]
            assert tag != "script" or attributes["src"].startswith("/static/")
            assert tag != "img" or (attributes.get("src") or "/image").startswith("/image")
            assert not (attributes.get("href") or "/").startswith("javascript:")
    assert Seen(pages[0]).text.count(EVIL) >= 6  # title, text, given, proposed, decision, note: as they are
    assert EVIL + "x" in Seen(pages[5]).text


def test_pages_hold_no_inline_script_or_style(opens):
    ann = opens().person("ann")
    ann.decide(0, "drop")
    for path in ("/", "/?row=0", "/agreement", "/name", "/nowhere"):
        page = ann.get(path).text
        assert not re.search(r"<script(?![^>]*\bsrc=)", page)
        assert not re.search(r"\son\w+=|\sstyle=|javascript:", page)
        assert not re.search(r"https?://", page)  # it works offline
