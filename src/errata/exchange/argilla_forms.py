"""Argilla's questions and answers: the settings of a data set, spans, several labels, ratings and texts.

References
----------
Argilla, rg.Settings; Questions. https://docs.argilla.io/latest/reference/argilla/settings/questions
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from errata.errors import DataError
from errata.exchange import items as names
from errata.exchange.items import ACTION, DROP, LABEL, Item
from errata.forms.form import CLASSES, Form
from errata.forms.tokens import TokensForm

__all__ = ["ACTIONS", "HOLDS", "SHOWN", "label_of", "settings", "value"]

SHOWN, KEEP = "as shown", "keep"
ACTIONS = (SHOWN, KEEP, DROP, "skip")
HOLDS = (CLASSES, "tokens", "multilabel", "regression")
"""The kinds of labels that Argilla has questions for: it has none for areas of pictures."""

RATINGS = tuple(range(11))  # that a rating may have


def rated(form: Form) -> list[int]:
    """The values of a rating question, where all numbers are whole and from 0 to 10; else none: then it is a text."""
    numbers = np.asarray(form.ledger.columns["given"], dtype=np.float64)
    numbers = np.unique(numbers[~np.isnan(numbers)])
    return numbers.astype(int).tolist() if len(numbers) > 1 and np.isin(numbers, RATINGS).all() else []


def value(item: Item, label: Any) -> Any:
    """A label as the value of a suggestion or a response; None where there is nothing to say."""
    if item.whole is None:
        return label
    form = item.whole.form
    if isinstance(form, TokensForm):
        spans = form.characters(item.whole.position, label)
        return [{"start": start, "end": end, "label": name} for start, end, name in spans]
    if form.task == "multilabel":
        return list(label)
    if label != label:
        return None
    values = rated(form)
    if values:
        return int(label) if label in values else min(values, key=lambda known: abs(known - label))
    return form.text(item.whole.position, label)


def label_of(form: Form, position: int, said: Any) -> Any:
    """The label that an answer tells.

    Raises
    ------
    DataError
        where it is none of this kind
    """
    if isinstance(form, TokensForm):
        return form.of_characters(position, [_span(one) for one in _listed(said)])
    if form.task == "multilabel":
        return form.read(position, json.dumps(_listed(said)))
    return form.read(position, said)


def _listed(said: Any) -> list[Any]:
    found = [] if said is None else said
    if not isinstance(found, list):
        raise DataError(f"expected a list; found {str(said)[:60]!r}")
    return found


def _span(one: Any) -> tuple[int, int, str]:
    if not isinstance(one, dict) or not all(isinstance(one.get(side), int) for side in ("start", "end")):
        raise DataError(f"expected spans with start, end and label; found {str(one)[:60]!r}")
    return one["start"], one["end"], str(one.get("label"))


# -- settings ---------------------------------------------------------------------------------------------------------


def settings(items: Sequence[Item], classes: Sequence[str], form: Form | None) -> dict[str, Any]:
    """The settings of a data set for these records: what ``rg.Settings.from_json`` reads."""
    seen: dict[str, str] = {}
    for item in items:
        if item.text is not None:
            seen["text"] = "text"
        if item.picture is not None:
            seen["image"] = "image"
        if item.values or (item.text is None and item.picture is None):
            seen["values"] = "text"
    fields = [{**_named(name), "required": len(seen) == 1, "settings": {"type": kind}} for name, kind in seen.items()]
    actions = ACTIONS if form is not None else (DROP, "skip")
    questions = [
        {**_named(LABEL), "required": form is None, "settings": _question(form, classes)},
        {**_named(ACTION), "required": form is not None, "settings": _choices("label_selection", actions)},
    ]
    whole = bool(items) and all(isinstance(item.row, int) for item in items)
    told = {names.ROW: "integer" if whole else "terms", names.TRUST: "float"}
    return {
        "guidelines": None,
        "fields": fields,
        "questions": questions,
        "vectors": [],
        "metadata": [{**_named(name), "settings": {"type": kind}} for name, kind in told.items()],
        "allow_extra_metadata": True,
    }


def _named(name: str) -> dict[str, Any]:
    return {"name": name, "title": name}


def _choices(kind: str, labels: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"type": kind, "options": [{"value": name, "text": name} for name in labels]}
    return {**found, "visible_options": len(labels)} if len(labels) >= 3 else found


def _question(form: Form | None, classes: Sequence[str]) -> dict[str, Any]:
    if form is None:
        return _choices("label_selection", classes)
    if form.task == "tokens":
        return {**_choices("span", form.names), "field": "text", "allow_overlapping": False}
    if form.task == "multilabel":
        return _choices("multi_label_selection", form.names)
    values = rated(form)
    if values:
        return {"type": "rating", "options": [{"value": number} for number in values]}
    return {"type": "text", "use_markdown": False}
