"""Systems that learn several labels per sample."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
