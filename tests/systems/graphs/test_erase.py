"""ERASE on a small stochastic block model: the identities of its steps, and that it corrects labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from errata import noise, systems
from errata.errors import ParameterError
from errata.models import graphs
from errata.parts import column_normalized, graph_batch, propagate
from errata.systems.graphs.erase import ERASE, semantic_labels, structural_denoising
from errata.testing.graphs import make_node_problem
from errata.testing.training import fit


def block_model(n: int = 400, classes: int = 4, seed: int = 0):
    """The dossier's synthetic twin: edges with probability .05 within a class and .01 between classes."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    chance = np.where(y[:, None] == y[None, :], 0.05, 0.01)
    half = np.argwhere(np.triu(rng.random((n, n)) < chance, 1)).T
    x = rng.normal(size=(n, 16)) + 2.0 * np.eye(classes, 16)[y]
    return torch.from_numpy(x).float(), torch.from_numpy(np.concatenate([half, half[::-1]], 1)), y


def small(**options):
    problem = make_node_problem()
    torch.manual_seed(0)
    return ERASE(problem.network(), 3, len(problem), **options), problem


class TestDenoising:
    def test_without_steps_it_is_the_given_labels(self):
        problem = make_node_problem()
        found = structural_denoising(problem.edge_index, problem.y, problem.y >= 0, 3, 0.6, 0)
        assert torch.equal(found.argmax(1)[problem.y >= 0], problem.y[problem.y >= 0])
        assert not found[problem.y < 0].any()

    def test_only_training_nodes_vote(self):
        problem = make_node_problem()
        train = problem.y >= 0
        other = torch.where(train, problem.y, torch.randint(3, (len(problem),)))
        found = [structural_denoising(problem.edge_index, y, train, 3, 0.6, 5) for y in (problem.y, other)]
        assert torch.equal(*found)

    def test_a_lonely_training_node_keeps_its_label_and_fades(self):
        found = structural_denoising(
            torch.zeros(2, 0, dtype=torch.int64), torch.tensor([1]), torch.tensor([True]), 2, 0.6, 5
        )
        torch.testing.assert_close(found, torch.tensor([[0.0, 0.6**5]]))


class TestTargets:
    def test_beta_one_is_plain_propagation_of_the_vote(self):
        system, problem = small(beta=1.0)
        graph = system._prepare(problem.batch(), torch.zeros(len(problem), 3))
        propagated, labels = system.target_labels(torch.rand(len(problem), 3), graph)
        wanted = propagate(column_normalized(problem.edge_index, len(problem)), graph.denoised.softmax(1), 0.6, 5)
        torch.testing.assert_close(propagated, wanted)
        assert torch.equal(labels, wanted.argmax(1))

    @pytest.mark.parametrize("options", [{"alpha": 1.0}, {"T": 0}, {"propagate_semantic": False}])
    def test_without_propagation_it_is_the_mixture(self, options):
        system, problem = small(**options)
        z = torch.rand(len(problem), 3)
        graph = system._prepare(problem.batch(), z)
        propagated, _ = system.target_labels(z, graph)
        torch.testing.assert_close(propagated, semantic_labels(z, graph.denoised, system.prototypes, 0.6))

    def test_a_class_without_a_training_node_keeps_its_prototype(self):
        system, problem = small()
        system.prototypes[2] = torch.tensor([1.0, 2.0, 3.0])
        batch = problem.batch()._replace(y=torch.where(problem.y == 2, -1, problem.y))
        z = torch.rand(len(problem), 3)
        system.target_labels(z, system._prepare(batch, z))
        assert system.prototypes[2].tolist() == [1, 2, 3]
        assert system.prototypes[:2].any(1).all()

    def test_another_graph_is_prepared_anew(self):
        system, problem = small()
        z = torch.zeros(len(problem), 3)
        first = system._prepare(problem.batch(), z)
        assert system._prepare(problem.batch(), z) is first
        fewer = graph_batch(problem.x, problem.edge_index[:, :10], problem.y)
        assert system._prepare(fewer, z) is not first


