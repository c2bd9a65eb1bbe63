"""Distilling the knowledge in data pruning: a student of few samples, held to a teacher that has seen all.

Who prunes a training set by how hard its samples are keeps the mislabelled ones, which are the hardest of all. Here a
teacher is trained on the whole set once, and on the part that is kept the student learns from the teacher's soft labels
beside the given ones. Soft labels outvote wrong labels and carry what the dropped samples have taught; with them a
random part is about as good as one chosen by any score. The weight of the teacher wants to be the higher the less is
kept, and for little data a small teacher is the better one.

The teacher's own training yields the scores (``RecordedTraining``). Kept per sample: the recorder's eleven sums; for a
student with a cache, the teacher's logits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from errata import systems
from errata.errors import ParameterError
from errata.losses.distillation import DistillationTerms, knowledge_distillation
from errata.parts import Batch, DynamicsRecorder, SampleMemory, System

__all__ = ["KnowledgeDistillation", "RecordedTraining", "kd_loss", "ridge", "student_ridge"]

MANY_CLASSES = 100  # above, cached logits are kept in half precision


def kd_loss(
    student_logits: Tensor, teacher_logits: Tensor, labels: Tensor, alpha: float, tau: float = 4.0
) -> DistillationTerms:
    """``(1 - alpha) CE(z_s, y) + alpha tau^2 KL(softmax(z_t / tau) || softmax(z_s / tau))``, batch means.

    Parameters
    ----------
    student_logits, teacher_logits : (B, C)
    labels : (B,) int
    alpha : weight of the teacher, in [0, 1]
    tau : temperature, > 0

    Returns
    -------
    DistillationTerms(loss, ce, kd), scalars

    Examples
    --------
    >>> kd_loss(torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), alpha=0.0).loss
    tensor(0.6931)
    """
    return knowledge_distillation(student_logits, teacher_logits, labels, alpha=alpha, tau=tau)


def ridge(x: Tensor, y: Tensor, lam: float) -> Tensor:
    """Ridge regression, the theory's model: ``(X X^T + lam I)^-1 X y``.

    Parameters
    ----------
    x : (d, n) samples as columns
    y : (n,)
    lam : strength of the penalty, > 0

    Returns
    -------
    (d,)

    Examples
    --------
    >>> ridge(torch.tensor([[1.0, 2.0]]), torch.tensor([1.0, 2.0]), lam=5.0)
    tensor([0.5000])
    """
    return torch.linalg.solve(x @ x.T + lam * torch.eye(len(x), dtype=x.dtype), x @ y)


def student_ridge(x: Tensor, y: Tensor, teacher: Tensor, *, alpha: float, lam: float) -> Tensor:
    """The theory's student: ridge on the kept samples, with targets mixed from their labels and a teacher's.

    Parameters
    ----------
    x, y : (d, n_f), (n_f,) the samples kept
    teacher : (d,) ridge on at least as many
    alpha : weight of the teacher's targets ``x^T teacher``
    lam : as in ``ridge``

    Returns
    -------
    (d,)
    """
    return ridge(x, (1 - alpha) * y + alpha * (x.T @ teacher), lam)


class RecordedTraining(System):
    """Plain cross-entropy on all the data that keeps the pruning scores of its own training.

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``
    early : visits of a sample that count for EL2N and GraNd
    record : keep the scores; without it this is plain training
    **training : see ``System``

    Examples
    --------
    >>> system = RecordedTraining(torch.nn.Linear(2, 3), num_classes=3, num_samples=4)
    >>> loss = system.training_step(Batch(torch.tensor([0, 1]), torch.zeros(2, 2), torch.tensor([2, 0])))
    >>> system.recorder.scores()["correctness"].shape
    (4,)
    """

    card = systems.card("ce")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        early: int = 10,
        record: bool = True,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        self.early = early
        self.record = record
        self.recorder = DynamicsRecorder(num_samples, early=early) if record else None

    def training_step(self, batch: Batch) -> Tensor:
        with LastFeatures(self.model) as seen:
            logits = self.model(self.views.weak(batch.x))
        self.observe(batch.index, logits)
        if self.recorder is not None:
            self.recorder.record(batch.index, logits, batch.y, seen.features)
        return F.cross_entropy(logits, batch.y)


class LastFeatures:
    """What the last linear layer of a network gets to see, while the block lasts; None where there is no such layer.

    Examples
    --------
    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(3, 2))
    >>> with LastFeatures(network) as seen:
    ...     _ = network(torch.ones(1, 3))
    >>> seen.features
    tensor([[1., 1., 1.]])
    """

    def __init__(self, network: nn.Module) -> None:
        linear = [part for part in network.modules() if isinstance(part, nn.Linear)]
        self._layer = linear[-1] if linear else None
        self.features: Tensor | None = None

    def __enter__(self) -> LastFeatures:
        self._hook = None if self._layer is None else self._layer.register_forward_pre_hook(self._note)
        return self

    def _note(self, layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.features = inputs[0].detach()

    def __exit__(self, *error: object) -> None:
        if self._hook is not None:
            self._hook.remove()


class KnowledgeDistillation(System):
    """The student: cross-entropy with the given labels, and distillation from a teacher of all the data.

    Parameters
    ----------
    model, num_classes, num_samples : see ``System``; the samples are those that were kept
    alpha : weight of the teacher, in [0, 1]. The best one rises as less is kept; with 1 the given labels don't matter.
        ``errata.train(..., system="kd-pruning", alpha="auto")`` chooses it.
    tau : temperature, > 0; the paper's is not known, 4 is the usual one
    teacher : a network or system from stored inputs to logits (B, K), in evaluation mode and without gradient; by
        default none, and ``remember`` must be called before training
    cached : the teacher's logits of the plain inputs are kept by ``remember``, and no teacher is run while training;
        else the teacher sees the same augmented view as the student
    **training : see ``System``

    Notes
    -----
    The teacher is no part of the state dict: whoever resumes a training brings it, or the cache, along. The paper's own
    code is not public; form and placement of the two terms are Hinton's.

    Examples
    --------
    >>> student = KnowledgeDistillation(nn.Linear(2, 3), 3, num_samples=4, alpha=1.0, teacher=nn.Linear(2, 3))
    >>> student.training_step(Batch(torch.tensor([0, 1]), torch.zeros(2, 2), torch.tensor([2, 0]))).shape
    torch.Size([])

    References
    ----------
    Ben-Baruch, Botach, Kviatkovsky, Aggarwal, Medioni: Distilling the knowledge in data pruning, ICML 2025,
    arXiv 2403.07854.
    """

    card = systems.card("kd-pruning")

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        num_samples: int,
        *,
        alpha: float = 1.0,
        tau: float = 4.0,
        teacher: nn.Module | None = None,
        cached: bool = False,
        **training: Any,
    ) -> None:
        super().__init__(model, num_classes, num_samples, **training)
        if isinstance(alpha, str) or not 0 <= alpha <= 1:
            raise ParameterError(f"alpha must be in [0, 1]; got {alpha!r}.")
        if not tau > 0:
            raise ParameterError(f"tau must be above 0; got {tau!r}.")
        self.alpha = alpha
        self.tau = tau
        self.cached = cached
        # in a list, so that it is no sub-module: it has its own place on the disk, and no optimiser touches it
        self._teacher = [] if teacher is None else [teacher]
        dtype = torch.float16 if num_classes > MANY_CLASSES else torch.float32
        self.cache = SampleMemory(num_samples, (num_classes,), dtype=dtype) if cached else None

    @property
    def teacher(self) -> nn.Module | None:
        """The teacher, where one is at hand."""
        return self._teacher[0] if self._teacher else None

    def remember(self, teacher_logits: Tensor) -> None:
        """Keep the teacher's logits (N, C) (or logarithms of its probabilities) of the samples to be trained on."""
        if self.cache is None:
            raise ParameterError("remember() needs a student made with cached=True.")
        self.cache.write(torch.arange(self.num_samples), teacher_logits, gathered=True)

    def training_step(self, batch: Batch) -> Tensor:
        x = self.views.weak(batch.x)
        logits = self.model(x)
        self.observe(batch.index, logits)
        if self.alpha == 0:
            return F.cross_entropy(logits, batch.y)
        return kd_loss(logits, self._soft_labels(batch, x).to(logits.device), batch.y, self.alpha, self.tau).loss

    def _soft_labels(self, batch: Batch, x: Any) -> Tensor:
        if self.cache is not None:
            return self.cache.read(batch.index)
        if self.teacher is None:
            raise ParameterError(
                "A student needs a teacher: give teacher=network, or cached=True and call remember(logits); alpha=0 "
                "trains without one."
            )
        with torch.no_grad():
            self.teacher.eval()
            if isinstance(self.teacher, System):
                return self.teacher.model(x)
            return self.teacher(x)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        if self.teacher is not None:
            self.teacher._apply(fn)
        return super()._apply(fn, recurse)
