"""Folders of images and masks as people have them: unequal sizes, missing pieces, numbers that are no classes."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from errata.data.overlay import GIVEN, PROPOSED, overlay
from errata.data.segmentation import read_segmentation, resize_mask
from errata.data.segmentation_views import SegmentationViews
from errata.errors import DataError, ParameterError


@pytest.fixture
def folders(tmp_path):
    """Three streets of different sizes, with accents in their names; 9 is no class."""
    images, masks = tmp_path / "bilder", tmp_path / "masken"
    images.mkdir()
    masks.mkdir()
    rng = np.random.default_rng(0)
    for number, (width, height) in enumerate([(40, 24), (80, 48), (20, 12)]):
        mask = np.zeros((height, width), dtype=np.uint8)
        mask[height // 2 :] = 1
        mask[:2, :2] = 9
        picture = rng.integers(0, 255, (height, width, 3)).astype(np.uint8)
        Image.fromarray(picture).save(images / f"straße {number}.jpg")
        Image.fromarray(mask).save(masks / f"straße {number}.png")
    return images, masks


def test_folders_are_matched_by_name_and_brought_to_one_size(folders):
    images, masks = folders
    data = read_segmentation(str(images), str(masks), ignore=9)
    assert len(data) == 3
    assert data.size == (24, 40)
    assert data.given.shape == (3, 24, 40)
    assert sorted(np.unique(data.given)) == [0, 1, 255]
    assert (data.given[:, 12:] == 1).all()
    assert [data.full_size(i) for i in range(3)] == [(24, 40), (48, 80), (12, 20)]
    assert data.mask(1).shape == (48, 80)
    assert data.mask_name(0) == str(masks / "straße 0.png")
    assert any("2 classes: 0, 1" in line for line in data.describe())
    assert read_segmentation(images, masks, ignore=9, image_size=20).size == (12, 20)
    assert read_segmentation(images, masks, ignore=9, image_size=(16, 16)).size == (16, 16)


def test_class_names_from_a_file_beside_the_masks_or_given(folders, tmp_path):
    images, masks = folders
    (masks / "classes.txt").write_text("himmel\nstraße\n\n", encoding="utf-8")
    assert read_segmentation(images, masks, ignore=9).classes == ["himmel", "straße"]
    named = tmp_path / "names.txt"
    named.write_text("a\nb\nc\n")
    data = read_segmentation(images, masks, ignore=9, classes=named)
    assert data.classes == ["a", "b", "c"]
    assert any("without a single pixel: c" in line for line in data.describe())
    with pytest.raises(DataError, match="different class names"):
        read_segmentation(images, masks, classes=["a", "a"], ignore=9)


def test_missing_masks_and_masks_without_an_image(folders):
    images, masks = folders
    (masks / "straße 2.png").rename(masks / "other.png")
    data = read_segmentation(images, masks, ignore=9)
    assert (data.given[2] == 255).all()
    assert any("1 images have no mask" in line for line in data.describe())
    assert any("1 masks have no image" in line for line in data.describe())
    for number in (0, 1):
        (masks / f"straße {number}.png").rename(masks / f"road {number}.png")
    with pytest.raises(DataError, match=r"None of the 3 masks .* expected 'straße 0'"):
        read_segmentation(images, masks, ignore=9)


def test_what_is_refused(folders, tmp_path):
    images, masks = folders
    with pytest.raises(DataError, match=r"holds 9 at pixel \(0, 0\), and the classes are 0 to 1"):
        read_segmentation(images, masks, classes=["a", "b"])
    Image.fromarray(np.zeros((5, 5), dtype=np.uint8)).save(masks / "straße 0.png")
    with pytest.raises(DataError, match="5 x 5 pixels, its image 40 x 24"):
        read_segmentation(images, masks, ignore=9)
    Image.fromarray(np.zeros((24, 40, 3), dtype=np.uint8)).save(masks / "straße 0.png")
    with pytest.raises(DataError, match="3 channels"):
        read_segmentation(images, masks, ignore=9)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        read_segmentation(tmp_path / "empty", masks)
    with pytest.raises(DataError, match="no file named"):
        read_segmentation(images, tmp_path / "empty")
    with pytest.raises(DataError, match="without masks"):
        read_segmentation(images).require_masks()
    with pytest.raises(ParameterError, match="image_size"):
        read_segmentation(images, masks, image_size=3)


def test_numbers_too_large_for_a_class_are_not_wrapped_round():
    images, mask = np.zeros((2, 3, 8, 8), dtype=np.uint8), np.zeros((2, 8, 8), dtype=np.uint16)
    mask[1, 3, 4] = 400  # 144 as a byte
    with pytest.raises(DataError, match=r"holds 400 at pixel \(4, 3\), and the classes are 0 to 249"):
        read_segmentation(images, mask)
    mask[1, 3, 4] = 255
    with pytest.raises(DataError, match="black and white, 0 and 255, must be numbered 0 and 1"):
        read_segmentation(images, mask)


def test_arrays(folders):
    images = np.zeros((3, 8, 8, 3), dtype=np.uint8)
    masks = np.zeros((3, 8, 8), dtype=np.int64)
    with pytest.raises(DataError, match="class 0 alone"):
        read_segmentation(images, masks)
    masks[0, 0] = 1
    data = read_segmentation(images, masks)
    assert data.size == (8, 8)
    assert data.mask_name(1) == "1"
    with pytest.raises(DataError, match="2 masks and 3 images"):
        read_segmentation(images, masks[:2])
    bad = images.astype(np.float32)
    bad[2, 0, 0, 0] = np.nan
    with pytest.raises(DataError, match="nan in row 2"):
        read_segmentation(bad, masks)


def test_a_mask_keeps_its_classes_at_any_size():
    mask = np.arange(12).reshape(3, 4)
    assert (resize_mask(mask, (3, 4)) == mask).all()
    assert (resize_mask(mask, (6, 8)) == mask.repeat(2, 0).repeat(2, 1)).all()
    assert set(resize_mask(mask, (2, 3)).ravel()) <= set(mask.ravel())


def test_the_picture_shows_both_outlines():
    given, proposed = np.zeros((20, 20), int), np.zeros((20, 20), int)
    given[5:15, 5:15] = 1
    proposed[5:15, 2:15] = 1
    picture = overlay(np.full((20, 20, 3), 100, dtype=np.uint8), given, proposed)
    colours = {tuple(c) for c in picture.reshape(-1, 3).tolist()}
    assert {GIVEN, PROPOSED, (100, 100, 100)} <= colours
    plain = overlay(np.full((20, 20, 3), 100, dtype=np.uint8), given)
    assert PROPOSED not in {tuple(c) for c in plain.reshape(-1, 3).tolist()}


def test_views_that_change_nothing_and_views_that_do():
    import torch

    images = torch.randint(0, 255, (4, 3, 8, 8), dtype=torch.uint8)
    still = SegmentationViews([0.5] * 3, [0.2] * 3, augment=False)
    assert still.mirrored(4, "cpu") is None
    assert torch.equal(still.weak(images), still.plain(images))
    moved = SegmentationViews([0.5] * 3, [0.2] * 3)
    assert not torch.equal(moved.weak(images), moved.plain(images))
