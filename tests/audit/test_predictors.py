import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression
from sklearn.svm import LinearSVC

from errata import read
from errata.audit.predictors import EstimatorFolds, auto, bag_of_words, features_of
from errata.errors import DataError, ParameterError
from errata.labels import ClassLabels


def test_columns_are_classes_even_where_one_is_missing_in_training():
    x = np.array([[0.0], [0.1], [5.0], [5.1], [9.0]])
    labels = ClassLabels(np.array([0, 0, 2, 2, 1]), ["a", "b", "c"])
    model = EstimatorFolds(HistGradientBoostingClassifier(min_samples_leaf=1), x, labels)
    probs = model.fit_predict(np.arange(4), np.array([4]), 0, lambda share: None)
    assert probs.shape == (1, 3)
    assert probs[0, 1] == 0
    assert probs[0, 2] > probs[0, 0]


@pytest.mark.parametrize("k", [2, 3])
def test_decision_values_become_probabilities(k):
    rng = np.random.default_rng(0)
    codes = np.arange(60) % k
    x = rng.normal(size=(60, 2)) + 4 * codes[:, None]
    model = EstimatorFolds(LinearSVC(), x, ClassLabels(codes, list(range(k))))
    probs = model.fit_predict(np.arange(40), np.arange(40, 60), 0, lambda share: None)
    assert probs.sum(1) == pytest.approx(np.ones(20), abs=1e-5)
    assert (probs.argmax(1) == codes[40:]).mean() > 0.8


def test_what_gives_no_probabilities_is_refused():
    with pytest.raises(ParameterError, match="LinearRegression has no predict_proba"):
        EstimatorFolds(LinearRegression(), np.zeros((2, 1)), ClassLabels(np.array([0, 1]), [0, 1]))


def test_what_fails_in_training_is_told_in_one_sentence():
    labels = ClassLabels(np.array([0, 1, 0, 1]), [0, 1])
    model = EstimatorFolds(LinearSVC(), np.full((4, 1), np.nan), labels)
    with pytest.raises(DataError, match=r"LinearSVC could not be trained on these data: .*NaN"):
        model.fit_predict(np.arange(3), np.array([3]), 0, lambda share: None)


def test_words_in_one_text_only_say_nothing():
    bag = bag_of_words(["good film", "good book", "bad film"])
    assert bag.shape == (3, 2)  # good, film
    assert np.sqrt(bag.multiply(bag).sum(1)) == pytest.approx(np.ones((3, 1)), abs=1e-6)


def test_texts_without_a_common_word_are_refused():
    with pytest.raises(DataError, match="No word occurs in two of the 2 texts"):
        bag_of_words(["one", "two"])


def test_estimators_get_texts_numbers_or_pixels():
    assert features_of(read(["a b", "c"], label=[0, 1])) == ["a b", "c"]
    table = features_of(read(pd.DataFrame({"n": [1.0, np.nan, 3.0], "label": [0, 1, 0]})))
    assert table.shape[0] == 3
    assert np.isfinite(table).all()
    pixels = features_of(read(np.full((2, 3, 8, 8), 255, dtype=np.uint8), label=[0, 1]))
    assert pixels.shape == (2, 192)
    assert (pixels == 1).all()


def test_many_rows_are_left_to_boosted_trees(monkeypatch):
    from errata.audit import predictors

    data = read(np.zeros((6, 2)), label=[0, 1] * 3)
    assert "randomised" in auto(data, 0).description
    monkeypatch.setattr(predictors, "MOST_ROWS", 5)
    assert isinstance(auto(data, 0).estimator, HistGradientBoostingClassifier)
