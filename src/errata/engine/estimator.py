"""``RobustClassifier``: errata's training systems behind scikit-learn's ``fit`` and ``predict``."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data
from torch import Tensor, nn

from errata import models, systems
from errata.data.batches import Batches
from errata.data.views import ImageViews
from errata.engine.evaluation import predict_proba
from errata.engine.fit import fit, resolve_device
from errata.engine.randomness import isolated_randomness, mixed_seed
from errata.engine.recipes import MODELS, Recipe, recipe_for
from errata.errors import DataError, UnknownNameError
from errata.parts import System, Views

__all__ = ["RobustClassifier"]


class RobustClassifier(ClassifierMixin, BaseEstimator):
    """A classifier that holds out against wrong labels, and says which labels it takes to be wrong.

    Parameters
    ----------
    system : slug of one of ``errata.systems()``
    model : "auto" (an MLP; for images a small CNN), a name of ``errata.models``, or a ``torch.nn.Module`` that maps
        (B, ...) float32 to (B, K) logits; a module is copied, and its weights are where the training starts
    epochs : passes over the data, 1 or more
    batch_size : by default after the number of samples, 16 to 128
    settings : hyper-parameters of the system, such as ``{"lambda_": 3.0}``
    random_state : int, ``RandomState`` or None, of everything random
    device : "cpu" by default, for small data are slower on a GPU; "auto", "cuda", "cuda:1"
    verbose : show how it goes

    Attributes
    ----------
    classes_ : (K,) the classes, sorted
    ledger_ : errata.Ledger over the samples fitted on; ``ledger_.issues()`` are those whose labels look wrong
    system_ : the trained system
    history_ : a record per epoch
    n_features_in_, feature_names_in_ : as everywhere in scikit-learn

    Notes
    -----
    ``X`` is (N, D) numbers, standardised inside, or (N, C, H, W) images (uint8 or float), which are cropped and flipped
    at random while training. Probabilities of tables are computed in double precision, so that those of a sample don't
    depend on which others are predicted with it.

    Examples
    --------
    >>> from sklearn.datasets import make_blobs
    >>> X, y = make_blobs(200, centers=3, random_state=0, cluster_std=0.6)
    >>> y[:10] = (y[:10] + 1) % 3
    >>> clf = RobustClassifier(random_state=0).fit(X, y)
    >>> sorted(int(i) for i in clf.ledger_.issues(budget=10).index)
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]
    """

    def __init__(
        self,
        system: str = "elr",
        model: str | nn.Module = "auto",
        epochs: int = 30,
        batch_size: int | None = None,
        settings: dict[str, Any] | None = None,
        random_state: Any = None,
        device: str = "cpu",
        verbose: bool = False,
    ) -> None:
        self.system = system
        self.model = model
        self.epochs = epochs
        self.batch_size = batch_size
        self.settings = settings
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> RobustClassifier:
        """Train on ``X`` (N, D) or (N, C, H, W) and the labels ``y`` (N,), some of which may be wrong.

        Raises
        ------
        DataError
            where ``y`` holds one class only, or ``X`` is neither features nor images
        UnknownNameError
            where the system, the model or a hyper-parameter does not exist
        """
        X, y = validate_data(self, X, y, allow_nd=True, dtype="numeric", ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"Expected labels of at least 2 classes; got only one class, {self.classes_[0]!r}.")
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        self._kind = "tabular" if X.ndim == 2 else "image"
        self._shape = X.shape[1:]
        self._mean, self._scale = _moments(X, self._kind)
        inputs = self._inputs(X)
        recipe, kind = self._recipe(len(codes))
        with isolated_randomness(mixed_seed(seed, 0)):
            network = self._network(inputs.shape[1:], mixed_seed(seed, 1))
            self.system_ = kind(
                network, len(self.classes_), len(codes), views=self._views(inputs.shape[1:]), **recipe.settings
            )
        batches = Batches(inputs, torch.from_numpy(codes), batch_size=recipe.batch_size, seed=seed)
        fitted = fit(self.system_, batches, epochs=self.epochs, seed=seed, device=self.device, progress=self.verbose)
        self.history_ = fitted.history
        self.ledger_ = self.system_.ledger(codes, self.classes_.tolist())
        if self._kind == "tabular":
            self.system_.double()
        self.system_.eval()
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """(N, K) float64 class probabilities; column k is class ``classes_[k]``."""
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, allow_nd=True, dtype="numeric")
        if X.shape[1:] != self._shape:
            raise DataError(f"Expected samples of shape {self._shape}, as in fit; got {X.shape[1:]}.")
        inputs = self._inputs(X, torch.float64 if self._kind == "tabular" else torch.float32)
        found = predict_proba(self.system_, inputs, device=resolve_device(self.device)).astype(np.float64)
        return found / found.sum(axis=1, keepdims=True)

    def predict(self, X: Any) -> np.ndarray:
        """(N,) the most probable class of each sample."""
        probabilities = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _inputs(self, X: np.ndarray, dtype: torch.dtype = torch.float32) -> Tensor:
        if self._kind == "tabular":
            return torch.from_numpy((X.astype(np.float64) - self._mean) / self._scale).to(dtype)
        stored = X if X.dtype == np.uint8 else X.astype(np.float32)
        images = torch.from_numpy(np.ascontiguousarray(stored))
        return images[:, None] if images.ndim == 3 else images

    def _recipe(self, num_samples: int) -> tuple[Recipe, type[System]]:
        kind = systems.load(self.system)
        known = [name for name in kind.hyperparameters() if name != "views"]
        for name in self.settings or {}:
            if name not in known:
                raise UnknownNameError(f"hyper-parameter of '{self.system}'", name, known)
        chosen = recipe_for(self._kind, num_samples, known)
        batch_size = chosen.batch_size if self.batch_size is None else self.batch_size
        return Recipe(self.epochs, batch_size, {**chosen.settings, **(self.settings or {})}), kind

    def _network(self, shape: tuple[int, ...], seed: int) -> nn.Module:
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model)
        name = MODELS[self._kind] if self.model == "auto" else self.model
        return models.build(name, len(self.classes_), tuple(shape), seed=seed)

    def _views(self, shape: tuple[int, ...]) -> Views:
        if self._kind == "tabular":
            return Views()
        mean, std = (np.atleast_1d(v).tolist() for v in (self._mean, self._scale))
        return ImageViews(mean, std, pad=min(4, min(shape[1:]) // 8))


def _moments(X: np.ndarray, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation: per column of a table, per channel of images (uint8 taken as [0, 1])."""
    if kind == "tabular":
        over: tuple[int, ...] = (0,)
    elif X.ndim in (3, 4):
        over = (0, 1, 2) if X.ndim == 3 else (0, 2, 3)
    else:
        raise DataError(f"Expected features (N, D) or images (N, H, W) or (N, C, H, W); got shape {X.shape}.")
    unit = 255.0 if X.dtype == np.uint8 and kind == "image" else 1.0
    mean = X.mean(axis=over, dtype=np.float64) / unit
    scale = X.std(axis=over, dtype=np.float64) / unit
    return mean, np.where(scale > 0, scale, 1.0)
