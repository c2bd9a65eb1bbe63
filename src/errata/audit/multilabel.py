"""Items with several labels at once, each there or not: which of them are wrong, and in which items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.crossval import fold_of, temper
from errata.audit.progress import Progress, Show
from errata.data.arff import is_arff
from errata.data.multilabel import MISSING
from errata.data.multilabel_reading import labels_of_values, read_multilabel
from errata.errors import DataError, ParameterError
from errata.items import set_names, sets_ledger
from errata.labels import ClassLabels
from errata.scores.multilabel import WAYS, combine, judge, unvarying

if TYPE_CHECKING:
    from errata.data import Data
    from errata.ledger import Ledger

__all__ = ["audit"]

MOST_TOGETHER = 20
"""Labels that a forest learns at once, as each of its leaves keeps all of them."""


def audit(
    source: Any = None,
    y: Any = None,
    *,
    label: str | Sequence[str] | None = None,
    labels: Any = None,
    pred_probs: Any = None,
    classes: Sequence[Any] | None = None,
    separator: str | None = None,
    aggregate: str = "min",
    given_odds: float = 4.0,
    model: Any = "auto",
    folds: int = 5,
    seed: int = 0,
    features: Any = None,
    text: Any = None,
    image_column: str | None = None,
    kinds: Mapping[str, str] | None = None,
    progress: Show = True,
) -> Ledger:
    """Find wrong labels where an item may have several, or none.

    Each label is judged by itself, by confident learning on the probability that it applies; the item follows from its
    labels.

    Parameters
    ----------
    source : the data, as for ``errata.audit``; None where labels and probabilities are all there is
    y, labels : (N, L) of 0 and 1, NaN or -1 where not known (a DataFrame's columns name the labels); or N lists
    label : the columns of 0 and 1, or the one column of lists (or of texts such as "a|b"); of an ARFF file also MULAN's
        list of labels (``"yeast.xml"``), their number ("last:14"), or nothing where that list lies beside it
    pred_probs : (N, L) out-of-sample probabilities that each label applies; an array or the path of a ``.npy`` file
    classes : the L names, in the order of the columns of ``pred_probs``
    separator : between labels in a text; by default the first of ``| ; ,`` that occurs
    aggregate : how trust in an item follows from that in its labels: "min" (the worst one), "product" (the chance that
        all are right), "average", "ema"; see ``errata.scores.multilabel.combine``
    given_odds : what it counts for a label that it was given, above 0: the odds of the model are multiplied by this.
        With 4, a label can only be an issue where the model gives it less than 0.2
    model : what is cross-validated where there are no ``pred_probs``: "auto", or a scikit-learn classifier, one for
        each label
    folds, seed : of the cross-validation
    features, text, image_column, kinds : as for ``errata.read``
    progress : see ``errata.audit``

    Returns
    -------
    Ledger
        A row per item; its classes are the sets of labels that occur, as "a, b" or "none" (above 100 different sets
        they stand in the columns ``given`` and ``proposed`` instead). Columns: ``wrong_labels``, how many are issues.
        ``parts`` has a row per item and label, with the column ``label``; given and proposed are 1 and 0.

    Raises
    ------
    DataError
        where labels, probabilities or data can't be used

    Examples
    --------
    >>> y = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0, 1]])
    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.95, 0.9]])
    >>> ledger = audit(labels=y, pred_probs=p, classes=["cat", "dog"])
    >>> ledger.issues()[["given", "proposed"]]
      given  proposed
    4   dog  cat, dog
    >>> ledger.parts.sort_values("rank").head(1)[["row", "label", "given", "proposed"]]
       row label  given  proposed
    8    4   cat      0         1
    """
    if aggregate not in WAYS:
        combine(np.zeros((1, 1)), aggregate)  # which names the ways there are
    if not 0 < given_odds < float("inf"):
        raise ParameterError(f"given_odds must be above 0; got {given_odds!r}.")
    reading = {"features": features, "text": text, "image_column": image_column, "kinds": kinds}
    data, matrix, names = _read(source, y if y is not None else labels, label, classes, separator, reading)
    if pred_probs is not None:
        probs, about = _given(pred_probs, matrix.shape), {"probabilities": "as given"}
    elif data is None:
        raise ParameterError("Nothing to audit: give a source, or labels= and pred_probs= of shape (N, L).")
    else:
        probs, about = _cross_validated(data, matrix, names, model, folds, seed, progress)
    return _ledger(data, matrix, names, probs, {"aggregate": aggregate, "given_odds": given_odds}, about)


# -- reading ----------------------------------------------------------------------------------------------------------


def _read(
    source: Any, values: Any, label: Any, classes: Any, separator: str | None, reading: dict[str, Any]
) -> tuple[Data | None, np.ndarray, list[str]]:
    if source is None and values is None:
        raise ParameterError("Nothing to audit: give a source, or labels= and pred_probs= of shape (N, L).")
    if values is None and label is None and not is_arff(source):
        raise ParameterError(
            "Which columns hold the labels? Name them with label=: several columns of 0 and 1, as in label=['cat', "
            "'dog'], or the one column that holds lists."
        )
    reading = {name: value for name, value in reading.items() if value is not None}
    if source is None:
        return None, *labels_of_values(values, classes, separator)
    found = read_multilabel(source, values, label=label, classes=classes, label_separator=separator, **reading)
    return found.data, found.require_labels(), found.names


def _given(pred_probs: Any, shape: tuple[int, ...]) -> np.ndarray:
    from errata.audit.align import open_probabilities

    if shape[1] == 1 and not isinstance(pred_probs, str):
        pred_probs = np.asarray(pred_probs).reshape(len(pred_probs), -1)
        probs = pred_probs[:, -1:]
    else:
        probs = open_probabilities(pred_probs)
    if probs.shape != shape:
        raise DataError(
            f"pred_probs must have the shape of the labels, {shape}: a row per item, a column per label; got "
            f"{tuple(probs.shape)}."
        )
    return np.asarray(probs, dtype=np.float32)


# -- probabilities ----------------------------------------------------------------------------------------------------


def _cross_validated(
    data: Data, matrix: np.ndarray, names: list[str], model: Any, folds: int, seed: int, progress: Show
) -> tuple[np.ndarray, dict[str, Any]]:
    """(N, L) out-of-sample probabilities, each label's calibrated by a temperature."""
    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= len(matrix):
        raise ParameterError(f"folds must be a whole number from 2 to the number of rows, {len(matrix)}; got {folds}.")
    learner = _Learner(data, model, seed)
    fold = fold_of(np.unique(set_names(matrix, names), return_inverse=True)[1], folds, seed)
    probs = np.zeros(matrix.shape, dtype=np.float32)
    with Progress(progress, f"cross-validation in {folds} folds", total=folds) as bar:
        for number in range(folds):
            test = np.flatnonzero(fold == number)
            probs[test] = learner.fit_predict(matrix, np.flatnonzero(fold != number), test)
            bar.advance()
    for place in range(matrix.shape[1]):
        if len(np.unique(matrix[matrix[:, place] != MISSING, place])) == 2:
            both = np.column_stack([1 - probs[:, place], probs[:, place]])
            temper(both, matrix[:, place])
            probs[:, place] = both[:, 1]
    about = {
        "probabilities": f"{folds}-fold cross-validation of {learner.description}",
        "model": learner.description,
        "folds": folds,
        "seed": seed,
    }
    return probs, about


