"""ADELE: the identities of its equations, the law for its second variant, and what it is for: better masks."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from errata import systems
from errata.errors import MissingExtraError, ParameterError
from errata.models import UNet
from errata.noise import erode_or_dilate
from errata.parts import Batch
from errata.scores.pixels import confusion, iou_of
from errata.systems.segmentation.adele import multiscale_consistency
from errata.testing import check_system
from errata.testing.problems import batches
from errata.testing.segmentation import make_masks
from errata.testing.training import fit

VOC = {
    "variant": "voc",
    "curve_epochs": 1,
    "eval_interval": 2,
    "flip_from": 2,
    "tau": 0.5,
    "optimizer": "adam",
    "lr": 0.03,
}


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=name) for name, check in check_system("adele", **VOC) if name != "card"]
)
def test_the_law_holds_for_the_voc_variant_too(check):
    check()


def problem(seed, scale=1.0, shape=(3, 2, 4, 5, 6)):
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(*shape, generator=random, dtype=torch.float64)
    label = torch.randint(0, shape[2], (shape[1], *shape[3:]), generator=random)
    label[torch.rand(label.shape, generator=random) < 0.1] = 255
    return logits, label


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_equal_predictions_are_consistent_and_the_cross_entropy_has_temperature_three(seed):
    logits, label = problem(seed, scale=0.5)
    z = logits[0]
    found = multiscale_consistency([z, z, z], label, torch.ones(3, dtype=torch.float64), rho=0.0)
    assert float(found.consistency) == pytest.approx(0, abs=1e-12)
    expected = 3 * F.cross_entropy(z / 3, label, ignore_index=255, reduction="none").mean()
    assert float(found.ce) == pytest.approx(float(expected))


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 3.0))
@settings(max_examples=20, deadline=None)
def test_the_consistency_is_no_less_than_zero_without_a_clamp(seed, scale):
    logits, label = problem(seed, scale)
    theta = torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64)
    assert float(multiscale_consistency(list(logits), label, theta, rho=0.0, q_clamp=(0.0, 1.0)).consistency) >= 0


def test_a_closed_gate_leaves_no_gradient():
    logits, label = problem(0)
    logits.requires_grad_()
    found = multiscale_consistency(list(logits), label, torch.ones(3, dtype=torch.float64), rho=1.1)
    assert not found.image_gate.any()
    assert float(found.consistency.detach()) == 0
    assert not torch.autograd.grad(found.consistency, logits)[0].any()
    ignored = multiscale_consistency(list(logits), torch.full_like(label, 255), torch.ones(3), rho=0.01)
    assert not ignored.image_gate.any()


def test_weights_of_the_scales_are_learned_without_decay_or_schedule():
    system = systems.load("adele")(UNet(3, width=4, depth=1), 3, 4, variant="voc", lr=0.1, weight_decay=0.5)
    images = torch.rand(4, 3, 12, 12)
    masks = (images[:, 0] > 0.5).long()
    fit(system, [Batch(torch.arange(4), images, masks)], epochs=2)
    assert system.scale_params.requires_grad
    assert not torch.equal(system.scale_params, torch.ones(3))
    groups = system.trained_parameters()
    assert groups[1]["weight_decay"] == 0.0
    medical = systems.load("adele")(UNet(3, width=4, depth=1), 3, 4)
    assert not medical.scale_params.requires_grad


def test_masks_stay_as_given_until_a_class_is_on():
    system = systems.load("adele")(UNet(3, width=4, depth=1), 3, 4, tau_fg=0.5, tau_bg=0.5)
    images = torch.rand(4, 3, 12, 12)
    masks = (images[:, 0] > 0.5).long()
    fit(system, [Batch(torch.arange(4), images, masks)], epochs=3)
    assert not system.monitor.on.any()
    assert system.masks.generation == 0
    assert torch.equal(system.masks.current(range(4)).long(), masks)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"variant": "vox"}, "voc"),
        ({"tau_fg": 0.3}, r"tau_fg must be in \[0.5, 1\]"),
        ({"scales": ()}, "scales must be one or more"),
        ({"r": 2.0}, "r must be in"),
        ({"correct_freq": 0}, "correct_freq"),
        ({"background": 3}, "background must be one of the classes 0 to 2"),
        ({"lambda_": -1.0}, "lambda_"),
    ],
)
def test_settings_that_make_no_sense(options, match):
    with pytest.raises(ParameterError, match=match):
        systems.load("adele")(UNet(3, width=4, depth=1), 3, 4, **options)


def shapes(n, seed, side=32):
    """Images with a disc and a square among noise, and their masks: the small experiment of the method's dossier."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    masks = np.zeros((n, side, side), dtype=np.uint8)
    for mask in masks:
        cy, cx, r = rng.integers(7, side - 7), rng.integers(7, side // 2), rng.integers(5, 8)
        mask[(y - cy) ** 2 + (x - cx) ** 2 <= r * r] = 1
        cy, cx, r = rng.integers(7, side - 7), rng.integers(side // 2 + 4, side - 6), rng.integers(4, 7)
        mask[(abs(y - cy) <= r) & (abs(x - cx) <= r)] = 2
    colours = np.array([[0, 0, 0], [1, 0.2, 0.2], [0.2, 0.4, 1]], dtype=np.float32)
    images = colours[masks].transpose(0, 3, 1, 2) + rng.normal(0, 0.35, (n, 3, side, side))
    return torch.from_numpy(images.astype(np.float32)), masks


def test_corrected_masks_are_better_than_the_given_ones():
    images, truth = shapes(40, seed=0)
    noisy = erode_or_dilate(truth, 3, seed=1, target=150, iterations=(2, 3))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = UNet(3, width=8, depth=2)
    system = systems.load("adele")(
        network, 3, 40, scales=(1.0,), correct_freq=1, optimizer="adam", lr=4e-3, weight_decay=0.0
    )
    given = torch.from_numpy(noisy).long()
    fit(system, [Batch(rows, images[rows], given[rows]) for rows in torch.arange(40).split(8)], epochs=18)
    corrected = system.masks.current(range(40)).numpy()

    def miou(masks):
        return np.nanmean(iou_of(confusion(torch.from_numpy(masks), torch.from_numpy(truth), 3)))

    assert system.monitor.on.any()
    assert miou(corrected) > miou(noisy) + 0.03
    ledger = system.ledger(noisy, ["ground", "disc", "square"])
    assert ledger.parts["issue"].any()
    changed = corrected != noisy
    assert (corrected == truth)[changed].mean() > 0.7


def with_crf():
    problem = make_masks(8)
    system = systems.load("adele")(problem.network(), 3, len(problem), views=problem.views, crf=True, **VOC)
    return system, batches(problem)


def test_corrections_may_be_drawn_to_the_edges_by_a_dense_crf():
    pytest.importorskip("pydensecrf", reason="needs the extra 'crf', which is compiled when it is installed")
    system, data = with_crf()
    fit(system, data, epochs=4)
    rows, best, top = next(iter(system.predict_again(data, flip=False)))
    assert best.shape == top.shape == (len(rows), 12, 12)
    system.crf = False
    assert not np.array_equal(top, next(iter(system.predict_again(data, flip=False)))[2])


def test_a_missing_crf_is_told_before_the_training(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydensecrf.densecrf", None)
    system, data = with_crf()
    with pytest.raises(MissingExtraError, match=r"errata\[crf\]"):
        fit(system, data)
