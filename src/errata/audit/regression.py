"""Numbers as labels: which of them are wrong, as far as the rest of the data can tell."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.items import item_ledger
from errata.audit.progress import Progress, Show
from errata.errors import DataError, ParameterError
from errata.scores.regression import density_score, residual_trust

if TYPE_CHECKING:
    from errata.data import Data
    from errata.ledger import Ledger

__all__ = ["audit"]

MOST_ROWS = 50_000  # for which random trees are grown; above, boosted ones


def audit(
    source: Any = None,
    y: Any = None,
    *,
    label: str | None = None,
    labels: Any = None,
    predictions: Any = None,
    pred_probs: Any = None,
    model: Any = "auto",
    folds: int = 5,
    seed: int = 0,
    features: Any = None,
    text: Any = None,
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
    progress: Show = True,
) -> Ledger:
    """Find wrong numbers: those that differ from what the other rows predict by more than the usual scatter.

    Parameters
    ----------
    source : the data, as for ``errata.audit``; None where numbers and predictions are all there is
    y, labels : (N,) numbers, NaN where missing
    label : the column of the numbers, where the source is a table
    predictions : (N,) out-of-sample predictions; an array or the path of a ``.npy`` file (``pred_probs`` is taken for
        the same)
    model : what is cross-validated where there are none: "auto" (random or boosted trees; a ridge regression on words
        for texts), or a scikit-learn regressor
    folds, seed : of the cross-validation; it is done a second time without the numbers found to be wrong at first
    features, text, image_column, kinds : as for ``errata.read``
    progress : see ``errata.audit``

    Returns
    -------
    Ledger
        A row per item. Columns: ``given`` and ``proposed`` (the prediction, where the number is an issue),
        ``predicted``, ``residual``, ``scale`` (the usual size of the residual at such a prediction), and, where there
        are features, ``density`` (see ``errata.scores.regression.density_score``). ``trust`` is the chance that the
        number belongs to the usual scatter (``residual_trust``); an issue is one that more probably does not.

    Raises
    ------
    DataError
        where numbers, predictions or data can't be used

    Examples
    --------
    >>> y = np.array([1.0, 2.1, 2.9, 4.2, 5.0, 50.0, 7.1, 8.0, 8.9, 10.1])
    >>> ledger = audit(labels=y, predictions=np.arange(1.0, 11.0))
    >>> ledger.issues()[["given", "proposed", "residual"]]
       given  proposed  residual
    5   50.0       6.0      44.0
    """
    predictions = pred_probs if predictions is None else predictions
    reading = {"features": features, "text": text, "image_column": image_column, "kinds": kinds}
    data, numbers = _read(source, y if y is not None else labels, label, reading)
    x = None
    if predictions is not None:
        predicted, about = _given(predictions), {"predictions": "as given"}
    elif data is None:
        raise ParameterError("Nothing to audit: give a source, or labels= and predictions=.")
    else:
        predicted, about, x = _cross_validated(data, numbers, model, folds, seed, progress)
    return _ledger(data, numbers, predicted, about, x, seed)


def _ledger(
    data: Data | None, numbers: np.ndarray, predicted: np.ndarray, about: dict[str, Any], x: Any, seed: int
) -> Ledger:
    found = residual_trust(numbers, predicted)
    issue = np.nan_to_num(found.trust, nan=1.0) < 0.5
    columns = {
        "given": numbers,
        "proposed": np.where(issue | np.isnan(numbers), predicted, numbers),
        "predicted": predicted,
        "residual": found.residual,
        "scale": found.scale,
    }
    if x is not None:
        columns["density"] = density_score(x, found.residual / found.scale, seed=seed)
    meta = {"method": "residuals", "task": "regression", **about, "noise_rate_of_numbers": round(found.rate, 6)}
    if data is not None:
        meta = {**data.origin, "kind": data.kind, **meta}
    index = None if data is None else data.rows
    ledger = item_ledger(found.trust, issue, rate=found.rate, columns=columns, index=index, meta=meta)
    ledger.data = data
    return ledger


def _read(source: Any, values: Any, label: Any, reading: dict[str, Any]) -> tuple[Data | None, np.ndarray]:
    from errata.data import read
    from errata.data.content import numbers

    if source is None and values is None:
        raise ParameterError("Nothing to audit: give a source, or labels= and predictions=.")
    if source is None:
        return None, _numbers(values)
    reading = {name: value for name, value in reading.items() if value is not None}
    if values is None:
        if not isinstance(label, str):
            raise ParameterError("Which column holds the numbers to check? Name it with label=, or give them as y=.")
        reading["kinds"] = {**reading.get("kinds", {}), label: "ignored"}
    data = read(source, False, **reading)
    found = _numbers(values) if values is not None else numbers(data.column(label), label, data.rows)
    if len(found) != len(data):
        raise DataError(f"Expected a number for each of the {len(data):,} rows of {data.source}; got {len(found):,}.")
    if values is None:
        data.label_name = label
    return data, found


def _numbers(values: Any) -> np.ndarray:
    if hasattr(values, "detach"):
        values = values.detach().cpu().numpy()
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"Expected numbers as labels for task='regression'; {error}.") from error
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1:
        raise DataError(f"Expected one number per row, shape (N,); got {array.shape}.")
    return array


def _given(predictions: Any) -> np.ndarray:
    from pathlib import Path

    if isinstance(predictions, (str, Path)):
        try:
            predictions = np.load(predictions, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{predictions} is not a .npy file of numbers ({error}).") from error
    return _numbers(predictions)


# -- predictions ------------------------------------------------------------------------------------------------------


def _cross_validated(
    data: Data, numbers: np.ndarray, model: Any, folds: int, seed: int, progress: Show
) -> tuple[np.ndarray, dict[str, Any], np.ndarray | None]:
    """(N,) out-of-sample predictions, what was done, and the features where distance means something."""
    known = np.flatnonzero(~np.isnan(numbers))
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= len(known):
        raise ParameterError(f"folds must be a whole number from 2 to the number of labels, {len(known)}; got {folds}.")
    x, make, description = _learner(data, model, seed)
    fold = np.random.default_rng([seed, 0xF01D]).permutation(len(numbers)) % folds
    predicted = np.empty(len(numbers))
    with Progress(progress, f"cross-validation in {folds} folds, twice", total=2 * folds) as bar:
        for _ in range(2):  # once more without what was found: a gross error spoils the predictions of its neighbours
            for number in range(folds):
                train, test = known[fold[known] != number], np.flatnonzero(fold == number)
                predicted[test] = _fit_predict(make(), x, numbers, train, test, description)
                bar.advance()
            sound = residual_trust(numbers, predicted).trust[known] >= 0.5
            if sound.all():
                break
            known = known[sound]
    about = {
        "predictions": f"{folds}-fold cross-validation of {description}",
        "model": description,
        "folds": folds,
        "seed": seed,
    }
    return predicted, about, x if isinstance(x, np.ndarray) and x.ndim == 2 and data.kind == "tabular" else None


def _fit_predict(
    model: Any, x: Any, numbers: np.ndarray, train: np.ndarray, test: np.ndarray, description: str
) -> np.ndarray:
    def rows(chosen: np.ndarray) -> Any:
        return [x[i] for i in chosen] if isinstance(x, list) else x[chosen]

    try:
        found = np.asarray(model.fit(rows(train), numbers[train]).predict(rows(test)), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise DataError(f"{description} could not be trained on these data: {error}") from error
    return found.reshape(len(test))


def _learner(data: Data, model: Any, seed: int) -> tuple[Any, Callable[[], Any], str]:
    from sklearn.base import clone

    from errata.audit.predictors import bag_of_words, features_of

    if not isinstance(model, str):
        if not (hasattr(model, "fit") and hasattr(model, "get_params")):
            raise ParameterError(f"For numbers model must be 'auto' or a scikit-learn regressor; got {model!r}.")
        unset = {k: seed for k, v in model.get_params().items() if k.endswith("random_state") and v is None}
        return features_of(data), lambda: clone(model).set_params(**unset), type(model).__name__
    if model != "auto":
        raise ParameterError(f"For numbers model must be 'auto' or a scikit-learn regressor; got {model!r}.")
    if data.kind == "text":
        from sklearn.linear_model import Ridge

        return bag_of_words(data.texts()), lambda: Ridge(alpha=1.0), "a ridge regression on words and pairs of words"
    from sklearn.ensemble import ExtraTreesRegressor, HistGradientBoostingRegressor

    if len(data) <= MOST_ROWS:
        trees = ExtraTreesRegressor(100, min_samples_leaf=max(3, len(data) // 5000), random_state=seed)
        return features_of(data), lambda: clone(trees), "extremely randomised trees"
    boosted = HistGradientBoostingRegressor(max_iter=100, min_samples_leaf=20, early_stopping=False, random_state=seed)
    return features_of(data), lambda: clone(boosted), "gradient-boosted trees"
