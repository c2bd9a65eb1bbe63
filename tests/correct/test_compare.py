"""Two runs or ledgers side by side: what changed is counted row by row, and what it gave on the same rows."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

import errata
from errata.correct.apply import apply_to_file
from errata.correct.measured import Paired
from errata.errors import LedgerError, LoadError, ParameterError
from errata.ledger import Ledger

A = Ledger(
    [0, 1, 1, 0, -1], [0, 0, 1, 1, 0], [0.9, 0.1, 0.8, 0.3, np.nan], classes=["cat", "dog"], meta={"source": "a.csv"}
)
B = Ledger([1, 0, 1, 1], [1, 1, 1, 1], [0.9, 0.4, 0.8, 0.9], classes=["cow", "dog"], index=[0, 1, 2, 3])


def test_what_changed_is_counted_and_listed():
    found = errata.compare(A, B)
    assert found.counts == {
        "rows_in_both": 4,
        "rows_only_in_a": 1,
        "rows_only_in_b": 0,
        "labels_changed": 3,
        "proposals_changed": 2,
        "issues_new": 0,
        "issues_gone": 1,
        "issues_in_both": 1,
    }
    assert list(found.rows.index) == [3, 1, 0]
    assert found.rows.loc[1].to_dict() == {
        "given_a": "dog", "given_b": "cow", "proposed_a": "cat", "proposed_b": "dog",
        "trust_a": pytest.approx(0.1), "trust_b": pytest.approx(0.4), "issue_a": True, "issue_b": True,
    }  # fmt: skip
    assert list(found.confusion.columns) == ["cat", "dog", "cow"]
    assert found.confusion.loc["cat", "dog"] == 2
    assert found.confusion.loc["dog", "cow"] == 1
    assert found.trust["mean_shift"] == pytest.approx((0.3 + 0.6) / 4)
    assert found.trust["risen"] == 0.5
    assert any("1 rows are only in a" in note for note in found.notes)
    figures = {name: (a, b) for name, a, b in found.figures}
    assert figures["issues"] == (2, 1)
    assert figures["labelled"] == (4, 4)
    json.dumps(found.as_dict())
    assert "issues gone: 1" in str(found)


def test_a_ledger_is_like_itself():
    found = errata.compare(A, A)
    assert len(found.rows) == 0
    assert found.confusion.to_numpy().sum() == 0
    assert found.trust["rank_correlation"] == pytest.approx(1)
    assert found.notes == []
    constant = Ledger([0, 1], [0, 1], [0.5, 0.5], classes=["a", "b"])
    assert errata.compare(constant, constant).trust["rank_correlation"] is None


def test_rows_with_names_and_rows_of_nothing_in_common():
    names = [np.array(["u", "v"]), np.array(["v", "w"])]
    one, other = (Ledger([0, 1], [0, 1], [1, 1], classes=["a", "b"], index=index) for index in names)
    assert errata.compare(one, other).counts["rows_in_both"] == 1
    assert errata.compare(one, A).counts["rows_in_both"] == 0
    assert errata.compare(one, A).trust["mean_shift"] is None


def test_dropped_rows_are_matched_by_the_provenance(reviews, ledger_for, tmp_path):
    before = ledger_for(reviews, "stars")
    before.save(tmp_path / "one", report=False)
    clean = tmp_path / "clean.csv"
    apply_to_file(before, [(1, "drop"), (2, "relabel", 1)], clean)
    after = ledger_for(clean, "stars")
    after.save(tmp_path / "two", report=False)
    found = errata.compare(tmp_path / "one", tmp_path / "two")
    assert found.counts["rows_in_both"] == 5
    assert found.counts["labels_changed"] == 1
    assert found.rows["given_b"].loc[2] == "1"
    assert any("1 rows were dropped" in note for note in found.notes)
    back = errata.compare(tmp_path / "two", tmp_path / "one")
    assert back.counts["rows_in_both"] == 5
    assert back.counts["labels_changed"] == 1


def test_corrected_folders_have_their_rows_in_another_order(tmp_path, ledger_for):
    from PIL import Image

    for i, name in enumerate(["cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"]):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i * 30, 0, 0)).save(tmp_path / "photos" / name)
    before = ledger_for(tmp_path / "photos")
    apply_to_file(before, [(0, "relabel", "dog")], tmp_path / "clean")
    found = errata.compare(before, ledger_for(tmp_path / "clean"))
    assert found.counts["rows_in_both"] == 0
    assert "rows can't be matched" in found.notes[0]


# -- what it gave -----------------------------------------------------------------------------------------------------


def test_the_interval_is_that_of_paired_outcomes():
    found = Paired({}, {}, rows=100, gained=10, lost=2)
    assert found.difference == pytest.approx(0.08)
    outcomes = np.repeat([1, -1, 0], [10, 2, 88])
    half = 1.959964 * outcomes.std() / 10
    assert found.interval == pytest.approx((0.08 - half, 0.08 + half))
    assert "+0.0800 accuracy" in found.sentence()


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two short trainings on a table, the second on labels that are right, and right labels to test on."""
    folder = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3))
    true = np.where(x[:, 0] > 0, "yes", "no")
    wrong = rng.random(400) < 0.35
    given = np.where(wrong & (x[:, 0] > -0.5), np.where(true == "yes", "no", "yes"), true)
    for name, labels, rows in (
        ("noisy", given, slice(300)),
        ("clean", true, slice(300)),
        ("test", true, slice(300, 400)),
    ):
        table = pd.DataFrame(x[rows], columns=["a", "b", "c"]).assign(label=labels[rows])
        table.to_csv(folder / f"{name}.csv", index=False)
    for name in ("noisy", "clean"):
        errata.train(
            folder / f"{name}.csv", system="ce", epochs=4, validation=0.2, out=folder / f"run-{name}", progress=False,
            device="cpu",
        )  # fmt: skip
    return folder


def test_two_runs_on_the_same_test_rows(runs):
    found = errata.compare(runs / "run-noisy", runs / "run-clean", test=runs / "test.csv")
    test = found.test
    assert test.rows == 100
    assert test.b["accuracy"] - test.a["accuracy"] == pytest.approx(test.difference)
    figures = {name: (a, b) for name, a, b in found.figures}
    assert figures["test_accuracy"] == (test.a["accuracy"], test.b["accuracy"])
    assert "On 100 test rows" in str(found)
    loaded = [errata.Run.load(runs / name, device="cpu") for name in ("run-noisy", "run-clean")]
    again = errata.compare(*loaded, test=errata.read(runs / "test.csv", "label"))
    assert again.test == test


def test_validation_accuracies_are_told_to_be_comparable_or_not(runs):
    found = errata.compare(runs / "run-noisy", runs / "run-clean")
    changed = found.counts["labels_changed"]
    assert changed > 0
    assert any("validation accuracies are of the same rows, but" in note for note in found.notes) or any(
        "of different rows" in note for note in found.notes
    )
    assert any("--test" in note for note in found.notes)
    same = errata.compare(runs / "run-noisy", runs / "run-noisy")
    assert "The validation accuracies are of the same rows with the same labels." in same.notes


def test_what_can_not_be_compared_is_refused(runs, tmp_path):
    with pytest.raises(LedgerError, match="No ledger at"):
        errata.compare(tmp_path, A)
    with pytest.raises(ParameterError, match="Expected a ledger, a run"):
        errata.compare(A, 3)
    with pytest.raises(LoadError, match="is no run"):
        errata.compare(A, runs / "run-noisy", test=runs / "test.csv")
