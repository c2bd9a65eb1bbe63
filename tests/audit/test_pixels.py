"""Masks that come without probabilities: networks for each fold of the images, on drawings that are learned at once."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import errata
from errata.audit import folds as kept_folds
from errata.audit import pixels
from errata.audit.folds import frame_folds
from errata.errors import DataError, ParameterError, UnknownNameError

torch.manual_seed(0)
SMALL = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))
QUICK = {"task": "segmentation", "epochs": 12, "batch_size": 4, "lr": 0.02, "folds": 3, "device": "cpu"}
NAMES = ["ground", "house", "hut"]
QUICK |= {"model": SMALL, "progress": False}


def drawings(n=18, height=24, width=32, seed=0):
    """Images of a bright house before a dark ground; and the masks: ground 0, house 1."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, height, width), dtype=np.int64)
    for mask in masks:
        y, x = rng.integers(2, height - 12), rng.integers(2, width - 14)
        mask[y : y + 10, x : x + 12] = 1
    images = 60 + 120 * masks[..., None] + rng.integers(0, 40, (*masks.shape, 3))
    return images.astype(np.uint8), masks


@pytest.fixture(scope="module")
def spoilt():
    images, truth = drawings()
    masks = truth.copy()
    wrong = np.zeros(len(masks), dtype=bool)
    wrong[[3, 8, 14]] = True
    masks[wrong] = np.where(truth[wrong] == 1, 0, truth[wrong])  # the house was overlooked
    masks[:, 0] = 255  # nothing is said of the first line
    return images, masks, truth, wrong


@pytest.fixture(scope="module")
def ledger(spoilt):
    images, masks, _, _ = spoilt
    return errata.audit(images, masks, classes=NAMES, **QUICK)


def test_overlooked_houses_are_found_by_networks_that_have_not_seen_them(spoilt, ledger):
    _, _, _, wrong = spoilt
    assert set(ledger.order[:3]) == set(np.flatnonzero(wrong))
    assert ledger.issue[wrong].all()
    parts = ledger.parts[ledger.parts["row"].isin(np.flatnonzero(wrong)) & ledger.parts["issue"]]
    assert set(zip(parts["given"], parts["proposed"])) == {("ground", "house")}
    assert ledger.meta["probabilities"] == "3-fold cross-validation of consecutive images of a network (Sequential)"
    assert ledger.meta["ignore"] == [255]
    assert ledger.meta["temperature"] == 0.1  # of the trust, not that of the probabilities
    assert len(ledger.data) == 18
    assert 0.9 < ledger.meta["agreement"] < 1
    assert any("at 32 x 24 pixels, and agree with 9" in note for note in ledger.meta["notes"])
    assert not any("little to go by" in note for note in ledger.meta["notes"])


def test_a_network_that_learned_nothing_is_told(spoilt):
    images, masks, _, _ = spoilt
    weak = errata.audit(images, masks, classes=NAMES, **{**QUICK, "epochs": 1, "lr": 1e-6})
    assert weak.meta["agreement"] < 0.9
    assert any("little to go by" in note for note in weak.meta["notes"])


def test_the_same_seed_gives_the_same_ledger(spoilt, ledger):
    images, masks, _, _ = spoilt
    again = errata.audit(masks, images=images, classes=NAMES, **QUICK)
    assert (again.trust == ledger.trust).all()
    assert again.parts.equals(ledger.parts)


def test_no_image_is_judged_by_a_network_that_saw_it(spoilt, monkeypatch, tmp_path):
    images, masks, _, _ = spoilt
    trained, predicted = [], []
    train, predict = pixels.PixelFolds.train, pixels.PixelFolds.predict

    def watched(self, rows, *rest):
        trained.append(rows)
        return train(self, rows, *rest)

    def asked(self, system, rows):
        predicted.append(rows)
        return predict(self, system, rows)

    monkeypatch.setattr(pixels.PixelFolds, "train", watched)
    monkeypatch.setattr(pixels.PixelFolds, "predict", asked)
    drive = np.arange(18) % 4
    errata.audit(images, masks, classes=NAMES, groups=drive, **{**QUICK, "epochs": 1})
    assert sorted(np.concatenate(predicted)) == list(range(18))
    for seen, judged in zip(trained, predicted):
        assert not set(drive[seen]) & set(drive[judged])


