"""The law that every training system must pass, for ours and for yours; and functions run on several ranks.

from errata.testing import check_system

@pytest.mark.parametrize(("name", "check"), list(check_system(MySystem)))
def test_law(name, check):
    check()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from errata.testing.failure import CheckFailure
    from errata.testing.law import check_system
    from errata.testing.ranks import run_on_ranks

__all__ = ["CheckFailure", "check_system", "run_on_ranks"]

_PLACES = {"CheckFailure": "failure", "check_system": "law", "run_on_ranks": "ranks"}


def __getattr__(name: str) -> Any:
    # late, for the processes of run_on_ranks pass through here and need not wait for Lightning
    if name not in _PLACES:
        raise AttributeError(f"module 'errata.testing' has no attribute '{name}'")
    return getattr(importlib.import_module(f"errata.testing.{_PLACES[name]}"), name)
