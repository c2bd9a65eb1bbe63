"""A teacher whose weights are the running average of a student's."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from errata.errors import ParameterError

__all__ = ["EMATeacher"]


class EMATeacher(nn.Module):
    """An exponential moving average of a model's parameters, without gradient (Tarvainen & Valpola 2017).

    Parameters
    ----------
    model : the student; its copy starts the average
    decay : in [0, 1]; ``teacher = decay * teacher + (1 - decay) * student`` at each ``update``
    train_mode : keep the teacher in training mode, so that batch normalisation uses the batch's statistics (which are
        never averaged); else it follows ``train()`` and ``eval()`` as any module, and buffers are copied

    Examples
    --------
    >>> student = nn.Linear(1, 1)
    >>> teacher = EMATeacher(student, decay=0.5)
    >>> with torch.no_grad():
    ...     _ = student.weight.add_(1.0)
    >>> teacher.update(student)
    >>> round(float(student.weight - teacher.model.weight), 6)
    0.5
    """

    def __init__(self, model: nn.Module, decay: float = 0.999, *, train_mode: bool = False) -> None:
        super().__init__()
        if not 0 <= decay <= 1:
            raise ParameterError(f"decay of the average must be in [0, 1]; got {decay}.")
        self.decay = decay
        self.train_mode = train_mode
        self.model = copy.deepcopy(model).requires_grad_(False)

    @torch.no_grad()
    def update(self, student: nn.Module, decay: float | None = None) -> None:
        """Average the student in, with another ``decay`` if given (a ramp)."""
        decay = self.decay if decay is None else decay
        own = list(self.model.parameters())
        new = [p.detach() for p in student.parameters()]
        if own:
            torch._foreach_lerp_(own, new, 1 - decay)
        if not self.train_mode:
            for buffer, source in zip(self.model.buffers(), student.buffers()):
                buffer.copy_(source)

    def train(self, mode: bool = True) -> EMATeacher:
        super().train(mode)
        if self.train_mode:
            self.model.train(True)
        return self

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.model(*args, **kwargs)
