import json

import numpy as np
import pytest

from errata.data.boxes import open_boxes
from errata.errors import DataError, UnknownNameError

DICTS = [
    {"boxes": [[10, 20, 50, 60], [0, 0, 20, 10]], "labels": ["cat", "dog"]},
    {"boxes": [], "labels": []},
    {"boxes": [[5, 5, 15, 25]], "labels": ["dog"]},
]


def coco(scores=False):
    categories = [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}]
    numbers = {"cat": 7, "dog": 3}
    annotations = [
        {
            "image_id": 100 + i,
            "category_id": numbers[label],
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            **({"score": 0.9} if scores else {}),
        }
        for i, image in enumerate(DICTS)
        for (x0, y0, x1, y1), label in zip(image["boxes"], image["labels"])
    ]
    images = [{"id": 100 + i, "file_name": f"{'abc'[i]}.jpg"} for i in range(3)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_yolo(folder, scores=False):
    folder.mkdir()
    for name, image in zip("abc", DICTS):
        lines = []
        for (x0, y0, x1, y1), label in zip(image["boxes"], image["labels"]):
            numbers = [(x0 + x1) / 200, (y0 + y1) / 200, (x1 - x0) / 100, (y1 - y0) / 100, *([0.9] if scores else [])]
            lines.append(" ".join([str(["cat", "dog"].index(label)), *map(str, numbers)]))
        (folder / f"{name}.txt").write_text("\n".join(lines))


def test_formats_say_the_same(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    write_yolo(tmp_path / "yolo")
    (tmp_path / "yolo" / "classes.txt").write_text("cat\ndog\n")
    lists, file, folder = (open_boxes(s) for s in (DICTS, tmp_path / "coco.json", tmp_path / "yolo"))
    for boxes in (lists, file, folder):
        assert boxes.classes == ["cat", "dog"]
        assert boxes.offsets.tolist() == [0, 2, 2, 3]
        assert boxes.labels.tolist() == [0, 1, 1]
        assert boxes.scores is None
    np.testing.assert_allclose(lists.corners, file.corners)
    np.testing.assert_allclose(lists.corners / 100, folder.corners)
    assert file.names == ["a.jpg", "b.jpg", "c.jpg"]


def test_predictions_are_brought_into_the_order_of_the_labels(tmp_path):
    (tmp_path / "coco.json").write_text(json.dumps(coco()))
    given = open_boxes(tmp_path / "coco.json")
    results = coco(scores=True)["annotations"][::-1]
    (tmp_path / "results.json").write_text(json.dumps(results))
    seen = open_boxes(tmp_path / "results.json", like=given)
    assert seen.offsets.tolist() == [0, 2, 2, 3]
    assert sorted(seen.labels.tolist()) == [0, 1, 1]
    assert seen.scores.tolist() == [0.9] * 3
    whole = coco(scores=True)
    whole["images"] = whole["images"][::-1]
    (tmp_path / "whole.json").write_text(json.dumps(whole))
    np.testing.assert_allclose(open_boxes(tmp_path / "whole.json", like=given).corners, given.corners)
    write_yolo(tmp_path / "yolo", scores=True)
    (tmp_path / "yolo" / "b.txt").unlink()
    assert open_boxes(tmp_path / "yolo", like=given).offsets.tolist() == [0, 2, 2, 3]
    numbers = [{**image, "labels": [["cat", "dog"].index(n) for n in image["labels"]]} for image in DICTS]
    numbers = [{**image, "scores": np.full(len(image["labels"]), 0.5)} for image in numbers]
    assert open_boxes(numbers, like=given).labels.tolist() == given.labels.tolist()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"boxes": [[10, 20, 5, 60]], "labels": ["cat"]}, r"image 0: a box must have x0 < x1 .* found \[10.0, 20.0"),
        ({"boxes": [[10, 20, 50]], "labels": ["cat"]}, r"shape \(n, 4\)"),
        ({"boxes": [[10, 20, 50, 60]], "labels": []}, "1 boxes, 0 labels"),
        ({"labels": []}, "expected a dict of 'boxes' and 'labels'"),
        ({"boxes": [["a", 2, 3, 4]], "labels": ["cat"]}, "must be numbers"),
    ],
)
def test_bad_boxes_are_told_with_their_image(change, says):
    with pytest.raises(DataError, match=says):
        open_boxes([change])


def test_bad_files_and_predictions(tmp_path):
    given = open_boxes(DICTS)
    with pytest.raises(DataError, match="needs a score"):
        open_boxes(DICTS, like=given)
    with pytest.raises(DataError, match="3 images and predictions of 1"):
        open_boxes(DICTS[:1], like=given)
    scored = [{**image, "scores": [2.0] * len(image["boxes"])} for image in DICTS]
    with pytest.raises(DataError, match="scores must lie in"):
        open_boxes(scored, like=given)
    with pytest.raises(UnknownNameError, match="class named 'cow'"):
        open_boxes([{"boxes": [[0, 0, 1, 1]], "labels": ["cow"], "scores": [1]}, DICTS[1], DICTS[1]], like=given)
    (tmp_path / "bad.json").write_text('{"images": []}')
    with pytest.raises(DataError, match="KeyError at 'categories'"):
        open_boxes(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text("[]")
    with pytest.raises(DataError, match="as labels a COCO data set is needed"):
        open_boxes(tmp_path / "bad.json")
    with pytest.raises(DataError, match=r"the labels must be a COCO \.json too"):
        open_boxes(tmp_path / "bad.json", like=given)
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(DataError, match="can't be read"):
        open_boxes(tmp_path / "bad.json")
    (tmp_path / "yolo").mkdir()
    with pytest.raises(DataError, match=r"holds no \.txt file"):
        open_boxes(tmp_path / "yolo")
    (tmp_path / "yolo" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\ncat 1 2 3 4\n")
    with pytest.raises(DataError, match=r"a\.txt, line 2: expected class, centre"):
        open_boxes(tmp_path / "yolo")
