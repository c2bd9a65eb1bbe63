"""Systems that learn from data that stay with their owners."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
