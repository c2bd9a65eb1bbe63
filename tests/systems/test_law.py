"""Every registered system that is trained by gradient descent passes the law; the others have their own field's."""

from __future__ import annotations

import pytest

from errata import systems
from errata.cards import Card
from errata.parts import System
from errata.testing import check_system
from errata.testing.problems import KINDS

# what makes a short training go through the parts of a system that come late in a long one
SHORT = {
    "ogc": {"time_frame": 2},
    "anl": {"lamb": 0.5},
    "elr-plus": {"ema_step": 10, "coef_step": 5},
    "adele": {
        "curve_epochs": 1,
        "min_increment": -1.0,
        "correct_freq": 1,
        "tau_fg": 0.5,
        "optimizer": "adam",
        "lr": 0.03,
    },
}

MODALITIES: dict[str, tuple[str, ...]] = {"oest": ("image",), "oest-star": ("image",)}
"""The kinds of data of systems that don't take all."""


def cases() -> list[object]:
    slugs = [card.slug for card in systems.list_systems() if is_trained(card)]
    return [
        pytest.param(check, id=f"{slug}-{name}")
        for slug in slugs
        for name, check in check_system(slug, modalities=MODALITIES.get(slug, KINDS), **SHORT.get(slug, {}))
    ]


def is_trained(card: Card) -> bool:
    found = card.load()
    return isinstance(found, type) and issubclass(found, System)


@pytest.mark.parametrize("check", cases())
def test_law(check) -> None:
    check()
