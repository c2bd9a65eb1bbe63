"""Labels that people draw on the page: what the script gets and sends, what is kept, and what is written."""

from __future__ import annotations

import http.client
import io
import json
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

import errata
from errata.correct.apply import apply_to_file
from errata.correct.places import provenance_of
from errata.review.decisions import Decisions

RED, BLUE = [5.0, 5.0, 15.0, 15.0], [20.0, 18.0, 35.0, 28.0]
NEW = {"label": "blue", "box": [1, 2, 4.5, 9]}


def box(label, *corners):
    return {"label": label, "box": list(corners)}


def standing(opened):
    return [(d.row, d.action, d.label) for d in opened.record.standing()]


def draw(person, row, shapes, **fields):
    text = shapes if isinstance(shapes, str) else json.dumps(shapes)
    return person.decide(row, "draw", shapes=text, **fields)


def sheet(person, row):
    return person.get(f"/sheet?row={row}", accept="application/json").json


def changed_lines(before: Path, after: Path) -> list[tuple[str, str]]:
    lines = [path.read_text(encoding="utf-8").splitlines() for path in (before, after)]
    assert len(lines[0]) == len(lines[1])
    return [(a, b) for a, b in zip(*lines) if a != b]


# -- boxes ------------------------------------------------------------------------------------------------------------


def test_the_script_gets_what_is_given_proposed_and_drawn_before(opens, ledgers, tmp_path):
    opened = opens(ledgers.boxes(tmp_path))
    ann, bob = opened.person("ann"), opened.person("bob")
    assert 'data-key="e"' in ann.get("/?row=3").text
    found = sheet(ann, 3)
    assert (found["task"], found["names"], found["size"], found["pixels"]) == (
        "boxes",
        ["red", "blue"],
        [40, 30],
        [40, 30],
    )
    assert found["given"] == [box("red", *RED)]
    assert found["proposed"] == [box("red", *RED), box("blue", *BLUE)]
    assert found["own"] is None
    assert draw(ann, 3, [NEW]).json["said"] == "Row 3 relabelled as blue 1,2,4.5,9."
    assert sheet(ann, 3)["own"] == [box("blue", 1.0, 2.0, 4.5, 9.0)]
    assert sheet(bob, 3)["own"] is None  # nobody's business
    undone = ann.post("/undo", {}, accept="application/json").json
    assert undone["row"] == 3
    assert sheet(ann, 3)["own"] == [box("blue", 1.0, 2.0, 4.5, 9.0)]  # to be mended, not drawn again
    ann.decide(3, "keep")
    assert sheet(ann, 3)["own"] is None


def test_the_picture_comes_plain_as_well(opens, ledgers, tmp_path):
    person = opens(ledgers.boxes(tmp_path)).person("ann")
    plain = person.get("/image?row=5&side=4096&plain=true")
    with Image.open(io.BytesIO(plain.body)) as shown, Image.open(tmp_path / "images" / "05.png") as true:
        assert (np.asarray(shown.convert("RGB")) == np.asarray(true)).all()
    assert plain.body != person.get("/image?row=5&side=4096").body
    assert person.get("/image?row=5&plain=maybe").status == 422


def test_drawn_boxes_are_written_to_coco_and_nothing_else_changes(opens, ledgers, tmp_path):
    folder = ledgers.boxes(tmp_path)
    ann = opens(folder).person("ann")
    drawn = [box("red", 6, 5.1, 16.3, 15), box("blue", *BLUE), NEW]  # moved by fractions, as given, new
    assert draw(ann, 0, drawn, note="one was missing").status == 200
    assert draw(ann, 1, [box("red", *RED), box("blue", *BLUE)]).json["said"] == "Row 1 kept."
    assert draw(ann, 2, []).json["said"] == "Row 2 relabelled as no box."
    tried = apply_to_file(folder, None, None, dry_run=True)
    assert list(tried.diff())[2:] == [
        "@@ row 0, 00.png, box 0 @@", "-boxes: red 5,5,15,15", "+boxes: red 6,5.1,16.3,15",
        "@@ row 0, 00.png, a new box @@", "+boxes: blue 1,2,4.5,9",
        "@@ row 2, 02.png, box 0 @@", "-boxes: red 5,5,15,15",
        "@@ row 2, 02.png, box 1 @@", "-boxes: blue 20,18,35,28",
    ]  # fmt: skip
    apply_to_file(folder, None, tmp_path / "clean.json")
    before, after = (json.loads((tmp_path / name).read_text()) for name in ("boxes.json", "clean.json"))
    of = {one["id"]: one for one in after["annotations"]}
    old = {one["id"]: one for one in before["annotations"]}
    assert of[1] == {**old[1], "bbox": [6, 5.1, 10.3, 9.9], "area": 101.97}
    assert [one for one in after["annotations"] if one["id"] not in old] == [
        {"id": len(old) + 1, "image_id": 100, "category_id": 7, "bbox": [1, 2, 3.5, 7], "area": 24.5, "iscrowd": 0,
         "segmentation": []}
    ]  # fmt: skip
    assert [one for one in old if one not in of] == [5, 6]  # those of image 2
    assert all(of[i] == old[i] for i in of if i in old and i != 1)
    provenance = pd.read_csv(provenance_of(tmp_path / "clean.json"), keep_default_na=False)
    assert provenance["row"].tolist() == [0, 0, 2, 2]
    assert set(provenance["who"]) == {"ann"}
    assert provenance["why"].tolist()[:2] == ["relabel: one was missing"] * 2
    assert provenance["when"].str.startswith("20").all()
    again = apply_to_file(folder, None, tmp_path / "again.json", source=tmp_path / "clean.json")
    assert again.changed == 0
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "clean.json").read_bytes()


