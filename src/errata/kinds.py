"""The kinds of task that systems serve, and the words that each is spoken of in: a node is not an image.

A card names its task, a ledger keeps it in ``meta["task"]``; whatever speaks to a person (command line, report,
review) asks here what a row is called. What trains the systems of a kind is named as text and imported when it is
needed, for it lies floors above.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from errata.errors import UnknownNameError

__all__ = ["KINDS", "Kind", "kind_of"]


@dataclass(frozen=True)
class Kind:
    """One kind of task.

    Parameters
    ----------
    task : its name, as cards, ledgers and sub-packages of ``errata.systems`` have it: ``"graphs"``
    name : in words for people: "graphs"
    row, rows : what a row of the ledger is, one and several: "node", "nodes"
    part, parts : what lies beneath a row, where something does
    judged, wrong : what an issue is about, and what it looks: a "label" looks "wrong", a "sample" looks "foreign"
    classed : whether the ledger's classes are those of the task, so that it tells which one is mistaken for which
    command : what starts a system of this kind on the command line
    room : the module that trains it, with ``train`` and ``load``; empty where ``errata.engine.training`` does, or where
        nothing is trained
    predicts_files : predictions are a file for each row (a mask), not a line of a table
    names : the ledger's column in which its rows are named, where their source does not have a line for each

    Examples
    --------
    >>> kind_of("graphs").rows, kind_of(None).row
    ('nodes', 'row')
    """

    task: str
    name: str
    row: str = "row"
    rows: str = "rows"
    part: str = "finer row"
    parts: str = "finer rows"
    judged: str = "label"
    wrong: str = "wrong"
    classed: bool = True
    command: str = "errata train SOURCE --system {slug}"
    room: str = ""
    predicts_files: bool = False
    names: str = ""

    def load_room(self) -> Any:
        """Import the module that trains this kind; None where the engine itself does."""
        return importlib.import_module(self.room) if self.room else None


KINDS: dict[str, Kind] = {
    kind.task: kind
    for kind in (
        Kind("classification", "classification"),
        Kind(
            "annotations",
            "several people's labels",
            row="item",
            rows="items",
            part="opinion",
            parts="opinions",
            command="errata audit SOURCE --annotations",
            names="item",
        ),
        Kind(
            "ood",
            "out-of-distribution",
            row="sample",
            rows="samples",
            judged="sample",
            wrong="foreign",
            classed=False,
            room="errata.engine.ood",
        ),
        Kind(
            "multilabel",
            "multi-label",
            row="item",
            rows="items",
            part="label",
            parts="labels",
            judged="item",
            room="errata.engine.multilabel",
        ),
        Kind(
            "segmentation",
            "segmentation",
            row="image",
            rows="images",
            part="region",
            parts="regions",
            judged="mask",
            command="errata train IMAGES/ --label MASKS/ --system {slug}",
            room="errata.engine.segmentation",
            classed=False,
            predicts_files=True,
        ),
        Kind("graphs", "graphs", row="node", rows="nodes", room="errata.engine.graphs"),
        Kind(
            "streams",
            "streams",
            row="event",
            rows="events",
            part="label",
            parts="labels",
            judged="event",
            command="errata stream SOURCE --system {slug}",
            room="errata.engine.streams",
        ),
        Kind(
            "federated",
            "federated learning",
            row="client's sample",
            rows="clients' samples",
            part="round",
            parts="rounds",
            command="errata federate SOURCE --system {slug}",
            room="errata.engine.federated",
        ),
        Kind("clients", "a federation's clients", row="client", rows="clients", command="errata federate SOURCE"),
        Kind("budget", "re-annotation budgets", row="sample", rows="samples", command="errata queue DIR --budget N"),
        Kind(
            "compression",
            "data compression",
            row="sample",
            rows="samples",
            command="errata prune SOURCE --keep SHARE",
            room="errata.engine.compression",
        ),
        Kind(
            "merging",
            "model merging",
            row="unit",
            rows="units",
            judged="unit",
            wrong="unlike",
            classed=False,
            command="errata merge A B --out C",
            room="errata.engine.merging",
        ),
        Kind("label_shift", "label shift", row="sample", rows="samples", room="errata.engine.label_shift"),
        Kind("tokens", "token labels", row="text", rows="texts", part="token", parts="tokens", judged="text"),
        Kind(
            "boxes",
            "object boxes",
            row="image",
            rows="images",
            part="box",
            parts="boxes",
            judged="image",
            classed=False,
        ),
        Kind("regression", "numbers"),
    )
}
"""Every kind, by its task."""


def kind_of(task: str | None) -> Kind:
    """The kind of a task; plain classification where none is named.

    Raises
    ------
    UnknownNameError
        where there is no such task
    """
    if task is None:
        return KINDS["classification"]
    if task not in KINDS:
        raise UnknownNameError("kind of task", task, KINDS)
    return KINDS[task]
