"""The record: what is decided is there, once, whoever writes and whatever breaks."""

from __future__ import annotations

import contextlib
import csv
import os
import sqlite3
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from errata.errors import ErrataError, LedgerError, ParameterError
from errata.review import Decisions


@pytest.fixture
def record(tmp_path: Path) -> Decisions:
    return Decisions(tmp_path)


def test_decisions_outlive_the_one_who_wrote_them(tmp_path):
    with Decisions(tmp_path) as record:
        made = record.add(17, "relabel", "dog", reviewer="Ann", note="a dog, surely")
    with Decisions(tmp_path / "decisions.sqlite") as again:
        assert again.history() == [made]
        assert (made.row, made.action, made.label, made.reviewer, made.note) == (
            17,
            "relabel",
            "dog",
            "Ann",
            "a dog, surely",
        )
        assert made.when.endswith("+00:00")


def test_a_later_decision_replaces_the_earlier_one_of_the_same_reviewer_only(record):
    record.add(1, "keep", reviewer="ann")
    record.add(1, "keep", reviewer="bob")
    record.add(1, "drop", reviewer="ann")
    assert [(d.reviewer, d.action) for d in record.standing(1)] == [("bob", "keep"), ("ann", "drop")]
    assert len(record) == 3  # nothing is ever removed


def test_undo_brings_back_what_stood_before(record):
    record.add(1, "keep", reviewer="ann")
    record.add(1, "drop", reviewer="ann")
    record.add(2, "skip", reviewer="bob")
    assert record.undo("ann").action == "drop"
    assert [d.action for d in record.standing(1)] == ["keep"]
    assert record.undo("ann").action == "keep"
    assert record.standing(1) == []
    assert record.undo("ann") is None
    assert [d.undone is None for d in record.history()] == [False, False, True]  # bob's stands


def test_undoing_the_same_decision_twice_is_undoing_it_once(record):
    first = record.add(1, "keep", reviewer="ann")
    second = record.add(2, "keep", reviewer="ann")
    assert record.undo("ann", second.id).id == second.id
    assert record.undo("ann", second.id).id == second.id
    assert [d.id for d in record.standing()] == [first.id]
    assert record.undo("bob", first.id) is None  # not his
    assert [d.id for d in record.standing()] == [first.id]


def test_a_decision_sent_twice_with_one_key_counts_once(record):
    ids = {record.add(5, "drop", reviewer="ann", key="a").id for _ in range(3)}
    assert len(ids) == len(record) == 1
    assert record.add(5, "drop", reviewer="ann", key="b").id not in ids


@pytest.mark.parametrize(
    ("action", "label", "said"),
    [("kepe", None, "keep"), ("relabel", None, "new label"), ("keep", "dog", "no label")],
)
def test_a_senseless_decision_is_refused_and_leaves_no_trace(record, action, label, said):
    with pytest.raises(ParameterError, match=said):
        record.add(1, action, label)
    assert len(record) == 0


@pytest.mark.parametrize("row", [1.5, True, None])
def test_a_row_is_a_number_or_a_name(record, row):
    with pytest.raises(ParameterError, match="whole number"):
        record.add(row, "keep")


def test_rows_with_names_stay_names(record):
    record.add("item-7", "keep")
    record.add("8", "drop")
    assert list(record.table()["row"]) == ["8", "item-7"]


def test_a_block_that_fails_leaves_nothing_behind(record):
    def fail() -> None:
        with record.writing():
            record.add(1, "keep")
            record.undo("")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert len(record) == 0
    assert record.add(1, "keep").id == 1


def test_a_full_disk_is_said_and_loses_only_what_was_not_acknowledged(record):
    record.add(1, "keep", note="x" * 100)
    (pages,) = record._db.execute("PRAGMA page_count").fetchone()
    record._db.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ErrataError, match=r"disk.*full"):
        record.add(2, "keep", note="x" * 100_000)
    assert [d.row for d in record.standing()] == [1]
    record._db.execute("PRAGMA max_page_count = 1000000")
    assert record.add(2, "keep").row == 2


def test_files_that_are_no_records_are_refused_and_left_alone(tmp_path):
    other = tmp_path / "other.sqlite"
    with sqlite3.connect(other) as db:
        db.execute("CREATE TABLE precious (a)")
    db.close()
    before = other.read_bytes()
    with pytest.raises(LedgerError, match="no record of decisions"):
        Decisions(other)
    assert other.read_bytes() == before
    rubbish = tmp_path / "rubbish.sqlite"
    rubbish.write_bytes(b"not a database, but long enough to be taken for one by mistake" * 30)
    with pytest.raises(LedgerError, match="damaged"):
        Decisions(rubbish)
    with pytest.raises(ErrataError, match=r"missing.*opened|opened"):
        Decisions(tmp_path / "missing" / "decisions.sqlite")


def test_a_record_of_a_newer_errata_is_not_touched(tmp_path):
    with Decisions(tmp_path) as record:
        record._db.execute("PRAGMA user_version = 99")
    with pytest.raises(LedgerError, match="newer errata"):
        Decisions(tmp_path)


