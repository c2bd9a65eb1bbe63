"""A review opened for real: a folder with data and a ledger, a server, and people who speak HTTP with it."""

from __future__ import annotations

import contextlib
import csv
import http.client
import importlib.util
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest

from errata.ledger import Ledger


def write_ledger(folder: Path, n: int = 30, classes: Sequence[str] = ("cat", "dog", "owl"), **meta: Any) -> Ledger:
    """Row i of n has trust i / n; the first half is flagged; a text file of as many rows is the source."""
    k = len(classes)
    given = np.arange(n) % k
    proposed = np.where(np.arange(n) < n // 2, (given + 1) % k, given)
    source = folder / "animals.csv"
    with open(source, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows(
            (f"This is the long text of animal {i}, which says meow.", classes[c]) for i, c in enumerate(given)
        )
    about = {"source": str(source), "label": "label", **meta}
    ledger = Ledger(given, proposed, np.arange(n) / n, classes=list(classes), meta=about)
    ledger.save(folder, report=False)
    return ledger


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ledger of 30 texts: row 0 is the most suspicious, rows 0 to 14 are flagged."""
    write_ledger(tmp_path)
    return tmp_path


@pytest.fixture
def make_ledger() -> Callable[..., Ledger]:
    return write_ledger


@pytest.fixture(scope="session")
def ledgers() -> ModuleType:
    """The functions that make ledgers of labels that are no classes, over small data in files."""
    path = Path(__file__).parents[1] / "exchange" / "ledgers.py"
    spec = importlib.util.spec_from_file_location("exchange_ledgers", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@dataclass
class Reply:
    """What the server answered."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Person:
    """Someone with a browser: keeps cookies, sends forms."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)
    host: str = ""
    token: str = ""

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        given = {name.replace("_", "-").lower(): value for name, value in headers.items()}
        sent = {"host": self.host or f"127.0.0.1:{self.port}", **given}
        if self.cookies:
            sent["cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            sent.setdefault("content-type", "application/x-www-form-urlencoded")
            sent.setdefault("content-length", str(len(body.encode())))
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in sent.items():
            connection.putheader(name, value)
        connection.endheaders(body.encode() if body is not None else None)
        answer = connection.getresponse()
        reply = Reply(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        for line in answer.headers.get_all("set-cookie") or []:
            for name, morsel in SimpleCookie(line).items():
                self.cookies[name] = morsel.value
        connection.close()
        return reply

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, fields: dict[str, Any] | None = None, **headers: str) -> Reply:
        """Send a form as our pages do: with the cookie's value in it."""
        values = {"csrf": self.cookies.get("errata_form", ""), **(fields or {})}
        return self.ask("POST", path, urlencode(values), **headers)

    def join(self, name: str) -> Person:
        self.get("/name")
        assert self.post("/name", {"name": name}).status == 303
        return self

    def row(self, query: str = "") -> str | None:
        """The row that the page shows."""
        html = self.get(f"/work{query}", accept="application/json").json["html"]
        return html.split('data-row="')[1].split('"')[0] if 'data-row="' in html else None

    def decide(self, row: Any, action: str, label: str | None = None, query: str = "", **fields: str) -> Reply:
        values = {"row": row, "action": action, **fields} | ({} if label is None else {"label": label})
        return self.post(f"/decide{query}", values, accept="application/json")


@dataclass
class Opened:
    """A server that runs."""

    port: int
    pages: Any

    @property
    def queue(self) -> Any:
        return self.pages.queue

    @property
    def record(self) -> Any:
        return self.pages.queue.record

    def person(self, name: str | None = None, **more: Any) -> Person:
        person = Person(self.port, **more)
        return person if name is None else person.join(name)


@pytest.fixture
def person_class() -> type[Person]:
    return Person


Open = Callable[..., Opened]


@pytest.fixture
def opens(folder: Path) -> Iterator[Open]:
    """``opens(overlap=2)``: the review of ``folder`` on a free port of this machine, with its data read."""
    pytest.importorskip("fastapi", reason="the review page needs the extra 'review'")
    import uvicorn

    from errata.review.server import build, guarded

    with contextlib.ExitStack() as stack:

        def call(place: Path = folder, *, host: str = "127.0.0.1", token: str | None = None, **options: Any) -> Opened:
            app, _ = stack.enter_context(build(place, **options))
            guard = guarded(app, host, token)
            config = uvicorn.Config(guard, host="127.0.0.1", port=0, log_level="error", lifespan="off", ws="none")
            server = uvicorn.Server(config)
            thread = threading.Thread(target=server.run, daemon=True)
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join(20)

            stack.callback(stop)
            while not server.started:
                assert thread.is_alive()
                thread.join(0.01)
            assert app.state.pages.content.done.wait(60)
            return Opened(server.servers[0].sockets[0].getsockname()[1], app.state.pages)

        yield call


def start(folder: Path, *options: str) -> tuple[subprocess.Popen, str]:
    """`errata review` in a process of its own; the process, and its address."""
    pytest.importorskip("fastapi", reason="the review page needs the extra 'review'")
    command = [sys.executable, "-m", "errata", "review", str(folder), "--json", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    told = ""
    while not told.rstrip().endswith("}"):
        line = process.stdout.readline()
        assert line, process.stderr.read()
        told += line
    return process, json.loads(told)["url"]


@pytest.fixture(name="start")
def _start() -> Callable[..., tuple[subprocess.Popen, str]]:
    return start


# -- a browser --------------------------------------------------------------------------------------------------------


class Page:
    """What a person does and sees."""

    def __init__(self, driver: Any, port: int) -> None:
        self.driver, self.port = driver, port
        driver.delete_all_cookies()

    def open(self, path: str = "/") -> Page:
        self.driver.get(f"http://127.0.0.1:{self.port}{path}")
        return self

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def press(self, *keys: str) -> None:
        """Keys go wherever the focus is."""
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def until(self, true: Callable[[], bool]) -> None:
        from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException

        end = time.monotonic() + 30
        while True:
            try:
                if true():
                    return
            except (NoSuchElementException, StaleElementReferenceException):
                pass
            assert time.monotonic() < end, self.one("body").text
            time.sleep(0.02)

    @property
    def row(self) -> str | None:
        return self.one("#decide").get_attribute("data-row")

    def decide(self, *keys: str, then: str) -> None:
        self.press(*keys)
        self.until(lambda: self.row == then)

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser") if entry["level"] == "SEVERE"]


@dataclass
class Browser:
    """A browser without a window."""

    driver: Any

    def page(self, port: int) -> Page:
        return Page(self.driver, port)


@pytest.fixture(scope="session")
def browser(start_chromium) -> Iterator[Browser]:
    driver = start_chromium()
    yield Browser(driver)
    driver.quit()
