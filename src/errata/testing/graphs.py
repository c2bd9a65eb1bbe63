"""The law for systems that are trained on a graph's nodes: one batch is the whole graph, and labels of -1 are unknown.

Two ranks do not apply: there is one batch and nothing to divide, so a system must refuse several processes instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from errata.errors import DataError, ParameterError
from errata.parts import Batch, Graph, System, Views
from errata.testing.failure import CheckFailure, demand
from errata.testing.problems import CLASSES, SealedBatch
from errata.testing.steps import copies_agree, finite_in_bfloat16, moves_and_predicts, resumed, same_twice
from errata.testing.training import Losses, check_stored_as_given, fit, quiet

__all__ = ["NodeProblem", "checks", "make_node_problem"]

Check = Callable[[], None]
WIDTH = 6


class NeighbourMean(nn.Module):
    """A linear layer on a node beside the mean of its neighbours: the least network that looks at a graph."""

    out_features = CLASSES

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * WIDTH, 16)
        self.last = nn.Linear(16, CLASSES)
        self.dropout = dropout

    def forward(self, graph: Any) -> Tensor:
        x, (row, column) = graph
        total = torch.zeros_like(x).index_add_(0, row, x[column])
        degree = torch.bincount(row, minlength=len(x)).clamp(min=1)[:, None]
        z = self.hidden(torch.cat([x, total / degree], dim=1)).relu()
        return self.last(F.dropout(z, self.dropout, self.training))


@dataclass
class NodeProblem:
    """A small graph whose communities are its classes.

    Attributes
    ----------
    x : (N, 6) features; edge_index : (2, E), both directions
    y : (N,) given labels, -1 where there is none; truth : (N,) all labels
    network : makes the network
    """

    x: Tensor
    edge_index: Tensor
    y: Tensor
    truth: Tensor
    network: Callable[[], nn.Module]

    def __len__(self) -> int:
        return len(self.y)

    def batch(self) -> Batch:
        """The graph as one batch, whose truth can't be read."""
        return SealedBatch(torch.arange(len(self)), Graph(self.x, self.edge_index), self.y)


def make_node_problem(n: int = 60, *, dropout: float = 0.0, labelled: float = 0.5) -> NodeProblem:
    """Communities of equal size with features near to their class, always the same.

    Examples
    --------
    >>> problem = make_node_problem(12)
    >>> len(problem), problem.x.shape, int((problem.y >= 0).sum())
    (12, torch.Size([12, 6]), 6)
    """
    random = torch.Generator().manual_seed(13)
    truth = torch.arange(n) % CLASSES
    same = truth[:, None] == truth[None, :]
    chance = torch.rand(n, n, generator=random).triu(1)
    chosen = (chance > 0) & (chance < torch.where(same, 0.3, 0.03))
    half = chosen.nonzero().T
    x = 0.5 * torch.randn(n, WIDTH, generator=random) + torch.eye(CLASSES, WIDTH)[truth]
    y = torch.where(torch.arange(n) < labelled * n, truth, -1)
    return NodeProblem(x, torch.cat([half, half.flip(0)], 1), y, truth, lambda: NeighbourMean(dropout))


def checks(kind: type[System], options: dict[str, Any]) -> Iterator[tuple[str, Check]]:
    """Yield the checks as (name, function without arguments); see ``errata.testing.check_system``."""
    found: dict[str, Callable[..., None]] = {
        "parameters_stored_as_given": check_parameters,
        "step_on_a_graph": check_step,
        "ledger_filled_for_every_node": check_ledger,
        "checkpoint_and_resume": check_resume,
        "several_ranks_refused": check_ranks,
        "plain_trainer_and_pyg_data": check_pyg_data,
        "mixed_precision": check_mixed_precision,
        "odd_graphs": check_odd_graphs,
        "class_without_a_label": check_missing_class,
        "bad_labels_refused": check_bad_labels,
        "no_truth_read": check_no_truth,
        "order_of_nodes_means_nothing": check_permutation,
        "learns": check_learns,
        "same_seed_same_result": check_deterministic,
        "copies_and_pickles": check_copies,
    }
    for name, check in found.items():
        yield name, partial(check, kind, options)


def build(kind: type[System], problem: NodeProblem, options: dict[str, Any], seed: int = 1) -> Any:
    """The system on a fresh network; the same seed gives the same weights."""
    with quiet(seed):
        return kind(problem.network(), CLASSES, len(problem), **options)


