"""Who gave each label, where the ledger knows: for looking at one annotator's rows."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from errata.ledger import Ledger

__all__ = ["Annotated"]

SEPARATOR = ", "
MOST = 500
"""Names that are offered; of more, those with most labels."""


class Annotated:
    """The annotators of a ledger's rows.

    The column ``annotator`` holds a name per row, or ``annotators`` several, joined by a comma and a blank.

    Parameters
    ----------
    ledger : any

    Examples
    --------
    >>> columns = {"annotators": np.array(["ann, bob", "bob", ""])}
    >>> annotated = Annotated(Ledger([0, 1, 1], [0, 0, 1], [0.9, 0.1, 0.8], classes=["cat", "dog"], columns=columns))
    >>> annotated.names, annotated.by("bob").tolist()
    (['ann', 'bob'], [True, True, False])
    """

    def __init__(self, ledger: Ledger) -> None:
        name = next((name for name in ("annotator", "annotators") if name in ledger.columns), None)
        column = None if name is None else ledger.columns[name]
        self._column = column if column is not None and column.ndim == 1 else None
        self._rows, self._several = len(ledger), name == "annotators"

    @cached_property
    def _told(self) -> tuple[list[list[str]], np.ndarray]:
        """The names in each distinct entry, and the entry of each row."""
        if self._column is None:
            return [], np.empty(0, dtype=np.int64)
        texts = np.array(["" if value is None or value != value else str(value) for value in self._column.tolist()])
        distinct, entry = np.unique(texts, return_inverse=True)
        return [text.split(SEPARATOR) if self._several else [text] for text in distinct.tolist()], entry

    @cached_property
    def names(self) -> list[str]:
        """Everyone who gave a label, in the order of the alphabet."""
        entries, entry = self._told
        counts: dict[str, int] = {}
        for names, n in zip(entries, np.bincount(entry, minlength=len(entries)).tolist()):
            for name in names:
                counts[name] = counts.get(name, 0) + n
        counts.pop("", None)
        return sorted(sorted(counts, key=lambda name: (-counts[name], name))[:MOST])

    def by(self, name: str) -> np.ndarray:
        """(N,) bool, the rows that this annotator labelled."""
        entries, entry = self._told
        if not entries:
            return np.zeros(self._rows, dtype=bool)
        return np.array([name in names for names in entries])[entry]
