"""Finding label errors: ``errata.audit(...)`` is a verb, and this package holds what it does.

``align`` brings labels and probabilities together, ``confident`` turns them into a ledger, ``crossval`` makes the
probabilities where there are none, ``report`` draws the page that ``Ledger.save`` writes.
"""

from __future__ import annotations

from errata._lazy import make_callable
from errata.audit.run import audit

__all__ = ["audit"]

make_callable(__name__, audit)