def trained(
    kind: type[System], problem: NodeProblem, options: dict[str, Any], epochs: int = 3, **trainer: Any
) -> tuple[Any, Losses]:
    """A system after a few steps in a plain Trainer, and its losses."""
    system = build(kind, problem, options)
    _, losses = fit(system, [problem.batch()], epochs=epochs, **trainer)
    return system, losses


def ledger_of(system: Any, problem: NodeProblem) -> Any:
    """The ledger, checked to be whole: trust where a label is given, a proposal for every node."""
    ledger = system.ledger(problem.y)
    demand(len(ledger) == len(problem), f"The ledger has {len(ledger)} rows for {len(problem)} nodes.")
    trust, given = torch.as_tensor(ledger.trust), problem.y >= 0
    demand(bool(((trust >= 0) & (trust <= 1))[given].all()), "trust must lie in [0, 1] for nodes with a label.")
    demand(bool(trust[~given].isnan().all()), "trust must be NaN for nodes without a label.")
    demand(bool((ledger.proposed >= 0).all()), "A class must be proposed for every node, labelled or not.")
    sums = system.proposals().sum(1)
    demand(bool(((sums - 1).abs() < 1e-3).all()), "Rows of proposals() must be probabilities.")
    return ledger


def check_parameters(kind: type[System], options: dict[str, Any]) -> None:
    """Every parameter is an attribute of its name that holds what was given."""
    last = check_stored_as_given(kind, options, make_node_problem(), build)
    demand(
        last is None or isinstance(last.views, Views), "Without views given, `views` must be the identity `Views()`."
    )


def check_step(kind: type[System], options: dict[str, Any]) -> None:
    """A step gives a finite scalar loss and moves the weights; prediction is (N, K)."""
    problem = make_node_problem()
    system = build(kind, problem, {"weight_decay": 0.0, **options})
    moves_and_predicts(system, [problem.batch()], problem.batch().x, (len(problem), CLASSES), "")


def check_ledger(kind: type[System], options: dict[str, Any]) -> None:
    """After an epoch every node has a proposal, and every labelled one trust."""
    problem = make_node_problem()
    ledger = ledger_of(trained(kind, problem, options, epochs=1)[0], problem)
    demand(ledger.meta.get("method") == kind.card.slug, "The ledger must say which system filled it: meta['method'].")
    demand(ledger.kind.row == "node", "The ledger must say that its rows are nodes: meta['task'].")


def check_resume(kind: type[System], options: dict[str, Any]) -> None:
    """Resumed from a checkpoint of the second of four epochs, it ends as if never interrupted, bit for bit."""
    problem = make_node_problem(dropout=0.2)
    whole, again = resumed(lambda seed: build(kind, problem, options, seed), [problem.batch()], "")
    left, right = ledger_of(whole, problem), ledger_of(again, problem)
    demand((left.proposed == right.proposed).all(), "The resumed training ends with other proposals in the ledger.")


def check_ranks(kind: type[System], options: dict[str, Any]) -> None:
    """Several processes are refused with an error that says so, for each would do the same step."""
    system = build(kind, make_node_problem(), options)
    system._trainer = SimpleNamespace(world_size=2)
    try:
        system.setup("fit")
    except ParameterError:
        return
    raise CheckFailure("Training in two processes must be refused: a step takes the whole graph.")


def check_pyg_data(kind: type[System], options: dict[str, Any]) -> None:
    """It trains, validates and predicts in a plain Trainer on PyTorch Geometric's Data, or whatever looks like it."""
    problem = make_node_problem()
    train, held = torch.arange(len(problem)) < 20, torch.arange(len(problem)) >= 40
    data = SimpleNamespace(x=problem.x, edge_index=problem.edge_index, y=problem.truth, train_mask=train, val_mask=held)
    loader = torch.utils.data.DataLoader([data], batch_size=None)  # type: ignore[arg-type, var-annotated]
    system = build(kind, problem, options)
    trainer, losses = fit(system, loader, epochs=2)
    demand(losses.all_finite(), "A loss is not finite.")
    with quiet(3):
        figures = trainer.validate(system, loader, verbose=False)[0]
        predicted = torch.cat(trainer.predict(system, loader))
    demand("val_accuracy" in figures, "validation_step must log val_accuracy.")
    demand(
        tuple(predicted.shape) == (len(problem), CLASSES) and bool(((predicted.sum(1) - 1).abs() < 1e-4).all()),
        f"predict_step must give probabilities (N, K); got {tuple(predicted.shape)}.",
    )


