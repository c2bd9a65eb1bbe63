"""Small clusters of labels join others, and no label is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["repair_small"]

ROUNDS = 10


def repair_small(clusters: Sequence[tuple[Sequence[int], tuple[int, ...]]], min_size: int) -> list[list[int]]:
    """Join clusters with fewer than ``min_size`` labels, the deepest first.

    A small cluster joins its sibling, if that is a cluster too and not split further (first one that is small as well);
    else the nearest cluster that has been joined already, by its level in the tree; else it stays. A joined cluster
    takes the place of the parent, and may join again, in 10 rounds at most.

    Parameters
    ----------
    clusters : the labels of each, and its path from the root: 0 and 1 for the first and the second child
    min_size : in labels

    Returns
    -------
    list of lists
        a partition of the same labels

    Examples
    --------
    >>> repair_small([([0], (0, 0)), ([1], (0, 1)), ([2, 3], (1,))], 2)
    [[0, 1], [2, 3]]
    """
    kept = [(sorted(labels), tuple(path), False) for labels, path in clusters]
    for _ in range(ROUNDS):
        small = sorted((c for c in kept if len(c[0]) < min_size), key=lambda c: (-len(c[1]), c[0]))
        joined = next((pair for pair in ((c, _partner(c, kept)) for c in small) if pair[1] is not None), None)
        if joined is None:
            break
        first, second = joined
        assert second is not None  # chosen so above; said for type checkers
        sibling = first[1][:-1] == second[1][:-1] and len(first[1]) == len(second[1])
        path = first[1][:-1] if sibling else second[1]
        kept = [c for c in kept if c is not first and c is not second]
        kept.append((sorted(first[0] + second[0]), path, True))
    return sorted(labels for labels, _, _ in kept)


_Cluster = tuple[list[int], tuple[int, ...], bool]


def _partner(cluster: _Cluster, kept: list[_Cluster]) -> _Cluster | None:
    _, path, _ = cluster
    others = [c for c in kept if c is not cluster]
    siblings = [c for c in others if path and len(c[1]) == len(path) and c[1][:-1] == path[:-1]]
    if siblings:
        return min(siblings, key=lambda c: (len(c[0]), c[0]))
    merged = [c for c in others if c[2]]
    return min(merged, key=lambda c: (abs(len(c[1]) - len(path)), c[0]), default=None)
