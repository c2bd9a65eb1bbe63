"""``train``: from data as they are to a model and a ledger."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from errata import systems
from errata.engine.conduct import Conduct, announce, split_named, system_class
from errata.engine.fit import resolve_device
from errata.engine.outcome import describe, finish
from errata.engine.precision import resolve_precision
from errata.engine.run import Run
from errata.engine.task import prepare
from errata.errors import UnknownNameError
from errata.kinds import kind_of
from errata.parts import System

__all__ = ["filled", "keyword_options", "train"]


def train(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    system: str | type[System] = "elr",
    model: str | nn.Module = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    validation: float = 0.0,
    select: str = "last",
    seed: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str | int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    augment: bool = True,
    deterministic: bool = True,
    epoch_rows: int | None = None,
    **rest: Any,
) -> Run:
    """Train a model that holds out against wrong labels, and learn which labels are wrong.

    Parameters
    ----------
    source : a file (.csv .tsv .parquet .jsonl .npz), a folder of images by class, a Hugging Face dataset on disk, a
        DataFrame, an array (N, D) or (N, C, H, W), a list of texts, a map-style torch dataset, or what ``errata.read``
        returned
    y : (N,) labels, where ``source`` is an array or a list
    label : the column of the labels, where ``source`` is a table
    system : a slug of ``errata.systems()``, or a ``System`` class of your own
    model : "auto" (an MLP for tables, a bag of embedded n-grams for texts, a small CNN for images), a name of
        ``errata.models``, or a network of your own (inputs to logits), which is trained in place
    epochs, batch_size : by default after the kind and amount of data (``errata.engine.recipes``)
    validation : the share of labels held out, in [0, 0.9]; they are as noisy as the others. ``metrics`` then has the
        accuracy on them, and these rows get their trust from a model that has not seen them.
    select : "last", or "best": predict with the weights of the epoch that was best on the held-out labels. The ledger
        holds what was learned over the whole training in both cases.
    seed : of everything random; the same seed gives the same ledger on the same machine
    device, devices, precision, deterministic : see ``errata.engine.fit.fit``
    out : a folder for model, metrics, ledger, report, logs and checkpoints; it must not hold a run or a ledger already
    resume : go on in ``out`` where an earlier call with the same arguments was stopped; with more ``epochs`` than
        before, train on
    progress : show how it goes
    augment : for images: random crops and flips while training
    epoch_rows : rows of an epoch, a random subset drawn anew each time with as many of each given class as it can have;
        by default all. For data of very unequal classes, or too many for an epoch (ELR on Clothing1M).
    **rest : options of ``errata.read``, and hyper-parameters of the system

    Returns
    -------
    Run
        with ``ledger``, ``metrics``, ``history``, ``predict``, ``predict_proba``, ``evaluate``, ``save``

    Raises
    ------
    DataError
        where the data can't be trained on: no labels, one class, NaN, ...
    UnknownNameError
        where the system, the model, a column, an option or a hyper-parameter does not exist; the nearest is named
    LoadError
        where ``resume`` finds a checkpoint of another training
    ErrataError
        where ``out`` is taken or can't be written

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> y = (x[:, 0] > 0).astype(int)
    >>> wrong = rng.choice(200, size=20, replace=False)
    >>> y[wrong] = 1 - y[wrong]
    >>> run = train(x, y, system="elr", seed=0, device="cpu", progress=False)
    >>> found = set(run.ledger.issues(budget=20).index) & set(wrong)
    >>> len(found) > 15
    True
    """
    told = dict(locals())
    room = room_of(system)
    if room is not None:
        return hand_over(room, train, told)
    run, folder = train_classes(**told)
    if folder is not None:
        run.save(folder)
    return run


def train_classes(
    source: Any,
    y: Any,
    *,
    label: Any,
    system: str | type[System],
    model: str | nn.Module,
    epochs: int | None,
    batch_size: int | None,
    epoch_rows: int | None,
    validation: float,
    select: str,
    seed: int,
    device: str,
    devices: int,
    precision: str | int | None,
    out: str | Path | None,
    resume: bool,
    progress: bool,
    augment: bool,
    deterministic: bool,
    rest: Mapping[str, Any],
) -> tuple[Run, Path | None]:
    """``train`` for labels that are classes, up to the run that is not saved yet, and its folder.

    Rooms of other kinds, whose labels are classes all the same, call it and make of the run what they need.
    """
    how = Conduct(validation, select, seed, device, devices, precision, out, resume, progress, deterministic)
    how.check(epochs)
    kind = system_class(system, System, EXPECTED)
    reading, settings = split_options(rest, kind)
    folder = how.claim()
    task = prepare(
        read_labelled(source, y, label, reading),
        kind,
        model=model,
        settings=settings,
        epochs=epochs,
        batch_size=batch_size,
        validation=validation,
        augment=augment,
        seed=seed,
        epoch_rows=epoch_rows,
    )
    given = {"validation": validation, "select": select, "augment": augment, "seed": seed, "reading": reading}
    given |= {"epoch_rows": epoch_rows} if epoch_rows is not None else {}
    precision = resolve_precision(precision, resolve_device(device), task.system)
    given |= {"precision": precision} if precision is not None else {}
    about = describe(task, **given)
    announce(folder, about)
    fitted = replace(how, precision=precision).fit(task, folder)
    return finish(task, fitted, about, select, device), folder


# -- arguments --------------------------------------------------------------------------------------------------------


def room_of(system: Any) -> Any:
    """The module that trains systems of this kind (``errata.kinds``); None where this one does."""
    card = systems.card(system) if isinstance(system, str) else getattr(system, "card", None)
    return None if card is None else kind_of(card.task).load_room()


def hand_over(room: Any, door: Any, given: Mapping[str, Any]) -> Any:
    """Call ``room.train`` with those arguments of ``door`` that differ from its defaults.

    Raises
    ------
    UnknownNameError
        for an argument that the room does not take, where it takes no others by name
    """
    own = inspect.signature(room.train).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in own.values())
    passed: dict[str, Any] = dict(given["rest"])
    for name, parameter in inspect.signature(door).parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD or name in ("source", "y"):
            continue
        if name == "system" or not _same(given[name], parameter.default):
            passed[name] = given[name]
    for name in passed:
        if name not in own and not open_ended:
            raise UnknownNameError(f"option of training '{given['system']}'", name, list(own))
    return room.train(given["source"], given["y"], **passed)


def _same(value: Any, default: Any) -> bool:
    """Whether an argument is its parameter's default; numbers and words need not be the same object."""
    return value is default or (
        type(value) is type(default) and isinstance(value, (int, float, str)) and value == default
    )