def test_drawn_boxes_are_written_to_yolo_files(opens, ledgers, tmp_path):
    folder = ledgers.yolo(tmp_path)
    person = opens(folder).person("ann")
    found = sheet(person, 5)
    assert (found["size"], found["pixels"]) == ([1, 1], [40, 30])
    first, second = found["given"]
    drawn = [first, {**second, "box": [0.55, 0.6, 0.875, 1]}, box("red", 1 / 3, 0.1, 0.5, 0.2)]
    assert draw(person, 5, drawn).status == 200
    apply_to_file(folder, None, tmp_path / "clean")
    lines = (tmp_path / "clean" / "05.txt").read_text().splitlines()
    assert lines[0] == (tmp_path / "yolo" / "05.txt").read_text().splitlines()[0]
    assert lines[1:] == ["1 0.7125 0.8 0.325 0.4", "0 0.4166666667 0.15 0.1666666667 0.1"]
    for file in (tmp_path / "yolo").iterdir():
        if file.name != "05.txt":
            assert (tmp_path / "clean" / file.name).read_bytes() == file.read_bytes()
    again = apply_to_file(folder, None, tmp_path / "again", source=tmp_path / "clean")
    assert again.changed == 0


BAD = {
    "beside the picture": ([box("red", 30, 5, 45, 15)], "within the picture, 40 x 30"),
    "negative": ([box("red", -5, 5, 5, 15)], "within the picture"),
    "huge": ([box("red", 0, 0, 1e300, 1e300)], "x0, y0, x1, y1"),
    "no number": ('[{"label": "red", "box": [NaN, 0, 1, 1]}]', "x0, y0, x1, y1"),
    "infinite": ('[{"label": "red", "box": [0, 0, Infinity, 1]}]', "x0, y0, x1, y1"),
    "beyond any float": (f'[{{"label": "red", "box": [0, 0, {"9" * 400}, 1]}}]', "x0, y0, x1, y1"),
    "a truth": ('[{"label": "red", "box": [false, 0, 1, true]}]', "x0, y0, x1, y1"),
    "texts": ([box("red", "0", "0", "1", "1")], "x0, y0, x1, y1"),
    "no area": ([box("red", 5, 5, 5, 15)], "x0 < x1"),
    "inside out": ([box("red", 15, 15, 5, 5)], "x0 < x1"),
    "another class": ([box("green", 5, 5, 15, 15)], "green"),
    "no class": ([{"box": RED}], "'label' and 'box'"),
    "no object": ([7], "'label' and 'box'"),
    "no list": ('{"label": "red"}', "JSON list"),
    "no JSON": ("[", "JSON list"),
    "nothing": ("", "JSON list"),
    "nested without end": ("[" * 30_000, "JSON list"),
}


def test_what_nobody_can_mean_is_refused_with_a_reason(opens, ledgers, tmp_path):
    opened = opens(ledgers.boxes(tmp_path))
    person = opened.person("ann")
    for name, (shapes, said) in BAD.items():
        reply = draw(person, 3, shapes)
        assert reply.status in (400, 404), name
        assert said in reply.json["error"], name
    assert draw(person, 99, [NEW]).status == 404  # another's row
    assert draw(person, "../boxes.json", [NEW]).status == 404
    assert person.get("/sheet?row=99").status == 404
    assert person.decide(3, "draw").status == 400
    forged = person.post("/decide", {"row": 3, "action": "draw", "shapes": "[]", "csrf": "x"})
    assert forged.status == 403
    foreign = person.post("/decide", {"row": 3, "action": "draw", "shapes": "[]"}, origin="https://evil.example")
    assert foreign.status == 403
    assert opened.record.history() == []


