"""Strong views: RandAugment by Kornia on images of any colour, noise on numbers, tokens left out of texts."""

from __future__ import annotations

import pytest
import torch

from errata.data.strong import rand_augment, strong_view
from errata.data.views import ImageViews
from errata.errors import ParameterError
from errata.parts import Views


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("n", "m"), [(1, 10), (10, 1), (2, 29.5)])
def test_images_stay_images(channels, n, m):
    torch.manual_seed(0)
    x = torch.rand(6, channels, 14, 10)
    changed = rand_augment(x, n, m)
    assert changed.shape == x.shape
    assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
    assert not changed.requires_grad


def test_the_seed_decides_and_each_image_has_its_own_sign():
    x = torch.rand(8, 3, 16, 16)
    torch.manual_seed(5)
    first = rand_augment(x, 2, 20)
    torch.manual_seed(5)
    assert torch.equal(first, rand_augment(x, 2, 20))
    drawn = set()
    for seed in range(30):  # turned or moved, equal images differ by their signs
        torch.manual_seed(seed)
        same = rand_augment(x[:1].expand(8, -1, -1, -1), 1, 20)
        drawn.add(len({float(image.double().sum()) for image in same}))
    assert max(drawn) > 1


@pytest.mark.parametrize(("n", "m"), [(0, 5), (16, 5), (1, 0), (1, 30)])
def test_magnitudes_out_of_range_are_refused(n, m):
    with pytest.raises(ParameterError, match="between 0 and 30"):
        rand_augment(torch.rand(1, 3, 8, 8), n, m)


def test_uint8_images_come_back_normalised():
    views = ImageViews([0.5], [0.25])
    x = torch.randint(0, 255, (40, 1, 12, 12), dtype=torch.uint8)
    torch.manual_seed(0)
    changed = strong_view(views, n=1, m=10)(x)
    assert changed.dtype == torch.float32
    assert -2.01 <= float(changed.min()) < 0 < float(changed.max()) <= 2.01


def test_numbers_get_noise_and_tokens_are_left_out():
    torch.manual_seed(0)
    moved = strong_view(Views(), noise=0.5)(torch.zeros(2000, 5))
    assert float(moved.std()) == pytest.approx(0.5, rel=0.05)
    ids = torch.arange(1, 5001).reshape(1000, 5)
    kept = strong_view(Views())(ids)
    assert bool(((kept == ids) | (kept == 0)).all())
    assert float((kept == 0).float().mean()) == pytest.approx(0.2, abs=0.03)
