"""The ledger of a merge: a row per unit, with its partner and how alike they are; and charts of the layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.charts import Chart
from errata.ledger import Ledger

if TYPE_CHECKING:
    from errata.systems.merging.pleas import MergedNetwork

__all__ = ["CLASSES", "merge_ledger"]

CLASSES = ("merged", "kept separate")
ALIKE = 0.5
"""The correlation from which two units count as alike."""


def merge_ledger(merged: MergedNetwork, meta: Mapping[str, Any]) -> Ledger:
    """The ledger over all units of A that may be permuted.

    Parameters
    ----------
    merged : what ``pleas`` returned
    meta : what else the ledger should tell

    Returns
    -------
    Ledger
        given: what was done; proposed: what the likeness says (merged from a correlation of 0.5 on); trust: the
        correlation of a unit and its partner on the data, 0 where it is negative; an issue: merged with a partner that
        is unlike. Columns ``group``, ``unit`` (in A), ``partner`` (in B)
    """
    group, unit, partner, trust, separate = [], [], [], [], []
    for name, perm in merged.matching.perm.items():
        size = len(perm)
        group += [name] * size
        unit.append(np.arange(size))
        partner.append(perm)
        known = merged.matching.correlation.get(name, np.full(size, np.nan))
        trust.append(np.clip(known, 0, 1))
        separate.append(np.isin(np.arange(size), merged.blocks[name].separate_a))
    given = np.concatenate(separate).astype(np.int32)
    likeness = np.concatenate(trust)
    unknown = np.isnan(likeness)
    proposed = np.where(unknown, given, (likeness < ALIKE).astype(np.int32))
    issue = (given == 0) & (proposed == 1)
    rate = float(issue.mean()) if len(issue) else 0.0
    return Ledger(
        given,
        proposed,
        likeness,
        classes=list(CLASSES),
        issue=issue,
        noise=np.array([[1.0 - rate, 0.0], [rate, 0.0]]),
        columns={
            "group": np.array(group),
            "unit": np.concatenate(unit).astype(np.int64),
            "partner": np.concatenate(partner).astype(np.int64),
        },
        meta={"task": "merging", "method": "pleas", **meta},
        charts=_charts(merged),
    )


def _charts(merged: MergedNetwork) -> list[Chart]:
    names = list(merged.blocks)
    shown = [_short(name) for name in names]
    likeness: list[float | None] = []
    for name in names:
        known = merged.matching.correlation.get(name)
        likeness.append(None if known is None or not len(known) else float(np.clip(known, 0, 1).mean()))
    own = [float(len(merged.matching.perm[name])) for name in names]
    wide = [float(merged.blocks[name].width) for name in names]
    charts = [
        Chart(
            "How alike the units are",
            "The mean correlation of a unit of the first network with its partner in the second, layer by layer from "
            "the input to the output. Layers with a low bar lose most when they are merged, and are worth a larger "
            "budget.",
            {"correlation": (shown, likeness)},
            x="layer",
            y="mean correlation",
            style="bars",
        ),
        Chart(
            "How wide the layers are",
            "Units of each layer in one network, and in the merged one: one for each merged pair, two for each pair "
            "that was kept separate.",
            {"one network": (shown, own), "merged": (shown, wide)},
            x="layer",
            y="units",
            style="bars",
        ),
    ]
    if merged.fits:
        layers = [_short(fit.module) for fit in merged.fits]
        before = [fit.before / fit.spread if fit.spread > 0 else None for fit in merged.fits]
        after = [fit.after / fit.spread if fit.spread > 0 else None for fit in merged.fits]
        charts.append(
            Chart(
                "What the layers get wrong",
                "The squared error of each merged layer in imitating both networks, as a share of the variance of what "
                "it should answer: of the averaged weights, and after least squares.",
                {"averaged": (layers, before), "least squares": (layers, after)},
                x="layer",
                y="error / variance",
                style="bars",
            )
        )
    return charts


def _short(name: str) -> str:
    """A group's name without what all names have.

    Examples
    --------
    >>> _short("body.0.conv1.weight:0"), _short("qkv.weight:0[2]")
    ('body.0.conv1', 'qkv[2]')
    """
    head, _, tail = name.partition(".weight:")
    return head + tail[1:] if tail else name.removesuffix(":0")
