"""Small real data with planted errors."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from errata import noise


@pytest.fixture(scope="session")
def digits():
    """Training features and labels, 40 % of them wrong; the true labels; and a clean test set."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order], y[order]
    given = noise.symmetric(y[:1297], 0.4, 10, seed=0)
    return x[:1297], given, y[:1297], x[1297:], y[1297:]
