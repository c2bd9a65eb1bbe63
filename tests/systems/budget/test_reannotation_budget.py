"""The identities of budgets, and that the rules find planted errors first."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier

from errata.errors import DataError, ParameterError, UnknownNameError
from errata.scores.tree import Distances, tree_distances
from errata.systems.budget.reannotation_budget import (
    ReannotationBudget,
    agreement,
    budget_curve,
    budget_rows,
    ensemble_scores,
    f1_curve,
    rank_rows,
    selection_jaccard,
)

# 12 leaves, 4 subgroups of 3 (nodes 12-15), 2 groups of 2 subgroups (16, 17), the root 18
PARENT = [12 + leaf // 3 for leaf in range(12)] + [16, 16, 17, 17] + [18, 18, -1]
TREE = tree_distances(PARENT, 12)


def problem(n: int, m: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(12, size=n), rng.integers(12, size=(n, m)), rng.uniform(0.1, 1, size=(n, m))


def test_scores_do_not_depend_on_the_order_of_the_models() -> None:
    labels, votes, sure = problem(50, 5)
    one = ensemble_scores(labels, votes, TREE, sure, 2)
    other = ensemble_scores(labels, votes[:, ::-1], TREE, sure[:, ::-1], 2)
    assert all(np.allclose(one[name], other[name]) for name in one)


def test_nothing_is_scored_where_all_models_agree_with_the_label() -> None:
    labels, votes, _ = problem(40, 4)
    votes[:10] = labels[:10, None]
    found = ensemble_scores(labels, votes, TREE)
    agreed = (votes == labels[:, None]).all(axis=1)
    for name in ("gd", "ld", "ratio"):
        assert ((found[name] == 0) == agreed).all()


def test_a_flat_tree_ranks_by_disagreement() -> None:
    labels, votes, _ = problem(60, 5)
    found = ensemble_scores(labels, votes, Distances.flat(12))
    differ = (votes != labels[:, None]).mean(axis=1)
    assert np.allclose(found["gd"], 2 * differ)
    assert np.allclose(found["ld"], differ)


def test_equal_depths_make_gd_twice_ld() -> None:
    labels, votes, _ = problem(60, 5)
    found = ensemble_scores(labels, votes, TREE)
    assert np.allclose(found["gd"], 2 * found["ld"])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 40), st.integers(0, 100))
def test_curves_rise_to_the_number_of_errors_whatever_the_order(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, truth, said = rng.integers(4, size=(3, n))
    curves = [budget_curve(rng.normal(size=n).round(1), labels != truth) for _ in range(2)]
    ends = [f1_curve(labels, truth, said, c.order)[-1] for c in curves]
    for curve in curves:
        assert curve.caught[0] == 0
        assert set(np.diff(curve.caught)) <= {0, 1}
        assert curve.errors == (labels != truth).sum()
    assert ends[0] == pytest.approx(ends[1])


def test_f1_is_the_field_s_own() -> None:
    from sklearn.metrics import f1_score

    rng = np.random.default_rng(0)
    labels, truth, said = rng.integers(4, size=(3, 30))
    order = rng.permutation(30)
    curve = f1_curve(labels, truth, said, order)
    for i in (0, 7, 30):
        mended = labels.copy()
        mended[order[:i]] = truth[order[:i]]
        expected = f1_score(mended, said, labels=[1, 2, 3], average="micro")
        assert curve[i] == pytest.approx(expected)


def test_ties_keep_their_order_and_the_unknown_come_last() -> None:
    assert rank_rows([1, 2, 1, np.nan, 2]).tolist() == [1, 4, 0, 2, 3]
    assert rank_rows([1, 2, 1, np.nan, 2], ties=[0, 0, 1, 9, 1]).tolist() == [4, 1, 2, 0, 3]


def test_novelty_and_agreement() -> None:
    assert selection_jaccard([1, 1, 2], [2, 3]) == pytest.approx(1 / 3)
    assert selection_jaccard([], []) == 1.0
    assert np.isnan(agreement([0], [[0]], []))


@pytest.mark.parametrize("budget", ["0%", "-3", "101%", "many", 0, 2.5, float("nan"), True, ""])
def test_a_budget_that_makes_no_sense_is_refused(budget: object) -> None:
    with pytest.raises(ParameterError, match="budget"):
        budget_rows(budget, 100)


@pytest.mark.parametrize(("budget", "rows"), [("5%", 3), (1, 1), ("100%", 60), ("500", 60), (0.5, 30), ("0.1%", 1)])
def test_a_budget_in_rows(budget: object, rows: int) -> None:
    assert budget_rows(budget, 60) == rows


def test_bad_input_is_told() -> None:
    with pytest.raises(DataError, match="row 1"):
        ensemble_scores([0, 12], [[0], [0]], TREE)
    with pytest.raises(DataError, match=r"\(N, M\)"):
        ensemble_scores([0, 1], [0, 1], TREE)
    with pytest.raises(DataError, match="whole number"):
        ensemble_scores([0.0, 1.0], [[0], [0]], TREE)
    with pytest.raises(DataError, match="confidence"):
        ensemble_scores([0], [[0]], TREE, [0.5])
    with pytest.raises(UnknownNameError, match="Did you mean 'gd'"):
        ReannotationBudget("gdd")
    with pytest.raises(ParameterError, match="power"):
        ReannotationBudget("ratio", power=-1)
    with pytest.raises(ParameterError, match="confidence"):
        ReannotationBudget("confidence").score([0], [[0]])
    with pytest.raises(DataError, match="error"):
        budget_curve([1.0], [True, False])


def test_no_rows_and_one_row() -> None:
    assert budget_curve([], []).caught.tolist() == [0]
    assert ReannotationBudget("random", seed=3).order([0], [[1]]).tolist() == [0]


def test_far_errors_come_first() -> None:
    """The dossier's synthetic tree: half of the flips to a sibling, half to the other group."""
    rng = np.random.default_rng(0)
    n = 1200
    truth = rng.integers(12, size=n)
    offsets = [rng.normal(size=(size, 8)) * scale for size, scale in ((2, 1.4), (4, 1.2), (12, 1.0))]
    x = rng.normal(size=(n, 8)) + offsets[0][truth // 6] + offsets[1][truth // 3] + offsets[2][truth]
    flipped = rng.permutation(n)[: int(0.15 * n)]
    near, far = np.array_split(flipped, 2)
    given = truth.copy()
    given[near] = truth[near] // 3 * 3 + (truth[near] % 3 + 1) % 3
    given[far] = (truth[far] + 6) % 12
    models = [
        LogisticRegression(max_iter=300),
        KNeighborsClassifier(15),
        GaussianNB(),
        RandomForestClassifier(30, random_state=0),
    ]
    probs = [cross_val_predict(m, x, given, cv=4, method="predict_proba") for m in models]
    votes, sure = np.stack([p.argmax(1) for p in probs], 1), np.stack([p.max(1) for p in probs], 1)
    wrong = given != truth
    curves = {
        name: budget_curve(ReannotationBudget(name).score(given, votes, tree, sure), wrong)
        for name, tree in (("gd", TREE), ("confidence", TREE))
    }
    count = budget_curve(ReannotationBudget("gd").score(given, votes), wrong)
    five, ten = budget_rows("5%", n), budget_rows("10%", n)
    assert curves["gd"].efficiency(five) > count.efficiency(five)
    caught = curves["gd"].caught_rows(five, wrong)
    assert np.isin(caught, far).mean() > 0.9
    for curve in (*curves.values(), count):
        assert curve.efficiency(ten) > 3 * wrong.mean()
