"""The sums of one training equal the scores computed from all of its logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from errata.errors import ParameterError
from errata.parts import DynamicsRecorder
from errata.scores import pruning

E, N, C = 9, 30, 4


def trained(early: int = 4) -> tuple[DynamicsRecorder, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits, features = 2 * torch.randn(E, N, C, generator=generator), torch.randn(E, N, 5, generator=generator)
    labels = torch.randint(C, (N,), generator=generator)
    labels[0] = logits[:, 0].sum(0).argmin()
    logits[:, 0, labels[0]] = -9.0  # never learned
    recorder = DynamicsRecorder(N, early=early)
    for epoch in range(E):
        for rows in torch.randperm(N, generator=generator).split(7):
            recorder.record(rows, logits[epoch, rows], labels[rows], features[epoch, rows])
    return recorder, logits, features, labels


def test_it_keeps_what_the_pure_functions_say() -> None:
    recorder, logits, features, labels = trained()
    found = recorder.scores()
    grand = torch.stack([pruning.grand(logits[e], features[e], labels) for e in range(4)]).mean(0)
    expected = {
        "el2n": pruning.el2n(logits, labels, epochs=4),
        "grand": grand,
        "forgetting": pruning.forgetting(logits, labels),
        "aum": pruning.area_under_margin(logits, labels),
        "accumulated_margin": pruning.accumulated_margin(logits, labels),
        "correctness": pruning.correctness(logits, labels),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value.numpy(), rtol=2e-5, atol=2e-6, err_msg=name)
    assert np.isinf(found["forgetting"][0])


def test_what_was_never_seen_is_not_scored() -> None:
    recorder = DynamicsRecorder(3)
    recorder.record(torch.tensor([1]), torch.zeros(1, 2), torch.tensor([0]))
    found = recorder.scores()
    assert all(np.isnan(values[[0, 2]]).all() for values in found.values())
    assert np.isnan(found["grand"][1])
    assert found["mean_loss"][1] == pytest.approx(np.log(2), rel=1e-6)


def test_it_survives_its_state_dict() -> None:
    recorder = trained()[0]
    other = DynamicsRecorder(N, early=4)
    other.load_state_dict(recorder.state_dict())
    for name, values in recorder.scores().items():
        assert np.array_equal(values, other.scores()[name], equal_nan=True)


def test_it_is_small() -> None:
    assert sum(v.numel() * v.element_size() for v in DynamicsRecorder(1000).state_dict().values()) <= 48 * 1000


def test_early_counts_one_or_more() -> None:
    with pytest.raises(ParameterError, match="early"):
        DynamicsRecorder(3, early=0)
