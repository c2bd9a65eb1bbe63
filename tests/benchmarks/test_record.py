"""The writer of result files: whole or not at all, and with what is needed to judge them."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

import numpy as np
import pytest

from _record import machine_info, read_result, versions, write_result


def test_holds_the_result_and_where_it_comes_from(tmp_path):
    payload = {
        "seeds": [1, 2],
        "accuracy": np.array([0.5, 0.75]),
        "rows": np.int64(3),
        "file": Path("a/b"),
        "of": (1, 2),
    }
    path = write_result("some-name_1", payload, command="python x.py --seed 1", folder=tmp_path / "new")
    assert path == tmp_path / "new" / "some-name_1.json"
    record = read_result("some-name_1", folder=tmp_path / "new")
    assert record["result"] == {"seeds": [1, 2], "accuracy": [0.5, 0.75], "rows": 3, "file": "a/b", "of": [1, 2]}
    assert record["command"] == "python x.py --seed 1"
    assert record["machine"]["cores"] >= 1
    assert record["versions"]["numpy"] == np.__version__
    assert {"name", "date", "commit", "dirty"} <= set(record)


def test_a_later_result_takes_the_place_of_the_former(tmp_path):
    write_result("x", {"value": 1}, folder=tmp_path)
    write_result("x", {"value": 2}, folder=tmp_path)
    assert read_result("x", folder=tmp_path)["result"] == {"value": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), object(), {1: object()}])
def test_what_json_cannot_hold_leaves_the_former_file_alone(tmp_path, bad):
    write_result("x", {"value": 1}, folder=tmp_path)
    with pytest.raises((ValueError, TypeError)):
        write_result("x", {"value": bad}, folder=tmp_path)
    assert read_result("x", folder=tmp_path)["result"] == {"value": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_a_failed_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_result("x", {"value": 1}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["", "a/b", "../x", "a b"])
def test_names_are_plain(tmp_path, name):
    with pytest.raises(ValueError, match="letters, digits"):
        write_result(name, {}, folder=tmp_path)


def test_machine_and_versions_can_be_written(tmp_path):
    text = json.dumps([machine_info(), versions()], allow_nan=False)
    assert "python" in text
