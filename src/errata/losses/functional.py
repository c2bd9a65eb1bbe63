"""The losses as pure functions, ``loss(logits, target, ...)``, and the pieces they are made from."""

from errata.losses.asymmetric import (
    asymmetric_exponential,
    asymmetric_generalized_cross_entropy,
    asymmetric_unhinged,
)
from errata.losses.bounded import (
    generalized_cross_entropy,
    jensen_shannon,
    partially_huberized,
    taylor_cross_entropy,
)
from errata.losses.clipping_threshold import (
    TwoGaussians,
    clipping_threshold,
    fit_two_gaussians,
    gradient_ratio,
    loss_slope,
    threshold_from_queue,
)
from errata.losses.cross_entropy import cross_entropy, focal_loss
from errata.losses.distillation import distillation, knowledge_distillation
from errata.losses.energy import (
    energy_barrier,
    energy_bounded,
    energy_bounded_regularizer,
    free_energy,
    outlier_exposure,
)
from errata.losses.gradient_clipping import optimized_gradient_clipping
from errata.losses.hierarchical import hierarchical_cross_entropy
from errata.losses.logit_clip import clip_logits, logit_clip
from errata.losses.negative import (
    active_negative,
    batch_entropy_regularizer,
    batch_marginal,
    l1_norm,
    normalized_negative,
)
from errata.losses.normalized import active_passive, normalized_cross_entropy, normalized_focal
from errata.losses.symmetric import mean_absolute_error, reverse_cross_entropy, symmetric_cross_entropy

__all__ = [
    "TwoGaussians",
    "active_negative",
    "active_passive",
    "asymmetric_exponential",
    "asymmetric_generalized_cross_entropy",
    "asymmetric_unhinged",
    "batch_entropy_regularizer",
    "batch_marginal",
    "clip_logits",
    "clipping_threshold",
    "cross_entropy",
    "distillation",
    "energy_barrier",
    "energy_bounded",
    "energy_bounded_regularizer",
    "fit_two_gaussians",
    "focal_loss",
    "free_energy",
    "generalized_cross_entropy",
    "gradient_ratio",
    "hierarchical_cross_entropy",
    "jensen_shannon",
    "knowledge_distillation",
    "l1_norm",
    "logit_clip",
    "loss_slope",
    "mean_absolute_error",
    "normalized_cross_entropy",
    "normalized_focal",
    "normalized_negative",
    "optimized_gradient_clipping",
    "outlier_exposure",
    "partially_huberized",
    "reverse_cross_entropy",
    "symmetric_cross_entropy",
    "taylor_cross_entropy",
    "threshold_from_queue",
]
