"""The web application: addresses, forms and cookies. What they mean is in the queue; how it looks, in the pages."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from typing import Annotated
from urllib.parse import parse_qsl, quote, unquote, urlencode

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException

from errata.errors import ErrataError, UnknownNameError
from errata.review import _tables
from errata.review.decisions import Decision
from errata.review.filters import Filter
from errata.review.pages import STATIC, Pages

__all__ = ["create_app"]

REVIEWER, CSRF = "errata_reviewer", "errata_form"
YEAR = 365 * 24 * 3600
NAME = 60  # characters of a reviewer's name
NOTE = 2_000
KEY = 200  # characters of a label in the key of a decision
SIDES = (64, 4096)  # pixels of a picture

router = APIRouter()


class _NamelessError(Exception):
    """The reviewer has not said who he is."""


# -- what the addresses have in common --------------------------------------------------------------------------------


async def _pages(request: Request) -> Pages:
    return request.app.state.pages


async def _reviewer(request: Request) -> str:
    name = request.app.state.reviewer or clean(unquote(request.cookies.get(REVIEWER, "")))
    if not name:
        raise _NamelessError
    return name


async def _csrf(request: Request) -> str:
    return request.cookies.get(CSRF) or secrets.token_urlsafe(24)


async def _choice(request: Request) -> Filter:
    return Filter.read(request.query_params, request.app.state.pages.queue.ledger.classes)


async def _form(request: Request) -> dict[str, str]:
    """A form's fields, if it is one of ours: it must repeat the cookie that its page came with."""
    fields = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
    cookie = request.cookies.get(CSRF, "")
    if not cookie or not hmac.compare_digest(cookie.encode(), fields.get("csrf", "").encode()):
        raise HTTPException(403, "This form is not from a page of this review, or cookies are off. Reload the page.")
    return fields


Desk = Annotated[Pages, Depends(_pages)]
Reviewer = Annotated[str, Depends(_reviewer)]
Csrf = Annotated[str, Depends(_csrf)]
Choice = Annotated[Filter, Depends(_choice)]
Fields = Annotated[dict[str, str], Depends(_form)]


def create_app(pages: Pages, *, reviewer: str | None = None, suggestion: str = "") -> FastAPI:
    """The application, to be put behind a ``Guard``.

    Parameters
    ----------
    pages : what is reviewed, and how it looks
    reviewer : who reviews, where nobody shall be asked
    suggestion : a name to suggest to who is asked
    """
    app = FastAPI(title="errata review", docs_url=None, redoc_url=None, openapi_url=None)
    app.state.pages = pages
    app.state.reviewer = clean(reviewer or "")
    app.state.suggestion = suggestion
    app.include_router(router)
    app.add_exception_handler(_NamelessError, _nameless)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misshapen)
    app.add_exception_handler(ErrataError, _explained)
    return app


# -- reviewing --------------------------------------------------------------------------------------------------------


def _wanted_row(request: Request, pages: Pages, name: str, wanted: Filter) -> int | None:
    """The row that is asked for by its name, or the next one."""
    queue, query = pages.queue, request.query_params
    if query.get("row"):
        position = queue.position(query["row"])
        queue.visit(name, position)
        return position
    near = query.get("after") or query.get("before")
    return queue.claim(name, wanted, queue.position(near) if near else None, back=bool(query.get("before")))


@router.get("/")
def review(request: Request, pages: Desk, name: Reviewer, csrf: Csrf, wanted: Choice) -> Response:
    """The page: the row that is asked for, or the next in the queue."""
    return _page(pages.review(name, csrf, wanted, _wanted_row(request, pages, name, wanted)), csrf)


@router.get("/work")
def work(request: Request, pages: Desk, name: Reviewer, csrf: Csrf, wanted: Choice) -> Response:
    """The same for the page's script: only what changes from row to row."""
    return JSONResponse({"html": pages.work(name, csrf, wanted, _wanted_row(request, pages, name, wanted))})


@router.post("/decide")
def decide(request: Request, pages: Desk, name: Reviewer, wanted: Choice, form: Fields) -> Response:
    """Record a decision; answered when it is on the disk."""
    queue, action = pages.queue, form.get("action", "")
    position = queue.position(form.get("row", ""))
    if action == "parts" and queue.wholes is not None:  # some of the parts that look wrong, each in its own way
        action, form = "relabel", {**form, "label": queue.wholes.chosen(position, form)}
    elif action == "draw" and queue.wholes is not None:
        action, form = "relabel", {**form, "label": queue.wholes.drawn(position, form.get("shapes", ""))}
    label = form.get("label") if action == "relabel" else None
    # the form's key, so that a form sent twice counts once; another answer on the same form is another decision
    key = f"{form['key']}:{action}:{_short(label or '')}" if form.get("key") else None
    with queue.together():  # the decision and the next row in one: the disk is waited for once
        made = queue.decide(name, position, action, label, form.get("note", "").strip()[:NOTE], key)
        following = queue.claim(name, wanted, after=position)
    return _answer(request, pages, name, form["csrf"], wanted, following, pages.told(made), made)


@router.post("/undo")
def undo(request: Request, pages: Desk, name: Reviewer, wanted: Choice, form: Fields) -> Response:
    """Take back the decision that the form names, or the last one, and show its row again."""
    queue, which = pages.queue, form.get("decision", "")
    with queue.together():
        undone = queue.undo(name, int(which) if which.isdecimal() and len(which) < 19 else None)
        position = queue.claim(name, wanted) if undone is None else queue.position(undone.row)
    said = "There is nothing to undo." if undone is None else f"Undone: {pages.told(undone)}"
    return _answer(request, pages, name, form["csrf"], wanted, position, said, undone)


