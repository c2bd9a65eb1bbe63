"""What is cross-validated where the user brings nothing: quick models that hold out against wrong labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from errata.audit.folds import digest_of
from errata.errors import DataError, ParameterError
from errata.labels import ClassLabels

__all__ = ["EstimatorFolds", "Without", "auto", "bag_of_words", "features_of", "predictor_for"]

BUCKETS = 1 << 20
MOST_ROWS = 50_000
COMMON = 2  # a word or pair of words that stands in one text only says nothing of another


class EstimatorFolds:
    """Fits a clone of a scikit-learn classifier on the training rows of a fold and predicts the others.

    Parameters
    ----------
    estimator : with ``fit`` and ``predict_proba`` or ``decision_function``
    x : (N, ...) what it takes: array, sparse matrix or list
    labels : N labels of K classes
    seed : its ``random_state``, where it has one that is not set
    description : for people; by default the class's name

    Raises
    ------
    ParameterError
        where the estimator can't give probabilities
    """

    parallel = True
    """Folds may be worked on at the same time, in threads."""

    def __init__(self, estimator: Any, x: Any, labels: ClassLabels, *, seed: int = 0, description: str = "") -> None:
        if not (hasattr(estimator, "predict_proba") or hasattr(estimator, "decision_function")):
            raise ParameterError(
                f"{type(estimator).__name__} has no predict_proba, so it can't say how sure it is of a class. Wrap it "
                "in sklearn.calibration.CalibratedClassifierCV, or choose another model=."
            )
        self.estimator, self.x, self.labels, self.seed = estimator, x, labels, seed
        self.description = description or type(estimator).__name__

    def fingerprint(self) -> str:
        """Changes with the data and the estimator's parameters."""
        return digest_of(self.x, repr(sorted(self.estimator.get_params().items(), key=str)), str(self.seed))

    def fit_predict(
        self, train: np.ndarray, test: np.ndarray, fold: int, advance: Callable[[float], None]
    ) -> np.ndarray:
        """See ``Predictor``."""
        from sklearn.base import clone

        model = clone(self.estimator)
        unset = {k: self.seed for k, v in model.get_params().items() if k.endswith("random_state") and v is None}
        model.set_params(**unset)
        try:
            model.fit(_rows(self.x, train), self.labels.codes[train])
            found = _probabilities(model, _rows(self.x, test))
        except (ValueError, TypeError) as error:
            if isinstance(error, (DataError, ParameterError)):
                raise
            raise DataError(f"{self.description} could not be trained on these data: {error}") from error
        probs = np.zeros((len(test), len(self.labels.classes)), dtype=np.float32)
        probs[:, np.asarray(model.classes_, dtype=np.int64)] = found
        return probs


class Without:
    """A predictor that leaves some rows out of its training: those whose labels an earlier pass contradicts.

    Parameters
    ----------
    predictor : what is trained
    dropped : (N,) bool
    labels : N labels; of a class that would keep fewer than two rows in a fold, nothing is left out
    """

    def __init__(self, predictor: Any, dropped: np.ndarray, labels: ClassLabels) -> None:
        self.predictor, self.dropped, self.labels = predictor, dropped, labels
        self.description = f"{predictor.description}, without the rows first found to be issues"
        self.parallel = getattr(predictor, "parallel", False)

    def fingerprint(self) -> str:
        """Changes with the predictor and the rows left out."""
        return digest_of(self.predictor.fingerprint(), self.dropped)

    def fit_predict(
        self, train: np.ndarray, test: np.ndarray, fold: int, advance: Callable[[float], None]
    ) -> np.ndarray:
        """See ``Predictor``."""
        codes = self.labels.codes[train]
        keep = ~self.dropped[train]
        left = np.bincount(codes[keep], minlength=len(self.labels.classes))
        keep |= left[codes] < 2
        return np.asarray(self.predictor.fit_predict(train[keep], test, fold, advance))


def predictor_for(data: Any, model: Any, seed: int, device: str, training: Mapping[str, Any]) -> Any:
    """What is cross-validated for ``model=``: see ``errata.audit``.

    Parameters
    ----------
    data : with labels
    model : "auto", the name of a model, a scikit-learn classifier or a ``torch.nn.Module``
    seed, device : as in ``errata.audit``
    training : options of a network's training; refused where none is trained

    Raises
    ------
    ParameterError
        where ``model`` is none of these, or an option has no use
    """
    if not isinstance(model, str) and hasattr(model, "fit") and hasattr(model, "get_params"):
        _refuse(training, "a scikit-learn estimator")
        return EstimatorFolds(model, features_of(data), data.require_labels(), seed=seed)
    if not isinstance(model, str) and not _is_network(model):
        raise ParameterError(
            "model must be 'auto', the name of a model, a scikit-learn classifier, or a torch.nn.Module; "
            f"got {type(model).__name__}."
        )
    if isinstance(model, str) and model == "auto" and data.kind != "image":
        _refuse(training, "the default model for tables and texts")
        return auto(data, seed)
    from errata.audit.networks import NetworkFolds

    options = {name: training[name] for name in ("epochs", "batch_size", "precision") if name in training}
    settings = {name: value for name, value in training.items() if name not in options}
    return NetworkFolds(data, model, settings=settings, seed=seed, device=device, **options)


