"""What decisions make of a ledger's labels, and whether a data set is the one they were made for."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.correct.decisions import Decided
from errata.correct.provenance import Change, Provenance
from errata.errors import DataError, LedgerError, UnknownNameError
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger

__all__ = ["DROP", "Edits", "Plan", "make_plan"]

DROP = -2
"""Stands for the new label of a row that is dropped."""

SHOWN = 3  # rows in a message


@dataclass(frozen=True)
class Plan:
    """The labels after the decisions, and where they came from.

    Parameters
    ----------
    ledger : as it was
    classes : its classes, and the new ones behind them
    target : (N,) int64, the label of each of the ledger's rows afterwards, a code into ``classes``; -1 where there is
        none
    dropped : (N,) bool
    settled : (N,) bool, whether the label was decided on, kept ones included
    provenance : what changes, a line per row
    left_in : decisions to drop that are not carried out
    """

    ledger: Ledger
    classes: list[Any]
    target: np.ndarray
    dropped: np.ndarray
    settled: np.ndarray
    provenance: Provenance
    left_in: int = 0

    @property
    def counts(self) -> dict[str, int]:
        """How many rows are relabelled, get a first label, are dropped, left in against a decision, and kept as "
        "decided."""
        given, left = self.ledger.given, ~self.dropped
        changed = left & (self.target != given)
        return {
            "relabelled": int((changed & (given != MISSING)).sum()),
            "filled": int((changed & (given == MISSING)).sum()),
            "dropped": int(self.dropped.sum()),
            "left_in": self.left_in,
            "kept": int((self.settled & ~changed).sum()),
        }

    def codes(self, labels: ClassLabels) -> np.ndarray:
        """Labels in another order of classes as codes into ``classes``; ``DROP``, which fits no row, for unknown "
        "ones."""
        place = {str(name): code for code, name in enumerate(self.classes)}
        lookup = np.array([place.get(str(name), DROP) for name in labels.classes] + [MISSING], dtype=np.int64)
        return lookup[labels.codes]

    def fit(
        self,
        labels: ClassLabels,
        source: str,
        *,
        earlier: Provenance | None = None,
        ordered: bool = True,
        gaps: bool = False,
    ) -> Edits:
        """What is still to be changed in a data set with these labels.

        Parameters
        ----------
        labels : as they stand in the data set
        source : its name, for messages
        earlier : the provenance that lies beside it, where it was corrected before
        ordered : whether correcting keeps the order of the rows (in a folder by class it doesn't)
        gaps : whether the data set may hold rows that the ledger has not (images that could not be read)

        Raises
        ------
        LedgerError
            where the rows or the labels are not those that the ledger was made from
        """
        found = self.codes(labels)
        if self.ledger.index.dtype.kind not in "iu":
            raise LedgerError(
                f"The ledger's rows have names, such as {str(self.ledger.index[0])!r}, not numbers, so they can't be "
                f"found in {source}. Correct the table in Python: errata.apply(ledger, decisions)."
            )
        if earlier is not None and earlier.same_changes(self.provenance):
            edits = self._done(found, ordered)
            if edits is not None:
                return edits
        return self._open(found, labels, source, gaps)

    def _done(self, found: np.ndarray, ordered: bool) -> Edits | None:
        """No edits, where everything has been carried out before; None where it hasn't."""
        rows, left = self.ledger.index, ~self.dropped
        if len(found) + int(self.dropped.sum()) < len(rows):
            return None
        if not ordered:
            there, wanted = np.sort(found), np.sort(self.target[left])
            return Edits.none(len(found), None) if np.array_equal(there, wanted) else None
        origin = np.setdiff1d(np.arange(len(found) + int(self.dropped.sum())), rows[self.dropped])
        if len(origin) != len(found):
            return None
        positions = _places(rows, origin)
        known = positions >= 0
        if int(known.sum()) != int(left.sum()) or (found[known] != self.target[positions[known]]).any():
            return None
        return Edits.none(len(found), positions)

    def _open(self, found: np.ndarray, labels: ClassLabels, source: str, gaps: bool) -> Edits:
        rows, given = self.ledger.index, self.ledger.given
        last = int(rows.max(initial=-1))
        if last >= len(found) or (len(found) != len(rows) and not gaps and last + 1 == len(rows)):
            raise LedgerError(
                f"{source} does not fit the ledger: it has {len(found):,} rows, the ledger {len(rows):,}. Was it "
                "changed since the audit, or is it another? Audit it as it is now, or name the right one with "
                "--source (source=)."
            )
        now = found[rows]
        odd = np.flatnonzero((now != given) & (now != self.target))
        if len(odd):
            raise LedgerError(self._odd(odd, labels, source))
        edited = np.flatnonzero(self.dropped | (now != self.target))
        new = np.where(self.dropped, DROP, self.target)[edited]
        order = np.argsort(rows[edited], kind="stable")
        return Edits(len(found), rows[edited][order].astype(np.int64), new[order], _places(rows, np.arange(len(found))))

    def _odd(self, odd: np.ndarray, labels: ClassLabels, source: str) -> str:
        shown = []
        for position in odd[:SHOWN]:
            row = int(self.ledger.index[position])
            there = _name(labels.classes, labels.codes[row])
            shown.append(f"row {row} is {there}, the ledger has {_name(self.classes, self.ledger.given[position])}")
        return (
            f"{source} does not fit the ledger: {len(odd):,} labels differ ({'; '.join(shown)}). Was it changed "
            "since the audit, or is another column the label? Audit it as it is now, or name the right one with "
            "--source or --label."
        )


