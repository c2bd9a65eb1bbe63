"""The law for students: that of classification, each student with a teacher of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from errata.parts import System, fresh_copy
from errata.systems.compression.kd_pruning import KnowledgeDistillation

__all__ = ["Taught", "checks"]

TEACHER = 5  # seed of the teacher's weights: the same teacher for every student of one architecture


class Taught(KnowledgeDistillation):
    """A student whose teacher is a network of its own architecture, as in self-distillation."""

    card = KnowledgeDistillation.card

    def __init__(self, model: nn.Module, num_classes: int, num_samples: int, **options: Any) -> None:
        super().__init__(model, num_classes, num_samples, **{"teacher": fresh_copy(model, TEACHER), **options})


def checks(kind: type[System], options: dict[str, Any]) -> Iterator[tuple[str, Callable[[], None]]]:
    """Yield the checks of ``errata.testing.check_system`` for a student."""
    from errata.testing.law import class_checks

    taught = Taught if kind is KnowledgeDistillation else kind
    yield from class_checks(taught, {"alpha": 0.25, "tau": 1.0, **options})
