"""``errata.audit``: from data, or from probabilities, or from a training run, to a ledger of doubtful labels."""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.align import align
from errata.audit.confident import RANKINGS, confident, require_two_classes
from errata.audit.progress import Show
from errata.audit.vouching import vouched_for
from errata.errors import DataError, ParameterError, UnknownNameError

if TYPE_CHECKING:
    from errata.audit.crossval import CrossValidated, Predictor
    from errata.data import Data
    from errata.ledger import Ledger

__all__ = ["METHODS", "TASKS", "audit"]

METHODS = {"dynamics": "dynamics", "neighbours": "neighbours", "ensemble": "ensemble"}
TASKS = ("multilabel", "tokens", "regression", "segmentation", "boxes", "ood")


def audit(
    source: Any = None,
    y: Any = None,
    *,
    label: Any = None,
    labels: Any = None,
    pred_probs: Any = None,
    method: str | None = None,
    rule: str = "prune_by_noise_rate",
    rank_by: str = "self_confidence",
    model: Any = "auto",
    folds: int = 5,
    seed: int = 0,
    device: str = "auto",
    classes: Sequence[Any] | None = None,
    groups: Any = None,
    jobs: int | None = None,
    out: Any = None,
    adjust_pred_probs: bool = False,
    count: str = "off_diagonal",
    task: str | None = None,
    annotations: Any = None,
    run: Any = None,
    findings: bool = False,
    test: Any = None,
    progress: Show = True,
    **rest: Any,
) -> Ledger:
    """Find the labels of a data set that are probably wrong.

    For a single class per item (other kinds of labels: ``task``), in four ways: from probabilities of your own
    (``labels`` and ``pred_probs``, or a ``source`` and ``pred_probs``); from data alone (a model is cross-validated for
    you); from a training run with any system (``method="elr"``); or by a model trained on other rows (``run=``).

    Parameters
    ----------
    source : a file, a folder of images by class, a DataFrame, features (N, D), images (N, C, H, W), a list of texts, a
        map-style torch dataset, or what ``errata.read`` returned
    y : (N,) labels of any type, where ``source`` is an array or a list
    label : the column of the labels, where ``source`` is a table
    labels : (N,) labels of any type, to go with ``pred_probs``; missing ones (None, NaN, or -1 among integers) are
        left unjudged, but get a proposal
    pred_probs : (N, K) out-of-sample probabilities of the classes; an array, a DataFrame, or the path of a ``.npy``
        file, which is read in blocks
    method : "confident" (confident learning); "dynamics" (one training run), "neighbours" (labels of the nearest
        neighbours), "ensemble" (several signals); or a system's slug. By default "ensemble" where both ``pred_probs``
        and ``embeddings`` (N, D) are given, else "confident"
    rule : of "confident": which rows are issues; "prune_by_noise_rate", "prune_by_class", "both",
        "confident_learning", "predicted_neq_given", "low_self_confidence", "low_normalized_margin"
    rank_by : of "confident": "self_confidence", "normalized_margin" or "confidence_weighted_entropy"
    adjust_pred_probs : of "confident": rank rows of rare classes fairly, see ``errata.audit.confident.confident``
    count : of the rules "low_...": how many rows are flagged, "off_diagonal" or "off_diagonal_calibrated"
    groups : (N,) rows of one group (a patient, a recording) stay in one fold; or the name of their column, which is
        then not learned from
    jobs : folds worked on at the same time, of scikit-learn classifiers; by default as many as there are cores
    out : a folder in which finished folds are kept, so that a stopped audit goes on there
    model : what is cross-validated: "auto", a scikit-learn classifier, a network (``torch.nn.Module``) that has not
        seen these labels, or a name of ``errata.models``
    folds : of the cross-validation, 2 or more
    seed : of everything random; the same seed gives the same ledger on the same machine
    device : where networks are trained: "auto", "cpu", "cuda", "cuda:1", "mps"
    classes : the K class names in the order of the columns of ``pred_probs``, where it can't be told from the labels
    task : None for one class per item; "multilabel", "tokens", "regression", "segmentation" or "boxes"; "ood" for
        what is unlike the data of a training run (``run=``). See the module of that name in ``errata.audit`` for its
        arguments.
    run : the folder of a run of ``errata train`` on **other** rows, or a ``Run``: it judges these labels, together with
        ``pred_probs`` where they are given; see ``errata.audit.by_run``. With ``task="ood"`` it tells what is unlike
        the rows that it was trained on.
    annotations : a table of several people's labels per item (columns item, annotator, label) instead of one label:
        see ``errata.audit.annotations``
    findings : also look for duplicates, outliers, imbalance and the like: ``Ledger.findings``
    test : a second data set, whose rows should not be in the first: ``findings`` then tell what stands in both
    progress : show how it goes, on the standard error stream; or a function of (share done, what goes on)
    **rest : options of ``errata.read``; for networks ``epochs``, ``batch_size``, ``precision`` (see ``errata.train``)
        and hyper-parameters of plain training;
        for a system those of ``errata.train``

    Returns
    -------
    Ledger
        ``table``, ``issues()``, ``noise``, ``classes``, ``save()``; with the source as its ``data``

    Raises
    ------
    DataError
        where labels, probabilities or data can't be used: the message says where and what to do
    UnknownNameError
        for a method, rule, column or option that does not exist; the nearest is told

    Examples
    --------
    >>> ledger = audit(labels=["cat", "cat", "dog", "dog", "dog"],
    ...                pred_probs=[[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.05]])
    >>> ledger.issues()[["given", "proposed"]]
      given proposed
    4   dog      cat
    """
    if task is not None or annotations is not None:
        told = {"source": source, "y": y, "label": label, "labels": labels, "pred_probs": pred_probs, "model": model}
        more = {"folds": folds, "seed": seed, "device": device, "classes": classes, "progress": progress}
        more |= {"method": method} if task == "ood" and method is not None else {}
        own = {"run": run, "groups": groups, "jobs": jobs, "out": out}
        more |= {name: value for name, value in own.items() if value is not None}
        _check_seed(seed)
        return _completed(_of_kind(task, annotations, {**told, **more, **rest}), findings, test, seed)
    if run is not None:
        own = {"label": label, "pred_probs": pred_probs, "model": model, "seed": seed, "device": device}
        own |= {"progress": progress, **_named(classes), **rest}
        return _completed(_by_run(run, source, y, labels, method, own), findings, test, seed)
    signals = pred_probs is not None and rest.get("embeddings") is not None
    method = method or ("ensemble" if signals else "confident")
    if signals and method == "ensemble":
        rest = dict(rest)
        own = {"embeddings": rest.pop("embeddings"), "seed": seed, "classes": classes}
        _check(source, y, labels, pred_probs, "confident", seed)
        return _completed(_from_signals(source, y, labels, label, pred_probs, own, rest), findings, test, seed)
    _check(source, y, labels, pred_probs, method, seed)
    if isinstance(groups, str):
        rest = {**rest, "kinds": {groups: "ignored", **(rest.get("kinds") or {})}}
    folding = {"folds": folds, "groups": groups, "jobs": jobs, "out": out}
    if method in METHODS:
        reading, options = _split_reading(rest)
        data = _read(source, y if y is not None else labels, label, {**_named(classes), **reading})
        trained = {"model": model, **_given(method, folding), "seed": seed, "device": device, "progress": progress}
        ledger = _room(METHODS[method])(data, **trained, **options)
        return _completed(ledger, findings, test, seed)
    if method != "confident":
        options = {"label": label, "model": model, "seed": seed, "device": device, "progress": progress is not False}
        return _from_training(source, y if y is not None else labels, method, {**options, **_named(classes), **rest})
    _check_choices(rule, rank_by)
    how: dict[str, Any] = {"rule": rule, "rank_by": rank_by, "adjust_pred_probs": adjust_pred_probs, "count": count}
    reading, training = _split(rest, pred_probs is not None)
    if pred_probs is not None:
        _given("confident, from given probabilities", folding)
    if source is None:
        found, probs = align(labels, pred_probs, classes)
        return vouched_for(confident(found, probs, meta=_meta(pred_probs, seed=None), **how), probs)
    options = {**_named(classes), **reading, **({"labels_only": True} if pred_probs is not None else {})}
    data = _read(source, y if y is not None else labels, label, options)
    if pred_probs is not None:
        return _completed(_with_given_probabilities(data, pred_probs, classes, how), findings, test, seed)
    ledger = _cross_validated(data, model, folding, seed, device, progress, training, how)
    return _completed(ledger, findings, test, seed)