def test_a_stopped_audit_goes_on_with_the_folds_it_has(spoilt, ledger, monkeypatch, tmp_path):
    images, masks, _, _ = spoilt
    train, trained = pixels.PixelFolds.train, []

    def stopping(self, rows, fold, *rest):
        if fold == 1:
            raise KeyboardInterrupt
        return train(self, rows, fold, *rest)

    monkeypatch.setattr(pixels.PixelFolds, "train", stopping)
    how = {"classes": NAMES, "out": tmp_path, **QUICK}
    with pytest.raises(KeyboardInterrupt):
        errata.audit(images, masks, **how)
    assert [p.name for p in (tmp_path / "folds").rglob("*.npy")] == ["0.npy"]
    assert np.load(next((tmp_path / "folds").rglob("0.npy"))).dtype == np.float16

    def counting(self, rows, fold, *rest):
        trained.append(fold)
        return train(self, rows, fold, *rest)

    monkeypatch.setattr(pixels.PixelFolds, "train", counting)
    done = errata.audit(images, masks, **how)
    assert trained == [1, 2]
    assert (done.trust == ledger.trust).all()
    errata.audit(images, masks, **{**how, "seed": 1, "epochs": 1})
    assert trained == [1, 2, 0, 1, 2]  # another seed is another audit
    kept_folds.forget(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_class_of_one_fold_alone_is_left_as_it_is(spoilt):
    images, _, truth, _ = spoilt
    masks = truth.copy()
    masks[:6][masks[:6] == 1] = 2  # huts, all of them in the first of three folds
    ledger = errata.audit(images, masks, classes=NAMES, **{**QUICK, "epochs": 6})
    assert not (ledger.parts["given"] == "hut").any()
    assert any("one fold only" in note and "hut" in note for note in ledger.meta["notes"])
    assert ledger.given.tolist() == [0] * 18


def test_what_is_refused(spoilt):
    images, masks, truth, _ = spoilt
    with pytest.raises(ParameterError, match="give them, as in errata"):
        errata.audit(masks, task="segmentation")
    with pytest.raises(ParameterError, match="Give the masks once"):
        errata.audit(task="segmentation")
    with pytest.raises(ParameterError, match="pictures are given twice"):
        errata.audit(images, masks, images=images, task="segmentation")
    with pytest.raises(DataError, match="2 images with labelled pixels, too few"):
        errata.audit(images[:2], masks[:2], classes=NAMES, **QUICK)
    with pytest.raises(DataError, match="4 images with labelled pixels, too few for 5 folds"):
        errata.audit(images[:4], truth[:4], **{**QUICK, "folds": 5})
    with pytest.raises(DataError, match="the class 0 alone"):
        errata.audit(images, np.zeros_like(masks), **QUICK)
    with pytest.raises(DataError, match="32 x 20 pixels, its image 32 x 24"):
        errata.audit(images, list(masks[:, :20]), **QUICK)
    with pytest.raises(DataError, match="2 groups with labelled images, too few for 3 folds"):
        errata.audit(images, truth, classes=NAMES, groups=np.arange(18) % 2, **QUICK)
    with pytest.raises(UnknownNameError, match="epoch"):
        errata.audit(images, truth, task="segmentation", epoch=3)
    with pytest.raises(UnknownNameError, match="unet"):
        errata.audit(images, truth, **{**QUICK, "model": "resnet"})
    with pytest.raises(ParameterError, match="nothing is trained"):
        errata.audit(masks, pred_probs=np.zeros((18, 2, 24, 32)), epochs=3, task="segmentation")


def test_an_unreadable_mask_is_named(tmp_path):
    images, masks = drawings(4)
    for place in ("images", "masks"):
        (tmp_path / place).mkdir()
    for i in range(4):
        Image.fromarray(images[i]).save(tmp_path / "images" / f"{i}.png")
        Image.fromarray(masks[i].astype(np.uint8)).save(tmp_path / "masks" / f"{i}.png")
    (tmp_path / "masks" / "2.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"2\.png can't be read as a picture"):
        errata.audit(tmp_path, **{**QUICK, "folds": 2})


def test_folds_of_frames():
    labelled = np.array([True] * 4 + [False] + [True] * 3)
    names = [f"drive{i // 3}_{i}" for i in range(8)]
    assert frame_folds(names, labelled, 2).tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    mixed = frame_folds(names, labelled, 4, contiguous=False)
    assert np.bincount(mixed).tolist() == [2, 2, 2, 2]
    assert (mixed != frame_folds(names, labelled, 4, seed=1, contiguous=False)).any()
    by_drive = frame_folds(names, labelled, 3, groups="drive[0-9]")
    assert [len(set(by_drive[i : i + 3])) for i in (0, 3, 6)] == [1, 1, 1]
    assert len(set(by_drive)) == 3
    with pytest.raises(ParameterError, match="no regular expression"):
        frame_folds(names, labelled, 2, groups="(")
    with pytest.raises(ParameterError, match="folds must be"):
        frame_folds(names, labelled, 1)
