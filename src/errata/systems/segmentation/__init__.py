"""Systems that learn a class for every pixel."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
