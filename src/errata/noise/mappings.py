"""Which class is mistaken for which: the field's named confusions, dicts and matrices, all as one (K, K) matrix.

The named ones are the confusions that papers on label noise plant (Patrini et al. 2017, arXiv 1609.03683, and those
that follow it): digits that look alike for MNIST, truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog for
CIFAR-10, and for CIFAR-100 the next class, circular inside each block of five consecutive label ids. Some papers take
the 20 semantic superclasses for the last; pass a dict for those.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from errata.errors import ParameterError, UnknownNameError
from errata.noise._inputs import check_num_classes, is_tensor, to_numpy

__all__ = ["MAPPINGS", "destinations"]

MAPPINGS: dict[str, dict[int, int]] = {
    "mnist": {7: 1, 2: 7, 5: 6, 6: 5, 3: 8},
    "cifar10": {9: 1, 2: 0, 3: 5, 5: 3, 4: 7},
    "cifar100": {i: i - i % 5 + (i + 1) % 5 for i in range(100)},
}
_CLASSES = {"mnist": 10, "cifar10": 10, "cifar100": 100}


def destinations(mapping: Any, num_classes: int | None) -> np.ndarray:
    """Return the row-stochastic matrix M of a mapping: M[i, j] is where the labels of class i go.

    Parameters
    ----------
    mapping : "pair", "mnist", "cifar10", "cifar100", dict {class: class}, or (K, K) matrix
        "pair" sends i to (i + 1) mod K. A class that a dict does not name keeps its labels: its row is the identity's.
    num_classes : int or None
        K; None where the mapping itself tells it (a named data set, a matrix).

    Returns
    -------
    (K, K) float64, rows sum to 1

    Raises
    ------
    ParameterError
        Unknown name, classes outside [0, K), a matrix that is not square, negative or with rows that do not sum to 1.

    Examples
    --------
    >>> destinations({0: 1}, 3)
    array([[0., 1., 0.],
           [0., 1., 0.],
           [0., 0., 1.]])
    """
    if isinstance(mapping, str):
        return _named(mapping, num_classes)
    if isinstance(mapping, Mapping):
        return _from_dict(mapping, _required(num_classes))
    if isinstance(mapping, (np.ndarray, list, tuple)) or is_tensor(mapping):
        return _from_matrix(to_numpy(mapping), num_classes)
    raise ParameterError(
        f"mapping must be a name, a dict {{class: class}} or a (K, K) matrix, got {type(mapping).__name__}."
    )


def _required(num_classes: int | None) -> int:
    if num_classes is None:
        raise ParameterError("num_classes is needed with this mapping: say how many classes there are.")
    return check_num_classes(num_classes)


def _named(name: str, num_classes: int | None) -> np.ndarray:
    if name == "pair":
        return np.roll(np.eye(_required(num_classes)), 1, axis=1)
    if name not in MAPPINGS:
        raise UnknownNameError("mapping", name, ["pair", *MAPPINGS], "A dict or a (K, K) matrix can be given instead.")
    classes = _CLASSES[name]
    if num_classes is not None and check_num_classes(num_classes) != classes:
        raise ParameterError(f"mapping '{name}' is for {classes} classes, but num_classes is {num_classes}.")
    return _from_dict(MAPPINGS[name], classes)


def _from_dict(mapping: Mapping[Any, Any], num_classes: int) -> np.ndarray:
    matrix = np.eye(num_classes)
    for source, target in mapping.items():
        for role, value in (("key", source), ("value", target)):
            if isinstance(value, (bool, float)) or not _in_range(value, num_classes):
                raise ParameterError(
                    f"mapping has the {role} {value!r} in {{{source!r}: {target!r}}}; "
                    f"keys and values must be classes in [0, {num_classes})."
                )
        matrix[int(source)] = 0.0
        matrix[int(source), int(target)] = 1.0
    return matrix


def _in_range(value: Any, num_classes: int) -> bool:
    try:
        return 0 <= int(value) < num_classes and int(value) == value
    except (TypeError, ValueError):
        return False


def _from_matrix(matrix: np.ndarray, num_classes: int | None) -> np.ndarray:
    wanted = f"({num_classes}, {num_classes})" if num_classes is not None else "(K, K)"
    square = matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1]
    if not square or (num_classes is not None and len(matrix) != check_num_classes(num_classes)):
        raise ParameterError(f"a mapping matrix must have shape {wanted}, got {matrix.shape}.")
    check_num_classes(len(matrix))
    if matrix.dtype.kind not in "fiu":
        raise ParameterError(f"a mapping matrix must hold numbers, got dtype {matrix.dtype}.")
    matrix = matrix.astype(np.float64)
    if (bad := ~np.isfinite(matrix) | (matrix < 0)).any():
        row, column = (int(i) for i in np.argwhere(bad)[0])
        raise ParameterError(
            f"a mapping matrix must hold probabilities >= 0, found {matrix[row, column]} in row {row}, column {column}."
        )
    totals = matrix.sum(axis=1)
    # 1e-5: matrices come out of float32 arithmetic and text files; they are renormalised below.
    if (bad := np.abs(totals - 1.0) > 1e-5).any():
        row = int(np.argmax(bad))
        raise ParameterError(f"the rows of a mapping matrix must sum to 1, but row {row} sums to {totals[row]:.6g}.")
    return matrix / totals[:, None]
