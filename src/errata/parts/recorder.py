"""What a training says of each sample on the way, kept as running sums: the pruning scores of one run, for free.

Nothing is predicted that the training doesn't predict anyway. The sums are a ``SampleMemory`` with a column each, so
they survive checkpoints, are equal on all ranks, and take some 50 bytes for a sample whatever the number of epochs.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from errata.errors import ParameterError
from errata.parts.memory import SampleMemory
from errata.parts.precision import in_float32

__all__ = ["DynamicsRecorder"]

COLUMNS = (
    "visits",
    "margin",
    "margin_prob",
    "loss",
    "belief",
    "error",
    "grand",
    "early",
    "right",
    "forgotten",
    "last_right",
)


class DynamicsRecorder(nn.Module):
    """Running sums of how a training predicts each sample's given label.

    Parameters
    ----------
    num_samples : N
    early : visits of a sample whose error counts for EL2N and GraNd, 1 or more: they are scores of the start

    Notes
    -----
    A sample is thought of as visited once in an epoch, in training mode and with its augmentation, as the published
    codes do. ``errata.scores.pruning`` has the same scores as functions of all logits.

    Examples
    --------
    >>> recorder = DynamicsRecorder(2)
    >>> for logits in ([[2.0, 0.0], [0.0, 1.0]], [[3.0, 0.0], [1.0, 0.0]]):
    ...     recorder.record(torch.tensor([0, 1]), torch.tensor(logits), torch.tensor([0, 1]))
    >>> found = recorder.scores()
    >>> found["aum"], found["forgetting"], found["correctness"]
    (array([2.5, 0. ], dtype=float32), array([0., 1.], dtype=float32), array([2., 1.], dtype=float32))
    """

    def __init__(self, num_samples: int, *, early: int = 10) -> None:
        super().__init__()
        if early < 1:
            raise ParameterError(f"early must be 1 epoch or more; got {early!r}.")
        self.early = int(early)
        self.sums = SampleMemory(num_samples, (len(COLUMNS),))

    @torch.no_grad()
    def record(self, index: Tensor, logits: Tensor, given: Tensor, features: Tensor | None = None) -> None:
        """Take in one visit of some samples.

        Parameters
        ----------
        index : (B,) rows, each at most once
        logits : (B, K), in any precision
        given : (B,) labels in [0, K)
        features : (B, d) what the network's last layer saw; without it there is no GraNd
        """
        z, own_class = in_float32(logits.detach()), given.long()[:, None]
        log_p = z.log_softmax(1)
        p = log_p.exp()
        own_p, own_z = p.gather(1, own_class)[:, 0], z.gather(1, own_class)[:, 0]
        rival_p = p.scatter(1, own_class, -1.0).max(1).values
        rival_z = z.scatter(1, own_class, -torch.inf).max(1).values
        # |p - onehot|^2 = |p|^2 - 2 p_y + 1
        error = (p.square().sum(1) - 2 * own_p + 1).clamp(min=0).sqrt()
        right = (z.argmax(1, keepdim=True) == own_class)[:, 0].to(z.dtype)
        old = self.sums.read(index).to(z)
        is_early = (old[:, 0] < self.early).to(z.dtype)
        length = torch.full_like(error, torch.nan)
        if features is not None:
            length = error * (1 + in_float32(features.detach()).flatten(1).square().sum(1)).sqrt()
        was_right = old[:, COLUMNS.index("last_right")]
        seen = [
            torch.ones_like(error),
            own_z - rival_z,
            own_p - rival_p,
            -log_p.gather(1, own_class)[:, 0],
            own_p,
            error * is_early,
            torch.where(is_early > 0, length, 0.0),
            is_early,
            right,
            was_right * (1 - right),
            right - was_right,
        ]
        self.sums.write(index, old + torch.stack(seen, dim=1))

    def scores(self) -> dict[str, np.ndarray]:
        """Every score, (N,) float32; NaN for samples never visited.

        - "el2n": mean error norm over the first visits; high = hard
        - "grand": mean length of the last layer's gradient over the first visits; high = hard; NaN without features
        - "forgetting": times it was right and at the next visit not any more, infinity for one never right; high = hard
        - "aum": mean margin of logits; low = hard
        - "accumulated_margin": sum of the margins of probabilities; low = hard
        - "correctness": visits at which the label was predicted; low = hard
        - "belief", "mean_loss": mean probability of the label, mean cross-entropy
        """
        table = dict(zip(COLUMNS, self.sums.values.cpu().numpy().T))
        with np.errstate(divide="ignore", invalid="ignore"):
            visits = np.where(table["visits"] > 0, table["visits"], np.nan)
            early = np.where(table["early"] > 0, table["early"], np.nan)
            found = {
                "el2n": table["error"] / early,
                "grand": table["grand"] / early,
                "forgetting": np.where(table["right"] > 0, table["forgotten"], np.inf) + 0 * visits,
                "aum": table["margin"] / visits,
                "accumulated_margin": table["margin_prob"] + 0 * visits,
                "correctness": table["right"] + 0 * visits,
                "belief": table["belief"] / visits,
                "mean_loss": table["loss"] / visits,
            }
        return {name: values.astype(np.float32) for name, values in found.items()}