def test_threads_and_connections_write_at_once_without_loss(tmp_path):
    records = [Decisions(tmp_path) for _ in range(2)]

    def write(worker: int) -> None:
        for i in range(25):
            records[worker % 2].add(worker * 100 + i, "drop", reviewer=str(worker), key=f"{worker}-{i}")

    threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = [d.row for d in records[0].history()]
    assert sorted(rows) == sorted(w * 100 + i for w in range(4) for i in range(25))
    for record in records:
        record.close()


@pytest.fixture
def flushes(record, monkeypatch):
    """Every flush of the log: how many decisions were in it when the flush began."""
    seen = []
    real = os.fsync

    def fsync(file):
        if file == record._log._file:  # or else it is the folder
            with contextlib.closing(sqlite3.connect(record.path)) as db:
                seen.append(db.execute("SELECT count(*) FROM decisions").fetchone()[0])
        real(file)

    monkeypatch.setattr("errata.review._log.os.fsync", fsync)
    return seen


def test_a_decision_is_flushed_before_it_is_acknowledged(record, flushes):
    assert record._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    record.add(1, "keep")
    assert flushes == [1]
    record.add(2, "drop")
    assert flushes == [1, 2]
    record.undo()
    assert len(flushes) == 3
    with record.writing():
        for row in range(10):
            record.add(row, "skip")
        assert len(flushes) == 3
    assert flushes[3:] == [12]
    record.lease("ann", 3, 60)  # who looks at what may be forgotten
    assert len(flushes) == 4


def test_those_who_decide_at_once_share_flushes(record, flushes):
    late = []

    def decide(who):
        for i in range(20):
            made = record.add(100 * who + i, "keep", reviewer=str(who))
            if max(flushes, default=0) < made.id:
                late.append(made.id)

    threads = [threading.Thread(target=decide, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert late == []
    assert len(record) == 160
    assert len(flushes) < 160


def test_a_disk_that_fails_is_told(record, monkeypatch):
    def fails(_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("errata.review._log.os.fsync", fails)
    with pytest.raises(ErrataError, match="could not be flushed to the disk: Input/output error"):
        record.add(1, "keep")


# -- out ---------------------------------------------------------------------------------------------------------------


def test_the_consensus_leaves_out_skips_ties_and_what_was_undone(record):
    for reviewer, row, action, label in [
        ("ann", 1, "relabel", "dog"),
        ("bob", 1, "relabel", "dog"),
        ("cleo", 1, "keep", None),
        ("ann", 2, "keep", None),
        ("bob", 2, "drop", None),
        ("ann", 3, "skip", None),
        ("ann", 4, "drop", None),
        ("ann", 5, "keep", None),
    ]:
        record.add(row, action, label, reviewer=reviewer, note="look" if row == 1 and reviewer == "cleo" else "")
    record.undo("ann")
    table = record.table()
    assert list(table.columns) == ["row", "action", "label", "reviewer", "when", "note"]
    assert table[["row", "action", "label", "reviewer"]].fillna("").to_numpy().tolist() == [
        [1, "relabel", "dog", "ann, bob"],
        [4, "drop", "", "ann"],
    ]
    assert table["note"][0] == "look"
    assert list(record.table(overlap=2)["row"]) == [1]
    assert len(record.table("opinions")) == 7
    assert record.table("history")["undone"].notna().sum() == 1
    with pytest.raises(ParameterError, match="consensus"):
        record.table("consensuss")


def test_an_empty_record_gives_an_empty_table_of_the_same_columns(record):
    assert list(record.table().columns) == ["row", "action", "label", "reviewer", "when", "note"]
    assert len(record.table("history")) == 0


def test_files_hold_the_table(record, tmp_path):
    record.add(2, "relabel", 'a "quoted", comma', reviewer="Zoë", note="two\nlines")
    record.add(1, "keep", reviewer="Zoë")
    record.export(tmp_path / "d.csv")
    record.export(tmp_path / "d.parquet")
    with open(tmp_path / "d.csv", newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["label"], line["note"]) for line in lines] == [
        ("1", "", ""),
        ("2", 'a "quoted", comma', "two\nlines"),
    ]
    assert pd.read_parquet(tmp_path / "d.parquet")["row"].tolist() == [1, 2]
    with pytest.raises(ParameterError, match=r"\.csv or \.parquet"):
        record.export(tmp_path / "d.xlsx")
    assert not (tmp_path / "d.xlsx").exists()


def test_fifty_thousand_decisions_are_exported_in_seconds(record, tmp_path):
    with record.writing():
        for i in range(50_000):
            record._db.execute(
                'INSERT INTO decisions (row, action, label, reviewer, "when") VALUES (?, ?, ?, ?, ?)',
                (i, "relabel", "dog", f"r{i % 3}", "2026-01-01T00:00:00+00:00"),
            )
    start = time.process_time()  # not by the clock: this machine may be busy
    record.export(tmp_path / "d.csv")
    assert time.process_time() - start < 5
    assert (tmp_path / "d.csv").read_text().count("\n") == 50_001
