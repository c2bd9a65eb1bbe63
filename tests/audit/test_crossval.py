import numpy as np
import pytest

from errata.audit.crossval import cross_validate, fold_of, temper
from errata.errors import DataError, ParameterError
from errata.labels import ClassLabels


class Frequencies:
    """Predicts how often each class occurs among the rows it was trained on; remembers what it was asked."""

    description = "class frequencies"

    def __init__(self, labels):
        self.labels, self.calls = labels, []

    def fit_predict(self, train, test, fold, advance):
        self.calls.append((train, test))
        counts = np.bincount(self.labels.codes[train], minlength=len(self.labels.classes))
        advance(0.5)
        return np.tile(counts / counts.sum(), (len(test), 1))


def labels_of(codes, k=None):
    codes = np.asarray(codes, dtype=np.int64)
    return ClassLabels(codes, list(range(k or codes.max() + 1)))


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_stratified_and_even(folds):
    codes = np.random.default_rng(0).choice(4, size=203, p=[0.7, 0.2, 0.08, 0.02])
    fold = fold_of(codes, folds, seed=1)
    assert np.ptp(np.bincount(fold, minlength=folds)) <= 1
    for k in range(4):
        assert np.ptp(np.bincount(fold[codes == k], minlength=folds)) <= 1


def test_folds_depend_on_the_seed_only():
    codes = np.arange(100) % 3
    assert (fold_of(codes, 5, seed=3) == fold_of(codes, 5, seed=3)).all()
    assert (fold_of(codes, 5, seed=3) != fold_of(codes, 5, seed=4)).any()


def test_each_row_is_predicted_once_by_a_model_that_has_not_seen_it():
    labels = labels_of([0, 1] * 20 + [-1, -1, -1], k=2)
    model = Frequencies(labels)
    cross_validate(labels, model, folds=4, seed=0)
    tested = np.concatenate([test for _, test in model.calls])
    assert sorted(tested) == list(range(43))
    for train, test in model.calls:
        assert not set(train) & set(test)
        assert (labels.codes[train] >= 0).all()


def test_a_class_of_one_row_is_neither_flagged_nor_proposed_and_told():
    labels = labels_of([0] * 30 + [1] * 30 + [2])
    found = cross_validate(labels, Frequencies(labels), folds=5)
    own = found.pred_probs[60]
    assert own[2] == pytest.approx(own.max())
    assert found.pred_probs.sum(1) == pytest.approx(np.ones(61), abs=1e-5)
    assert found.notes == ["Classes with a single row can’t be checked, their labels are left as they are: 2."]


def test_a_class_of_few_rows_is_told_and_predicted():
    labels = labels_of([0] * 30 + [1] * 30 + [2] * 3)
    found = cross_validate(labels, Frequencies(labels), folds=5)
    assert (found.pred_probs[60:, 2] > 0).all()
    assert found.notes == ["Classes with fewer rows than there are folds (5) can’t be checked well: 2 (3)."]


def test_a_fold_may_be_left_with_one_class():
    labels = labels_of([0] * 10 + [1])
    found = cross_validate(labels, Frequencies(labels), folds=5)
    assert np.isfinite(found.pred_probs).all()


def test_progress_goes_from_nought_to_one():
    heard = []
    labels = labels_of([0, 1] * 10)
    cross_validate(labels, Frequencies(labels), folds=2, progress=lambda share, what: heard.append((share, what)))
    shares = [share for share, _ in heard]
    assert shares == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert heard[0][1] == "cross-validation in 2 folds"


@pytest.mark.parametrize("folds", [0, 1, -3, 2.5, True, "5", 100_000])
def test_folds_out_of_range_are_refused(folds):
    labels = labels_of([0, 1] * 10)
    with pytest.raises(ParameterError, match="folds must be a whole number from 2"):
        cross_validate(labels, Frequencies(labels), folds=folds)


def test_fewer_rows_than_folds_are_refused():
    labels = labels_of([0, 1, 0, -1])
    with pytest.raises(DataError, match=r"3 labelled rows, too few for 5 folds.*from 2 to 3"):
        cross_validate(labels, Frequencies(labels), folds=5)


def test_probabilities_that_are_no_numbers_are_refused():
    class Broken(Frequencies):
        def fit_predict(self, train, test, fold, advance):
            found = super().fit_predict(train, test, fold, advance)
            found[0] = np.nan
            return found

    labels = labels_of([0, 1] * 10)
    with pytest.raises(DataError, match=r"not numbers, first for row \d+"):
        cross_validate(labels, Broken(labels), folds=2)


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_temperature_undoes_what_is_too_sure_or_too_timid(power):
    rng = np.random.default_rng(0)
    right = rng.dirichlet([0.5, 0.5, 0.5], size=20_000)
    codes = (right.cumsum(1) > rng.random((20_000, 1))).argmax(1)
    changed = right**power / (right**power).sum(1, keepdims=True)
    probs = changed.astype(np.float32)
    assert temper(probs, codes) == pytest.approx(power, rel=0.06)
    assert np.abs(probs - right).mean() < 0.01


def test_temperature_keeps_the_order_of_classes():
    probs = np.random.default_rng(0).dirichlet([0.3] * 4, size=50).astype(np.float32)
    before = probs.argmax(1)
    temper(probs, np.zeros(50, dtype=np.int64))
    assert (probs.argmax(1) == before).all()
