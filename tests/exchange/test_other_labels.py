"""Tokens, boxes, masks, numbers and several labels: out to every tool that can hold them, and back."""

from __future__ import annotations

import csv
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

import errata
from errata.errors import DataError, LedgerError
from errata.exchange import FORMATS, bring_in, brush, read_answers, write_items
from errata.forms import form_of
from errata.ledger import Ledger
from errata.review.decisions import Decisions

EXPORTS = Path(__file__).parent / "exports"
"""What Label Studio 1.23.2 exported of the tasks that these ledgers make, answered through its API; what is called
``browser`` was handed in (in ``tokens`` also drawn) in Chromium."""

HOLDS = {
    "label-studio": ("tokens", "boxes", "masks", "numbers", "sets"),
    "argilla": ("tokens", "numbers", "sets"),
    "cvat": ("boxes", "masks"),
    "csv": ("tokens", "boxes", "masks", "numbers", "sets"),
}
ROUND_TRIPS = [(to, kind, end) for to, kinds in HOLDS.items() for kind in kinds for end in FORMATS[to].endings]


@pytest.fixture(scope="module")
def made(ledgers, tmp_path_factory):
    """The folder of each kind's ledger."""
    place = tmp_path_factory.mktemp("kinds")
    return {kind: make(place) for kind, make in ledgers.ALL.items()}


def decide(folder, record):
    """Take the worst row's proposal, keep the second, drop the third; what stands then."""
    ledger = Ledger.load(folder)
    form, order = form_of(ledger, folder), ledger.order.tolist()
    text = form.text(order[0], form.proposed(order[0]))
    rows = [int(ledger.index[p]) for p in order[:3]]
    record.add(rows[0], "relabel", text, reviewer="ann")
    record.add(rows[1], "keep", reviewer="ann")
    record.add(rows[2], "drop", reviewer="ann")
    return {(rows[0], "relabel", text), (rows[1], "keep", None), (rows[2], "drop", None)}


@pytest.mark.parametrize(("to", "kind", "end"), ROUND_TRIPS)
def test_decisions_survive_and_proposals_decide_nothing(made, tmp_path, to, kind, end):
    folder = made[kind]
    out = tmp_path / f"out{end}"
    write_items(folder, out, to, budget=4)
    assert read_answers(folder, out, to) == []
    with Decisions(folder) as record:
        expected = decide(folder, record)
    try:
        _, rows = write_items(folder, out, to, budget=4, decisions=True)
        found = {(a.row, a.action, a.label) for a in read_answers(folder, out, to, reviewer="ann")}
    finally:
        for file in folder.glob("decisions.sqlite*"):
            file.unlink()
    assert rows == 4
    assert found == expected


@pytest.mark.parametrize("kind", HOLDS["label-studio"])
@pytest.mark.parametrize("form", ["", "-min"])
def test_what_label_studio_has_exported(made, kind, form):
    expected = {
        "tokens": {(7, "relabel", '["B-LOC", "O", "O"]'), (13, "relabel", '["O", "O", "O", "O", "O"]')},
        "boxes": {
            (3, "relabel", '[{"label": "red", "box": [5.0, 5.0, 15.0, 15.0]}, '
             '{"label": "blue", "box": [20.0, 18.0, 35.0, 28.0]}]'),
            (5, "relabel", '[{"label": "blue", "box": [5.0, 5.0, 15.0, 15.0]}, '
             '{"label": "red", "box": [20.0, 3.0, 30.0, 9.15]}]'),
        },
        "masks": {
            (4, "relabel", '[{"label": "blue", "box": [20, 18, 35, 28], "runs": "0 150"}]'),
            (9, "relabel", '[{"label": "red", "box": [6, 6, 14, 14], "runs": "0 64"}, '
             '{"label": "blue", "box": [30, 2, 36, 6], "runs": "0 24"}]'),
        },
        "numbers": {(11, "relabel", "161.5"), (12, "relabel", "123.5")},
        "sets": {(7, "relabel", "none"), (9, "relabel", "loud")},
    }[kind]  # fmt: skip
    answers = read_answers(made[kind], EXPORTS / f"label-studio-{kind}{form}.json", "label-studio")
    assert {(a.row, a.action, a.label) for a in answers if a.action == "relabel"} == expected
    others = sorted(a.action for a in answers if a.action != "relabel")
    assert others == (["drop", "keep"] if form else ["drop", "keep", "skip"])  # JSON-MIN leaves skipped tasks out
    assert all(a.reviewer == "1" and a.when for a in answers)


