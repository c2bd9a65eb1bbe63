"""iHOMER: labels are clustered while the stream goes by, and each cluster is learned by a model of its own.

One model for all labels sees too many label sets; one per label sees no dependence. Labels that come together should be
learned together, and which do changes over time. So the labels' co-occurrences are counted, a binary tree of clusters
is kept that splits and merges (ODAC, Jaccard distance), and every cluster has a multi-label Hoeffding tree (after
MLHAT) that predicts its labels only. A cluster whose labels stay keeps its model; parts of one that is split
go on with parts of its tree; others begin with the last events replayed.

Kept: counts of label pairs, the trees, and the last ``memory`` events; nothing per event beyond these.

The public code is not complete: how partitions drive the models is reconstructed here. What departs from it: the
released clustering announces Jaccard, keeps Pearson correlations, and puts these similarities through formulas made
for distances (``distance="pearson"`` does the same); its repair of small clusters loses labels, ours does not;
succession, replay, scaling to [0, 1], the limits on memory, and what new leaves inherit are ours.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import compress
from typing import Any

import numpy as np

from errata import systems
from errata.errors import MissingExtraError, ParameterError, UnknownNameError
from errata.parts.streams import stored
from errata.parts.streams.clustering import LabelClusters
from errata.parts.streams.events import Columns, Event, Past
from errata.parts.streams.local import Local, RiverLocal, TreeLocal
from errata.parts.streams.repair import repair_small
from errata.parts.streams.tree import Settings

try:
    import river.drift  # noqa: F401 - the trees take it from here; its import is slow, and better done before the stream
    from river import base
except ImportError as error:
    raise MissingExtraError("river", "streams", "iHOMER") from error

__all__ = ["IHomer"]


class IHomer(base.MultiLabelClassifier):
    """Incremental hierarchy of multi-label classifiers [1]_, a classifier of River's kind.

    Parameters
    ----------
    n_min : look at the clusters every so many events (the code's default is 1500, its comment and our experiment's 100)
    confidence_level : stands for delta in the clustering's bound ``sqrt(ln(1/delta) / (2 n))``, in (0, 1)
    cluster_tau : split a cluster although its two largest distances are alike, where the bound is below this
    distance : "jaccard", or "pearson" for what the released code does
    cluster_window, cluster_decay : count co-occurrences over the last so many events only, or let an event's weight
        fall by this factor per event, in (0, 1]; all events count fully by default. For streams whose labels' groups
        change
    partition : "learned"; "one" cluster of all labels; "each" label by itself; or clusters as a tuple of tuples of
        labels, labels not named forming one more
    repair : clusters with fewer labels than an event most often has join another. Groups of labels smaller than that
        end up together: switch it off where events have labels of several groups
    warmup : events before the first partition
    succeed : where a cluster is split, its parts go on with what their labels' tree has learned of them; otherwise, and
        where clusters are joined, a fresh model begins
    replay : of the last events, how many a new model learns first; 0 for none
    memory : events that are kept, for the neighbours and for replay
    model : a multi-label classifier of River's to clone for each cluster, instead of the tree below
    grace_period : weight between two attempts to split a leaf
    delta, tau : a leaf is split where the best merit leads by the Hoeffding bound, or the bound is below ``tau``
    cardinality_th, entropy_th : a leaf lets its neighbours speak below this weight or this entropy (bits), its
        regressions above both
    n_neighbors, window_size : label powerset by this many neighbours among a leaf's last so many events
    n_models, learning_rate : bagged logistic regressions per label, and their gradient step
    drift_window_threshold, switch_significance : weight that a branch and its alternate must have, and the
        significance of their difference, to swap or drop the alternate
    alternate : start an alternate on a "warning" (the mean error has risen) or on "drift" (ADWIN)
    poisson_rate : of online bagging; an event drawn zero times is learned once, as in the code
    min_branch_fraction, max_share_to_split : a split needs two children above this share; a leaf whose most frequent
        label has more than this share is not split
    max_depth, max_size : of a tree; MiB of all trees together, beyond which none grows
    inherit : new leaves go on from the remembered events and the regressions of the leaf that was split; they begin
        with nothing in the code
    scale : bring features to [0, 1] by their range so far
    seed : of everything random

    Notes
    -----
    Features may be numbers or texts, come and go. Labels may appear at any time; a label that an event's ``y`` does not
    name counts as not there.

    References
    ----------
    .. [1] Neves, Lourenco, Cano, Marreiros: Online hierarchical partitioning of the output space in extreme multi-label
       data streams. ECAI 2025. arXiv:2507.20894

    Examples
    --------
    >>> model = IHomer(n_min=50, seed=0)
    >>> rng = np.random.default_rng(0)
    >>> right = []
    >>> for t in range(300):
    ...     x = {"a": rng.random(), "b": rng.random()}
    ...     y = {"high a": x["a"] > 0.5, "low a": x["a"] < 0.5, "high b": x["b"] > 0.5, "very high b": x["b"] > 0.6}
    ...     right.append(model.predict_one(x) == y)
    ...     model.learn_one(x, y)
    >>> sum(right[200:]) > 70
    True
    """

    card = systems.card("ihomer")

    def __init__(
        self,
        n_min: int = 100,
        confidence_level: float = 0.9,
        cluster_tau: float = 0.1,
        distance: str = "jaccard",
        cluster_window: int | None = None,
        cluster_decay: float = 1.0,
        partition: str | tuple[tuple[Any, ...], ...] = "learned",
        repair: bool = True,
        warmup: int = 100,
        replay: int = 200,
        succeed: bool = True,
        memory: int = 1000,
        model: base.MultiLabelClassifier | None = None,
        grace_period: int = 200,
        delta: float = 1.6587784772850855e-7,
        tau: float = 0.05,
        cardinality_th: float = 750,
        entropy_th: float = 0.3,
        n_neighbors: int = 4,
        window_size: int = 170,
        n_models: int = 10,
        learning_rate: float = 0.3,
        drift_window_threshold: float = 200,
        switch_significance: float = 0.05,
        alternate: str = "warning",
        poisson_rate: float = 1.0,
        min_branch_fraction: float = 0.01,
        max_share_to_split: float = 0.99,
        max_depth: int | None = None,
        max_size: float = 100.0,
        inherit: bool = True,
        scale: bool = True,
        seed: int = 0,
    ) -> None:
        self.n_min = n_min
        self.confidence_level = confidence_level
        self.cluster_tau = cluster_tau
        self.distance = distance
        self.cluster_window = cluster_window
        self.cluster_decay = cluster_decay
        self.partition = partition
        self.repair = repair
        self.warmup = warmup
        self.replay = replay
        self.succeed = succeed
        self.memory = memory
        self.model = model
        self.grace_period = grace_period
        self.delta = delta
        self.tau = tau
        self.cardinality_th = cardinality_th
        self.entropy_th = entropy_th
        self.n_neighbors = n_neighbors
        self.window_size = window_size
        self.n_models = n_models
        self.learning_rate = learning_rate
        self.drift_window_threshold = drift_window_threshold
        self.switch_significance = switch_significance
        self.alternate = alternate
        self.poisson_rate = poisson_rate
        self.min_branch_fraction = min_branch_fraction
        self.max_share_to_split = max_share_to_split
        self.max_depth = max_depth
        self.max_size = max_size
        self.inherit = inherit
        self.scale = scale
        self.seed = seed
        _check(self)
        own = {field.name: getattr(self, field.name) for field in fields(Settings) if hasattr(self, field.name)}
        self._settings = Settings(**own)
        self._hierarchy = LabelClusters(
            n_min, confidence_level, cluster_tau, statistics=distance, window=cluster_window, decay=cluster_decay
        )
        self._columns = Columns()
        self._past = Past(memory, scale)
        self._number: dict[Any, int] = {}  # of each label
        self._locals: list[Local] = []
        self._home: list[int] = []  # of each label, the place of its cluster in the list above
        self._sizes: Counter[int] = Counter()  # how often an event had so many labels
        self._made = 0
        self._seen: Event | None = None
        self._told: deque[Mapping[Any, Any]] = deque(
            maxlen=replay if model is not None else 0
        )  # as River's models take it

    # -- what it holds ------------------------------------------------------------------------------------------------

    @property
    def labels(self) -> list[Any]:
        """The labels known, in the order of their numbers."""
        return list(self._number)

    @property
    def clusters(self) -> list[list[Any]]:
        """The partition of the labels that is in use."""
        names = self.labels
        return [[names[number] for number in local.labels] for local in self._locals]

    @property
    def features(self) -> list[Any]:
        """The names of the features known."""
        return list(dict.fromkeys(self._columns.feature_of(key) for key in self._columns.place))

    # -- on disk ------------------------------------------------------------------------------------------------------

    def state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]] | None:
        """What it has learned, as JSON and arrays; see ``errata.parts.streams.state``.

        Returns
        -------
        told, arrays : for ``restore`` of a model with the same parameters; None where a part can't be stored without
            pickling it: another's ``model``, the released statistics, values of features that are no texts
        """
        return stored.state_of(self)

    def restore(self, told: Mapping[str, Any], arrays: Mapping[str, np.ndarray], *, exactly: bool = True) -> bool:
        """Go on from a state.

        Parameters
        ----------
        exactly : refuse a state that another version of River has written, whose drift detectors may differ

        Returns
        -------
        bool
            whether it was taken over

        Raises
        ------
        LoadError
            where it is damaged
        """
        return stored.restore(self, told, arrays, exactly=exactly)

    # -- predicting ---------------------------------------------------------------------------------------------------

    def label_probabilities(self, x: Mapping[Any, Any]) -> tuple[list[Any], np.ndarray]:
        """All labels known, and the probability (L,) of each to be there: ``predict_proba_one`` without
        dictionaries."""
        event = self._seen = self._event(x)
        found = np.zeros(len(self._number))
        for local in self._locals:
            labels, p = local.votes(event, x)
            found[labels] = p
        return self.labels, np.minimum(found, 1.0)  # sums of votes may end a little above

    def predict_proba_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Any, dict[bool, float]]:
        """For each label known the probability that it is there (True), and that it is not (False)."""
        labels, found = self.label_probabilities(x)
        return {label: {False: 1.0 - p, True: p} for label, p in zip(labels, found.tolist(), strict=True)}

    def predict_one(self, x: Mapping[Any, Any], **kwargs: Any) -> dict[Any, bool]:
        """Each label known: whether it is more probably there than not, or what ``model`` says."""
        event = self._seen = self._event(x)
        said = dict.fromkeys(self._number, False)
        names = list(said)
        for local in self._locals:
            for number in local.chosen(event, x):
                said[names[number]] = True
        return said

    def _event(self, x: Mapping[Any, Any]) -> Event:
        """``x`` in arrays; the one that was asked about last, with what has been said of it, where it is the same."""
        vector = self._columns.vector(x)
        seen = self._seen
        if seen is not None and len(seen.x) == len(vector) and np.array_equal(seen.x, vector, equal_nan=True):
            return seen
        return self._past.event(vector)

    # -- learning -----------------------------------------------------------------------------------------------------

    def learn_one(self, x: Mapping[Any, Any], y: Mapping[Any, Any]) -> None:
        """Learn from one event: the clusters first, then each cluster's model from its own labels.

        Parameters
        ----------
        x : features: numbers, texts, None where missing
        y : for each label whether it is there
        """
        present = self._take_in(y)
        seen, self._seen = self._event(x), None
        for local in self._locals:  # where it was not asked before; what it says now is what its errors are counted by
            if isinstance(local, TreeLocal):
                local.votes(seen, x)
        after = self._columns.vector(x) if self._columns.learn(x) else seen.x
        moved = self._past.learn_scale(after)
        event = self._past.event(after) if moved or after is not seen.x else seen
        self._hierarchy.learn(present)
        if self.partition == "learned" and self._hierarchy.t % self.n_min == 0 and self._hierarchy.t >= self.warmup:
            self._divide(self._wanted())
        self._past.keep(event, present)
        if self.model is not None:
            self._told.append(dict(x))
        shares: list[list[int]] = [[] for _ in self._locals]
        for number in present:
            shares[self._home[number]].append(number)
        for local, share in zip(self._locals, shares, strict=True):
            local.learn(event, seen, x, tuple(share))

    def _take_in(self, y: Mapping[Any, Any]) -> list[int]:
        """The numbers of the labels that are there; labels not seen before get one."""
        fresh = [] if y.keys() <= self._number.keys() else [label for label in y if label not in self._number]
        for label in sorted(fresh, key=str):
            self._number[label] = len(self._number)
        present = sorted(map(self._number.__getitem__, compress(y.keys(), y.values())))
        self._sizes[len(present)] += 1
        if fresh:
            added = [self._number[label] for label in fresh]
            self._hierarchy.add_labels(added, present)
            self._divide(self._joined(added) if self.partition == "learned" else self._wanted(), set(added))
        return present

    # -- the partition ------------------------------------------------------------------------------------------------

    def _wanted(self) -> list[list[int]]:
        everything = list(range(len(self._number)))
        if self.partition == "learned":
            leaves = [(leaf.members, leaf.path) for leaf in self._hierarchy.leaves()]
            smallest = min(self._sizes.items(), key=lambda item: (-item[1], item[0]))[0] if self.repair else 1
            return repair_small(leaves, smallest)
        if self.partition == "each":
            return [[number] for number in everything]
        if isinstance(self.partition, str):
            return [everything]
        named = [[self._number[label] for label in cluster if label in self._number] for cluster in self.partition]
        rest = sorted(set(everything) - {number for cluster in named for number in cluster})
        return [sorted(cluster) for cluster in (*named, rest) if cluster]

    def _joined(self, added: Sequence[int]) -> list[list[int]]:
        """The clusters in use, new labels with those that they are counted with."""
        clusters = [list(local.labels) for local in self._locals]
        place = {number: at for at, cluster in enumerate(clusters) for number in cluster}
        for leaf in self._hierarchy.leaves():
            mine = [number for number in leaf.members if number in added]
            if not mine:
                continue
            known = [place[number] for number in leaf.members if number in place]
            if not known and not clusters:
                clusters.append([])
            clusters[known[0] if known else 0].extend(mine)
        return [sorted(cluster) for cluster in clusters]

    def _divide(self, clusters: list[list[int]], added: set[int] | None = None) -> None:
        """Let these be the clusters: models whose labels stay are kept, others are made and taught the last events."""
        fresh = added or set()
        old = {frozenset(local.labels): local for local in self._locals}
        made: list[Local] = []
        for cluster in sorted(clusters):
            local = old.get(frozenset(cluster)) or old.get(frozenset(cluster) - fresh)
            if local is not None:
                local.relabel(cluster)
                if isinstance(local, RiverLocal):
                    local.rename(self.labels)
            else:
                local = self._succeed(cluster, fresh)
            made.append(local)
        self._locals = made
        self._home = [0] * len(self._number)
        for place, local in enumerate(made):
            local.limit(self.max_size / len(made))
            for number in local.labels:
                self._home[number] = place

    def _succeed(self, cluster: list[int], fresh: set[int]) -> Local:
        """The model of a new cluster: a part of the one that had all its labels, or a fresh one."""
        wanted = set(cluster) - fresh
        for local in self._locals if self.succeed and wanted else ():
            if isinstance(local, TreeLocal) and wanted <= set(local.labels):
                self._made += 1
                part = local.part(sorted(wanted), np.random.default_rng([self.seed, self._made]))
                part.relabel(cluster)
                return part
        made = self._make(cluster)
        made.replay(self._recent())
        return made

    def _recent(self) -> list[tuple[Event, Mapping[Any, Any], tuple[int, ...]]]:
        last = self._past.last(self.replay)
        told: Sequence[Mapping[Any, Any]] = list(self._told)[-len(last) :] if self._told else [{}] * len(last)
        return (
            [(event, x, present) for (event, present), x in zip(last[-len(told) :], told, strict=True)] if last else []
        )

    def _make(self, cluster: list[int]) -> Local:
        self._made += 1
        if self.model is not None:
            return RiverLocal(cluster, self.labels, self.model.clone())
        return TreeLocal(cluster, self._settings, np.random.default_rng([self.seed, self._made]))


def _check(own: IHomer) -> None:
    if isinstance(own.partition, str) and own.partition not in ("learned", "one", "each"):
        raise UnknownNameError("partition of labels", own.partition, ("learned", "one", "each"))
    if own.alternate not in ("warning", "drift"):
        raise UnknownNameError("time to start an alternate tree", own.alternate, ("warning", "drift"))
    for name in ("n_min", "memory", "grace_period", "n_neighbors", "window_size", "n_models"):
        if getattr(own, name) < 1:
            raise ParameterError(f"{name} must be 1 or more; got {getattr(own, name)!r}.")
    for name in ("warmup", "replay", "seed"):
        if getattr(own, name) < 0:
            raise ParameterError(f"{name} must be 0 or more; got {getattr(own, name)!r}.")
    if not 0 < own.delta < 1 or not 0 < own.switch_significance < 1:
        raise ParameterError(
            f"delta and switch_significance must be in (0, 1); got {own.delta!r} and {own.switch_significance!r}."
        )
