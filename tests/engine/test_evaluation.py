"""Predicting and measuring, against scikit-learn and by hand."""

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import nn

from errata import systems
from errata.engine.evaluation import calibration_error, predict_proba, scores
from errata.errors import DataError, ParameterError


@pytest.fixture
def system():
    torch.manual_seed(0)
    return systems.load("ce")(nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5)), num_classes=3, num_samples=2)


def test_probabilities_of_tensors_arrays_and_datasets_agree(system, tmp_path):
    x = torch.randn(11, 4)
    expected = predict_proba(system, x)
    np.testing.assert_allclose(expected.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(predict_proba(system, x, batch_size=3), expected, rtol=1e-6)
    np.testing.assert_array_equal(predict_proba(system, x.numpy()), expected)
    np.testing.assert_array_equal(predict_proba(system, list(x)), expected)
    np.save(tmp_path / "x.npy", x.numpy())
    np.testing.assert_array_equal(predict_proba(system, np.load(tmp_path / "x.npy", mmap_mode="r")), expected)
    assert system.training  # left in the mode it was in
    with pytest.raises(ParameterError, match="batch_size"):
        predict_proba(system, x, batch_size=0)


def test_scores_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), 200)
    y = rng.integers(0, 3, 200)  # class 3 is predicted but never true
    found = scores(y, p)
    predicted = p.argmax(1)
    with pytest.warns(UserWarning, match="not in y_true"):
        balanced = metrics.balanced_accuracy_score(y, predicted)
    assert found["accuracy"] == pytest.approx(metrics.accuracy_score(y, predicted))
    assert found["balanced_accuracy"] == pytest.approx(balanced)
    assert found["macro_f1"] == pytest.approx(metrics.f1_score(y, predicted, average="macro"))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, p, labels=range(4)))
    assert found["rows"] == 200


def test_scores_of_nothing():
    with pytest.raises(DataError, match="no labelled row"):
        scores(np.empty(0, dtype=int), np.empty((0, 2)))


def test_calibration_error_by_hand():
    confidence = np.array([0.95, 0.95, 0.95, 0.95, 0.55, 0.55])
    right = np.array([True, True, True, False, True, False])
    expected = (abs(3 - 4 * 0.95) + abs(1 - 2 * 0.55)) / 6
    assert calibration_error(right, confidence, bins=10) == pytest.approx(expected)
    assert calibration_error(np.array([True]), np.array([1.0])) == 0
