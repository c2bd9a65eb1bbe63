"""The queue: which row a reviewer sees next, and what comes of his decision.

The order is the ledger's, or the one that ``errata queue`` has put its rows in. What stands on each row is counted in
``errata.review.standing``.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.checked import random_order
from errata.errors import ParameterError, UnknownNameError
from errata.items import CLASSES as SINGLE
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.review.annotated import Annotated
from errata.review.decisions import Decision, Decisions, Row
from errata.review.estimate import Progress
from errata.review.filters import Filter
from errata.review.places import Places, check_owner
from errata.review.standing import Standing

if TYPE_CHECKING:
    from errata.review.wholes import Wholes

__all__ = ["Progress", "Queue", "planned"]

LEASE = 600.0
CHUNK = 256
VIEWS = 32
"""Filtered orders that are kept; a reviewer has one in use."""


def planned(
    ledger: Ledger, budget: int | None = None, *, random: int | None = None, seed: int = 0
) -> tuple[np.ndarray, int | None]:
    """The order in which a ledger's rows are reviewed, and how many: what ``errata queue`` decided, where it did.

    Parameters
    ----------
    ledger : with a column ``place`` and ``meta["queue"]`` where there is a queue
    budget : how many are wanted, whatever was planned
    random : so many rows drawn at random instead
    seed : of the random order
    """
    if random is not None:
        first = random_order(ledger, seed)
        return np.concatenate([first, np.flatnonzero(ledger.given == MISSING)]), min(random, len(first))
    place, about = ledger.columns.get("place"), ledger.meta.get("queue")
    if place is None or not isinstance(about, dict):
        return ledger.order, budget
    rows = about.get("rows")
    return np.argsort(place, kind="stable"), budget if budget is not None or not rows else int(rows)


class Queue:
    """Deals out rows to reviewers, and records what they decide.

    Parameters
    ----------
    ledger : says the order, the labels and the trust
    record : holds the decisions
    overlap : how many reviewers decide on each row, each without knowing of the others
    budget : only the first so many rows of the order; by default all, or as many as ``errata queue`` was told
    lease : seconds for which a row that a reviewer looks at is given to no one else
    random : so many rows drawn at random instead, which tell of all rows: see ``errata.audit.checked``
    seed : of the random order
    wholes : the rows' labels, where they are no classes

    Raises
    ------
    LedgerError
        where the record belongs to another ledger, or a row occurs twice

    Examples
    --------
    >>> import tempfile
    >>> ledger = Ledger([0, 1, 1], [0, 0, 0], [0.9, 0.3, 0.1], classes=["cat", "dog"])
    >>> queue = Queue(ledger, Decisions(tempfile.mkdtemp()))
    >>> queue.claim("ann", Filter()), queue.claim("bob", Filter())
    (2, 1)
    >>> queue.decide("ann", 2, "relabel", "cat").label
    'cat'
    >>> queue.claim("ann", Filter())
    0
    """

    def __init__(
        self,
        ledger: Ledger,
        record: Decisions,
        *,
        overlap: int = 1,
        budget: int | None = None,
        lease: float = LEASE,
        random: int | None = None,
        seed: int = 0,
        wholes: Wholes | None = None,
    ) -> None:
        if overlap < 1:
            raise ParameterError(f"overlap must be 1 or more opinions per row; got {overlap}.")
        if budget is not None and budget < 1:
            raise ParameterError(f"budget must be 1 row or more; got {budget}.")
        self.ledger, self.record, self.overlap, self.lease = ledger, record, overlap, lease
        self.classes = [str(c) for c in ledger.classes]
        self.wholes = wholes
        if random is not None and budget is not None:
            raise ParameterError("Rows are either the most suspicious (budget) or drawn at random; leave one out.")
        if random is not None and random < 1:
            raise ParameterError(f"random must be 1 row or more; got {random}.")
        order, budget = planned(ledger, budget, random=random, seed=seed)
        about = ledger.meta.get("queue")
        self.by_chance = random is not None or (isinstance(about, dict) and about.get("rule") == "random")
        self.order = order if budget is None else order[:budget]
        self.goal = ledger.issue if budget is None else np.isin(np.arange(len(ledger)), self.order)
        self.goals = int(self.goal.sum())
        self.rank = np.empty(len(ledger), dtype=np.int64)
        self.rank[order] = np.arange(len(ledger))
        self._places = Places(ledger.index)
        self.annotated = Annotated(ledger)
        self._standing = Standing(ledger, record, self._places, overlap, self.goal)
        self._views: OrderedDict[Any, np.ndarray] = OrderedDict()
        self._within = 0  # blocks of ``together`` that are open, under the record's lock
        with record.writing():
            check_owner(record, ledger)
            record.note_about("overlap", overlap)
            self._standing.refresh()

    # -- rows and positions -------------------------------------------------------------------------------------------

    def row(self, position: int) -> Row:
        """What the row at a position of the ledger is called."""
        value = self.ledger.index[position]
        return value.item() if isinstance(value, np.generic) else value

    def position(self, row: str | Row) -> int:
        """Where a row is in the ledger.

        Raises
        ------
        UnknownNameError
            where there is none
        """
        found = self._places.find(row)
        if found is None:
            raise UnknownNameError("row", row, [self.row(int(p)) for p in self.order[:3]])
        return found

    @property
    def free(self) -> bool:
        """Whether any label may be given: the ledger's labels are numbers, or texts, in columns of their own."""
        other = self.wholes is not None and self.wholes.form is not None and self.classes == list(SINGLE)
        return other or "proposed" in self.ledger.columns

    def labels(self, position: int) -> tuple[str | None, str | None]:
        """The given and the proposed label of a row, as text; None where there is none."""
        told = None if self.wholes is None else self.wholes.labels(position)
        if told is not None:
            return told
        found: list[str | None] = []
        for name, codes in (("given", self.ledger.given), ("proposed", self.ledger.proposed)):
            if name in self.ledger.columns:
                value = self.ledger.columns[name][position]
                value = value.item() if isinstance(value, np.generic) else value
                missing = value is None or value != value
                found.append(None if missing else f"{value:.6g}" if isinstance(value, float) else str(value))
            else:
                code = int(codes[position])
                found.append(None if code == MISSING else self.classes[code])
        return found[0], found[1]

    # -- what reviewers do --------------------------------------------------------------------------------------------

    @contextmanager
    def together(self) -> Iterator[None]:
        """Several of these calls as one, on the disk when the block has ended; where that fails, none has happened."""
        try:
            with self.record.writing():
                if self._within == 0:
                    self._standing.refresh()  # from here on nobody else writes
                self._within += 1
                try:
                    yield
                finally:
                    self._within -= 1
        except BaseException:
            with self.record.lock:
                self._standing.forget()
            raise

    def claim(self, reviewer: str, choice: Filter, after: int | None = None, back: bool = False) -> int | None:
        """The position of the row that a reviewer shall look at; None where none is left.

        What is open is dealt out: a row goes to as many reviewers as opinions are wanted on it, and one who asks twice
        gets the same row. What is skipped or decided is leafed through.

        Parameters
        ----------
        reviewer : who asks
        choice : the rows he wants
        after : the position that he looks at now, for leafing through
        back : the one before instead of the one after
        """
        with self.together():
            if choice.show != "open":
                return self._leaf(reviewer, choice, after, back)
            held = {name: self._places.find(row) for name, row in self.record.leases().items()}
            own = held.pop(reviewer, None)
            position = own if own is not None and self._wants(own, reviewer, choice) else None
            if position is None:
                position = self._first_open(reviewer, choice, Counter(p for p in held.values() if p is not None))
            if position is None:
                self.record.release(reviewer)
            else:
                self.record.lease(reviewer, self.row(position), self.lease)
            return position

    def visit(self, reviewer: str, position: int) -> None:
        """Note that a reviewer looks at a row that he chose himself."""
        with self.together():
            self.record.lease(reviewer, self.row(position), self.lease)

    def decide(
        self,
        reviewer: str,
        position: int,
        action: str,
        label: str | None = None,
        note: str = "",
        key: str | None = None,
    ) -> Decision:
        """Record a decision. To relabel a row as what it is labelled already is to keep it.

        Raises
        ------
        UnknownNameError
            where the label is none of the classes
        ParameterError
            where a row without a label is to be kept
        """
        given = self.labels(position)[0]
        if label is not None and self.wholes is not None and (self.wholes.form is not None or self.wholes.said):
            action, label = self._whole(position, label)
        elif label is not None and not self.free and label not in self.classes:
            raise UnknownNameError("class", label, self.classes)
        if action == "relabel" and label is not None and given == label:
            action, label = "keep", None
        if action == "keep" and given is None:
            raise ParameterError(f"Row {self.row(position)} has no label to keep. Give it one, drop or skip it.")
        with self.together():
            made = self.record.add(self.row(position), action, label, reviewer=reviewer, note=note, key=key)
            self._standing.refresh()
            return made

    def _whole(self, position: int, label: str) -> tuple[str, str | None]:
        """What giving a row a label that is no class comes to."""
        if self.wholes is None or self.wholes.form is None:
            raise ParameterError("" if self.wholes is None else self.wholes.said)
        settled = self.wholes.settled(position, label)
        return ("keep", None) if settled is None else ("relabel", settled)

    def undo(self, reviewer: str, decision: int | None = None) -> Decision | None:
        """Take back the reviewer's last decision (or the one with that id); its row is his to look at again."""
        with self.together():
            undone = self.record.undo(reviewer, decision)
            if undone is not None:
                self.record.lease(reviewer, undone.row, self.lease)
                self._standing.refresh()
            return undone

    # -- what is known ------------------------------------------------------------------------------------------------

    def opinions(self, position: int) -> list[Decision]:
        """What stands on a row."""
        return self.record.standing(self.row(position))

    def may_see_others(self, position: int, reviewer: str) -> bool:
        """Whether a reviewer may see what others decided on a row: where all are blind, not before his own word."""
        if self.overlap == 1 or bool(self._standing.complete[position]):
            return True
        return any(d.reviewer == reviewer and d.action != "skip" for d in self.opinions(position))

    def progress(self, reviewer: str) -> Progress:
        """How far the review is, with the estimate of the errors left."""
        with self.together():
            standing = self._standing
            return Progress(
                self.goals,
                standing.done,
                standing.decided,
                standing.opinions[reviewer],
                dict(standing.actions),
                standing.left(),
                standing.chance(self.order) if self.by_chance else None,
            )

    def waiting(self, reviewer: str) -> tuple[int, int]:
        """Why nothing is left: how many rows are with others just now, and how many this reviewer has skipped."""
        with self.together():
            with_others = len({row for name, row in self.record.leases().items() if name != reviewer})
            return with_others, len(self._standing.skipped.get(reviewer, ()))

    # -- choosing -----------------------------------------------------------------------------------------------------

    def _view(self, choice: Filter) -> np.ndarray:
        """The positions that fit the filter, in the queue's order."""
        if choice.rows == Filter().rows:
            return self.order
        if choice.rows not in self._views:
            given, proposed, low, high, annotator = choice.rows
            trust = self.ledger.trust[self.order]
            fits = ((trust >= low) & (trust <= high)) | (np.isnan(trust) & (low <= 0) & (high >= 1))
            if given is not None:
                fits &= self.ledger.given[self.order] == given
            if proposed is not None:
                fits &= self.ledger.proposed[self.order] == proposed
            if annotator is not None:
                fits &= self.annotated.by(annotator)[self.order]
            self._views[choice.rows] = self.order[fits]
            if len(self._views) > VIEWS:
                self._views.popitem(last=False)
        self._views.move_to_end(choice.rows)
        return self._views[choice.rows]

    def _slots(self, position: int) -> int:
        """How many more opinions are wanted on a row; one where there is a tie."""
        if self._standing.complete[position]:
            return 0
        return max(1, self.overlap - int(self._standing.count[position]))

    def _wants(self, position: int, reviewer: str, choice: Filter) -> bool:
        if self._slots(position) == 0 or self._standing.seen_by(reviewer)[position]:
            return False
        view = self._view(choice)
        return view is self.order or bool((view == position).any())

    def _first_open(self, reviewer: str, choice: Filter, held: Counter[int]) -> int | None:
        seen, view = self._standing.seen_by(reviewer), self._view(choice)
        start, size = 0, CHUNK
        while start < len(view):
            part = view[start : start + size]
            start, size = start + size, 4 * size  # mostly it is among the first; else few steps reach the end
            for position in part[~(self._standing.complete[part] | seen[part])]:
                if held[int(position)] < self._slots(int(position)):
                    return int(position)
        return None

    def _leaf(self, reviewer: str, choice: Filter, after: int | None, back: bool) -> int | None:
        view = self._view(choice)
        fits = np.zeros(len(self.ledger), dtype=bool)
        if choice.show == "skipped":
            fits[list(self._standing.skipped.get(reviewer, ()))] = True
        elif choice.reviewer is None:
            fits |= self._standing.complete if self.overlap > 1 else self._standing.count > 0
            fits |= self._standing.answered(reviewer)
        else:
            fits |= self._standing.answered(choice.reviewer)
            if self.overlap > 1 and choice.reviewer != reviewer:
                fits &= self._standing.complete | self._standing.answered(reviewer)
        here = view[fits[view]]
        if after is not None:
            at, rank = self.rank[after], self.rank[here]
            here = here[rank < at][::-1] if back else here[rank > at]
        return int(here[0]) if len(here) else None
