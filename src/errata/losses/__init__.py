"""Losses for labels that may be wrong: batch in, scalar out.

Every loss is a module called as ``loss(logits, target)`` and a pure function in ``errata.losses.functional``. Logits
are (B, K, ...), so a dense prediction (B, K, H, W) needs nothing special; targets are classes (B, ...), or
probabilities (B, K, ...) where the loss is defined for them (cross-entropy, focal, MAE, RCE, SCE, NCE, NFL, JS).
Half-precision logits are computed in float32, and the loss is float32.

``get(name)`` builds a loss from its short name, ``names()`` lists them.
"""

from errata.losses import functional
from errata.losses.asymmetric import AsymmetricExponential, AsymmetricGeneralizedCrossEntropy, AsymmetricUnhinged
from errata.losses.base import LogProbs, Loss
from errata.losses.bounded import GeneralizedCrossEntropy, JensenShannon, PartiallyHuberized, TaylorCrossEntropy
from errata.losses.cross_entropy import CrossEntropy, FocalLoss
from errata.losses.energy import EnergyBarrier, EnergyBounded, OutlierExposure
from errata.losses.gradient_clipping import OptimizedGradientClipping
from errata.losses.hierarchical import HierarchicalCrossEntropy
from errata.losses.logit_clip import LogitClip
from errata.losses.negative import ActiveNegative, NormalizedNegative, batch_entropy_regularizer, l1_norm
from errata.losses.normalized import ActivePassive, NormalizedCrossEntropy, NormalizedFocal
from errata.losses.registry import get, names, parameters_of
from errata.losses.symmetric import MeanAbsoluteError, ReverseCrossEntropy, SymmetricCrossEntropy

__all__ = [
    "ActiveNegative",
    "ActivePassive",
    "AsymmetricExponential",
    "AsymmetricGeneralizedCrossEntropy",
    "AsymmetricUnhinged",
    "CrossEntropy",
    "EnergyBarrier",
    "EnergyBounded",
    "FocalLoss",
    "GeneralizedCrossEntropy",
    "HierarchicalCrossEntropy",
    "JensenShannon",
    "LogProbs",
    "LogitClip",
    "Loss",
    "MeanAbsoluteError",
    "NormalizedCrossEntropy",
    "NormalizedFocal",
    "NormalizedNegative",
    "OptimizedGradientClipping",
    "OutlierExposure",
    "PartiallyHuberized",
    "ReverseCrossEntropy",
    "SymmetricCrossEntropy",
    "TaylorCrossEntropy",
    "batch_entropy_regularizer",
    "functional",
    "get",
    "l1_norm",
    "names",
    "parameters_of",
]
