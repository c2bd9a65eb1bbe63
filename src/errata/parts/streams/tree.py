"""A multi-label Hoeffding tree with three classifiers per leaf, online bagging and alternate subtrees on drift.

After MLHAT (Esteban, Cano, Zafra and Ventura, 2024), as it is adapted in the released code of iHOMER. Labels are
numbers; a tree knows how many it serves but keeps rows only for those that have come.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from errata.parts.streams.bounds import decide, hoeffding_bound, split_range, switch_bound
from errata.parts.streams.events import Event
from errata.parts.streams.leaf import (
    Gaussians,
    Neighbours,
    Regressions,
    Split,
    best_splits,
    is_pure,
    largest_share,
)
from errata.parts.streams.merit import EMPTY, TOTAL
from errata.parts.streams.record import Record

__all__ = ["Branch", "Leaf", "LeafVotes", "Settings", "Tree"]

MOST_SETS = 1 << 16
"""Different label sets that a leaf counts; with more the range of its merit grows no further."""

LeafVotes = tuple[list[int], np.ndarray]
"""Labels, by number, and the probability of each; all others have none."""


@dataclass(frozen=True)
class Settings:
    """The hyper-parameters of a tree; see ``errata.systems.streams.ihomer`` for what each does."""

    grace_period: int = 200
    delta: float = 1.6587784772850855e-7
    tau: float = 0.05
    cardinality_th: float = 750
    entropy_th: float = 0.3
    n_neighbors: int = 4
    window_size: int = 170
    n_models: int = 10
    learning_rate: float = 0.3
    n_splits: int = 10
    drift_window_threshold: float = 200
    switch_significance: float = 0.05
    alternate: str = "warning"
    poisson_rate: float = 1.0
    min_branch_fraction: float = 0.01
    max_share_to_split: float = 0.99
    max_depth: int | None = None
    max_size: float = 100.0
    inherit: bool = True


class Leaf:
    """Where events end.

    Parameters
    ----------
    settings : of the tree
    depth : splits above it
    record : its errors; those of the branch above, or its own at the top
    """

    def __init__(self, settings: Settings, depth: int, record: Record) -> None:
        self.settings, self.depth, self.record = settings, depth, record
        self.weight = 0.0
        self.attempt_at = 0.0
        self.active = True
        self.counts = np.zeros(2)
        self.rows: dict[int, int] = {}
        self.sets: set[tuple[int, ...]] = set()
        self.gaussians = Gaussians()
        self.neighbours = Neighbours(settings.n_neighbors, settings.window_size)
        self.regressions = Regressions(settings.n_models, settings.learning_rate)

    @property
    def nbytes(self) -> int:
        """The memory of its arrays."""
        return self.gaussians.nbytes + self.regressions.nbytes + self.counts.nbytes

    @property
    def total(self) -> float:
        """Its weight, with what was expected of it when it was made."""
        return float(self.counts[TOTAL])

    def classifier(self) -> str:
        """Which of its classifiers speaks: "majority", "powerset" or "relevance"."""
        if len(self.sets) <= 1:
            return "majority"
        few = self.weight < self.settings.cardinality_th
        return "powerset" if few or is_pure(self.counts, self.settings.entropy_th) else "relevance"

    def votes(self, event: Event) -> LeafVotes:
        """The labels that may be there, with their probabilities."""
        if self not in event.said:
            event.said[self] = self._vote(event)
        said: LeafVotes = event.said[self]
        return said

    def _vote(self, event: Event) -> LeafVotes:
        chosen = self.classifier()
        if chosen == "majority":
            labels = list(next(iter(self.sets), ()))
            return labels, np.ones(len(labels))
        if chosen == "powerset":
            found = self.neighbours.votes(event)
            return list(found), np.fromiter(found.values(), dtype=np.float64, count=len(found))
        return list(self.rows), self.regressions.proba(event, len(self.rows)).astype(np.float64)

    def learn(self, event: Event, present: tuple[int, ...], weight: float, times: np.ndarray) -> None:
        """Count the event and teach it to the classifiers."""
        for label in present:
            if label not in self.rows:
                self.rows[label] = len(self.rows)
        if len(self.counts) < 2 + len(self.rows):
            self.counts = np.append(self.counts, np.zeros(max(4, len(self.rows))))
        counted = [2 + self.rows[label] for label in present] or [EMPTY]
        self.weight += weight
        self.counts[[TOTAL, *counted]] += weight
        if len(self.sets) < MOST_SETS:
            self.sets.add(present)
        if self.active:
            self.gaussians.update([TOTAL, *counted], event, weight)
        self.neighbours.learn(event, present)
        if self.rows:
            self.regressions.learn(event, len(self.rows), [row - 2 for row in counted if row != EMPTY], times)

    def __deepcopy__(self, memo: dict[int, Any]) -> Leaf:
        made = copy.copy(self)
        memo[id(self)] = made
        made.counts = self.counts.copy()
        made.rows, made.sets = dict(self.rows), set(self.sets)  # not deeply: label sets are tuples of numbers
        for name in ("record", "gaussians", "neighbours", "regressions"):
            setattr(made, name, copy.deepcopy(getattr(self, name), memo))
        return made

    def keep(self, labels: set[int]) -> None:
        """Forget all other labels; events that had others only become events without any."""
        kept = [label for label in self.rows if label in labels]
        rows = [2 + self.rows[label] for label in kept]
        counts = self.counts[[TOTAL, EMPTY, *rows]]
        self.gaussians.keep([TOTAL, EMPTY, *rows])
        self.regressions.keep([row - 2 for row in rows])
        self.neighbours.keep(labels)
        self.sets = {tuple(label for label in one if label in labels) for one in self.sets}
        self.rows = {label: place for place, label in enumerate(kept)}
        # how many had none of the labels that stay is not known; at least what none of them can account for
        counts[EMPTY] = max(counts[EMPTY], counts[TOTAL] - counts[2:].sum())
        self.counts = counts

    def split(self) -> Split | None:
        """The split that the leaf is sure of; None where there is none, or the labels hardly vary."""
        self.attempt_at = self.weight
        own = self.settings
        counts = self.counts[: 2 + len(self.rows)]
        if len(self.sets) <= 1 or largest_share(counts) > own.max_share_to_split:
            return None
        best, second = best_splits(self.gaussians, counts, own.n_splits, own.min_branch_fraction)
        if best is None:
            return None
        bound = hoeffding_bound(split_range(len(self.sets)), own.delta, self.weight)
        return best if best.merit - second > bound or bound < own.tau else None

    def child(self, counts: np.ndarray, goes: dict[int, bool], record: Record) -> Leaf:
        """A leaf below this one, with the counts expected of it, and what it inherits of the classifiers."""
        made = Leaf(self.settings, self.depth + 1, record)
        made.rows = dict(self.rows)
        made.counts = np.zeros(2 + len(self.rows))
        made.counts[: len(counts)] = counts
        if self.settings.inherit:
            made.neighbours = self.neighbours.part(goes)
            made.regressions = self.regressions.copy()
            made.sets = set(made.neighbours.sets)
        return made


class Branch:
    """Where events part: ``x[feature] <= threshold`` to the first child. It may have an alternate in the background."""

    def __init__(self, split: Split, children: list[Leaf | Branch], depth: int, background: bool) -> None:
        self.feature, self.threshold = split.feature, split.threshold
        self.children: list[Leaf | Branch] = children
        self.depth, self.background = depth, background
        self.record = Record()
        self.alternate: Leaf | Branch | None = None
        self.weight = 0.0
        self.total: float = sum(float(child.total) for child in children)

    def side(self, event: Event) -> int:
        """0 or 1; where the value is missing, the child that has seen more."""
        x = event.x[self.feature] if self.feature < len(event.x) else np.nan
        if x != x:
            return int(self.children[1].total > self.children[0].total)
        return int(x > self.threshold)

    def to_front(self) -> None:
        """It, and what is below, is in the background no longer."""
        self.background = False
        for child in self.children:
            if isinstance(child, Branch):
                child.to_front()


class Tree:
    """A tree for some of the labels.

    Parameters
    ----------
    num_labels : how many labels it serves
    settings : its hyper-parameters
    rng : for bagging; the tree draws from it only when it learns
    """

    def __init__(self, num_labels: int, settings: Settings, rng: np.random.Generator) -> None:
        self.num_labels, self.settings, self.rng = num_labels, settings, rng
        self.root: Leaf | Branch = Leaf(settings, 0, Record())
        self.max_size = settings.max_size
        self.swapped = self.pruned = 0

    # -- predicting ---------------------------------------------------------------------------------------------------

    def votes(self, event: Event) -> LeafVotes:
        """Labels and probabilities: of the leaf reached, and of alternates that have seen enough, by their errors."""
        node: Leaf | Branch = self.root
        reached: list[Leaf] = []
        while isinstance(node, Branch):
            if node.alternate is not None:
                leaf = _leaf_of(node.alternate, event)
                if node.alternate.weight > self.settings.drift_window_threshold:
                    reached.append(leaf)
            node = node.children[node.side(event)]
        if not reached:
            return node.votes(event)
        shares: dict[int, float] = {}
        whole = 0.0
        for leaf in [*reached, node]:
            trust = leaf.record.trust
            whole += trust
            labels, p = leaf.votes(event)
            for label, value in zip(labels, (trust * p).tolist(), strict=True):
                shares[label] = shares.get(label, 0.0) + value
        return list(shares), np.fromiter(shares.values(), dtype=np.float64, count=len(shares)) / whole

    # -- learning -----------------------------------------------------------------------------------------------------

    def learn(self, event: Event, present: tuple[int, ...], seen: Event | None = None) -> None:
        """Learn one event.

        Parameters
        ----------
        present : those of the tree's labels that are there
        seen : the event as it was when it was predicted, before its values were known to the scale; the tree's errors
            are on this. None for events that are replayed, whose errors say nothing
        """
        times = self.rng.poisson(self.settings.poisson_rate)
        self._descend(self, "root", event, present, float(max(1, times)), False, seen)

    def _descend(
        self,
        owner: Any,
        place: str | int,
        event: Event,
        present: tuple[int, ...],
        weight: float,
        background: bool,
        seen: Event | None,
    ) -> None:
        node = _get(owner, place)
        loss = None if seen is None else _hamming(_leaf_of(node, seen).votes(seen), present, self.num_labels)
        if isinstance(node, Leaf) and loss is not None:
            node.record.update(loss, weight)
        path: list[tuple[Any, str | int, Branch, float]] = []
        while isinstance(node, Branch):
            error = node.record.mean
            node.weight += weight
            node.total += weight
            if loss is not None:
                node.record.update(loss, weight)
                alarm = node.record.warning if self.settings.alternate == "warning" else node.record.drift
                if alarm and node.alternate is None and not background and self.roomy():
                    node.alternate = Leaf(self.settings, node.depth, Record())
            if node.alternate is not None:
                self._descend(node, "alternate", event, present, weight, True, seen)
            path.append((owner, place, node, error))
            owner, place = node, node.side(event)
            node = node.children[place]
        times = self.rng.poisson(1.0, size=self.settings.n_models).astype(np.float32)
        node.learn(event, present, weight, times)
        if node.active and node.weight - node.attempt_at >= self.settings.grace_period:
            self._try(owner, place, node, event, background)
        for above in path:
            if self._judge(*above):
                break

    def _try(self, owner: Any, place: str | int, leaf: Leaf, event: Event, background: bool) -> None:
        if (self.settings.max_depth is not None and leaf.depth >= self.settings.max_depth) or not self.roomy():
            leaf.active = False
            leaf.gaussians = Gaussians()
            return
        split = leaf.split()
        if split is None:
            return
        branch = Branch(split, [], leaf.depth, background)
        past = event.past
        first, second = {}, {}
        for stamp in leaf.neighbours.stamps:
            x = past.raw[stamp % past.size, split.feature]
            first[stamp] = bool(x <= split.threshold) if x == x else split.left[TOTAL] >= split.right[TOTAL]
            second[stamp] = not first[stamp]
        branch.children = [
            leaf.child(split.left, first, branch.record),
            leaf.child(split.right, second, branch.record),
        ]
        branch.weight, branch.total = leaf.weight, leaf.total
        branch.record.mean, branch.record.weight = leaf.record.mean, min(leaf.record.weight, 1.0)
        _put(owner, place, branch)

    def _judge(self, owner: Any, place: str | int, branch: Branch, error: float) -> bool:
        """Swap the branch's alternate in, drop it, or keep both; whether the branch is gone."""
        own, alternate = self.settings, branch.alternate
        if alternate is None or alternate.weight <= own.drift_window_threshold:
            return False
        if branch.record.since_drift <= own.drift_window_threshold:
            return False
        bound = switch_bound(error, branch.record.since_drift, alternate.weight, own.switch_significance)
        decision = decide(error, alternate.record.mean, bound)
        if decision == "swap":
            if isinstance(alternate, Branch):
                alternate.to_front()
            elif isinstance(owner, Branch):
                alternate.record = owner.record
            _put(owner, place, alternate)
            self.swapped += 1
            return True
        if decision == "prune":
            branch.alternate = None
            self.pruned += 1
        return False

    def keep(self, labels: Sequence[int]) -> None:
        """Serve only these of the labels from now on; what was learned of them stays."""
        self.num_labels = len(labels)
        for leaf in self.leaves():
            leaf.keep(set(labels))

    # -- size ---------------------------------------------------------------------------------------------------------

    def leaves(self) -> Iterator[Leaf]:
        """All leaves, those of alternates too."""
        stack: list[Leaf | Branch] = [self.root]
        while stack:
            node = stack.pop()
            if isinstance(node, Leaf):
                yield node
            else:
                stack.extend(node.children)
                if node.alternate is not None:
                    stack.append(node.alternate)

    def roomy(self) -> bool:
        """Whether the tree may grow: its arrays take less than ``max_size`` MiB."""
        return sum(leaf.nbytes for leaf in self.leaves()) < self.max_size * 2**20


def _leaf_of(node: Leaf | Branch, event: Event) -> Leaf:
    while isinstance(node, Branch):
        node = node.children[node.side(event)]
    return node


def _get(owner: Any, place: str | int) -> Leaf | Branch:
    return getattr(owner, place) if isinstance(place, str) else owner.children[place]


def _put(owner: Any, place: str | int, node: Leaf | Branch) -> None:
    if isinstance(place, str):
        setattr(owner, place, node)
    else:
        owner.children[place] = node


def _hamming(votes: LeafVotes, present: Sequence[int], num_labels: int) -> float:
    """The share of the labels that were predicted wrongly."""
    labels, p = votes
    there = set(present)
    predicted = {label for label, value in zip(labels, p.tolist(), strict=True) if value > 0.5}
    return len(predicted ^ there) / max(1, num_labels)
