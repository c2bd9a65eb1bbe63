"""Views of images."""

from __future__ import annotations

import pytest
import torch

from errata.data import ImageViews
from errata.data.views import random_crop, random_cutout, random_flip
from errata.errors import ParameterError


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def numbered(batch=64, channels=2, height=9, width=7):
    return torch.arange(batch * channels * height * width, dtype=torch.float32).view(batch, channels, height, width)


@pytest.mark.parametrize(("mode", "padded"), [("reflect", "reflect"), ("constant", "constant")])
def test_a_crop_is_a_window_of_the_padded_image(mode, padded):
    x = numbered()
    cropped = random_crop(x, 3, mode)
    big = torch.nn.functional.pad(x, (3, 3, 3, 3), mode=padded)
    found = set()
    for image, window in zip(big, cropped, strict=True):
        places = [(i, j) for i in range(7) for j in range(7) if torch.equal(image[:, i : i + 9, j : j + 7], window)]
        assert len(places) == 1
        found.add(places[0])
    assert len(found) > 20  # every image has its own


def test_flips_are_drawn_for_every_image():
    x = numbered()
    flipped = random_flip(x)
    same = [torch.equal(a, b) for a, b in zip(x, flipped, strict=True)]
    mirrored = [torch.equal(a.flip(-1), b) for a, b in zip(x, flipped, strict=True)]
    assert all(s != m for s, m in zip(same, mirrored, strict=True))
    assert 10 < sum(same) < 54


def test_a_hole_is_a_square_of_the_asked_size():
    x = torch.ones(200, 1, 16, 16)
    holes = (random_cutout(x, 0.5) == 0).sum((1, 2, 3))
    assert holes.max() == 64
    assert holes.min() >= 16  # a corner
    assert len(holes.unique()) > 5


def test_views_of_eight_bit_images():
    views = ImageViews([0.5, 0.5, 0.5], [0.25, 0.25, 0.25])
    x = torch.randint(0, 256, (16, 3, 32, 32), dtype=torch.uint8)
    plain = views.plain(x)
    assert torch.allclose(plain, (x / 255 - 0.5) / 0.25)
    assert torch.equal(plain, views.plain(x))
    weak = views.weak(x)
    assert not torch.equal(weak, plain)
    assert torch.isin(weak.unique(), plain.unique()).all()  # moved, not changed
    strong = views.strong(x)
    assert strong.shape == x.shape
    assert (strong == 0).float().mean() > 0.05
    assert not torch.isnan(strong).any()
    assert (x.dtype, views.weak(x.float() / 255).dtype) == (torch.uint8, torch.float32)


def test_the_same_seed_gives_the_same_views():
    views = ImageViews([0.5], [0.25])
    x = torch.randint(0, 256, (4, 1, 8, 8), dtype=torch.uint8)
    torch.manual_seed(5)
    first = views.strong(x)
    torch.manual_seed(5)
    assert torch.equal(views.strong(x), first)


def test_tiny_images_and_half_precision_do_not_break():
    views = ImageViews([0.5], [0.0], pad=4)
    assert views.strong(torch.zeros(2, 1, 2, 3, dtype=torch.uint8)).shape == (2, 1, 2, 3)
    assert views.weak(torch.zeros(2, 1, 1, 1)).isfinite().all()


def test_nothing_of_the_views_is_saved_with_the_model():
    assert ImageViews([0.5], [0.2]).state_dict() == {}


@pytest.mark.parametrize("options", [{"pad": -1}, {"cutout": 2.0}, {"colour": 1.0}, {"padding": "wrap"}])
def test_options_out_of_range_are_told(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        ImageViews([0.5], [0.2], **options)
