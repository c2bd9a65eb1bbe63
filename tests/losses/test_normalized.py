"""Pairs of an active and a passive loss."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))


import pytest
import torch
from loss_cases import make_batch

from errata.errors import ParameterError
from errata.losses import ActiveNegative, ActivePassive, GeneralizedCrossEntropy
from errata.losses import functional as F


def close(a: torch.Tensor, b: torch.Tensor, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    torch.testing.assert_close(a, b, rtol=rtol, atol=atol)


class TestActivePassive:
    def test_names_modules_and_functions_agree(self) -> None:
        logits, target = make_batch(8)
        expected = 2 * F.normalized_focal(logits, target) + 0.5 * F.generalized_cross_entropy(logits, target, q=0.4)
        passive = GeneralizedCrossEntropy(q=0.4, reduction="sum")  # the reduction of a part doesn't matter
        close(ActivePassive("nfl", passive, alpha=2.0, beta=0.5)(logits, target), expected)
        close(F.active_passive(logits, target, active="nfl", passive=passive, alpha=2.0, beta=0.5), expected)

    def test_a_foreign_module_may_be_a_part_if_it_does_not_reduce(self) -> None:
        logits, target = make_batch(9)
        target[0] = -100
        foreign = torch.nn.CrossEntropyLoss(reduction="none")
        close(ActivePassive(foreign, "ce")(logits, target), 2 * F.cross_entropy(logits, target))
        with pytest.raises(ParameterError, match="reduction='none'"):
            ActivePassive(torch.nn.CrossEntropyLoss(), "ce")(logits, target)

    def test_one_hard_part_makes_the_pair_hard(self) -> None:
        logits, target = make_batch(10)
        soft = torch.nn.functional.one_hot(target, 4).double()
        close(ActivePassive("nce", "mae")(logits, soft), ActivePassive("nce", "mae")(logits, target))
        with pytest.raises(ParameterError, match="integer classes only"):
            ActivePassive("nce", "gce")(logits, soft)

    @pytest.mark.parametrize("part", [3, ActiveNegative(lamb=1.0), "ogc"])
    def test_what_cannot_be_a_part(self, part: object) -> None:
        with pytest.raises(ParameterError, match="passive"):
            ActivePassive("nce", part)  # type: ignore[arg-type]
