"""Systems that learn one event at a time."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
