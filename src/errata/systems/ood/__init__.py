"""Systems that tell inputs unlike the training data."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = []
