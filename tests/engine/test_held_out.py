"""The rows that a training held out tell how many labels are wrong; where they can't, nothing is told."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

import errata
from errata.engine.held_out import held_out_share
from errata.noise import symmetric


def test_a_training_tells_how_many_labels_are_wrong_by_the_rows_held_out(tmp_path):
    x, y = load_digits(return_X_y=True)
    given = symmetric(y, 0.3, 10, seed=0)
    run = errata.train(x, given, system="ce", epochs=6, validation=0.3, seed=0, device="cpu", progress=False)
    told = run.ledger.meta["held_out"]
    assert told["rows"] == int(run.ledger.columns["held_out"].sum()) == run.metrics["held_out"]
    assert told["low"] < 0.3 < told["high"]
    assert told["share"] == pytest.approx(0.3, abs=0.07)
    run.ledger.save(tmp_path)
    assert errata.Ledger.load(tmp_path).meta["held_out"] == told
    assert "rows held out" in (tmp_path / "report.html").read_text()


def test_the_probabilities_are_those_of_the_very_rows():
    """The labels are right and the classes far apart: rows that were mixed up would look wrong."""
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=1500)
    x = rng.normal(size=(1500, 3)) * 0.1 + np.eye(3)[y] * 3
    run = errata.train(x, y, system="ce", epochs=8, validation=0.2, seed=1, device="cpu", progress=False)
    assert run.metrics["validation_accuracy"] > 0.99
    assert run.ledger.meta["held_out"]["share"] < 0.01


def test_nothing_is_told_where_nothing_can_be():
    rng = np.random.default_rng(0)
    codes, probs = rng.integers(2, size=300), rng.dirichlet([1, 1], size=300)
    assert held_out_share(codes, probs, ["a", "b"]) is not None
    assert held_out_share(codes[:100], probs[:100], ["a", "b"]) is None
    assert held_out_share(np.zeros(300, dtype=int), probs, ["a", "b"]) is None
    assert held_out_share(codes, rng.dirichlet([1, 1, 1], size=300), ["a", "b"]) is None
