"""Cards, the registry, and what the package imports when."""

from __future__ import annotations

import subprocess
import sys

import pytest

import errata
from errata.cards import CHANGES, Card, Registry
from errata.errors import ParameterError, UnknownNameError


@pytest.mark.parametrize("card", errata.systems(), ids=lambda card: card.slug)
def test_every_card_names_something_that_is_there(card):
    system = errata.system(card.slug)
    assert system.card == card
    assert card.module.startswith(f"errata.systems.{card.task}.")
    assert card.summary
    assert set(card.changes) <= set(CHANGES)


def test_a_card_of_a_missing_module_cannot_be_loaded():
    card = Card("x", "X", "classification", (), (), "no such thing", "errata.systems.classification.missing:X")
    with pytest.raises(ModuleNotFoundError, match="missing"):
        card.load()


def test_cards_are_checked():
    with pytest.raises(ParameterError, match="changes must be among"):
        Card("x", "X", "classification", ("colour",), (), "", "a:b")
    with pytest.raises(ParameterError, match="module:attribute"):
        Card("x", "X", "classification", (), (), "", "a.b")


def test_selection_and_suggestions():
    assert {"elr", "elr-plus"} <= {c.slug for c in errata.systems(changes="target")}
    assert {c.task for c in errata.systems(task="classification")} == {"classification"}
    with pytest.raises(UnknownNameError, match="Did you mean 'elr-plus'"):
        errata.system("elr-plsu")
    with pytest.raises(UnknownNameError, match="task"):
        errata.systems(task="classificatoin")


def test_a_slug_can_be_registered_once():
    registry = Registry()
    card = Card("mine", "Mine", "classification", (), (), "an example", "math:sqrt")
    registry.add(card)
    assert registry.load("mine")(9.0) == 3.0
    with pytest.raises(ParameterError, match="registered already"):
        registry.add(card)


def test_listing_systems_imports_none_and_nothing_heavy():
    script = (
        "import sys, errata, errata.cli\n"
        "slugs = [card.slug for card in errata.systems()]\n"
        "heavy = {'torch', 'lightning', 'pandas', 'sklearn', 'scipy', 'pyarrow'} & set(sys.modules)\n"
        "systems = [m for m in sys.modules if m.startswith('errata.systems.') and m.count('.') > 2]\n"
        "print(len(slugs), sorted(heavy), systems)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip() == f"{len(errata.systems())} [] []"


def test_packages_that_are_verbs_stay_both():
    import errata.audit
    import errata.systems.classification.ce

    assert callable(errata.audit)
    assert callable(errata.systems)
    assert errata.systems.classification.ce.CrossEntropyTraining is errata.system("ce")


@pytest.mark.parametrize("name", sorted(errata.__all__))
def test_every_public_name_is_there(name):
    assert getattr(errata, name) is not None
    assert name in dir(errata)
