"""`errata audit` of masks without probabilities, from folders."""

import os

import numpy as np
from PIL import Image

import errata


def drawings(n=12, height=24, width=32):
    """Images of a bright house before a dark ground; and the masks: ground 0, house 1."""
    rng = np.random.default_rng(0)
    masks = np.zeros((n, height, width), dtype=np.uint8)
    for mask in masks:
        y, x = rng.integers(2, height - 12), rng.integers(2, width - 14)
        mask[y : y + 10, x : x + 12] = 1
    return (60 + 120 * masks[..., None] + rng.integers(0, 40, (*masks.shape, 3))).astype(np.uint8), masks


def test_folders_of_images_of_several_sizes_from_the_command_line(run, here):
    images, masks = drawings()
    for place in ("images", "masks"):
        (here / "town" / place).mkdir(parents=True)
    for i in range(12):
        picture, mask = Image.fromarray(images[i]), Image.fromarray(masks[i])
        if i % 3 == 0:
            picture, mask = picture.resize((48, 30)), mask.resize((48, 30), Image.Resampling.NEAREST)
        picture.save(here / "town" / "images" / f"{'ab'[i % 2]}_{i}.png")
        mask.save(here / "town" / "masks" / f"{'ab'[i % 2]}_{i}.png")
    Image.fromarray(masks[0]).save(here / "town" / "masks" / "c_99.png")
    (here / "town" / "classes.txt").write_text("ground\nhouse\n")
    options = ["--folds", "2", "--group", "^[ab]", "--set", "epochs=4", "--set", "batch_size=4", "--out", "found"]
    done = run("audit", "town", "--task", "segmentation", "--device", "cpu", *options)
    assert done.code == 0, done.err
    assert sorted(os.listdir("found")) == ["ledger.parquet", "parts.parquet", "report.html", "summary.json"]
    ledger = errata.Ledger.load("found")
    assert len(ledger) == 12
    assert "by groups" in ledger.meta["probabilities"]
    assert ledger.meta["label_names"] == ["ground", "house"]
    assert any("1 masks have no image" in note for note in ledger.meta["notes"])
    if len(ledger.parts):
        large = ledger.parts["row"].isin(np.flatnonzero(ledger.columns["image"] == "a_0.png"))
        assert (ledger.parts.loc[large, "x1"] <= 48).all()
    labels = ["town/images", "--label", "town/masks", "--task", "segmentation"]
    again = run("audit", *labels, "--group", "^drive", "--out", "other")
    assert again.code == 1
    assert "matches in none of the 12 files' names" in " ".join(again.err.split())
