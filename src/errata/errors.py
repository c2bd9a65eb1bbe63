"""The exceptions a user can meet.

Every message says what was expected, what was found (value, row, column, file) and what to do about it.
All are ``ErrataError``, so a caller who wants one net needs one ``except``; where a built-in exception means the
same, the class inherits from it too, so that code written for scikit-learn or NumPy habits keeps working.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "DataError",
    "ErrataError",
    "LedgerError",
    "LoadError",
    "MissingExtraError",
    "ParameterError",
    "UnknownNameError",
    "nearest",
]


class ErrataError(Exception):
    """Base of every error that errata raises on purpose. The command line exits with ``exit_code``."""

    exit_code = 1


class DataError(ErrataError, ValueError):
    """The data cannot be used as they are: empty, misshapen, NaN, one class, N mismatch, unreadable."""


class LedgerError(ErrataError, ValueError):
    """A ledger is damaged, foreign, or does not fit the data it is used with."""


class LoadError(ErrataError, ValueError):
    """A saved model or checkpoint is damaged, foreign, or of another system."""


class ParameterError(ErrataError, ValueError):
    """A parameter has a value that makes no sense; on the command line this is wrong usage."""

    exit_code = 2


class UnknownNameError(ParameterError, KeyError):
    """A name (system, column, hyper-parameter, loss) is not known; the message suggests the nearest."""

    def __init__(self, kind: str, name: object, known: Iterable[object], hint: str = "") -> None:
        names = [str(k) for k in known]
        self.suggestion = nearest(str(name), names)
        listed = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
        parts = [f"There is no {kind} named '{name}'."]
        if self.suggestion:
            parts.append(f"Did you mean '{self.suggestion}'?")
        parts.append(f"Known: {listed or 'none'}.")
        if hint:
            parts.append(hint)
        self.message = " ".join(parts)
        super().__init__(self.message)

    def __str__(self) -> str:  # KeyError would show the repr
        return self.message


class MissingExtraError(ErrataError, ImportError):
    """A feature needs an optional package; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str, what_for: str) -> None:
        super().__init__(
            f"{what_for} needs the package '{package}', which is not installed. "
            f"Install it with: pip install 'errata[{extra}]'"
        )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that looks most like ``name``, or None where none comes near.

    Examples
    --------
    >>> nearest("worst_lable", ["true_label", "worst_label"])
    'worst_label'
    >>> nearest("zzz", ["true_label"]) is None
    True
    """
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.55)
    return by_lower[found[0]] if found else None