# -- methods and kinds of labels with a module of their own ------------------------------------------------------------


def _room(name: str) -> Callable[..., Ledger]:
    return importlib.import_module(f"errata.audit.{name}").audit


def _of_kind(task: str | None, annotations: Any, given: dict[str, Any]) -> Ledger:
    """Hand over to the module of the kind, with those arguments that were given."""
    if annotations is not None and task is not None:
        raise ParameterError("annotations= is for one class per item; leave task= out.")
    if task is not None and task not in TASKS:
        raise UnknownNameError("task", task, TASKS)
    audit_kind = _room("annotations" if task is None else task)
    parameters = inspect.signature(audit_kind).parameters
    everywhere = ("folds", "seed", "device", "progress")  # taken by all, needed by some
    passed = {k: v for k, v in given.items() if k in parameters or not (v is None or k in everywhere)}
    if "model" not in parameters and isinstance(passed.get("model"), str) and passed["model"] == "auto":
        del passed["model"]
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())  # it looks at further names itself
    for name in passed:
        if name not in parameters and not open_ended:
            raise UnknownNameError(f"option of errata.audit with {task or 'annotations'}", name, list(parameters))
    return audit_kind(annotations, **passed) if task is None else audit_kind(**passed)


def _completed(ledger: Ledger, findings: bool, test: Any, seed: int) -> Ledger:
    if (findings or test is not None) and ledger.data is not None:
        from errata.audit.findings import look

        ledger.findings = look(ledger.data, ledger, seed=seed, test=test)
    return ledger


