"""The base of systems that learn several labels per sample: each applies or not, and may be unknown."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata.errors import DataError, LedgerError, ParameterError
from errata.items import sets_ledger
from errata.ledger import Ledger
from errata.parts.batch import Batch
from errata.parts.distributed import all_reduce_sum, gather_rows
from errata.parts.precision import in_float32
from errata.parts.system import CHUNK, System
from errata.parts.teacher import EMATeacher
from errata.scores.multilabel import combine, judge

__all__ = ["MultiLabelSystem", "known_signs", "mean_average_precision"]


def known_signs(y: Tensor) -> Tensor:
    """Labels as the data have them as losses for partial labels want them.

    Parameters
    ----------
    y : 1 where a label applies, 0 where not, -1 where it isn't known

    Returns
    -------
    of y's shape: 1 known positive, 0 unknown, -1 known negative

    Examples
    --------
    >>> known_signs(torch.tensor([1, 0, -1]))
    tensor([ 1, -1,  0])
    """
    return torch.where(y == 1, 1, torch.where(y == 0, -1, 0))


def mean_average_precision(probabilities: Tensor, y: Tensor) -> Tensor:
    """The mean over labels of the average precision of the samples' ranking.

    Parameters
    ----------
    probabilities : (N, L) in [0, 1]
    y : (N, L) 1, 0, or -1 where not known: such pairs don't count

    Returns
    -------
    () in [0, 1]; over the labels that some sample has; 0 where there is none

    Examples
    --------
    >>> mean_average_precision(torch.tensor([[0.9, 0.1], [0.2, 0.3]]), torch.tensor([[1, 0], [0, 0]]))
    tensor(1.)
    """
    from torchmetrics.functional.classification import multilabel_average_precision

    there = (y == 1).any(0)
    if not there.any():
        return probabilities.new_zeros(())
    probabilities, y = probabilities[:, there], y[:, there]
    if len(there) == 1 or probabilities.shape[1] == 1:  # torchmetrics wants two labels or more
        probabilities, y = probabilities.repeat(1, 2), y.repeat(1, 2)
    found = multilabel_average_precision(probabilities, y, y.shape[1], average=None, ignore_index=-1)
    return found.mean()


class MultiLabelSystem(System):
    """A training system whose labels are (B, L): 1 applies, 0 does not, -1 is not known.

    Parameters
    ----------
    model : maps a batch of inputs (B, ...) to logits (B, L); the probability of a label is the logit's sigmoid
    num_classes : L, 1 or more
    num_samples : see ``System``
    ema : decay of the averaged weights, which are what predicts; in [0, 1), 0 for none. In the first steps it is
        ``(1 + step) / (10 + step)`` where that is less, so that short trainings forget their start
    optimizer, lr, weight_decay, scheduler : see ``System``
    training : see ``System``

    Notes
    -----
    ``belief`` holds each sample's mean probability of each label over the training (or its running mean, with
    ``belief_decay``): (N, L), and the ledger has a row per sample with its (sample, label) pairs as ``parts``.
    """

    least_classes: ClassVar[int] = 1
    label_dims: ClassVar[int] = 2
    watched: ClassVar[str] = "val_map"
    given_odds: ClassVar[float] = 1.0
    """What it counts in the ledger for a label that it was given; see ``errata.scores.multilabel.judge``."""
    believes_negatives: ClassVar[bool] = True
    """Whether a label given not to apply counts as that: then as many are predicted as are given, else from 0.5 on."""

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        ema: float = 0.9997,
        optimizer: str | Callable[[Iterable[Any]], torch.optim.Optimizer] = "adam",
        lr: float = 1e-4,
        weight_decay: float = 1e-4,
        scheduler: str | Callable[[torch.optim.Optimizer], Any] = "one-cycle",
        **training: Any,
    ) -> None:
        chosen: dict[str, Any] = {
            "optimizer": optimizer,
            "lr": lr,
            "weight_decay": weight_decay,
            "scheduler": scheduler,
        }
        super().__init__(model, num_classes, num_samples, **chosen, **training)
        if not 0 <= ema < 1:
            raise ParameterError(f"ema must be in [0, 1); got {ema!r}.")
        self.ema = ema
        self.averaged = EMATeacher(model, ema) if ema > 0 else None
        self._held: list[tuple[Tensor, Tensor]] = []

    # -- what a subclass uses -----------------------------------------------------------------------------------------

    def probabilities(self, logits: Tensor) -> Tensor:
        """Logits (B, L) as the probabilities that the labels apply, float32 or better."""
        return in_float32(logits).sigmoid()

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> Any:
        batch = super().on_after_batch_transfer(batch, dataloader_idx)
        if isinstance(batch, Batch) and batch.y.ndim == self.label_dims and batch.y.shape[1] != self.num_classes:
            raise DataError(
                f"Expected {self.num_classes} labels for each sample, as the system was made for; got "
                f"{tuple(batch.y.shape)}."
            )
        return batch

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self.averaged is not None:
            step = self.global_step
            self.averaged.update(self.model, min(self.ema, (1 + step) / (10 + step)))

    # -- prediction ---------------------------------------------------------------------------------------------------

    def forward(self, x: Any) -> Tensor:
        """Logits (B, L) of stored inputs, by their plain view; of the averaged weights where there are any."""
        x = self.views.plain(x)
        return self.model(x) if self.averaged is None or self.training else self.averaged(x)

    def validation_step(self, batch: Batch) -> None:
        """Logs ``val_loss``, binary cross-entropy on the labels that are known, and, at the end, ``val_map``."""
        logits = in_float32(self(batch.x))
        self._held.append((logits, batch.y))
        known = batch.y >= 0
        loss = F.binary_cross_entropy_with_logits(logits, (batch.y == 1).to(logits), reduction="none")
        total, count = all_reduce_sum(torch.stack([(loss * known).sum(), known.sum().to(loss)]))
        self.log("val_loss", total / count.clamp(min=1), batch_size=int(count.clamp(min=1)), sync_dist=True)

    def on_validation_epoch_end(self) -> None:
        """Logs the mean average precision over the labels that some held-out sample has."""
        logits, y = (torch.cat(parts) for parts in zip(*self._held))
        self._held = []
        logits, y = gather_rows(logits, y)
        self.log("val_map", mean_average_precision(logits.sigmoid(), y), prog_bar=True)

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def belief_in(self, rows: Tensor) -> Tensor:
        """The probability of each label of some samples: (R,) rows -> (R, L); NaN where nothing is known yet."""
        belief, visits = self.belief.read(rows), self.visits.read(rows)[:, None]
        if self.belief_decay is not None:
            belief = belief / (1 - self.belief_decay ** visits.clamp(min=1))
        return torch.where(visits > 0, belief.clamp(0, 1), torch.nan)

    def trust(self, given: Tensor) -> Tensor:
        """How far each given label is believed: (N, L) of 1, 0, -1 -> (N, L) in [0, 1]; NaN where it isn't known."""
        given = given.to(self.belief.device)
        belief = self.proposals()
        return torch.where(given == 1, belief, torch.where(given == 0, 1 - belief, torch.nan))

    def proposals(self) -> Tensor:
        """(N, L) the probability of each label; rows never trained on are NaN."""
        rows = torch.arange(self.num_samples, device=self.belief.device)
        return torch.cat([self.belief_in(some) for some in rows.split(CHUNK)])

    def ledger(self, given: Any, classes: Sequence[Any] | None = None, **more: Any) -> Ledger:
        """The ledger over the samples trained on.

        Parameters
        ----------
        given : (N, L) given labels: 1, 0, or -1 where not known
        classes : names of the labels; by default 0 .. L-1
        more : ``probabilities`` (N, L) in place of the system's belief; else as for ``errata.Ledger``

        Raises
        ------
        LedgerError
            where ``given`` is not one row for each sample, or not one column for each label
        """
        matrix = (given.cpu().numpy() if isinstance(given, Tensor) else np.asarray(given)).astype(np.int8)
        probabilities = more.pop("probabilities", None)
        believed = self.proposals().cpu().numpy() if probabilities is None else np.asarray(probabilities)
        if matrix.shape != believed.shape:
            raise LedgerError(
                f"Expected given labels of shape {believed.shape}, one row for each sample and one column for each "
                f"label; got {matrix.shape}."
            )
        names = [str(name) for name in (range(self.num_classes) if classes is None else classes)]
        unseen = np.isnan(believed)
        trust, issue = judge(matrix, np.where(unseen, 0.5, believed), self.given_odds)
        trust[unseen], issue[unseen] = np.nan, False
        meta = {"method": self.card.slug, "task": "multilabel", "label_names": names, **dict(more.pop("meta", {}))}
        return sets_ledger(
            matrix,
            believed,
            names,
            trust=trust,
            issue=issue,
            item_trust=combine(trust, "min"),
            suggest=True,
            meta=meta,
            **more,
        )
