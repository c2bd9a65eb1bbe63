"""Systems that learn from a graph's nodes."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
