import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_jaccard_index

from errata.scores.pixels import class_iou, confusion, early_learning_iou, iou_of, memorisation_iou


def masks(seed):
    random = torch.Generator().manual_seed(seed)
    predicted, given, truth = torch.randint(0, 4, (3, 6, 9, 7), generator=random)
    given[0, 0] = 255
    return predicted, given, truth


def test_iou_is_torchmetrics_jaccard():
    predicted, given, _ = masks(0)
    expected = multiclass_jaccard_index(predicted, given, 4, average="none", ignore_index=255).numpy()
    assert iou_of(confusion(predicted, given, 4)) == pytest.approx(expected, rel=1e-6)
    assert class_iou(predicted, given, 4)["iou"].numpy() == pytest.approx(expected, rel=1e-6)


def test_a_network_that_knows_the_truth_has_learned_early_and_one_that_repeats_the_label_has_memorised():
    _, given, truth = masks(1)
    assert early_learning_iou(truth, given, truth, 4) == pytest.approx(1.0)
    assert memorisation_iou(truth, given, truth, 4) == pytest.approx(0.0)
    assert memorisation_iou(given.clamp(max=3), given, truth, 4) == pytest.approx(1.0)
    assert early_learning_iou(given.clamp(max=3), given, truth, 4) == pytest.approx(0.0)


def test_without_a_wrong_pixel_there_is_nothing_to_tell():
    predicted, _, truth = masks(2)
    assert np.isnan(early_learning_iou(predicted, truth, truth, 4)).all()
