"""From decisions, as they come, to what they say of all labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit.checked import random_order
from errata.errors import DataError
from errata.ledger import Ledger
from errata.review.decisions import Decisions


@pytest.fixture
def checked(tmp_path):
    rng = np.random.default_rng(0)
    true, flip = rng.integers(0, 3, 900), rng.random(900) < 0.3
    given = np.where(flip, (true + 1) % 3, true)
    trust = np.clip(0.8 - 0.3 * flip + 0.2 * rng.random(900), 0, 1)
    ledger = Ledger(given, np.where(trust < 0.6, true, given), trust, classes=["x", "y", "z"], index=np.arange(900) * 2)
    ledger.save(tmp_path, report=False)
    return ledger, true, tmp_path


def test_a_review_s_record_is_taken_and_what_was_skipped_is_passed_over(checked):
    ledger, true, folder = checked
    order = random_order(ledger)[:120]
    with Decisions(folder) as record:
        for i, at in enumerate(order):
            row, same = int(ledger.index[at]), true[at] == ledger.given[at]
            if i == 7:
                record.add(row, "skip", reviewer="ann")
            elif same:
                record.add(row, "keep", reviewer="ann")
            else:
                record.add(row, "relabel", ledger.classes[true[at]], reviewer="ann")
    found = errata.vouch(folder).vouched
    assert found.checked == 119
    assert found.errors_low <= (true != ledger.given).sum() <= found.errors_high


def test_a_table_that_repeats_the_given_label_says_that_it_is_right(checked):
    ledger, true, folder = checked
    order = random_order(ledger, 5)[:60]
    table = pd.DataFrame(
        {"row": ledger.index[order], "action": "relabel", "label": np.array(["x", "y", "z"])[true[order]]}
    )
    table.to_csv(folder / "seen.csv", index=False)
    found = errata.vouch(folder, folder / "seen.csv", seed=5).vouched
    share = (true != ledger.given)[order].mean()
    assert found.errors == pytest.approx(900 * share)
    again = Ledger.load(errata.vouch(folder, folder / "seen.csv", seed=5).save(folder, report=False))
    assert again.vouched.checked == 60
    assert again.vouched.errors_high == pytest.approx(found.errors_high)


def test_too_few_rows_are_told_with_what_to_do(checked):
    ledger, *_ = checked
    rows = ledger.index[random_order(ledger)[:10]]
    with pytest.raises(DataError, match=r"10 rows are checked at random; at least 20 .* --random 100"):
        errata.vouch(ledger, [(int(row), "keep", None) for row in rows])
