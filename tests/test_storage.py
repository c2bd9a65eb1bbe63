"""Ledgers on disk: nothing half-written, nothing foreign read."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from errata import storage
from errata.errors import ErrataError, LedgerError
from errata.ledger import Ledger


def make(n: int = 20, classes: tuple = ("a", "b", "ü")) -> Ledger:
    """A ledger of ``n`` random rows."""
    rng = np.random.default_rng(0)
    k = len(classes)
    return Ledger(
        rng.integers(-1, k, n),
        rng.integers(0, k, n),
        rng.random(n),
        classes=classes,
        columns={"loss": rng.random(n)},
        index=np.arange(n) * 2,
        meta={"method": "test", "source": "über/x.csv"},
    )


@pytest.mark.parametrize("classes", [("a", "b", "ü"), (0, 1, 2), (False, True)])
def test_what_is_saved_is_loaded(tmp_path, classes):
    before = make(classes=classes)
    before.save(tmp_path, report=False)
    after = Ledger.load(tmp_path)
    assert after.table.equals(before.table)
    assert after.classes == list(classes)
    assert np.array_equal(after.noise.joint, before.noise.joint)
    assert after.meta == before.meta
    assert Ledger.load(tmp_path / "ledger.parquet").table.equals(before.table)


def test_summary_is_plain_json(tmp_path):
    make().save(tmp_path, report=False)
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["rows"] == 20
    assert summary["issues"] == int(make().issue.sum())
    assert summary["source"] == "über/x.csv"


def test_other_files_are_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    make().save(tmp_path, report=False)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ledger.parquet", "mine.txt", "summary.json"]


def test_load_tells_what_is_wrong(tmp_path):
    with pytest.raises(LedgerError, match="No ledger at"):
        Ledger.load(tmp_path)
    file = tmp_path / "ledger.parquet"
    pq.write_table(pa.table({"x": [1]}), file)
    with pytest.raises(LedgerError, match="not a ledger of errata"):
        Ledger.load(tmp_path)
    make().save(tmp_path, report=False)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(LedgerError, match="damaged or not a Parquet file"):
        Ledger.load(tmp_path)
    file.write_bytes(b"")
    with pytest.raises(LedgerError, match="damaged or not a Parquet file"):
        Ledger.load(tmp_path)


def test_a_ledger_of_a_newer_format_is_told(tmp_path):
    make().save(tmp_path, report=False)
    file = tmp_path / "ledger.parquet"
    table = pq.read_table(file)
    about = json.loads(table.schema.metadata[storage.KEY])
    about["format"] = 99
    pq.write_table(table.replace_schema_metadata({storage.KEY: json.dumps(about).encode()}), file)
    with pytest.raises(LedgerError, match="newer errata"):
        Ledger.load(tmp_path)


def test_a_full_disk_leaves_the_old_file(tmp_path, monkeypatch):
    make(5).save(tmp_path, report=False)
    before = (tmp_path / "ledger.parquet").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ErrataError, match="No space left on device"):
        make(20).save(tmp_path, report=False)
    assert (tmp_path / "ledger.parquet").read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_place_that_is_a_file_is_told(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(ErrataError, match="Could not make the folder"):
        make().save(tmp_path / "out", report=False)


def test_a_kill_while_saving_leaves_a_whole_ledger(tmp_path):
    make(1000).save(tmp_path, report=False)
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from test_storage import make\n"
        "many = make(200_000)\n"
        "print('ready', flush=True)\n"
        "while True: many.save(sys.argv[1], report=False)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path), os.path.dirname(__file__)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.4)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    assert len(Ledger.load(tmp_path)) in (1000, 200_000)


def test_a_million_rows_in_seconds(tmp_path):
    many = make(1_000_000)
    started = time.process_time()
    many.save(tmp_path, report=False)
    Ledger.load(tmp_path)
    assert time.process_time() - started < 10