class TestProbe:
    @pytest.mark.parametrize("present", [[1], [0, 2], [0, 1, 2]])
    def test_it_predicts_what_scikit_learn_would(self, present):
        from sklearn.linear_model import LogisticRegression

        system, problem = small()
        y = torch.where(torch.isin(problem.truth, torch.tensor(present)), problem.truth, -1)
        batch = problem.batch()._replace(y=y)
        system._last = (batch, y.clamp(min=0))
        system.eval().fit_probe()
        with torch.no_grad():
            z = torch.nn.functional.normalize(system.model(batch.x), dim=1).double().numpy()
            probability = system(batch.x).softmax(1).double().numpy()
        if len(present) == 1:
            assert (probability.argmax(1) == present[0]).all()
            return
        known = (y >= 0).numpy()
        wanted = LogisticRegression(max_iter=1000).fit(z[known], y[known]).predict_proba(z)
        np.testing.assert_allclose(probability[:, present], wanted, atol=1e-4)

    def test_it_is_fitted_at_the_end_whatever_the_rhythm(self):
        system, problem = small(probe_every=7)
        fit(system, [problem.batch()], epochs=3)
        assert system.probe.weight.any()
        assert system._last is None


class TestParameters:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"alpha": 1.5}, "alpha must be in"),
            ({"beta": -0.1}, "beta must be in"),
            ({"T": 1.5}, "T must be a whole number"),
            ({"eps": 0}, "eps must be above 0"),
            ({"gam1": 0}, "gam1 must be above 0"),
            ({"gam2": -1}, "gam2 must be 0 or more"),
            ({"probe_every": 0}, "probe_every must be a whole number, 1"),
        ],
    )
    def test_nonsense_is_refused(self, options, told):
        with pytest.raises(ParameterError, match=told):
            small(**options)

    def test_the_width_of_the_representation_must_be_known(self):
        with pytest.raises(ParameterError, match="Sequential has no out_features; give embedding_dim"):
            ERASE(torch.nn.Sequential(), 3, 5)
        assert ERASE(torch.nn.Sequential(), 3, 5, embedding_dim=4).probe.in_features == 4

    def test_a_wrong_width_is_told(self):
        problem = make_node_problem()
        system = ERASE(problem.network(), 3, len(problem), embedding_dim=4)
        with pytest.raises(ParameterError, match="representations of width 3; expected 4"):
            system.training_step(problem.batch())


def test_it_corrects_planted_noise_and_beats_cross_entropy():
    pytest.importorskip("torch_geometric", reason="needs PyTorch Geometric: pip install 'errata[graphs]'")
    x, edges, y = block_model()
    train = np.random.default_rng(1).permutation(400)[:160]
    given = np.full(400, -1)
    given[train] = noise.asymmetric(y[train], 0.4, "pair", 4, seed=2)
    batch, rest = graph_batch(x, edges, torch.from_numpy(given)), np.setdiff1d(np.arange(400), train)
    accuracy = {}
    for slug, role, width in (("erase", "encoder", 32), ("gnn-ce", "classifier", 4)):
        network = graphs.build(role, 16, width, hidden=32, heads=4, seed=0)
        system = systems.load(slug)(network, 4, 400, **({"lr": 0.01} if slug == "erase" else {}))
        fit(system, [batch], epochs=40)
        with torch.no_grad():
            accuracy[slug] = (system.eval()(batch.x).argmax(1).numpy() == y)[rest].mean()
        if slug == "erase":
            ledger = system.ledger(given)
    wrong = (given != y)[train]
    assert (ledger.proposed == y)[train].mean() > 0.6 + 0.1  # of what was given, 60 % is right
    assert ledger.trust[train][wrong].mean() < ledger.trust[train][~wrong].mean() - 0.2
    assert accuracy["erase"] > accuracy["gnn-ce"] + 0.05
