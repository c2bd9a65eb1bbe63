"""Precision: what "auto" stands for, how convolutions are laid out meanwhile, and that images train in bfloat16."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import errata
from errata import models, systems
from errata.data.batches import Batches
from errata.engine import precision
from errata.engine.evaluation import predict_proba
from errata.engine.fit import fit
from errata.engine.precision import convolutions_by_channel, has_bfloat16_units, resolve_precision
from errata.errors import ParameterError

CNN = models.SmallCNN(3, width=4)


@pytest.mark.parametrize(
    ("given", "meant"),
    [(None, None), (32, "32-true"), ("16", "16-mixed"), ("bf16", "bf16-mixed"), ("64-true", "64-true")],
)
def test_names_are_made_long_and_nothing_stays_the_default(given, meant):
    assert resolve_precision(given, "cpu", CNN) == meant


def test_auto_is_half_only_where_hardware_and_network_gain(monkeypatch):
    small, large = nn.Linear(3, 3), nn.Linear(1000, 1000)
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda device: device == "cuda")
    assert [resolve_precision("auto", "cuda", network) for network in (CNN, small, large)] == [
        "bf16-mixed",
        "32-true",
        "bf16-mixed",
    ]
    assert resolve_precision("auto", "cpu", CNN) == "32-true"


def test_the_processor_is_asked_as_the_system_tells_it():
    try:
        with open("/proc/cpuinfo") as file:
            flags = set(next(line for line in file if line.startswith("flags")).split())
    except (OSError, StopIteration):
        pytest.skip("needs Linux on x86, whose /proc/cpuinfo lists the processor's flags")
    assert has_bfloat16_units("cpu") == bool(flags & {"amx_tile", "avx512_bf16"})


def test_an_unknown_precision_is_refused():
    with pytest.raises(ParameterError, match="precision must be 'auto' or one of 32-true"):
        resolve_precision("fp8", "cpu", CNN)


@pytest.mark.parametrize(
    ("given", "device", "moved"),
    [("bf16-mixed", "cpu", True), ("16-mixed", "cuda:0", True), ("32-true", "cpu", False), (None, "cpu", False)],
)
def test_weights_are_laid_out_by_channel_only_while_training_in_half_precision(given, device, moved):
    network = models.SmallCNN(3, width=4)
    convolution = network.body[4]
    weight, before = convolution.weight, convolution.weight.detach().clone()
    with convolutions_by_channel(network, given, device):
        assert convolution.weight.is_contiguous() != moved
    assert convolution.weight is weight
    assert weight.is_contiguous()
    assert torch.equal(weight, before)


def test_in_float32_the_order_of_the_weights_changes_nothing(monkeypatch):
    """The default stays what it was to the bit: nothing is laid out otherwise."""

    def trained(name):
        torch.manual_seed(0)
        system = systems.load("ce")(models.SmallCNN(3, 1, width=4), 3, 24)
        x = torch.randn(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        fit(
            system,
            Batches(x, torch.arange(24) % 3, batch_size=8),
            epochs=1,
            device="cpu",
            progress=False,
            precision=name,
        )
        return system.state_dict()

    first = trained(None)
    monkeypatch.setattr(precision, "has_bfloat16_units", lambda device: False)
    for name in ("32-true", "auto"):
        again = trained(name)
        assert all(torch.equal(first[key], again[key]) for key in first)


def test_images_in_bfloat16_end_to_end(tmp_path):
    x, y = load_digits(return_X_y=True)
    images, new = x.reshape(-1, 1, 8, 8).astype(np.float32) / 16, slice(1200, None)
    how = {"system": "elr", "model": "small_cnn", "epochs": 3, "seed": 0, "device": "cpu", "progress": False}
    run = errata.train(images[:1200], y[:1200], precision="bf16-mixed", out=tmp_path / "run", **how)
    assert run.about["precision"] == "bf16-mixed"
    assert "precision='bf16-mixed'" in run.about["command"]
    again = errata.engine.Run.load(tmp_path / "run")
    assert next(again.system.parameters()).dtype == torch.float32
    assert again.predict_proba(images[new]).dtype == np.float32
    assert again.evaluate(images[new], y[new])["accuracy"] > 0.8
    in_full = predict_proba(again.system, again.encoder.encode(errata.read(images[new])))
    assert np.abs(again.predict_proba(images[new]) - in_full).max() < 0.05
    assert np.isfinite(run.ledger.trust).all()
