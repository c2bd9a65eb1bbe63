"""Queues over ledgers, with several models, and what they would have bought."""

from __future__ import annotations

import numpy as np
import pytest

from errata.audit.queueing import RULES, enqueue, rule_scores
from errata.audit.simulating import simulate
from errata.data import hierarchy_from_names
from errata.errors import DataError, LedgerError, ParameterError, UnknownNameError
from errata.ledger import Ledger

CLASSES = ["A:x", "A:y", "B:x", "B:y"]
TREE = hierarchy_from_names(CLASSES)


def problem(n: int = 300, seed: int = 0) -> tuple[Ledger, np.ndarray, list[np.ndarray]]:
    """A ledger of noisy labels, the truth, and the probabilities of three models that mostly know it."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n)
    given = np.where(rng.random(n) < 0.2, rng.integers(4, size=n), truth)
    probs = []
    for _ in range(3):
        z = rng.normal(size=(n, 4))
        z[np.arange(n), truth] += 2.5
        probs.append(np.exp(z) / np.exp(z).sum(1, keepdims=True))
    mean = np.mean(probs, axis=0)
    return Ledger(given, mean.argmax(1), mean[np.arange(n), given], classes=CLASSES), truth, probs


def test_a_place_for_every_row_and_the_ledger_s_own_order_stays():
    ledger, _, probs = problem()
    found = enqueue(ledger, "10%", hierarchy=TREE, pred_probs=probs)
    assert sorted(found.columns["place"]) == list(range(300))
    assert found.columns["queued"].sum() == 30
    assert (found.order == ledger.order).all()
    score = found.columns["queue_score"]
    assert (np.diff(score[np.argsort(found.columns["place"])]) <= 0).all()
    assert found.meta["queue"]["rule"] == "gd"
    assert found.kind.task == "budget"
    assert "place" not in ledger.columns


def test_it_survives_the_disk(tmp_path):
    ledger, _, _ = problem(40)
    enqueue(ledger, 5).save(tmp_path)
    again = Ledger.load(tmp_path)
    assert again.columns["queued"].sum() == 5
    assert again.meta["queue"]["rows"] == 5
    assert again.charts[0].title == "What the budget is expected to find"
    assert "What the budget is expected to find" in (tmp_path / "report.html").read_text(encoding="utf-8")


ALONE = [rule for rule in RULES if rule != "opinion"]  # the audit of several people's labels alone knows it


@pytest.mark.parametrize("rule", ALONE)
def test_every_rule_beats_chance_but_chance(rule):
    ledger, truth, probs = problem(1200)
    wrong = ledger.given != truth
    score = rule_scores(ledger, rule, hierarchy=TREE, pred_probs=probs, power=1.0, seed=1)
    assert score.shape == (1200,)
    head = np.argsort(-score, kind="stable")[:120]
    if rule in ("random", "votes", "divergence", "entropy", "margin"):  # these know nothing of the given label
        assert wrong[head].mean() < 0.6
    else:
        assert wrong[head].mean() > 2 * wrong.mean()


def test_rows_without_a_label_come_last():
    ledger = Ledger([-1, 0, 1], [1, 1, 1], [np.nan, 0.1, 0.9], classes=["a", "b"])
    found = enqueue(ledger, "100%")
    assert found.columns["place"].tolist() == [2, 0, 1]
    assert found.columns["queued"].tolist() == [False, True, True]
    assert np.isnan(found.columns["queue_score"][0])


def test_more_models_from_ledgers_and_folders(tmp_path):
    ledger, _, probs = problem(60)
    other = Ledger(ledger.given, probs[0].argmax(1), probs[0][np.arange(60), ledger.given], classes=CLASSES[::-1][::-1])
    other.save(tmp_path / "other", report=False)
    np.save(tmp_path / "p.npy", probs[1])
    one = rule_scores(ledger, "disagreement", models=[other])
    same = rule_scores(ledger, "disagreement", models=[tmp_path / "other"])
    assert (one == same).all()
    assert set(np.unique(one)) <= {0.0, 0.5, 1.0}
    assert rule_scores(ledger, "entropy", pred_probs=[tmp_path / "p.npy"]).max() <= np.log(4)


def test_ledgers_of_other_rows_or_classes_are_refused():
    ledger, _, _ = problem(60)
    with pytest.raises(LedgerError, match="other rows"):
        enqueue(ledger, 5, models=[problem(50)[0]])
    strange = Ledger(ledger.given, ledger.proposed, ledger.trust, classes=[*CLASSES, "C:z"])
    with pytest.raises(LedgerError, match="C:z"):
        enqueue(ledger, 5, models=[strange])


@pytest.mark.parametrize(
    ("probs", "says"),
    [
        (np.ones((3, 4)) / 4, "expected a probability for each of 60 rows"),
        (np.ones((60, 4), dtype=int), "expected a probability"),
        (np.full((60, 4), np.nan), "row 0"),
        (np.ones((60, 4)), "sum to 1"),
    ],
)
def test_bad_probabilities_are_told(probs, says):
    with pytest.raises(DataError, match=says):
        enqueue(problem(60)[0], 5, pred_probs=[probs])


def test_wrong_words_are_told_with_the_nearest():
    ledger = problem(20)[0]
    with pytest.raises(UnknownNameError, match="Did you mean 'margin'"):
        enqueue(ledger, 5, rule="margins")
    with pytest.raises(ParameterError, match="ties"):
        enqueue(ledger, 5, ties="name")
    with pytest.raises(ParameterError, match="probabilities"):
        enqueue(ledger, 5, rule="entropy")
    with pytest.raises(DataError, match="two models"):
        enqueue(ledger, 5, rule="divergence", pred_probs=[np.full((20, 4), 0.25)])


def test_no_rows_at_all():
    found = enqueue(Ledger([], [], [], classes=["a", "b"]), 5)
    assert len(found) == 0
    assert found.meta["queue"]["rows"] == 0


def test_a_simulation_tells_every_rule_apart():
    ledger, truth, probs = problem(1200)
    found = simulate(ledger, truth, hierarchy=TREE, pred_probs=probs, exclude="A:x")
    assert set(found.curves) == set(ALONE)
    assert found.errors == (ledger.given != truth).sum()
    assert all(curve.caught[-1] == found.errors for curve in found.curves.values())
    by = {(r["rule"], r["budget"]): r for r in found.table}
    assert by["gd", 0.1]["recall"] > 2 * by["random", 0.1]["recall"]
    assert by["gd", 0.1]["novelty"] == 0.0
    assert 0 < by["random", 0.1]["novelty"] <= 1
    assert by["gd", 0.2]["f1"] > by["gd", 0.05]["f1"]  # mended labels agree with the models
    assert "1,200" in found.chart.says


def test_truth_as_names_with_gaps():
    ledger, truth, _ = problem(100)
    names = [None if i % 2 else CLASSES[t] for i, t in enumerate(truth)]
    found = simulate(ledger, names, ["trust", "random"])
    assert len(found.is_error) == 50
    assert list(found.curves) == ["trust", "random"]


def test_a_truth_that_does_not_fit_is_told():
    ledger, truth, _ = problem(30)
    with pytest.raises(DataError, match="30 rows"):
        simulate(ledger, truth[:5])
    with pytest.raises(UnknownNameError, match="C:z"):
        simulate(ledger, ["C:z"] * 30)
    with pytest.raises(DataError, match="codes"):
        simulate(ledger, truth + 7)
    with pytest.raises(DataError, match="nothing can be simulated"):
        simulate(ledger, [None] * 30)
    with pytest.raises(UnknownNameError, match="rule"):
        simulate(ledger, truth, ["best"])
    with pytest.raises(ParameterError, match="budgets"):
        simulate(ledger, truth, budgets=[2.0])


def test_several_peoples_labels_are_asked_for_again_where_an_opinion_tells_most():
    import errata

    votes = {"item": ["a", "a", "a", "b", "b", "c"], "annotator": [1, 2, 3, 1, 2, 3], "label": list("xxxxyy")}
    ledger = errata.audit(annotations=votes, aggregate="majority", progress=False)
    found = enqueue(ledger, 1)
    assert found.meta["queue"]["rule"] == "opinion"
    assert found.columns["place"].argmin() == ledger.columns["another_opinion"].argmax()
    with pytest.raises(ParameterError, match="needs the audit of several people's labels"):
        enqueue(errata.Ledger([0, 1], [0, 1], [0.5, 0.5], classes=["x", "y"]), 1, rule="opinion")
