"""Reviewing: the web page where people decide on doubtful labels, and the durable record of what they decided.

``Decisions`` is the record and needs nothing but Python; ``serve`` shows the page and needs the extra ``review``.
"""

from __future__ import annotations

from errata.review.agreement import Agreement, cohen_kappa, fleiss_kappa
from errata.review.decisions import Decision, Decisions
from errata.review.server import serve

__all__ = ["Agreement", "Decision", "Decisions", "cohen_kappa", "fleiss_kappa", "serve"]