# -- the three ways ---------------------------------------------------------------------------------------------------


def _with_given_probabilities(
    data: Data, pred_probs: Any, classes: Sequence[Any] | None, how: dict[str, Any]
) -> Ledger:
    found, probs = align(data.require_labels(), pred_probs, classes, name=data.label_name or "labels")
    meta = _meta(pred_probs, **data.origin)
    ledger = confident(found, probs, index=data.rows, meta=meta, **how)
    ledger.data = data
    return vouched_for(ledger, probs)


def _from_signals(
    source: Any, y: Any, labels: Any, label: Any, pred_probs: Any, own: Mapping[str, Any], rest: Mapping[str, Any]
) -> Ledger:
    """Probabilities and embeddings together, of a source or alone."""
    from errata.audit.ensemble import from_signals

    classes, embeddings, seed = own["classes"], own["embeddings"], own["seed"]
    reading, _ = _split(rest, True)
    data = None
    if source is not None:
        data = _read(source, y if y is not None else labels, label, {**_named(classes), **reading, "labels_only": True})
    given, name = (labels, "labels") if data is None else (data.require_labels(), data.label_name or "labels")
    found, probs = align(given, pred_probs, classes, name=name)
    ledger = from_signals(found, probs, embeddings, seed=seed, index=None if data is None else data.rows)
    ledger.meta.update(_meta(pred_probs, seed=seed, **({} if data is None else data.origin)))
    ledger.data = data
    return ledger


def _by_run(run: Any, source: Any, y: Any, labels: Any, method: str | None, options: dict[str, Any]) -> Ledger:
    if method not in (None, "ensemble"):
        raise ParameterError(
            f"run= judges labels by a trained model, alone or with pred_probs, and not by method={method!r}; leave one "
            "of them out. To score how unlike the rows are: task='ood'."
        )
    if source is None:
        raise ParameterError("A run predicts from the rows themselves: give the data, not only labels.")
    _check(source, y, labels, None, "ensemble", options["seed"])
    from errata.audit import by_run

    known = inspect.signature(by_run.audit).parameters
    for name in options:
        if name not in known:
            _split({name: options[name]}, True)
    return by_run.audit(source, y if y is not None else labels, run=run, **options)


def _cross_validated(
    data: Data,
    model: Any,
    folding: Mapping[str, Any],
    seed: int,
    device: str,
    progress: Show,
    training: Mapping[str, Any],
    how: dict[str, Any],
) -> Ledger:
    from errata.audit.crossval import cross_validate
    from errata.audit.folds import groups_of
    from errata.audit.predictors import predictor_for

    labels = data.require_labels()
    require_two_classes(labels)
    predictor = predictor_for(data, model, seed, device, training)
    folding = {**folding, "groups": groups_of(data, folding["groups"])}
    found = cross_validate(labels, predictor, seed=seed, progress=progress, **folding)
    meta = _about(data, found, predictor, folding["folds"], seed)
    ledger = confident(labels, found.pred_probs, index=data.rows, meta=meta, **how)
    ledger.data = data
    return vouched_for(ledger, found.pred_probs)


