import json
import re
import zipfile

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

import errata
from errata.errors import DataError, ParameterError

GIVEN = [
    {"boxes": [[0, 0, 10, 10], [20, 20, 40, 40]], "labels": ["cat", "dog"]},
    {"boxes": [], "labels": []},
    {"boxes": [[0, 0, 10, 10]], "labels": ["cat"]},
]
SEEN = [
    {"boxes": [[0, 0, 10, 10], [20, 20, 41, 41]], "labels": ["cat", "dog"], "scores": [0.9, 0.8]},
    {"boxes": [[5, 5, 25, 25]], "labels": ["dog"], "scores": [0.9]},
    {"boxes": [[0, 0, 10, 10]], "labels": ["dog"], "scores": [0.95]},
]


def test_rows_parts_and_counts(tmp_path):
    ledger = errata.audit(GIVEN, predictions=SEEN, task="boxes")
    assert ledger.issue.tolist() == [False, True, True]
    assert ledger.columns["overlooked"].tolist() == [0, 1, 0]
    assert ledger.columns["swapped"].tolist() == [0, 0, 1]
    assert ledger.columns["boxes"].tolist() == [2, 0, 1]
    parts = ledger.parts
    assert parts["kind"].tolist() == ["fine", "fine", "overlooked", "swapped"]
    assert parts["given"].tolist() == ["cat", "dog", "", "cat"]
    assert parts["proposed"].tolist() == ["cat", "dog", "dog", "dog"]
    assert parts[["x0", "x1", "px0"]].iloc[2].tolist() == [5, 25, 5]
    ledger.save(tmp_path)
    assert errata.Ledger.load(tmp_path).parts["kind"].tolist() == parts["kind"].tolist()


def test_an_image_gets_the_same_trust_alone_and_in_a_batch():
    together = errata.audit(GIVEN, predictions=SEEN, task="boxes", classes=["cat", "dog"])
    for i in range(3):
        alone = errata.audit(GIVEN[i : i + 1], predictions=SEEN[i : i + 1], task="boxes", classes=["cat", "dog"])
        assert alone.trust[0] == together.trust[i]


def test_progress_is_told():
    heard = []
    errata.audit(GIVEN, predictions=SEEN, task="boxes", progress=lambda share, what: heard.append(share))
    assert heard[-1] == 1
    errata.audit(GIVEN, predictions=SEEN, task="boxes", progress=False)


def test_thresholds_are_arguments_and_what_is_refused():
    strict = errata.audit(GIVEN, predictions=SEEN, task="boxes", sure=0.92)
    assert strict.columns["overlooked"].tolist() == [0, 0, 0]
    with pytest.raises(ParameterError, match=r"overlap must lie in \[0, 1\]"):
        errata.audit(GIVEN, predictions=SEEN, task="boxes", overlap=50)
    with pytest.raises(ParameterError, match="temperature"):
        errata.audit(GIVEN, predictions=SEEN, task="boxes", temperature=0)
    with pytest.raises(ParameterError, match="predictions="):
        errata.audit(GIVEN, task="boxes")
    with pytest.raises(DataError, match="3 images with boxes and 2 pictures"):
        errata.audit(GIVEN, predictions=SEEN, task="boxes", images=np.zeros((2, 8, 8, 3), np.uint8))


def test_pictures_are_found_by_their_names(tmp_path):
    from PIL import Image

    for grey, name in enumerate(["a", "b", "c", "d"]):
        Image.new("L", (8, 8), 10 * grey).save(tmp_path / f"{name}.png")
    coco = {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate("dba")],
        "categories": [{"id": 0, "name": "cat"}],
        "annotations": [{"image_id": 1, "category_id": 0, "bbox": [1, 1, 4, 4]}],
    }
    (tmp_path / "labels.json").write_text(json.dumps(coco))
    (tmp_path / "seen.json").write_text("[]")
    ledger = errata.audit(
        tmp_path / "labels.json", predictions=tmp_path / "seen.json", task="boxes", images=str(tmp_path)
    )
    assert ledger.columns["image"].tolist() == ["d.jpg", "b.jpg", "a.jpg"]
    assert ledger.data.images.pixels(ledger.data.rows)[:, 0, 0, 0].tolist() == [30, 10, 0]
    assert ledger.parts["kind"].tolist() == ["unsupported"]


def test_planted_errors_in_real_boxes(shared_data):
    """Blood cells: predictions are the true boxes, a little off and not all of them; three in a hundred are spoilt."""
    rng = np.random.default_rng(0)
    given, seen, wrong = [], [], []
    with zipfile.ZipFile(shared_data / "detection" / "bccd.zip") as archive:
        for name in [n for n in archive.namelist() if n.endswith(".xml")][:120]:
            text = archive.read(name).decode()
            labels = re.findall(r"<name>(\w+)</name>", text)
            numbers = [
                [int(v) for v in re.findall(rf"<{c}>(\d+)</{c}>", text)] for c in ("xmin", "ymin", "xmax", "ymax")
            ]
            boxes = np.array(numbers, dtype=float).T
            kept = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
            boxes, labels = boxes[kept], np.array(labels)[kept]
            size = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
            found = rng.random(len(boxes)) < 0.95
            near = boxes + rng.normal(scale=0.03, size=boxes.shape) * size
            seen.append({"boxes": near[found], "labels": labels[found], "scores": rng.uniform(0.55, 1, found.sum())})
            spoil = rng.choice(["", "gone", "moved", "swapped"], len(boxes), p=[0.97, 0.01, 0.01, 0.01])
            boxes[spoil == "moved"] += (0.6 * size)[spoil == "moved"]
            labels = np.where(spoil == "swapped", np.where(labels == "RBC", "WBC", "RBC"), labels)
            given.append({"boxes": boxes[spoil != "gone"], "labels": labels[spoil != "gone"]})
            wrong.append((spoil != "").any())
    ledger = errata.audit(given, predictions=seen, task="boxes", classes=["Platelets", "RBC", "WBC"])
    assert 0.25 < np.mean(wrong) < 0.4
    assert average_precision_score(wrong, -ledger.trust) > 0.7  # what neither list has can't be found
