"""Going through the training batches once more, between epochs, without disturbing the training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.data import DataLoader

from errata.parts.batch import Batch

__all__ = ["again"]


def again(batches: Any, device: torch.device | str) -> Iterator[Any]:
    """The batches of a training, for one more look; randomness and running workers stay as they are.

    Parameters
    ----------
    batches : a DataLoader (of ``Batch`` or of (index, x, y)), ``errata.data.Batches``, or any iterable that can be
        gone through again
    device : where the batches are moved to

    Examples
    --------
    >>> [batch.index.tolist() for batch in again([Batch(torch.tensor([4]), torch.zeros(1), torch.zeros(1))], "cpu")]
    [[4]]
    """
    with torch.random.fork_rng(devices=[]):
        for batch in _apart(batches):
            batch = batch if isinstance(batch, Batch) else Batch(*batch)
            yield Batch(*(part.to(device) if hasattr(part, "to") else part for part in batch))


def _apart(batches: Any) -> Any:
    """A loader beside the one in use, whose persistent workers may be amid an epoch."""
    if not isinstance(batches, DataLoader) or not batches.num_workers:
        return batches
    options: dict[str, Any] = {"num_workers": batches.num_workers, "collate_fn": batches.collate_fn}
    if batches.batch_sampler is not None:
        return DataLoader(batches.dataset, batch_sampler=batches.batch_sampler, **options)
    return DataLoader(batches.dataset, batch_size=None, sampler=batches.sampler, **options)
