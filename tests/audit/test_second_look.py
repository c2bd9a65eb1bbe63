"""Labels judged by what people said of other rows when they looked again."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

import errata
from errata.audit.second_look import from_slips, posterior, slips_of
from errata.errors import ErrataError, ParameterError
from errata.labels import ClassLabels

CLASSES = np.array(["cat", "dog", "car", "bus"])


def made(n, seed):
    """Items of four overlapping kinds; cats are often called dogs and dogs cats, seldom anything else."""
    rng = np.random.default_rng(seed)
    right = rng.integers(4, size=n)
    x = np.stack([2.2 * (right // 2), 2.2 * (right % 2)], axis=1) + rng.normal(size=(n, 2))
    slip = (right < 2) & (rng.random(n) < 0.25)
    given = np.where(slip, 1 - right, right)
    return pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "given": CLASSES[given], "right": CLASSES[right]})


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory):
    """A run that learned the right labels of some rows, and others to be judged."""
    folder = tmp_path_factory.mktemp("second_look")
    made(1500, 0).to_csv(folder / "old.csv", index=False)
    reading = {"label": "right", "kinds": {"given": "ignored"}}
    errata.train(folder / "old.csv", system="ce", device="cpu", progress=False, out=folder / "run", **reading)
    return folder, made(1500, 1)


def judged(looked_at, **options):
    folder, new = looked_at
    return errata.audit(new.drop(columns="right"), label="given", run=folder / "run", progress=False, **options)


def test_how_labels_go_wrong_is_read_from_the_runs_data(looked_at):
    folder, _ = looked_at
    slips = slips_of([errata.engine.Run.load(folder / "run")], "given", CLASSES)
    expected = np.array([[0.75, 0.25, 0, 0], [0.25, 0.75, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert slips.sum(1) == pytest.approx(np.ones(4))
    assert slips == pytest.approx(expected, abs=0.05)
    turned = slips_of([errata.engine.Run.load(folder / "run")], "given", CLASSES[::-1])
    assert turned == pytest.approx(slips[::-1, ::-1])


def test_it_finds_more_than_the_run_that_does_not_know_how_labels_go_wrong(looked_at):
    _, new = looked_at
    wrong = (new["given"] != new["right"]).to_numpy()
    plain, knowing = judged(looked_at), judged(looked_at, given_column="given")
    assert average_precision_score(wrong, -knowing.trust) > average_precision_score(wrong, -plain.trust) + 0.05
    assert knowing.meta["given_column"] == "given"
    assert knowing.meta["method"] == "run"
    assert wrong[knowing.issue].mean() > 0.6
    head = knowing.vouched.at(50)
    assert head["low"] <= wrong[knowing.order[:50]].mean() <= head["high"]
    assert set(knowing.table["proposed"][knowing.issue]) <= {"cat", "dog"}


def test_two_runs_judge_together(looked_at):
    folder, _ = looked_at
    one = judged(looked_at, given_column="given")
    two = errata.audit(
        looked_at[1].drop(columns="right"),
        label="given",
        run=[folder / "run", folder / "run"],
        given_column="given",
        progress=False,
    )
    np.testing.assert_allclose(one.trust, two.trust, atol=0.05)  # twice as many rows tell of slips that never occur
    assert set(one.order[:100]) == set(two.order[:100])


def test_bayes_rule_row_by_row():
    rng = np.random.default_rng(0)
    probs, slips = rng.dirichlet(np.ones(3), 20).astype(np.float32), rng.dirichlet(np.ones(3), 3)
    codes = np.array([0, 1, 2, -1] * 5)
    found = posterior(codes, probs, slips)
    for row, code in enumerate(codes):
        expected = probs[row] if code < 0 else probs[row] * slips[:, code]
        np.testing.assert_allclose(found[row], expected / expected.sum(), rtol=1e-5)


def test_what_can_never_be_called_so_is_not_proposed():
    labels = ClassLabels(np.arange(60) % 3, ["a", "b", "c"])
    probs = np.tile([0.1, 0.1, 0.8], (60, 1))
    ledger = from_slips(labels, probs, np.array([[0.9, 0.1, 0.0], [0.1, 0.9, 0.0], [0.0, 0.0, 1.0]]))
    assert "c" not in set(ledger.table["proposed"][ledger.table["given"] != "c"])


def test_what_does_not_go_together_is_told(looked_at, tmp_path):
    _, new = looked_at
    with pytest.raises(ParameterError, match="leave out given_column= or pred_probs="):
        judged(looked_at, given_column="given", pred_probs=np.full((1500, 4), 0.25), classes=list(CLASSES))
    with pytest.raises(ErrataError, match="gvien"):
        judged(looked_at, given_column="gvien")
    x, y = new[["a", "b"]].to_numpy(), new["given"].to_numpy()
    run = errata.train(x[:700], y[:700], system="ce", epochs=1, device="cpu", progress=False)
    with pytest.raises(ParameterError, match="trained on arrays"):
        errata.audit(x[700:], y[700:], run=run, given_column="given", progress=False)
    made(100, 2).to_csv(tmp_path / "gone.csv", index=False)
    how = {"label": "right", "kinds": {"given": "ignored"}, "device": "cpu", "progress": False, "epochs": 1}
    gone = errata.train(tmp_path / "gone.csv", system="ce", **how)
    (tmp_path / "gone.csv").unlink()
    with pytest.raises(ParameterError, match="is gone"):
        errata.audit(new.drop(columns="right"), label="given", run=gone, given_column="given", progress=False)
