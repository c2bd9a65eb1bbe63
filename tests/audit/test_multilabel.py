import gzip

import numpy as np
import pandas as pd
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.pipeline import make_pipeline

import errata
from errata.data.multilabel import as_matrix, split_text
from errata.errors import DataError, ParameterError, UnknownNameError


@pytest.fixture(scope="module")
def songs():
    """600 items of three labels that follow from six numbers, and the same with 5 % of the labels flipped."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 6))
    y = (x[:, :3] + 0.3 * rng.normal(size=(600, 3)) > 0.3).astype(int)
    flipped = rng.random(y.shape) < 0.05
    return x, np.where(flipped, 1 - y, y), flipped


def test_flipped_labels_are_found(songs):
    x, given, flipped = songs
    ledger = errata.audit(x, given, task="multilabel", classes=["loud", "fast", "sad"], progress=False)
    parts = ledger.parts
    assert len(parts) == 1800
    assert list(parts.columns) == ["row", "given", "proposed", "trust", "issue", "rank", "label"]
    assert average_precision_score(flipped.ravel(), -parts["trust"]) > 0.6
    assert average_precision_score(flipped.any(axis=1), -ledger.trust) > 0.6
    assert flipped.ravel()[parts["issue"]].mean() > 0.5
    assert set(ledger.classes) <= {"none", "loud", "fast", "sad", "loud, fast", "loud, sad", "fast, sad"} | {
        "loud, fast, sad"
    }
    worst = ledger.issues().iloc[0]
    assert worst["given"] != worst["proposed"]
    assert (ledger.columns["wrong_labels"] == parts.groupby("row")["issue"].sum()).all()
    assert len(ledger.data) == 600


def test_columns_lists_and_arrays_say_the_same(songs, tmp_path):
    x, given, _ = songs
    x, given = x[:120], given[:120]
    frame = pd.DataFrame(x, columns=list("abcdef")).assign(loud=given[:, 0], fast=given[:, 1], sad=given[:, 2])
    names = ["loud", "fast", "sad"]
    lists = [[n for n, v in zip(names, row) if v] for row in given]
    listed = pd.DataFrame(x, columns=list("abcdef")).assign(tags=lists)
    told = pd.DataFrame(x, columns=list("abcdef")).assign(tags=["; ".join(row) for row in lists])
    told.to_csv(tmp_path / "songs.csv", index=False)
    listed.to_json(tmp_path / "songs.jsonl", orient="records", lines=True)
    options = {"task": "multilabel", "folds": 3, "progress": False}
    one = errata.audit(frame, label=names, **options)
    others = [
        errata.audit(listed, label="tags", classes=names, **options),
        errata.audit(str(tmp_path / "songs.csv"), label="tags", classes=names, **options),
        errata.audit(str(tmp_path / "songs.jsonl"), label="tags", classes=names, **options),
        errata.audit(frame[list("abcdef")], labels=frame[names], **options),
    ]
    for other in others:
        assert other.classes == one.classes
        assert (other.given == one.given).all()
        np.testing.assert_allclose(other.trust, one.trust, atol=1e-5)
        assert other.parts["label"].tolist() == one.parts["label"].tolist()


def test_probabilities_of_ones_own_and_unknown_labels():
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, -1], [-1, -1]])
    p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.95, 0.8], [0.1, 0.9], [0.2, 0.9]])
    ledger = errata.audit(labels=y, pred_probs=p, task="multilabel", classes=["a", "b"])
    assert len(ledger.parts) == 9
    assert ledger.given.tolist()[-1] == -1
    assert np.isnan(ledger.trust[-1])
    assert ledger.table["proposed"].tolist() == ["a", "a", "b", "a, b", "b", "b"]
    assert ledger.issue.tolist() == [False, False, False, True, False, False]
    assert ledger.columns["wrong_labels"].tolist() == [0, 0, 0, 1, 0, 0]


def test_many_sets_of_labels_are_text_not_classes(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, (400, 9))
    p = np.clip(np.where(y, 0.8, 0.2) + rng.normal(scale=0.2, size=y.shape), 0.01, 0.99)
    ledger = errata.audit(labels=y, pred_probs=p, task="multilabel", classes=list("abcdefghi"))
    assert ledger.classes == ["as labelled", "to correct"]
    table = ledger.issues()
    assert (table["given"].astype(str) != table["proposed"].astype(str)).all()
    ledger.save(tmp_path, report=False)
    loaded = errata.Ledger.load(tmp_path)
    assert loaded.columns["given"].tolist() == ledger.columns["given"].tolist()
    assert (loaded.parts["rank"].to_numpy() == ledger.parts["rank"].to_numpy()).all()


def test_texts_a_model_of_ones_own_and_labels_that_never_vary():
    texts = ["good fast car", "good slow car", "bad fast bike", "bad slow bike"] * 15
    lists = [["good", "all"], ["good", "all"], ["all"], ["all"]] * 15
    lists[0] = ["all"]
    ledger = errata.audit(texts, lists, task="multilabel", progress=False, folds=3)
    assert ledger.order[0] == 0
    assert "'all'" not in ledger.meta["notes"][0]
    assert "can’t be checked: all." in ledger.meta["notes"][0]
    own = make_pipeline(TfidfVectorizer(), LogisticRegression(C=10))
    again = errata.audit(texts, lists, task="multilabel", model=own, progress=False, folds=3)
    assert again.order[0] == 0


def test_what_cannot_be_used_is_refused():
    y, p = np.array([[1, 0], [0, 1]]), np.array([[0.9, 0.1], [0.2, 0.8]])
    with pytest.raises(DataError, match="row 0, column 1 holds 7"):
        errata.audit(labels=np.array([[1, 7], [0, 1]]), pred_probs=p, task="multilabel", classes=["a", "b"])
    with pytest.raises(DataError, match=r"must have the shape of the labels, \(2, 2\)"):
        errata.audit(labels=y, pred_probs=np.ones((2, 3)), task="multilabel")
    with pytest.raises(ParameterError, match="Which columns hold the labels"):
        errata.audit(pd.DataFrame({"x": [1, 2]}), task="multilabel")
    with pytest.raises(ParameterError, match="Nothing to audit"):
        errata.audit(labels=y, task="multilabel")
    with pytest.raises(UnknownNameError, match="way to combine"):
        errata.audit(labels=y, pred_probs=p, task="multilabel", aggregate="mean")
    with pytest.raises(UnknownNameError, match="class named 'dog'"):
        errata.audit(labels=[["dog"], []], pred_probs=p, task="multilabel", classes=["a", "b"])
    with pytest.raises(UnknownNameError, match="column"):
        errata.audit(pd.DataFrame({"x": [1, 2], "cat": [0, 1]}), task="multilabel", label=["cat", "dgo"])
    with pytest.raises(ParameterError, match="folds"):
        errata.audit(np.zeros((4, 2)), np.eye(4, 2), task="multilabel", folds=9)
    with pytest.raises(DataError, match="row 0"):
        split_text(['["a", '])
    assert as_matrix([["yes", "No"], [None, "0"]]).tolist() == [[1, 0], [-1, 0]]


@pytest.mark.parametrize(("name", "labels", "least"), [("emotions", 6, 0.4), ("yeast", 14, 0.25)])
def test_planted_flips_in_real_data(shared_data, name, labels, least):
    with gzip.open(shared_data / "multilabel" / f"{name}-train.arff.gz", "rt") as file:
        lines = [line.strip() for line in file]
    table = np.array([line.split(",") for line in lines if line and line[0] not in "@%"], dtype=float)[:600]
    x, y = table[:, :-labels], table[:, -labels:].astype(int)
    flipped = np.random.default_rng(0).random(y.shape) < 0.05
    ledger = errata.audit(x, np.where(flipped, 1 - y, y), task="multilabel", progress=False)
    assert average_precision_score(flipped.ravel(), -ledger.parts["trust"]) > least
