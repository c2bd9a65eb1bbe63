import numpy as np
import pytest

from errata.errors import DataError, ParameterError
from errata.noise import erode_or_dilate
from errata.noise.masks import resized_morphology


def objects(n=12, side=48):
    masks = np.zeros((n, side, side), dtype=np.uint8)
    masks[:, 4:24, 4:24] = 1
    masks[:, 30:40, 20:44] = 2
    masks[:, :, 46:] = 255
    return masks


def test_masks_shrink_into_the_background_or_grow_over_it():
    masks = objects()
    noisy = erode_or_dilate(masks, 3, seed=1)
    assert (noisy[masks == 255] == 255).all()
    shrunk = (noisy != 0).sum((1, 2)) < (masks != 0).sum((1, 2))
    assert 0 < shrunk.sum() < len(masks)
    for given, new, smaller in zip(masks, noisy, shrunk):
        changed = given != new
        assert changed.any()
        assert (new[changed] == 0).all() if smaller else (given[changed] == 0).all()
    assert (noisy == erode_or_dilate(masks, 3, seed=1)).all()
    assert (noisy != erode_or_dilate(masks, 3, seed=2)).any()


def test_only_a_share_of_the_images_is_changed():
    masks = objects(20)
    changed = (erode_or_dilate(masks, 3, seed=0, share=0.25) != masks).any((1, 2))
    assert changed.sum() == 5
    assert not (erode_or_dilate(masks, 3, seed=0, share=0.0) != masks).any()


@pytest.mark.parametrize("side", [40, 160])
def test_large_and_small_objects_change_by_the_same_share(side):
    inside = np.zeros((side, side), dtype=bool)
    inside[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    for erode, expected in ((True, 0.64), (False, 1.42)):
        share = resized_morphology(inside, 3, erode=erode).sum() / inside.sum()
        assert share == pytest.approx(expected, abs=0.06)


def test_what_is_refused():
    with pytest.raises(DataError, match=r"image 0 has 2 at \[30, 20\]"):
        erode_or_dilate(objects(), 2, seed=0)
    with pytest.raises(DataError, match=r"\(N, H, W\)"):
        erode_or_dilate(np.zeros((3, 3)), 2, seed=0)
    with pytest.raises(ParameterError, match="iterations"):
        erode_or_dilate(objects(), 3, seed=0, iterations=(0, 2))
    with pytest.raises(ParameterError, match="share"):
        erode_or_dilate(objects(), 3, seed=0, share=2.0)