def _is_network(model: Any) -> bool:
    import torch

    return isinstance(model, torch.nn.Module)


def _refuse(training: Mapping[str, Any], what: str) -> None:
    if training:
        raise ParameterError(
            f"{next(iter(training))} is an option for training a network; {what} has no use for it. "
            "Leave it out, or give a network as model=."
        )


def _rows(x: Any, rows: np.ndarray) -> Any:
    return [x[i] for i in rows] if isinstance(x, list) else x[rows]


def _probabilities(model: Any, x: Any) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(x))
    from scipy.special import softmax

    scores = np.asarray(model.decision_function(x))
    return softmax(np.column_stack([-scores, scores]) / 2 if scores.ndim == 1 else scores, axis=1)


def features_of(data: Any) -> Any:
    """What a scikit-learn estimator gets of the data: texts as a list; numbers, encoded columns or pixels as (N, D)."""
    if data.kind == "text":
        return data.texts()
    from errata.data import encoder_for

    encoded = encoder_for(data).fit(data).encode(data)
    if data.kind == "image" and not hasattr(encoded, "numpy"):
        raise DataError(f"{data.source} holds more images than fit the memory; give a network as model= instead.")
    array = encoded.numpy()
    if data.kind == "image":
        array = array.reshape(len(array), -1).astype(np.float32) / (255.0 if array.dtype == np.uint8 else 1.0)
    return array


def auto(data: Any, seed: int) -> EstimatorFolds:
    """The default for tables and texts."""
    labels = data.require_labels()
    if data.kind == "text":
        from sklearn.linear_model import LogisticRegression

        return EstimatorFolds(
            LogisticRegression(C=3.0, max_iter=300),
            bag_of_words(data.texts()),
            labels,
            seed=seed,
            description="a logistic regression on words and pairs of words",
        )
    trees, description = _trees(len(labels), seed)
    return EstimatorFolds(trees, features_of(data), labels, seed=seed, description=description)


def _trees(rows: int, seed: int) -> tuple[Any, str]:
    """Random trees, which a wrong label in a leaf can't turn; boosted ones where those would fill the memory."""
    from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

    if rows <= MOST_ROWS:
        leaf = max(3, rows // 5000)
        return ExtraTreesClassifier(100, min_samples_leaf=leaf, random_state=seed), "extremely randomised trees"
    boosted = HistGradientBoostingClassifier(
        max_iter=60,
        max_leaf_nodes=15,
        min_samples_leaf=20,
        l2_regularization=5,
        early_stopping=False,
        random_state=seed,
    )
    return boosted, "gradient-boosted trees"


def bag_of_words(texts: list[str]) -> Any:
    """(N, D) sparse float32: frequencies of hashed words and pairs of words, weighted by rarity (TF-IDF), length one.

    Words that occur in one text only are left out. Labels are not looked at, so it may be learned from all rows.

    Examples
    --------
    >>> bag_of_words(["good film", "good book", "bad film"]).shape
    (3, 2)
    """
    import scipy.sparse as sp

    from errata.data.text import hash_texts

    offsets, ids = hash_texts(texts, BUCKETS)
    counts = sp.csr_matrix((np.ones(len(ids), dtype=np.float32), ids, offsets), shape=(len(texts), BUCKETS + 1))
    counts.sum_duplicates()
    documents = np.bincount(counts.indices, minlength=BUCKETS + 1)
    kept = np.flatnonzero(documents >= COMMON)
    if len(kept) == 0:
        raise DataError(
            f"No word occurs in two of the {len(texts):,} texts, so nothing can be learned from words. "
            "Is this column text? Name the right one with text=, or give a model= of your own."
        )
    counts = counts[:, kept]
    counts.data = 1.0 + np.log(counts.data)
    weights = np.log((1.0 + len(texts)) / (1.0 + documents[kept])) + 1.0
    counts = counts.multiply(weights.astype(np.float32)).tocsr()
    lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1)).ravel())
    return sp.diags((1.0 / np.maximum(lengths, 1e-12)).astype(np.float32)).dot(counts).tocsr()
