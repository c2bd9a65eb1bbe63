import threading

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.linear_model import LogisticRegression

from errata.audit.crossval import cross_validate
from errata.audit.folds import FOLDER, digest_of, folds_of, forget, group_codes
from errata.audit.predictors import EstimatorFolds, Without
from errata.errors import DataError, ParameterError
from errata.labels import ClassLabels


def wine():
    x, y = load_wine(return_X_y=True)
    return (x - x.mean(0)) / x.std(0), ClassLabels(y.astype(np.int64), [0, 1, 2])


def estimator(x, labels):
    return EstimatorFolds(LogisticRegression(C=1.0), x, labels)


def test_a_group_is_never_divided_and_classes_stay_even():
    rng = np.random.default_rng(0)
    labels = ClassLabels(rng.integers(0, 3, 600), [0, 1, 2])
    groups = np.array([f"patient {g}" for g in rng.integers(0, 60, 600)])
    fold = folds_of(labels, 5, 1, groups)
    for group in np.unique(groups):
        assert len(np.unique(fold[groups == group])) == 1
    for c in range(3):
        assert np.bincount(fold[labels.codes == c], minlength=5).min() > 20
    assert (fold == folds_of(labels, 5, 1, groups.tolist())).all()
    assert (fold != folds_of(labels, 5, 2, groups)).any()


def test_a_leak_through_groups_is_closed():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(60), 10)
    x = rng.normal(size=(60, 8))[person] + rng.normal(scale=0.01, size=(600, 8))  # who, not what
    labels = ClassLabels(rng.integers(0, 2, 60)[person], [0, 1])
    from sklearn.neighbors import KNeighborsClassifier

    predictor = EstimatorFolds(KNeighborsClassifier(3), x, labels)
    plain = cross_validate(labels, predictor, seed=0).pred_probs.argmax(1)
    grouped = cross_validate(labels, predictor, seed=0, groups=person).pred_probs.argmax(1)
    assert (plain == labels.codes).mean() > 0.95
    assert (grouped == labels.codes).mean() < 0.75


def test_a_class_within_one_group_is_left_as_it_is_and_told():
    x, labels = wine()
    codes = labels.codes.copy()
    codes[:12] = 3
    groups = np.arange(len(codes))
    groups[:12] = 1000
    found = cross_validate(
        ClassLabels(codes, [0, 1, 2, 3]), estimator(x, ClassLabels(codes, [0, 1, 2, 3])), groups=groups
    )
    assert found.pred_probs[:12, 3] == pytest.approx(found.pred_probs[:12].max(1))
    assert any("all rows fell into one fold" in note and "3" in note for note in found.notes)
    assert "by groups" in found.description


def test_rows_without_a_group_stand_alone():
    codes = group_codes(["a", None, "a", None], 4)
    assert codes[0] == codes[2]
    assert len(set(codes)) == 3


def test_groups_that_do_not_fit_are_told():
    _, labels = wine()
    with pytest.raises(DataError, match="3 groups with labels, too few for 5 folds"):
        folds_of(labels, 5, 0, np.arange(len(labels)) % 3)
    with pytest.raises(DataError, match="a group for each of the 178 rows"):
        folds_of(labels, 5, 0, ["a"])


def test_folds_side_by_side_give_the_same():
    x, labels = wine()
    told = []
    one = cross_validate(labels, estimator(x, labels), jobs=1)
    two = cross_validate(labels, estimator(x, labels), jobs=3, progress=lambda share, what: told.append(share))
    assert (one.pred_probs == two.pred_probs).all()
    assert told[-1] == 1.0
    assert len(told) == 6
    for jobs in (0, -1, 1.5, True):
        with pytest.raises(ParameterError, match="jobs must be"):
            cross_validate(labels, estimator(x, labels), jobs=jobs)


def test_folds_are_worked_on_at_the_same_time():
    x, labels = wine()
    together = threading.Barrier(2, timeout=20)

    class Waiting(EstimatorFolds):
        def fit_predict(self, train, test, fold, advance):
            together.wait()  # never passes where one fold waits for the other
            return super().fit_predict(train, test, fold, advance)

    cross_validate(labels, Waiting(LogisticRegression(), x, labels), folds=2, jobs=2)


class Failing(EstimatorFolds):
    """Stops at a fold, as a killed process would; counts what it trained."""

    stop_at, trained = -1, 0

    def fit_predict(self, train, test, fold, advance):
        if fold == self.stop_at:
            raise KeyboardInterrupt
        type(self).trained += 1
        return super().fit_predict(train, test, fold, advance)


def test_a_stopped_cross_validation_goes_on_where_it_was(tmp_path):
    x, labels = wine()
    predictor = Failing(LogisticRegression(), x, labels)
    predictor.stop_at, Failing.trained = 3, 0
    with pytest.raises(KeyboardInterrupt):
        cross_validate(labels, predictor, out=tmp_path, jobs=1)
    assert Failing.trained == 3
    predictor.stop_at, Failing.trained = -1, 0
    found = cross_validate(labels, predictor, out=tmp_path, jobs=1)
    assert Failing.trained == 2
    assert (found.pred_probs == cross_validate(labels, predictor, jobs=1).pred_probs).all()
    Failing.trained = 0
    cross_validate(labels, predictor, out=tmp_path, jobs=1, seed=1)  # other folds: nothing of the old is used
    assert Failing.trained == 5
    assert (tmp_path / FOLDER).is_dir()
    forget(tmp_path)
    assert not (tmp_path / FOLDER).exists()


def test_a_damaged_fold_is_made_again(tmp_path):
    x, labels = wine()
    whole = cross_validate(labels, estimator(x, labels), out=tmp_path, jobs=1)
    files = sorted((tmp_path / FOLDER).rglob("*.npy"))
    assert len(files) == 5
    files[0].write_bytes(files[0].read_bytes()[:100])
    files[1].write_bytes(b"")
    assert (cross_validate(labels, estimator(x, labels), out=tmp_path, jobs=1).pred_probs == whole.pred_probs).all()


def test_what_the_folds_depend_on_changes_their_name():
    x, labels = wine()
    names = {
        estimator(x, labels).fingerprint(),
        estimator(x + 1, labels).fingerprint(),
        EstimatorFolds(LogisticRegression(C=2.0), x, labels).fingerprint(),
        EstimatorFolds(LogisticRegression(C=1.0), x, labels, seed=1).fingerprint(),
        Without(estimator(x, labels), np.arange(178) < 3, labels).fingerprint(),
    }
    assert len(names) == 5
    assert estimator(x, labels).fingerprint() == estimator(x.copy(), labels).fingerprint()
    assert digest_of(["a", "b"]) != digest_of(["a", "c"])


def test_rows_left_out_are_not_learned_from_but_no_class_vanishes():
    x, labels = wine()
    seen = []

    class Seen(EstimatorFolds):
        def fit_predict(self, train, test, fold, advance):
            seen.append(train)
            return super().fit_predict(train, test, fold, advance)

    dropped = (labels.codes == 2) | (np.arange(178) < 10)
    cross_validate(labels, Without(Seen(LogisticRegression(), x, labels), dropped, labels), folds=2, jobs=1)
    trained = np.concatenate(seen)
    assert not (trained < 10).any()
    assert (labels.codes[trained] == 2).any()
