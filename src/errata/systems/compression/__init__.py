"""Systems that make do with fewer samples."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
