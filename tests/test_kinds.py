from __future__ import annotations

import pytest

from errata import systems
from errata.errors import UnknownNameError
from errata.kinds import KINDS, kind_of
from errata.ledger import Ledger


def test_every_task_of_a_system_has_words():
    assert set(systems.TASKS) <= set(KINDS)
    assert {card.task for card in systems.list_systems()} <= set(KINDS)


def test_a_ledger_speaks_of_its_own_rows():
    ledger = Ledger([0], [0], [1.0], classes=["a"], meta={"task": "graphs"})
    assert (ledger.kind.row, ledger.kind.rows) == ("node", "nodes")
    assert Ledger([0], [0], [1.0], classes=["a"]).kind.rows == "rows"


def test_an_unknown_kind_is_told_with_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'graphs'"):
        kind_of("graph")


@pytest.mark.parametrize("kind", [k for k in KINDS.values() if k.room], ids=lambda k: k.task)
def test_a_room_can_train_load_and_read(kind):
    room = kind.load_room()
    assert callable(room.train)
    assert callable(room.load)
    assert callable(room.read)
