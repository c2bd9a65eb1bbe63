"""Labels judged by a run that was trained on other rows, alone and together with given probabilities."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score

import errata
from errata.audit.by_run import pool, pool_weights, view, votes
from errata.errors import DataError, ErrataError, ParameterError, UnknownNameError
from errata.labels import ClassLabels
from errata.noise import symmetric


@pytest.fixture(scope="module")
def halves(tmp_path_factory):
    """A run on one half of the digits; the other half with a tenth of its labels wrong, and what a weak model says."""
    x, y = load_digits(return_X_y=True)
    x = x[:, ::2]  # harder
    new = slice(900, None)
    folder = tmp_path_factory.mktemp("by_run") / "run"
    errata.train(x[:900], y[:900], system="ce", epochs=8, device="cpu", progress=False, out=folder)
    given = symmetric(y[new], 0.1, 10, seed=0)
    weak = LogisticRegression(max_iter=200, C=1e-4).fit(x[:300], y[:300]).predict_proba(x[new])
    return folder, x[new], given, given != y[new], weak


def precision_of(ledger, wrong):
    return average_precision_score(wrong, -ledger.trust)


def test_a_run_finds_the_wrong_labels_of_rows_it_has_not_seen(halves):
    folder, x, given, wrong, _ = halves
    ledger = errata.audit(x, given, run=folder, progress=False)
    assert precision_of(ledger, wrong) > 0.9
    assert ledger.meta["method"] == "run"
    assert len(ledger.meta["weights"]) == 2
    assert min(ledger.meta["weights"]) > 0.1  # both what the network says and what it takes for similar
    assert "a run of ce" in ledger.meta["probabilities"]
    assert abs(ledger.vouched.errors / wrong.sum() - 1) < 0.5
    again = errata.audit(x, given, run=errata.engine.Run.load(folder), progress=False)
    assert np.array_equal(ledger.trust, again.trust)


def test_probabilities_and_run_together_are_better_than_the_weaker(halves):
    folder, x, given, wrong, weak = halves
    alone = errata.audit(x, given, pred_probs=weak)
    both = errata.audit(x, given, pred_probs=weak, run=folder, progress=False)
    assert precision_of(both, wrong) > precision_of(alone, wrong)
    assert both.meta["probabilities"].startswith("the probabilities given and a run of ce")


def test_the_label_column_is_the_run_s_unless_it_is_named(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2)) + 6.0 * (np.arange(200) % 2)[:, None]
    table = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "kind": np.array(["p", "q"])[np.arange(200) % 2]})
    table[:100].to_csv(tmp_path / "old.csv", index=False)
    table[100:].to_csv(tmp_path / "new.csv", index=False)
    renamed = table[100:].rename(columns={"kind": "sort"})
    renamed.to_csv(tmp_path / "renamed.csv", index=False)
    run = errata.train(tmp_path / "old.csv", label="kind", system="ce", epochs=5, device="cpu", progress=False)
    ledgers = [
        errata.audit(tmp_path / "new.csv", run=run, progress=False),
        errata.audit(tmp_path / "renamed.csv", label="sort", run=run, progress=False),
    ]
    assert np.array_equal(ledgers[0].trust, ledgers[1].trust)
    with pytest.raises(ParameterError, match="very data to be checked"):
        errata.audit(tmp_path / "old.csv", label="kind", run=run, progress=False)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"method": "neighbours"}, ParameterError, "leave one of them out"),
        ({"speed": 3}, UnknownNameError, "option of errata.audit"),
        ({"run": "nowhere"}, ErrataError, "There is no run in nowhere"),
        ({"run": 3}, ParameterError, "run must be the folder"),
        ({"y": ["ten", "2", *["3"] * 895]}, UnknownNameError, "trained on these classes only"),
        ({"pred_probs": np.full((897, 11), 1 / 11)}, DataError, "does not know the class 10"),
        ({"pred_probs": np.eye(10)}, DataError, "same rows in the same order"),
        ({"source": None, "labels": [1, 2], "y": None}, ParameterError, "give the data"),
    ],
)
def test_what_cannot_be_is_told(halves, wrong, error, says):
    folder, x, given, *_ = halves
    arguments = {"source": x, "y": given, "run": folder, **wrong}
    with pytest.raises(error, match=says):
        errata.audit(**arguments, progress=False)


def test_mirror_images_are_looked_at_where_the_training_mirrored_them():
    x = np.random.default_rng(0).integers(0, 256, size=(40, 3, 8, 8), dtype=np.uint8)
    run = errata.train(x, np.arange(40) % 2, system="ce", epochs=1, device="cpu", progress=False)
    plain, mirrored = view(run, errata.read(x)), view(run, errata.read(x[..., ::-1].copy()))
    assert np.allclose(plain.probabilities, mirrored.probabilities, atol=1e-6)
    assert np.allclose(plain.embeddings, mirrored.embeddings, atol=1e-5)
    assert not np.allclose(plain.probabilities, run.predict_proba(x), atol=1e-6)


def test_neighbours_vote_by_their_labels_and_never_by_the_row_s_own():
    angle = np.r_[np.linspace(0, 0.2, 30), np.linspace(1.3, 1.5, 30)]
    codes = np.repeat([0, 1], 30)
    codes[[7, 40]] = 1, -1  # a wrong label, and a missing one
    found = votes(ClassLabels(codes, ["a", "b"]), np.c_[np.cos(angle), np.sin(angle)])
    assert np.allclose(found.sum(1), 1)
    assert found[7, 0] == found[:, 0].max()  # all its neighbours are "a", whatever its own label
    assert found[40].argmax() == 1


def test_weights_are_those_of_the_greatest_likelihood_and_temper_a_single_source():
    rng = np.random.default_rng(0)
    logits = 3 * rng.normal(size=(4000, 5))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    codes = (rng.random((4000, 1)) > true.cumsum(1)).sum(1)
    too_sure = pool([true], [2.5])
    assert pool_weights(codes, [too_sure])[0] == pytest.approx(1 / 2.5, rel=0.1)
    assert np.allclose(pool([too_sure], [1 / 2.5]), true, atol=1e-2)
    some_missing = np.where(np.arange(4000) % 2, codes, -1)
    assert pool_weights(some_missing, [too_sure])[0] == pytest.approx(1 / 2.5, rel=0.15)


def test_a_source_is_heard_as_far_as_it_adds_something():
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 4, 3000)
    votes = np.eye(4)[codes][None] * 1.5 + rng.normal(size=(2, 3000, 4))
    good, other = (np.exp(v) / np.exp(v).sum(1, keepdims=True) for v in votes)
    nothing = rng.dirichlet(np.ones(4), 3000)
    apart, same, useless = (pool_weights(codes, [good, x]) for x in (other, good, nothing))
    assert apart[0] == pytest.approx(apart[1], rel=0.2)
    assert same.sum() == pytest.approx(pool_weights(codes, [good])[0], rel=0.01)
    assert useless[1] < 0.05

    def right(sources):
        return (pool(sources, pool_weights(codes, sources)).argmax(1) == codes).mean()

    assert right([good, other]) > max(right([good]), right([other])) + 0.03
