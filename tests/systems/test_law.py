"""Every registered system passes the law."""

from __future__ import annotations

import pytest

from errata import systems
from errata.testing import check_system

# what makes a short training go through the parts of a system that come late in a long one
SHORT = {
    "ogc": {"time_frame": 2},
    "anl": {"lamb": 0.5},
    "elr-plus": {"ema_step": 10, "coef_step": 5},
}


def cases() -> list[object]:
    slugs = [card.slug for card in systems.list_systems()]
    return [
        pytest.param(check, id=f"{slug}-{name}")
        for slug in slugs
        for name, check in check_system(slug, **SHORT.get(slug, {}))
    ]


@pytest.mark.parametrize("check", cases())
def test_law(check) -> None:
    check()