def test_boxes_that_the_data_have_beside_the_picture_may_stay(opens, ledgers, tmp_path):
    ledgers.boxes(tmp_path)
    content = json.loads((tmp_path / "boxes.json").read_text())
    content["annotations"][1]["bbox"] = [30, 18, 15, 10]  # reaches to 45 of 40
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    place = {name: str(tmp_path / name) for name in ("boxes.json", "seen.json", "images")}
    ledger = errata.audit(
        place["boxes.json"], predictions=place["seen.json"], task="boxes", images=place["images"], progress=False
    )
    person = opens(ledger.save(tmp_path / "anew", report=False)).person("ann")
    beyond = [30, 18, 45, 28]
    assert draw(person, 0, [box("red", *RED), box("red", *beyond)]).status == 200
    assert draw(person, 0, [box("red", *RED), box("red", 31, 18, 45, 28)]).status == 400


def test_two_people_who_draw_nearly_the_same_agree(opens, ledgers, tmp_path):
    folder = ledgers.boxes(tmp_path)
    opened = opens(folder, overlap=2)
    ann, bob = opened.person("ann"), opened.person("bob")
    near, other = box("blue", 20, 18, 34, 28), box("red", 20, 18, 35, 28)
    for row, said in ((3, [box("red", *RED), near]), (5, [box("red", *RED), other])):
        draw(ann, row, [box("red", *RED), box("blue", *BLUE)])
        draw(bob, row, said)
    assert opened.queue.progress("ann").decided == 1
    table = opened.record.table()
    assert table[["row", "reviewer"]].to_numpy().tolist() == [[3, "ann, bob"]]
    assert json.loads(table["label"][0]) == [box("red", *RED), box("blue", *BLUE)]  # the first one's
    assert opened.record.agreement().disputed == {5: True}
    outcome = apply_to_file(folder, None, tmp_path / "clean.json")
    assert [(c.row, c.who) for c in outcome.provenance.changes] == [(3, "ann, bob")]
    assert any("do not agree" in note for note in outcome.notes)


# -- tokens -----------------------------------------------------------------------------------------------------------


def span(label, start, stop):
    return {"label": label, "tokens": [start, stop]}


def test_spans_are_written_as_the_file_codes_them(opens, ledgers, tmp_path):
    folder = ledgers.tokens(tmp_path)
    ann = opens(folder).person("ann")
    found = sheet(ann, 13)
    assert (found["task"], found["names"], found["classless"]) == ("tokens", ["LOC", "PER"], True)
    assert found["tokens"] == ["🎉", "Eve", "saw", "New", "York"]
    assert found["given"] == [span("PER", 1, 2), span("LOC", 3, 4)]
    assert found["proposed"] == [span("PER", 1, 2), span("LOC", 3, 5)]
    said = draw(ann, 13, [span("PER", 1, 2), span("LOC", 3, 5)]).json["said"]
    assert said == 'Row 13 relabelled as ["O", "B-PER", "O", "B-LOC", "I-LOC"].'
    assert draw(ann, 1, [span("PER", 0, 2), span("LOC", 2, 3), span("PER", 3, 4)]).status == 200  # a missing one
    assert draw(ann, 0, [span("LOC", 3, 4), span("PER", 0, 1)]).json["said"] == "Row 0 kept."  # in any order
    assert draw(ann, 4, []).status == 200
    outcome = apply_to_file(folder, None, tmp_path / "clean.conll")
    assert changed_lines(tmp_path / "ner.conll", tmp_path / "clean.conll") == [
        ("met\tX\tO", "met\tX\tB-LOC"),
        ("Eve\tX\tB-PER", "Eve\tX\tO"),
        ("Rome\tX\tB-LOC", "Rome\tX\tO"),
        ("York\tX\tO", "York\tX\tI-LOC"),
    ]
    assert [(c.row, c.old, c.new, c.who) for c in outcome.provenance.changes][:2] == [
        (1, "O", "B-LOC", "ann"),
        (4, "B-PER", "O", "ann"),
    ]
    again = apply_to_file(folder, None, tmp_path / "again.conll", source=tmp_path / "clean.conll")
    assert again.changed == 0
    assert (tmp_path / "again.conll").read_bytes() == (tmp_path / "clean.conll").read_bytes()


