"""A teacher whose weights are the running average of a student's, and a network that starts afresh."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from errata.errors import ParameterError

__all__ = ["EMATeacher", "fresh_copy"]


class EMATeacher(nn.Module):
    """An exponential moving average of a model's parameters, without gradient (Tarvainen & Valpola 2017).

    Parameters
    ----------
    model : the student; its copy starts the average
    decay : in [0, 1]; ``teacher = decay * teacher + (1 - decay) * student`` at each ``update``
    train_mode : keep the teacher in training mode, so that batch normalisation uses the batch's statistics (the running
        ones are never averaged); else it follows ``train()`` and ``eval()`` as any module, and buffers are copied

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
        own: list[Tensor] = list(self.model.parameters())
        if own:
            torch._foreach_lerp_(own, [p.detach() for p in student.parameters()], 1 - decay)
        if not self.train_mode:
            for buffer, source in zip(self.model.buffers(), student.buffers()):
                buffer.copy_(source)

    def train(self, mode: bool = True) -> EMATeacher:
        """Set training or evaluation mode; with ``train_mode`` the averaged model stays in training mode."""
        super().train(mode)
        if self.train_mode:
            self.model.train(True)
        return self

    @torch.no_grad()
    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.model(*args, **kwargs)


def fresh_copy(model: nn.Module, seed: int | None = None) -> nn.Module:
    """A network of the same architecture with weights drawn anew.

    Modules with ``reset_parameters`` (all layers of torch have it) start afresh, inner ones first, so that a network's
    own ``reset_parameters`` has the last word; weights of modules without it keep their values.

    Parameters
    ----------
    model : any network; it is left as it is
    seed : of the new weights; drawn from the global generator by default, as when a network is made. With a seed the
        global generator is left as it was.

    Raises
    ------
    ParameterError
        where the model has weights and nothing of it can be drawn anew

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    >>> other = fresh_copy(model, seed=1)
    >>> bool((other[0].weight == model[0].weight).any()), other[0].weight.shape
    (False, torch.Size([3, 3]))
    """
    other = copy.deepcopy(model)
    inner_first = list(other.modules())[::-1]
    resets = [r for r in map(_reset_of, inner_first) if r is not None]
    if not resets and any(True for _ in other.parameters()):
        raise ParameterError(
            f"A second network is needed, and {type(model).__name__} can't be drawn anew: none of its modules has "
            "reset_parameters(). Give the second network yourself, or define that method."
        )
    devices = sorted({p.device.index or 0 for p in other.parameters() if p.device.type == "cuda"})
    with torch.random.fork_rng(devices=devices, enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        for reset in resets:
            reset()
    return other


def _reset_of(module: nn.Module) -> Any:
    # attention and nn.Transformer spell it with an underscore
    for name in ("reset_parameters", "_reset_parameters"):
        if callable(getattr(module, name, None)):
            return getattr(module, name)
    return None
