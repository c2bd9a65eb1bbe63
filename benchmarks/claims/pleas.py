"""PLeaS against the plain average, Git Re-Basin, regression without permutation, RegMean and both networks, on digits.

A perceptron, a residual network and a vision transformer, all small; MNIST is in ``pleas_mnist.py``,
digits with classes of each network's own in ``pleas_other_classes.py``.
"""

from __future__ import annotations

from functools import cache

import torch
from _merging import Images, Setting, networks
from _trials import main
from sklearn.datasets import load_digits

TESTED_ON = 597


@cache
def digits() -> Images:
    x, y = load_digits(return_X_y=True)
    images = torch.from_numpy(x).float().reshape(-1, 1, 8, 8) / 4 - 1.2
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))  # one test set for all seeds
    images, labels = images[order], torch.from_numpy(y).long()[order]
    return images[TESTED_ON:], labels[TESTED_ON:], images[:TESTED_ON], labels[:TESTED_ON]


SETTING = Setting(
    "pleas",
    "scikit-learn's digits, 1,200 images of 8 x 8 pixels",
    digits,
    networks(patch=2),
    trained_on=1200,
    batches=5,
)

if __name__ == "__main__":
    main(SETTING.trials()[0])
