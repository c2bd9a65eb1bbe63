"""Making label noise on purpose, and measuring it.

Making: :func:`symmetric`, :func:`asymmetric`, :func:`instance_dependent`. All take a ``seed``, leave the global
generators of NumPy and torch alone, leave missing labels (-1) as they are, and give back what they were given: a NumPy
array of the same dtype, or a torch tensor where one came in. For masks there is :func:`erode_or_dilate`.

Measuring with known truth: :func:`transition_matrix`, :func:`joint_matrix`, :func:`noise_rate`; without it, from
out-of-sample probabilities: :func:`estimate_transition`, :func:`estimate_joint`. Everywhere
``transition[i, j] = P(given = j | true = i)`` and ``joint[i, j] = P(given = i, true = j)``.
"""

from errata.noise.class_dependent import asymmetric, asymmetric_transition, symmetric, symmetric_transition
from errata.noise.instance import flip_probabilities, instance_dependent
from errata.noise.masks import erode_or_dilate
from errata.noise.measure import estimate_joint, estimate_transition, joint_matrix, noise_rate, transition_matrix

__all__ = [
    "asymmetric",
    "asymmetric_transition",
    "erode_or_dilate",
    "estimate_joint",
    "estimate_transition",
    "flip_probabilities",
    "instance_dependent",
    "joint_matrix",
    "noise_rate",
    "symmetric",
    "symmetric_transition",
    "transition_matrix",
]
