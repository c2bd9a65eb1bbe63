"""Ledgers made directly, so that what is corrected is known exactly and nothing has to be trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import errata
from errata.correct.decisions import decide
from errata.correct.formats import open_source
from errata.correct.plan import make_plan
from errata.correct.source import Order
from errata.ledger import Ledger


def _ledger_for(source: Path, label: str | None = None, **reading: Any) -> Ledger:
    """A ledger over the labels as they stand in a file or folder; every third row is an issue."""
    data = errata.read(source, label, **reading)
    labels = data.require_labels(min_classes=1)
    n, k = len(labels), len(labels.classes)
    issue = (np.arange(n) % 3 == 0) & (labels.codes >= 0)
    proposed = np.where(issue, (labels.codes + 1) % k, labels.codes)
    trust = np.where(labels.codes >= 0, np.where(issue, 0.2, 0.9), np.nan)
    meta = {"source": str(source), "label": data.label_name, "method": "confident", "reading": reading}
    return Ledger(labels.codes, proposed, trust, classes=labels.classes, issue=issue, index=data.rows, meta=meta)


def _carry_out(ledger: Ledger, decisions: Any, source: Path, out: Path, label: str, **reading: Any) -> None:
    """What ``apply_to_file`` does, without the care for the disk that makes hundreds of examples slow."""
    plan = make_plan(ledger, decide(decisions, ledger), new_classes=True)
    opened = open_source(source, label, reading, plan.classes)
    edits = plan.fit(opened.labels, opened.name)
    opened.write(Order(edits, plan.classes), out)


@pytest.fixture(scope="session")
def carry_out() -> Callable[..., None]:
    return _carry_out


@pytest.fixture(scope="session")
def ledger_for() -> Callable[..., Ledger]:
    return _ledger_for


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """reviews.csv: a BOM, CRLF, quoted fields with separators and line ends, one row without a label."""
    lines = [
        '\ufefftext,stars,"n, o"',
        '"good, really",5,1',
        'plain,1,""',
        '"say ""yes""\nand no",5,3',
        '"é 漢",,4',
        'last,"1",5',
        'more,5,"6"',
    ]
    path = tmp_path / "reviews.csv"
    path.write_bytes("\r\n".join([*lines, ""]).encode("utf-8"))
    return path
