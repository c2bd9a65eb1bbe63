import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

import errata
from errata.errors import DataError, ParameterError, UnknownNameError


def planted(y, rate, seed=0):
    """Labels of which ``rate`` are replaced by another class."""
    rng = np.random.default_rng(seed)
    k = int(y.max()) + 1
    wrong = rng.random(len(y)) < rate
    return np.where(wrong, (y + rng.integers(1, k, len(y))) % k, y)


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    given = planted(y, 0.1)
    return x, given, given != y


def test_planted_errors_in_digits_are_found(digits):
    x, given, wrong = digits
    ledger = errata.audit(x, given, seed=0, progress=False)
    assert average_precision_score(wrong, -ledger.trust) > 0.97
    assert wrong[ledger.issue].mean() > 0.85
    assert ledger.issue[wrong].mean() > 0.85
    assert ledger.noise.rate == pytest.approx(wrong.mean(), abs=0.03)
    assert ledger.meta["probabilities"] == "5-fold cross-validation of extremely randomised trees"
    assert len(ledger.data) == len(x)
    again = errata.audit(x, given, seed=0, progress=False)
    assert (again.trust == ledger.trust).all()
    assert (again.proposed == ledger.proposed).all()


def test_planted_errors_in_pictures_are_found(digits):
    _, given, wrong = digits
    pictures = (load_digits().images * 15).astype(np.uint8)[:600]
    ledger = errata.audit(pictures, given[:600], folds=3, epochs=12, device="cpu", progress=False)
    assert average_precision_score(wrong[:600], -ledger.trust) > 0.7


def test_a_table_with_gaps_and_words_a_model_of_ones_own_and_silence(capfd):
    frame = load_breast_cancer(as_frame=True).frame
    y = frame.pop("target").to_numpy()
    frame.iloc[::7, 0] = np.nan
    frame["ward"] = np.where(np.arange(len(frame)) % 2, "north", "south")
    given = planted(y, 0.1)
    frame["outcome"] = np.array(["bad", "good"], dtype=object)[given]
    ledger = errata.audit(frame, label="outcome", model=LogisticRegression(C=0.1), progress=False)
    assert ledger.classes == ["bad", "good"]
    assert average_precision_score(given != y, -ledger.trust) > 0.85
    assert capfd.readouterr() == ("", "")


def test_human_errors_in_titles_are_found_better_than_by_chance(shared_data, tmp_path):
    def table(name):
        with gzip.open(shared_data / "text" / "african" / name, "rt", encoding="utf-8") as file:
            return pd.read_csv(file, sep="\t")

    noisy, clean = table("hausa_newsclass_train_clean_noisy_labels.tsv.gz"), table("hausa_newsclass_train_clean.tsv.gz")
    wrong = (noisy["label"] != clean["label"]).to_numpy()
    noisy[["news_title", "label"]].to_csv(tmp_path / "titles.csv", index=False)
    ledger = errata.audit(tmp_path / "titles.csv", label="label", text="news_title", progress=False)
    assert ledger.data.kind == "text"
    assert average_precision_score(wrong, -ledger.trust) > wrong.mean() + 0.02


def test_rows_without_a_label_are_proposed_one(digits):
    x, given, _ = digits
    labels = [None if i < 20 else str(g) for i, g in enumerate(given[:400])]
    ledger = errata.audit(x[:400], labels, folds=3, progress=False)
    assert np.isnan(ledger.trust[:20]).all()
    assert (ledger.proposed[:20] >= 0).all()
    assert not ledger.issue[:20].any()
    assert (load_digits().target[:20].astype(str) == [ledger.classes[p] for p in ledger.proposed[:20]]).mean() > 0.8


def test_probabilities_may_go_with_a_table(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"n": [1, 2, 3], "label": ["x", "y", "y"]}).to_csv(path, index=False)
    np.save(tmp_path / "p.npy", np.array([[0.9, 0.1], [0.2, 0.8], [0.99, 0.01]]))
    ledger = errata.audit(path, label="label", pred_probs=tmp_path / "p.npy", rule="predicted_neq_given")
    assert ledger.issue.tolist() == [False, False, True]
    assert ledger.meta["source"].endswith("t.csv")
    assert ledger.data is not None
    assert ledger.meta["probabilities"].endswith("p.npy")


