"""Training on folders of images and masks: the run, its ledger and report, corrected masks, kill and resume."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import errata
from errata.engine.segmentation import train
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError
from errata.systems.segmentation.adele import AdaptiveEarlyLearningCorrection

FAST = {"epochs": 5, "batch_size": 4, "device": "cpu", "progress": False}
SOON = {"min_increment": 0.02, "correct_freq": 1, "tau_fg": 0.6, "scales": (1.0,), "lr": 0.03}
EARLY = {"curve_epochs": 1, "min_increment": -1.0, "correct_freq": 1, "tau_fg": 0.5, "scales": (1.0,), "lr": 0.03}


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))

    def forward(self, x):
        return self.body(x)


def tiny():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Tiny()


@pytest.fixture(scope="module")
def arrays():
    """Ten images with a red and a blue square; in three masks the most of the red one is called blue."""
    rng = np.random.default_rng(0)
    truth = np.zeros((10, 16, 24), dtype=np.uint8)
    for mask in truth:
        y, x = rng.integers(1, 8, 2)
        mask[y : y + 7, x : x + 6] = 1
        mask[y : y + 7, x + 8 : x + 14] = 2
    colours = np.array([[120, 120, 120], [250, 30, 30], [30, 30, 250]])
    images = (colours[truth] + rng.normal(0, 10, (10, 16, 24, 3))).clip(0, 255).astype(np.uint8)
    masks = truth.copy()
    red = truth[[2, 5, 7]] == 1
    masks[[2, 5, 7]] = np.where(red & (red.cumsum(2) > 2), 2, truth[[2, 5, 7]])
    return images, masks, truth


@pytest.fixture(scope="module")
def folders(arrays, tmp_path_factory):
    images, masks, _ = arrays
    place = tmp_path_factory.mktemp("squares")
    for name, several in (("images", images), ("masks", masks)):
        (place / name).mkdir()
        for number, one in enumerate(several):
            Image.fromarray(one).resize((48, 32), Image.Resampling.NEAREST).save(place / name / f"bild {number}.png")
    (place / "masks" / "classes.txt").write_text("ground\nred\nblue\n")
    return place / "images", place / "masks"


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    images, masks = folders
    out = tmp_path_factory.mktemp("run")
    options = {**FAST, **SOON, "epochs": 30, "image_size": 24}
    found = errata.train(str(images), label=str(masks), system="adele", model=tiny(), out=out, **options)
    return found, out


def test_the_ledger_has_images_and_regions_and_finds_the_wrong_ones(run, folders):
    ledger = run[0].ledger
    assert len(ledger) == 10
    assert set(ledger.order[:3]) == {2, 5, 7}
    parts = ledger.parts[ledger.parts["issue"]]
    assert {"row", "given", "proposed", "trust", "issue", "rank", "x0", "y0", "x1", "y1", "pixels"} <= set(
        parts.columns
    )
    big = parts[parts["pixels"] > 20]
    assert set(big["row"]) == {2, 5, 7}
    assert (big["given"] == "blue").all()
    assert ledger.kind.rows == "images"
    assert ledger.columns["image"][1] == "bild 1.png"
    assert ledger.columns["mask"][1] == str(folders[1] / "bild 1.png")
    assert ledger.columns["corrected"][1].endswith("masks/bild 1.png")
    assert [chart.title for chart in ledger.charts] == ["Training curves by class", "Correction began"]
    assert "red after epoch" in ledger.charts[0].says


def test_corrected_masks_have_the_sizes_of_the_given_ones_and_keep_what_was_not_changed(run, folders):
    found, out = run
    changed = 0
    for number in range(10):
        name = f"bild {number}.png"
        given = np.asarray(Image.open(folders[1] / name))
        corrected = np.asarray(Image.open(out / "masks" / name))
        assert corrected.shape == given.shape == (32, 48)
        changed += int((corrected != given).sum())
    assert changed > 0
    assert found.metrics["corrections"] > 0
    assert set(found.metrics["switched_on"]) == {"red", "blue"}
    wrong = [np.asarray(Image.open(out / "masks" / f"bild {number}.png")) for number in (2, 5, 7)]
    assert all((mask == 1).sum() > 4 * 35 for mask in wrong)  # the red square is red again, at the files' size


def test_the_report_shows_the_masks(run):
    page = (run[1] / "report.html").read_text()
    assert "data:image/png;base64," in page
    assert "Training curves by class" in page
    assert "Regions" in page
    png = run[0].ledger.data.preview(2).png
    assert png.startswith(b"\x89PNG")


def test_a_run_is_loaded_and_predicts_and_is_measured(run, folders, arrays, tmp_path):
    found, out = run
    loaded = errata.Run.load(out, model=Tiny())
    one, other = loaded.predict(str(folders[0])), found.predict(str(folders[0]))
    assert all((a == b).all() for a, b in zip(one, other))
    assert one[0].shape == (32, 48)
    files = loaded.predict_into(tmp_path / "p", str(folders[0]))
    assert [f.name for f in files][:2] == ["bild 0.png", "bild 1.png"]
    scores = loaded.evaluate(arrays[0], arrays[2])
    assert set(scores) == {"miou", "pixel_accuracy", "iou_ground", "iou_red", "iou_blue", "images"}
    assert scores["miou"] > 0.6
    assert loaded.predict_proba(str(folders[0])).shape == (10, 3, 16, 24)
    assert len(loaded.ledger.parts) == len(found.ledger.parts)
    assert loaded.ledger.charts == found.ledger.charts
    with pytest.raises(LoadError, match="network of your own"):
        errata.Run.load(out)
    with pytest.raises(ErrataError, match="does not hold the data"):
        loaded.export_masks(tmp_path / "q")


def test_killed_in_an_epoch_and_resumed_it_ends_with_the_same_masks(folders, tmp_path, monkeypatch):
    images, masks = map(str, folders)
    options = {**FAST, **EARLY, "image_size": 24, "system": "adele", "seed": 3}
    whole = train(images, masks, model=tiny(), out=tmp_path / "whole", **options)
    step = AdaptiveEarlyLearningCorrection.training_step
    calls = 0

    def dying(self, batch):
        nonlocal calls
        calls += 1
        if calls == 11:  # in the fourth epoch of three steps each
            raise RuntimeError("killed")
        return step(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(AdaptiveEarlyLearningCorrection, "training_step", dying)
        with pytest.raises(RuntimeError, match="killed"):
            train(images, masks, model=tiny(), out=tmp_path / "killed", **options)
    with pytest.raises(LoadError, match="has not finished"):
        errata.Run.load(tmp_path / "killed")
    resumed = train(images, masks, model=tiny(), out=tmp_path / "killed", resume=True, **options)
    assert resumed.metrics["corrections"] == whole.metrics["corrections"] > 1
    assert (resumed.ledger.trust == whole.ledger.trust).all()
    for number in range(10):
        pair = [np.asarray(Image.open(tmp_path / f / "masks" / f"bild {number}.png")) for f in ("whole", "killed")]
        assert (pair[0] == pair[1]).all()
    with pytest.raises(ErrataError, match="already holds results"):
        train(images, masks, model=tiny(), out=tmp_path / "killed", **options)
    with pytest.raises(LoadError, match="the data was"):
        train(images, np_masks(masks), model=tiny(), out=tmp_path / "killed", resume=True, **options)


def np_masks(folder):
    """The same masks with a pixel changed, in their order."""
    found = [np.asarray(Image.open(f"{folder}/bild {n}.png")).copy() for n in range(10)]
    found[0][0, 0] = 2
    return found


def test_held_out_images_get_their_rows_from_the_finished_network(arrays):
    images, masks, _ = arrays
    run = train(images, masks, system="seg-ce", model=tiny(), validation=0.3, select="best", seed=1, **FAST)
    held = run.ledger.columns["held_out"]
    assert held.sum() == 3
    assert not np.isnan(run.ledger.trust).any()
    assert 0 <= run.metrics["validation_miou"] <= 1
    assert run.metrics["best_epoch"] >= 1
    assert (next(run.corrected_masks()) == masks[0]).all()
    same = train(images, masks, system="seg-ce", model=tiny(), validation=0.3, select="best", seed=1, **FAST)
    assert (same.ledger.trust == run.ledger.trust).all()


def test_a_class_that_is_corrected_before_it_is_learned_is_told(arrays, run):
    images, masks, _ = arrays
    hasty = train(images, masks, system="adele", model=tiny(), **{**FAST, **EARLY, "epochs": 2, "lr": 1e-4})
    told = " ".join(hasty.ledger.meta["notes"])
    assert hasty.metrics["switched_on"]
    assert all(f"{name} (" in told for name in hasty.metrics["switched_on"])
    assert "Look at the corrections of" in told
    assert run[0].metrics["switched_on"]
    assert "Look at the corrections of" not in " ".join(run[0].ledger.meta["notes"])


def test_images_without_a_mask_and_grey_images(arrays):
    images, masks, _ = arrays
    masks = masks.copy()
    masks[4] = 255
    grey = images.mean(3).astype(np.uint8)[:, None]
    run = train(grey, masks, system="seg-ce", **{**FAST, "epochs": 1})
    assert run.ledger.given[4] == -1
    assert np.isnan(run.ledger.trust[4])
    assert run.metrics["trained_on"] == 9
    assert json.dumps(run.about["model"])
    assert run.predict(grey)[0].shape == (16, 24)
    with pytest.raises(DataError, match="1 channels"):
        run.predict(images)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"system": "elr"}, ParameterError, "system for masks"),
        ({"model": "resnet18"}, UnknownNameError, "unet"),
        ({"tauu": 1}, UnknownNameError, "Did you mean 'tau'"),
        ({"validation": 1.5}, ParameterError, "validation"),
        ({"resume": True}, ParameterError, "resume needs"),
        ({"validation": 0.9}, DataError, "two are the least"),
        ({"scales": "[0.7"}, ParameterError, r"scales must be a list.*'\[0.7'"),
        ({"scales": 1.0}, ParameterError, "scales must be a list"),
        ({"r": "much"}, ParameterError, "r must be a number, such as 0.9; got 'much'"),
    ],
)
def test_what_is_refused(arrays, options, error, match):
    with pytest.raises(error, match=match):
        train(arrays[0], arrays[1], **{**FAST, **options})