def test_spans_are_written_to_json_lines(opens, ledgers, tmp_path):
    folder = ledgers.tokens(tmp_path, ".jsonl")
    ann = opens(folder).person("ann")
    assert draw(ann, 3, [span("PER", 1, 2), span("LOC", 3, 5), span("PER", 0, 1)]).status == 200
    tried = apply_to_file(folder, None, None, dry_run=True)
    apply_to_file(folder, None, tmp_path / "clean.jsonl")
    ((before, after),) = changed_lines(tmp_path / "ner.jsonl", tmp_path / "clean.jsonl")
    assert json.loads(after) == {**json.loads(before), "labels": ["B-PER", "B-PER", "O", "B-LOC", "I-LOC"]}
    assert list(tried.diff())[2:] == ["@@ -4 +4 @@", f"-{before}", f"+{after}"]


def test_spans_that_fit_no_sentence_are_refused(opens, ledgers, tmp_path):
    opened = opens(ledgers.tokens(tmp_path))
    ann = opened.person("ann")
    for shapes, said in (
        ([span("LOC", 3, 9)], "within 5 tokens"),
        ([span("LOC", -1, 2)], "within 5 tokens"),
        ([span("LOC", 2, 2)], "within 5 tokens"),
        ([span("LOC", 0, 10**30)], "within 5 tokens"),
        ([span("LOC", 0, 2), span("PER", 1, 3)], "do not overlap"),
        ([span("TIME", 0, 2)], "TIME"),
        ([span("", 0, 2)], "'label' and 'tokens'"),
        ([span("LOC", 0.0, 2)], "in 'tokens'"),
        ([span("LOC", True, 2)], "in 'tokens'"),
        ([{"label": "LOC", "tokens": [1]}], "in 'tokens'"),
        ('[{"label": "LOC", "tokens": [NaN, 2]}]', "in 'tokens'"),
        ([box("LOC", 0, 0, 1, 1)], "in 'tokens'"),
        ([[0, 2, "LOC"]], "'label' and 'tokens'"),
    ):
        reply = draw(ann, 13, shapes)
        assert reply.status in (400, 404), shapes
        assert said in reply.json["error"], shapes
    assert opened.record.history() == []


# -- masks ------------------------------------------------------------------------------------------------------------


def area(label, corners, runs):
    return {"label": label, "box": list(corners), "runs": runs}


def test_areas_are_painted_into_the_mask_and_nothing_else(opens, ledgers, tmp_path):
    folder = ledgers.masks(tmp_path)
    ann = opens(folder).person("ann")
    found = sheet(ann, 4)
    assert (found["task"], found["names"], found["size"]) == ("segmentation", ["ground", "red", "blue"], [40, 30])
    mask = np.repeat(found["mask"][::2], found["mask"][1::2]).reshape(30, 40)
    with Image.open(tmp_path / "masks" / "04.png") as given:
        assert (mask == np.asarray(given)).all()
    assert found["given"] == []
    assert found["proposed"] == [area("blue", (20, 18, 35, 28), "0 150")]
    ring = area("red", (1, 2, 4, 5), "0 4 1 4")
    said = draw(ann, 6, [ring, area(None, (30, 2, 32, 4), "0 4")]).json["said"]
    assert said == "Row 6 relabelled as 12 pixels changed."
    assert sheet(ann, 6)["own"] == [ring, area(None, (30, 2, 32, 4), "0 4")]
    assert draw(ann, 2, [area("red", (5, 5, 15, 15), "0 100")]).json["said"] == "Row 2 kept."  # it is red already
    outcome = apply_to_file(folder, None, tmp_path / "clean")
    assert [(c.row, c.old, c.new) for c in outcome.provenance.changes] == [
        (6, "ground", "red"),
        (6, "ground", "no class (255)"),
    ]
    for file in (tmp_path / "masks").iterdir():
        same = file.read_bytes() == (tmp_path / "clean" / file.name).read_bytes()
        assert same == (file.name != "06.png")
    with Image.open(tmp_path / "masks" / "06.png") as old, Image.open(tmp_path / "clean" / "06.png") as new:
        expected = np.asarray(old).copy()
        expected[2:5, 1:4], expected[2:4, 30:32] = [[1, 1, 1], [1, 0, 1], [1, 1, 1]], 255
        assert (np.asarray(new) == expected).all()
    again = apply_to_file(folder, None, tmp_path / "again", source=tmp_path / "clean")
    assert again.changed == 0
    tried = apply_to_file(folder, None, None, dry_run=True)
    assert "@@ row 6, 06.png, 8 pixels in 1,2 to 4,5 @@" in list(tried.diff())


