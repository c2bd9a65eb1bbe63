"""Who may talk to the server: checks in front of every request.

- ``Host`` must name this server, or else a page elsewhere could point its own name at 127.0.0.1 and read ours;
- ``Origin`` must be our own, or else a page elsewhere could send decisions in a reviewer's name;
- beyond this machine, a token must be known;
- bodies are small and come soon.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Iterable, MutableMapping
from html import escape
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

__all__ = ["Guard", "is_address", "is_loopback"]

BODY = 1024 * 1024  # a mask that is drawn anew has many runs
PATIENCE = 10.0  # seconds for a body to arrive, and
DELAY = 0.5  # for an answer to a wrong token
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "referrer-policy": "same-origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d+)?")

Scope = MutableMapping[str, Any]


class _RefusedError(Exception):
    def __init__(self, status: int, said: str, *, ask_token: bool = False) -> None:
        super().__init__(said)
        self.status, self.said, self.ask_token = status, said, ask_token


class Guard:
    """An ASGI application in front of another.

    Parameters
    ----------
    app : the application behind
    hosts : the names by which this server may be called, without ports
    any_address : let it be called by any IP address as well; an address can't be pointed elsewhere as a name can
    token : what a caller must know; None where nobody needs one
    """

    def __init__(self, app: Any, *, hosts: Iterable[str], any_address: bool = False, token: str | None = None) -> None:
        self.app = app
        self.hosts = {host.lower() for host in hosts}
        self.any_address = any_address
        self.token = token
        digest = hashlib.sha256(f"errata review {token}".encode()).hexdigest()
        self.cookie, self.proof = f"errata_token_{digest[:8]}", digest[8:]

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        try:
            headers = _headers(scope)
            self._check_host(headers)
            self._check_origin(headers, scope["method"])
            if self.token is not None and not self._has_proof(headers):
                await self._check_token(scope, headers, send)
                return
            body = await _body(headers, receive) if scope["method"] == "POST" else b""
        except _RefusedError as refused:
            await _refuse(send, refused, _headers(scope).get("accept", ""))
            return
        await self.app(scope, _replay(body, receive), _with_headers(send))

    def _check_host(self, headers: dict[str, str]) -> None:
        host = _hostname(headers.get("host", ""))
        if host in self.hosts or (self.any_address and is_address(host)):
            return
        raise _RefusedError(
            421,
            f"This server is not called '{host}'. Use the address that it printed at its start, or --allow-host.",
        )

    def _check_origin(self, headers: dict[str, str], method: str) -> None:
        if method not in ("GET", "HEAD", "POST"):
            raise _RefusedError(405, f"{method} is not understood here.")
        origin, host = headers.get("origin"), headers.get("host", "").lower()
        site = headers.get("sec-fetch-site", "same-origin")
        foreign = origin is not None and origin.lower() not in (f"http://{host}", f"https://{host}")
        if foreign or (method == "POST" and site not in ("same-origin", "none")):
            raise _RefusedError(403, "This was sent by a page of another site, and is refused.")

    def _has_proof(self, headers: dict[str, str]) -> bool:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(bearer.strip()):
            return True
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return cookie is not None and hmac.compare_digest(cookie.value.encode(), self.proof.encode())

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(), (self.token or "").encode())

    async def _check_token(self, scope: Scope, headers: dict[str, str], send: Any) -> None:
        """A right token in the address is changed for a cookie, so that it does not stay in the address."""
        query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        offered = [value for name, value in query if name == "token"]
        if not offered or not self._is_token(offered[-1]):
            if offered or "authorization" in headers:
                await asyncio.sleep(DELAY)
                raise _RefusedError(401, "That is not the right token.", ask_token=True)
            raise _RefusedError(401, "This review is open to those who have its token.", ask_token=True)
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        # one slash only: "//elsewhere" would lead to another server
        place = quote("/" + scope["path"].lstrip("/\\")) + (f"?{rest}" if rest else "")
        cookie = f"{self.cookie}={self.proof}; HttpOnly; SameSite=Lax; Path=/; Max-Age=2592000"
        await _answer(send, 303, "text/plain; charset=utf-8", "", {"location": place, "set-cookie": cookie})


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a server that listens there.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    return host.lower() == "localhost" or (is_address(host) and ipaddress.ip_address(host.strip("[]")).is_loopback)


def is_address(host: str) -> bool:
    """Whether this is an IP address, and no name."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def _headers(scope: Scope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key = name.decode("latin-1").lower()
        if key == "host" and key in headers:
            headers[key] = ""  # two hosts: neither is believed
        elif key == "cookie" and key in headers:
            headers[key] += "; " + value.decode("latin-1")
        else:
            headers[key] = value.decode("latin-1")
    return headers


def _hostname(host: str) -> str:
    """The name in a Host header, without its port; "" where it is none."""
    found = _HOST.fullmatch(host.strip().lower())
    return found.group(1).strip("[]") if found else ""


async def _body(headers: dict[str, str], receive: Any) -> bytes:
    """The whole body, before anything is done with it."""
    too_much = _RefusedError(
        413,
        f"That is more than the {BODY // 1024} kB that are taken at once. Shorten the note, or draw less at a time.",
    )
    length = headers.get("content-length", "0")
    if length.isdigit() and int(length) > BODY:
        raise too_much
    body = b""
    while True:
        try:
            message = await asyncio.wait_for(receive(), PATIENCE)
        except asyncio.TimeoutError:
            raise _RefusedError(408, "The rest of the message did not arrive in time. Send it again.") from None
        if message["type"] == "http.disconnect":
            raise _RefusedError(400, "The connection was closed before the message had arrived.")
        body += message.get("body", b"")
        if len(body) > BODY:
            raise too_much
        if not message.get("more_body"):
            return body


def _replay(body: bytes, receive: Any) -> Any:
    sent = False

    async def again() -> Any:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            own = {name.lower() for name, _ in message["headers"]}
            more = [(k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in own]
            if b"cache-control" not in own:
                more.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message["headers"], *more]}
        await send(message)

    return sending


async def _refuse(send: Any, refused: _RefusedError, accept: str) -> None:
    if "application/json" in accept:
        import json

        await _answer(send, refused.status, "application/json", json.dumps({"error": refused.said}))
        return
    form = (
        '<form action="/" method="get"><label>Token <input name="token" type="password" autocomplete="off" autofocus>'
        "</label> <button>Open</button></form>"
    )
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>errata review</title><h1>errata review</h1><p>{escape(refused.said)}</p>"
    )
    page += form if refused.ask_token else ""
    await _answer(send, refused.status, "text/html; charset=utf-8", page)


async def _answer(send: Any, status: int, kind: str, text: str, extra: dict[str, str] | None = None) -> None:
    body = text.encode()
    headers = {**HEADERS, "content-type": kind, "content-length": str(len(body)), "cache-control": "no-store"}
    headers |= {"connection": "close"} if status >= 400 else {}
    raw = [(k.encode(), v.encode("latin-1")) for k, v in {**headers, **(extra or {})}.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
