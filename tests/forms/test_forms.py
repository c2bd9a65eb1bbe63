"""Labels that are no classes: read, written as text, and taken apart."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import errata
from errata.data.boxes import open_boxes
from errata.data.conll import read_sentences
from errata.errors import DataError
from errata.forms import form_of, task_of
from errata.forms.agreeing import alike_for
from errata.forms.boxes import Box, pairs
from errata.forms.form import REMOVE, TAKE
from errata.ledger import Ledger
from errata.scores.runs import area_of, cut, runs_of


def sentences(wrong: dict[tuple[int, int], str]):
    """A form over twenty sentences, some tokens of which are labelled otherwise."""
    truth = [["O", "B-LOC", "I-LOC", "O"] if i % 2 else ["B-PER", "O", "O", "O"] for i in range(20)]
    labels = [[wrong.get((i, j), label) for j, label in enumerate(row)] for i, row in enumerate(truth)]
    tokens = [["a", "b", "c", "d"]] * 20
    classes = ["B-LOC", "B-PER", "I-LOC", "O"]
    flat = np.array([label for row in truth for label in row])
    probs = np.where(flat[:, None] == np.array(classes), 0.94, 0.02)
    ledger = errata.audit(tokens, labels, task="tokens", pred_probs=probs, classes=classes, progress=False)
    return form_of(ledger, labels=read_sentences(tokens, labels))


def test_a_proposal_that_cuts_an_entity_leaves_it_coded_well():
    form = sentences({(4, 1): "B-LOC", (4, 2): "I-LOC", (5, 3): "I-LOC"})
    assert form.proposed(4) == ["B-PER", "O", "O", "O"]
    assert [part.where for part in form.doubts(4)] == ["token 1, b", "token 2, c"]
    assert form.taken(4, [TAKE, ""]) == ["B-PER", "O", "B-LOC", "O"]  # not I-LOC alone
    assert form.taken(4, ["", TAKE]) == ["B-PER", "B-LOC", "O", "O"]
    assert form.taken(4, ["B-PER", ""]) == ["B-PER", "B-PER", "B-LOC", "O"]
    assert form.given(5) == ["O", "B-LOC", "I-LOC", "I-LOC"]
    assert form.proposed(5) == ["O", "B-LOC", "I-LOC", "O"]
    with pytest.raises(DataError, match="one of the labels B-LOC"):
        form.taken(4, ["LOC", ""])


def test_boxes_are_paired_with_what_they_became():
    a, b = Box("cat", 0, 0, 10, 10), Box("dog", 20, 0, 30, 10)
    moved, other = Box("cat", 1, 0, 11, 10), Box("cat", 20, 0, 30, 10)
    assert pairs([a, b], [b, moved]) == [(0, 1), (1, 0)]
    assert pairs([a, b], [a]) == [(0, 0), (1, None)]
    assert pairs([a, b], [other, a, Box("owl", 50, 50, 60, 60)]) == [(0, 1), (1, 0), (None, 2)]


def test_parts_of_boxes_are_taken_one_by_one():
    given_ = [{"boxes": [[0, 0, 10, 10], [30, 30, 50, 50]], "labels": ["cat", "dog"]}]
    seen = [{"boxes": [[0, 0, 10, 10], [60, 0, 80, 20]], "labels": ["dog", "cat"], "scores": [0.9, 0.9]}]
    classes = ["cat", "dog"]
    ledger = errata.audit(given_, predictions=seen, task="boxes", classes=classes)
    form = form_of(ledger, labels=open_boxes(given_, classes=classes))
    assert [part.where for part in form.doubts(0)] == ["swapped", "overlooked"]
    first, second, new = Box("cat", 0, 0, 10, 10), Box("dog", 30, 30, 50, 50), Box("cat", 60, 0, 80, 20)
    assert form.taken(0, ["", ""]) == form.given(0) == [first, second]
    assert form.proposed(0) == [first._replace(label="dog"), second, new]
    assert form.taken(0, [REMOVE, "dog"]) == [second, new._replace(label="dog")]
    assert form.taken(0, [REMOVE, REMOVE]) == [second]
    with pytest.raises(DataError, match="one of the classes cat, dog"):
        form.taken(0, ["owl", ""])


MASKS = st.lists(st.lists(st.integers(0, 2), min_size=4, max_size=4), min_size=3, max_size=3)


@settings(max_examples=50, deadline=None)
@given(MASKS)
def test_any_mask_can_be_written_and_read(values):
    masks = np.zeros((1, 3, 4), dtype=np.uint8)
    masks[0, 0, 0] = 255
    probs = np.full((1, 3, 3, 4), 1 / 3, dtype=np.float32)
    ledger = errata.audit(
        masks, pred_probs=probs, classes=["a", "b", "c"], ignore=255, task="segmentation", progress=False
    )
    from errata.data.masks import open_masks

    form = form_of(ledger, labels=open_masks(masks))
    mask = np.array(values)
    assert form.same(form.read(0, form.text(0, mask)), mask)
    assert form.same(form.of_areas(0, form.areas(mask), form.given(0)), mask)


@settings(deadline=None)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**36 - 1))
def test_runs_come_back(height, width, bits):
    area = np.array([bits >> i & 1 for i in range(height * width)], dtype=bool).reshape(height, width)
    runs = runs_of(area)
    assert (area_of(runs, height, width) == area).all()
    x0, y0, x1, y1 = cut(area)
    assert area[y0:y1, x0:x1].sum() == area.sum()
    with pytest.raises(DataError, match="pixels together"):
        area_of([*runs, 1], height, width)


def test_names_with_commas_are_written_as_lists():
    labels = [["a, b"], ["c"], ["a, b", "c"], []]
    probs = np.array([[0.9, 0.1], [0.1, 0.9], [0.9, 0.9], [0.1, 0.1]])
    ledger = errata.audit(labels=labels, pred_probs=probs, classes=["a, b", "c"], task="multilabel")
    form = form_of(ledger)
    assert form.text(2, form.given(2)) == '["a, b", "c"]'
    assert form.read(0, '["a, b"]') == ["a, b"]
    assert form.read(0, "a, b") == ["a, b"]
    assert form.read(0, "[]") == []


def test_classes_need_no_form():
    ledger = Ledger([0], [0], [0.5], classes=["a"], meta={"task": "graphs"})
    assert task_of(ledger) == "classification"
    assert form_of(ledger) is None


def test_labels_that_are_gone_are_named():
    ledger = Ledger([0], [0], [0.5], classes=["a"], meta={"task": "tokens", "source": "gone.conll"})
    with pytest.raises(DataError, match=r"sentences of the ledger are not there any more \(gone\.conll\)"):
        form_of(ledger)


# -- what people draw -------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(MASKS)
def test_any_mask_can_be_drawn(values):
    from errata.data.masks import open_masks

    masks = np.zeros((1, 3, 4), dtype=np.uint8)
    masks[0, 0, 0] = 255
    probs = np.full((1, 3, 3, 4), 1 / 3, dtype=np.float32)
    ledger = errata.audit(
        masks, pred_probs=probs, classes=["a", "b", "c"], ignore=255, task="segmentation", progress=False
    )
    form, mask = form_of(ledger, labels=open_masks(masks)), np.array(values)
    assert form.same(form.of_shapes(0, form.shapes(0, mask)), mask)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["O", "B-LOC", "I-LOC", "B-PER"]), min_size=4, max_size=4))
def test_any_sentence_can_be_drawn(labels):
    form = sentences({})
    spans = form.shapes(4, labels)
    assert form.shapes(4, form.of_shapes(4, spans)) == spans


NUMBERS = st.floats(0, 4000, allow_nan=False)
PLACES = st.tuples(NUMBERS, NUMBERS, st.floats(0.5, 900), st.floats(0.5, 900))


@settings(max_examples=100, deadline=None)
@given(st.lists(PLACES, max_size=4), st.randoms())
def test_boxes_are_the_same_whatever_writing_them_rounds_off(places, random):
    label = [Box("ab"[i % 2], x, y, x + w, y + h) for i, (x, y, w, h) in enumerate(places)]
    form = boxes_form()
    short = [[float(f"{v:.10g}") for v in (b.x0, b.y0, b.x1 - b.x0, b.y1 - b.y0)] for b in label]  # as COCO has it
    again = [Box(b.label, x, y, x + w, y + h) for b, (x, y, w, h) in zip(label, short)]
    random.shuffle(again)
    assert form.same(label, again)
    assert form.parts(0, label, again) == []
    if label:
        moved = [again[0]._replace(x1=again[0].x1 + 0.01), *again[1:]]
        assert not form.same(label, moved)
        assert not form.same(label, again[1:])


def boxes_form():
    given_ = [{"boxes": [[0, 0, 1, 1]], "labels": ["a"]}]
    seen = [{"boxes": [[0, 0, 1, 1]], "labels": ["a"], "scores": [0.9]}]
    ledger = errata.audit(given_, predictions=seen, task="boxes", classes=["a", "b"], progress=False)
    return form_of(ledger, labels=open_boxes(given_, classes=["a", "b"]))


def told(*areas):
    return json.dumps([{"label": label, "box": list(corners), "runs": runs} for label, corners, runs in areas])


def test_two_drawings_mean_the_same_where_most_of_them_is():
    alike = alike_for("segmentation")
    one = told(("a", (0, 0, 10, 10), "0 100"))
    assert alike(one, told(("a", (0, 0, 10, 8), "0 80")))
    assert alike(told(("a", (0, 0, 10, 8), "0 80")), one)
    assert not alike(one, told(("a", (0, 0, 10, 7), "0 70")))
    assert not alike(one, told(("b", (0, 0, 10, 10), "0 100")))
    assert not alike(one, told((None, (0, 0, 10, 10), "0 100")))
    assert not alike(one, told(("a", (0, 0, 10, 10), "0 100"), ("a", (50, 50, 60, 60), "0 100")))
    assert alike(one, told(("a", (0, 0, 10, 5), "0 50"), ("a", (0, 5, 10, 10), "0 50")))
    assert alike("[]", "[]")
    for odd in ("[", "7", "[7]", '[{"box": [0, 0, 9, 9], "runs": "x"}]', told(("a", (0, 0, 10**9, 10**9), "0"))):
        assert not alike(one, odd)
        assert alike(odd, odd)
    boxes = alike_for("boxes")
    assert not boxes('[{"label": "a", "box": [0, 0, 9, 9]}]', "[]")
    assert not boxes('[{"label": "a", "box": [0, 0, 9, 9]}]', '[{"label": "a", "box": [NaN, 0, 9, 9]}]')
    assert alike_for("tokens") is None