def test_what_a_browser_draws(made):
    answers = read_answers(made["tokens"], EXPORTS / "label-studio-browser-tokens.json", "label-studio")
    assert [(a.row, a.label) for a in answers] == [(13, '["O", "B-PER", "B-PER", "B-LOC", "I-LOC"]')]
    answers = read_answers(made["masks"], EXPORTS / "label-studio-browser-masks.json", "label-studio")
    assert [(a.row, a.label) for a in answers] == [(4, '[{"label": "blue", "box": [20, 18, 35, 28], "runs": "0 150"}]')]


def test_the_whole_way_from_label_studio_to_corrected_data(ledgers, tmp_path):
    from errata.correct.apply import apply_to_file

    folder = ledgers.tokens(tmp_path)
    counts = bring_in(folder, EXPORTS / "label-studio-tokens.json", "label-studio")
    assert counts == {"keep": 1, "relabel": 2, "drop": 1, "skip": 1, "known": 0}
    apply_to_file(folder, None, tmp_path / "clean.conll")
    before, after = ((tmp_path / name).read_text() for name in ("ner.conll", "clean.conll"))
    lines = before.replace("Ben\tX\tB-PER\nLow\tX\tI-PER\nmet\tX\tO\nAda\tX\tB-PER\n\n", "", 1).split("\n")
    changed = [(a, b) for a, b in zip(lines, after.split("\n")) if a != b]
    assert changed == [("Rome\tX\tO", "Rome\tX\tB-LOC"), ("Eve\tX\tB-PER", "Eve\tX\tO"), ("New\tX\tB-LOC", "New\tX\tO")]


def test_boxes_with_fractions_come_from_label_studio_into_coco(ledgers, tmp_path):
    from errata.correct.apply import apply_to_file

    folder = ledgers.boxes(tmp_path)
    bring_in(folder, EXPORTS / "label-studio-boxes.json", "label-studio")
    with Decisions(folder) as record:
        assert record.about("task") == "boxes"  # tells how two people's boxes are compared
    apply_to_file(folder, None, tmp_path / "clean.json")
    content = json.loads((tmp_path / "clean.json").read_text())
    boxes = [one["bbox"] for one in content["annotations"] if one["image_id"] == 105]
    assert boxes == [[5, 5, 10, 10], [20, 3, 10, 6.15]]
    again = apply_to_file(folder, None, tmp_path / "again.json", source=tmp_path / "clean.json")
    assert again.changed == 0


def test_boxes_beside_their_picture_do_not_come_in(ledgers, tmp_path):
    folder = ledgers.boxes(tmp_path)
    tasks = json.loads((EXPORTS / "label-studio-boxes.json").read_text(encoding="utf-8"))
    results = [result for task in tasks for one in task["annotations"] for result in one["result"]]
    done = next(result for result in results if "rectanglelabels" in result["value"])
    done["value"]["x"] = 95
    (tmp_path / "odd.json").write_text(json.dumps(tasks), encoding="utf-8")
    with pytest.raises(DataError, match="within the picture, 40 x 30"):
        bring_in(folder, tmp_path / "odd.json", "label-studio")
    assert not (folder / "decisions.sqlite").exists()


def test_tasks_show_what_looks_wrong_and_where(made, tmp_path):
    write_items(made["tokens"], tmp_path / "t.json", "label-studio")
    first, second = json.loads((tmp_path / "t.json").read_text(encoding="utf-8"))
    assert first["data"]["errata_doubts"] == "token 0, Rome: O → B-LOC"
    assert second["data"]["text"] == "🎉 Eve saw New York"
    (prediction,) = second["predictions"]
    spans = [(r["value"]["start"], r["value"]["end"], r["value"]["labels"]) for r in prediction["result"]]
    assert spans == [(2, 5, ["PER"]), (10, 18, ["LOC"])]
    assert 0.9 < prediction["score"] <= 1
    tags = [node.tag for node in ET.parse(tmp_path / "t.config.xml").getroot()]
    assert tags == ["Header", "Labels", "Text", "Choices"]


def test_boxes_go_out_in_percent_and_masks_as_brushes(made, tmp_path):
    write_items(made["boxes"], tmp_path / "b.json", "label-studio", url="https://x/")
    task = next(t for t in json.loads((tmp_path / "b.json").read_text()) if t["data"]["errata_row"] == 3)
    assert task["data"]["image"] == "https://x/03.png"
    value = task["predictions"][0]["result"][1]["value"]
    assert {k: round(v, 6) for k, v in value.items() if k != "rectanglelabels"} == {
        "x": 50, "y": 60, "width": 37.5, "height": 33.333333, "rotation": 0,
    }  # fmt: skip
    write_items(made["masks"], tmp_path / "m.json", "label-studio")
    result = json.loads((tmp_path / "m.json").read_text())[0]["predictions"][0]["result"]
    area = brush.unpacked(result[2]["value"]["rle"], 30, 40)
    assert result[2]["value"]["brushlabels"] == ["blue"]
    assert (area == np.pad(np.ones((10, 15), dtype=bool), ((18, 2), (20, 5)))).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 300)])
