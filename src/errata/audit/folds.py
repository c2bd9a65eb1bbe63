"""Which rows are predicted together, and where the folds that are done are kept until all are."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errata.errors import DataError, ParameterError
from errata.labels import MISSING, ClassLabels
from errata.storage import atomic, make_folder

__all__ = [
    "FOLDER",
    "Kept",
    "digest_of",
    "fold_of",
    "folds_of",
    "forget",
    "frame_folds",
    "group_codes",
    "groups_of",
    "matched_groups",
]

MOST_FOLDS = 1000
FOLDER = "folds"
"""The folder, within ``out``, that holds finished folds."""

_SHOWN = 4096  # rows of the inputs that a fingerprint looks at


def fold_of(codes: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """(N,) the fold of each row: random, each class spread evenly, and folds of equal size up to one row.

    Examples
    --------
    >>> fold = fold_of(np.array([0, 0, 0, 0, 1, 1]), folds=2, seed=0)
    >>> np.bincount(fold[:4]), np.bincount(fold[4:])
    (array([2, 2]), array([1, 1]))
    """
    mixed = np.random.default_rng([seed, 0xF01D]).permutation(len(codes))
    by_class = mixed[np.argsort(codes[mixed], kind="stable")]
    fold = np.empty(len(codes), dtype=np.int32)
    fold[by_class] = np.arange(len(codes)) % folds
    return fold


def folds_of(labels: ClassLabels, folds: Any, seed: int, groups: Any = None) -> np.ndarray:
    """(N,) the fold of each row; rows of one group are in one fold, so that no model is tested on what it has seen.

    Parameters
    ----------
    labels : N labels
    folds : from 2 to the number of labelled rows, and of groups
    seed : of the folds
    groups : (N,) of any type, such as the patient or the recording a row comes from; a missing one stands alone

    Raises
    ------
    ParameterError
        where folds is no such number
    DataError
        where there are too few rows or groups

    Examples
    --------
    >>> labels = ClassLabels.encode(["a", "b", "a", "b"])
    >>> fold = folds_of(labels, 2, 0, groups=["x", "x", "y", "y"])
    >>> bool(fold[0] == fold[1] != fold[2] == fold[3])
    True
    """
    folds = _check_folds(folds, labels)
    if groups is None:
        return fold_of(labels.codes, folds, seed)
    from sklearn.model_selection import StratifiedGroupKFold

    codes = group_codes(groups, len(labels))
    number = len(np.unique(codes[labels.codes != MISSING]))
    if number < folds:
        raise DataError(
            f"There are {number} groups with labels, too few for {folds} folds: a group is not divided. "
            + (f"Give folds=N with N from 2 to {number}." if number >= 2 else "At least two groups are needed.")
        )
    fold = np.zeros(len(labels), dtype=np.int32)
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    # where a class is rarer than there are folds, scikit-learn warns of what the ledger's notes tell
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class")
        for part, (_, test) in enumerate(splitter.split(np.zeros(len(labels)), labels.codes, codes)):
            fold[test] = part
    return fold


def group_codes(groups: Any, rows: int) -> np.ndarray:
    """(N,) int64 one number for each group; rows without a group get one of their own."""
    import pandas as pd

    values = np.asarray(groups, dtype=object) if isinstance(groups, Sequence) else groups
    array = np.asarray(values)
    if array.shape != (rows,):
        raise DataError(f"Expected a group for each of the {rows:,} rows; got shape {tuple(array.shape)}.")
    codes = pd.factorize(pd.Series(array))[0].astype(np.int64)
    alone = np.flatnonzero(codes < 0)
    codes[alone] = codes.max(initial=-1) + 1 + np.arange(len(alone))
    return codes


def groups_of(data: Any, groups: Any) -> Any:
    """The group of each row of the data: of a column's name its values, else what was given.

    Raises
    ------
    UnknownNameError
        where there is no such column; the nearest is told
    """
    if not isinstance(groups, str):
        return groups
    return np.asarray(data.column(groups).to_pandas(), dtype=object)[data.rows]


def _check_folds(folds: Any, labels: ClassLabels) -> int:
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= MOST_FOLDS:
        raise ParameterError(f"folds must be a whole number from 2 to {MOST_FOLDS}; got {folds!r}.")
    labelled = len(labels) - labels.missing
    if labelled < folds:
        raise DataError(
            f"There are {labelled} labelled rows, too few for {folds} folds. Give folds=N with N from 2 to {labelled}, "
            "or probabilities of your own (pred_probs=)."
            if labelled >= 2
            else f"There are {labelled} labelled rows; at least two are needed to compare labels."
        )
    return int(folds)


def frame_folds(
    names: Sequence[str],
    labelled: NDArray[np.bool_],
    folds: Any,
    seed: int = 0,
    groups: Any = None,
    contiguous: bool = True,
) -> NDArray[np.int32]:
    """(N,) the fold of each image.

    Parameters
    ----------
    names : of the N images, in their order
    labelled : (N,) bool, whether any pixel has a class
    folds : from 2 to the number of labelled images, and of groups
    seed : of folds that are drawn at random
    groups : (N,) of any type, images of one group (a drive, a patient) are in one fold; or a regular expression: images
        in whose names it matches the same text (its first group's, where it has one)
    contiguous : without groups, a fold is a stretch of consecutive images, for frames of a film look like their
        neighbours; False draws them at random

    Raises
    ------
    ParameterError
        where folds is no such number, or groups is no regular expression
    DataError
        where there are too few images or groups

    Examples
    --------
    >>> frame_folds(list("abcdef"), np.ones(6, dtype=bool), 3)
    array([0, 0, 1, 1, 2, 2], dtype=int32)
    >>> fold = frame_folds(["a_1", "b_1", "a_2", "b_2"], np.ones(4, dtype=bool), 2, groups=r"^(\\w)_")
    >>> bool(fold[0] == fold[2] != fold[1] == fold[3])
    True
    """
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= MOST_FOLDS:
        raise ParameterError(f"folds must be a whole number from 2 to {MOST_FOLDS}; got {folds!r}.")
    count = int(labelled.sum())
    if count < max(folds, 3):
        few = f"There are {count} images with labelled pixels, too few for {folds} folds. "
        raise DataError(
            f"{few}Give folds=N with N from 2 to {count}, or probabilities of your own (pred_probs=)."
            if count > 2
            else f"{few}Two to learn from and one to judge are the least; or give probabilities (pred_probs=)."
        )
    if groups is None:
        order = np.cumsum(labelled) - 1  # an image without a class goes with the one before it
        if not contiguous:
            order = np.random.default_rng([seed, 0xF01D]).permutation(len(labelled))
            count = len(labelled)
        return (np.clip(order, 0, count - 1) * int(folds) // count).astype(np.int32)
    from sklearn.model_selection import GroupKFold

    codes = group_codes(matched_groups(names, groups), len(names))
    number = len(np.unique(codes[labelled]))
    if number < folds:
        raise DataError(
            f"There are {number} groups with labelled images, too few for {folds} folds: a group is not divided. "
            + (f"Give folds=N with N from 2 to {number}." if number >= 2 else "At least two groups are needed.")
        )
    fold = np.zeros(len(names), dtype=np.int32)
    for part, (_, test) in enumerate(GroupKFold(int(folds)).split(np.zeros(len(names)), groups=codes)):
        fold[test] = part
    return fold


def matched_groups(names: Sequence[str], groups: Any) -> Any:
    """The groups of files by what a regular expression matches in their names; others are handed back.

    Examples
    --------
    >>> matched_groups(["a_1.png", "b_1.png", "c"], "^(.)_")
    ['a', 'b', None]
    """
    if not isinstance(groups, str):
        return groups
    try:
        compiled = re.compile(groups)
    except re.error as error:
        raise ParameterError(f"groups={groups!r} is no regular expression ({error}).") from error
    found = [compiled.search(name) for name in names]
    if not any(found):
        raise DataError(
            f"groups={groups!r} matches in none of the {len(names):,} files' names, such as {names[0]!r}: what it "
            "matches there (the drive, the patient) is the group."
        )
    return [None if one is None else one.group(1 if compiled.groups else 0) for one in found]


# -- finished folds ----------------------------------------------------------------------------------------------------


class Kept:
    """Finished folds in a folder, under a name that follows from all that they depend on.

    Parameters
    ----------
    out : a folder; the folds lie in its sub-folder ``folds``. None keeps nothing.
    predictor : its ``description`` and, where it has one, its ``fingerprint()`` belong to the name
    facts : all else that the folds depend on, such as labels, classes, and the fold of each row; see ``digest_of``
    """

    def __init__(self, out: Any, predictor: Any, *facts: Any) -> None:
        self.folder: Path | None = None
        if out is not None:
            own = predictor.fingerprint() if hasattr(predictor, "fingerprint") else ""
            self.folder = make_folder(Path(out) / FOLDER / digest_of(*facts, predictor.description, own))

    def read(self, number: int, shape: tuple[int, int]) -> np.ndarray | None:
        """The probabilities of a fold that is done; None where it is not, or its file can't be used."""
        if self.folder is None:
            return None
        try:
            found = np.load(self.folder / f"{number}.npy", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == shape and found.dtype == np.float32 else None

    def write(self, number: int, probs: np.ndarray) -> None:
        """Keep a fold, whole or not at all."""
        if self.folder is not None:
            with atomic(self.folder / f"{number}.npy") as path, open(path, "wb") as file:
                np.save(file, probs)

    def mapped(self, number: int, shape: tuple[int, ...]) -> np.ndarray | None:
        """The probabilities of a fold that is done, in half precision and left on the disk; None as of ``read``."""
        if self.folder is None:
            return None
        try:
            found = np.load(self.folder / f"{number}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return found if found.shape == shape and found.dtype == np.float16 else None

    @contextmanager
    def filling(self, number: int, shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        """A fold's probabilities to be written piece by piece, on the disk; kept, whole, when the block ends well."""
        if self.folder is None:
            raise ParameterError("Folds that are filled piece by piece need a folder.")
        with atomic(self.folder / f"{number}.npy") as path:
            array = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=shape)
            yield array
            array.flush()


def forget(out: Any) -> None:
    """Remove the folds that are kept in a folder: all is done, and the ledger is saved."""
    shutil.rmtree(Path(os.fspath(out)) / FOLDER, ignore_errors=True)


def digest_of(*parts: Any) -> str:
    """A short name for arrays, sparse matrices, tensors, lists and texts; of long ones a sample of rows is read.

    Examples
    --------
    >>> digest_of(np.arange(3), "a") == digest_of(np.arange(3), "a"), digest_of([1]) == digest_of([2])
    (True, False)
    """
    digest = hashlib.blake2b(digest_size=10)
    for part in parts:
        if isinstance(part, str):
            digest.update(part.encode("utf-8", "surrogatepass"))
        else:
            _add(digest, part)
        digest.update(b"\0")
    return digest.hexdigest()


def _add(digest: Any, part: Any) -> None:
    rows = part.shape[0] if hasattr(part, "shape") else len(part)
    shown = np.arange(rows)
    if rows > _SHOWN and not (isinstance(part, np.ndarray) and part.ndim == 1):
        shown = np.unique(np.linspace(0, rows - 1, _SHOWN).astype(np.int64))
    digest.update(str(getattr(part, "shape", rows)).encode())
    if hasattr(part, "indptr"):
        some = part[shown]
        for array in (some.data, some.indices, some.indptr):
            digest.update(np.ascontiguousarray(array).tobytes())
    elif isinstance(part, np.ndarray) and part.dtype != object:
        digest.update(np.ascontiguousarray(part[shown]).tobytes())
    else:
        for row in shown.tolist():
            value = part[row]
            array = np.asarray(value)
            digest.update(array.tobytes() if array.dtype.kind in "biuf" else repr(value).encode("utf-8", "replace"))
