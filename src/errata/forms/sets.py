"""Several labels of one item: their names, joined by a comma and a blank, or a JSON list."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from errata.errors import DataError
from errata.forms.form import TAKE, Form, Part
from errata.items import NONE
from errata.ledger import Ledger

__all__ = ["SetsForm"]

JOINT = ", "


class SetsForm(Form):
    """Sets of labels; a label is a list of names, in the order of ``names``.

    Parameters
    ----------
    ledger : of ``errata.audit(task="multilabel")``

    Examples
    --------
    >>> import errata, numpy as np
    >>> y, p = np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), np.array([[0.9, 0.9], [0.1, 0.9], [0.9, 0.1], [0.1, 0.9]])
    >>> form = SetsForm(errata.audit(labels=y, pred_probs=p, classes=["cat", "dog"], task="multilabel"))
    >>> form.given(0), form.text(0, form.proposed(0))
    (['cat'], 'cat, dog')
    """

    task = "multilabel"

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger)
        if not self.names and ledger.parts is not None:
            self.names = list(dict.fromkeys(ledger.parts["label"].tolist()))
        self._joined = not any(JOINT in name or name == NONE or name.startswith("[") for name in self.names)
        self._place = {name: i for i, name in enumerate(self.names)}

    @cached_property
    def _told(self) -> dict[Any, tuple[list[str], list[str], list[str]]]:
        """The given labels, the proposed ones, and those that nothing is known of (by what is known), by row."""
        found: dict[Any, tuple[list[str], list[str], list[str]]] = {}
        if self.ledger.parts is None:
            return found
        table = self.ledger.parts
        columns = (table[n].tolist() for n in ("row", "label", "given", "proposed", "issue"))
        for row, name, given, proposed, issue in zip(*columns):
            has, shall, known = found.setdefault(row, ([], [], []))
            if given == 1:
                has.append(name)
            if (proposed if issue else given) == 1:
                shall.append(name)
            if given in (0, 1):
                known.append(name)
        return found

    def given(self, position: int) -> list[str]:
        return self._of(position)[0]

    def doubts(self, position: int) -> list[Part]:
        has, shall, _ = self._of(position)
        changed = [name for name in self.names if (name in has) != (name in shall)]
        return [Part(name, "1" if name in has else "0", "0" if name in has else "1") for name in changed]

    def taken(self, position: int, choices: Sequence[str]) -> list[str]:
        new = set(self.given(position))
        for part, choice in zip(self.doubts(position), choices):
            if choice not in ("", TAKE):
                raise DataError(f"expected '{TAKE}' or nothing; found {choice!r}")
            if choice:
                new ^= {part.where}
        return [name for name in self.names if name in new]

    @property
    def part_names(self) -> list[str]:
        return []

    def known(self, position: int) -> list[str]:
        """The labels of which the data say whether the item has them."""
        return self._of(position)[2]

    def _of(self, position: int) -> tuple[list[str], list[str], list[str]]:
        row = self.ledger.index[position]
        return self._told.get(row.item() if hasattr(row, "item") else row, ([], [], []))

    def text(self, position: int, label: Sequence[str]) -> str:
        ordered = [name for name in self.names if name in set(label)]
        ordered += [name for name in label if name not in self._place]
        if not self._joined or any(JOINT in name for name in ordered):
            return json.dumps(ordered, ensure_ascii=False)
        return JOINT.join(ordered) or NONE

    def read(self, position: int, text: str) -> list[str]:
        if text.strip().startswith("["):
            try:
                listed = json.loads(text)
            except ValueError as error:
                raise DataError(f"expected labels, or a JSON list of them; found {text[:60]!r}") from error
            if not isinstance(listed, list) or any(not isinstance(name, str) or not name for name in listed):
                raise DataError(f"expected a JSON list of labels; found {text[:60]!r}")
            return self._ordered(listed)
        if text.strip() in ("", NONE) and NONE not in self._place:
            return []
        if text.strip() in self._place:
            return [text.strip()]
        return self._ordered([name.strip() for name in text.split(JOINT.strip()) if name.strip()])

    def _ordered(self, listed: Sequence[str]) -> list[str]:
        known = [name for name in self.names if name in set(listed)]
        return [*known, *dict.fromkeys(name for name in listed if name not in self._place)]

    def same(self, one: Sequence[str], other: Sequence[str]) -> bool:
        return set(one) == set(other)

    def parts(self, position: int, old: Sequence[str], new: Sequence[str]) -> list[Part]:
        gone = [Part(name, "1", "0") for name in old if name not in set(new)]
        return [*gone, *(Part(name, "0", "1") for name in new if name not in set(old))]

    def unknown(self, label: Sequence[str]) -> str | None:
        return next((name for name in label if name not in self._place), None)
