"""Detectors: a trained network, a score, and what the score is of data that the network has not learned from.

A score alone says nothing: whether an energy of -4 is high depends on the network. A detector therefore keeps the
scores of held-out data of the kind trained on, and flags what lies above their 95 % quantile. It belongs to one state
of the network; its file says which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from errata.engine.callbacks import weights_of
from errata.engine.checkpoints import load_tensors, save_tensors
from errata.engine.evaluation import pieces
from errata.errors import DataError, LoadError, ParameterError, UnknownNameError
from errata.parts import System
from errata.scores import ood

__all__ = ["METHODS", "Detector", "fit_detectors", "load_detector", "settings_of"]

METHODS: dict[str, dict[str, Any]] = {
    "energy": {"temperature": 1.0},
    "msp": {},
    "maxlogit": {},
    "uniform": {},
    "odin": {"temperature": 1000.0, "epsilon": 0.0014},
    "mahalanobis": {"epsilon": 0.0},
    "knn": {"k": None},
}
"""The scores by name, with their settings; see ``errata.scores.ood``."""

FEATURES = ("mahalanobis", "knn")
"""Those that look at the embedding of the data trained on."""

BANK = 20_000
"""Embeddings that "knn" keeps at most, drawn at random."""

FORMAT = 1
FOLDER = "detectors"


@dataclass
class Detector:
    """A score, its settings, and its scale.

    Attributes
    ----------
    method : one of ``METHODS``
    settings : of the score
    reference : (M,) float64, rising: the scores of data of the kind trained on
    held_out : whether the network has not learned from these
    quantile : the share of the reference below the threshold, in (0, 1)
    fitted : what the score needs beside the network: class means and precision, or a bank of embeddings
    """

    method: str
    settings: dict[str, Any]
    reference: np.ndarray
    held_out: bool = True
    quantile: float = 0.95
    fitted: dict[str, Tensor] = field(default_factory=dict, repr=False)

    @property
    def threshold(self) -> float:
        """The score above which an input is flagged."""
        return float(np.quantile(self.reference, self.quantile))

    def score(
        self, system: System, x: Any, *, device: Any = None, advance: Callable[[float], None] | None = None
    ) -> np.ndarray:
        """(N,) float64 scores of encoded inputs; larger = less like the data trained on.

        Parameters
        ----------
        system : the network that the detector was fitted for
        x : (N, ...) as the run's encoder gives them
        device : where to compute; by default where the system is
        advance : is told of shares of the work that are done, 1 in all
        """
        return _scores(system, x, self._function(system), device, advance)

    def _function(self, system: System) -> Callable[[Tensor], Tensor]:
        return _FUNCTIONS[self.method](system, self.settings, self.fitted)

    # -- on disk ------------------------------------------------------------------------------------------------------

    def save(self, folder: Path, system: System) -> None:
        """Write it into a run's folder."""
        content = {
            "format": FORMAT,
            "method": self.method,
            "weights": _digest(system),
            "settings": self.settings,
            "reference": torch.from_numpy(self.reference),
            "held_out": self.held_out,
            "quantile": self.quantile,
            "fitted": self.fitted,
        }
        save_tensors(content, folder / FOLDER / f"{self.method}.pt")


def load_detector(folder: Path, method: str, system: System) -> Detector | None:
    """The detector kept in a run's folder; None where there is none, or it is of other weights.

    Raises
    ------
    LoadError
        where the file is damaged
    """
    path = folder / FOLDER / f"{method}.pt"
    if not path.exists():
        return None
    told = load_tensors(path)
    wanted = {"format", "method", "weights", "settings", "reference", "held_out", "quantile", "fitted"}
    if not isinstance(told, dict) or not wanted <= set(told):
        raise LoadError(f"{path} is no detector that errata saved. Delete it, and it is made anew.")
    if told["weights"] != _digest(system):
        return None
    return Detector(
        method, told["settings"], told["reference"].numpy(), told["held_out"], told["quantile"], told["fitted"]
    )


