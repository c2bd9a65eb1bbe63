"""Small clusters of labels join others, and no label is lost on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["repair_small"]

ROUNDS = 10


@dataclass(eq=False)
class _Cluster:
    labels: list[int]
    path: tuple[int, ...]
    joined: bool = False

    def is_sibling(self, other: _Cluster) -> bool:
        """Whether both have the same parent, and neither has joined another."""
        apart = self is other or self.joined or other.joined or not self.path
        return not apart and self.path[:-1] == other.path[:-1] and len(self.path) == len(other.path)


def repair_small(clusters: Sequence[tuple[Sequence[int], tuple[int, ...]]], min_size: int) -> list[list[int]]:
    """Join clusters with fewer than ``min_size`` labels, as the released code does, but for the labels that it loses.

    The deepest come first, and of a level pairs of small siblings. A small cluster joins its sibling, if that is a
    cluster too and has not joined another; else the first cluster of the nearest level that has been joined, or that
    found nobody either; else it waits for the next round, of which there are 10 at most. What has been joined does not
    join again, however small it is. Where events have labels of several groups, groups smaller than ``min_size`` end up
    together: that is the rule.

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
    kept = [_Cluster(sorted(labels), tuple(path)) for labels, path in clusters]
    for _ in range(ROUNDS):
        small = [one for one in kept if len(one.labels) < min_size and not one.joined]
        paired = {id(one) for one in small if any(one.is_sibling(other) for other in small)}
        small.sort(key=lambda one: (-len(one.path), id(one) not in paired, one.labels))
        targets = [one for one in kept if one.joined]
        changed = False
        for one in small:
            if one.joined:
                continue
            partner = next((other for other in kept if one.is_sibling(other)), None) or _nearest(one, targets)
            if partner is None:
                targets.append(one)
                continue
            kept.remove(one)
            partner.labels, partner.joined, one.joined = sorted(partner.labels + one.labels), True, True
            targets = [other for other in targets if other is not one]
            targets += [] if partner in targets else [partner]
            changed = True
        if not changed:
            break
    return sorted(one.labels for one in kept)


def _nearest(one: _Cluster, targets: Sequence[_Cluster]) -> _Cluster | None:
    others = [other for other in targets if other is not one]
    return min(others, key=lambda other: abs(len(other.path) - len(one.path)), default=None)
