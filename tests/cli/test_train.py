"""`errata train` and `errata predict`, from a table to predictions of new rows."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

import errata
from errata.cli import app

TRAIN = ("--epochs", "4", "--seed", "1", "--device", "cpu")


@pytest.fixture(scope="module")
def trained(tmp_path_factory, blobs, write_csv):
    """A run made by the command itself, for the tests that only read it."""
    folder = tmp_path_factory.mktemp("trained")
    x, given, _ = blobs()
    write_csv(folder / "table.csv", x, given)
    command = ["train", str(folder / "table.csv"), "--system", "elr", *TRAIN, "--out", str(folder / "run"), "--quiet"]
    with pytest.raises(SystemExit) as end:
        app(command)
    assert not end.value.code
    return folder


def test_a_run_has_the_model_the_metrics_and_the_ledger(trained):
    made = set(os.listdir(trained / "run"))
    assert {"run.json", "model.pt", "metrics.json", "ledger.parquet", "summary.json", "report.html", "logs"} <= made
    assert len(errata.Ledger.load(trained / "run")) == 240


def test_settings_and_a_clean_test_reach_the_training(run, table, here, blobs, write_csv):
    x, _, true = blobs(seed=5)
    write_csv(here / "test.csv", x, true)
    done = run(
        "train", table, "--label", "label", "--system", "robust-loss", "--set", "loss=mae", "--set", "lr=0.05", *TRAIN,
        "--test", "test.csv", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert done.json["out"] == "table-robust-loss"
    assert done.json["test"]["rows"] == 240
    assert 0.9 < done.json["test"]["accuracy"] <= 1
    about = json.loads((here / "table-robust-loss" / "run.json").read_text())
    assert about["hyperparameters"]["loss"] == "mae"
    assert about["hyperparameters"]["lr"] == 0.05
    assert "read as a table" in done.err


def test_predictions_in_every_format(trained, run, here, blobs, write_csv):
    x, _, true = blobs(seed=7)
    write_csv(here / "new.csv", x, true)
    for ending in ("csv", "tsv", "parquet", "jsonl"):
        done = run("predict", trained / "run", "new.csv", "--out", f"p.{ending}", "--proba", "--json")
        assert done.code == 0, done.err
        assert done.json["rows"] == 240
    rows = list(csv.DictReader((here / "p.csv").read_text().splitlines()))
    tabs = list(csv.DictReader((here / "p.tsv").read_text().splitlines(), delimiter="\t"))
    lines = [json.loads(line) for line in (here / "p.jsonl").read_text().splitlines()]
    stored = pq.read_table("p.parquet").to_pylist()
    assert (
        list(rows[0]) == ["row", "prediction", "confidence", "p_a", "p_b", "p_c"] == list(lines[0]) == list(stored[0])
    )
    right = np.array(["abc"[label] for label in true])
    for table in (rows, tabs, lines, stored):
        assert [int(row["row"]) for row in table] == list(range(240))
        assert np.mean([row["prediction"] for row in table] == right) > 0.9
        assert all(abs(float(row["confidence"]) - float(row[f"p_{row['prediction']}"])) < 1e-6 for row in table)


def test_new_rows_need_no_label(trained, run, here, blobs):
    x, _, _ = blobs(rows=6, wrong=0)
    (here / "new.csv").write_text("f0,f1,f2\n" + "".join(",".join(map(str, row)) + "\n" for row in x))
    assert run("predict", trained / "run", "new.csv", "--out", "p.csv").code == 0
    assert len((here / "p.csv").read_text().splitlines()) == 7


def test_an_interrupted_training_says_how_to_go_on_and_does(here, run, table):
    command = [sys.executable, "-m", "errata", "train", str(table), "--epochs", "4000", "--out", "run", "--seed", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        for _ in range(2400):
            if (here / "run" / "checkpoints" / "last.ckpt").exists() or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        told = process.communicate(timeout=60)[1].strip().splitlines()[-1]
    finally:
        process.kill()
    assert process.returncode == 130
    assert told.startswith("Error: Stopped")
    assert "--resume" in told
    assert "already holds an earlier result" in run("train", table, "--epochs", "4000", "--out", "run").paragraph
    done = int(re.search(r"Stopped in epoch (\d+)", told).group(1)) + 1
    resumed = run("train", table, "--epochs", done, "--out", "run", "--seed", "1", "--resume", "--json")
    assert resumed.code == 0, resumed.err
    assert resumed.json["metrics"]["epochs"] == done


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--system", "erl"), 2, "Did you mean 'elr'"),
        (("--set", "lambda=3"), 2, "Did you mean 'lambda_'"),
        (("--set", "lambda_"), 2, "--set expects name=value"),
        (("--set", "beta=2"), 2, "beta"),
        (("--model", "mpl"), 2, "Did you mean 'mlp'"),
        (("--label", "lable"), 2, "Did you mean 'label'"),
        (("--kind", "f0=nmber"), 2, "Did you mean 'number'"),
        (("--features", "f0,f9"), 2, "There is no column named 'f9'"),
        (("--select", "best"), 2, "validation"),
        (("--seed", "-1"), 2, "seed must be"),
        (("--precision", "fp8"), 2, "or one of 32-true"),
        (("--device", "cuda:99"), 2, "torch sees"),
        (("--resume",), 2, "--resume needs the folder"),
        (("--test", "none.csv"), 1, "none.csv"),
        (("--out", "table.csv"), 1, "is a file"),
        (("--out", "/proc/out"), 1, "Could not make the folder"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_left_behind(run, table, here, options, code, says):
    done = run("train", table, *options)
    assert done.code == code
    assert says in done.paragraph
    assert sorted(os.listdir(here)) == ["table.csv"]


def test_a_run_is_not_overwritten(trained, run, table, here):
    shutil.copytree(trained / "run", "run")
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    done = run("train", table, *TRAIN, "--out", "run")
    assert done.code == 1
    assert "--resume" in done.paragraph
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before


def test_a_checkpoint_of_another_system_is_not_resumed(trained, run, here):
    shutil.copytree(trained, "copy")
    done = run("train", "copy/table.csv", "--system", "ce", *TRAIN, "--out", "copy/run", "--resume")
    assert done.code == 1
    assert "elr" in done.paragraph
    assert "ce" in done.paragraph


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda run: (run / "run.json").unlink(), "There is no run in"),
        (lambda run: (run / "run.json").write_text("{}"), "damaged"),
        (lambda run: (run / "model.pt").write_bytes(b"no model"), "model.pt"),
        (lambda run: (run / "ledger.parquet").write_bytes(b"PAR1"), "ledger.parquet is damaged"),
        (lambda run: shutil.rmtree(run), "There is no run in"),
    ],
)
def test_a_damaged_run_is_told(trained, run, here, damage, says):
    shutil.copytree(trained / "run", "run")
    damage(here / "run")
    done = run("predict", "run", trained / "table.csv", "--out", "p.csv")
    assert done.code == 1
    assert says in done.paragraph
    assert not os.path.exists("p.csv")


@pytest.mark.parametrize(
    ("source", "out", "code", "says"),
    [
        ("table.csv", "p.xlsx", 1, "must be one of .csv"),
        ("table.csv", "old.csv", 1, "nothing is overwritten"),
        ("none.csv", "p.csv", 1, "none.csv"),
        ("other.csv", "p.csv", 2, "other.csv must have it"),
    ],
)
def test_predictions_that_cannot_be_made_are_told(trained, run, table, here, source, out, code, says):
    (here / "old.csv").write_text("old")
    (here / "other.csv").write_text("f0,f1\n1,2\n3,4\n")
    done = run("predict", trained / "run", source, "--out", out)
    assert done.code == code
    assert says in done.paragraph
    assert (here / "old.csv").read_text() == "old"


def test_a_clean_test_set_may_name_its_label_otherwise(tmp_path, blobs, write_csv):
    x, given, _ = blobs()
    write_csv(tmp_path / "table.csv", x, given)
    lines = (tmp_path / "table.csv").read_text().splitlines()
    lines[0] = lines[0].replace("label", "truth")
    (tmp_path / "clean.csv").write_text("\n".join(lines) + "\n")
    told = ["--label", "label", "--test", str(tmp_path / "clean.csv"), "--out", str(tmp_path / "run"), "--quiet"]
    command = ["train", str(tmp_path / "table.csv"), *told, "--test-label", "truth", "--system", "ce", *TRAIN]
    with pytest.raises(SystemExit) as end:
        app(command)
    assert not end.value.code
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["evaluation"]["rows"] == len(x)
