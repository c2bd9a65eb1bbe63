"""How a check says that a system breaks the law."""

from __future__ import annotations

__all__ = ["CheckFailure", "demand"]


class CheckFailure(AssertionError):
    """A system doesn't do what every system must do; the message says what, and where to look."""


def demand(holds: object, otherwise: str) -> None:
    """Raise a ``CheckFailure`` with the message ``otherwise`` unless the condition holds.

    Examples
    --------
    >>> demand(1 + 1 == 2, "arithmetic is broken")
    """
    if not holds:
        raise CheckFailure(otherwise)
