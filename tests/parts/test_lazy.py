from __future__ import annotations

import subprocess
import sys

import pytest

from errata import parts


@pytest.mark.parametrize("name", parts.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(parts, name).__name__ == name
    assert name in dir(parts)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Sistem'"):
        parts.Sistem  # noqa: B018


def test_batches_and_mixtures_come_without_lightning() -> None:
    script = (
        "import sys; from errata.parts import Batch, LossMixture, SampleMemory, Mix; print('lightning' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
