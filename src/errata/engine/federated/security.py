"""Who may talk to whom: loopback is free, everything else needs TLS; and a token that both sides know, never sent."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from pathlib import Path

from errata.errors import ErrataError, ParameterError

__all__ = ["certificates", "check_host", "nonce", "prove", "read_token", "split_address"]

CERTIFICATES = ("ca.pem", "server.pem", "server.key")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine and no other can reach it.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("0.0.0.0"), is_loopback("localhost")
    (True, False, True)
    """
    name = host.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        pass
    try:
        return all(ipaddress.ip_address(found[4][0]).is_loopback for found in socket.getaddrinfo(name, None))
    except (OSError, ValueError):
        return False


def check_host(host: str, secured: bool, *, server: bool) -> None:
    """Refuse a connection that others can read or join.

    Raises
    ------
    ParameterError
        where ``host`` is not this machine and there is no TLS
    """
    if secured or is_loopback(host):
        return
    if server:
        how = "certificates= (--certificates DIR with ca.pem, server.pem, server.key)"
    else:
        how = "root_certificate= (--root-certificate ca.pem)"
    raise ParameterError(
        f"{host} is not this machine, and without TLS anybody on the way could read or change the model. "
        f"Give {how}, or stay on 127.0.0.1."
    )


def split_address(address: str) -> tuple[str, int]:
    """Host and port of HOST:PORT.

    Examples
    --------
    >>> split_address("127.0.0.1:8080"), split_address("[::1]:9")
    (('127.0.0.1', 8080), ('::1', 9))
    """
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ParameterError(f"Expected HOST:PORT, such as 127.0.0.1:8080; got '{address}'.")
    return host.strip("[]"), int(port)


def certificates(folder: str | Path) -> tuple[bytes, bytes, bytes]:
    """The CA's certificate, the server's, and its key, as Flower takes them, from a folder.

    Raises
    ------
    ErrataError
        where one is missing
    """
    place = Path(folder)
    missing = [name for name in CERTIFICATES if not (place / name).is_file()]
    if missing:
        raise ErrataError(
            f"{place} must hold {', '.join(CERTIFICATES)} in PEM form for TLS; {', '.join(missing)} are missing."
        )
    ca, own, key = ((place / name).read_bytes() for name in CERTIFICATES)
    return ca, own, key


def read_token(path: str | Path | None) -> bytes | None:
    """The token in a file, without space around it; None where there is no file to be read."""
    if path is None:
        return None
    file = Path(path)
    if not file.is_file():
        raise ErrataError(f"There is no token in {file}: it is not a file.")
    token = file.read_bytes().strip()
    if len(token) < 16:
        raise ErrataError(f"The token in {file} is too short: expected 16 characters or more, got {len(token)}.")
    return token


def nonce() -> str:
    """Something new to be signed."""
    return secrets.token_hex(16)


def prove(token: bytes, *parts: str) -> str:
    """That one knows the token, about ``parts``.

    Examples
    --------
    >>> prove(b"secret", "a", "b") == prove(b"secret", "ab", "")
    False
    """
    message = b"".join(len(part).to_bytes(4, "big") + part.encode() for part in parts)
    return hmac.new(token, message, hashlib.sha256).hexdigest()
