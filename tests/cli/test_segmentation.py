"""`errata train` and `errata predict` on folders of images and masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from errata.cli import app


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for number in range(6):
        mask = np.zeros((16, 24), dtype=np.uint8)
        mask[4:12, 4 + number : 12 + number] = 1
        image = (60 + 120 * mask + rng.integers(0, 40, mask.shape)).astype(np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"{number}.png")
        Image.fromarray(mask).save(tmp_path / "masks" / f"{number}.png")
    (tmp_path / "names.txt").write_text("ground\nthing\n")
    return tmp_path


def errata(*arguments):
    return CliRunner().invoke(app, list(arguments))


TRAIN = ("train", "images", "--label", "masks", "--epochs", "2", "--seed", "1", "--device", "cpu")


def test_from_two_folders_to_masks(place):
    done = errata(
        *TRAIN, "--system", "adele", "--set", "scales=[1.0]", "--classes", "names.txt", "--out", "run",
        "--test", "images", "--test-label", "masks", "--json",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["metrics"]["images"] == 6
    assert 0 <= told["test"]["miou"] <= 1
    assert "iou_thing" in told["test"]
    assert sorted(f.name for f in (place / "run" / "masks").iterdir()) == [f"{n}.png" for n in range(6)]
    done = errata("predict", "run", "images", "--out", "found", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout) == {"out": "found", "files": 6, "classes": ["ground", "thing"]}
    assert np.asarray(Image.open(place / "found" / "3.png")).shape == (16, 24)
    done = errata("predict", "run", "images", "--out", "found")
    assert done.exit_code == 1
    assert "not empty" in " ".join(done.output.split())
    (place / "file").write_text("")
    assert errata("predict", "run", "images", "--out", "file").exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("--system", "adele", "--set", "variant=vox"), 2, "voc"),
        (("--system", "seg-ce", "--features", "a"), 2, "features"),
        (("--system", "adele", "--set", "scales=[1.0"), 2, "scales must be a list"),
        (("--system", "elr"), 2, "name a system for them: adele, seg-ce"),
    ],
)
def test_wrong_usage_is_told_in_a_paragraph(place, arguments, code, says):
    done = errata(*TRAIN, *arguments, "--out", "run")
    assert done.exit_code == code, done.output
    assert says in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_missing_masks_and_where_predictions_go_are_told(place):
    done = errata("train", "images", "--label", "nowhere", "--system", "seg-ce", "--epochs", "1")
    assert done.exit_code == 1
    assert "there is no folder or file nowhere" in " ".join(done.output.split())
    done = errata(*TRAIN, "--system", "seg-ce", "--out", "run")
    assert "errata predict run SOURCE --out predictions\n" in done.output  # a folder of masks, not a table


def test_bad_data_is_told_in_a_paragraph(place):
    Image.fromarray(np.zeros((3, 3), dtype=np.uint8)).save(place / "masks" / "2.png")
    done = errata(*TRAIN, "--system", "seg-ce", "--out", "run")
    assert done.exit_code == 1
    assert "must have the size of its image" in " ".join(done.output.split())
    assert not (place / "run").exists()
