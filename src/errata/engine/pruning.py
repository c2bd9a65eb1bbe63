"""Which samples a pruned training keeps: from a teacher's training to scores, and from scores to rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.engine.evaluation import pieces
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts import System
from errata.scores import pruning, selection
from errata.systems.compression.kd_pruning import LastFeatures

__all__ = ["RECORDED", "SCORES", "Choice", "choose_rows", "last_features", "network_scores", "some_of"]

RECORDED = {"forgetting": 1, "el2n": 1, "grand": 1, "aum": -1, "accumulated_margin": -1, "correctness": -1}
"""Scores that only a recorded training knows, and whether a high one is hard (1) or easy (-1)."""

FINAL = {"entropy": 1, "least_confidence": 1}
"""Scores of the teacher as it is in the end."""

BY_FEATURES = ("moderate", "herding", "k_center")
SCORES = ("random", *RECORDED, *FINAL, "coverage", *BY_FEATURES)
"""What ``score`` may be called; a .npy file or an array of scores, the high ones kept, does as well."""

CUTS = ((0.1, 0.3), (0.3, 0.2), (0.5, 0.1))
"""Up to such a kept share, such a share is cut as mislabelled by "coverage". The published commands name 0.3 at a tenth
and 0.2 at a fifth; the rest is ours."""


@dataclass(frozen=True)
class Choice:
    """How samples are chosen.

    Parameters
    ----------
    keep : the share that is kept, in (0, 1]
    score : one of ``SCORES``, or (N,) scores of the user's own
    easy : keep the easy end of a score instead of the hard one
    class_balanced : each class keeps its share
    cut : share that "coverage" drops as mislabelled first; by default after ``CUTS``
    seed : of what is random
    """

    keep: float
    score: Any = "random"
    easy: bool = False
    class_balanced: bool = False
    cut: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        selection.kept_count(self.keep, 1)
        if isinstance(self.score, str) and self.score not in SCORES:
            raise UnknownNameError("pruning score", self.score, SCORES, "Scores of your own go in as a .npy file.")
        if self.cut is not None and not 0 <= self.cut < 1:
            raise ParameterError(f"cut is the share dropped as mislabelled, in [0, 1); got {self.cut!r}.")

    @property
    def name(self) -> str:
        """For people."""
        return self.score if isinstance(self.score, str) else "scores of your own"

    @property
    def needs_teacher(self) -> bool:
        """Whether the scores come from a teacher."""
        return isinstance(self.score, str) and self.score != "random"

    @property
    def needs_record(self) -> bool:
        """Whether they come from the whole of its training."""
        return isinstance(self.score, str) and (self.score in RECORDED or self.score == "coverage")

    @property
    def share_cut(self) -> float:
        """What "coverage" drops first; never so much that less is left than shall be kept."""
        told = self.cut if self.cut is not None else next((cut for most, cut in CUTS if self.keep <= most), 0.0)
        return min(told, 1.0 - self.keep)


def choose_rows(
    choice: Choice, labels: Any, scores: dict[str, np.ndarray], features: Callable[[], np.ndarray] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The samples that are kept.

    Parameters
    ----------
    choice : how
    labels : (n,) given labels of the samples there are
    scores : by name, (n,) each, as ``DynamicsRecorder.scores`` and ``network_scores`` give them
    features : gives (n, d) features, asked for where they are needed only

    Returns
    -------
    (m,) positions, rising; and (n,) what they were chosen by, NaN where that is chance or a cover of the features

    Examples
    --------
    >>> kept, _ = choose_rows(Choice(0.5, "el2n"), [0, 0, 1, 1], {"el2n": np.array([0.1, 0.9, 0.8, 0.2])})
    >>> kept
    array([1, 2])
    """
    given = np.asarray(labels)
    count = selection.kept_count(choice.keep, len(given))
    values, pick = _picker(choice, given, scores, features)
    if not choice.class_balanced:
        return pick(np.arange(len(given)), count), values
    quotas = selection.within_classes(given, count)
    parts = []
    for code, quota in quotas.items():
        rows = np.flatnonzero(given == code)
        if quota:
            parts.append(rows[pick(rows, quota)])
    return np.sort(np.concatenate(parts)), values


_Pick = Callable[[np.ndarray, int], np.ndarray]  # of some rows, the places of those kept among them


def _picker(
    choice: Choice, given: np.ndarray, scores: dict[str, np.ndarray], features: Callable[[], np.ndarray] | None
) -> tuple[np.ndarray, _Pick]:
    nothing = np.full(len(given), np.nan)
    if not isinstance(choice.score, str):
        own = _own(choice.score, len(given))
        return own, lambda rows, count: selection.keep_highest(-own[rows] if choice.easy else own[rows], count)
    if choice.score == "random":
        return nothing, lambda rows, count: selection.keep_random(len(rows), count, seed=choice.seed)
    if choice.score in (*RECORDED, *FINAL):
        values = scores[choice.score].astype(np.float64)
        sign = (RECORDED | FINAL)[choice.score] * (-1 if choice.easy else 1)
        return values, lambda rows, count: selection.keep_highest(sign * values[rows], count)
    if choice.score == "coverage":
        margin = scores["accumulated_margin"].astype(np.float64)
        return margin, lambda rows, count: selection.keep_coverage(
            margin[rows], margin[rows], cut=choice.share_cut, count=count, seed=choice.seed
        )
    if features is None:
        raise DataError(f"The score '{choice.score}' needs features of the samples, and the teacher gives none.")
    h = features()
    if choice.score == "moderate":
        distance = pruning.moderate_distance(h, given)
        return distance, lambda rows, count: selection.keep_middle(distance[rows], count / len(rows))
    if choice.score == "herding":
        return nothing, lambda rows, count: selection.herding(h[rows], count)
    return nothing, lambda rows, count: selection.k_center(h[rows], count, seed=choice.seed)


def _own(score: Any, n: int) -> np.ndarray:
    values = np.asarray(score)
    if values.shape != (n,) or values.dtype.kind not in "fiu":
        raise DataError(
            f"Scores of your own must be a number for each of the {n:,} labelled samples; got {values.dtype} "
            f"{values.shape}."
        )
    return values.astype(np.float64)


def network_scores(probabilities: np.ndarray) -> dict[str, np.ndarray]:
    """The scores of a teacher as it is, from its probabilities (n, C)."""
    logits = torch.from_numpy(np.log(np.maximum(probabilities, 1e-12)))
    return {
        "entropy": pruning.prediction_entropy(logits).numpy(),
        "least_confidence": pruning.least_confidence(logits).numpy(),
    }


def last_features(system: System, inputs: Any, rows: np.ndarray, device: str) -> np.ndarray:
    """(len(rows), d) float32: what the network's last linear layer gets to see, or else its outputs."""
    home, mode = system.device, system.training
    system.to(device).eval()
    found: list[Tensor] = []
    try:
        with torch.no_grad():
            for _, x in pieces(some_of(inputs, rows), 512):
                with LastFeatures(system.model) as seen:
                    outputs = system(x.to(device))
                found.append((outputs if seen.features is None else seen.features).flatten(1).float().cpu())
    finally:
        system.to(home).train(mode)
    return torch.cat(found).numpy()


def some_of(inputs: Any, rows: np.ndarray) -> Any:
    """Some rows of encoded inputs, in memory or not."""
    if isinstance(inputs, (Tensor, np.ndarray)):
        return inputs[rows]
    return torch.utils.data.Subset(inputs, rows.tolist())
