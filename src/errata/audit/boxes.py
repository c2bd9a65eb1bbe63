"""Boxes around objects: which were overlooked, badly located, or given the wrong class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.items import item_ledger, labels_and_pictures, parts_table, pictures_of, refuse_training
from errata.audit.progress import Progress, Show
from errata.data.boxes import Boxes, open_boxes
from errata.errors import DataError, ParameterError
from errata.scores import boxes as scores

if TYPE_CHECKING:
    import pandas as pd

    from errata.data import Data
    from errata.ledger import Ledger

__all__ = ["audit"]

_CORNERS = ("x0", "y0", "x1", "y1")


def audit(
    source: Any = None,
    y: Any = None,
    *,
    label: Any = None,
    labels: Any = None,
    predictions: Any = None,
    pred_probs: Any = None,
    classes: Sequence[Any] | None = None,
    overlap: float = 0.5,
    sure: float = 0.5,
    near: float = 0.1,
    issue: float = 0.5,
    unsupported: float = 0.5,
    temperature: float = 0.1,
    images: Any = None,
    model: Any = "auto",
    folds: int = 5,
    groups: Any = None,
    seed: int = 0,
    device: str = "auto",
    image_size: int | None = None,
    double: float = 0.8,
    out: Any = None,
    progress: Show = True,
    **training: Any,
) -> Ledger:
    """Compare given boxes with a detector's, and tell which given ones are wrong and which are missing.

    With predictions each image is judged by itself, with the thresholds below: its result does not depend on the
    others. Without them, from the pictures: a network is cross-validated on what the boxes show, which finds boxes of
    the wrong class; those given twice, and those of a shape that can't be meant, are told too. It finds none that is
    missing or badly located.

    Parameters
    ----------
    source, y, labels : the given boxes, once: a COCO ``.json``, a folder of YOLO's ``.txt`` files, or a list with a
        dict of ``boxes`` (x0, y0, x1, y1) and ``labels`` for each image. Or the pictures as ``source``, and the boxes
        as ``y``, ``labels`` or ``label``. Or a folder that holds both, in folders named ``images`` and ``labels``.
    label : the boxes, where ``source`` is the pictures
    predictions : out-of-sample predictions of a detector in one of the same formats, with scores (``pred_probs`` is
        taken for the same)
    classes : names of classes that are numbers; also as text, "cat,dog"
    overlap, sure, near, issue, unsupported : see ``errata.scores.boxes.Thresholds``
    temperature : how far the worst box decides on the image, see ``errata.scores.boxes.image_trust``
    images : the pictures themselves, to learn from and for the report; anything that ``errata.read`` takes, a folder
        with the names that the boxes give or pictures in their order
    model, folds, seed, device, out : of the cross-validation on what boxes show, see ``errata.audit``
    groups : images of one group are in one fold; (N,) or a regular expression on their names, see
        ``errata.audit.folds.matched_groups``. By default every image is a group.
    image_size : pixels of the sides of what is shown, 32 by default
    double : without predictions, the overlap from which two boxes are of one object
    progress : see ``errata.audit``
    **training : ``epochs``, ``batch_size``, ``precision``, and hyper-parameters of plain training (``lr`` ...)

    Returns
    -------
    Ledger
        A row per image. Columns: ``image`` (its name), ``boxes`` (how many are given), ``overlooked``,
        ``badly_located``, ``swapped`` (how many are issues of that kind), without predictions ``swapped``, ``twice``,
        ``odd``. ``parts`` has a row per given box and per overlooked one: ``kind`` (of
        ``errata.scores.boxes.KINDS``), the box ``x0``, ``y0``, ``x1``, ``y1`` (of an overlooked one, as predicted), and
        the predicted one ``px0`` to ``py1``, NaN where there is none; ``given`` is empty where a box was overlooked,
        ``proposed`` where it stands there twice.

    Raises
    ------
    DataError
        where boxes can't be read, or predictions or pictures don't fit them

    Examples
    --------
    >>> given = [{"boxes": [[0, 0, 10, 10]], "labels": ["cat"]}]
    >>> seen = [{"boxes": [[0, 0, 10, 10], [20, 0, 30, 10]], "labels": ["dog", "cat"], "scores": [0.9, 0.8]}]
    >>> ledger = audit(given, predictions=seen, classes=["cat", "dog"])
    >>> ledger.parts[["row", "kind", "given", "proposed", "trust"]].round(2)
       row        kind given proposed  trust
    0    0     swapped   cat      dog    0.1
    1    0  overlooked            cat    0.2
    """
    given, images = labels_and_pictures(source, [y, labels, label], images, "boxes")
    predictions = pred_probs if predictions is None else predictions
    limits = {"overlap": overlap, "sure": sure, "near": near, "issue": issue, "unsupported": unsupported}
    _check({**limits, "double": double}, temperature)
    if isinstance(classes, str):
        classes = [name.strip() for name in classes.split(",") if name.strip()]
    labelled = open_boxes(given, classes=classes)
    if predictions is None:
        how = {"folds": folds, "groups": groups, "seed": seed, "device": device, "double": double, "out": out}
        return _without_detector(labelled, images, classes, model, image_size, training, temperature, how, progress)
    refuse_training({"model": None if model == "auto" else model, "groups": groups, "out": out, **training})
    thresholds = scores.Thresholds(**limits)
    seen = open_boxes(predictions, like=labelled)
    found = []
    with Progress(progress, "comparing boxes", total=len(labelled)) as bar:
        for image in range(len(labelled)):
            found.append(_judge(labelled, seen, image, thresholds))
            bar.advance()
    parts = _parts(labelled, seen, found, issue)
    trust = np.array([scores.image_trust(one.trust, temperature) for one in found])
    about: dict[str, Any] = {**limits, "temperature": temperature}
    return _ledger(labelled, trust, parts, about, images, classes)


def _without_detector(
    labelled: Boxes,
    images: Any,
    classes: Sequence[Any] | None,
    model: Any,
    image_size: int | None,
    training: dict[str, Any],
    temperature: float,
    how: dict[str, Any],
    progress: Show,
) -> Ledger:
    """From what the boxes show."""
    from errata.audit.box_crops import SIDE, look_into

    if images is None:
        raise ParameterError(
            "To judge boxes, give the pictures, on which a network learns what the classes look like "
            "(errata.audit('images/', label='labels.json', task='boxes')), or a detector's predictions= of the same "
            "images, which also tell what is missing or badly located. errata trains no detector itself."
        )
    if not len(labelled.corners):
        raise DataError(f"{labelled.source} holds no box.")
    pictures = pictures_of(images, labelled.names, "images with boxes")
    side = SIDE if image_size is None else image_size
    found = look_into(labelled, pictures, model=model, training=training, side=side, progress=progress, **how)
    rows = np.repeat(np.arange(len(labelled)), np.diff(labelled.offsets))
    names = np.asarray(labelled.classes, dtype=object)
    columns = {name: labelled.corners[:, i] for i, name in enumerate(_CORNERS)}
    columns |= {f"p{name}": np.full(len(rows), np.nan) for name in _CORNERS}
    parts = parts_table(
        rows,
        names[labelled.labels],
        np.where(found.kind == scores.TWICE, "", names[found.proposed]),
        np.clip(found.trust, 0.0, 1.0),
        found.issue,
        {"kind": np.asarray(scores.KINDS, dtype=object)[found.kind], **columns},
    )
    trust = np.array([scores.image_trust(found.trust[labelled.of(i)], temperature) for i in range(len(labelled))])
    about = {"temperature": temperature, "double": how["double"], **found.about}
    return _ledger(labelled, trust, parts, about, images, classes, ("swapped", "twice", "odd"), pictures)


def _check(limits: dict[str, float], temperature: float) -> None:
    for name, value in limits.items():
        if not 0 <= value <= 1:
            raise ParameterError(f"{name} must lie in [0, 1]; got {value!r}.")
    if not temperature > 0:
        raise ParameterError(f"temperature must be above 0; got {temperature!r}.")


def _judge(labelled: Boxes, seen: Boxes, image: int, thresholds: scores.Thresholds) -> scores.Judged:
    mine, theirs = labelled.of(image), seen.of(image)
    sureness = seen.scores[theirs] if seen.scores is not None else np.ones(theirs.stop - theirs.start)
    return scores.judge_image(
        labelled.corners[mine], labelled.labels[mine], seen.corners[theirs], seen.labels[theirs], sureness, thresholds
    )


def _parts(labelled: Boxes, seen: Boxes, found: list[scores.Judged], issue: float) -> pd.DataFrame:
    rows = np.repeat(np.arange(len(found)), [len(one.kind) for one in found])
    kind = np.concatenate([one.kind for one in found])
    trust = np.clip(np.concatenate([one.trust for one in found]), 0.0, 1.0)
    given = np.concatenate([one.given for one in found])
    predicted = np.concatenate([one.predicted for one in found])
    mine = np.where(given >= 0, given + labelled.offsets[rows], -1)
    theirs = np.where(predicted >= 0, predicted + seen.offsets[rows], -1)
    names = np.asarray([*labelled.classes, ""], dtype=object)
    given_name = names[np.append(labelled.labels, -1)[mine]]
    seen_name = names[np.append(seen.labels, -1)[theirs]]
    nowhere = np.full((1, 4), np.nan)
    given_box, seen_box = np.vstack([labelled.corners, nowhere])[mine], np.vstack([seen.corners, nowhere])[theirs]
    box = np.where((mine >= 0)[:, None], given_box, seen_box)
    columns = {name: box[:, i] for i, name in enumerate(_CORNERS)}
    columns |= {f"p{name}": seen_box[:, i] for i, name in enumerate(_CORNERS)}
    return parts_table(
        rows,
        given_name,
        np.where((kind == scores.SWAPPED) | (kind == scores.OVERLOOKED), seen_name, given_name),
        trust,
        trust < issue,
        {"kind": np.asarray(scores.KINDS, dtype=object)[kind], **columns},
    )


def _ledger(
    labelled: Boxes,
    trust: np.ndarray,
    parts: pd.DataFrame,
    how: dict[str, Any],
    images: Any,
    classes: Sequence[Any] | None,
    kinds: Sequence[str] = ("overlooked", "badly located", "swapped"),
    pictures: Data | None = None,
) -> Ledger:
    flagged = parts[parts["issue"]]
    counts = {
        kind.replace(" ", "_"): np.bincount(flagged["row"][flagged["kind"] == kind], minlength=len(labelled))
        for kind in kinds
    }
    columns = {"image": np.asarray(labelled.names, dtype=object), "boxes": np.diff(labelled.offsets), **counts}
    meta: dict[str, Any] = {
        "method": "boxes",
        "task": "boxes",
        "source": labelled.source,
        "label_names": labelled.classes,
        "shares": labelled.shares,
        **how,
    }
    if classes is not None:
        meta["named"] = [str(c) for c in classes]
    if os.path.exists(os.path.expanduser(labelled.source)):
        meta["source_path"] = os.path.abspath(os.path.expanduser(labelled.source))
    issues = np.bincount(flagged["row"], minlength=len(labelled)) > 0
    if isinstance(images, (str, os.PathLike)):
        meta["images_path"] = os.path.abspath(os.path.expanduser(images))
    ledger = item_ledger(trust, issues, columns=columns, meta=meta, parts=parts)
    if images is not None:
        ledger.data = pictures or pictures_of(images, labelled.names, "images with boxes")
    return ledger