def test_brushes_come_back_exactly(shape):
    rng = np.random.default_rng(0)
    for area in (np.zeros(shape, bool), np.ones(shape, bool), rng.random(shape) < 0.5):
        stream = brush.packed(area)
        assert (brush.unpacked(stream, *shape) == area).all()
    with pytest.raises(DataError, match="bytes"):
        brush.unpacked([1, 2, 3], *shape)
    with pytest.raises(DataError, match="pixels; found"):
        brush.unpacked(stream, shape[0] + 1, shape[1])


def test_yolo_shares_become_pixels_and_back(ledgers, tmp_path):
    folder = ledgers.yolo(tmp_path)
    for to, end in (("label-studio", ".json"), ("cvat", ".zip"), ("csv", ".csv")):
        write_items(folder, tmp_path / f"y{end}", to, budget=12)
    text = zipfile.ZipFile(tmp_path / "y.zip").read("annotations.xml").decode()
    assert 'xtl="5.00" ytl="5.00" xbr="15.00" ybr="15.00"' in text
    (tmp_path / "y.xml").write_text(text.replace(">false<", ">true<"))
    answers = {a.row: a for a in read_answers(folder, tmp_path / "y.xml", "cvat")}
    assert [answers[row].action for row in range(12)] == ["relabel" if row == 5 else "keep" for row in range(12)]
    ledger = Ledger.load(folder)
    form = form_of(ledger, folder)
    changed = form.read(5, answers[5].label)
    assert [box.corners for box in changed] == [box.corners for box in form.given(5)]  # rounding is no change