def test_areas_that_fit_no_picture_are_refused(opens, ledgers, tmp_path):
    opened = opens(ledgers.masks(tmp_path))
    ann = opened.person("ann")
    for shapes, said in (
        ([area("red", (35, 2, 45, 4), "0 20")], "within 40 x 30"),
        ([area("red", (-1, 2, 4, 4), "0 10")], "within 40 x 30"),
        ([area("red", (0, 0, 10**12, 10**12), "0 1")], "within 40 x 30"),
        ([area("red", (0.5, 0, 2, 2), "0 3")], "whole numbers"),
        ('[{"label": "red", "box": [NaN, 0, 2, 2], "runs": "0 4"}]', "whole numbers"),
        ([area("red", (0, 0, 2, 2), "0 5")], "2 x 2 pixels together"),
        ([area("red", (0, 0, 2, 2), f"{2**62} {2**62} {2**62} {2**62} 4")], "2 x 2 pixels together"),
        ([area("red", (0, 0, 2, 2), "9" * 5000)], "runs"),
        ([area("red", (0, 0, 2, 2), "0 -4 8")], "2 x 2 pixels together"),
        ([area("red", (0, 0, 2, 2), "zero")], "lengths of runs"),
        ([area("green", (0, 0, 2, 2), "0 4")], "green"),
        ([area(["red"], (0, 0, 2, 2), "0 4")], "one of the classes"),
        ([box("red", 0, 0, 2, 2)], "2 x 2 pixels together"),
        ([area("red", (0, 0, 1, 1), "0 1")] * 2000, "at most"),
        ([{"box": [0, 0, 2, 2]}], "'label', 'box' and 'runs'"),
    ):
        reply = draw(ann, 4, shapes)
        assert reply.status in (400, 404), shapes
        assert said in reply.json["error"], (shapes, reply.json["error"])
    assert opened.record.history() == []


def test_two_people_who_paint_nearly_the_same_agree(opens, ledgers, tmp_path):
    opened = opens(ledgers.masks(tmp_path), overlap=2)
    ann, bob = opened.person("ann"), opened.person("bob")
    for row, other in ((4, area("blue", (20, 18, 34, 28), "0 140")), (9, area("ground", (20, 18, 35, 28), "0 150"))):
        draw(ann, row, [area("blue" if row == 4 else "red", (20, 18, 35, 28), "0 150")])
        draw(bob, row, [other])
    assert opened.record.table()["row"].tolist() == [4]
    assert list(opened.record.agreement().disputed) == [9]


# -- all --------------------------------------------------------------------------------------------------------------


def test_where_there_is_nothing_to_draw_on_it_says_so(opens, ledgers, folder, tmp_path):
    person = opens().person("ann")  # rows with a class each
    assert person.get("/sheet?row=0").status == 404
    assert 'data-key="e"' not in person.get("/").text
    assert draw(person, 0, [NEW]).status == 400
    person = opens(ledgers.numbers(tmp_path)).person("ann")
    assert person.get("/sheet?row=11").status == 404
    assert draw(person, 11, [NEW]).status == 400
    place = ledgers.boxes(tmp_path)
    for file in (tmp_path / "images").iterdir():
        file.unlink()
    person = opens(place).person("ann")
    assert person.get("/sheet?row=3").status == 404
    assert 'data-key="r"' in person.get("/?row=3").text  # it can still be typed


def test_what_was_acknowledged_is_there_when_the_server_is_killed(ledgers, person_class, start, tmp_path):
    folder = ledgers.boxes(tmp_path)
    process, url = start(folder)
    people = {name: person_class(int(url.rsplit(":", 1)[1].strip("/"))).join(name) for name in ("ann", "bob")}
    kept: dict[str, list[tuple[int, list]]] = {name: [] for name in people}

    def work(name: str) -> None:
        for i in range(10_000):
            row, shapes = i % 12, [box("red", i % 7, i % 11, 20 + i / 8 % 19, 29), box("blue", *BLUE)]
            try:
                reply = draw(people[name], row, shapes)
            except (OSError, http.client.HTTPException):
                return
            assert reply.status == 200
            kept[name].append((row, shapes))

    threads = [threading.Thread(target=work, args=(name,), daemon=True) for name in people]
    for thread in threads:
        thread.start()
    while min(map(len, kept.values())) < 15:
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    for thread in threads:
        thread.join(30)
    with Decisions(folder) as record:
        history = record.history()
    for name, drawn in kept.items():
        own = [(d.row, json.loads(d.label)) for d in history if d.reviewer == name]
        assert own[: len(drawn)] == drawn
        assert len(own) <= len(drawn) + 1  # one more may be on the disk, its answer lost
