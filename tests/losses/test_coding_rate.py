"""Coding rates: the identities that they must obey, and the closed gradient against autograd's."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.errors import ParameterError
from errata.losses.coding_rate import coding_rate_reduction, coding_rates


def naive(z, labels, classes, gam1, eps):
    """Both rates, written down as the equations have them."""
    m, p = z.shape
    eye = torch.eye(p, dtype=z.dtype)
    rate = 0.5 * torch.logdet(eye + gam1 * p / (m * eps) * z.T @ z)
    by_class = z.new_zeros(())
    for c in range(classes):
        own = z[labels == c]
        if len(own):
            by_class = by_class + len(own) / (2 * m) * torch.logdet(eye + p / (len(own) * eps) * own.T @ own)
    return rate, by_class


def drawn(m, p, classes, seed):
    random = torch.Generator().manual_seed(seed)
    z = torch.rand(m, p, generator=random, dtype=torch.float64) - 0.3
    return z, torch.randint(classes, (m,), generator=random)


@settings(deadline=None, max_examples=40)
@given(
    m=st.integers(1, 30),
    p=st.integers(1, 12),
    classes=st.integers(1, 5),
    seed=st.integers(0, 1000),
    gam1=st.floats(0.1, 3),
    eps=st.floats(0.01, 2),
)
def test_values_and_gradients_are_the_equations(m, p, classes, seed, gam1, eps):
    z, labels = drawn(m, p, classes, seed)
    results = []
    for function in (
        lambda z: coding_rates(z, labels, classes, gam1=gam1, eps=eps),
        lambda z: naive(z, labels, classes, gam1, eps),
    ):
        own = z.clone().requires_grad_()
        rate, by_class = function(own)
        (gradient,) = torch.autograd.grad(0.3 * rate + by_class, own)
        results.append((rate.detach(), by_class.detach(), gradient))
    for found, wanted in zip(*results, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-8, atol=1e-10)


def test_a_rotation_changes_nothing():
    z, labels = drawn(20, 6, 3, 0)
    q, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64))
    torch.testing.assert_close(torch.stack(coding_rates(z @ q, labels, 3)), torch.stack(coding_rates(z, labels, 3)))


def test_zero_representations_have_no_rate_and_no_gradient():
    z = torch.zeros(5, 3, requires_grad=True)
    loss = coding_rate_reduction(z, torch.tensor([0, 0, 1, 1, 1]), 3)
    loss.backward()
    assert loss.item() == 0
    assert not z.grad.any()


def test_one_class_for_all_has_the_rate_of_the_whole():
    z, _ = drawn(15, 5, 1, 1)
    rate, by_class = coding_rates(z, torch.zeros(15, dtype=torch.int64), 4)
    torch.testing.assert_close(rate, by_class)
    loss = coding_rate_reduction(z, torch.zeros(15, dtype=torch.int64), 4, gam2=3.0)
    torch.testing.assert_close(loss, -2 * rate)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 1000), m=st.integers(1, 20))
def test_the_whole_needs_at_least_what_its_classes_need(seed, m):
    z, labels = drawn(m, 4, 3, seed)
    rate, by_class = coding_rates(z, labels, 3)
    assert rate >= by_class - 1e-9
    assert by_class >= 0


def test_half_precision_is_computed_in_float32():
    z, labels = drawn(20, 6, 3, 3)
    with torch.autocast("cpu", torch.bfloat16):
        loss = coding_rate_reduction(z.bfloat16(), labels, 3)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, coding_rate_reduction(z.bfloat16().float(), labels, 3))


def test_nonsense_is_refused():
    with pytest.raises(ParameterError, match="eps must be above 0"):
        coding_rates(torch.zeros(2, 2), torch.tensor([0, 1]), 2, eps=0.0)
