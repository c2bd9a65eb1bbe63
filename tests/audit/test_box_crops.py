"""Boxes that come without a detector: red and blue things in pictures, some with the other's class."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import errata
from errata.audit.box_crops import crops_of
from errata.data import read
from errata.data.boxes import open_boxes
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.forms import form_of
from errata.forms.boxes import BoxesForm

torch.manual_seed(0)
MODEL = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 2))
NAMES = ["red", "blue"]
QUICK = {"task": "boxes", "model": MODEL, "epochs": 15, "batch_size": 16, "lr": 0.1, "folds": 3, "device": "cpu"}
QUICK |= {"progress": False}


def scenes(n=24, side=48, seed=0):
    """Pictures with two to four things on a grid, each a little moved."""
    rng = np.random.default_rng(seed)
    pictures = rng.integers(90, 130, (n, side, side, 3)).astype(np.uint8)
    labels = []
    for picture in pictures:
        boxes, kinds = [], []
        for place in rng.choice(4, rng.integers(2, 5), replace=False):
            x, y = 24 * (place % 2) + rng.integers(1, 8), 24 * (place // 2) + rng.integers(1, 8)
            w, h = rng.integers(9, 15, 2)
            kind = int(rng.integers(2))
            picture[y : y + h, x : x + w] = (220, 30, 30) if kind == 0 else (30, 30, 220)
            boxes.append([x, y, x + w, y + h])
            kinds.append(NAMES[kind])
        labels.append({"boxes": np.array(boxes, dtype=float), "labels": kinds})
    return pictures, labels


def spoil(labels):
    """Three swapped classes, one box given twice, one without a width."""
    given = [{"boxes": one["boxes"].copy(), "labels": list(one["labels"])} for one in labels]
    for image in (2, 9, 17):
        given[image]["labels"][0] = NAMES[given[image]["labels"][0] == "red"]
    given[5] = {
        "boxes": np.vstack([given[5]["boxes"], given[5]["boxes"][:1]]),
        "labels": [*given[5]["labels"], given[5]["labels"][0]],
    }
    given[12]["boxes"][1, 2] = given[12]["boxes"][1, 0] + 1
    return given


@pytest.fixture(scope="module")
def spoilt():
    pictures, labels = scenes()
    return pictures, spoil(labels)


@pytest.fixture(scope="module")
def ledger(spoilt):
    pictures, given = spoilt
    return errata.audit(pictures, given, classes=NAMES, **QUICK)


def test_swapped_doubled_and_thin_boxes_are_found(ledger):
    parts = ledger.parts
    flagged = parts[parts["issue"]]
    assert sorted(zip(flagged["kind"], flagged["row"])) == [
        ("odd", 12),
        ("swapped", 2),
        ("swapped", 9),
        ("swapped", 17),
        ("twice", 5),
    ]
    swapped = flagged[flagged["kind"] == "swapped"]
    assert (swapped["given"] != swapped["proposed"]).all()
    assert set(np.flatnonzero(ledger.issue)) == {2, 5, 9, 12, 17}
    assert set(ledger.order[:5]) == {2, 5, 9, 12, 17}
    assert ledger.columns["swapped"].sum() == 3
    assert ledger.columns["twice"][5] == ledger.columns["odd"][12] == 1
    assert "3-fold cross-validation by groups" in ledger.meta["probabilities"]
    assert "missing or badly located" in ledger.meta["notes"][0]
    assert len(ledger.data) == 24


def test_a_double_is_left_out_where_it_is_decided_so(spoilt, ledger, tmp_path):
    _, given = spoilt
    form = BoxesForm(ledger, open_boxes(given, classes=NAMES))
    assert form.fits(5, form.given(5))
    assert [doubt.new for doubt in form.doubts(5)] == [""]
    assert len(form.given(5)) - len(form.proposed(5)) == 1
    assert len(set(form.proposed(5))) == len(form.proposed(5))
    assert form.proposed(2)[0].label != form.given(2)[0].label
    assert form.same(form.proposed(12), form.given(12))  # nobody knows how wide it is
    ledger.save(tmp_path)
    assert errata.Ledger.load(tmp_path).parts["kind"].tolist() == ledger.parts["kind"].tolist()


def test_crops_show_the_box_and_how_large_it_is():
    picture = np.zeros((1, 20, 40, 3), dtype=np.uint8)
    picture[0, 5:15, 10:30] = (10, 20, 30)
    inside = {"boxes": [[10, 5, 30, 15]], "labels": ["a"]}
    crops, sizes = crops_of(read(picture, False), open_boxes([inside]), side=24)
    assert sizes.tolist() == [[40, 20]]
    assert crops[0, :3, 12, 12].tolist() == [10, 20, 30]
    assert crops[0, :3, 1, 12].tolist() == [0, 0, 0]
    assert crops[0, 3, 12, 12] == 127  # a quarter of the picture
    assert crops[0, 3, 1, 12] == 0
    beyond = {"boxes": [[-500, -500, 900, 900], [35, 15, 60, 30]], "labels": ["a", "a"]}
    crops, _ = crops_of(read(picture, False), open_boxes([beyond]), side=8)
    assert crops.shape == (2, 4, 8, 8)


def test_yolos_and_cocos_files_say_the_same(tmp_path):
    """YOLO's files beside the pictures, and COCO's JSON, say the same."""
    pictures, given = scenes(12, seed=1)
    for place in ("images", "labels"):
        (tmp_path / place).mkdir()
    images, annotations = [], []
    for i, (picture, one) in enumerate(zip(pictures, given)):
        Image.fromarray(picture).save(tmp_path / "images" / f"{i:02}.png")
        lines = []
        for (x0, y0, x1, y1), kind in zip(one["boxes"], one["labels"]):
            centre = [(x0 + x1) / 96, (y0 + y1) / 96, (x1 - x0) / 48, (y1 - y0) / 48]
            lines.append(" ".join(map(str, [NAMES.index(kind), *centre])))
            box = [x0, y0, x1 - x0, y1 - y0]
            annotations.append({"id": len(annotations), "image_id": i, "category_id": NAMES.index(kind), "bbox": box})
        (tmp_path / "labels" / f"{i:02}.txt").write_text("\n".join(lines))
        images.append({"id": i, "file_name": f"{i:02}.png", "width": 48, "height": 48})
    categories = [{"id": i, "name": name} for i, name in enumerate(NAMES)]
    whole = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(whole))
    yolo = errata.audit(tmp_path, classes=NAMES, **QUICK)
    coco = errata.audit(tmp_path / "images", label=tmp_path / "coco.json", **QUICK)
    assert yolo.parts["kind"].tolist() == coco.parts["kind"].tolist()
    assert np.abs(yolo.trust - coco.trust).max() < 0.05  # corners are rounded another way
    assert form_of(coco).given(0) == BoxesForm(coco, open_boxes(tmp_path / "coco.json")).given(0)
    by_group = errata.audit(tmp_path, classes=NAMES, groups="^[01]", **{**QUICK, "folds": 2, "epochs": 1})
    assert len(by_group) == 12


def test_one_class_is_judged_by_shape_alone(spoilt):
    pictures, given = spoilt
    one = [{"boxes": image["boxes"], "labels": ["thing"] * len(image["boxes"])} for image in given]
    ledger = errata.audit(one, images=pictures, task="boxes", progress=False)
    assert set(ledger.parts["kind"][ledger.parts["issue"]]) == {"twice", "odd"}
    assert any("one class" in note for note in ledger.meta["notes"])


def test_what_is_refused(spoilt):
    pictures, given = spoilt
    with pytest.raises(ParameterError, match="errata trains no detector"):
        errata.audit(given, task="boxes")
    with pytest.raises(DataError, match="holds no box"):
        errata.audit(pictures[:1], [{"boxes": [], "labels": []}], task="boxes")
    with pytest.raises(DataError, match="24 images with boxes and 3 pictures"):
        errata.audit(pictures[:3], given, **QUICK)
    with pytest.raises(DataError, match="2 groups with labels, too few for 3 folds"):
        errata.audit(pictures[:2], given[:2], **QUICK)
    with pytest.raises(UnknownNameError, match="epoch"):
        errata.audit(pictures, given, task="boxes", epoch=3, progress=False)
    with pytest.raises(ParameterError, match="nothing is trained"):
        errata.audit(given, predictions=given, epochs=3, task="boxes")
    with pytest.raises(ParameterError, match="double"):
        errata.audit(pictures, given, double=2, task="boxes")
