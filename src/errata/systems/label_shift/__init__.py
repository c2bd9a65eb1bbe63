"""Systems for data whose class proportions differ between domains."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
