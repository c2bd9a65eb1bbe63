"""``RobustClassifier``: a scikit-learn classifier by scikit-learn's own checks, and more."""

import pickle

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator
from torch import nn

from errata import RobustClassifier
from errata.errors import DataError, ParameterError, UnknownNameError

CHECKS = list(estimator_checks_generator(RobustClassifier()))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", [check for _, check in CHECKS], ids=lambda c: c.func.__name__)
def test_scikit_learns_checks(check):
    check(RobustClassifier())


def test_finds_the_wrong_labels_and_serves_in_pipelines():
    x, y = load_breast_cancer(return_X_y=True)
    names = np.array(["malignant", "benign"])[y]
    wrong = np.random.default_rng(0).choice(len(y), 80, replace=False)
    names[wrong] = np.where(names[wrong] == "benign", "malignant", "benign")
    clf = RobustClassifier(random_state=0).fit(x, names)
    assert clf.ledger_.classes == ["benign", "malignant"]
    assert len(set(clf.ledger_.issues(budget=80).index) & set(wrong)) > 60
    again = pickle.loads(pickle.dumps(clf))  # noqa: S301 - our own
    np.testing.assert_array_equal(clf.predict_proba(x), again.predict_proba(x))
    model = make_pipeline(StandardScaler(), RobustClassifier(random_state=0, epochs=5))
    assert cross_val_score(model, x, y, cv=2).mean() > 0.9


def test_images_come_as_they_are():
    rng = np.random.default_rng(0)
    y = np.arange(80) % 2
    x = rng.integers(0, 100, (80, 8, 8)).astype(np.uint8)
    x[y == 1, 2:6, 2:6] += 150
    grey = RobustClassifier(random_state=0, epochs=10, system="ce").fit(x, y)
    assert grey.score(x, y) > 0.9
    colour = np.repeat(x[:, None], 3, axis=1)
    assert RobustClassifier(random_state=0, epochs=10, system="ce").fit(colour, y).score(colour, y) > 0.9
    with pytest.raises(DataError, match=r"shape \(8, 8\)"):
        grey.predict(x[:, :, :4])


def test_a_network_of_ones_own_is_left_as_it_is():
    x, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 3
    network = nn.Linear(4, 3)
    before = network.weight.detach().clone()
    RobustClassifier(model=network, epochs=2, random_state=0).fit(x, y)
    assert (network.weight == before).all()


def test_what_does_not_exist_is_told():
    x, y = np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2
    with pytest.raises(UnknownNameError, match="Did you mean 'lambda_'"):
        RobustClassifier(settings={"lambda": 1.0}).fit(x, y)
    with pytest.raises(UnknownNameError, match="Did you mean 'elr'"):
        RobustClassifier(system="elrr").fit(x, y)
    with pytest.raises(ParameterError, match="epochs"):
        RobustClassifier(epochs=0).fit(x, y)
    with pytest.raises(DataError, match="features"):
        RobustClassifier().fit(np.zeros((40, 2, 2, 2, 2)), y)
