"""The finer rows beneath a row: the tokens, regions, boxes or single labels that look wrong in it."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.ledger import PARTS, UNSEEN, Ledger

__all__ = ["Finer"]

SHOWN = 12


class Finer:
    """The suspicious finer rows by row.

    Parameters
    ----------
    ledger : with or without ``parts``

    Examples
    --------
    >>> Finer(Ledger([0], [0], [0.5], classes=["a"])).of(0)
    []
    """

    def __init__(self, ledger: Ledger) -> None:
        self._table: Any = None
        if ledger.parts is not None:
            some = ledger.parts[ledger.parts["issue"].to_numpy(dtype=bool)]
            self._table = some.sort_values(["row", "rank"], kind="stable")
            self._rows = self._table["row"].to_numpy()
            self._more = [name for name in some.columns if name not in ("row", *PARTS, *UNSEEN)]

    def of(self, row: Any) -> list[dict[str, Any]]:
        """The finer rows of a row, the worst first: where (text), given, proposed, trust."""
        if self._table is None:
            return []
        first, last = (int(np.searchsorted(self._rows, row, side=side)) for side in ("left", "right"))
        lines = self._table.iloc[first : min(last, first + SHOWN)].to_dict("records")
        return [
            {
                "where": ", ".join(f"{name} {_told(line[name])}" for name in self._more if _told(line[name]) != ""),
                "given": _told(line["given"]),
                "proposed": _told(line["proposed"]),
                "trust": float(line["trust"]),
            }
            for line in lines
        ]


def _told(value: Any) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value != value:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
