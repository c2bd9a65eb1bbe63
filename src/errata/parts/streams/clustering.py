"""Clusters of labels that come together, as a binary tree that splits and merges while a stream goes by (ODAC).

Divisive-agglomerative clustering (Rodrigues, Gama and Pedroso, 2008) with the distance ``1 - Jaccard`` between labels.
The root holds all labels. Every ``n_min`` events each leaf is looked at: a leaf whose labels lie further apart than its
parent's did is merged back, one whose labels fall into two groups is split at the two furthest labels.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from errata.errors import ParameterError, UnknownNameError
from errata.parts.streams.bounds import odac_bound
from errata.parts.streams.cooccurrence import JaccardCounts, PearsonCounts

__all__ = ["Cluster", "LabelClusters"]

STATISTICS: dict[str, type[JaccardCounts] | type[PearsonCounts]] = {
    "jaccard": JaccardCounts,
    "pearson": PearsonCounts,
}
HEAVY = 1e12  # a weight of the newest event above which all counts are scaled back


@dataclass(eq=False)
class Cluster:
    """A node of the tree.

    Parameters
    ----------
    members : the labels, by number, sorted
    born : the event after which it was made; its counts are of later ones
    d1, e : its largest distance and its bound when it was last looked at; those of a parent are of its split
    """

    members: list[int]
    counts: JaccardCounts | PearsonCounts
    born: int
    parent: Cluster | None = None
    children: tuple[Cluster, Cluster] | None = None
    d1: float | None = None
    e: float = 0.0
    gone: bool = False
    path: tuple[int, ...] = field(default=())

    def leaves(self) -> Iterator[Cluster]:
        """The leaves below, the first child's first."""
        stack = [self]
        while stack:
            node = stack.pop()
            if node.children is None:
                yield node
            else:
                stack.extend(reversed(node.children))


