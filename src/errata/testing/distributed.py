"""The check that two ranks compute what one process does on the same global batches."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from errata.parts import Batch, System
from errata.testing.failure import demand
from errata.testing.problems import SealedBatch, batches, make_problem
from errata.testing.ranks import run_on_ranks
from errata.testing.training import build, fit, ledger_of, quiet, same_state

__all__ = ["check_two_ranks"]

SAMPLES, SIZE, EPOCHS, TOLERANCE = 23, 8, 3, 1e-6


def check_two_ranks(kind: type[System], options: dict[str, Any], modality: str = "tabular") -> None:
    """Lightning's ddp on two gloo ranks: weights, memories and ledger equal one process's to 1e-6, N of N rows."""
    problem = make_problem(modality, SAMPLES)
    alone = build(kind, problem, options)
    fit(alone, batches(problem, SIZE), epochs=EPOCHS, precision="64-true")
    expected = ledger_of(alone, problem)
    with TemporaryDirectory() as folder:
        run_on_ranks(train_share, kind, options, folder, modality, modules=[kind.__module__])
        states = [torch.load(Path(folder) / f"state{rank}.pt", weights_only=True) for rank in (0, 1)]
        saved = torch.load(Path(folder) / "rank0.ckpt", weights_only=True)
    for rank, state in enumerate(states):
        same_state(
            alone.state_dict(),
            state,
            TOLERANCE,
            f"Rank {rank} of two does not end where one process does on the same global batches. What is computed over "
            "a batch must be computed over the global batch (gather_rows, global_mean, Mix), and what is kept per "
            "sample belongs into a SampleMemory.",
        )
    restored = build(kind, problem, options, seed=99)
    restored.load_state_dict(saved["state_dict"])
    rows = ledger_of(restored, problem)  # demands N of N rows
    worst = float(abs(rows.trust - expected.trust).max())
    demand(
        worst <= TOLERANCE, f"The ledger from rank 0's checkpoint differs from one process's by {worst:.3g} in trust."
    )


def train_share(kind: type[System], options: dict[str, Any], folder: str, modality: str) -> None:
    """What each rank does: train on its contiguous share of every global batch, and save where it ends."""
    from lightning.pytorch.plugins.environments import TorchElasticEnvironment
    from lightning.pytorch.strategies import DDPStrategy

    rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
    problem = make_problem(modality, SAMPLES)
    system = build(kind, problem, options)
    shares = [_share(batch, rank, world) for batch in batches(problem, SIZE)]
    strategy = DDPStrategy(cluster_environment=TorchElasticEnvironment(), process_group_backend="gloo")
    trainer, _ = fit(system, shares, epochs=EPOCHS, devices=world, strategy=strategy, precision="64-true")
    with quiet(0):
        trainer.save_checkpoint(Path(folder) / "rank0.ckpt")
    torch.save(system.state_dict(), Path(folder) / f"state{rank}.pt")


def _share(batch: Batch, rank: int, world: int) -> Batch:
    # one row more than half to the first rank: shares are uneven also where a batch is even
    cuts = [0, len(batch.y) // world + 1, len(batch.y)]
    own = slice(cuts[rank], cuts[rank + 1])
    return SealedBatch(batch.index[own], batch.x[own], batch.y[own])
