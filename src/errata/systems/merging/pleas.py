"""PLeaS: one network out of two, by permuting units and fitting layers.

Two networks of one architecture, trained from different beginnings on different data, compute much the same features in
another order. PLeaS finds for each unit of the one its partner in the other, merges the pairs that are alike and keeps
the others of both networks side by side, as many as a budget between one and two networks' cost allows. Then every
layer is fitted by least squares so that, on unlabelled inputs, it answers the features that the two networks have. No
labels are used; what comes out imitates both, so it can't be better than both together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errata import systems
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts.merging.blocks import Blocks, Layout, class_layout
from errata.parts.merging.building import Builder
from errata.parts.merging.matching import Matching, activation_matching, identity_matching, weight_matching
from errata.parts.merging.modules import explicit, reestimate_norms, widened
from errata.parts.merging.probe import linear_probe
from errata.parts.merging.ratios import flop_terms, ratio_weights, ratios_for, relative_flops
from errata.parts.merging.regression import MEMORY, Fit, fit_by_adam, fit_layers, layer_tasks
from errata.parts.merging.running import Pair, inputs_of
from errata.parts.merging.spec import PermutationSpec
from errata.parts.merging.tracing import first_rows

__all__ = ["MergedNetwork", "agreement_weights", "linear_probe", "pleas"]

MATCHINGS = ("activation", "weight", "identity")
SOLVERS = ("closed", "adam", "none")


@dataclass
class MergedNetwork:
    """What ``pleas`` returns.

    Attributes
    ----------
    model : the merged network, from inputs to logits over ``classes``
    classes : A's, then those of B alone; whole numbers where none were named
    spec, matching, blocks, ratios : the groups of units, their partners, how they were divided, shares kept separate
    fits : how well each layer imitates both networks; empty without least squares
    cost : multiplications in units of one network's
    norms : layer norms that were made paired; with the parameters' shapes all that is needed to build the network again
    """

    model: nn.Module
    classes: list[Any]
    spec: PermutationSpec
    matching: Matching
    blocks: dict[str, Blocks]
    ratios: dict[str, float]
    cost: float
    fits: list[Fit] = field(default_factory=list)
    norms: dict[str, list[list[int]]] = field(default_factory=dict)


def pleas(
    model_a: nn.Module,
    model_b: nn.Module,
    batches: Iterable[Any],
    *,
    budget: float = 1.0,
    matching: str = "activation",
    similarity: str = "cdist",
    ratios: Mapping[str, float] | float | None = None,
    rule: str = "zip",
    solver: str = "closed",
    classes: tuple[Sequence[Any], Sequence[Any]] | None = None,
    head: str = "halve",
    full: str = "exact",
    spec: PermutationSpec | None = None,
    most: int | None = 100,
    norm_batches: int | None = 101,
    ridge: float = 1e-6,
    ridge_to: str = "initial",
    positions: int | None = 64,
    steps: int = 401,
    lr: float = 5e-4,
    memory: int = MEMORY,
    seed: int = 0,
    device: str | torch.device | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> MergedNetwork:
    """Merge two networks of one architecture without labels.

    Parameters
    ----------
    model_a, model_b : from a batch of inputs to logits (B, K); left as they are. The numbers of classes may differ.
    batches : of unlabelled inputs, from both networks' tasks or from elsewhere: tensors, tuples that begin with one, or
        ``Inputs`` where the networks see them in different encodings. Gone through several times.
    budget : multiplications of the merged network relative to one of them, in [1, 2]
    matching : "activation" (what units answer), "weight" (Git Re-Basin), or "identity" (none)
    similarity : of activations: "cdist", "inner" or "correlation"
    ratios : share of units kept separate, one for all or by group, in place of a budget
    rule : how a budget is spent: "zip", "uniform", or "qp" with weights that are measured, see ``agreement_weights``
    solver : "closed" (least squares in closed form), "adam" (the authors'), or "none" (permutation and average only)
    classes : names of both networks' classes; those of the same name are merged, the others kept. Without it both have
        the same classes.
    head : "halve", or "copy" as the authors' code has it; see ``merge_states``
    full : at ratio 1, "exact" keeps all units separate; "code" merges one pair, as the authors' code does
    spec : the groups of units, where the networks can't be followed by torch.fx: ``PermutationSpec.by_hand``
    most : batches that are looked at, in each pass; None for all
    norm_batches : batches for batch normalisation's new statistics; 0 keeps the averages of the old ones
    ridge, ridge_to, positions, memory : of the closed form, see ``fit_layers``
    steps, lr : of Adam, see ``fit_by_adam``
    seed : of the order in weight matching, of places in convolutions, and of the "qp" rule's starts
    device : where to compute; by default where A is
    progress : told what is done, and the share of it

    Returns
    -------
    MergedNetwork

    Raises
    ------
    DataError
        where the networks are built differently, or there are no data
    UntraceableError
        where the networks can't be followed

    Notes
    -----
    The features to fit come from the original networks, so all layers are independent; each of them has one optimum.
    Activations are freed as both networks advance, and Gram matrices are kept for as many layers as fit in ``memory``:
    the peak is that of the widest layer, not of the network. Norms keep their averaged weights.

    Examples
    --------
    >>> a = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> b = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    >>> merged = pleas(a, b, [torch.randn(64, 4)], budget=1.5)
    >>> merged.model(torch.randn(2, 4)).shape, round(merged.cost, 1)
    (torch.Size([2, 3]), 1.5)

    References
    ----------
    Nasery, Hayase, Koh, Oh: PLeaS - Merging Models with Permutations and Least Squares, CVPR 2025, arXiv 2407.02447.
    """
    _check(matching, solver, full)
    tell = progress or (lambda what, share: None)
    model_a, model_b = explicit(model_a), explicit(model_b)
    batches = _again_and_again(batches, most)
    example = first_rows(inputs_of(_first(batches)).a)
    home = next((p.device for p in model_a.parameters()), torch.device("cpu"))
    example = example.to(home)
    spec = PermutationSpec.of(model_a, example) if spec is None else spec
    states = _plain(model_a), _plain(model_b)
    spec.check(*states)
    names, output = _classes(model_a, model_b, example, classes)
    pair = Pair(spec, model_a, model_b, device)
    tell("matching units", 0.0)
    matched = match(pair, states, batches, matching, similarity, most, seed)
    terms = flop_terms(spec, model_a, example)
    build = Builder(model_a, spec, states, matched, head, output, full == "code")
    pinned = build.pinned(example)
    if ratios is None:
        weights = None
        if rule == "qp" and 1 < budget < 2:
            tell("weighing layers", 0.0)
            weights = agreement_weights(build, pair, batches, budget, norm_batches)
        shares = ratios_for(spec, terms, budget, rule=rule, weights=weights, pinned=pinned, seed=seed)
    else:
        shares = _shares(spec, ratios, pinned)
    blocks = build.divide(shares)
    state, norms = build.state(blocks)
    fits: list[Fit] = []
    if solver != "none":
        tasks = layer_tasks(spec, model_a, blocks, output)

        def share(done: float) -> None:
            tell("fitting layers", done)

        if solver == "closed":
            fits = fit_layers(
                pair,
                batches,
                tasks,
                state,
                most=most,
                ridge=ridge,
                ridge_to=ridge_to,
                positions=positions,
                memory=memory,
                seed=seed,
                progress=share,
            )
        else:
            fits = fit_by_adam(pair, batches, tasks, state, steps=steps, lr=lr, progress=share)
    model = widened(model_a, state, norms)
    if norm_batches != 0:
        tell("estimating norms", 0.0)
        reestimate_norms(model.to(pair.device), batches, norm_batches)
    model.to(home).train(model_a.training)
    sizes = {name: group.size for name, group in spec.groups.items()}
    cost = relative_flops(terms, sizes, _kept(spec, blocks))
    return MergedNetwork(model, names, spec, matched, blocks, shares, cost, fits, norms)


pleas.card = systems.card("pleas")  # type: ignore[attr-defined]


def match(
    pair: Pair,
    states: tuple[Mapping[str, Tensor], Mapping[str, Tensor]],
    batches: Iterable[Any],
    matching: str,
    similarity: str = "cdist",
    most: int | None = 100,
    seed: int = 0,
) -> Matching:
    """Partners for all units, and (from the activations) how well each pair correlates."""
    seen = activation_matching(pair, batches, similarity=similarity, most=most)
    if matching == "activation":
        return seen
    if matching == "identity":
        return _correlated(pair, identity_matching(pair.spec, seen), batches, most)
    return _correlated(pair, weight_matching(pair.spec, *states, seed=seed), batches, most)


def _correlated(pair: Pair, found: Matching, batches: Iterable[Any], most: int | None) -> Matching:
    matrices = activation_matching(pair, batches, similarity="correlation", most=most).similarity
    found.correlation = {n: matrices[n][np.arange(len(p)), p] for n, p in found.perm.items()}
    return found


def agreement_weights(
    build: Builder, pair: Pair, batches: Iterable[Any], budget: float, norm_batches: int | None = 101
) -> dict[str, float]:
    """What keeping each group separate is worth, for the "qp" rule (``ratio_weights``).

    The authors take accuracies on labelled data; without labels, the share of inputs is taken on which a partial merge
    answers the class that both networks together answer.
    """
    sets = list(build.spec.leaders())

    def measure(separate: Sequence[str]) -> float:
        shares = {g.name: float(g.tied in separate) for g in build.spec.groups.values()}
        model = build.network(shares).to(pair.device).eval()
        if norm_batches != 0:
            reestimate_norms(model, batches, norm_batches)
        same = total = 0
        with torch.no_grad():
            for batch in batches:
                x = inputs_of(batch)
                a, b = pair.a.eval()(x.a.to(pair.device)), pair.b.eval()(x.b.to(pair.device))
                both = (a + b) / 2 if build.output is None else build.output.mix(a, b, 1)
                same += int((model(x.a.to(pair.device)).argmax(1) == both.argmax(1)).sum())
                total += len(x.a)
        return same / max(1, total)

    merged, separate = measure([]), measure(sets)
    one = {name: measure([name]) for name in sets}
    others = {name: measure([n for n in sets if n != name]) for name in sets}
    return ratio_weights(one, others, budget, merged=merged, separate=separate)


# -- small steps ------------------------------------------------------------------------------------------------------


def _check(matching: str, solver: str, full: str) -> None:
    for what, value, known in (
        ("way to match units", matching, MATCHINGS),
        ("solver", solver, SOLVERS),
        ("meaning of a full separation", full, ("exact", "code")),
    ):
        if value not in known:
            raise UnknownNameError(what, value, known)


def _again_and_again(batches: Iterable[Any], most: int | None) -> Iterable[Any]:
    """What can be gone through several times: a generator is kept, as far as it is needed."""
    return list(itertools.islice(batches, most)) if iter(batches) is batches else batches


def _first(batches: Iterable[Any]) -> Any:
    for batch in batches:
        return batch
    raise DataError("There are no data: merging needs batches of unlabelled inputs to compare the networks on.")


def _plain(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def _classes(
    a: nn.Module, b: nn.Module, example: Tensor, given: tuple[Sequence[Any], Sequence[Any]] | None
) -> tuple[list[Any], Layout | None]:
    counts = []
    for model in (a, b):
        training = model.training
        with torch.no_grad():
            counts.append(int(model.eval()(example).shape[-1]))
        model.train(training)
    if given is None:
        if counts[0] != counts[1]:
            raise DataError(
                f"The networks answer {counts[0]} and {counts[1]} classes; name them: "
                "classes=(names of A's, names of B's)."
            )
        return list(range(counts[0])), None
    for names, count in zip(given, counts):
        if len(names) != count or len(set(names)) != count:
            raise ParameterError(f"classes must name each of the {count} classes once; got {list(names)!r}.")
    names, layout = class_layout(*given)
    same = bool((layout.a == layout.b).all())
    return names, None if same else layout


def _shares(
    spec: PermutationSpec, ratios: Mapping[str, float] | float, pinned: Collection[str] = ()
) -> dict[str, float]:
    if isinstance(ratios, (int, float)):
        ratios = {name: 0.0 if group.tied in pinned else float(ratios) for name, group in spec.groups.items()}
    for name in ratios:
        if name not in spec.groups:
            raise UnknownNameError("group of units", name, spec.groups)
    shares = {name: float(ratios.get(group.tied, ratios.get(name, 0.0))) for name, group in spec.groups.items()}
    odd = next((name for name, r in shares.items() if not 0 <= r <= 1), None)
    if odd is not None:
        raise ParameterError(f"The ratio of '{odd}' must be in [0, 1]; got {shares[odd]!r}.")
    fixed = next((name for name, r in shares.items() if r > 0 and spec.groups[name].tied in pinned), None)
    if fixed is not None:
        raise ParameterError(f"The units of '{fixed}' can't be kept separate. " + spec.notes[-1])
    return shares


def _kept(spec: PermutationSpec, blocks: Mapping[str, Blocks]) -> dict[str, float]:
    """The shares that were really kept separate: of whole units, not of a quantile."""
    return {name: len(blocks[name].separate_a) / group.size for name, group in spec.groups.items()}
