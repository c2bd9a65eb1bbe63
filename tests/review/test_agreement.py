"""What several opinions come to, against figures worked out elsewhere."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from errata.errors import ParameterError
from errata.review import Decisions, cohen_kappa, fleiss_kappa
from errata.review.agreement import verdict

answers = st.sampled_from(["keep", "drop", "relabel: dog", "relabel: cat"])


@given(st.lists(st.tuples(answers, answers), min_size=2, max_size=60))
def test_cohens_kappa_is_that_of_scikit_learn(pairs):
    first, second = zip(*pairs)
    ours = cohen_kappa(first, second)
    if len(set(first) | set(second)) == 1:
        assert math.isnan(ours)
    else:
        assert ours == pytest.approx(cohen_kappa_score(first, second), abs=1e-12)


def test_kappa_without_items_is_undefined():
    assert math.isnan(cohen_kappa([], []))
    assert math.isnan(fleiss_kappa(np.zeros((0, 2))))
    assert math.isnan(fleiss_kappa([[3, 0], [2, 0]]))
    with pytest.raises(ParameterError):
        cohen_kappa(["keep"], [])


# Fleiss 1971's way of counting on a textbook table: ten items, fourteen raters, five answers; kappa 0.210
TEXTBOOK = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def test_fleiss_kappa_of_the_textbook_table():
    assert fleiss_kappa(TEXTBOOK) == pytest.approx(0.210, abs=5e-4)


def test_items_with_one_rater_do_not_count():
    assert fleiss_kappa([*TEXTBOOK, [1, 0, 0, 0, 0]]) == pytest.approx(fleiss_kappa(TEXTBOOK))


@given(st.lists(st.tuples(answers, answers), min_size=2, max_size=40))
def test_fleiss_of_two_raters_agrees_with_cohen_where_their_habits_are_the_same(pairs):
    both = pairs + [(b, a) for a, b in pairs]  # each has given each answer as often
    first, second = zip(*both)
    names = sorted(set(first))
    counts = [[(a == name) + (b == name) for name in names] for a, b in both]
    ours, theirs = fleiss_kappa(counts), cohen_kappa(first, second)
    assert (math.isnan(ours) and math.isnan(theirs)) or ours == pytest.approx(theirs)


def test_the_most_common_answer_wins_and_a_tie_has_no_winner():
    assert verdict([("keep", None), ("relabel", "a"), ("relabel", "a"), ("relabel", "b")]) == ("relabel", "a")
    assert verdict([("relabel", "a"), ("relabel", "b")]) is None
    assert verdict([]) is None


def test_agreement_of_a_record(tmp_path):
    record = Decisions(tmp_path)
    said = {  # row: ann, bob, cleo
        1: ("keep", "keep", "keep"),
        2: ("drop", "keep", "drop"),
        3: ("drop", "drop", None),
        4: ("keep", "drop", None),
        5: ("keep", "skip", None),
    }
    for row, actions in said.items():
        for reviewer, action in zip(("ann", "bob", "cleo"), actions):
            if action:
                record.add(row, action, reviewer=reviewer)
    found = record.agreement()
    assert found.rows == 4
    assert found.disputed == {2: False, 4: True}
    assert found.tallies["bob"] == {"keep": 2, "drop": 2, "skip": 1}
    pairs = {(p.first, p.second): (p.rows, p.same) for p in found.pairs}
    assert pairs == {("ann", "bob"): (4, 2), ("ann", "cleo"): (2, 2), ("bob", "cleo"): (2, 1)}
    expected = cohen_kappa_score(["keep", "drop", "drop", "keep"], ["keep", "keep", "drop", "drop"])
    assert found.pairs[0].kappa == pytest.approx(expected)
    assert found.fleiss == pytest.approx(fleiss_kappa([[3, 0], [1, 2], [0, 2], [1, 1]]))


def test_two_new_labels_are_two_answers(tmp_path):
    record = Decisions(tmp_path)
    record.add(1, "relabel", "dog", reviewer="ann")
    record.add(1, "relabel", "cat", reviewer="bob")
    assert record.agreement().disputed == {1: True}
    assert len(record.table()) == 0
