"""Label Studio's files, as its documentation shows them."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from errata.errors import DataError
from errata.exchange import read_answers, write_items
from errata.exchange.label_studio import config


def exported(tmp_path, *tasks):
    path = tmp_path / "project-1-at-2026.json"
    path.write_text(json.dumps(tasks))
    return path


def task(row, *annotations):
    return {"id": 100 + int(row), "data": {"errata_row": row, "text": "..."}, "annotations": list(annotations)}


def annotation(label=None, action=None, **more):
    result = [
        {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [chosen]}, "id": "x"}
        for name, chosen in (("label", label), ("action", action))
        if chosen
    ]
    return {"id": 1, "result": result, "was_cancelled": False, "completed_by": 3, "created_at": "2026-01-01", **more}


def test_a_task_has_data_and_a_prediction(texts, tmp_path):
    paths, _ = write_items(texts, tmp_path / "tasks.json", "label-studio")
    first = json.loads(paths[0].read_text())[0]
    assert first["data"]["errata_row"] == 2
    assert first["data"]["errata_given"] == "neg"
    assert first["data"]["text"].startswith("=cmd")
    assert first["predictions"][0]["score"] == pytest.approx(0.9)
    assert first["predictions"][0]["result"] == [
        {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["pos"]}}
    ]
    assert "annotations" not in first


@pytest.mark.parametrize(("kind", "tag"), [("text", "Text"), ("image", "Image"), ("values", "Table")])
def test_the_labelling_interface_asks_what_predictions_answer(kind, tag):
    root = ET.fromstring(config(["a <b>", 'c "d"'], kind))
    assert root.find(tag).get("name") == kind
    label, action = root.findall("Choices")
    assert (label.get("name"), label.get("toName"), action.get("name")) == ("label", kind, "action")
    assert [choice.get("value") for choice in label] == ["a <b>", 'c "d"']


def test_annotations_become_decisions(texts, tmp_path):
    path = exported(
        tmp_path,
        task(2, annotation("pos", completed_by={"id": 5, "email": "ann@x.org"}), annotation("neg", updated_at="2027")),
        task(0, annotation(action="drop")),
        task(5, annotation(was_cancelled=True)),
        task(1, annotation()),
        task(3),
    )
    assert [(a.row, a.action, a.label, a.reviewer, a.when) for a in read_answers(texts, path, "label-studio")] == [
        (2, "relabel", "pos", "ann@x.org", "2026-01-01"),
        (2, "keep", None, "3", "2027"),
        (0, "drop", None, "3", "2026-01-01"),
        (5, "skip", None, "3", "2026-01-01"),
    ]


def test_the_minimal_export_is_read_too(texts, tmp_path):
    path = exported(
        tmp_path,
        {"id": 1, "errata_row": 2, "text": "...", "label": "pos", "annotator": 4, "updated_at": "2026"},
        {"id": 2, "errata_row": 0, "text": "...", "action": "drop", "annotator": 4},
    )
    found = read_answers(texts, path, "label-studio")
    assert [(a.row, a.action, a.label, a.reviewer) for a in found] == [
        (2, "relabel", "pos", "4"),
        (0, "drop", None, "4"),
    ]


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        ([{"id": 1, "data": {"text": "x"}}], r"task 1: expected 'errata_row' in the task's data.*found \['text'\]"),
        ([task(2), task(77, annotation("pos"))], "task 2, annotation 1: expected a row of the ledger; found 77"),
        ([task(2, annotation("maybe"))], "task 1, annotation 1: expected one of the classes neg, pos; found 'maybe'"),
        ([task(2, annotation(action="burn"))], "expected 'drop' as the answer of 'action'; found 'burn'"),
        ([task(2, {"result": "none"})], "expected a list in 'result'; found 'none'"),
        ([7], r"task 1: expected a task \(an object\); found 7"),
        ([{"id": 1}], "expected 'data' with 'errata_row'"),
    ],
)
def test_what_is_not_as_expected_is_told_by_place(texts, tmp_path, tasks, said):
    with pytest.raises(DataError, match=said):
        read_answers(texts, exported(tmp_path, *tasks), "label-studio")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'[{"a": 1},\n {"b": }]', "line 2: expected JSON; found"),
        (b"\xff\xfe\x00", "expected text in UTF-8"),
        (b'{"tasks": []}', "expected a list of tasks; found 'dict'"),
        (b"", "line 1: expected JSON"),
        (b"[" * 100_000, "expected JSON"),
    ],
)
def test_what_is_no_json_is_told_by_line(texts, tmp_path, content, said):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_answers(texts, tmp_path / "x.json", "label-studio")
    with pytest.raises(DataError, match="There is no file"):
        read_answers(texts, tmp_path / "y.json", "label-studio")
