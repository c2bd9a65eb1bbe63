"""Systems that make one model of several."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