class LabelClusters:
    """A partition of the labels that follows the stream.

    Parameters
    ----------
    n_min : look at the clusters every so many events
    confidence_level : stands for delta in ``sqrt(ln(1/delta) / (2 n))``, in (0, 1); the released 0.9 is a weak test
    tau : split although the two largest distances are alike, where the bound is below this
    statistics : "jaccard", or "pearson" for the released code's behaviour, which mixes up similarity and distance
    window : count the last so many events only; all by default
    decay : what an event's weight is multiplied by at each further event, in (0, 1]; 1 forgets nothing

    Examples
    --------
    >>> clusters = LabelClusters(n_min=50)
    >>> clusters.add_labels(range(4))
    >>> rng = np.random.default_rng(0)
    >>> for _ in range(50):
    ...     changed = clusters.learn([0, 1] if rng.random() < 0.5 else [2, 3])
    >>> changed, clusters.partition()
    (True, [[0, 1], [2, 3]])
    """

    def __init__(
        self,
        n_min: int = 100,
        confidence_level: float = 0.9,
        tau: float = 0.1,
        *,
        statistics: str = "jaccard",
        window: int | None = None,
        decay: float = 1.0,
    ) -> None:
        if statistics not in STATISTICS:
            raise UnknownNameError("statistic of label clusters", statistics, STATISTICS)
        if not 0 < confidence_level < 1:
            raise ParameterError(f"confidence_level must be in (0, 1); got {confidence_level!r}.")
        if n_min < 1 or (window is not None and window < 1) or not 0 < decay <= 1:
            raise ParameterError(
                "n_min and window must be 1 or more, decay in (0, 1]; got "
                f"n_min={n_min!r}, window={window!r}, decay={decay!r}."
            )
        if statistics == "pearson" and (window is not None or decay != 1):
            raise ParameterError("The released statistics ('pearson') forget nothing: leave window and decay alone.")
        self.n_min, self.confidence_level, self.tau = int(n_min), confidence_level, tau
        self.window, self.decay = window, decay
        self.statistics = statistics
        self.root = Cluster([], self._kind(0), 0)
        self.t = 0
        self._weight = 1.0
        self._leaf: dict[int, tuple[Cluster, int]] = {}  # of each label, with its position there
        self._recent: deque[tuple[int, list[int]]] = deque()

    def _kind(self, size: int) -> JaccardCounts | PearsonCounts:
        return STATISTICS[self.statistics](size)

    # -- what it holds ------------------------------------------------------------------------------------------------

    def leaves(self) -> list[Cluster]:
        """The clusters, first child first."""
        return [leaf for leaf in self.root.leaves() if leaf.members]

    def partition(self) -> list[list[int]]:
        """The labels of each cluster, sorted; the clusters by their first label."""
        return sorted(list(leaf.members) for leaf in self.leaves())

    def mass(self, leaf: Cluster) -> float:
        """n: how many events a leaf's counts hold, by their present weight."""
        n = self.t - leaf.born
        if self.window is not None:
            n = min(n, self.window)
        return float(n) if self.decay == 1 else (1.0 - self.decay**n) / (1.0 - self.decay)

    # -- learning -----------------------------------------------------------------------------------------------------

    def add_labels(self, new: Iterable[int], beside: Sequence[int] = ()) -> None:
        """Take in labels not seen before: into the cluster of most of ``beside``, or the largest one.

        Which labels come with a new one is not known yet; it is split off again where it does not belong.
        """
        added = sorted(set(new) - self._leaf.keys())
        if not added:
            return
        homes = [self._leaf[label][0] for label in beside if label in self._leaf]
        leaves = list(self.root.leaves())
        leaf = max(leaves, key=lambda one: (homes.count(one), len(one.members)))
        leaf.members = sorted(leaf.members + added)
        kept = leaf.counts
        leaf.counts = self._kind(len(leaf.members))
        if isinstance(kept, JaccardCounts) and isinstance(leaf.counts, JaccardCounts) and len(kept.both):
            old = np.flatnonzero(~np.isin(leaf.members, added))
            leaf.counts.both[np.ix_(old, old)] = kept.both
        else:
            leaf.born = self.t  # correlations can't be filled in: the cluster begins anew
        self._settle(leaf)

    def _settle(self, leaf: Cluster) -> None:
        self._leaf.update((label, (leaf, place)) for place, label in enumerate(leaf.members))

    def learn(self, present: Sequence[int]) -> bool:
        """Count the labels of one event; every ``n_min`` events also look at the clusters.

        Parameters
        ----------
        present : the labels that are there, known ones, each once

        Returns
        -------
        bool
            whether clusters were split or merged
        """
        self.t += 1
        if self.decay != 1:
            self._weight /= self.decay
        self._count(present, self._weight, self.t)
        if self.window is not None:
            self._recent.append((self.t, list(present)))
            while self._recent and self._recent[0][0] <= self.t - self.window:
                then, labels = self._recent.popleft()
                self._count(labels, -1.0 if self.decay == 1 else -self._weight * self.decay**self.window, then)
        if self._weight > HEAVY:
            for leaf in self.root.leaves():
                if isinstance(leaf.counts, JaccardCounts):
                    leaf.counts.scale(1.0 / self._weight)
            self._weight = 1.0
        return self.t % self.n_min == 0 and self._look()

    def _count(self, present: Sequence[int], weight: float, at: int) -> None:
        groups: dict[Cluster, list[int]] = {}
        if self.root.counts.every_event:
            groups = {leaf: [] for leaf in self.leaves()}
        for label in present:
            leaf, place = self._leaf[label]
            groups.setdefault(leaf, []).append(place)
        for leaf, places in groups.items():
            if leaf.born < at:
                leaf.counts.add(places, weight)

    # -- splitting and merging ----------------------------------------------------------------------------------------

    def _look(self) -> bool:
        """One action per leaf at most; leaves that are made here wait for the next time."""
        changed = False
        for leaf in self.leaves():
            n = self.mass(leaf)
            if leaf.gone or n <= 0:
                continue
            spread = leaf.counts.spread(n)
            leaf.d1, leaf.e = spread.d1, odac_bound(self.confidence_level, n)
            parent = leaf.parent
            if parent is not None and parent.d1 is not None and leaf.d1 - parent.d1 > max(leaf.e, parent.e):
                self._merge(parent)
                changed = True
            elif spread.d2 is not None and spread.d0 is not None and spread.mean is not None:
                apart = spread.d1 - spread.d2 > leaf.e or self.tau > leaf.e
                if apart and (spread.d1 - spread.d0) * abs(spread.d1 + spread.d0 - 2 * spread.mean) > leaf.e:
                    self._split(leaf, spread.pivots)
                    changed = True
        return changed

    def _split(self, leaf: Cluster, pivots: tuple[int, int]) -> None:
        second = leaf.counts.sides(pivots)
        children = []
        for side in (0, 1):
            members = [label for label, other in zip(leaf.members, second, strict=True) if other == side]
            child = Cluster(members, self._kind(len(members)), self.t, leaf, path=(*leaf.path, side))
            self._settle(child)
            children.append(child)
        leaf.children = (children[0], children[1])
        leaf.counts = self._kind(0)

    def _merge(self, parent: Cluster) -> None:
        """Take back a split: the node is a leaf again, with all labels below it and fresh counts."""
        members: list[int] = []
        for leaf in parent.leaves():
            leaf.gone = True
            members += leaf.members
        parent.members = sorted(members)
        parent.children = None
        parent.counts, parent.born = self._kind(len(members)), self.t
        self._settle(parent)
