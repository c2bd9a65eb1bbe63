import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from errata.audit.confident import confident
from errata.engine.evaluation import calibration_error
from errata.errors import DataError, UnknownNameError
from errata.labels import ClassLabels
from errata.scores.confident import RULES


def planted(n=3000, k=5, rate=0.15, seed=0):
    """Probabilities of a fair model, true and given labels."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k, n)
    wrong = rng.random(n) < rate
    given = np.where(wrong, (true + rng.integers(1, k, n)) % k, true)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += 4
    probs = np.exp(logits)
    return probs / probs.sum(1, keepdims=True), true, given


def ledger_of(given, probs, k=5, **more):
    return confident(ClassLabels(np.asarray(given, dtype=np.int64), list(range(k))), probs, **more)


def test_planted_errors_are_found_and_their_share_estimated():
    probs, true, given = planted()
    ledger = ledger_of(given, probs)
    wrong = given != true
    assert ledger.issue[wrong].mean() > 0.85
    assert wrong[ledger.issue].mean() > 0.85
    assert average_precision_score(wrong, -ledger.trust) > 0.93
    assert ledger.noise.rate == pytest.approx(wrong.mean(), abs=0.03)


def test_trust_is_near_the_share_of_right_labels():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.full(5, 0.05), size=20_000)
    true = (probs.cumsum(1) > rng.random((20_000, 1))).argmax(1)  # the probabilities are what they say they are
    given = np.where(rng.random(20_000) < 0.15, rng.integers(0, 5, 20_000), true)
    ledger = ledger_of(given, probs)
    gap = calibration_error(given == true, ledger.trust)
    assert gap < 0.06
    assert gap < 0.5 * calibration_error(given == true, ledger.columns["self_confidence"])


@pytest.mark.parametrize("rule", RULES)
def test_an_issue_is_a_row_with_another_proposal(rule):
    probs, _, given = planted()
    given[::50] = -1
    ledger = ledger_of(given, probs, rule=rule)
    labelled = given >= 0
    assert 100 < ledger.issue.sum() < 1500
    assert ((ledger.proposed != given) == ledger.issue)[labelled].all()
    assert not ledger.issue[~labelled].any()
    assert ledger.meta["rule"] == rule


@pytest.mark.parametrize("rule", ["prune_by_noise_rate", "low_self_confidence"])
def test_columns_are_the_models_figures(rule):
    probs, _, given = planted()
    given[:20] = -1
    ledger = ledger_of(given, probs, rule=rule)
    rows, labelled = np.arange(len(given)), given >= 0
    assert ledger.columns["self_confidence"][labelled] == pytest.approx(probs[rows, given][labelled], abs=1e-6)
    assert ledger.columns["proposed_probability"] == pytest.approx(probs[rows, ledger.proposed], abs=1e-6)
    others = probs.copy()
    others[rows, given] = -1
    margin = (probs[rows, given] - others.max(1) + 1) / 2
    assert ledger.columns["normalized_margin"][labelled] == pytest.approx(margin[labelled], abs=1e-6)


def test_rows_without_a_label_get_a_proposal_and_no_trust():
    probs, _, given = planted()
    given[:20] = -1
    ledger = ledger_of(given, probs)
    assert (ledger.proposed[:20] == probs[:20].argmax(1)).all()
    assert np.isnan(ledger.trust[:20]).all()
    assert not np.isnan(ledger.trust[20:]).any()
    assert set(ledger.order[-20:]) == set(range(20))


@pytest.mark.parametrize("rank_by", ["self_confidence", "normalized_margin"])
def test_rows_are_ranked_by_what_was_asked_for(rank_by):
    probs, _, given = planted()
    ledger = ledger_of(given, probs, rank_by=rank_by)
    ranked = ledger.columns[rank_by][ledger.order[: ledger.issue.sum()]]
    assert (np.diff(ranked) >= 0).all()
    assert 1 - ledger.trust.mean() == pytest.approx(ledger.noise.rate, abs=2e-3)


def test_noise_has_true_classes_in_rows():
    rng = np.random.default_rng(0)
    true = np.repeat([0, 1], 1000)
    given = np.where((true == 0) & (rng.random(2000) < 0.3), 1, true)  # only class 0 is mistaken, for class 1
    probs = np.where(true[:, None] == np.arange(2), 0.95, 0.05)
    transition = ledger_of(given, probs, k=2).noise.transition
    assert transition[0, 1] == pytest.approx(0.3, abs=0.05)
    assert transition[1, 0] < 0.02


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ([0.5, 0.5, 0.5, 0.0, 0.0], "row 7 sums to 1.5"),
        ([np.nan, 1.0, 0.0, 0.0, 0.0], "row 7, column 0 is nan"),
        ([2.3, -1.2, 0.1, -0.1, -0.1], "row 7, column 1 is -1.2.*softmax"),
        ([np.inf, 0.0, 0.0, 0.0, 0.0], "row 7, column 0 is inf"),
    ],
)
def test_a_row_that_is_no_distribution_is_named(row, says):
    probs, _, given = planted()
    probs[7] = row
    with pytest.raises(DataError, match=says):
        ledger_of(given, probs)


def test_labels_that_are_all_the_same_are_refused():
    probs, _, given = planted()
    with pytest.raises(DataError, match="at least two classes; all 3,000 are 2"):
        ledger_of(np.full_like(given, 2), probs)


def test_unknown_choices_are_told_with_the_nearest():
    probs, _, given = planted(n=50)
    with pytest.raises(UnknownNameError, match="Did you mean 'prune_by_class'"):
        ledger_of(given, probs, rule="prune_by_clas")
    with pytest.raises(UnknownNameError, match="Did you mean 'normalized_margin'"):
        ledger_of(given, probs, rank_by="normalised_margin")


def test_single_precision_and_double_agree():
    probs, _, given = planted()
    single, double = ledger_of(given, probs.astype(np.float32)), ledger_of(given, probs)
    assert (single.issue != double.issue).sum() <= 2
    assert single.trust == pytest.approx(double.trust, abs=2e-3)


def test_a_mapped_table_gives_the_same(tmp_path):
    probs, _, given = planted()
    np.save(tmp_path / "p.npy", probs)
    mapped = ledger_of(given, np.load(tmp_path / "p.npy", mmap_mode="r"))
    memory = ledger_of(given, probs)
    assert (mapped.trust == memory.trust).all()
    assert (mapped.proposed == memory.proposed).all()