def check_mixed_precision(kind: type[System], options: dict[str, Any]) -> None:
    """In bfloat16 mixed precision losses, weights, memories and ledger stay finite."""
    problem = make_node_problem()
    system = build(kind, problem, options)
    finite_in_bfloat16(system, [problem.batch()], epochs=3)
    ledger_of(system, problem)


def check_odd_graphs(kind: type[System], options: dict[str, Any]) -> None:
    """Isolated nodes, loops, repeated edges, edges in one direction, no edges at all."""
    problem = make_node_problem()
    loops = torch.arange(len(problem)).repeat(2, 1)
    for edges in (
        torch.zeros(2, 0, dtype=torch.int64),
        problem.edge_index[:, :20],
        torch.cat([problem.edge_index, problem.edge_index, loops], 1),
    ):
        problem.edge_index = edges
        system, losses = trained(kind, problem, options)
        demand(losses.all_finite(), f"With {edges.shape[1]} edges a loss is not finite.")
        ledger_of(system, problem)


def check_missing_class(kind: type[System], options: dict[str, Any]) -> None:
    """A class may have no labelled node; there may be one labelled node in all."""
    for least in (1, 59):
        problem = make_node_problem()
        problem.y = torch.where((problem.truth >= min(least, 2)) & (torch.arange(60) >= least), problem.truth, -1)
        system, losses = trained(kind, problem, options)
        demand(losses.all_finite(), "With a class without a label a loss is not finite.")
        ledger_of(system, problem)


def check_bad_labels(kind: type[System], options: dict[str, Any]) -> None:
    """Labels outside of [-1, K), and graphs without any, are refused with a DataError."""
    for value in (CLASSES, -2, -1):
        problem = make_node_problem()
        problem.y = torch.full_like(problem.y, -1)
        problem.y[7] = value
        try:
            trained(kind, problem, options, epochs=1)
        except DataError as error:
            demand(value == -1 or "7" in str(error), f"The error must name the node: {error}")
            continue
        raise CheckFailure(f"A graph whose only label is {value} must be refused.")


def check_no_truth(kind: type[System], options: dict[str, Any]) -> None:
    """It trains on a batch whose ``truth`` raises when it is read."""
    problem = make_node_problem()
    ledger_of(trained(kind, problem, options)[0], problem)


def check_permutation(kind: type[System], options: dict[str, Any]) -> None:
    """Nodes in another order give the same predictions and trust in that order."""
    problem = make_node_problem()
    order = torch.randperm(len(problem), generator=torch.Generator().manual_seed(4))
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    other = NodeProblem(
        problem.x[order], place[problem.edge_index], problem.y[order], problem.truth[order], problem.network
    )
    found = []
    for own in (problem, other):
        system = trained(kind, own, options)[0]
        with torch.no_grad():
            found.append((system.eval()(own.batch().x), torch.as_tensor(ledger_of(system, own).trust)))
    same = torch.allclose(found[0][0][order], found[1][0], atol=1e-3)
    demand(same, "With the nodes in another order the predictions are others.")
    trust = torch.allclose(found[0][1][order], found[1][1], atol=1e-3, equal_nan=True)
    demand(trust, "With the nodes in another order the trust is another.")


def check_learns(kind: type[System], options: dict[str, Any]) -> None:
    """On an easy graph it predicts the nodes without a label far better than chance."""
    problem = make_node_problem()
    system, _ = trained(kind, problem, {"lr": 0.02, **options}, epochs=30)
    with torch.no_grad():
        right = (system.eval()(problem.batch().x).argmax(1) == problem.truth)[problem.y < 0].float().mean()
    demand(right >= 0.75, f"After 30 epochs on an easy graph it is right on {right:.0%} of the nodes without a label.")


def check_deterministic(kind: type[System], options: dict[str, Any]) -> None:
    """The same seed gives the same weights and memories, bit for bit."""
    problem = make_node_problem(dropout=0.2)
    same_twice(lambda seed: build(kind, problem, options, seed), [problem.batch()], epochs=3)


def check_copies(kind: type[System], options: dict[str, Any]) -> None:
    """Deep copies and pickles of a trained system hold the same and predict the same."""
    problem = make_node_problem()
    system = trained(kind, problem, options)[0]
    copies_agree(system, problem.batch().x)
