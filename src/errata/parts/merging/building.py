"""Partial merges of one pair of networks at several ratios, and which units can be kept separate at all."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from errata.parts.merging.blocks import Blocks, Layout, axis_layout, divide, merge_states
from errata.parts.merging.matching import Matching, permute_state
from errata.parts.merging.modules import norms_of, widened
from errata.parts.merging.spec import PermutationSpec
from errata.parts.merging.tracing import UntraceableError

__all__ = ["Builder"]

SAME = 1e-3  # of the largest answer, within which a network merged with itself must answer the same


class Builder:
    """Builds partial merges of one pair at several ratios."""

    def __init__(
        self,
        model: nn.Module,
        spec: PermutationSpec,
        states: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
        matching: Matching,
        head: str,
        output: Layout | None,
        as_code: bool,
    ) -> None:
        self.model, self.spec, self.states, self.matching = model, spec, states, matching
        self.head, self.output, self.as_code = head, output, as_code

    def divide(self, ratios: Mapping[str, float]) -> dict[str, Blocks]:
        return divide(self.spec, self.matching.similarity, self.matching.perm, ratios, as_code=self.as_code)

    def state(self, blocks: Mapping[str, Blocks]) -> tuple[dict[str, Tensor], dict[str, list[list[int]]]]:
        state = merge_states(self.spec, *self.states, blocks, head=self.head, output=self.output)
        return state, self._norms(state, blocks)

    def pinned(self, example: Tensor) -> set[str]:
        """Groups that can't be made wider, because the network's own code computes with their sizes.

        A network merged with itself must stay what it is, whatever is kept separate; where it does not, every group is
        tried alone. What is wrong even without separate units is a wrong specification.
        """
        _, twin = self._twin()
        right = self._same(example, twin, {})
        if right and self.keeps(example, dict.fromkeys(self.spec.groups, 1.0)):
            return set()
        if not right or not self.keeps(example, dict.fromkeys(self.spec.groups, 0.0)):
            raise UntraceableError(
                "Permuting the units of the network as its specification says changes what it answers. Where that was "
                "written by hand, look at its places; else write one: PermutationSpec.by_hand(model, groups)."
            )
        alone = {
            name: self.keeps(example, {n: float(g.tied == name) for n, g in self.spec.groups.items()})
            for name in self.spec.leaders()
        }
        bad = {name for name, fine in alone.items() if not fine}
        free = {n: float(g.tied not in bad) for n, g in self.spec.groups.items()}
        if not self.keeps(example, free):
            bad = set(alone)
        names = ", ".join(f"'{name}'" for name in list(bad)[:4])
        self.spec.notes.append(
            f"The network's own code computes with the sizes of {names}{' and others' if len(bad) > 4 else ''}: these "
            "units are merged whatever the budget. Attention built with errata.models.Attention has no such limit."
        )
        return bad

    def keeps(self, example: Tensor, ratios: Mapping[str, float]) -> bool:
        """Whether the network merged with a permuted self answers what it answers."""
        order, twin = self._twin()
        back = {name: np.argsort(perm) for name, perm in order.items()}
        alike = {name: np.zeros((len(perm), len(perm))) for name, perm in order.items()}
        blocks = divide(self.spec, alike, back, ratios)
        return self._same(example, merge_states(self.spec, self.states[0], twin, blocks), blocks)

    def _twin(self) -> tuple[dict[str, np.ndarray], dict[str, Tensor]]:
        """A random order of the units, and A's parameters in it."""
        rng = np.random.default_rng(0)
        order: dict[str, np.ndarray] = {}
        for groups in self.spec.leaders().values():
            moved = rng.permutation(groups[0].size // groups[0].unit)
            for group in groups:
                order[group.name] = (moved[:, None] * group.unit + rng.permutation(group.unit)).reshape(-1)
        return order, permute_state(self.spec, self.states[0], order)

    def _same(self, example: Tensor, state: Mapping[str, Tensor], blocks: Mapping[str, Blocks]) -> bool:
        """Whether the network with these parameters answers what A answers."""
        training = self.model.training
        try:
            with torch.no_grad():
                wanted = self.model.eval()(example)
                found = widened(self.model, state, self._norms(state, blocks)).eval()(example)
        except (RuntimeError, ValueError, TypeError):
            return False
        finally:
            self.model.train(training)
        scale = float(wanted.abs().max()) + 1e-12
        return found.shape == wanted.shape and float((found - wanted).abs().max()) <= SAME * scale

    def _norms(self, state: Mapping[str, Tensor], blocks: Mapping[str, Blocks]) -> dict[str, list[list[int]]]:
        own = {n: axes[0] for n, axes in self.spec.axes.items() if n in state and len(axes) == 1}
        return norms_of(self.model, {n: axis_layout(axis, blocks) for n, axis in own.items()})

    def network(self, ratios: Mapping[str, float]) -> nn.Module:
        return widened(self.model, *self.state(self.divide(ratios)))
