import numpy as np
import pytest
import torch
from PIL import Image

from errata.data.masks import open_masks, open_pixel_probabilities
from errata.errors import DataError


@pytest.fixture
def stack():
    rng = np.random.default_rng(0)
    probs = rng.dirichlet(np.ones(3), (4, 5, 6)).transpose(0, 3, 1, 2).astype(np.float32)
    return rng.integers(0, 3, (4, 5, 6)), probs


def test_arrays_files_and_folders_say_the_same(stack, tmp_path):
    masks, probs = stack
    np.save(tmp_path / "masks.npy", masks)
    np.save(tmp_path / "probs.npy", probs)
    for folder in ("masks", "probs"):
        (tmp_path / folder).mkdir()
    for i, (mask, prob) in enumerate(zip(masks, probs)):
        picture = Image.fromarray(mask.astype(np.uint8)).convert("L")
        if i == 1:
            picture = picture.convert("P")
            picture.putdata(mask.ravel().tolist())
        picture.save(tmp_path / "masks" / f"street_{i}.png")
        np.save(tmp_path / "probs" / f"street_{i}.npy", prob)
    np.save(tmp_path / "probs" / "more.npy", probs[0])
    for source, given in [
        (masks, probs),
        (torch.from_numpy(masks), torch.from_numpy(probs)),
        (list(masks.astype(float)), list(probs)),
        (tmp_path / "masks.npy", str(tmp_path / "probs.npy")),
        (str(tmp_path / "masks"), tmp_path / "probs"),
    ]:
        found = open_masks(source)
        pixels = open_pixel_probabilities(given, found.names)
        assert len(found) == len(pixels) == 4
        assert (np.stack([found[i] for i in range(4)]) == masks).all()
        np.testing.assert_array_equal(np.stack([pixels[i] for i in range(4)]), probs)
    assert open_masks(tmp_path / "masks").names[2] == "street_2.png"


def test_what_is_refused_and_where(stack, tmp_path):
    masks, probs = stack
    with pytest.raises(DataError, match=r"shape \(N, H, W\); got \(5, 6\)"):
        open_masks(masks[0])
    with pytest.raises(DataError, match=r"image 1: .*whole numbers"):
        open_masks([masks[0], masks[0] + 0.5])[1]
    with pytest.raises(DataError, match="masks and probabilities of 4 images"):
        open_pixel_probabilities(probs, ["a"])
    with pytest.raises(DataError, match=r"sums go from .* to 3"):
        open_pixel_probabilities(3 * probs, list("abcd"))[0]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no file"):
        open_masks(tmp_path / "empty")
    Image.new("RGB", (6, 5)).save(tmp_path / "empty" / "a.png")
    with pytest.raises(DataError, match="3 channels"):
        open_masks(tmp_path / "empty")[0]
    (tmp_path / "empty" / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="can't be read as a picture"):
        open_masks(tmp_path / "empty")[0]
    (tmp_path / "p").mkdir()
    np.save(tmp_path / "p" / "b.npy", probs[0])
    with pytest.raises(DataError, match=r"no \.npy file for 1 of the masks, such as a\.png"):
        open_pixel_probabilities(tmp_path / "p", ["a.png"])
    (tmp_path / "x.npy").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"not a \.npy file"):
        open_masks(tmp_path / "x.npy")
