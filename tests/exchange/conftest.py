"""Ledgers' folders with the data they were made from."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from errata.ledger import Ledger
from errata.review.decisions import Decisions


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Eight texts in a CSV file; rows 2, 0 and 5 look wrong, in this order."""
    said = ["good film", "bad film", '=cmd|"/c calc" good', "fine", "dull", "a <b>& story", "7", "8"]
    label = ["neg", "neg", "neg", "pos", "neg", "pos", "pos", "neg"]
    pd.DataFrame({"text": [f"{t} number {i} of many texts" for i, t in enumerate(said)], "y": label}).to_csv(
        tmp_path / "said.csv", index=False
    )
    given = np.array([0, 0, 0, 1, 0, 1, 1, 0])
    proposed = np.array([1, 0, 1, 1, 0, 0, 1, 0])
    trust = np.array([0.2, 0.9, 0.1, 0.9, 0.8, 0.3, 0.7, 0.9])
    meta = {"source": str(tmp_path / "said.csv"), "label": "y"}
    folder = tmp_path / "audit"
    Ledger(given, proposed, trust, classes=["neg", "pos"], meta=meta).save(folder, report=False)
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six pictures in folders by class; all look wrong, the first the most."""
    for name, colour in (("cat", "red"), ("a dog", "blue")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for i in range(3):
            Image.new("RGB", (40 + i, 30), colour).save(tmp_path / "pets" / name / f"{i}.png")
    from errata.data import read

    data = read(tmp_path / "pets")
    codes = data.labels.codes
    folder = tmp_path / "audit"
    meta = {"source": str(tmp_path / "pets")}
    Ledger(codes, 1 - codes, np.arange(6) / 10, classes=data.labels.classes, meta=meta).save(folder, report=False)
    return folder


@pytest.fixture
def decided(texts: Path) -> Path:
    """The folder of the texts, with decisions of two people."""
    with Decisions(texts) as record:
        record.add(2, "relabel", "pos", reviewer="ann", note="clearly")
        record.add(0, "keep", reviewer="ann")
        record.add(0, "relabel", "pos", reviewer="bob")
        record.add(5, "drop", reviewer="bob")
        record.add(2, "skip", reviewer="bob")
    return texts


@pytest.fixture(scope="session")
def ledgers() -> ModuleType:
    """The functions that make ledgers of labels that are no classes."""
    spec = importlib.util.spec_from_file_location("exchange_ledgers", Path(__file__).with_name("ledgers.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