def test_what_a_tool_can_not_hold_names_those_that_can(made, tmp_path):
    with pytest.raises(LedgerError, match=r"argilla can't hold masks. These can: label-studio, cvat, csv\."):
        write_items(made["masks"], tmp_path / "x.json", "argilla")
    with pytest.raises(LedgerError, match=r"cvat can't hold labels of tokens. These can: label-studio, argilla, csv\."):
        write_items(made["tokens"], tmp_path / "x.xml", "cvat")
    with pytest.raises(LedgerError, match=r"cvat can't hold numbers"):
        read_answers(made["numbers"], tmp_path / "x.xml", "cvat")
    with pytest.raises(DataError, match="for pictures"):
        write_items(made["sets"], tmp_path / "x.xml", "cvat")
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize(
    ("kind", "label", "said"),
    [
        ("tokens", '["O"]', "expected a JSON list of 3 labels"),
        ("tokens", '["B-TIME", "O", "O"]', "one of the labels LOC, PER"),
        ("boxes", '[{"label": "red", "box": [5, 5, 5, 9]}]', "x0 < x1"),
        ("boxes", '[{"label": "green", "box": [5, 5, 7, 9]}]', "one of the labels red, blue"),
        ("masks", '[{"label": "red", "box": [0, 0, 2, 2], "runs": "0 9"}]', "pixels together"),
        ("masks", '[{"label": "red", "box": [0, 0, 99, 2], "runs": "0 198"}]', "within 40 x 30 pixels"),
        ("numbers", "many", "a number"),
        ("sets", "fast, slow", "one of the labels fast, loud"),
    ],
)
def test_a_label_that_does_not_fit_is_refused_with_its_line(made, tmp_path, kind, label, said):
    ledger = Ledger.load(made[kind])
    row = int(ledger.index[ledger.order[0]])
    with (tmp_path / "d.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("row", "action", "label"), (row, "relabel", label)])
    with pytest.raises(DataError, match=rf"d\.csv, line 2: .*{said}"):
        read_answers(made[kind], tmp_path / "d.csv", "csv")


def test_regions_of_another_size_or_turned_are_refused(made, tmp_path):
    tasks = json.loads((EXPORTS / "label-studio-boxes.json").read_text())[:1]
    tasks[0]["annotations"][0]["result"][0]["value"]["rotation"] = 30
    (tmp_path / "t.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match=r"t\.json, task 1, annotation 1: expected boxes that are not turned"):
        read_answers(made["boxes"], tmp_path / "t.json", "label-studio")
    tasks = json.loads((EXPORTS / "label-studio-masks.json").read_text())[:1]
    tasks[0]["annotations"][0]["result"][0]["original_width"] = 41
    (tmp_path / "t.json").write_text(json.dumps(tasks))
    with pytest.raises(DataError, match="brush of 41 x 30 pixels"):
        read_answers(made["masks"], tmp_path / "t.json", "label-studio")


def test_erased_pixels_are_none_where_the_audit_knows_a_number_for_them(made, tmp_path):
    tasks = json.loads((EXPORTS / "label-studio-masks.json").read_text())[:1]
    tasks[0]["annotations"][0]["result"] = tasks[0]["annotations"][0]["result"][:2]  # the blue area is erased
    (tmp_path / "t.json").write_text(json.dumps(tasks))
    (answer,) = read_answers(made["masks"], tmp_path / "t.json", "label-studio")
    ledger = Ledger.load(made["masks"])
    form = form_of(ledger, made["masks"])
    mask = form.read(answer.row, answer.label)
    assert (mask[18:28, 20:35] == 255).all()
    del ledger.meta["ignore"]
    ledger.save(tmp_path / "audit", report=False)
    with pytest.raises(DataError, match="a class for every pixel"):
        read_answers(tmp_path / "audit", tmp_path / "t.json", "label-studio")


def test_cvat_polygons_are_filled(made, tmp_path):
    write_items(made["masks"], tmp_path / "m.xml", "cvat", budget=1)
    root = ET.parse(tmp_path / "m.xml").getroot()
    image = root.find("image")
    points = "30,2;35,2;35,5;30,5"
    ET.SubElement(image, "polygon", {"label": "red", "points": points, "z_order": "1"})
    next(a for a in image.iter("attribute")).text = "true"
    ET.ElementTree(root).write(tmp_path / "m.xml")
    (answer,) = read_answers(made["masks"], tmp_path / "m.xml", "cvat", reviewer="ann")
    assert [area["label"] for area in json.loads(answer.label)] == ["red", "blue"]
    mask = form_of(Ledger.load(made["masks"]), made["masks"]).read(4, answer.label)
    assert (mask[2:6, 30:36] == 1).all()


def test_whole_numbers_from_0_to_10_are_rated_in_argilla(tmp_path):
    stars = np.arange(20) % 5 + 1.0
    stars[3] = 1
    predictions = np.arange(20) % 5 + 1.05
    ledger = errata.audit(labels=stars, predictions=predictions, task="regression")
    folder = ledger.save(tmp_path / "audit", report=False)
    paths, rows = write_items(folder, tmp_path / "r.json", "argilla", budget=3)
    question = json.loads(paths[1].read_text())["questions"][0]
    assert question["settings"] == {"type": "rating", "options": [{"value": n} for n in range(1, 6)]}
    first = json.loads(paths[0].read_text())[0]
    assert (rows, first["id"], first["suggestions"]["label"]["value"]) == (3, "3", 4)


def test_the_rest_of_a_row_is_shown(made, tmp_path):
    write_items(made["numbers"], tmp_path / "n.json", "label-studio")
    shown = json.loads((tmp_path / "n.json").read_text())[0]["data"]
    assert (shown["text"], shown["values"]["rooms"], shown["values"]["age"]) == ("x, 11", "4", "77")
    write_items(made["sets"], tmp_path / "s.json", "label-studio")
    assert json.loads((tmp_path / "s.json").read_text())[0]["data"]["values"]["volume"] == "-3"


def test_pictures_with_several_labels_have_several_tags_in_cvat(tmp_path):
    for i in range(6):
        Image.new("RGB", (20, 16), (40 * i, 0, 0)).save(tmp_path / f"{i}.png")
    lines = [f"{i}.png,{'a; b' if i % 2 else 'a'}\n" for i in range(6)]
    (tmp_path / "t.csv").write_text("image,tags\n" + "".join(lines))
    probs = np.where([[True, i % 2 == 1] for i in range(6)], 0.95, 0.04)
    probs[3, 1] = 0.02
    ledger = errata.audit(
        str(tmp_path / "t.csv"),
        label="tags",
        image_column="image",
        pred_probs=probs,
        classes=["a", "b"],
        task="multilabel",
        progress=False,
    )
    folder = ledger.save(tmp_path / "audit", report=False)
    write_items(folder, tmp_path / "c.xml", "cvat", budget=6)
    text = (tmp_path / "c.xml").read_text()
    assert text.count('<tag label="b"') == 2
    assert read_answers(folder, tmp_path / "c.xml", "cvat") == []
    (tmp_path / "c.xml").write_text(text.replace(">false<", ">true<"))
    found = {(a.row, a.action, a.label) for a in read_answers(folder, tmp_path / "c.xml", "cvat")}
    assert (3, "relabel", "a") in found
    assert len(found) == 6
