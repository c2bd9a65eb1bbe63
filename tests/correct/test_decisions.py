"""Decisions come in many ways, and mean one thing for each row, or are refused."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errata.correct.decisions import decide
from errata.errors import DataError, ErrataError, LedgerError, ParameterError, UnknownNameError
from errata.ledger import Ledger
from errata.review import Decisions

LEDGER = Ledger(
    [0, 1, 1, 0],
    [1, 1, 0, 0],
    [0.2, 0.9, 0.1, 0.5],
    classes=["cat", "007"],
    index=[10, 12, 14, 16],
    meta={"method": "m"},
)
ROWS = [(14, "relabel", "cat"), (10, "Relabel ", "007"), (12, "skip", None), (16, "drop", None)]


def ways(tmp_path):
    dicts = [dict(zip(("row", "action", "label"), line)) for line in ROWS]
    frame = pd.DataFrame(dicts)
    frame.to_csv(tmp_path / "d.csv", index=False)
    frame.to_csv(tmp_path / "d.tsv", index=False, sep="\t")
    pq.write_table(pa.Table.from_pylist(dicts), tmp_path / "d.parquet")
    (tmp_path / "d.jsonl").write_text("".join(json.dumps(line) + "\n" for line in dicts))
    with Decisions(tmp_path) as record:
        for row, action, label in ROWS:
            record.add(row, action.strip().lower(), label)
    columns = {name: list(values) for name, values in zip(("row", "action", "label"), zip(*ROWS))}
    yield from (ROWS, dicts, frame, frame.set_index("row"), frame.assign(row=frame["row"].astype(float)), columns)
    yield from (tmp_path / f"d.{ending}" for ending in ("csv", "tsv", "parquet", "jsonl"))
    yield from (tmp_path, str(tmp_path / "decisions.sqlite"))


def test_all_ways_say_the_same(tmp_path):
    for decisions in ways(tmp_path):
        found = decide(decisions, LEDGER)
        assert found.positions.tolist() == [0, 2, 3], decisions
        assert found.actions == ["relabel", "relabel", "drop"]
        assert found.labels == ["007", "cat", None]
    assert decide(None, LEDGER, folder=tmp_path).actions == ["relabel", "relabel", "drop"]


def test_who_when_and_why_are_told(tmp_path):
    table = pd.DataFrame(
        {"row": [10, 10, 12], "action": ["drop"] * 3, "reviewer": ["ann", "bob", None], "note": ["blurred", "", None],
         "when": pd.to_datetime(["2025-01-02", "2025-01-03", None])}
    )  # fmt: skip
    found = decide(table, LEDGER, who="carl")
    assert found.who == ["ann, bob", "carl"]
    assert found.why == ["blurred", ""]
    assert found.when[0] == "2025-01-02T00:00:00"
    assert found.when[1].startswith("20")


def test_the_same_file_tells_the_same_time(tmp_path):
    (tmp_path / "d.csv").write_text("row,action\n10,drop\n")
    assert decide(tmp_path / "d.csv", LEDGER).when == decide(tmp_path / "d.csv", LEDGER).when


def test_reviewers_who_do_not_agree_leave_the_row_as_it_is(tmp_path):
    with Decisions(tmp_path) as record:
        record.add(10, "drop", reviewer="ann")
        record.add(10, "keep", reviewer="bob")
        record.add(12, "keep", reviewer="ann")
    found = decide(tmp_path, LEDGER)
    assert found.positions.tolist() == [1]
    assert "1 rows are left as they are" in found.notes[0]


def test_the_ledgers_own_proposals():
    assert decide("proposed", LEDGER).positions.tolist() == [0, 2]
    assert decide("proposed", LEDGER).labels == ["007", "cat"]
    assert decide("proposed", LEDGER, max_trust=0.1).positions.tolist() == [2]
    assert decide("proposed", LEDGER, max_rows=1).positions.tolist() == [2]
    assert decide("proposed", LEDGER).why == ["proposed by m, trust 0.200", "proposed by m, trust 0.100"]
    unsure = Ledger([0, 1], [0, -1], [0.2, 0.1], classes=["a", "b"], issue=[True, True])
    assert len(decide("proposed", unsure)) == 0
    for wrong in ({"max_trust": 2}, {"max_rows": -1}):
        with pytest.raises(ParameterError):
            decide("proposed", LEDGER, **wrong)
    with pytest.raises(ParameterError, match="use decisions='proposed'"):
        decide(ROWS, LEDGER, max_rows=3)


@pytest.mark.parametrize(
    ("decisions", "kind", "told"),
    [
        ([(10, "drop"), (10, "keep")], DataError, "row 10: drop and keep"),
        ([(10, "relabel", "cat"), (10, "relabel", "007")], DataError, "row 10: relabel cat and relabel 007"),
        (
            [{"row": 10, "action": a, "who": w} for a, w in (("drop", "ann"), ("keep", "bob"))],
            DataError,
            r"drop \(ann\)",
        ),
        ([(11, "drop")], LedgerError, "rows that the ledger has not: 11. It has 4 rows, rows 10 to 16"),
        ([(99, "drop")], LedgerError, "Were they made for another ledger"),
        ([("x", "drop")], DataError, "row 'x'; expected the row's number"),
        ([(10.5, "drop")], DataError, "row 10.5"),
        ([(None, "drop")], DataError, "row None"),
        ([(True, "drop")], DataError, "row True"),
        ([(10, "remove")], UnknownNameError, "no action named 'remove'"),
        ([(10, "relabel")], DataError, "row 10 is to relabel it, but gives no label"),
        ([(10, "relabel", " ")], DataError, "gives no label"),
        ([(10,)], DataError, "expected decisions as dicts|Expected decisions as dicts"),
        ([{"rows": 10, "action": "drop"}], DataError, "no column 'row'.*rows, action"),
        ([{"row": 10, "label": "cat"}], DataError, "no column 'action'"),
        ([{"row": 10, "action": "drop", "who": "a", "reviewer": "b"}], DataError, "several columns for 'who'"),
        ({"row": [1, 2], "action": ["drop"]}, DataError, "different lengths"),
        (3, DataError, "got int"),
        (None, ParameterError, "Which decisions"),
        ("nowhere.csv", DataError, "no file nowhere.csv"),
    ],
)
def test_what_is_unclear_is_refused(decisions, kind, told):
    with pytest.raises(kind, match=told):
        decide(decisions, LEDGER)


def test_files_that_are_no_decisions(tmp_path):
    (tmp_path / "d.xlsx").write_text("x")
    (tmp_path / "d.sqlite").write_text("no database" * 100)
    with pytest.raises(DataError, match="decisions are read from"):
        decide(tmp_path / "d.xlsx", LEDGER)
    with pytest.raises(ErrataError):
        decide(tmp_path / "d.sqlite", LEDGER)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="errata review"):
        decide(None, LEDGER, folder=tmp_path / "empty")
    assert list((tmp_path / "empty").iterdir()) == []


def test_rows_with_names_are_found_by_name():
    ledger = Ledger([0, 1], [0, 0], [0.5, 0.5], classes=["a", "b"], index=np.array(["img-1", "img-2"]))
    assert decide([("img-2", "drop")], ledger).positions.tolist() == [1]
    with pytest.raises(LedgerError, match=r"img-3.*rows such as 'img-1'"):
        decide([("img-3", "drop")], ledger)
