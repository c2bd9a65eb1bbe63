import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_wine
from sklearn.metrics import average_precision_score

from errata.audit.neighbours import audit, neighbours
from errata.data import read
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.labels import ClassLabels
from errata.noise import instance_dependent, symmetric


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    given = instance_dependent(x, y, 0.2, 10, seed=0)
    return x, given, y


@pytest.mark.parametrize("flag_by", ["vote", "rank"])
def test_planted_errors_in_a_table_are_found_and_their_share_estimated(digits, flag_by):
    x, given, true = digits
    wrong = given != true
    ledger = audit(read(x, given), flag_by=flag_by)
    assert average_precision_score(wrong, -ledger.trust) > 0.96
    assert wrong[ledger.issue].mean() > 0.85
    assert ledger.issue[wrong].mean() > 0.8
    assert (ledger.proposed == true)[ledger.issue & wrong].mean() > 0.9
    assert ledger.noise.rate == pytest.approx(wrong.mean(), abs=0.03)
    assert (ledger.proposed == given)[~ledger.issue].all()
    again = audit(read(x, given), flag_by=flag_by)
    assert (again.trust == ledger.trust).all()
    assert (again.issue == ledger.issue).all()


def test_columns_say_why(digits):
    x, given, _ = digits
    data = read(x, given).subset(np.arange(100, 700))
    ledger = audit(data)
    near = ledger.columns["nearest"]
    assert near.min() >= 100  # row numbers of the source
    assert (given[near] == given[ledger.index])[ledger.columns["agreement"] == 1].all()
    assert ledger.columns["agreement"][ledger.issue].mean() < 0.2
    assert ledger.meta["model"] == "standardised columns"


def test_pictures_are_compared_by_what_a_network_saw_that_was_not_told_their_labels(digits):
    _, given, true = digits
    pictures = (load_digits().images * 15).astype(np.uint8)[:600]
    data = read(pictures, given[:600])
    wrong = (given != true)[:600]
    ledger = audit(data, epochs=8, device="cpu")
    assert average_precision_score(wrong, -ledger.trust) > 0.75
    assert "half" in ledger.meta["model"]
    plain = audit(data, model="pca")
    assert average_precision_score(wrong, -plain.trust) > 0.9
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))
    assert audit(data, model=network, device="cpu").meta["model"] == "last layer of Sequential"


def test_texts_are_compared_by_their_words():
    rng = np.random.default_rng(0)
    words = np.array([["ball", "goal", "team", "match"], ["vote", "law", "party", "senate"]])
    true = rng.integers(0, 2, 200)
    texts = [" ".join(rng.choice(words[t], 6)) for t in true]
    given = symmetric(true, 0.15, 2, seed=0)
    ledger = audit(read(texts, np.array(["sport", "politics"])[given].tolist()))
    assert average_precision_score(given != true, -ledger.trust) > 0.95


def test_embeddings_of_ones_own_may_be_a_file(digits, tmp_path):
    x, given, true = digits
    np.save(tmp_path / "x.npy", x)
    texts = read([f"number {i}" for i in range(len(given))], given.tolist())
    ledger = audit(texts, embeddings=tmp_path / "x.npy")
    assert average_precision_score(given != true, -ledger.trust) > 0.96
    assert ledger.meta["model"] == "embeddings as given"
    with pytest.raises(DataError, match="embeddings of shape"):
        audit(texts, embeddings=x[:10])
    with pytest.raises(DataError, match="There is no file"):
        audit(texts, embeddings="nowhere.npy")


def test_rows_without_a_label_get_a_proposal_and_no_vote(digits):
    x, given, true = digits
    codes = given.copy()
    codes[:50] = -1
    ledger = neighbours(ClassLabels(codes, list(range(10))), x)
    assert np.isnan(ledger.trust[:50]).all()
    assert not ledger.issue[:50].any()
    assert (ledger.proposed[:50] == true[:50]).mean() > 0.9


def test_many_classes_are_counted_instead_of_solved():
    rng = np.random.default_rng(0)
    true = np.repeat(np.arange(150), 6)
    x = rng.normal(size=(150, 40))[true] + rng.normal(scale=0.1, size=(900, 40))
    given = np.where(rng.random(900) < 0.1, (true + 1) % 150, true)
    ledger = neighbours(ClassLabels(given, list(range(150))), x)
    assert ledger.noise.rate == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"flag_by": "votes"}, UnknownNameError, "flag_by"),
        ({"epochs": 3}, UnknownNameError, "option of method 'neighbours'"),
        ({"model": 3}, ParameterError, "model must be"),
        ({"k": 2}, ParameterError, "k of 3 or more"),
    ],
)
def test_options_that_make_no_sense_are_told(options, error, says):
    x, y = load_wine(return_X_y=True)
    with pytest.raises(error, match=says):
        audit(read(x, y), **options)