def _from_training(source: Any, y: Any, method: str, options: dict[str, Any]) -> Ledger:
    from errata import systems

    known = [card.slug for card in systems.list_systems()]
    if method not in known:
        raise UnknownNameError("method", method, ["confident", *METHODS, *known], "`errata systems` lists the systems.")
    from errata.engine.training import train

    return train(source, y, system=method, **options).ledger


# -- arguments --------------------------------------------------------------------------------------------------------


def _check(source: Any, y: Any, labels: Any, pred_probs: Any, method: str, seed: Any) -> None:
    _check_seed(seed)
    if y is not None and labels is not None:
        raise ParameterError("Labels are given twice, as y and as labels; give them once.")
    if source is None and (pred_probs is None or labels is None):
        raise ParameterError(
            "Nothing to audit: give labels= and pred_probs=, or data, as in errata.audit('reviews.csv', label='stars') "
            "or errata.audit(X, y)."
        )
    if pred_probs is not None and method != "confident":
        raise ParameterError(f"method={method!r} trains a model itself and takes no pred_probs; leave one of them out.")


def _check_seed(seed: Any) -> None:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ParameterError(f"seed must be a whole number, 0 or more; got {seed!r}.")


def _check_choices(rule: str, rank_by: str) -> None:
    from errata.scores.confident import RULES

    if rule not in RULES:
        raise UnknownNameError("rule", rule, RULES)
    if rank_by not in RANKINGS:
        raise UnknownNameError("ranking (rank_by)", rank_by, RANKINGS)


def _split(rest: Mapping[str, Any], no_training: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options of ``errata.read``, and those of a network's training."""
    if not rest:
        return {}, {}
    from errata.data import read

    reading = [p.name for p in inspect.signature(read).parameters.values() if p.kind is p.KEYWORD_ONLY]
    training = ["epochs", "batch_size", "precision"]
    if not no_training and any(name not in (*reading, *training) for name in rest):
        from errata import systems

        training += [name for name in systems.load("ce").hyperparameters() if name != "views"]
    for name in rest:
        if name not in reading and (no_training or name not in training):
            raise UnknownNameError("option of errata.audit", name, [*reading, *([] if no_training else training)])
    return (
        {name: value for name, value in rest.items() if name in reading},
        {name: value for name, value in rest.items() if name not in reading},
    )


def _given(method: str, folding: Mapping[str, Any]) -> dict[str, Any]:
    """The options of cross-validation; those that were given are refused where nothing is cross-validated."""
    if method == "ensemble":
        return dict(folding)
    for name in ("groups", "jobs", "out"):
        if folding[name] is not None:
            raise ParameterError(f"{name} is an option of cross-validation, which method '{method}' has no use for.")
    return {"folds": folding["folds"]}


def _split_reading(rest: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    from errata.data import read

    reading = [p.name for p in inspect.signature(read).parameters.values() if p.kind is p.KEYWORD_ONLY]
    return {k: v for k, v in rest.items() if k in reading}, {k: v for k, v in rest.items() if k not in reading}


def _named(classes: Sequence[Any] | None) -> dict[str, Any]:
    return {} if classes is None else {"classes": classes}


def _read(source: Any, y: Any, label: Any, options: Mapping[str, Any]) -> Data:
    from errata.data import read

    if y is not None and label is not None:
        raise ParameterError("Labels are given twice, as an array and as label=; give them once.")
    data = read(source, y if y is not None else label, **options)
    if data.labels is None:
        raise DataError(
            f"{data.source} has no labels to check; name their column with label=, or give them as an array."
        )
    return data


def _meta(pred_probs: Any, **more: Any) -> dict[str, Any]:
    where = os.fspath(pred_probs) if isinstance(pred_probs, (str, os.PathLike)) else "as given"
    return {"probabilities": where, **{name: value for name, value in more.items() if value is not None}}


def _about(data: Data, found: CrossValidated, predictor: Predictor, folds: int, seed: int) -> dict[str, Any]:
    return {
        **data.origin,
        "kind": data.kind,
        "model": predictor.description,
        "folds": folds,
        "seed": seed,
        "probabilities": found.description,
        "temperature": round(found.temperature, 4),
        "notes": found.notes,
    }
