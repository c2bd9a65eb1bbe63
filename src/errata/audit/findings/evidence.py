"""What findings are made from: a hash of each row's content, and features in which distance means something."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from errata.errors import DataError
from errata.findings import Finding
from errata.ledger import Ledger
from errata.scores.duplicates import CLOSE

__all__ = ["Evidence", "gather", "report", "some"]

DIRECTIONS = 50  # that features are brought to, at most
SIDE = 16  # pixels of a picture's side
SAMPLE = 20_000
MOST_CELLS = 400_000_000  # numbers of features, before they are brought to few directions
CLOSE_PICTURES = 0.3  # the same picture, compressed or cut anew, differs more than a row of numbers typed anew
SHOWN = 5
KEPT = 100  # groups in a finding's details

Pieces = tuple[np.ndarray, np.ndarray]


@dataclass
class Evidence:
    """Of n rows, and behind them those of the second data set, if there is one.

    Parameters
    ----------
    n : rows of the first data set
    content : (N,) uint64, equal for rows of equal content; None where there is none to look at
    features : (N, D) float32; None where none can be made
    pieces : offsets and hashes of the words and pairs of words of texts, lower-case and without punctuation
    embedded : whether the features come from elsewhere, so that they may tell near duplicates of any kind of data
    close : how close near duplicates are, see ``errata.scores.duplicates.near_features``
    near : pairs of near duplicates, once they have been looked for
    """

    n: int
    content: np.ndarray | None = None
    features: np.ndarray | None = None
    pieces: Pieces | None = None
    embedded: bool = False
    close: float = CLOSE
    near: np.ndarray | None = None


def gather(
    data: Any, second: Any, features: Any, second_features: Any, pred_probs: Any, rows: int, seed: int
) -> Evidence:
    """All that is needed, once; see ``look`` for the arguments."""
    found = Evidence(rows)
    both = [part for part in (data, second) if part is not None]
    if data is not None:
        if second is not None and (second.kind, second.array is None) != (data.kind, data.array is None):
            raise DataError(f"{second.source} ({second.format}) is of another kind than {data.source} ({data.format}).")
        found.content = _content(both)
        if data.kind == "text":
            found.pieces = _pieces(both)
        if features is None:
            found.features = _features(both, seed)
            found.close = CLOSE_PICTURES if data.kind == "image" else CLOSE
    if features is not None or (found.features is None and pred_probs is not None):
        given = [_array(features if features is not None else pred_probs, rows)]
        if features is not None and second_features is not None:
            given.append(_array(second_features, None if second is None else len(second)))
        found.features = _reduced(np.concatenate(given), seed)
        found.embedded = features is not None
    return found


def _array(features: Any, rows: int | None) -> np.ndarray:
    if hasattr(features, "detach"):
        features = features.detach().cpu().numpy()
    array = np.load(features, allow_pickle=False) if isinstance(features, (str, Path)) else np.asarray(features)
    if array.ndim != 2 or array.dtype.kind not in "biuf" or (rows is not None and len(array) != rows):
        expected = "N" if rows is None else f"{rows:,}"
        raise DataError(f"features: expected numbers of shape ({expected}, D), found {array.dtype} {array.shape}.")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise DataError(f"features: row {row} holds values that are not numbers; fill or leave out such rows.")
    return array.astype(np.float32)


# -- content ----------------------------------------------------------------------------------------------------------


def _content(parts: list[Any]) -> np.ndarray | None:
    hashes = [_hashes(part, parts[0].features) for part in parts]
    known = [h for h in hashes if h is not None]
    return np.concatenate(known) if len(known) == len(hashes) else None


def _hashes(data: Any, features: list[Any]) -> np.ndarray | None:
    if data.kind == "text":
        return _digests(text.encode("utf-8", "replace") for text in data.texts())
    if data.kind == "image":
        pixels = data.images.pixels(data.rows)
        if pixels is not None:
            return _digests(np.ascontiguousarray(row).tobytes() for row in pixels)
        return _digests(_bytes(data.images.source(int(row))) for row in data.rows)
    if data.array is not None:
        array = data.array[data.rows]
        return _digests(row.tobytes() for row in np.ascontiguousarray(array + np.zeros((), array.dtype)))
    return _table_hashes(data, features)


def _digests(rows: Iterable[bytes]) -> np.ndarray:
    return np.array([int.from_bytes(hashlib.blake2b(r, digest_size=8).digest(), "little") for r in rows], np.uint64)


def _bytes(source: Any) -> bytes:
    if isinstance(source, bytes):
        return source
    return source.read_bytes() if isinstance(source, Path) else source.tobytes()


def _table_hashes(data: Any, features: list[Any]) -> np.ndarray | None:
    """By the values of those columns that are features of the first data set."""
    from pandas.util import hash_array

    from errata.data.content import categories, numbers

    if not features:
        return None
    total = np.zeros(len(data), dtype=np.uint64)
    for column in features:
        values = data.column(column.name)
        if column.kind == "number":
            own = hash_array(numbers(values, column.name, data.rows) + 0.0)
        else:
            codes, words = categories(values)
            own = np.append(hash_array(np.asarray(words, dtype=object)), np.uint64(0))[codes[data.rows]]
        total = (total ^ own) * np.uint64(0x9E3779B97F4A7C15)
        total ^= total >> np.uint64(29)
    return total


def _pieces(parts: list[Any]) -> Pieces:
    from errata.data.text import hash_texts

    return hash_texts([text for part in parts for text in part.texts()], 1 << 24)


# -- features ---------------------------------------------------------------------------------------------------------


def _features(parts: list[Any], seed: int) -> np.ndarray | None:
    kind = parts[0].kind
    try:
        if kind == "text":
            return _of_texts([text for part in parts for text in part.texts()], seed)
        if kind == "image":
            return _of_pictures(parts, seed)
        from errata.data import encoder_for

        width = parts[0].array.shape[1] if parts[0].array is not None else len(parts[0].features)
        if not parts[0].features or width * sum(map(len, parts)) > MOST_CELLS:
            return None
        encoder = encoder_for(parts[0]).fit(parts[0])
        return _reduced(np.concatenate([encoder.encode(part).numpy() for part in parts]), seed)
    except DataError:  # no word occurs twice, or the second data set lacks a column
        return None


def _of_texts(texts: list[str], seed: int) -> np.ndarray | None:
    from sklearn.decomposition import TruncatedSVD

    from errata.audit.predictors import bag_of_words

    bags = bag_of_words(texts)
    most = min(DIRECTIONS, bags.shape[1] - 1, len(texts) - 1)
    if most < 1:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # of shares of the variance, where all texts are equal
        found = TruncatedSVD(most, n_iter=2, random_state=seed).fit_transform(bags).astype(np.float32)
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-6)


def _of_pictures(parts: list[Any], seed: int) -> np.ndarray | None:
    shape = parts[0].images.shape
    small = []
    for part in parts:
        pixels = part.images.pixels(part.rows, shape) if shape is not None else None
        if pixels is None:
            return None
        small.append(np.concatenate([_shrunk(pixels[a : a + 4096]) for a in range(0, len(pixels), 4096)]))
    return _reduced(np.concatenate(small), seed)


def _shrunk(pixels: np.ndarray) -> np.ndarray:
    """(N, D) float32: means of small squares."""
    _, _, height, width = pixels.shape
    steps = -(-height // SIDE), -(-width // SIDE)
    pixels = pixels[:, :, : height // steps[0] * steps[0], : width // steps[1] * steps[1]].astype(np.float32)
    n, c, height, width = pixels.shape
    cells = pixels.reshape(n, c, height // steps[0], steps[0], width // steps[1], steps[1])
    return cells.mean(axis=(3, 5)).reshape(n, -1)


def _reduced(features: np.ndarray, seed: int) -> np.ndarray:
    """In the main directions only, where there are many: distances are kept but for what is mostly noise."""
    features = np.ascontiguousarray(features, dtype=np.float32)
    if features.shape[1] <= DIRECTIONS:
        return features
    some = features
    if len(features) > SAMPLE:
        some = features[np.random.default_rng([seed, 0xE71]).choice(len(features), SAMPLE, replace=False)]
    centre = some.mean(axis=0)
    _, _, vectors = _svd(some - centre, seed)
    return (features - centre) @ vectors.T


def _svd(centred: np.ndarray, seed: int) -> Any:
    from sklearn.utils.extmath import randomized_svd

    return randomized_svd(centred, min(DIRECTIONS, min(centred.shape)), n_iter=3, random_state=seed)


# -- telling ----------------------------------------------------------------------------------------------------------


def some(names: Any, most: int = SHOWN) -> str:
    """The first few of many names.

    Examples
    --------
    >>> some(["a", "b", "c"], most=2)
    'a, b and 1 more'
    """
    names = [str(name) for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def report(
    name: str, count: int, says: str, severity: float, ledger: Ledger, positions: Any = (), **details: Any
) -> Finding:
    """A finding about rows, by their positions in the ledger, the worst first."""
    rows = ledger.index[np.asarray(positions, dtype=np.int64)]
    return Finding(name, int(count), says, float(min(max(severity, 0.0), 1.0)), rows, details)
