import numpy as np
import pytest

from errata.audit.items import item_ledger, parts_table, pictures_of, rank_parts
from errata.errors import DataError


def test_the_most_suspicious_parts_are_kept_with_their_ranks():
    rng = np.random.default_rng(0)
    trust = rng.random(50)
    issue = trust < 0.3
    whole = parts_table(np.arange(50), np.zeros(50), np.ones(50), trust, issue, {"position": np.arange(50)})
    assert sorted(whole["rank"]) == list(range(50))
    some = parts_table(np.arange(50), np.zeros(50), np.ones(50), trust, issue, {"position": np.arange(50)}, most=10)
    assert set(some["row"]) == set(np.argsort(trust)[:10])
    assert some["row"].is_monotonic_increasing
    assert (some["rank"].to_numpy() == whole["rank"].to_numpy()[some["row"]]).all()
    assert some["row"].dtype == np.int64
    assert some["trust"].dtype == np.float32


def test_issues_come_first_and_what_is_not_known_last():
    assert rank_parts(np.array([0.1, np.nan, 0.9, 0.1]), np.array([False, False, True, False])).tolist() == [1, 3, 0, 2]
    assert len(parts_table([], [], [], [], [])) == 0


def test_items_without_a_label_are_neither_right_nor_wrong():
    ledger = item_ledger([0.2, np.nan, 0.9], [True, True, False], rate=0.25)
    assert ledger.given.tolist() == [0, -1, 0]
    assert ledger.issue.tolist() == [True, False, False]
    assert ledger.noise.rate == pytest.approx(0.25)
    assert item_ledger([0.2, 0.9], [True, False]).noise.rate == pytest.approx(0.5)


def test_pictures_in_another_number_are_refused():
    with pytest.raises(DataError, match="3 masks and 2 pictures"):
        pictures_of(np.zeros((2, 4, 4, 3), dtype=np.uint8), ["a", "b", "c"], "masks")
