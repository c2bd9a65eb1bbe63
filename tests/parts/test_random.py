from __future__ import annotations

import copy
import pickle

import torch

from errata.parts import SharedRandom, random_state, restore_random_state


def draw(random: SharedRandom) -> list[float]:
    return torch.rand(3, generator=random.generator).tolist()


def test_the_global_seed_reaches_it_but_it_draws_apart() -> None:
    torch.manual_seed(8)
    first, before = SharedRandom(), torch.get_rng_state()
    numbers = draw(first)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(5)
    assert draw(SharedRandom()) == numbers == draw(SharedRandom(seed=8))
    assert draw(SharedRandom(seed=9)) != numbers


def test_a_state_dict_goes_on_where_it_was() -> None:
    first, second = SharedRandom(seed=1), SharedRandom(seed=2)
    draw(first)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    assert draw(first) == draw(second)
    assert draw(first) == draw(second)


def test_copies_and_pickles_go_on_where_it_was() -> None:
    random = SharedRandom(seed=1)
    draw(random)
    twin, other = copy.deepcopy(random), pickle.loads(pickle.dumps(random))  # noqa: S301
    assert draw(twin) == draw(other) == draw(random)


def test_a_derived_seed_is_always_the_same_and_moves_nothing() -> None:
    random = SharedRandom(seed=1)
    assert random.derived_seed() == random.derived_seed() == SharedRandom(seed=1).derived_seed()
    assert random.derived_seed() != SharedRandom(seed=2).derived_seed()
    assert draw(random) == draw(SharedRandom(seed=1))


def test_the_global_state_is_kept_and_restored() -> None:
    state = random_state()
    numbers = torch.rand(3)
    restore_random_state(state)
    assert torch.equal(numbers, torch.rand(3))
    before = torch.get_rng_state()
    restore_random_state({})
    assert torch.equal(before, torch.get_rng_state())
