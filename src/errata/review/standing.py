"""What stands on each row, counted in arrays with an entry per row.

It is worked out from the record of decisions and brought up to date before every answer, so that several servers may
share one record.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby

import numpy as np

from errata.audit.checked import clopper_pearson
from errata.forms.agreeing import Alike
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.review.agreement import verdict
from errata.review.decisions import Decision, Decisions, Row
from errata.review.estimate import Chance, ErrorsLeft, ErrorsLeftEstimator, Tally, doubts
from errata.review.places import Places

__all__ = ["Standing"]


class Standing:
    """How far the review is, row by row.

    Parameters
    ----------
    ledger : of the rows
    record : of the decisions
    places : where each row is
    overlap : how many opinions a row needs
    goal : (N,) bool, the rows that are to be decided

    Attributes
    ----------
    count : (N,) how many opinions there are; who skipped has none
    complete, wrong : (N,) bool, whether a row is decided, and not as it is labelled
    done, decided : how many rows of the goal, and in all, are decided
    opinions : by reviewer, how many of his decisions stand
    actions : by action, how many rows are decided so
    skipped : by reviewer, the positions of the rows that he has skipped
    """

    def __init__(self, ledger: Ledger, record: Decisions, places: Places, overlap: int, goal: np.ndarray) -> None:
        self._record, self._places, self._overlap, self._goal = record, places, overlap, goal
        self._labelled = ledger.given != MISSING
        self._estimator = ErrorsLeftEstimator(1.0 - doubts(ledger))
        self.forget()

    def forget(self) -> None:
        """Begin anew: with the next ``refresh`` all is taken in again."""
        n = len(self._goal)
        self._marks = (0, 0)
        self.count = np.zeros(n, dtype=np.int16)
        self.complete = np.zeros(n, dtype=bool)
        self.wrong = np.zeros(n, dtype=bool)
        self._tally, self.done, self.decided = Tally(), 0, 0
        self.opinions: Counter[str] = Counter()
        self._action = np.zeros(n, dtype="U7")
        self.actions: Counter[str] = Counter()
        self._seen: dict[str, np.ndarray] = {}
        self.skipped: dict[str, set[int]] = {}

    def refresh(self) -> None:
        """Take in what was decided or undone since, by whomever."""
        rows, marks = self._record.changed_since(self._marks)
        alike = self._record.alike if rows else None
        if rows and self._marks == (0, 0):
            for row, group in groupby(self._record.standing(), key=lambda d: d.row):
                self._note(row, list(group), alike)
        else:
            for row in rows:
                self._note(row, self._record.standing(row), alike)
        self._marks = marks

    def _note(self, row: Row, standing: list[Decision], alike: Alike | None) -> None:
        position = self._places.find(row)
        if position is None:
            return
        for name, seen in self._seen.items():
            self.opinions[name] -= bool(seen[position]) and position not in self.skipped[name]
            seen[position] = False
            self.skipped[name].discard(position)
        for d in standing:
            self.seen_by(d.reviewer)[position] = True
            if d.action == "skip":
                self.skipped[d.reviewer].add(position)
            else:
                self.opinions[d.reviewer] += 1
        answers = [(d.action, d.label) for d in standing if d.action != "skip"]
        found = verdict(answers, alike) if len(answers) >= self._overlap else None
        self._close(position, -1)
        self.count[position] = len(answers)
        self.complete[position] = found is not None
        self.wrong[position] = found is not None and found[0] != "keep"
        self._action[position] = found[0] if found else ""
        self._close(position, 1)

    def _close(self, position: int, times: int) -> None:
        """Count a row that is decided in, or out with ``times=-1``."""
        if self.complete[position]:
            self.actions[str(self._action[position])] += times
            self.done += times * int(self._goal[position])
            self.decided += times
            self._estimator.add(self._tally, position, bool(self.wrong[position]), times)

    # -- what is asked of it ------------------------------------------------------------------------------------------

    def seen_by(self, reviewer: str) -> np.ndarray:
        """(N,) bool, the rows that a reviewer has decided on or skipped."""
        if reviewer not in self._seen:
            self._seen[reviewer] = np.zeros(len(self._goal), dtype=bool)
            self.skipped[reviewer] = set()
        return self._seen[reviewer]

    def answered(self, reviewer: str) -> np.ndarray:
        """(N,) bool, the rows that a reviewer has decided on."""
        answered = self.seen_by(reviewer).copy()
        answered[list(self.skipped[reviewer])] = False
        return answered

    def left(self) -> ErrorsLeft:
        """The estimate of the wrong labels left."""
        return self._estimator.of(self._tally)

    def chance(self, order: np.ndarray) -> Chance:
        """What the first rows of a random order tell of all, up to the first that is neither decided nor skipped."""
        passed = self.complete[order]
        if any(self.skipped.values()):
            passed = passed | np.isin(order, list(set.union(*self.skipped.values())))
        first = order[: len(passed) if passed.all() else int(np.argmin(passed))]
        first = first[self.complete[first]]
        wrong = int(self.wrong[first].sum())
        low, high = clopper_pearson(wrong, len(first))
        labelled = int(self._labelled.sum())
        return Chance(len(first), wrong, float(low) * labelled, float(high) * labelled)
