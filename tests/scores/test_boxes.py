import numpy as np
import pytest

from errata.scores.boxes import KINDS, Thresholds, image_trust, iou, judge_image

BOX = np.array([[0.0, 0.0, 10.0, 10.0]])
CAT, DOG = np.array([0]), np.array([1])
NONE = np.empty((0, 4)), np.empty(0, dtype=int), np.empty(0)


def kinds(found):
    return [KINDS[k] for k in found.kind]


def test_overlap_against_counting_pixels():
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 12, (20, 4))
    boxes = np.column_stack([corners[:, :2], corners[:, :2] + 1 + corners[:, 2:]])
    grids = np.zeros((20, 30, 30), dtype=bool)
    for grid, (x0, y0, x1, y1) in zip(grids, boxes):
        grid[y0:y1, x0:x1] = True
    both = (grids[:, None] & grids[None]).sum(axis=(2, 3))
    either = (grids[:, None] | grids[None]).sum(axis=(2, 3))
    np.testing.assert_allclose(iou(boxes.astype(float), boxes.astype(float)), both / either)


def test_each_kind_and_its_trust():
    fine = judge_image(BOX, CAT, BOX * 1.1, CAT, np.array([0.9]))
    assert kinds(fine) == ["fine"]
    assert fine.trust[0] == pytest.approx(1 / 1.21)
    far = judge_image(BOX, CAT, BOX + 9, CAT, np.array([0.9]))
    assert kinds(far) == ["unsupported", "overlooked"]
    moved = judge_image(BOX, CAT, BOX + np.array([5, 0, 5, 0]), CAT, np.array([0.9]))
    assert kinds(moved) == ["badly located"]
    assert moved.trust[0] == pytest.approx(1 / 3)
    swapped = judge_image(BOX, CAT, np.vstack([BOX, BOX]), np.array([1, 0]), np.array([0.9, 0.3]))
    assert kinds(swapped) == ["swapped"]
    assert swapped.trust[0] == pytest.approx(0.4)
    overlooked = judge_image(*NONE[:2], BOX, DOG, np.array([0.8]))
    assert kinds(overlooked) == ["overlooked"]
    assert overlooked.trust[0] == pytest.approx(0.2)
    assert (overlooked.given[0], overlooked.predicted[0]) == (-1, 0)
    alone = judge_image(BOX, CAT, *NONE)
    assert kinds(alone) == ["unsupported"]
    assert alone.trust[0] == 0.5
    assert len(judge_image(*NONE[:2], *NONE).kind) == 0


def test_what_is_unsure_or_seen_twice_is_not_overlooked():
    assert kinds(judge_image(*NONE[:2], BOX, CAT, np.array([0.4]))) == []
    twice = judge_image(*NONE[:2], np.vstack([BOX, BOX * 1.05]), np.array([0, 0]), np.array([0.7, 0.9]))
    assert twice.predicted.tolist() == [1]
    strict = judge_image(*NONE[:2], BOX, CAT, np.array([0.8]), Thresholds(sure=0.85))
    assert len(strict.kind) == 0


def test_the_order_of_boxes_does_not_matter():
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 50, (12, 2))
    boxes = np.column_stack([corners, corners + rng.uniform(5, 20, (12, 2))])
    labels, scores = rng.integers(0, 2, 12), rng.random(12)
    one = judge_image(boxes[:6], labels[:6], boxes[4:] + 1, labels[4:], scores[4:])
    order = rng.permutation(8)
    two = judge_image(boxes[:6][::-1], labels[:6][::-1], (boxes[4:] + 1)[order], labels[4:][order], scores[4:][order])
    np.testing.assert_allclose(np.sort(one.trust), np.sort(two.trust))
    np.testing.assert_allclose(one.trust[:6], two.trust[:6][::-1])


def test_an_image_is_as_good_as_its_worst_box_nearly():
    assert (
        image_trust(np.array([0.95, 0.9])) > image_trust(np.array([0.95, 0.3])) > image_trust(np.array([0.3, 0.3, 0.1]))
    )
    assert image_trust(np.array([0.95, 0.3]), 1e-4) == pytest.approx(0.3)
