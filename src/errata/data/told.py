"""Other libraries' complaints, made fit for one paragraph."""

from __future__ import annotations

import zlib

__all__ = ["BROKEN_FILE", "reason"]

BROKEN_FILE = (OSError, EOFError, zlib.error)
"""What reading a file raises that is cut short, packed wrongly, or not to be had."""


def reason(error: BaseException, most: int = 200) -> str:
    """What an error says, in one line and not too long, without a full stop.

    Examples
    --------
    >>> reason(ValueError("Invalid data\\nin page header.\\n"))
    'Invalid data in page header'
    >>> reason(FileNotFoundError(2, "No such file or directory", "x"))
    'No such file or directory'
    """
    text = str(getattr(error, "strerror", None) or error) or type(error).__name__
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split()).rstrip(".")
    return text if len(text) <= most else text[: most - 3] + "..."
