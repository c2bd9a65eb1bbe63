"""Losses by name."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from errata import losses
from errata.errors import ParameterError, UnknownNameError
from errata.losses import functional as F


@pytest.mark.parametrize("name", losses.names())
def test_every_name_builds_a_loss_that_runs(name: str) -> None:
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = losses.get(name).eval()(logits, torch.tensor([0, 1, 2, 0]))
    value.backward()
    assert value.shape == ()
    assert value.isfinite()
    assert logits.grad is not None
    assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("name", losses.names())
def test_every_parameter_that_is_listed_is_taken(name: str) -> None:
    listed = losses.parameters_of(name)
    assert {"reduction", "ignore_index"} <= set(listed)
    losses.get(name, **listed)


@pytest.mark.parametrize(
    ("spelt", "meant"),
    [
        ("CE", "ce"),
        ("fl", "focal"),
        ("nce_rce", "apl-nce-rce"),
        ("NCE+AGCE", "apl-nce-agce"),
        ("anl", "anl-ce"),
        ("lc", "logitclip"),
    ],
)
def test_spellings(spelt: str, meant: str) -> None:
    assert repr(losses.get(spelt)) == repr(losses.get(meant))


def test_parameters_arrive() -> None:
    assert losses.get("gce", q=0.3, reduction="sum").q == 0.3
    assert losses.get("ogc-fl").base_loss == "fl"
    pair = losses.get("nfl-rce", alpha=3.0, gamma=2.0, label_floor=0.01)
    assert (pair.alpha, pair.active.gamma, pair.passive.label_floor) == (3.0, 2.0, 0.01)
    shifted = losses.get("nce-aul", a=2.0, q=0.5)
    assert (shifted.beta, shifted.passive.a, shifted.passive.q) == (4.0, 2.0, 0.5)
    assert losses.get("apl", active="nfl", passive="gce", q=0.2).passive.q == 0.2


@pytest.mark.parametrize(
    ("name", "params", "suggestion"),
    [("gcee", {}, "gce"), ("nce", {"reductoin": "sum"}, "reduction"), ("nce-agce", {"alhpa": 1.0}, "alpha")],
)
def test_unknown_names_get_a_suggestion(name: str, params: dict[str, object], suggestion: str) -> None:
    with pytest.raises(UnknownNameError, match=f"Did you mean '{suggestion}'"):
        losses.get(name, **params)


def test_a_value_that_makes_no_sense_is_told_as_by_the_class() -> None:
    with pytest.raises(ParameterError, match="q must be"):
        losses.get("gce", q=7)


def test_everything_public_is_there_and_every_class_has_its_function() -> None:
    assert all(hasattr(losses, name) for name in losses.__all__)
    assert all(hasattr(F, name) for name in F.__all__)
    for name in losses.__all__:
        if isinstance(getattr(losses, name), type) and name not in ("Loss", "LogProbs"):
            snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
            assert snake in F.__all__, name


def test_importing_the_losses_does_not_import_scikit_learn() -> None:
    code = "import sys, errata.losses; sys.exit('sklearn' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
