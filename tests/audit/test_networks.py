import numpy as np
import pytest
import torch
from torch import nn

from errata import read
from errata.audit.networks import NetworkFolds, QuickNetwork


def images(n=60, side=8, seed=0):
    """Two classes of grey pictures: bright on the left, or bright below."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 2
    x = rng.integers(0, 60, (n, 1, side, side))
    x[codes == 0, :, :, : side // 2] += 150
    x[codes == 1, :, side // 2 :, :] += 150
    return x.astype(np.uint8), codes


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 28, 28), (3, 128, 128), (3, 9, 40)])
def test_the_quick_network_takes_images_of_any_size(shape):
    assert QuickNetwork(7, shape)(torch.zeros(2, *shape)).shape == (2, 7)


def test_a_fold_is_learned_repeatably_and_leaves_the_generator_alone():
    x, codes = images()
    folds = NetworkFolds(read(x, label=codes), epochs=12, batch_size=10, device="cpu")
    state = torch.random.get_rng_state()
    told = []
    first = folds.fit_predict(np.arange(40), np.arange(40, 60), 0, told.append)
    second = folds.fit_predict(np.arange(40), np.arange(40, 60), 0, lambda share: None)
    assert (first == second).all()
    assert (first.argmax(1) == codes[40:]).mean() >= 0.9
    assert sum(told) == pytest.approx(1.0)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_network_of_ones_own_is_copied_not_trained():
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    codes = (x[:, 0] > 0).astype(int)
    network = nn.Linear(3, 2)
    before = network.weight.detach().clone()
    folds = NetworkFolds(read(x, label=codes), network, epochs=20, batch_size=8, settings={"lr": 0.5}, device="cpu")
    probs = folds.fit_predict(np.arange(30), np.arange(30, 40), 0, lambda share: None)
    assert torch.equal(network.weight, before)
    assert (probs.argmax(1) == codes[30:]).mean() >= 0.8
    assert "Linear" in folds.description


def test_texts_have_a_network_too():
    texts = ["good fine nice", "bad poor ugly"] * 20
    folds = NetworkFolds(read(texts, label=["+", "-"] * 20), "text_bag", epochs=5, batch_size=8, device="cpu")
    assert folds.fit_predict(np.arange(30), np.arange(30, 40), 0, lambda share: None).shape == (10, 2)
