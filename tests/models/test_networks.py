"""The reference networks: shapes, sizes, gradients, and what they refuse."""

import copy

import pytest
import torch
from torch.nn import functional as F

from errata import models
from errata.errors import DataError, ParameterError


def ids(*shape):
    return torch.randint(1, 50, shape, generator=torch.Generator().manual_seed(0))


def numbers(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


CASES = {
    "mlp": (lambda: models.MLP(12, 5, hidden=(7, 6)), numbers(4, 12), 6),
    "mlp-norm": (lambda: models.MLP(12, 5, hidden=[8], dropout=0.5, batch_norm=True), numbers(4, 3, 2, 2), 8),
    "linear": (lambda: models.MLP(12, 5, hidden=()), numbers(4, 12), 12),
    "small_cnn": (lambda: models.SmallCNN(5, 3, width=4, dropout=0.1), numbers(4, 3, 16, 16), 16),
    "resnet": (lambda: models.ResNet(5, depths=(1, 2), width=4), numbers(4, 3, 16, 16), 8),
    "resnet9": (lambda: models.ResNet9(5, width=4), numbers(4, 3, 16, 16), 32),
    "preact": (lambda: models.PreActResNet(5, depths=(1, 2), width=4), numbers(4, 3, 16, 16), 8),
    "text_bag": (lambda: models.TextBag(50, 5, dim=9, dropout=0.1), ids(4, 11), 9),
}


@pytest.fixture(params=list(CASES))
def case(request):
    make, x, width = CASES[request.param]
    torch.manual_seed(0)
    return make(), x, width


def test_logits_are_the_classifier_on_the_features(case):
    model, x, width = case
    model.eval()
    assert model(x).shape == (4, 5)
    assert model.features(x).shape == (4, width)
    assert (model.num_features, model.num_classes) == (width, 5)
    torch.testing.assert_close(model(x), model.classifier(model.features(x)))


def test_every_parameter_gets_a_gradient(case):
    model, x, _ = case
    F.cross_entropy(model(x), torch.tensor([0, 1, 2, 3])).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_a_few_steps_fit_four_samples(case):
    model, x, _ = case
    target = torch.tensor([0, 1, 2, 3])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    first = None
    for _ in range(60):
        loss = F.cross_entropy(model(x), target)
        first = first or loss.item()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first


def test_state_dict_and_deepcopy_round_trips(case, tmp_path):
    model, x, _ = case
    model.eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    assert not torch.allclose(model(x), twin(x))
    model.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    assert torch.equal(model(x), twin(x))


def test_bfloat16_autocast_stays_finite(case):
    model, x, _ = case
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model(x).isfinite().all()


@pytest.mark.parametrize("make", [models.SmallCNN, models.ResNet9, models.ResNet, models.PreActResNet])
@pytest.mark.parametrize("size", [(8, 8), (9, 13), (31, 33), (28, 28), (8, 65)])
def test_images_of_odd_sizes(make, size):
    options = {"width": 4} if make in (models.SmallCNN, models.ResNet9) else {"width": 4, "depths": (1, 1, 1, 1)}
    model = make(3, 2, **options).eval()
    assert model(numbers(1, 2, *size)).shape == (1, 3)


def test_resnet9_begins_near_a_guess():
    torch.manual_seed(0)
    logits = models.ResNet9(10)(numbers(16, 3, 32, 32))
    assert F.cross_entropy(logits, torch.arange(16) % 10) < 3.0


def test_residual_networks_keep_the_size_in_the_stem_and_halve_three_times():
    model = models.ResNet(10, depths=(1, 1, 1, 1), width=4)
    x = model.stem(numbers(1, 3, 32, 32))
    assert x.shape == (1, 4, 32, 32)
    assert model.body(x).shape == (1, 32, 4, 4)


@pytest.mark.parametrize(
    ("make", "classes", "count"),
    [
        (lambda classes: models.ResNet9(classes, width=64), 10, 6_573_130),
        (models.resnet18, 10, 11_173_962),
        (models.resnet34, 10, 21_282_122),
        (models.resnet34, 100, 21_328_292),
        (models.preact_resnet18, 10, 11_172_170),
    ],
)
def test_sizes_are_those_of_the_literature(make, classes, count):
    assert sum(p.numel() for p in make(classes).parameters()) == count


def test_padding_does_not_count_and_a_text_without_tokens_is_no_nan():
    model = models.TextBag(50, 3).eval()
    x = torch.tensor([[3, 4, 0, 0], [0, 0, 0, 0]])
    padded = model(x)
    torch.testing.assert_close(padded[0], model(torch.tensor([[3, 4]]))[0])
    assert padded.isfinite().all()
    padded[1].sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert model(torch.zeros(2, 0, dtype=torch.int64)).isfinite().all()
    torch.testing.assert_close(model(torch.zeros(1, 0, dtype=torch.int64))[0], padded[1])
    assert model(x.int()).dtype == torch.float32


def test_the_padding_embedding_stays_zero_in_training():
    model = models.TextBag(10, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(3):
        F.cross_entropy(model(torch.tensor([[1, 0], [2, 3]])), torch.tensor([0, 1])).backward()
        optimizer.step()
    assert (model.embedding.weight[0] == 0).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.SmallCNN(3)(torch.zeros(1, 1, 8, 8)), r"\(B, 3, H, W\), got \(1, 1, 8, 8\)"),
        (lambda: models.ResNet(3)(torch.zeros(1, 8, 8, 3)), r"ResNet takes images .* Channels come second"),
        (lambda: models.MLP(4, 3)(torch.zeros(2, 5)), r"takes 4 numbers per sample, got inputs of shape \(2, 5\)"),
        (lambda: models.TextBag(9, 3)(torch.zeros(2, 5)), r"integer token ids \(B, L\), got torch.float32"),
    ],
)
def test_inputs_of_another_kind_are_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.MLP(0, 3), "in_features must be an integer >= 1, got 0"),
        (lambda: models.MLP(4, 3, hidden=(5, -1)), r"hidden must be integers >= 1, got \(5, -1\)"),
        (lambda: models.MLP(4, 3, dropout=1.0), r"dropout must be a number in \[0, 1\), got 1\.0"),
        (lambda: models.SmallCNN(2.5), r"num_classes must be an integer >= 1, got 2\.5"),
        (lambda: models.TextBag(1, 3), "num_embeddings must be an integer >= 2, got 1"),
    ],
)
def test_parameters_out_of_range_are_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()
