"""The room of merging: two runs of ``errata train`` become one, without their labels."""

from __future__ import annotations

import inspect
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import nn

from errata import systems
from errata.engine.checkpoints import plain
from errata.engine.fit import resolve_device
from errata.engine.merging_inputs import PairedBatches, check_networks, joint_labels, named_alike, read_sources
from errata.engine.merging_ledger import merge_ledger
from errata.engine.randomness import isolated_randomness
from errata.engine.run import FILES, FORMAT, Run, versions
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts import System
from errata.parts.merging.blocks import class_layout
from errata.parts.merging.probe import linear_probe
from errata.storage import claim_folder

__all__ = ["MergedRun", "load", "merge", "read", "train"]

LABELLED_LEAST = 2


class MergedNetworkSystem(System):
    """A merged network, which predicts; it is made, not trained."""

    card = systems.card("pleas")


class MergedRun(Run):
    """A run that was merged of two: it predicts the classes of both."""

    def __repr__(self) -> str:
        return f"<MergedRun: {self.about.get('source')}, {len(self.classes)} classes, cost {self.metrics.get('cost')}>"

    @classmethod
    def build_system(cls, about: Mapping[str, Any], network: nn.Module) -> System:
        return MergedNetworkSystem(network, num_classes=max(2, len(about["classes"])), num_samples=1)


def read(source: Any, label: Any = None, **options: Any) -> Any:
    """What ``errata.read`` gives."""
    from errata.data import read as read_any

    return read_any(source, label, **options)


def train(source: Any, y: Any = None, **options: Any) -> Run:
    """Refuses: merging trains nothing, it makes one run of two."""
    raise ParameterError(
        "pleas merges two finished runs and trains nothing: errata merge A B --out C on the command line, "
        "errata.engine.merge(A, B) in Python, or errata.system('pleas')(model_a, model_b, batches) for networks."
    )


def load(folder: str | Path, model: Any = None, device: str = "auto") -> MergedRun:
    """Load a merged run; see ``Run.load``."""
    return cast(MergedRun, MergedRun.load(folder, model=model, device=device))


def merge(
    a: str | Path | Run,
    b: str | Path | Run,
    data: Any = None,
    *,
    out: str | Path | None = None,
    budget: float = 1.0,
    matching: str = "activation",
    probe: bool = False,
    label: Any = None,
    batch_size: int = 128,
    batches: int | None = 100,
    seed: int = 0,
    device: str = "auto",
    progress: Callable[[str, float], None] | None = None,
    reading: Mapping[str, Any] | None = None,
    **options: Any,
) -> MergedRun:
    """Merge two runs of ``errata train`` into one that knows the classes of both.

    Parameters
    ----------
    a, b : the runs, or their folders: the same model, trained from different seeds; the same classes or others
    data : inputs to compare the networks on, a source or several, labelled or not; by default what the runs were
        trained on
    out : a folder for the merged run; it must not hold a run already
    budget : multiplications of the merged network relative to one of them, in [1, 2]
    matching : "activation", "weight" or "identity"
    probe : train the last layer anew on the labels of ``data``, for classes that neither network has told apart
    label : for ``probe``, the labels' column in ``data``; by default that of the runs
    batch_size, batches : rows at a time, and how many times at most
    seed : of what is drawn
    device : where to compute
    progress : told what is done, and the share of it
    reading : options of ``errata.read`` for ``data``
    **options : further parameters of ``pleas``: ``similarity``, ``rule``, ``solver``, ``ridge``, ``memory`` ...

    Returns
    -------
    MergedRun
        ``metrics`` holds the cost, the share of inputs on which the merged network answers as both do together, and how
        far each layer's answers are from theirs; ``ledger`` a row per unit

    Raises
    ------
    DataError
        where the networks are built differently, or there are no data
    LoadError
        where a run can't be loaded, or was trained on a network of one's own
    """
    from errata.systems.merging.pleas import pleas

    if isinstance(seed, bool) or int(seed) != seed or seed < 0:
        raise ParameterError(f"seed must be a whole number, 0 or more; got {seed!r}.")
    known_options = [n for n, p in inspect.signature(pleas).parameters.items() if p.kind is p.KEYWORD_ONLY]
    for name in options:
        if name not in known_options:
            raise UnknownNameError("parameter of merging", name, known_options)
    begun = time.perf_counter()
    runs = tuple(Run.load(run, device="cpu") if not isinstance(run, Run) else run for run in (a, b))
    one, other = runs
    check_networks(one, other)
    folder = claim_folder(out, False, taken_by=FILES, goes_on=False)
    names = named_alike(one.classes, other.classes)
    wanted = (label if label is not None else one.about.get("label")) if probe else None
    parts = read_sources(one, other, data, wanted, dict(reading or {}))
    paired = PairedBatches(one, other, parts, batch_size=batch_size, most=batches, seed=seed)
    classes = None if names[0] == names[1] else names
    place = resolve_device(device)
    with isolated_randomness(seed):
        merged = pleas(
            one.system.model,
            other.system.model,
            paired,
            budget=budget,
            matching=matching,
            classes=classes,
            most=batches,
            seed=seed,
            device=place,
            progress=progress,
            **options,
        )
    known = names[0] if classes is None else merged.classes
    if probe:
        _probe(merged.model, paired, joint_labels(parts, known), known, seed)
    model = merged.model.eval()
    settings = {"budget": budget, "matching": matching, "probe": probe, "batch_size": batch_size, "batches": batches}
    settings |= {name: plain(value) for name, value in options.items() if name != "spec"}
    about = _describe(runs, known, parts, settings, seed, model, merged.norms)
    metrics = {
        "system": "pleas",
        "cost": merged.cost,
        "parameters": sum(p.numel() for p in model.parameters()),
        "parameters_of_one": sum(p.numel() for p in one.system.model.parameters()),
        "rows": len(paired.order),
        **_agreement(model, runs, paired, None if classes is None else class_layout(*names)[1], place),
        "layers": {f.module: _shares(f) for f in merged.fits},
        "seconds": time.perf_counter() - begun,
    }
    ledger = merge_ledger(merged, _told(about, merged.spec.notes))
    metrics |= {
        "units": len(ledger),
        "kept_separate": int((ledger.given == 1).sum()),
        "issues": int(ledger.issue.sum()),
    }
    system = MergedRun.build_system(about, model)
    system.views = one.encoder.views(augment=False)
    system.eval()
    made = MergedRun(system, one.encoder, list(known), ledger, metrics, [], {**about, "finished": True}, device)
    if folder is not None:
        made.save(folder)
    return made


