"""What a ledger says, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from errata.errors import LedgerError, ParameterError
from errata.ledger import Ledger, Noise


def ledger() -> Ledger:
    """Five rows of two classes; row 1 is without a label."""
    return Ledger(
        [0, -1, 1, 1, 0],
        [0, 1, 0, 1, 1],
        [0.9, np.nan, 0.2, 0.6, 0.05],
        classes=["cat", "dog"],
        columns={"loss": range(5)},
    )


def test_table_has_the_promised_columns_and_index():
    table = ledger().table
    assert list(table.columns) == ["given", "proposed", "trust", "issue", "rank", "loss"]
    assert table.index.tolist() == [0, 1, 2, 3, 4]
    assert table["given"].isna().tolist() == [False, True, False, False, False]
    assert table["issue"].tolist() == [False, False, True, False, True]
    assert table["rank"].tolist() == [3, 4, 1, 2, 0]


def test_issues_are_worst_first_and_a_budget_counts_rows():
    assert ledger().issues().index.tolist() == [4, 2]
    assert ledger().issues(budget=1).index.tolist() == [4]
    assert ledger().issues(budget=100).index.tolist() == [4, 2, 3, 0]  # never the row without a label
    assert len(ledger().issues(budget=0)) == 0


def test_min_precision_keeps_the_longest_head_that_can_be_vouched_for():
    assert ledger().issues(min_precision=0.9).index.tolist() == [4]
    assert ledger().issues(min_precision=0.85).index.tolist() == [4, 2]
    assert len(ledger().issues(min_precision=0.99)) == 0


@pytest.mark.parametrize("arguments", [{"budget": -1}, {"budget": 1.5}, {"min_precision": 0}, {"min_precision": 1.1}])
def test_issues_refuses_what_makes_no_sense(arguments):
    with pytest.raises(ParameterError, match=next(iter(arguments))):
        ledger().issues(**arguments)


def test_noise_is_counted_from_proposals_or_taken_as_given():
    noise = ledger().noise
    assert noise.joint.sum() == pytest.approx(1)
    assert noise.rate == pytest.approx(0.5)
    assert noise.transition[0].tolist() == pytest.approx([0.5, 0.5])
    assert Ledger([0], [0], [1.0], classes=["a", "b"], noise=np.diag([0.5, 0.5])).noise.rate == 0


def test_transition_of_a_class_that_is_never_true_is_the_identity():
    assert Noise(np.array([[1.0, 0.0], [0.0, 0.0]])).transition.tolist() == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (([0, 2], [0, 0], [1, 1]), "row 1 holds 2"),
        (([0.5], [0], [1]), "class codes"),
        (([0, 0], [0], [1, 1]), "'proposed' must have one entry per row, 2"),
        (([0], [0], [1.2]), "row 0 holds 1.2"),
    ],
)
def test_refuses_what_is_no_ledger(arguments, match):
    with pytest.raises(LedgerError, match=match):
        Ledger(*arguments, classes=["a", "b"])


def test_rank_is_a_permutation_also_with_ties():
    many = Ledger(np.zeros(50, int), np.zeros(50, int), np.full(50, 0.5), classes=["a", "b"])
    assert sorted(many.rank.tolist()) == list(range(50))
    assert many.rank.tolist() == list(range(50))  # ties in the order of the rows
