"""Models by name, and back from what a saved run knows of them."""

import json

import numpy as np
import pytest
import torch

from errata import models
from errata.errors import LoadError, ParameterError, UnknownNameError

OPTIONS = {
    "mlp": ((3, 4, 4), {"hidden": (5,), "dropout": 0.2}),
    "small_cnn": ((3, 9, 9), {"width": 4}),
    "resnet18": ((1, 8, 8), {"width": 2}),
    "resnet9": ((3, 8, 8), {"width": 2}),
    "resnet34": ((1, 8, 8), {"width": 2}),
    "preact_resnet18": ((1, 8, 8), {"width": 2}),
    "text_bag": ((7,), {"num_embeddings": 30, "dim": 4}),
    "label_graph": ((3, 8, 8), {"depths": (1,), "width": 8, "channels": 8, "inner": 4}),
    "patch_transformer": ((1, 8, 8), {"patch": 4, "dim": 8, "heads": 2, "depth": 1}),
}


def an_input(name):
    shape = OPTIONS[name][0]
    if name == "text_bag":
        return torch.randint(0, 30, (2, *shape))
    return torch.randn(2, *shape)


def test_every_name_has_a_case_here():
    assert set(models.names()) == set(OPTIONS)


@pytest.mark.parametrize("name", list(OPTIONS))
def test_a_model_is_rebuilt_from_its_spec_after_a_journey_through_json(name):
    shape, options = OPTIONS[name]
    model = models.build(name, 6, shape, **options).eval()
    spec = json.loads(json.dumps(model.spec))
    assert spec == model.spec
    again = models.from_spec(spec).eval()
    assert again.spec == model.spec
    again.load_state_dict(model.state_dict())
    x = an_input(name)
    assert model(x).shape == (2, 6)
    assert torch.equal(again(x), model(x))


def test_a_spec_holds_the_defaults_of_its_day_and_plain_numbers():
    model = models.build("MLP", np.int64(3), np.array([2, 2]).shape)
    assert model.spec == {
        "name": "mlp",
        "kwargs": {"in_features": 2, "num_classes": 3, "hidden": [256, 256], "dropout": 0.0, "batch_norm": False},
    }
    assert models.MLP(2, 2).spec is None


def test_what_is_given_wins_over_the_shape():
    assert models.build("mlp", 2, (3,), in_features=5).in_features == 5


def test_hyphens_do_for_underscores():
    assert models.build("small-cnn", 2, (1, 8, 8)).spec["name"] == "small_cnn"


def test_a_seed_makes_the_same_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, second = (models.build("mlp", 2, (4,), seed=3) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.classifier.weight, second.classifier.weight)
    other = models.build("mlp", 2, (4,), seed=4)
    assert not torch.equal(first.classifier.weight, other.classifier.weight)
    unseeded = models.build("mlp", 2, (4,))
    torch.manual_seed(1)
    assert torch.equal(unseeded.classifier.weight, models.build("mlp", 2, (4,)).classifier.weight)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(UnknownNameError, match=r"no model named 'resnet-81'. Did you mean 'resnet18'.*timm:NAME"):
        models.build("resnet-81", 2)
    with pytest.raises(UnknownNameError, match=r"parameter of 'mlp' named 'hiden'. Did you mean 'hidden'"):
        models.build("mlp", 2, (4,), hiden=(3,))
    with pytest.raises(UnknownNameError):
        models.build("hf:", 2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: models.build("mlp", 2), r"'mlp' needs in_features \(or input_shape, which tells it\)"),
        (lambda: models.build("text_bag", 2, (5,)), "'text_bag' needs num_embeddings"),
        (lambda: models.build("resnet18", 2, (28, 28)), r"\(C, H, W\), got \(28, 28\). A grey image has C = 1"),
        (lambda: models.build("resnet18", 2, (32, 32, 3)), r"at least 8 x 8.*got \(32, 32, 3\). Are the channels last"),
        (lambda: models.build("mlp", 2, (4,), hidden=object()), "so that the model can be saved"),
        (lambda: models.build("mlp", 0, (4,)), "num_classes must be an integer >= 1, got 0"),
    ],
)
def test_parameters_that_do_not_suit_are_refused(call, message):
    with pytest.raises(ParameterError, match=message):
        call()


@pytest.mark.parametrize(
    "spec",
    [
        None,
        {},
        {"name": "mlp"},
        {"name": "mlp", "kwargs": {}},
        {"name": 3, "kwargs": {"num_classes": 2}},
        {"name": "alexnet", "kwargs": {"num_classes": 2}},
        {"name": "mlp", "kwargs": {"num_classes": 2, "depth": 3}},
    ],
)
def test_a_spec_that_is_none_is_a_load_error(spec):
    with pytest.raises(LoadError):
        models.from_spec(spec)
