import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_friedman1
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import average_precision_score

import errata
from errata.errors import DataError, ParameterError


@pytest.fixture(scope="module")
def houses():
    """1,200 rows of which 5 % have a number that is ten times too large or small."""
    rng = np.random.default_rng(0)
    x, y = make_friedman1(1200, noise=1.0, random_state=0)
    wrong = rng.random(1200) < 0.05
    return x, np.where(wrong, y * rng.choice([10, 0.1], 1200), y), wrong, y


def test_wrong_numbers_are_found_and_better_ones_proposed(houses, tmp_path):
    x, given, wrong, truth = houses
    ledger = errata.audit(x, given, task="regression", progress=False)
    assert average_precision_score(wrong, -ledger.trust) > 0.9
    assert wrong[ledger.issue].mean() > 0.9
    assert ledger.issue[wrong].mean() > 0.4
    fixed = wrong & ledger.issue
    proposed = ledger.columns["proposed"]
    assert np.abs(proposed - truth)[fixed].mean() < 0.2 * np.abs(given - truth)[fixed].mean()
    assert (proposed[~ledger.issue] == given[~ledger.issue]).all()
    assert ledger.table["given"].dtype == float
    assert ledger.columns["density"][wrong].mean() < ledger.columns["density"][~wrong].mean()
    ledger.save(tmp_path)
    loaded = errata.Ledger.load(tmp_path)
    np.testing.assert_array_equal(loaded.table["proposed"], ledger.table["proposed"])
    again = errata.audit(x, given, task="regression", progress=False)
    assert (again.trust == ledger.trust).all()


def test_a_table_with_gaps_and_a_model_of_ones_own(houses, tmp_path):
    x, given, wrong, _ = houses
    frame = pd.DataFrame(x[:400], columns=[f"c{i}" for i in range(x.shape[1])]).assign(price=given[:400])
    frame.loc[7, "price"] = np.nan
    frame.to_csv(tmp_path / "houses.csv", index=False)
    model = GradientBoostingRegressor(n_estimators=30)
    ledger = errata.audit(
        str(tmp_path / "houses.csv"), label="price", task="regression", model=model, folds=3, progress=False
    )
    assert ledger.given[7] == -1
    assert np.isfinite(ledger.columns["proposed"][7])
    assert ledger.data.label_name == "price"
    known = np.arange(400) != 7
    assert average_precision_score(wrong[:400][known], -ledger.trust[known]) > 0.8
    assert "GradientBoostingRegressor" in ledger.meta["predictions"]


def test_texts_and_predictions_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    words = rng.integers(0, 4, 200)
    texts = [f"a flat with {['one', 'two', 'three', 'four'][w]} rooms" for w in words]
    y = (words + 1) * 100.0 + rng.normal(size=200)
    y[50] = 100.0 if words[50] else 400.0
    ledger = errata.audit(texts, y, task="regression", progress=False)
    assert ledger.order[0] == 50
    np.save(tmp_path / "p.npy", (words + 1) * 100.0)
    given = errata.audit(labels=y, predictions=str(tmp_path / "p.npy"), task="regression")
    assert given.issue.sum() == 1
    assert given.columns["proposed"][50] == (words[50] + 1) * 100.0
    assert "density" not in given.columns


def test_what_is_refused(houses):
    x, given, _, _ = houses
    with pytest.raises(ParameterError, match="Which column holds the numbers"):
        errata.audit(pd.DataFrame(x), task="regression")
    with pytest.raises(ParameterError, match="Nothing to audit"):
        errata.audit(labels=given, task="regression")
    with pytest.raises(DataError, match="Expected numbers as labels"):
        errata.audit(x[:3], ["a", "b", "c"], task="regression")
    with pytest.raises(DataError, match="got 5"):
        errata.audit(x[:3], given[:5], task="regression")
    with pytest.raises(ParameterError, match="scikit-learn regressor"):
        errata.audit(x, given, task="regression", model="resnet18")
    with pytest.raises(ParameterError, match="folds"):
        errata.audit(x, given, task="regression", folds=1)
