"""Rules that say which label to check next."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