def _answer(
    request: Request,
    pages: Pages,
    name: str,
    csrf: str,
    wanted: Filter,
    position: int | None,
    said: str,
    decision: Decision | None,
) -> Response:
    """To the page's script the next part of the page; to a browser without scripts the way to the next page."""
    query = wanted.query(pages.queue.ledger.classes)
    row = None if position is None else pages.queue.row(position)
    if _wants_json(request):
        html = pages.work(name, csrf, wanted, position, said)
        number = None if decision is None else decision.id
        address = f"/?{query}" if query else "/"
        return JSONResponse({"id": number, "said": said, "row": row, "html": html, "address": address})
    full = "&".join(part for part in (query, "" if row is None else urlencode({"row": row})) if part)
    return RedirectResponse(f"/?{full}" if full else "/", 303)


@router.get("/image")
def image(pages: Desk, name: Reviewer, row: str, side: int = 512, plain: bool = False) -> Response:
    """A row's picture, with its label on it or plain; rows are all that can be asked for."""
    png = pages.content.picture(pages.queue.position(row), min(max(side, SIDES[0]), SIDES[1]), plain)
    if png is None:
        raise HTTPException(404, f"There is no picture of row {row}, or it can't be read.")
    return Response(png, media_type="image/png", headers={"cache-control": "private, max-age=600"})


@router.get("/sheet")
def sheet(pages: Desk, name: Reviewer, row: str) -> Response:
    """What is needed to draw a row's label: what lies on it, given, proposed, and as this reviewer had it."""
    position = pages.queue.position(row)
    found = pages.sheet(position, name)
    if found is None:
        raise HTTPException(404, f"There is nothing to draw on in row {row}.")
    pages.queue.visit(name, position)
    return JSONResponse(found)


# -- who, and what came of it -----------------------------------------------------------------------------------------


@router.get("/name")
def ask_name(request: Request, pages: Desk, csrf: Csrf) -> Response:
    """Who are you?"""
    return _page(pages.name(csrf, request.app.state.suggestion), csrf)


@router.post("/name")
def take_name(request: Request, pages: Desk, form: Fields) -> Response:
    """Remember the name in a cookie."""
    name = clean(form.get("name", ""))
    if not name:
        page = pages.name(form["csrf"], request.app.state.suggestion, "Please give a name.")
        return _page(page, form["csrf"], 422)
    response = RedirectResponse("/", 303)
    response.set_cookie(REVIEWER, quote(name), max_age=YEAR, httponly=True, samesite="lax")
    return response


@router.get("/agreement")
def agreement(pages: Desk, name: Reviewer) -> Response:
    """Who decided how much, and how far they agree."""
    return HTMLResponse(pages.agreement(name, pages.queue.record.agreement()))


@router.get("/decisions.{ending}")
def download(pages: Desk, name: Reviewer, ending: str, what: str = "consensus") -> Response:
    """The decisions as a file."""
    content = _tables.as_bytes(pages.queue.record.lines(what), f".{ending}", history=what == "history")
    kind = "text/csv; charset=utf-8" if ending == "csv" else "application/vnd.apache.parquet"
    file = "decisions" if what == "consensus" else what
    headers = {"content-disposition": f'attachment; filename="{file}.{ending}"'}
    return Response(content, media_type=kind, headers=headers)


@router.get("/static/{file}")
def static(pages: Desk, file: str) -> Response:
    """The style sheet and the script; no folder is served."""
    if file not in STATIC:
        raise HTTPException(404, "There is no such file.")
    headers = {"cache-control": "max-age=31536000, immutable"}
    return Response(pages.static[file], media_type=STATIC[file], headers=headers)


@router.get("/favicon.ico")
def icon() -> Response:
    """None; browsers ask for it all the same."""
    return Response(status_code=204)


# -- errors -----------------------------------------------------------------------------------------------------------


async def _nameless(request: Request, _: Exception) -> Response:
    if request.method == "GET" and not _wants_json(request):
        return RedirectResponse("/name", 303)
    return _tell(request, "Who are you? Reload the page and give your name.", 403)


async def _refused(request: Request, error: Exception) -> Response:
    status, said = (error.status_code, str(error.detail)) if isinstance(error, HTTPException) else (500, str(error))
    return _tell(request, "There is no such page." if said == "Not Found" else said, status)


async def _misshapen(request: Request, error: Exception) -> Response:
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    said = "; ".join(f"{fault['loc'][-1]}: {fault['msg']}" for fault in faults)
    return _tell(request, f"That address is not understood ({said}).", 422)


async def _explained(request: Request, error: Exception) -> Response:
    if isinstance(error, UnknownNameError):
        status = 404
    else:
        status = 400 if getattr(error, "exit_code", 1) == 2 else 500
    return _tell(request, str(error), status)


def _tell(request: Request, said: str, status: int) -> Response:
    if _wants_json(request):
        return JSONResponse({"error": said}, status)
    return HTMLResponse(request.app.state.pages.message(said), status)


def _wants_json(request: Request) -> bool:
    return "application/json" in request.headers.get("accept", "")


def _page(html: str, csrf: str, status: int = 200) -> HTMLResponse:
    response = HTMLResponse(html, status)
    response.set_cookie(CSRF, csrf, max_age=YEAR, httponly=True, samesite="lax")
    return response


def _short(label: str) -> str:
    """A label as part of a key: a long one by its digest."""
    return label if len(label) <= KEY else hashlib.blake2b(label.encode(), digest_size=16).hexdigest()


def clean(name: str) -> str:
    """A name as people write it: printable, single spaces, not too long.

    Examples
    --------
    >>> clean("  Ann\\t B. ")
    'Ann B.'
    """
    name = unicodedata.normalize("NFC", name)
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:NAME].strip()