@dataclass(frozen=True)
class Edits:
    """What is to be changed in a data set.

    Parameters
    ----------
    total : N, how many rows it has
    rows : (M,) int64, rising row numbers
    codes : (M,) int64, each one's new label, or ``DROP``
    positions : (N,) int64, where each row stands in the ledger, -1 where it doesn't; None where that isn't known
    """

    total: int
    rows: np.ndarray
    codes: np.ndarray
    positions: np.ndarray | None

    @classmethod
    def none(cls, total: int, positions: np.ndarray | None) -> Edits:
        """Nothing to change."""
        return cls(total, np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), positions)

    def __bool__(self) -> bool:
        return len(self.rows) > 0

    @functools.cached_property
    def kept(self) -> np.ndarray:
        """(N,) bool: the rows that are not dropped."""
        kept = np.ones(self.total, dtype=bool)
        kept[self.rows[self.codes == DROP]] = False
        return kept

    def relabelled(self, start: int = 0, stop: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """The rows in [start, stop) that get a new label, counted from ``start``, and those labels."""
        low, high = np.searchsorted(self.rows, [start, self.total if stop is None else stop])
        some = slice(int(low), int(high))
        new = self.codes[some] != DROP
        return self.rows[some][new] - start, self.codes[some][new]


def make_plan(ledger: Ledger, decided: Decided, *, drop: bool = True, new_classes: bool = False) -> Plan:
    """Work out the labels after the decisions.

    Parameters
    ----------
    ledger, decided : the rows and what was decided on them
    drop : whether rows decided to be dropped are; else they stay with the label they have
    new_classes : whether a row may get a class that the ledger has not

    Raises
    ------
    UnknownNameError
        for an unknown class; the nearest is told
    DataError
        where no row would be left

    Examples
    --------
    >>> from errata.correct.decisions import decide
    >>> ledger = Ledger([0, 1, 1], [0, 0, 1], [0.9, 0.2, 0.8], classes=["cat", "dog"])
    >>> plan = make_plan(ledger, decide([(1, "relabel", "cat"), (2, "drop")], ledger))
    >>> plan.target, plan.dropped
    (array([0, 0, 1]), array([False, False,  True]))
    """
    classes = list(ledger.classes)
    target = ledger.given.astype(np.int64)
    dropped, settled = np.zeros(len(ledger), dtype=bool), np.zeros(len(ledger), dtype=bool)
    known = _Classes(classes, new_classes)
    changes, left_in = [], 0
    rows = ledger.index[decided.positions].tolist()
    for i, position in enumerate(decided.positions.tolist()):
        action, row = decided.actions[i], rows[i]
        if action == "drop" and not drop:
            left_in += 1
            continue
        given = int(ledger.given[position])
        new = known.code(decided.labels[i], row) if action == "relabel" else given
        dropped[position], settled[position], target[position] = action == "drop", action != "drop", new
        if action == "drop" or new != given:
            why = f"{action}: {decided.why[i]}" if decided.why[i] else action
            old_word, new_word = _text(classes, given), "" if action == "drop" else _text(classes, new)
            changes.append(Change(row, old_word, new_word, decided.who[i], decided.when[i], why))
    if dropped.all() and len(dropped):
        raise DataError("Every row would be dropped; nothing would be left. Look at the decisions again.")
    return Plan(ledger, classes, target, dropped, settled, Provenance(changes), left_in)


class _Classes:
    """Finds classes by what a table of decisions calls them; adds new ones to the list where that is allowed."""

    def __init__(self, classes: list[Any], grow: bool) -> None:
        self.classes = classes
        self.grow = grow
        self.kinds = {type(name) for name in classes}
        self.by_word = {str(name): code for code, name in enumerate(classes)}

    def code(self, label: Any, row: Any) -> int:
        word = self._word(label)
        found = self.by_word.get(word)
        if found is not None:
            return found
        if not self.grow:
            hint = f"Row {row} is to get it. To add a class, allow it with --new-classes (new_classes=True)."
            raise UnknownNameError("class", word, self.classes, hint)
        self.by_word[word] = len(self.classes)
        self.classes.append(self._typed(word))
        return self.by_word[word]

    def _word(self, label: Any) -> str:
        word = str(label).strip()
        if word in self.by_word:
            return word
        if isinstance(label, float) or hasattr(label, "is_integer"):  # pandas makes floats of integers beside nothing
            word = str(int(label)) if float(label).is_integer() else word
        if self.kinds == {bool}:
            return next((name for name in self.by_word if name.lower() == word.lower()), word)
        return word

    def _typed(self, word: str) -> Any:
        """A new class of the type that the others have, where that can be."""
        if self.kinds == {int}:
            try:
                return int(word)
            except ValueError:
                return word
        return word


def _places(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each number of ``wanted`` stands in ``rows``; -1 where it doesn't."""
    places = np.full(int(max(rows.max(initial=-1), wanted.max(initial=-1))) + 1, MISSING, dtype=np.int64)
    places[rows] = np.arange(len(rows))
    return places[wanted]


def _text(classes: Sequence[Any], code: int) -> str:
    return "" if code == MISSING else str(classes[code])


def _name(classes: Sequence[Any], code: int) -> str:
    return "without a label" if code == MISSING else repr(str(classes[code]))