def _digest(system: System) -> str:
    """A short text that differs between weights."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(weights_of(system).items()):
        if isinstance(value, Tensor):
            digest.update(name.encode())
            digest.update(np.ascontiguousarray(value.detach().cpu().flatten().view(torch.uint8).numpy()).tobytes())
    return digest.hexdigest()


# -- fitting ----------------------------------------------------------------------------------------------------------


def settings_of(method: str, given: Mapping[str, Any], system: System) -> dict[str, Any]:
    """The settings in force of a method, checked.

    Raises
    ------
    UnknownNameError
        for a method or a setting that does not exist
    ParameterError
        for a value that makes no sense
    """
    if method not in METHODS:
        raise UnknownNameError("score", method, METHODS)
    for name in given:
        if name not in METHODS[method]:
            raise UnknownNameError(f"setting of the score '{method}'", name, METHODS[method])
    own = {"temperature": float(getattr(system, "temperature", 1.0))} if method == "energy" else {}
    found = {**METHODS[method], **own, **given}
    for name, least in (("temperature", 1e-12), ("epsilon", 0.0), ("k", 1)):
        value = found.get(name)
        odd = isinstance(value, (bool, str)) or (name == "k" and value is not None and int(value) != value)
        if value is not None and (odd or not value >= least):
            what = {"temperature": "above 0", "epsilon": "0 or more", "k": "a whole number, 1 or more"}[name]
            raise ParameterError(f"{name} of the score '{method}' must be {what}; got {value!r}.")
    return found


def fit_detectors(
    system: System,
    methods: Mapping[str, Mapping[str, Any]],
    held: Any,
    learned: Any = None,
    labels: np.ndarray | None = None,
    *,
    held_out: bool = True,
    quantile: float = 0.95,
    device: Any = None,
    seed: int = 0,
    advance: Callable[[float], None] | None = None,
) -> dict[str, Detector]:
    """Fit detectors for one network.

    Parameters
    ----------
    system : trained
    methods : the scores by name, with settings that differ from the usual
    held : encoded inputs of the kind trained on, that were not trained on where ``held_out``
    learned : encoded inputs that stand for the data in "mahalanobis" and "knn"; with ``held_out=False`` the same ones
    labels : (N,) classes of ``learned``, in [0, K)
    held_out : whether the network has not seen ``held``
    quantile : in (0, 1), of the threshold
    device, advance : see ``Detector.score``
    seed : of the choice of at most 20,000 embeddings for "knn"

    Returns
    -------
    by method

    Raises
    ------
    DataError
        where there is nothing to take the scale from, or a method can't be used on these data
    """
    if not 0 < quantile < 1:
        raise ParameterError(f"quantile must be in (0, 1); got {quantile!r}.")
    if not len(held):
        raise DataError("There are no rows to tell the usual scores from. Hold some out: validation=0.1.")
    settings = {method: settings_of(method, given, system) for method, given in methods.items()}
    share = 1.0 / (len(settings) + any(method in FEATURES for method in settings))
    tell = None if advance is None else lambda done: advance(done * share)
    features = _features(system, learned, device, tell) if any(method in FEATURES for method in settings) else None
    found = {}
    for method, own in settings.items():
        fitted: dict[str, Tensor] = {}
        if method == "mahalanobis":
            fitted = _gaussians(features, labels, system.num_classes)
        if method == "knn":
            fitted, own = _bank(features, own, seed)
        detector = Detector(method, own, np.zeros(1), held_out, quantile, fitted)
        # a row of the bank finds itself first
        shifted = {**own, "k": own["k"] + 1} if method == "knn" and not held_out else own
        function = _FUNCTIONS[method](system, shifted, fitted)
        detector.reference = np.sort(_scores(system, held, function, device, tell))
        found[method] = detector
    return found


def _features(system: System, x: Any, device: Any, advance: Any) -> Tensor:
    if x is None or not len(x):
        raise DataError("The scores 'mahalanobis' and 'knn' need the data that the network was trained on.")
    return torch.from_numpy(_scores(system, x, lambda part: embed(system, part), device, advance))


def _gaussians(features: Tensor | None, labels: np.ndarray | None, classes: int) -> dict[str, Tensor]:
    if features is None or labels is None:
        raise DataError("The score 'mahalanobis' needs the classes of the data that stand for the usual.")
    codes = torch.as_tensor(labels).long()
    present, own = codes.unique(return_inverse=True)  # a class without a row has no mean, and is left out
    if len(present) < 1 or len(present) > classes:
        raise DataError(f"Expected classes in [0, {classes}); got {len(present)} different ones.")
    gaussians = ood.fit_class_gaussians(features, own, len(present))
    return {"means": gaussians.means.float(), "precision": gaussians.precision.float()}


def _bank(features: Tensor | None, settings: dict[str, Any], seed: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    assert features is not None  # fit_detectors made them
    if len(features) > BANK:
        chosen = np.sort(np.random.default_rng([seed, 0xB]).permutation(len(features))[:BANK])
        features = features[torch.from_numpy(chosen)]
    k = settings["k"]
    if k is None:  # the authors' 50 are of 50,000 images; of few, the fiftieth is far away
        k = min(50, max(1, len(features) // 20))
    if k >= len(features):
        raise ParameterError(f"k must be less than the {len(features)} rows that there are; got {k}.")
    return {"bank": features.float()}, {"k": int(k)}


# -- scoring ----------------------------------------------------------------------------------------------------------


def _scores(
    system: System,
    x: Any,
    function: Callable[[Tensor], Tensor],
    device: Any = None,
    advance: Callable[[float], None] | None = None,
    batch_size: int = 512,
) -> np.ndarray:
    """Apply ``function`` to the inputs, a piece at a time, in evaluation mode: (N, ...) float64."""
    home, mode = system.device, system.training
    place = torch.device(device) if device is not None else home
    system.to(place).eval()
    found = []
    try:
        with torch.no_grad():
            for _, part in pieces(x, batch_size):
                found.append(function(part.to(place)).double().cpu().numpy())
                if advance is not None:
                    advance(len(part) / len(x))
    finally:
        system.to(home).train(mode)
    return np.concatenate(found) if found else np.zeros(0)


def embed(system: System, x: Tensor) -> Tensor:
    """The embedding (B, D) of stored inputs: the model's ``features``, or else what its last linear layer takes in.

    Raises
    ------
    DataError
        where the model has neither
    """
    inputs = system.views.plain(x)
    features = getattr(system.model, "features", None)
    if callable(features) and not isinstance(features, nn.Module):
        return features(inputs).flatten(1)
    linear = [module for module in system.model.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise DataError(
            "The scores 'mahalanobis' and 'knn' need the embedding that a network classifies: a method features(x), or "
            "a last linear layer. This network has neither."
        )
    seen: list[Tensor] = []
    handle = linear[-1].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    try:
        system.model(inputs)
    finally:
        handle.remove()
    return seen[-1].flatten(1)


def _continuous(system: System, x: Tensor, method: str) -> tuple[Tensor, Tensor | None]:
    """Inputs that can be moved a little, and what a step is divided by: images in [0, 1], features by deviation."""
    if x.dtype == torch.uint8 and x.ndim == 4:
        return x.float() / 255.0, None
    if not x.is_floating_point():
        raise DataError(
            f"The score '{method}' moves its inputs along a gradient, and these are whole numbers ({x.dtype}). Take "
            "another score, such as energy; for mahalanobis, epsilon=0."
        )
    std = getattr(system.views, "std", None)
    if isinstance(std, Tensor) and x.ndim == 2 and std.shape == x.shape[1:]:
        return x, 1.0 / std.to(x)
    return x, None


def _of_logits(score: Callable[..., Tensor]) -> Callable[..., Callable[[Tensor], Tensor]]:
    return lambda system, settings, fitted: lambda x: score(system(x), **settings)


def _odin(system: System, settings: dict[str, Any], fitted: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    def score(x: Tensor) -> Tensor:
        inputs, scale = _continuous(system, x, "odin")
        return ood.odin_score(system, inputs, channel_std=scale, **settings)

    return score


def _mahalanobis(system: System, settings: dict[str, Any], fitted: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    def score(x: Tensor) -> Tensor:
        gaussians = ood.ClassGaussians(fitted["means"].to(x.device), fitted["precision"].to(x.device))
        if settings["epsilon"] > 0:
            inputs, scale = _continuous(system, x, "mahalanobis")
            x = ood.mahalanobis_perturb(
                lambda moved: embed(system, moved), inputs, gaussians, epsilon=settings["epsilon"], channel_std=scale
            )
        return ood.mahalanobis_score(embed(system, x), gaussians)

    return score


def _knn(system: System, settings: dict[str, Any], fitted: dict[str, Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: ood.knn_score(embed(system, x), fitted["bank"].to(x.device), **settings)


_FUNCTIONS: dict[str, Callable[..., Callable[[Tensor], Tensor]]] = {
    "energy": _of_logits(ood.energy_score),
    "msp": _of_logits(ood.max_probability_score),
    "maxlogit": _of_logits(ood.max_logit_score),
    "uniform": _of_logits(ood.uniform_score),
    "odin": _odin,
    "mahalanobis": _mahalanobis,
    "knn": _knn,
}
