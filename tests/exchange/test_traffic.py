"""Out and back again, whatever the format: nothing is lost, doubled, or believed unseen."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile

import numpy as np
import pandas as pd
import pytest

import errata
from errata.errors import DataError, ErrataError, LedgerError, ParameterError, UnknownNameError
from errata.exchange import bring_in, read_answers, write_items
from errata.ledger import Ledger
from errata.review.decisions import Decisions

FILES = {"label-studio": "tasks.json", "argilla": "records.json", "csv": "table.csv"}


def standing(folder):
    with Decisions(folder) as record:
        return {(d.row, d.action, d.label, d.reviewer) for d in record.standing()}


def clean_copy(folder, place):
    """The same ledger without a record."""
    shutil.copytree(folder, place)
    for file in place.glob("decisions.sqlite*"):
        file.unlink()
    return place


@pytest.mark.parametrize("name", FILES)
def test_decisions_survive_the_way_out_and_back(decided, tmp_path, name):
    out = tmp_path / FILES[name]
    _, rows = write_items(decided, out, name, decisions=True)
    assert rows == 3
    other = clean_copy(decided, tmp_path / "other")
    with Decisions(decided) as record:
        people = record.reviewers()
    if name == "argilla":  # knows people by id: the names come back where they are known
        with Decisions(other) as record:
            record.add(7, "skip", reviewer=people[0])
            record.add(7, "skip", reviewer=people[1])
    counts = bring_in(other, out, name)
    expected = standing(decided) | ({(7, "skip", None, who) for who in people} if name == "argilla" else set())
    assert standing(other) == expected
    assert counts == {"keep": 1, "relabel": 2, "drop": 1, "skip": 1, "known": 0}
    assert bring_in(other, out, name) == {"keep": 0, "relabel": 0, "drop": 0, "skip": 0, "known": 5}
    assert standing(other) == expected


@pytest.mark.parametrize("name", FILES)
def test_what_nobody_has_looked_at_decides_nothing(texts, tmp_path, name):
    out = tmp_path / FILES[name]
    write_items(texts, out, name)
    assert read_answers(texts, out, name) == []


def test_pictures_go_to_cvat_and_only_those_checked_come_back(photos, tmp_path):
    out = tmp_path / "pets.xml"
    _, rows = write_items(photos, out, "cvat")
    assert rows == 6
    assert read_answers(photos, out, "cvat") == []
    text = out.read_text()
    assert '<image id="0" name="a dog/0.png" width="40" height="30">' in text
    first, second, third, rest = text.split('<attribute name="checked">false', 3)
    checked = '<attribute name="checked">true'
    third = third.replace('label="cat"', 'label="a dog"')
    out.write_text(first + checked + second + checked + third + '<attribute name="checked">false' + rest)
    found = {(a.row, a.action, a.label) for a in read_answers(photos, out, "cvat", reviewer="ann")}
    assert len(found) == 2
    assert (0, "relabel", "cat") in found


def test_cvat_decisions_survive_too(photos, tmp_path):
    with Decisions(photos) as record:
        record.add(0, "relabel", "cat", reviewer="ann")
        record.add(1, "keep", reviewer="ann")
        record.add(2, "drop", reviewer="ann")
    for name in ("pets.xml", "pets.zip"):
        write_items(photos, tmp_path / name, "cvat", decisions=True)
        found = read_answers(photos, tmp_path / name, "cvat", reviewer="ann")
        assert {(a.row, a.action, a.label, a.reviewer) for a in found} == standing(photos)
    with zipfile.ZipFile(tmp_path / "pets.zip") as archive:
        assert "images/cat/0.png" in archive.namelist()
        assert archive.read("images/cat/0.png") == (tmp_path / "pets/cat/0.png").read_bytes()


def test_pictures_without_files_travel_themselves(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (4, 3, 9, 7)).astype(np.uint8)
    np.savez(tmp_path / "p.npz", x=pixels, y=[0, 1, 0, 1])
    ledger = errata.audit(
        str(tmp_path / "p.npz"),
        label="y",
        pred_probs=np.array([[0.1, 0.9], [0.9, 0.1]] * 2),
        rule="predicted_neq_given",
    )
    folder = ledger.save(tmp_path / "audit", report=False)
    write_items(folder, tmp_path / "t.json", "label-studio")
    tasks = json.loads((tmp_path / "t.json").read_text())
    assert len(tasks) == 4
    assert all(t["data"]["image"].startswith("data:image/png;base64,iVBOR") for t in tasks)
    write_items(folder, tmp_path / "c.zip", "cvat")
    text = zipfile.ZipFile(tmp_path / "c.zip").read("annotations.xml").decode()
    assert 'name="row-3.png" width="7" height="9"' in text
    (tmp_path / "c.xml").write_text(text.replace(">false</attribute>\n    </tag>", ">true</attribute>\n    </tag>"))
    assert {a.row for a in read_answers(folder, tmp_path / "c.xml", "cvat")} == {0, 1, 2, 3}


def test_what_came_back_is_applied(texts, tmp_path):
    table = tmp_path / "t.csv"
    write_items(texts, table, "csv")
    lines = list(csv.reader(table.open(newline="")))
    header = lines[0]
    filled = [dict(zip(header, line)) for line in lines[1:]]
    assert [line["row"] for line in filled] == ["2", "0", "5"]
    filled[0] |= {"action": "relabel", "label": "pos", "reviewer": "ann", "time": "2026-01-02T03:04:05+00:00"}
    filled[1] |= {"action": "drop"}
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(filled)
    ledger = Ledger.load(texts)
    directly = errata.apply(ledger, table, source=tmp_path / "said.csv")
    bring_in(texts, table, "csv", reviewer="bob")
    through_the_record = errata.apply(ledger, texts / "decisions.sqlite", source=tmp_path / "said.csv")
    for corrected in (directly, through_the_record):
        frame = pd.DataFrame(corrected)
        assert frame["y"].tolist() == ["neg", "pos", "pos", "neg", "pos", "pos", "neg"]
    with Decisions(texts) as record:
        assert [(d.row, d.reviewer, d.when) for d in record.standing(2)] == [(2, "ann", "2026-01-02T03:04:05+00:00")]
        assert record.standing(0)[0].reviewer == "bob"


def test_the_order_is_that_of_suspicion_and_the_budget_cuts_it(texts, tmp_path):
    write_items(texts, tmp_path / "a.csv", "csv", budget=5)
    rows = [int(line["row"]) for line in csv.DictReader((tmp_path / "a.csv").open(newline=""))]
    assert rows == [2, 0, 5, 6, 4]


def test_nothing_of_a_text_becomes_a_formula_in_a_spreadsheet(texts, tmp_path):
    write_items(texts, tmp_path / "a.csv", "csv")
    seen = [line["text"] for line in csv.DictReader((tmp_path / "a.csv").open(newline=""))]
    assert seen[0].startswith("'=cmd")
    assert not any(text.startswith(("=", "+", "-", "@")) for text in seen)


def test_without_the_data_rows_go_out_by_number(texts, tmp_path):
    (tmp_path / "said.csv").unlink()
    _, rows = write_items(texts, tmp_path / "t.json", "label-studio")
    assert rows == 3
    assert [t["data"]["errata_row"] for t in json.loads((tmp_path / "t.json").read_text())] == [2, 0, 5]


def test_rows_that_can_not_go_are_refused(texts, tmp_path):
    with pytest.raises(UnknownNameError, match="label-studio"):
        write_items(texts, tmp_path / "x.json", "labelstudio")
    with pytest.raises(ParameterError, match=r"\.json"):
        write_items(texts, tmp_path / "x.csv", "argilla")
    with pytest.raises(DataError, match="for pictures"):
        write_items(texts, tmp_path / "x.xml", "cvat")
    single = Ledger([0, 0], [0, 1], [0.9, 0.1], classes=["as labelled", "to correct"]).save(
        tmp_path / "b", report=False
    )
    with pytest.raises(LedgerError, match="parts"):
        write_items(single, tmp_path / "x.csv", "csv")
    assert not list(tmp_path.glob("x.*"))


def test_a_bad_file_changes_nothing(texts, tmp_path):
    (tmp_path / "t.csv").write_text("row,action,label\n2,relabel,pos\n99,keep,\n")
    with pytest.raises(ErrataError, match=r"t\.csv, line 3: expected a row of the ledger; found '99'"):
        bring_in(texts, tmp_path / "t.csv", "csv")
    assert not (texts / "decisions.sqlite").exists()


def test_rows_with_names_keep_them(tmp_path):
    Ledger([0, 1], [1, 1], [0.1, 0.9], classes=["a", "b"], index=np.array(["x 1", "y 2"])).save(tmp_path, report=False)
    for name, file in FILES.items():
        write_items(tmp_path, tmp_path / file, name)
        assert read_answers(tmp_path, tmp_path / file, name) == []
    (tmp_path / "d.csv").write_text("row,action\nx 1,drop\n")
    assert read_answers(tmp_path, tmp_path / "d.csv", "csv")[0].row == "x 1"


ODD = ['a "b", <c>&amp;', " spaced ", "línea\nnueva", "=1+1", "日本", "skip", "null"]


@pytest.mark.parametrize("name", FILES)
def test_classes_of_any_name_come_back_as_they_went(tmp_path, name):
    n = len(ODD)
    codes = np.arange(n)
    folder = Ledger(codes, (codes + 1) % n, codes / n, classes=ODD).save(tmp_path / "a", report=False)
    with Decisions(folder) as record:
        for i in range(n):
            record.add(i, "relabel", ODD[(i + 2) % n], reviewer='o"x, <y>', note="=note\nof two lines")
    write_items(folder, tmp_path / FILES[name], name, decisions=True)
    found = read_answers(clean_copy(folder, tmp_path / "b"), tmp_path / FILES[name], name, reviewer='o"x, <y>')
    assert {(a.row, a.action, a.label, a.reviewer) for a in found} == standing(folder)


def test_pictures_of_classes_of_any_name_too(tmp_path):
    pixels = np.zeros((len(ODD), 1, 3, 3), dtype=np.uint8)
    codes = np.arange(len(ODD))
    folder = Ledger(codes, (codes + 1) % len(ODD), codes / 10, classes=ODD).save(tmp_path / "a", report=False)
    with Decisions(folder) as record:
        for i in range(len(ODD)):
            record.add(i, "relabel", ODD[(i + 2) % len(ODD)], reviewer="ann")
    for file in ("c.xml", "c.zip"):
        write_items(folder, tmp_path / file, "cvat", data=pixels, decisions=True)
        found = read_answers(folder, tmp_path / file, "cvat", reviewer="ann", data=pixels)
        assert {(a.row, a.action, a.label, a.reviewer) for a in found} == standing(folder)