EXPECTED = (
    "errata.train takes the slug of a system that is trained by gradient descent, or a subclass of errata.parts.System "
    "(others are called directly: errata.system(slug))"
)


def split_options(rest: Mapping[str, Any], kind: type[System]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the options of ``errata.read`` from the system's hyper-parameters.

    Returns
    -------
    reading options, hyper-parameters

    Raises
    ------
    UnknownNameError
        for a name that is neither
    """
    from errata.data import read

    reading, settings = split_named(rest, kind, keyword_options(read))
    return reading, settings


def keyword_options(door: Any) -> list[str]:
    """The names of a function's keyword-only parameters."""
    return [p.name for p in inspect.signature(door).parameters.values() if p.kind is p.KEYWORD_ONLY]


def filled(options: Mapping[str, Any]) -> dict[str, Any]:
    """``train``'s parameters with these values, all others by default; ``rest`` has the names that it does not know.

    For rooms whose labels are classes, which pass on to ``train_classes`` what they don't look at.
    """
    known = {p.name: p.default for p in inspect.signature(train).parameters.values() if p.kind is p.KEYWORD_ONLY}
    told = {name: options.get(name, default) for name, default in known.items()}
    return {**told, "rest": {name: value for name, value in options.items() if name not in known}}


def read_labelled(source: Any, y: Any, label: Any, reading: Mapping[str, Any]) -> Any:
    """Data that have labels, as ``errata.read`` gives them."""
    from errata.data import read

    data = read(source, y if y is not None else label, **reading)
    data.require_labels()
    return data