def test_a_training_run_gives_its_own_ledger():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2))
    ledger = errata.audit(x, (x[:, 0] > 0).astype(int), method="ce", epochs=2, device="cpu", progress=False)
    assert ledger.meta["method"] == "ce"
    assert len(ledger) == 120


def test_a_class_of_one_row_is_told(digits):
    x, given, _ = digits
    labels = [*map(str, given[:200]), "unique"]
    ledger = errata.audit(x[:201], labels, folds=3, progress=False)
    assert not ledger.issue[200]
    assert any("unique" in note for note in ledger.meta["notes"])


def test_groups_jobs_and_a_folder_for_folds(digits, tmp_path):
    x, given, _ = digits
    groups = np.arange(300) // 3
    ledger = errata.audit(x[:300], given[:300], groups=groups, jobs=1, folds=3, out=tmp_path, progress=False)
    assert "by groups" in ledger.meta["probabilities"]
    assert len(list(tmp_path.rglob("*.npy"))) == 3
    again = errata.audit(x[:300], given[:300], groups=groups, jobs=2, folds=3, out=tmp_path, progress=False)
    assert (again.trust == ledger.trust).all()


def test_a_column_of_groups_is_not_learned_from():
    frame = load_breast_cancer(as_frame=True).frame
    frame["patient"] = np.arange(len(frame)) // 4
    ledger = errata.audit(frame, label="target", groups="patient", folds=2, progress=False)
    assert "by groups" in ledger.meta["probabilities"]
    assert "patient" not in [c.name for c in ledger.data.features]


def test_ranking_may_be_by_entropy_and_adjusted():
    rng = np.random.default_rng(0)
    probs, labels = rng.dirichlet([3, 1, 1], 200), rng.integers(0, 3, 200)
    plain = errata.audit(labels=labels, pred_probs=probs)
    for options in ({"rank_by": "confidence_weighted_entropy"}, {"adjust_pred_probs": True}):
        other = errata.audit(labels=labels, pred_probs=probs, **options)
        assert (other.issue == plain.issue).all()
        assert (np.argsort(other.trust) != np.argsort(plain.trust)).any()
    with pytest.raises(ParameterError, match="adjust_pred_probs is for"):
        errata.audit(labels=labels, pred_probs=probs, rank_by="confidence_weighted_entropy", adjust_pred_probs=True)


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"labels": [0, 1], "pred_probs": np.eye(2), "groups": [0, 1]}, ParameterError, "option of cross-validation"),
        (
            {"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "method": "neighbours", "jobs": 2},
            ParameterError,
            "option of cross-validation",
        ),
        ({}, ParameterError, "Nothing to audit"),
        ({"labels": [0, 1]}, ParameterError, "Nothing to audit"),
        ({"source": np.zeros((4, 2))}, DataError, "no labels to check"),
        ({"source": np.zeros((4, 2)), "y": [1, 1, 1, 1]}, DataError, "at least (2|two) classes"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 1]}, DataError, "3|4"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "labels": [0, 1, 0, 1]}, ParameterError, "given twice"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "label": "y"}, ParameterError, "given twice"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1]}, DataError, "too few for 5 folds"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "method": "confidant"}, UnknownNameError, "'confident'"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "fold": 3}, UnknownNameError, "option of errata.audit"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "epochs": 3}, ParameterError, "has no use for it"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "model": object()}, ParameterError, "model must be 'auto'"),
        ({"source": np.zeros((4, 2)), "y": [0, 1, 0, 1], "seed": -1}, ParameterError, "seed must be"),
        ({"source": "nowhere.csv"}, DataError, "nowhere.csv"),
        ({"labels": [0, 1], "pred_probs": np.eye(2), "method": "elr"}, ParameterError, "takes no pred_probs"),
        ({"labels": [0, 1], "pred_probs": np.eye(2), "rule": "prune"}, UnknownNameError, "rule"),
        ({"labels": [0, 1], "pred_probs": np.eye(2), "epochs": 3}, UnknownNameError, "option of errata.audit"),
    ],
)
def test_what_cannot_be_audited_is_told(arguments, error, says):
    with pytest.raises(error, match=says):
        errata.audit(**arguments, progress=False)
