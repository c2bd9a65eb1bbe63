from __future__ import annotations

import subprocess
import sys

import pytest

from errata import systems
from errata.cards import CHANGES, Card
from errata.errors import ParameterError, UnknownNameError

CARDS = systems.list_systems()


@pytest.mark.parametrize("card", CARDS, ids=lambda c: c.slug)
def test_every_card_leads_to_its_system(card: Card) -> None:
    found = systems.load(card.slug)
    assert callable(found)
    assert found.card is systems.card(card.slug)
    assert card.module.startswith(f"errata.systems.{card.task}.")
    assert set(card.changes) <= set(CHANGES)
    assert found.__doc__
    assert card.summary
    assert not card.paper or (card.year and card.arxiv)


def test_listing_imports_no_system_and_no_torch() -> None:
    script = (
        "import sys, errata.systems as s; s.list_systems(); s();"
        "print([m for m in sys.modules if m in ('torch', 'lightning') or m.count('.') > 2 and 'errata.systems' in m])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_selection() -> None:
    assert {"elr", "elr-plus"} <= {c.slug for c in systems.list_systems(changes="target")}
    chosen = systems.list_systems(task="classification")
    assert [c.slug for c in chosen] == [c.slug for c in CARDS if c.task == "classification"]
    assert len(chosen) < len(CARDS) or {c.task for c in CARDS} == {"classification"}
    with pytest.raises(UnknownNameError, match="Did you mean 'target'"):
        systems.list_systems(changes="targets")


def test_an_unknown_system_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'elr-plus'"):
        systems.load("elr_plus")


def test_a_second_card_of_a_slug_is_refused() -> None:
    with pytest.raises(ParameterError, match="registered already"):
        systems.register(systems.card("elr"))
