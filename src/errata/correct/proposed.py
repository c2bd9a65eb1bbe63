"""The ledger's own proposals as decisions, for those who accept them unseen."""

from __future__ import annotations

from typing import Any

import numpy as np

from errata.errors import ParameterError
from errata.forms import Form
from errata.labels import MISSING
from errata.ledger import Ledger

__all__ = ["proposed"]


def proposed(
    ledger: Ledger, max_trust: float | None = None, max_rows: int | None = None, form: Form | None = None
) -> dict[str, list[Any]]:
    """Relabel the ledger's issues as it proposes.

    Parameters
    ----------
    ledger : with issues
    max_trust : only rows whose given label is trusted at most so far, in [0, 1]
    max_rows : only so many, the least trusted
    form : of labels that are no classes

    Returns
    -------
    columns row, action, label, who, why

    Examples
    --------
    >>> ledger = Ledger([0, 1, 1], [1, 0, 0], [0.4, 0.2, 0.1], classes=["cat", "dog"], meta={"method": "confident"})
    >>> proposed(ledger, max_rows=2)["row"], proposed(ledger, max_trust=0.1)["why"]
    ([2, 1], ['proposed by confident, trust 0.100'])
    """
    if max_trust is not None and not 0 <= max_trust <= 1:
        raise ParameterError(f"max_trust must lie in [0, 1]; got {max_trust!r}.")
    if max_rows is not None and (int(max_rows) != max_rows or max_rows < 0):
        raise ParameterError(f"max_rows must be a whole number, 0 or more; got {max_rows!r}.")
    chosen = ledger.order[: int(ledger.issue.sum())]
    if form is None:
        chosen = chosen[(ledger.proposed[chosen] != MISSING) & (ledger.proposed[chosen] != ledger.given[chosen])]
    else:
        differs = [not form.same(form.given(p), form.proposed(p)) for p in chosen.tolist()]
        chosen = chosen[np.asarray(differs, dtype=bool)]
    if max_trust is not None:
        chosen = chosen[ledger.trust[chosen] <= np.float32(max_trust)]
    chosen = chosen[:max_rows]
    if form is None:
        labels = [ledger.classes[code] for code in ledger.proposed[chosen]]
    else:
        labels = [form.text(p, form.proposed(p)) for p in chosen.tolist()]
    name = str(ledger.meta.get("method") or ledger.meta.get("system") or "the ledger")
    return {
        "row": ledger.index[chosen].tolist(),
        "action": ["relabel"] * len(chosen),
        "label": labels,
        "who": ["errata"] * len(chosen),
        "why": [f"proposed by {name}, trust {trust:.3f}" for trust in ledger.trust[chosen]],
    }
