import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

import errata
from errata.audit.dynamics import audit
from errata.data import read
from errata.errors import ParameterError, UnknownNameError
from errata.noise import instance_dependent
from errata.scores.dynamics import SCORES


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    given = instance_dependent(x, y, 0.15, 10, seed=1)
    return x, given, y


@pytest.fixture(scope="module")
def ledger(digits):
    x, given, _ = digits
    return audit(read(x, given), device="cpu")


def test_one_training_finds_what_is_wrong_and_how_much(digits, ledger):
    _, given, true = digits
    wrong = given != true
    assert average_precision_score(wrong, -ledger.trust) > 0.95
    assert wrong[ledger.issue].mean() > 0.85
    assert ledger.issue[wrong].mean() > 0.85
    assert (ledger.proposed == true)[ledger.issue & wrong].mean() > 0.85
    assert ledger.noise.rate == pytest.approx(wrong.mean(), abs=0.03)
    assert ledger.trust[ledger.issue].max() <= ledger.trust[~ledger.issue].min()
    assert 1 - ledger.trust.mean() == pytest.approx(ledger.issue.mean(), abs=0.005)
    assert ledger.noise.joint.sum() == pytest.approx(1)
    assert ledger.noise.joint.sum(0) == pytest.approx(np.bincount(given) / len(given), abs=1e-6)


def test_every_score_knows_something(digits, ledger):
    _, given, true = digits
    wrong = given != true
    for name in SCORES:
        values = ledger.columns[name]
        falls = name in ("mean_loss", "el2n", "forgetting")
        assert average_precision_score(wrong, values if falls else -values) > 0.75, name


def test_it_costs_as_many_steps_as_one_fold(digits, ledger):
    x, given, _ = digits
    told = []
    errata.audit(
        x, given, method="dynamics", device="cpu", epochs=2, progress=lambda share, what: told.append((share, what))
    )
    assert told[0] == (0.0, "one training run")
    assert told[-1][0] == pytest.approx(1.0)
    assert ledger.meta["model"] == "a network (mlp), 24 epochs"  # 30 on four fifths of the rows, in each of five folds


def test_rows_without_a_label_are_proposed_one_and_the_seed_decides(digits):
    x, given, true = digits
    labels = [None if i < 30 else int(g) for i, g in enumerate(given[:500])]
    one, two = (audit(read(x[:500], labels), epochs=8, device="cpu", seed=3) for _ in range(2))
    assert np.isnan(one.trust[:30]).all()
    assert not one.issue[:30].any()
    assert (one.proposed[:30] == true[:30]).mean() > 0.8
    assert (one.trust[30:] == two.trust[30:]).all()


def test_another_score_and_a_network_of_ones_own(digits):
    x, given, true = digits
    network = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
    before = network[0].weight.detach().clone()
    found = audit(read(x, given), model=network, score="mean_loss", epochs=10, lr=0.05, device="cpu")
    assert average_precision_score(given != true, -found.trust) > 0.9
    assert found.meta["score"] == "mean_loss"
    assert (network[0].weight == before).all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"score": "auc"}, UnknownNameError, "aum"),
        ({"model": LogisticRegression()}, ParameterError, "watches a network"),
        ({"learning_rate": 0.1}, UnknownNameError, "option of method 'dynamics'"),
    ],
)
def test_options_that_make_no_sense_are_told(digits, options, error, says):
    x, given, _ = digits
    with pytest.raises(error, match=says):
        audit(read(x, given), **options)
