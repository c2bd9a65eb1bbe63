"""`errata export` and `errata import`: to another tool and back."""

from __future__ import annotations

import importlib.util
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from errata.ledger import Ledger
from errata.review import Decisions


@pytest.fixture
def audited(here):
    """a.csv and its audit in ``audit``; rows 3 and 1 look wrong."""
    (here / "a.csv").write_text("text,label\n" + "".join(f"this is text number {i},{'ab'[i % 2]}\n" for i in range(6)))
    given = np.arange(6) % 2
    wrong = np.isin(np.arange(6), [1, 3])
    meta = {"source": "a.csv", "label": "label"}
    Ledger(
        given,
        np.where(wrong, 1 - given, given),
        np.where(wrong, 0.4 - np.arange(6) / 10, 0.9),
        classes=["a", "b"],
        meta=meta,
    ).save(here / "audit", report=False)
    return here


def test_out_back_and_applied(audited, run):
    out = run("export", "audit", "--to", "label-studio", "--out", "tasks.json", "--json")
    assert out.code == 0, out.err
    assert out.json == {"out": ["tasks.json", "tasks.config.xml"], "rows": 2, "format": "label-studio"}
    tasks = json.loads((audited / "tasks.json").read_text())
    assert [task["data"]["errata_row"] for task in tasks] == [3, 1]
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"], "completed_by": 1}]
    (audited / "done.json").write_text(json.dumps(tasks))
    back = run("import", "audit", "done.json", "--from", "label-studio", "--json")
    assert back.code == 0, back.err
    assert (back.json["relabel"], back.json["known"]) == (2, 0)
    again = run("import", "audit", "done.json", "--from", "label-studio", "--json")
    assert (again.json["relabel"], again.json["known"]) == (0, 2)
    with Decisions(audited / "audit") as record:
        assert {(d.row, d.label, d.reviewer) for d in record.standing()} == {(1, "a", "1"), (3, "a", "1")}
    applied = run("apply", "audit", "--out", "clean.csv", "--json")
    assert applied.json["relabelled"] == 2
    assert (audited / "clean.csv").read_text().splitlines()[2] == "this is text number 1,a"


def test_a_labelling_interface_that_is_there_is_not_overwritten_unasked(audited, run):
    (audited / "tasks.config.xml").write_text("mine")
    assert "--force" in run("export", "audit", "--to", "label-studio", "--out", "tasks.json").paragraph
    assert (audited / "tasks.config.xml").read_text() == "mine"
    assert run("export", "audit", "--to", "label-studio", "--out", "tasks.json", "--force").code == 0
    assert "<View>" in (audited / "tasks.config.xml").read_text()


def test_back_as_a_table_leaves_the_record_alone(audited, run):
    (audited / "in.csv").write_text("row,action,label\n1,relabel,a\n3,drop,\n")
    done = run("import", "audit", "in.csv", "--from", "csv", "--out", "d.csv", "--reviewer", "ann")
    assert done.code == 0, done.err
    assert not (audited / "audit" / "decisions.sqlite").exists()
    assert (audited / "d.csv").read_text().splitlines()[1:] == ["1,relabel,a,ann,,", "3,drop,,ann,,"]
    assert run("apply", "audit", "--decisions", "d.csv", "--out", "clean.csv", "--json").json["dropped"] == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "audit", "--to", "labelstudio", "--out", "x.json"), "label-studio"),
        (("export", "audit", "--to", "csv", "--out", "x.json"), ".csv"),
        (("export", "audit", "--to", "cvat", "--out", "x.xml"), "is for pictures"),
        (("export", "nowhere", "--to", "csv", "--out", "x.csv"), "nowhere"),
        (("export", "audit", "--to", "csv", "--out", "a.csv"), "--force"),
        (("import", "audit", "none.json", "--from", "argilla"), "There is no file none.json"),
        (("import", "audit", "a.csv", "--from", "argilla"), "a.csv, line 1: expected JSON; found 'text,label'"),
        (("import", "audit", "a.csv", "--from", "csv"), "a.csv, line 1: expected the columns row, action, label"),
    ],
)
def test_what_can_not_be_is_told_in_a_paragraph(audited, run, arguments, said):
    assert said in run(*arguments).paragraph
    assert not list(audited.glob("x.*"))


def test_boxes_and_their_pictures_there_and_back(here, run):
    path = Path(__file__).parents[1] / "exchange" / "ledgers.py"
    spec = importlib.util.spec_from_file_location("exchange_ledgers", path)
    ledgers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(ledgers)
    ledgers.boxes(here)
    options = ["boxes.json", "--task", "boxes", "--set", "predictions=seen.json", "--out", "audit", "--json"]
    assert run("audit", *options).json["issues"] == 3
    refused = run("export", "audit", "--to", "argilla", "--out", "r.json")
    assert refused.code == 1
    assert "argilla can't hold boxes. These can: label-studio, cvat, csv." in refused.paragraph
    refused = run("export", "audit", "--to", "cvat", "--out", "b.zip")
    assert "--images" in refused.paragraph
    out = run("export", "audit", "--to", "cvat", "--out", "b.zip", "--images", "images", "--json")
    assert out.json["rows"] == 3
    with zipfile.ZipFile(here / "b.zip") as archive:
        text = archive.read("annotations.xml").decode()
        assert "images/03.png" in archive.namelist()
    (here / "b.xml").write_text(text.replace(">false<", ">true<"))
    back = run("import", "audit", "b.xml", "--from", "cvat", "--reviewer", "ann", "--images", "images", "--json")
    assert back.json["relabel"] == 3
    tried = run("apply", "audit", "--dry-run", "--json")
    assert tried.json["changed"] == 3
    done = run("apply", "audit", "--out", "clean.json", "--json")
    assert (done.json["relabelled"], done.json["label"]) == (3, "boxes")
    assert {change["row"] for change in done.json["changes"]} == {3, 5, 8}
    assert (here / "clean.json.provenance.csv").read_text().startswith("row,old,new,who,when,why,part\n")
