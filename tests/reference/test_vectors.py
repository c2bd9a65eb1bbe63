"""Every reference case of every system that has an adapter here, ``tests/reference/<slug>.py``.

The vectors are read from the folder named by ``ERRATA_VECTORS``, else from ``../shared/systems/vectors`` beside the
repository. An adapter has ``compute(case) -> dict`` and may have ``RTOL``: a number, or a dict of them by op, with "*"
for the others (default 1e-6).
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

HERE = Path(__file__).resolve().parent
DEFAULT_FOLDER = HERE.parents[2] / "shared" / "systems" / "vectors"
NOT_ADAPTERS = {"support", "conftest"}
DEFAULT_RTOL = 1e-6
ATOL = 1e-11  # the vectors keep 12 digits; sums that cancel to zero come back as 1e-17 or so


def vector_folder() -> Path:
    named = os.environ.get("ERRATA_VECTORS")
    return Path(named) if named else DEFAULT_FOLDER


def adapters() -> dict[str, Path]:
    return {
        p.stem: p for p in sorted(HERE.glob("*.py")) if not p.stem.startswith("test_") and p.stem not in NOT_ADAPTERS
    }


@cache
def load_adapter(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("reference_" + path.stem.replace("-", "_"), path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def collect() -> list[Any]:
    """One parameter per case; one that skips where the folder, or a system's file in it, is absent."""
    folder, found = vector_folder(), adapters()
    if not folder.is_dir():
        reason = f"no reference vectors: {folder} is not a folder (set ERRATA_VECTORS)"
        return [pytest.param(None, None, id="no-vectors", marks=pytest.mark.skip(reason=reason))]
    params, seen = [], set()
    for file in sorted(folder.rglob("*.json")):
        content = json.loads(file.read_text())
        slug = content.get("system", file.stem)
        if slug not in found:
            continue
        seen.add(slug)
        for case in content["cases"]:
            params.append(pytest.param(found[slug], case, id=f"{file.stem}-{case['op']}-{case['name']}"))
    for slug in sorted(set(found) - seen):
        mark = pytest.mark.skip(reason=f"no vectors for {slug} in {folder}")
        params.append(pytest.param(None, None, id=f"{slug}-absent", marks=mark))
    return params


def as_array(value: Any) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def is_numeric(value: Any) -> bool:
    """A number, or nested lists of nothing but numbers of one shape."""
    try:
        return np.asarray(value).dtype.kind in "biuf"
    except ValueError:
        return False


def compare(expected: Any, actual: Any, rtol: float, where: str = "outputs") -> None:
    """Walk both sides together; numbers agree to ``rtol``, keys, lengths, shapes and everything else exactly."""
    if isinstance(expected, dict):
        assert isinstance(actual, dict), f"{where}: expected keys {list(expected)}, got {type(actual).__name__}"
        assert set(expected) == set(actual), f"{where}: expected keys {sorted(expected)}, got {sorted(actual)}"
        for key, value in expected.items():
            compare(value, actual[key], rtol, f"{where}.{key}")
    elif expected is None or isinstance(expected, str):
        assert actual == expected, where
    elif is_numeric(expected):
        want, got = np.asarray(expected), as_array(actual)
        assert want.shape == got.shape, f"{where}: expected shape {want.shape}, got {got.shape}"
        np.testing.assert_allclose(got, want, rtol=rtol, atol=ATOL, err_msg=where)
    else:
        assert len(expected) == len(actual), f"{where}: expected {len(expected)} entries, got {len(actual)}"
        for i, (value, other) in enumerate(zip(expected, actual, strict=True)):
            compare(value, other, rtol, f"{where}[{i}]")


def tolerance(adapter: ModuleType, op: str) -> float:
    rtol = getattr(adapter, "RTOL", DEFAULT_RTOL)
    return rtol.get(op, rtol.get("*", DEFAULT_RTOL)) if isinstance(rtol, dict) else rtol


@pytest.mark.parametrize(("adapter", "case"), collect())
def test_reference_case(adapter: Path, case: dict[str, Any]) -> None:
    module = load_adapter(adapter)
    compare(case["outputs"], module.compute(case), tolerance(module, case["op"]))


@pytest.mark.parametrize("slug", sorted(adapters()))
def test_an_unknown_op_is_refused(slug: str) -> None:
    with pytest.raises(Exception, match="no_such_op"):
        load_adapter(adapters()[slug]).compute({"op": "no_such_op", "inputs": {}, "params": {}})


class TestTheComparisonItself:
    """A comparison that lets anything through would make every case above green."""

    def test_equal_structures_pass(self) -> None:
        compare(
            {"a": [1.0, 2.0], "b": None, "c": [{"d": 1}]},
            {"a": torch.tensor([1.0, 2.0]), "b": None, "c": [{"d": 1}]},
            1e-9,
        )

    @pytest.mark.parametrize(
        ("expected", "actual"),
        [
            (1.0, 1.0 + 1e-5),
            ([1.0, 2.0], [1.0]),
            ({"a": 1.0}, {"b": 1.0}),
            ({"a": 1.0}, {"a": 1.0, "b": 2.0}),
            ([[1.0], [2.0]], [1.0, 2.0]),
            (1.0, math.nan),
            (None, 0.0),
            ([{"a": 1.0}], [{"a": 2.0}]),
        ],
    )
    def test_different_structures_fail(self, expected: Any, actual: Any) -> None:
        with pytest.raises(AssertionError):
            compare(expected, actual, 1e-6)
