import numpy as np
import pytest
from sklearn.datasets import load_digits

from errata.errors import ParameterError, UnknownNameError
from errata.noise import instance_dependent
from errata.scores.neighbours import nearest
from errata.scores.simifeat import simifeat


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    given = instance_dependent(x, y, 0.2, 10, seed=0)
    right = np.array([(y[given == c] == c).mean() for c in range(10)])
    return nearest(x, 18), given, y, right


@pytest.mark.parametrize(("rule", "precision", "recall"), [("vote", 0.9, 0.95), ("rank", 0.85, 0.8)])
def test_planted_errors_are_flagged_and_corrected(digits, rule, precision, recall):
    graph, given, true, right = digits
    wrong = given != true
    found = simifeat(graph, given, rule=rule, right=right)
    assert wrong[found.issues].mean() > precision
    assert found.issues[wrong].mean() > recall
    assert (found.proposed == true)[found.issues & wrong].mean() > 0.9
    assert (found.proposed == given)[~found.issues].all()
    assert found.score[wrong].mean() < found.score[~wrong].mean() - 0.5


def test_the_same_seed_flags_the_same_and_another_nearly(digits):
    graph, given, _, _ = digits
    one, again, other = (simifeat(graph, given, seed=s) for s in (0, 0, 1))
    assert (one.flagged == again.flagged).all()
    assert (one.flagged != other.flagged).any()
    assert (one.issues != other.issues).mean() < 0.02


def test_a_round_of_all_rows_is_the_plain_vote(digits):
    graph, given, _, _ = digits
    found = simifeat(graph, given, k=10, rounds=1, share=1.0)
    row = int(np.flatnonzero(found.issues)[0])
    near, weight = graph.index[row, :9], graph.similarity[row, :9]
    votes = np.bincount(given[near], weights=weight, minlength=10)
    votes[given[row]] += 2 * weight[0] - weight[1]  # the row itself, extrapolated from its nearest two
    assert found.proposed[row] == votes.argmax() != given[row]
    assert found.score[row] == pytest.approx(votes[given[row]] / np.linalg.norm(votes), abs=1e-5)


def test_rank_flags_as_many_of_a_class_as_are_said_to_be_wrong(digits):
    graph, given, _, _ = digits
    right = np.ones(10)
    right[3] = 0.8
    found = simifeat(graph, given, rule="rank", right=right, rounds=1, share=1.0)
    assert (given[found.issues] == 3).all()
    assert found.issues.sum() == round(0.2 * (given == 3).sum())


def test_rows_without_a_label_are_not_judged(digits):
    graph, given, _, _ = digits
    some = given.copy()
    some[:100] = -1
    found = simifeat(graph, some)
    assert not found.issues[:100].any()
    assert np.isnan(found.flagged[:100]).all()


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"rule": "votes"}, UnknownNameError),
        ({"rule": "rank"}, ParameterError),
        ({"k": 2}, ParameterError),
        ({"rounds": 0}, ParameterError),
        ({"share": 0.0}, ParameterError),
    ],
)
def test_options_that_make_no_sense_are_told(digits, options, error):
    with pytest.raises(error):
        simifeat(digits[0], digits[1], **options)
