"""A client's share, batches of local steps, states, and the server's mean."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from errata.errors import DataError, ParameterError
from errata.parts.federated import (
    Share,
    draw_batches,
    floating_state,
    load_state,
    logits_of,
    supervised_steps,
    weighted_mean,
)


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 30), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_batches_visit_every_row_equally_often(n, size, steps, seed):
    rows = draw_batches(n, size, steps, torch.Generator().manual_seed(seed))
    assert len(rows) == steps
    assert all(len(batch) == min(size, n) for batch in rows)
    if steps:
        counts = torch.cat(rows).bincount(minlength=n)
        assert int(counts.max() - counts.min()) <= 1


def test_no_rows_give_no_batches():
    assert draw_batches(0, 4, 5, torch.Generator()) == []


def test_a_share_needs_a_label_or_none_for_each_row():
    with pytest.raises(DataError, match="3, 2"):
        Share(torch.zeros(3, 1), torch.zeros(2))


@given(st.lists(st.integers(0, 50), min_size=1, max_size=6).filter(any), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_the_mean_is_weighted_and_keeps_what_all_share(r, seed):
    torch.manual_seed(seed)
    states = [{"w": torch.randn(3), "same": torch.ones(2)} for _ in r]
    mean = weighted_mean(states, r)
    assert torch.allclose(mean["same"], torch.ones(2))
    weights = torch.tensor(r, dtype=torch.float32) / sum(r)
    assert torch.allclose(mean["w"], (torch.stack([s["w"] for s in states]) * weights[:, None]).sum(0), atol=1e-5)


@pytest.mark.parametrize("r", [[0, 0], [1, -1]])
def test_a_mean_of_nothing_is_refused(r):
    with pytest.raises(ParameterError, match="one of them above"):
        weighted_mean([{"w": torch.zeros(1)}] * 2, r)


def test_counters_are_neither_sent_nor_touched():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model(torch.randn(4, 2))
    state = {name: value + 1 for name, value in floating_state(model).items()}
    load_state(model, state)
    assert model[1].num_batches_tracked == 1
    assert torch.equal(model[0].bias, state["0.bias"])


@pytest.mark.parametrize("change", [{"weight": torch.zeros(3, 3)}, {"more": torch.zeros(1)}, {"bias": None}])
def test_weights_of_another_model_are_refused(change):
    state = {k: v for k, v in {**floating_state(nn.Linear(2, 2)), **change}.items() if v is not None}
    with pytest.raises(DataError, match="do not fit"):
        load_state(nn.Linear(2, 2), state)


def test_a_pass_looks_and_does_not_touch():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).train()
    before = floating_state(model)
    first, second = (logits_of(model, torch.ones(1000, 2)) for _ in range(2))
    assert torch.equal(first, second)
    assert len(first) == 1000
    assert model.training
    assert all(torch.equal(before[k], v) for k, v in floating_state(model).items())


def test_a_step_is_plain_gradient_descent():
    model = nn.Linear(2, 2)
    x, y = torch.randn(4, 2), torch.tensor([0, 1, 1, 0])
    start = model.weight.detach().clone()
    (gradient,) = torch.autograd.grad(nn.functional.cross_entropy(model(x), y), [model.weight])
    assert len(supervised_steps(model, [(x, y)], eta=0.3)) == 1
    assert torch.allclose(model.weight, start - 0.3 * gradient)