class _Learner:
    """A model per label; of the default trees one for all labels that are known everywhere."""

    def __init__(self, data: Data, model: Any, seed: int) -> None:
        from errata.audit.predictors import bag_of_words, features_of

        self.seed, self.joint, self.estimator = seed, False, model
        if model != "auto" if isinstance(model, str) else not hasattr(model, "get_params"):
            raise ParameterError(
                f"model must be 'auto' or a scikit-learn classifier for several labels; got {model!r}."
            )
        if isinstance(model, str) and data.kind == "text":
            from sklearn.linear_model import LogisticRegression

            self.x = bag_of_words(data.texts())
            self.estimator = LogisticRegression(C=3.0, max_iter=300)
            self.description = "logistic regressions on words and pairs of words, one for each label"
            return
        self.x = features_of(data)
        self.description = f"{type(model).__name__}, one for each label"
        if isinstance(model, str):
            from sklearn.ensemble import ExtraTreesClassifier

            leaf = max(3, len(data) // 5000)
            self.estimator = ExtraTreesClassifier(100, min_samples_leaf=leaf, random_state=seed)
            self.joint, self.description = True, "extremely randomised trees for all labels together"

    def fit_predict(self, matrix: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        """(len(test), L) probabilities that the labels apply."""
        from sklearn.base import clone

        found = np.zeros((len(test), matrix.shape[1]), dtype=np.float32)
        known = matrix[train] != MISSING
        both = np.array([len(np.unique(matrix[train[k], i])) == 2 for i, k in enumerate(known.T)])
        together = np.flatnonzero(both & known.all(axis=0)) if self.joint else np.empty(0, dtype=np.int64)
        alone = np.setdiff1d(np.arange(matrix.shape[1]), together)
        if len(together) == 1:
            together, alone = together[:0], np.sort(np.append(alone, together))
        for some in np.array_split(together, -(-len(together) // MOST_TOGETHER)) if len(together) else ():
            trees = clone(self.estimator).fit(self.x[train], np.squeeze(matrix[train][:, some]))
            told = trees.predict_proba(self.x[test])
            found[:, some] = np.column_stack([p[:, 1] for p in (told if isinstance(told, list) else [told])])
        for place in alone:
            rows = train[known[:, place]]
            found[:, place] = self._single(matrix[:, place], rows, test) if both[place] else matrix[rows, place].mean()
        return found

    def _single(self, column: np.ndarray, train: np.ndarray, test: np.ndarray) -> np.ndarray:
        from errata.audit.predictors import EstimatorFolds

        one = EstimatorFolds(self.estimator, self.x, ClassLabels(column.astype(np.int64), [0, 1]), seed=self.seed)
        return one.fit_predict(train, test, 0, lambda share: None)[:, 1]


# -- the ledger -------------------------------------------------------------------------------------------------------


def _ledger(
    data: Data | None,
    matrix: np.ndarray,
    names: list[str],
    probs: np.ndarray,
    how: dict[str, Any],
    about: dict[str, Any],
) -> Ledger:
    trust, issue = judge(matrix, probs, how["given_odds"])
    meta = {"method": "confident", "task": "multilabel", **how, "label_names": names, **about}
    if data is not None:
        meta = {**data.origin, "kind": data.kind, **meta}
    same = [name for name, odd in zip(names, unvarying(matrix)) if odd]
    some = ", ".join(same[:8]) + (f" and {len(same) - 8:,} more" if len(same) > 8 else "")
    meta["notes"] = [f"Labels that all rows have, or none has, can’t be checked: {some}."] if same else []
    ledger = sets_ledger(
        matrix,
        probs,
        names,
        trust=trust,
        issue=issue,
        item_trust=combine(trust, how["aggregate"]),
        index=np.arange(len(matrix)) if data is None else data.rows,
        meta=meta,
    )
    ledger.data = data
    return ledger
