"""Logits whose length is clipped."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from loss_cases import make_batch

from errata.losses import functional as F

seeds = st.integers(0, 10_000)
quick = settings(max_examples=20, deadline=None)


def close(a: torch.Tensor, b: torch.Tensor, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


class TestLogitClip:
    def test_short_vectors_are_left_alone_and_long_ones_get_the_length(self) -> None:
        logits, _ = make_batch(16, scale=1.0, shape=(4,))
        clipped = F.clip_logits(logits, tau=2.0, delta=0.5)
        before, after = logits.norm(dim=1), clipped.norm(dim=1)
        assert (before > 2).any()
        assert (before < 2).any()
        close(after, torch.where(before > 2, torch.full_like(before, 0.5), before), rtol=1e-6)

    def test_a_long_bound_changes_nothing(self) -> None:
        batch = make_batch(17)
        close(F.logit_clip(*batch, tau=1e6), F.cross_entropy(*batch))

    @quick
    @given(seeds, st.floats(0.1, 5.0))
    def test_the_loss_is_bounded(self, seed: int, tau: float) -> None:
        batch = make_batch(seed, scale=50.0)
        assert F.logit_clip(*batch, tau=tau, reduction="none").max() <= math.log(4) + math.sqrt(2) * tau + 1e-9
