"""Peripheral transforms: what each does to an image, and what is drawn."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts import PeripheralTransforms, SharedRandom
from errata.parts.peripheral import POOL, cut_out, gaussian_blur, permute_patches, rotate_quarters

quick = settings(max_examples=15, deadline=None)


def images(n: int = 6, channels: int = 2, height: int = 8, width: int = 8, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, channels, height, width, generator=torch.Generator().manual_seed(seed))


class TestRotation:
    def test_each_image_is_turned_by_its_own_angle(self) -> None:
        x, turns = images(5), torch.tensor([0, 1, 2, 3, 5])
        turned = rotate_quarters(x, turns)
        for i, quarters in enumerate(turns.tolist()):
            torch.testing.assert_close(turned[i], torch.rot90(x[i], quarters, (1, 2)))

    @quick
    @given(st.lists(st.integers(0, 3), min_size=1, max_size=6))
    def test_turning_back_gives_the_image(self, turns: list[int]) -> None:
        x = images(len(turns))
        there = torch.tensor(turns)
        torch.testing.assert_close(rotate_quarters(rotate_quarters(x, there), -there), x)

    def test_a_quarter_of_an_oblong_is_refused_and_a_half_is_not(self) -> None:
        x = images(2, height=4, width=6)
        assert rotate_quarters(x, torch.tensor([0, 2])).shape == x.shape
        with pytest.raises(DataError, match="4 x 6"):
            rotate_quarters(x, torch.tensor([1, 2]))


class TestPatches:
    @pytest.mark.parametrize(("height", "width", "grid"), [(8, 8, 2), (9, 7, 3), (6, 10, 2)])
    def test_the_identity_leaves_and_an_inverse_restores(self, height: int, width: int, grid: int) -> None:
        x = images(4, height=height, width=width)
        order = torch.stack([torch.randperm(grid**2, generator=torch.Generator().manual_seed(i)) for i in range(4)])
        same = torch.arange(grid**2).expand(4, -1)
        torch.testing.assert_close(permute_patches(x, same), x)
        moved = permute_patches(x, order)
        torch.testing.assert_close(permute_patches(moved, order.argsort(1)), x)
        torch.testing.assert_close(moved.flatten(1).sort(1).values, x.flatten(1).sort(1).values)

    def test_too_small_an_image_is_refused(self) -> None:
        with pytest.raises(DataError, match="1 x 1"):
            permute_patches(images(1, height=1, width=1), torch.zeros(1, 4, dtype=torch.long))


def test_a_hole_is_as_large_as_said_and_elsewhere_nothing_changes() -> None:
    x = torch.ones(2, 1, 8, 8)
    holed = cut_out(x, torch.tensor([[0.5, 0.5], [0.0, 0.0]]), 0.5)
    assert (holed == 0).sum((1, 2, 3)).tolist() == [16, 4]  # the second sticks out over a corner
    assert set(holed.unique().tolist()) == {0.0, 1.0}


class TestBlur:
    def test_it_is_what_kornia_computes(self) -> None:
        filters = pytest.importorskip("kornia.filters", reason="kornia (errata[vision]) is not installed")
        x, sigma = images(3, height=12, width=10), torch.tensor([0.6, 1.0, 1.5])
        reach = round(3 * 1.5)
        theirs = filters.gaussian_blur2d(x, (2 * reach + 1,) * 2, sigma[:, None].expand(-1, 2), border_type="reflect")
        torch.testing.assert_close(gaussian_blur(x, sigma), theirs, atol=1e-6, rtol=1e-5)

    def test_a_flat_image_stays_flat_and_a_single_pixel_stays_itself(self) -> None:
        torch.testing.assert_close(gaussian_blur(torch.ones(1, 1, 6, 6), torch.tensor([1.0])), torch.ones(1, 1, 6, 6))
        one = images(1, height=1, width=1)
        assert gaussian_blur(one, torch.tensor([1.0])) is one


class TestThePool:
    @pytest.mark.parametrize("name", POOL)
    @pytest.mark.parametrize("shape", [(8, 8), (6, 10)])
    def test_every_transform_changes_every_image(self, name: str, shape: tuple[int, int]) -> None:
        x = images(16, height=shape[0], width=shape[1]).double()
        made = PeripheralTransforms([name])(x, SharedRandom(0))
        assert made.shape == x.shape
        assert made.dtype == x.dtype
        assert (made != x).flatten(1).any(1).all()

    def test_the_draws_are_uniform_over_the_pool(self) -> None:
        x = torch.ones(3000, 1, 8, 8)  # on a flat image only the hole and the noise can be seen
        made = PeripheralTransforms(POOL)(x, SharedRandom(1))
        holed = (made == 0).flatten(1).any(1).float().mean()
        noisy = (made.flatten(1).std(1) > 0.1).logical_and(~(made == 0).flatten(1).any(1)).float().mean()
        assert abs(holed - 0.2) < 0.03
        assert abs(noisy - 0.2) < 0.03

    def test_the_same_seed_draws_the_same_and_the_global_generator_is_left_alone(self) -> None:
        x, state = images(), torch.get_rng_state()
        first, again, other = (PeripheralTransforms(POOL)(x, SharedRandom(seed)) for seed in (3, 3, 4))
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), state)

    @pytest.mark.parametrize(
        ("wrong", "error"),
        [
            ({"pool": ["rotate", "swirl"]}, UnknownNameError),
            ({"pool": []}, ParameterError),
            ({"pool": ["blur", "blur"]}, ParameterError),
            ({"grid": 1}, ParameterError),
            ({"cutout": 0}, ParameterError),
            ({"sigma": (2.0, 1.0)}, ParameterError),
            ({"noise": -1}, ParameterError),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, wrong: dict, error: type[Exception]) -> None:
        with pytest.raises(error):
            PeripheralTransforms(**wrong)

    @pytest.mark.parametrize("x", [torch.zeros(4, 6), torch.zeros(2, 1, 4, 4, dtype=torch.uint8), [1, 2]])
    def test_what_is_no_batch_of_images_is_refused(self, x: object) -> None:
        with pytest.raises(DataError, match="images"):
            PeripheralTransforms()(x, SharedRandom(0))  # type: ignore[arg-type]
