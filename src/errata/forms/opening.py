"""The form of a ledger's labels, with the data that they stand in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from errata.errors import DataError
from errata.forms.form import Form, place_of_labels, task_of
from errata.ledger import Ledger

__all__ = ["form_of"]

IN_DATA = {"tokens": "sentences", "boxes": "boxes", "segmentation": "masks"}
"""Kinds whose labels stand in the data only, not in the ledger."""


def form_of(ledger: Ledger, folder: Path | None = None, labels: Any = None) -> Form | None:
    """The form of a ledger's labels; None where its rows have a class each.

    Parameters
    ----------
    ledger : any
    folder : where it lies; a relative source is also looked for there
    labels : where the ledger does not tell where they are: the labels' file or folder, what ``read_sentences``,
        ``open_boxes`` or ``open_masks`` made of them, lists of boxes or masks, or (lists of tokens, lists of labels)

    Raises
    ------
    DataError
        where tokens, boxes or masks are not where the ledger says

    Examples
    --------
    >>> form_of(Ledger([0], [0], [0.5], classes=["a"])) is None
    True
    """
    task = task_of(ledger)
    labels = Path(labels) if isinstance(labels, str) else labels
    if task == "multilabel":
        from errata.forms.sets import SetsForm

        return SetsForm(ledger)
    if task == "regression":
        from errata.forms.numbers import NumbersForm

        return NumbersForm(ledger)
    if task not in IN_DATA:
        return None
    place = labels if labels is not None else place_of_labels(ledger, folder)
    if place is None:
        told = ledger.meta.get("label" if task == "segmentation" else "source") or ledger.meta.get("source")
        raise DataError(
            f"The {IN_DATA[task]} of the ledger are not there any more ({told}). Put them back, or say where they "
            "are with --data (data=)."
        )
    return _opened(task, ledger, place)


def _opened(task: str, ledger: Ledger, place: Any) -> Form:
    if task == "tokens":
        from errata.data.conll import Sentences, read_sentences
        from errata.forms.tokens import TokensForm

        if isinstance(place, Sentences):
            return TokensForm(ledger, place)
        if isinstance(place, tuple) and len(place) == 2:
            return TokensForm(ledger, read_sentences(*place))
        reading = dict(ledger.meta.get("reading") or {})
        return TokensForm(ledger, read_sentences(place, reading.pop("label", None), **reading))
    if task == "boxes":
        from errata.data.boxes import Boxes, open_boxes
        from errata.forms.boxes import BoxesForm

        if isinstance(place, Boxes):
            return BoxesForm(ledger, place)
        return BoxesForm(ledger, open_boxes(place, classes=ledger.meta.get("named")))
    from errata.data.masks import Stack, open_masks
    from errata.forms.masks import MasksForm

    return MasksForm(ledger, place if isinstance(place, Stack) else open_masks(place))