def _describe(
    runs: tuple[Run, ...],
    classes: list[Any],
    parts: list[Any],
    settings: Mapping[str, Any],
    seed: int,
    model: nn.Module,
    norms: Mapping[str, Any],
) -> dict[str, Any]:
    from errata import models

    one, other = (run.about for run in runs)
    parents = [
        {
            "source": about.get("source"),
            "system": about.get("system"),
            "seed": about.get("seed"),
            "classes": run.classes,
        }
        for run, about in zip(runs, (one, other))
    ]
    spec = models.widened_spec(cast(Mapping[str, Any], one["model"]), model, norms)
    spec["kwargs"]["num_classes"] = len(classes)
    return {
        "format": FORMAT,
        "task": "merging",
        "system": "pleas",
        "hyperparameters": dict(settings),
        "model": spec,
        "encoder": runs[0].encoder.spec(),
        "classes": classes,
        "parents": parents,
        "source": " + ".join(dict.fromkeys(str(part.source) for part in parts)),
        "kind": one.get("kind"),
        "label": one.get("label"),
        "reading": one.get("reading", {}),
        "augment": False,
        "seed": seed,
        "versions": versions(),
        "command": _command(runs, settings, seed),
    }


def _command(runs: tuple[Run, ...], settings: Mapping[str, Any], seed: int) -> str:
    named = ", ".join(f"{name}={value!r}" for name, value in settings.items())
    sources = ", ".join(f"<run on {shlex.quote(str(run.about.get('source')))}>" for run in runs)
    return f"errata.engine.merge({sources}, {named}, seed={seed})"


def _told(about: Mapping[str, Any], notes: Iterable[str]) -> dict[str, Any]:
    kept = ("source", "system", "hyperparameters", "seed", "command", "parents")
    return {**{name: about[name] for name in kept}, "notes": list(dict.fromkeys(notes))}


def _probe(model: nn.Module, paired: PairedBatches, labels: np.ndarray, classes: list[Any], seed: int) -> None:
    if len(np.unique(labels[labels >= 0])) < LABELLED_LEAST:
        raise DataError(
            "A probe is trained on labels, and the data hold fewer than two of the classes "
            f"{', '.join(map(str, classes[:8]))}. Give labelled data and their column (--data, --label)."
        )
    pairs = ((x.a, torch.from_numpy(labels[rows])) for x, rows in zip(paired, paired.rows()))
    linear_probe(model, pairs, len(classes), seed=seed)


def _agreement(
    model: nn.Module, runs: tuple[Run, ...], paired: PairedBatches, output: Any, device: str
) -> dict[str, float]:
    """How often the merged network answers as both networks together."""
    networks = [model, *(run.system.model for run in runs)]
    homes = [next(n.parameters()).device for n in networks]
    same, total = 0, 0
    try:
        for network in networks:
            network.to(device).eval()
        with torch.no_grad():
            for x in paired:
                both = [networks[1](x.a.to(device)), networks[2](x.b.to(device))]
                together = (both[0] + both[1]) / 2 if output is None else output.mix(*both, 1)
                same += int((model(x.a.to(device)).argmax(1) == together.argmax(1)).sum())
                total += len(x.a)
    finally:
        for network, home in zip(networks, homes):
            network.to(home)
    return {"agreement": same / max(1, total)}


def _shares(fit: Any) -> dict[str, float | None]:
    """A layer's errors as shares of the variance of what it should answer."""
    known = fit.spread > 0
    return {
        "error_averaged": fit.before / fit.spread if known else None,
        "error_fitted": fit.after / fit.spread if known else None,
    }
