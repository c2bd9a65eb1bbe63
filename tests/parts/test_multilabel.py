"""The base of multi-label systems: belief, averaged weights, ledger, average precision."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from errata.errors import LedgerError
from errata.parts import Batch, MultiLabelSystem
from errata.parts.multilabel import mean_average_precision


class Plain(MultiLabelSystem):
    card = __import__("errata").systems.card("bce")

    def training_step(self, batch: Batch):
        logits = self.model(batch.x)
        self.observe(batch.index, logits)
        return logits.square().mean()


def made(**options):
    torch.manual_seed(0)
    return Plain(torch.nn.Linear(2, 3), num_classes=3, num_samples=4, **options)


def test_belief_is_the_mean_probability_and_nan_where_never_seen():
    system = made()
    for value in (-1.0, 3.0):
        system.observe(torch.tensor([2]), torch.full((1, 3), value))
    expected = torch.tensor([-1.0, 3.0]).sigmoid().mean()
    assert torch.allclose(system.proposals()[2], expected)
    assert system.proposals()[[0, 1, 3]].isnan().all()


def test_a_running_belief_forgets_its_start():
    system = made(belief_decay=0.9)
    system.observe(torch.tensor([1]), torch.full((1, 3), 2.0))
    assert torch.allclose(system.proposals()[1], torch.tensor(2.0).sigmoid())


def test_trust_is_that_of_what_is_given():
    system = made()
    system.observe(torch.arange(4), torch.tensor([[2.0, -2.0, 0.0]]).repeat(4, 1))
    p = torch.tensor(2.0).sigmoid().item()
    found = system.trust(torch.tensor([[1, 0, -1], [0, 1, 1], [1, 1, 1], [0, 0, 0]]))
    expected = [[p, p, np.nan], [1 - p, 1 - p, 0.5], [p, 1 - p, 0.5], [1 - p, p, 0.5]]
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_the_ledger_has_a_row_per_sample_and_its_labels_as_parts():
    system = made()
    logits = torch.tensor([[3.0, -3.0, 3.0], [-3.0, 3.0, -3.0], [3.0, -3.0, -3.0], [3.0, -3.0, 3.0]])
    system.observe(torch.arange(4), logits)
    given = np.array([[1, 0, -1], [0, 1, 0], [0, 0, 0], [1, 0, 1]])
    ledger = system.ledger(given, ["a", "b", "c"])
    assert ledger.meta["task"] == "multilabel"
    assert list(ledger.issues()["given"]) == ["none"]
    assert list(ledger.issues()["proposed"]) == ["a"]
    worst = ledger.parts.sort_values("rank").iloc[0]
    assert (worst["row"], worst["label"], worst["given"], worst["proposed"]) == (2, "a", 0, 1)
    suggested = ledger.parts[ledger.parts["given"] == -1]
    assert suggested[["row", "label", "proposed"]].to_numpy().tolist() == [[0, "c", 1]]
    with pytest.raises(LedgerError, match=r"\(4, 3\)"):
        system.ledger(given[:2])


def test_averaged_weights_predict_and_short_trainings_forget_their_start():
    system = made(ema=0.9997)
    before = system.averaged.model.weight.clone()
    with torch.no_grad():
        system.model.weight.add_(1.0)
    system.averaged.update(system.model, min(system.ema, 2 / 11))
    assert torch.allclose(system.averaged.model.weight, before + 9 / 11)
    x = torch.ones(1, 2)
    assert torch.equal(system.eval()(x), system.averaged.model(x))
    assert torch.equal(system.train()(x), system.model(x))
    assert made(ema=0.0).averaged is None


def test_average_precision_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    p, y = random.random((50, 4)), random.integers(0, 2, (50, 4))
    y[:, 3] = 0  # a label that nobody has doesn't count
    expected = np.mean([average_precision_score(y[:, i], p[:, i]) for i in range(3)])
    assert mean_average_precision(torch.tensor(p), torch.tensor(y)).item() == pytest.approx(expected, abs=1e-6)
    hidden = random.random((50, 4)) < 0.3
    partial = np.where(hidden, -1, y)
    own = [average_precision_score(y[~hidden[:, i], i], p[~hidden[:, i], i]) for i in range(3)]
    assert mean_average_precision(torch.tensor(p), torch.tensor(partial)).item() == pytest.approx(
        np.mean(own), abs=1e-6
    )
    alone = mean_average_precision(torch.tensor(p[:, :1]), torch.tensor(y[:, :1]))
    assert alone.item() == pytest.approx(average_precision_score(y[:, 0], p[:, 0]), abs=1e-6)
    assert mean_average_precision(torch.tensor(p), torch.zeros(50, 4, dtype=torch.long)) == 0
