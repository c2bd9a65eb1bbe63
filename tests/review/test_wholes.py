"""Rows whose labels are no classes: shown with what looks wrong in them, and decided part by part."""

from __future__ import annotations

import numpy as np
from PIL import Image

import errata
from errata.correct.apply import apply_to_file


def standing(opened):
    return [(d.row, d.action, d.label) for d in opened.record.standing()]


def test_tokens_are_decided_one_by_one(opens, ledgers, tmp_path):
    folder = ledgers.tokens(tmp_path)
    opened = opens(folder, reviewer="ann")
    person = opened.person()
    page = person.get("/").text
    assert '<mark class="given level3">Rome</mark>' in page
    assert "token 0, Rome" in page
    assert "<option>B-PER</option>" in page
    assert person.decide(7, "parts", part0="B-PER").json["said"] == 'Row 7 relabelled as ["B-PER", "O", "O"].'
    assert person.decide(13, "parts", part0="(as proposed)").status == 200
    assert person.decide(0, "relabel", '["B-PER", "O", "O", "B-LOC"]').json["said"] == "Row 0 kept."
    assert person.decide(1, "parts").json["said"] == "Row 1 kept."
    for label, said in (('["O"]', "4 labels"), ('["B-TIME", "O", "O", "O"]', "B-TIME"), ("O", "JSON list")):
        refused = person.decide(1, "relabel", label)
        assert refused.status in (400, 404)
        assert said in refused.json["error"]
    assert person.decide(13, "parts", part0="B-TIME").status == 400
    assert standing(opened) == [
        (0, "keep", None),
        (1, "keep", None),
        (7, "relabel", '["B-PER", "O", "O"]'),
        (13, "relabel", '["O", "B-PER", "O", "B-LOC", "I-LOC"]'),
    ]
    outcome = apply_to_file(folder, None, tmp_path / "clean.conll")
    assert [(c.row, c.old, c.new) for c in outcome.provenance.changes] == [(7, "O", "B-PER"), (13, "O", "I-LOC")]


def test_boxes_are_drawn_and_can_be_left_out(opens, ledgers, tmp_path):
    opened = opens(ledgers.boxes(tmp_path), reviewer="ann")
    person = opened.person()
    assert "overlooked" in person.get("/").text
    reply = person.get("/image?row=5&side=640")
    assert reply.headers["content-type"] == "image/png"
    (tmp_path / "shown.png").write_bytes(reply.body)
    with Image.open(tmp_path / "shown.png") as shown:
        pixels = np.asarray(shown.convert("RGB")).reshape(-1, 3)
    for colour in ((214, 58, 47), (31, 148, 92), (90, 90, 90)):  # given, proposed, and what both agree on
        assert (pixels == colour).all(axis=1).sum() > 50
    assert '<option value="(remove)">' in person.get("/?row=5").text
    assert person.decide(5, "parts", part0="(remove)").status == 200
    assert person.decide(3, "parts", part0="red").status == 200
    blue = '{"label": "blue", "box": [20.0, 18.0, 35.0, 28.0]}'
    assert standing(opened) == [
        (3, "relabel", '[{"label": "red", "box": [5.0, 5.0, 15.0, 15.0]}, ' + blue.replace("blue", "red") + "]"),
        (5, "relabel", f"[{blue}]"),
    ]


def test_areas_of_masks_are_given_a_class(opens, ledgers, tmp_path):
    opened = opens(ledgers.masks(tmp_path), reviewer="ann")
    person = opened.person()
    assert "150 pixels in 20,18 to 35,28" in person.get("/").text
    assert person.get("/image?row=4").status == 200
    assert person.decide(4, "parts", part0="ground").status == 200
    assert person.decide(9, "relabel", person.get("/?row=9").text.split('data-proposed="')[1].split('"')[0]
                         .replace("&#34;", '"')).status == 200  # fmt: skip
    assert standing(opened) == [
        (4, "relabel", '[{"label": "ground", "box": [20, 18, 35, 28], "runs": "0 150"}]'),
        (9, "relabel", '[{"label": "red", "box": [6, 6, 14, 14], "runs": "0 64"}]'),
    ]


def test_sets_and_numbers(opens, ledgers, tmp_path):
    opened = opens(ledgers.sets(tmp_path), reviewer="ann")
    person = opened.person()
    assert "data-proposed" in person.get("/").text
    assert person.decide(7, "parts", part0="(as proposed)").json["said"] == "Row 7 relabelled as none."
    assert person.decide(9, "relabel", "loud, fast").json["said"] == "Row 9 relabelled as fast, loud."
    assert person.decide(9, "relabel", "slow").status == 404
    opened = opens(ledgers.numbers(tmp_path), reviewer="ann")
    person = opened.person()
    assert "<ins>161.5</ins>" in person.get("/").text
    assert person.decide(11, "relabel", "12,5").status == 400
    assert person.decide(11, "relabel", "12.50").json["said"] == "Row 11 relabelled as 12.5."


def test_labels_that_are_gone_or_others_can_not_be_changed_here(opens, ledgers, tmp_path):
    folder = ledgers.tokens(tmp_path)
    ledger = errata.Ledger.load(folder)
    text = (tmp_path / "ner.conll").read_text(encoding="utf-8")
    (tmp_path / "ner.conll").write_text(text.replace("Rome\tX\tO", "Rome\tX\tB-LOC"), encoding="utf-8")
    person = opens(folder, reviewer="ann").person()
    assert "they have changed since the ledger was made" in person.get("/").text
    refused = person.decide(7, "relabel", '["B-LOC", "O", "O"]')
    assert refused.status == 400
    assert "errata export" in refused.json["error"]
    assert person.decide(7, "keep").status == 200
    assert len(ledger) == 40
