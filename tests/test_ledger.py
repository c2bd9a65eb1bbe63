"""What a ledger says, and what it refuses."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from errata.errors import LedgerError, ParameterError
from errata.findings import Finding
from errata.ledger import Ledger, Noise
from errata.vouching import Vouched


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


def test_min_precision_without_anything_that_vouches_goes_by_the_trust_and_says_so():
    for least, rows in ((0.9, [4]), (0.85, [4, 2]), (0.99, [])):
        with pytest.warns(UserWarning, match="errata vouch DIR"):
            assert ledger().issues(min_precision=least).index.tolist() == rows


def test_min_precision_of_a_list_that_is_vouched_for_warns_of_nothing(recwarn):
    found = ledger()
    found.vouched = Vouched([1, 2], [0.9, 0.8], [0.8, 0.6], [1, 1], [0.5, 0.9], [1.0, 0.2], 2.0)
    assert found.issues(min_precision=0.6).index.tolist() == [4, 2]
    assert len(recwarn) == 0


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


def test_parts_findings_and_vouching_are_saved_with_the_ledger(tmp_path):
    parts = pd.DataFrame(
        {"row": [0, 0], "given": ["x", "y"], "proposed": ["x", "z"], "trust": [0.9, 0.2], "issue": [False, True]}
    ).assign(rank=[1, 0], token=["a", "b"])
    findings = [Finding("outliers", 1, "1 row is far from all others.", 0.2, np.array([2]), {"k": 5})]
    vouched = Vouched([1, 2], [0.9, 0.5], [0.8, 0.3], [1.0, 0.7], [0.5, 0.6], [1.0, 0.8], 2.0)
    ledger = Ledger([0, 1, 1], [0, 0, 0], [0.9, 0.3, 0.1], classes=["a", "b"], parts=parts, findings=findings)
    ledger.vouched = vouched
    ledger.save(tmp_path)
    again = Ledger.load(tmp_path)
    pd.testing.assert_frame_equal(again.parts, parts)
    assert (again.findings[0].says, again.findings[0].rows.tolist()) == (findings[0].says, [2])
    assert again.vouched.low.tolist() == [0.8, 0.3]
    assert list(again.issues(min_precision=0.7).index) == [2]
    Ledger([0], [0], [0.9], classes=["a"]).save(tmp_path)
    assert not (tmp_path / "parts.parquet").exists()


def test_lost_or_incomplete_parts_are_told(tmp_path):
    with pytest.raises(LedgerError, match="trust, issue, rank are missing"):
        Ledger([0], [0], [0.9], classes=["a"], parts=pd.DataFrame({"row": [0], "given": [0], "proposed": [0]}))
    whole = pd.DataFrame({"row": [0], "given": [0], "proposed": [0], "trust": [0.5], "issue": [False], "rank": [0]})
    Ledger([0], [0], [0.9], classes=["a"], parts=whole).save(tmp_path)
    (tmp_path / "parts.parquet").unlink()
    with pytest.raises(LedgerError, match=r"parts.parquet.*missing"):
        Ledger.load(tmp_path)


def test_numbers_in_place_of_classes_are_shown():
    numbers = {"given": np.array([1.5, 2.0]), "proposed": np.array([1.5, 9.0])}
    ledger = Ledger([0, 0], [0, 1], [0.9, 0.1], classes=["as labelled", "to correct"], columns=numbers)
    assert ledger.table["proposed"].tolist() == [1.5, 9.0]
