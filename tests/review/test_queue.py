"""Who gets which row, and what a decision changes."""

from __future__ import annotations

import time
from collections import Counter

import numpy as np
import pytest

from errata.audit.checked import random_order
from errata.errors import ErrataError, LedgerError, ParameterError, UnknownNameError
from errata.ledger import Ledger
from errata.review import Decisions
from errata.review.filters import Filter
from errata.review.queue import Queue

ALL = Filter()


def ledger_of(n: int = 12, k: int = 3, **more) -> Ledger:
    """Row i has trust i / n; the first half is flagged."""
    given = np.arange(n) % k
    proposed = np.where(np.arange(n) < n // 2, (given + 1) % k, given)
    return Ledger(given, proposed, np.arange(n) / n, classes=[f"c{i}" for i in range(k)], **more)


@pytest.fixture
def record(tmp_path) -> Decisions:
    return Decisions(tmp_path)


def work(
    queue: Queue, reviewer: str, answer=lambda row: ("keep", None), choice: Filter = ALL, most: int = 999
) -> list[int]:
    """Decide row after row until none comes; the rows in order."""
    rows = []
    while len(rows) < most and (position := queue.claim(reviewer, choice)) is not None:
        rows.append(position)
        queue.decide(reviewer, position, *answer(position))
    return rows


def test_rows_come_in_the_ledgers_order_and_each_once(record):
    ledger = ledger_of()
    queue = Queue(ledger, record)
    assert work(queue, "ann") == ledger.order.tolist()


def test_a_budget_ends_the_queue(record):
    queue = Queue(ledger_of(), record, budget=4)
    assert work(queue, "ann") == [0, 1, 2, 3]
    assert queue.progress("ann").goal == queue.progress("ann").done == 4


def test_no_two_reviewers_look_at_the_same_row(record):
    queue = Queue(ledger_of(), record)
    held = [queue.claim(name, ALL) for name in "abcdefgh"]
    assert len(set(held)) == 8
    assert [queue.claim(name, ALL) for name in "abcdefgh"] == held  # who asks again gets the same row
    queue.decide("c", held[2], "drop")
    assert queue.claim("a", ALL) == held[0]
    assert queue.claim("c", ALL) == 8


def test_a_row_left_lying_goes_to_another(record):
    queue = Queue(ledger_of(), record, lease=0.05)
    assert queue.claim("ann", ALL) == 0
    assert queue.claim("bob", ALL) == 1
    time.sleep(0.06)
    assert queue.claim("cleo", ALL) == 0


def test_two_servers_on_one_record_deal_out_different_rows(tmp_path):
    ledger = ledger_of()
    one, two = (Queue(ledger, Decisions(tmp_path)) for _ in range(2))
    assert [one.claim("a", ALL), two.claim("b", ALL), one.claim("c", ALL)] == [0, 1, 2]
    two.decide("b", 1, "drop")
    one.decide("a", 0, "keep")
    assert two.claim("b", ALL) == 3
    assert one.progress("a").decided == two.progress("b").decided == 2
    two.undo("b")
    assert one.progress("a").decided == 1


def test_overlap_gives_each_row_to_so_many_different_people(record):
    queue = Queue(ledger_of(6), record, overlap=2)
    assert [queue.claim(name, ALL) for name in "abcd"] == [0, 0, 1, 1]
    rows = {name: work(queue, name) for name in ("a", "b", "c", "d")}
    assert all(len(set(some)) == len(some) for some in rows.values())  # no one twice
    opinions = record.table("opinions").groupby("row")["reviewer"].nunique()
    assert opinions.to_dict() == dict.fromkeys(range(6), 2)
    assert queue.progress("a").decided == 6


def test_a_tie_asks_for_another_opinion_until_there_is_a_majority(record):
    queue = Queue(ledger_of(3), record, overlap=2)
    for name, action in (("a", "keep"), ("b", "drop")):
        queue.decide(name, 0, action)
    assert queue.progress("a").decided == 0
    assert queue.claim("a", ALL) == 1  # a has said his word on row 0
    assert queue.claim("c", ALL) == 0
    assert queue.claim("d", ALL) == 1  # only one more is wanted on row 0
    queue.decide("c", 0, "drop")
    assert queue.progress("a").decided == 1
    assert record.table().iloc[0][["row", "action", "reviewer"]].tolist() == [0, "drop", "b, c"]


def test_what_is_skipped_goes_to_others_and_can_be_looked_at_again(record):
    queue = Queue(ledger_of(4), record)
    queue.decide("ann", 0, "skip")
    assert queue.claim("ann", ALL) == 1
    assert queue.claim("bob", ALL) == 0
    assert queue.claim("ann", Filter(show="skipped")) == 0
    assert queue.waiting("ann") == (1, 1)
    queue.decide("ann", 0, "drop")
    assert queue.claim("ann", Filter(show="skipped")) is None
    assert queue.progress("ann").decided == 1


def test_undo_reopens_the_row_for_the_same_person(record):
    queue = Queue(ledger_of(4), record)
    queue.decide("ann", 0, "relabel", "c2")
    assert queue.progress("ann").actions == {"relabel": 1}
    undone = queue.undo("ann")
    assert (undone.row, undone.action) == (0, "relabel")
    assert queue.progress("ann").decided == 0
    assert queue.claim("bob", ALL) == 1  # ann looks at row 0
    assert queue.claim("ann", ALL) == 0
    assert queue.undo("bob") is None


def test_filters_by_class_pair_and_trust(record):
    ledger = ledger_of(60)
    queue = Queue(ledger, record)
    rows = work(queue, "ann", choice=Filter(given=1, proposed=2, low=0.1, high=0.4))
    expected = [i for i in range(60) if i % 3 == 1 and i < 30 and 0.1 <= np.float32(i / 60) <= 0.4]
    assert rows == expected
    assert queue.claim("ann", ALL) == 0


def test_leafing_through_what_was_decided(record):
    queue = Queue(ledger_of(8), record)
    work(queue, "ann", most=3)
    work(queue, "bob", lambda row: ("drop", None), most=2)
    anyone, bob = Filter(show="decided"), Filter(show="decided", reviewer="bob")
    assert queue.claim("cleo", bob) == 3
    assert queue.claim("cleo", bob, after=3) == 4
    assert queue.claim("cleo", bob, after=4) is None
    assert queue.claim("cleo", anyone, after=3, back=True) == 2
    assert queue.claim("cleo", anyone) == 0
    assert queue.claim("cleo", ALL) == 5


def test_the_blind_stay_blind_until_they_have_spoken(record):
    queue = Queue(ledger_of(4), record, overlap=2)
    queue.decide("ann", 0, "drop")
    assert not queue.may_see_others(0, "bob")
    assert queue.claim("bob", Filter(show="decided", reviewer="ann")) is None
    assert queue.claim("ann", Filter(show="decided", reviewer="ann")) == 0
    queue.decide("bob", 0, "skip")
    assert not queue.may_see_others(0, "bob")  # skipping is no word
    queue.decide("bob", 0, "keep")
    assert queue.may_see_others(0, "bob")
    assert not queue.may_see_others(0, "cleo")  # a tie: the third is to be blind too
    queue.decide("cleo", 0, "keep")
    assert queue.may_see_others(0, "dora")


def test_relabelling_as_the_given_label_is_keeping(record):
    queue = Queue(ledger_of(), record)
    assert queue.decide("ann", 4, "relabel", "c1").action == "keep"
    with pytest.raises(UnknownNameError, match="c9"):
        queue.decide("ann", 4, "relabel", "c9")
    with pytest.raises(ParameterError, match="new label"):
        queue.decide("ann", 4, "relabel")


def test_a_row_without_a_label_comes_last_and_cannot_be_kept(record):
    ledger = Ledger([-1, 0], [1, 1], [np.nan, 0.4], classes=["a", "b"])
    queue = Queue(ledger, record)
    assert queue.claim("ann", ALL) == 1
    queue.decide("ann", 1, "keep")
    assert queue.claim("ann", ALL) == 0
    with pytest.raises(ParameterError, match="no label"):
        queue.decide("ann", 0, "keep")
    assert queue.decide("ann", 0, "relabel", "b").label == "b"
    assert queue.progress("ann").left.left == 0


@pytest.mark.parametrize("index", [[30, 10, 20], ["x", "b", "y"], np.array([3, 1, 2], dtype=np.uint8)])
def test_rows_are_known_by_their_numbers_or_names_in_the_data(tmp_path, index):
    ledger = Ledger([0, 1, 1], [1, 0, 1], [0.1, 0.2, 0.9], classes=["a", "b"], index=index)
    queue = Queue(ledger, Decisions(tmp_path))
    for position, name in enumerate(index):
        assert queue.position(str(name)) == position
    assert [queue.row(queue.claim("ann", ALL))] == [index[0]]
    queue.decide("ann", 0, "drop")
    queue.record.close()
    again = Queue(ledger, Decisions(tmp_path))
    assert again.progress("ann").decided == 1
    assert again.claim("ann", ALL) == 1


@pytest.mark.parametrize("row", ["99", "-1", "x", "", "1e3", str(2**80), "../../etc/passwd"])
def test_rows_that_are_not_there_are_refused(record, row):
    with pytest.raises(UnknownNameError, match="row"):
        Queue(ledger_of(), record).position(row)


def test_a_ledger_with_a_row_twice_is_refused(record):
    with pytest.raises(LedgerError, match="row 7 occurs more than once"):
        Queue(Ledger([0, 1, 0], [0, 0, 0], [0.1, 0.2, 0.3], classes=["a", "b"], index=[7, 3, 7]), record)


def test_decisions_on_other_labels_are_not_taken_over(tmp_path):
    with Decisions(tmp_path) as record:
        Queue(ledger_of(), record).decide("ann", 0, "drop")
    ledger = ledger_of()
    better = Ledger(ledger.given, ledger.given, ledger.trust[::-1].copy(), classes=ledger.classes)
    with Decisions(tmp_path) as record:
        assert Queue(better, record).progress("ann").decided == 1  # the same data, judged anew
    changed = ledger.given.copy()
    changed[3] = 2
    with Decisions(tmp_path) as record, pytest.raises(LedgerError, match="other labels"):
        Queue(Ledger(changed, changed, ledger.trust, classes=ledger.classes), record)


def test_a_failed_write_changes_neither_the_record_nor_what_the_queue_believes(record):
    queue = Queue(ledger_of(), record)
    queue.decide("ann", 0, "drop")

    def fail() -> None:
        with queue.together():
            queue.decide("ann", 1, "drop")
            assert queue.progress("ann").decided == 2
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert queue.progress("ann").decided == 1
    assert queue.claim("ann", ALL) == 1
    with pytest.raises(ErrataError):
        Queue(ledger_of(), record, overlap=0)


def test_progress_counts_the_flagged_rows(record):
    queue = Queue(ledger_of(), record)
    work(queue, "ann", most=2)
    queue.decide("bob", 11, "drop")  # not flagged
    progress = queue.progress("bob")
    assert (progress.goal, progress.done, progress.decided, progress.mine) == (6, 2, 3, 1)
    assert progress.actions == {"keep": 2, "drop": 1}
    assert progress.left.found == 1


def test_a_million_rows_take_no_time(record):
    n = 1_000_000
    rng = np.random.default_rng(0)
    given = rng.integers(0, 10, n)
    proposed = np.where(rng.random(n) < 0.1, rng.integers(0, 10, n), given)
    ledger = Ledger(given, proposed, rng.random(n), classes=list(range(10)))
    start = time.process_time()  # not by the clock: this machine may be busy
    queue = Queue(ledger, record)
    position = queue.claim("ann", ALL)
    queue.progress("ann")
    assert time.process_time() - start < 1
    assert position == ledger.order[0]
    start = time.process_time()
    for _ in range(50):
        queue.decide("ann", queue.claim("ann", ALL), "drop")
        queue.progress("ann")
    assert (time.process_time() - start) / 50 < 0.05
    choice = Filter(given=3, proposed=4, high=0.5)
    assert (ledger.given[queue.claim("ann", choice)], ledger.proposed[queue.claim("ann", choice)]) == (3, 4)


@pytest.mark.parametrize("overlap", [1, 2])
def test_the_running_figures_are_those_of_a_queue_that_begins_anew(tmp_path, overlap):
    rng = np.random.default_rng(overlap)
    n = 40
    given = np.where(rng.random(n) < 0.1, -1, rng.integers(0, 3, n))
    ledger = Ledger(given, rng.integers(0, 3, n), np.where(given < 0, np.nan, rng.random(n)), classes=["a", "b", "c"])
    record = Decisions(tmp_path)
    queue = Queue(ledger, record, overlap=overlap)
    people = ["ann", "bob", "cleo"]
    for step in range(300):
        who, position = people[rng.integers(3)], int(rng.integers(n))
        action = ["keep", "relabel", "drop", "skip"][rng.integers(4)]
        if rng.random() < 0.2:
            queue.undo(who)
        elif action != "keep" or given[position] >= 0:
            queue.decide(who, position, action, "abc"[rng.integers(3)] if action == "relabel" else None)
        if step % 60 == 59:
            anew = Queue(ledger, record, overlap=overlap)
            for name in people:
                one, other = queue.progress(name), anew.progress(name)
                assert one.left.left == pytest.approx(other.left.left)
                assert (one.done, one.decided, one.mine) == (other.done, other.decided, other.mine)
                assert +Counter(one.actions) == +Counter(other.actions)
            assert queue.progress("ann").mine == sum(
                d.reviewer == "ann" and d.action != "skip" for d in record.standing()
            )


def test_rows_drawn_at_random_tell_of_all_rows(record):
    ledger = ledger_of(300)
    queue = Queue(ledger, record, random=60, seed=2)
    with pytest.raises(ParameterError, match="leave one out"):
        Queue(ledger, record, random=60, budget=60)
    wrong = set(random_order(ledger, 2)[:60:3].tolist())
    skipped = queue.claim("ann", ALL)
    queue.decide("ann", skipped, "skip")
    rows = work(queue, "ann", lambda row: ("drop", None) if row in wrong else ("keep", None))
    assert [skipped, *rows] == random_order(ledger, 2)[:60].tolist()
    told = queue.progress("ann").chance
    assert (told.rows, told.wrong) == (59, len(wrong - {skipped}))
    assert told.low < 300 * told.wrong / told.rows < told.high
    assert Queue(ledger, record).progress("ann").chance is None
