"""``serve``: the review page of a ledger's folder, on this machine or beyond."""

from __future__ import annotations

import contextlib
import errno
import getpass
import secrets
import socket
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from errata._lazy import optional
from errata.errors import ErrataError, ParameterError
from errata.review.guard import Guard, is_address, is_loopback

__all__ = ["PORT", "Opened", "build", "serve"]

PORT = 8765
TRIES = 20  # ports after the usual one that are tried where it is busy
TOKEN = 12  # characters that a token needs at least
WILDCARDS = ("", "0.0.0.0", "::", "*")


@dataclass(frozen=True)
class Opened:
    """A review that is open.

    Parameters
    ----------
    url : where, with the token where one is needed
    folder : the ledger's folder
    decisions : the file that holds the decisions
    rows, issues : how many rows the ledger has, and how many are flagged
    decided : how many are decided already
    """

    url: str
    folder: Path
    decisions: Path
    rows: int
    issues: int
    decided: int


def serve(
    folder: str | Path,
    host: str = "127.0.0.1",
    port: int | None = None,
    *,
    token: str | None = None,
    overlap: int = 1,
    budget: int | None = None,
    reviewer: str | None = None,
    data: Any = None,
    random: int | None = None,
    seed: int = 0,
    hosts: Sequence[str] = (),
    ready: Callable[[Opened], None] | None = None,
) -> None:
    """Show the review page until it is stopped (Ctrl-C). Decisions are in ``folder/decisions.sqlite`` at once.

    Parameters
    ----------
    folder : where ``ledger.parquet`` is
    host : where to listen; beyond this machine (anything but 127.0.0.1, ::1, localhost) a token is needed
    port : by default 8765, or the next that is free
    token : what a caller must know, at least 12 characters; "auto" makes one up, which is in the address
    overlap : how many reviewers decide on each row, without knowing of each other
    budget : only the most suspicious so many rows
    reviewer : who reviews, where nobody shall be asked
    data : the data, where the ledger does not tell where they are: anything that ``errata.read`` takes
    random : so many rows drawn at random instead, which tell of all rows; ``seed`` is that of their order
    hosts : further names by which the server may be called, as behind a proxy
    ready : called when the page can be opened

    Raises
    ------
    LedgerError
        where there is no ledger in the folder, or the decisions there belong to another one
    MissingExtraError
        where the extra ``review`` is not installed
    ParameterError
        where a token is missing or too short
    ErrataError
        where the port is taken, or can't be listened on
    """
    uvicorn = optional("uvicorn", "review", "The review page")
    token = _token(host, token)
    listening = _listen(host, port)
    name = _user() if is_loopback(host) else ""
    what: dict[str, Any] = {"overlap": overlap, "budget": budget, "reviewer": reviewer, "data": data}
    what |= {"random": random, "seed": seed}
    try:
        with build(folder, suggestion=name, **what) as (app, opened):
            guard = guarded(app, host, token, hosts)
            config = uvicorn.Config(
                guard,
                log_level="error",
                access_log=False,
                lifespan="off",
                ws="none",
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=3,
            )
            server = uvicorn.Server(config)
            if ready is not None:
                at = _at(opened, host, listening.getsockname()[1], token)
                _when_started(server, lambda: ready(at))
            with contextlib.suppress(KeyboardInterrupt):
                server.run(sockets=[listening])
    finally:
        listening.close()


@contextlib.contextmanager
def build(
    folder: str | Path,
    *,
    overlap: int = 1,
    budget: int | None = None,
    reviewer: str | None = None,
    data: Any = None,
    random: int | None = None,
    seed: int = 0,
    suggestion: str = "",
) -> Iterator[tuple[Any, Opened]]:
    """The web application of a folder, and what it is about; parameters as of ``serve``. Closed at the end."""
    optional("fastapi", "review", "The review page")
    from errata.ledger import Ledger
    from errata.review.app import create_app
    from errata.review.content import Content
    from errata.review.decisions import Decisions
    from errata.review.drawing import DrawnContent
    from errata.review.pages import Pages, environment
    from errata.review.queue import Queue
    from errata.review.wholes import Wholes

    folder = Path(folder)
    with ThreadPoolExecutor(1) as pool:
        templates = pool.submit(environment)
        ledger = Ledger.load(folder)
    folder = folder if folder.is_dir() else folder.parent
    with Decisions(folder) as record:
        wholes = Wholes(ledger, folder, data)
        queue = Queue(ledger, record, overlap=overlap, budget=budget, random=random, seed=seed, wholes=wholes)
        content: Any = Content(ledger, folder, data)
        if wholes.form is not None and wholes.form.task in ("boxes", "segmentation"):
            content = DrawnContent(ledger, folder, wholes.form)
        title = Path(str(ledger.meta.get("source") or folder.resolve())).name
        pages = Pages(queue, content, title, templates.result())
        decided = queue.progress("").decided
        content.begin()
        opened = Opened("", folder, record.path, len(ledger), int(ledger.issue.sum()), decided)
        yield create_app(pages, reviewer=reviewer, suggestion=suggestion), opened


def guarded(app: Any, host: str, token: str | None, hosts: Sequence[str] = ()) -> Guard:
    """The application with checks in front of it, as fits the host that it listens on."""
    names = {"localhost", "127.0.0.1", "::1", *hosts}
    if not is_loopback(host):
        names |= {host, socket.gethostname(), socket.getfqdn()}
    return Guard(app, hosts=names, any_address=not is_loopback(host), token=token)


def _when_started(server: Any, tell: Callable[[], None]) -> None:
    """Tell once the server listens and knows what to do on Ctrl-C: before, that would end it with complaints."""
    startup = server.startup

    async def then_tell(*arguments: Any, **named: Any) -> None:
        await startup(*arguments, **named)
        tell()

    server.startup = then_tell


def _token(host: str, token: str | None) -> str | None:
    if token == "auto":
        return secrets.token_urlsafe(24)
    if token is None:
        if is_loopback(host):
            return None
        raise ParameterError(
            f"Listening on {host or 'all addresses'} lets others on the network in, so a token is needed: give "
            "--token auto to have one made up, or one of your own."
        )
    if len(token) < TOKEN:
        raise ParameterError(
            f"A token needs {TOKEN} characters or more; this has {len(token)}. --token auto makes one."
        )
    return token


def _listen(host: str, port: int | None) -> socket.socket:
    """A listening socket: on the port asked for, or on the usual one or the next that is free."""
    if port is not None and not 0 <= port <= 65535:
        raise ParameterError(f"A port is a number from 0 (any that is free) to 65535; got {port}.")
    name = "0.0.0.0" if host in ("", "*") else host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    for number in [port] if port is not None else range(PORT, PORT + TRIES):
        # with the protocol named, connections send at once; else asyncio leaves them waiting for 40 ms now and then
        found = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            found.bind((name, number))
            found.listen(128)
            return found
        except OSError as error:
            found.close()
            if error.errno != errno.EADDRINUSE:
                raise ErrataError(f"Can't listen on {host}, port {number}: {error.strerror or error}.") from error
    asked = f"Port {port}" if port is not None else f"Every port from {PORT} to {PORT + TRIES - 1}"
    raise ErrataError(f"{asked} is taken by another program. Choose another with --port (0: any that is free).")


def _at(opened: Opened, host: str, port: int, token: str | None) -> Opened:
    name = socket.gethostname() if host in WILDCARDS else host.strip("[]")
    name = f"[{name}]" if is_address(name) and ":" in name else name
    query = f"?token={token}" if token else ""
    values = {**opened.__dict__, "url": f"http://{name}:{port}/{query}"}
    return Opened(**values)


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""
