"""A new last layer for a merged network, trained on labels: for tasks whose classes differ."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["linear_probe"]


def linear_probe(
    model: nn.Module,
    batches: Iterable[Any],
    num_classes: int,
    *,
    epochs: int = 50,
    lr: float = 1e-3,
    seed: int = 0,
) -> nn.Module:
    """Train a new last layer on labelled batches (x, y), the rest of the network as it is; changed in place.

    Adam with a cosine schedule from ``lr`` to a tenth of it, as the authors do for tasks with different labels.

    Parameters
    ----------
    model : ends in a linear layer
    batches : of (x, y), y (B,) codes in [0, num_classes)
    num_classes : K of the new layer
    epochs, lr : of the training
    seed : of the new layer and of the order
    """
    name, last = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear)][-1]
    seen: list[Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach()))
    labels = []
    model.eval()
    try:
        with torch.no_grad():
            for batch in batches:
                x, y = (batch.x, batch.y) if hasattr(batch, "index") and hasattr(batch, "y") else batch[:2]
                model(x.to(last.weight.device))
                labels.append(torch.as_tensor(y).to(last.weight.device).long())
    finally:
        handle.remove()
    features, target = torch.cat(seen), torch.cat(labels)
    features, target = features[target >= 0], target[target >= 0]
    generator = torch.Generator().manual_seed(seed)
    probe = nn.Linear(last.in_features, num_classes).to(features)
    with torch.no_grad():
        bound = last.in_features**-0.5
        for part in (probe.weight, probe.bias):
            part.copy_(torch.rand(part.shape, generator=generator) * 2 * bound - bound)
    size = min(128, len(features))
    steps = epochs * -(-len(features) // size)
    optimizer = torch.optim.Adam(probe.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, eta_min=lr / 10)
    for _ in range(epochs):
        for rows in torch.randperm(len(features), generator=generator).split(size):
            rows = rows.to(features.device)
            loss = nn.functional.cross_entropy(probe(features[rows]), target[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    setattr(model.get_submodule(name.rpartition(".")[0]), name.rpartition(".")[2], probe)
    return model
