"""The law for graphs catches systems that break it; without this, a law that checks nothing would be green."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from errata.cards import Card
from errata.parts import NodeSystem
from errata.testing import CheckFailure, graphs


class Plain(NodeSystem):
    """What keeps the law, as far as these checks go."""

    card = Card("plain-nodes", "Plain", "graphs", (), (), "an example", f"{__name__}:Plain")

    def training_step(self, batch):
        known = self.check_labels(batch)
        logits = self.model(batch.x)
        self.observe(batch.index, logits)
        return F.cross_entropy(logits[known], batch.y[known])


class LearnsTheOrder(Plain):
    def training_step(self, batch):
        return super().training_step(batch) + (self.model(batch.x)[: len(batch.y) // 2] ** 2).sum()


class ForgetsUnlabelledNodes(Plain):
    def training_step(self, batch):
        known = self.check_labels(batch)
        logits = self.model(batch.x)
        self.observe(batch.index[known], logits[known])
        return F.cross_entropy(logits[known], batch.y[known])


class TakesAnyLabel(Plain):
    def check_labels(self, batch):
        return batch.y >= 0

    def training_step(self, batch):
        return super().training_step(batch._replace(y=batch.y.clamp(max=self.num_classes - 1)))


class ForgetsOnResume(Plain):
    def training_step(self, batch):
        self.seen = getattr(self, "seen", 0) + 1
        return super().training_step(batch) * self.seen


class AllowsRanks(Plain):
    def setup(self, stage):
        pass


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (LearnsTheOrder, graphs.check_permutation),
        (ForgetsUnlabelledNodes, graphs.check_ledger),
        (TakesAnyLabel, graphs.check_bad_labels),
        (ForgetsOnResume, graphs.check_resume),
        (AllowsRanks, graphs.check_ranks),
    ],
)
def test_a_system_that_breaks_the_law_is_caught(kind, check):
    options = {"scheduler": "constant"}
    check(Plain, options)
    with pytest.raises(CheckFailure):
        check(kind, options)


def test_the_problem_has_labels_for_half_of_its_nodes():
    problem = graphs.make_node_problem()
    assert torch.equal(problem.y[:30], problem.truth[:30])
    assert (problem.y[30:] == -1).all()
