"""Opening and killing the server: ports, and that no acknowledged decision is ever lost."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from errata.errors import ErrataError, LedgerError, MissingExtraError, ParameterError
from errata.review import Decisions, serve
from errata.review import server as server_module

DECISIONS = int(os.environ.get("ERRATA_KILL_DECISIONS", "1000"))
"""How many decisions the clients make before the server is killed; 10,000 in the full test."""

CLIENTS = 8


class Client(threading.Thread):
    """Decides row after row until the server is gone; remembers what was acknowledged."""

    def __init__(self, person, name: str, stop_at: threading.Semaphore) -> None:
        super().__init__(daemon=True)
        self.person, self.reviewer, self.stop_at = person, name, stop_at
        self.acknowledged: dict[str, int] = {}
        self.rows: list[int] = []
        self.sent: tuple[str, int] | None = None

    def run(self) -> None:
        try:
            row = int(self.person.row())
            while True:
                key = f"{self.reviewer}-{len(self.rows)}"
                self.sent = (key, row)
                self.rows.append(row)
                reply = self.person.decide(row, "drop", key=key)
                assert reply.status == 200, reply.text
                self.acknowledged[key] = row
                self.stop_at.release()
                row = reply.json["row"]
        except (OSError, EOFError) as _:
            return  # the server is gone
        except Exception as error:
            if "IncompleteRead" not in type(error).__name__ and "Disconnected" not in type(error).__name__:
                raise


@pytest.fixture
def person_at(request):
    """A person at an address; the class is that of the other tests."""
    from urllib.parse import urlsplit

    kind = request.getfixturevalue("person_class")
    return lambda url: kind(urlsplit(url).port)


def test_a_killed_server_has_every_acknowledged_decision_once(tmp_path, make_ledger, person_at, start):
    make_ledger(tmp_path, n=2 * DECISIONS + 100)
    process, url = start(tmp_path)
    done = threading.Semaphore(0)
    try:
        clients = [Client(person_at(url).join(f"r{i}"), f"r{i}", done) for i in range(CLIENTS)]
        for client in clients:
            client.start()
        for _ in range(DECISIONS // 2):  # in the middle of it
            assert done.acquire(timeout=120)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    for client in clients:
        client.join(60)
        assert not client.is_alive()
    with Decisions(tmp_path) as record:
        history = record.history()
    acknowledged = [(client.reviewer, row) for client in clients for row in client.acknowledged.values()]
    assert len(acknowledged) >= DECISIONS // 2
    written = [(d.reviewer, d.row) for d in history]
    assert set(acknowledged) <= set(written)
    assert len(set(written)) == len(written)  # none doubled
    assert len(written) <= len(acknowledged) + CLIENTS  # at most those under way
    assert len({row for _, row in written}) == len(written)  # no row to two people

    # Who got no answer sends again, as the page does: it counts once, whether or not it was written before.
    process, url = start(tmp_path)
    try:
        for client in clients:
            key, row = client.sent
            person = person_at(url).join(client.reviewer)
            assert person.decide(row, "drop", key=key).status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    with Decisions(tmp_path) as record:
        written = [(d.reviewer, d.row) for d in record.history()]
    assert len(set(written)) == len(written) == len({row for _, row in written})
    assert set(written) == {(client.reviewer, row) for client in clients for row in client.rows}


def test_ctrl_c_ends_it_well(folder, start):
    process, _ = start(folder)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert "Traceback" not in err


def test_a_taken_port_is_told_and_the_usual_one_gives_way(folder, monkeypatch):
    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ErrataError, match=rf"Port {port} is taken.*--port"):
            serve(folder, port=port)
        monkeypatch.setattr(server_module, "PORT", port)
        found = server_module._listen("127.0.0.1", None)
        assert port < found.getsockname()[1] < port + server_module.TRIES
        found.close()


SENSELESS = [{"port": 70_000}, {"overlap": 0}, {"budget": 0}, {"host": "0.0.0.0"}, {"token": "x"}]


@pytest.mark.parametrize("options", SENSELESS)
def test_senseless_options_are_refused(folder, options):
    pytest.importorskip("uvicorn")
    with pytest.raises(ParameterError):
        serve(folder, **{"port": 0, **options})


def test_an_address_that_is_not_here_is_told(folder):
    pytest.importorskip("uvicorn")
    with pytest.raises(ErrataError, match=r"Can't listen on 203\.0\.113\.1"):
        serve(folder, "203.0.113.1", 0, token="a-token-that-is-long")


def test_a_folder_without_a_ledger_is_told_and_nothing_is_made_in_it(tmp_path):
    pytest.importorskip("uvicorn")
    with pytest.raises(LedgerError, match="No ledger"):
        serve(tmp_path, port=0)
    assert list(tmp_path.iterdir()) == []


def test_the_extra_is_named_where_it_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    with pytest.raises(MissingExtraError, match=r"errata\[review\]"):
        serve(folder)


def test_the_record_needs_no_web_server():
    code = "import errata.review, sys; print(sorted({'fastapi', 'uvicorn', 'torch', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_decision_is_soon_on_the_disk(opens, make_ledger, tmp_path):
    make_ledger(tmp_path, n=400)
    ann = opens(tmp_path).person("ann")
    row, start_time = ann.row(), time.process_time()
    for _ in range(100):
        row = ann.decide(row, "drop").json["row"]
    computing = (time.process_time() - start_time) / 100  # without the wait for the disk
    assert computing < 0.05
