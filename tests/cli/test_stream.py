"""`errata stream`: a file goes through, a folder with everything comes out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import errata

pytest.importorskip("river")


def write(path, rows=160):
    rng = np.random.default_rng(0)
    lines = ["f0,f1,low,high,big"]
    for a, b in rng.random((rows, 2)):
        lines.append(f"{a:.4f},{b:.4f},{int(a < 0.5)},{int(a >= 0.5)},{int(b > 0.7)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_stream_gives_figures_a_ledger_and_a_report(run, here):
    write(here / "log.csv")
    told = run("stream", "log.csv", "--label", "low,high,big", "--out", "done", "--json", "--set", "n_min=50")
    assert told.code == 0, told.err
    assert told.json["metrics"]["events"] == 160
    assert told.json["metrics"]["subset_accuracy"] > 0.6
    assert sorted(sum(told.json["clusters"], [])) == ["big", "high", "low"]  # noqa: RUF017 - three lists
    assert "3 labels (low, high, big)" in told.err
    assert {f.name for f in (here / "done").iterdir()} >= {"run.json", "metrics.json", "ledger.parquet", "report.html"}
    assert len(errata.Ledger.load(here / "done")) == 160
    again = run("stream", "log.csv", "--label", "low,high,big", "--out", "done")
    assert "already holds an earlier result" in again.paragraph
    some = run("stream", "log.csv", "--label", "3", "--events", "40")
    assert some.code == 0
    assert "0 of 40 events" in some.out
    assert (here / "log-ihomer" / "ledger.parquet").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("stream", "log.csv"), 2, "Which columns"),
        (("stream", "none.csv", "--label", "a"), 1, "not there"),
        (("stream", "log.csv", "--label", "lou"), 2, "Did you mean 'low'"),
        (("stream", "log.csv", "--label", "3", "--system", "elr"), 2, "does not learn from streams"),
        (("stream", "log.csv", "--label", "3", "--resume"), 2, "--resume needs the folder"),
        (("stream", "log.csv", "--label", "3", "--set", "n_mim=3"), 2, "Did you mean 'n_min'"),
        (("stream", "log.csv", "--label", "3", "--set", "n_min=0"), 2, "n_min must be 1 or more"),
        (("stream", "f0.csv", "--label", "f0"), 1, "f0.csv"),
    ],
)
def test_errors_are_one_paragraph(run, here, arguments, code, says):
    write(here / "log.csv")
    (here / "f0.csv").write_text("x,f0\n1,0\n1,0,0\n")
    told = run(*arguments)
    assert told.code == code
    assert says in told.paragraph
    assert not (here / "log-ihomer").exists()


def test_a_stream_stopped_by_hand_goes_on(here):
    write(here / "log.csv", rows=6000)
    command = [sys.executable, "-m", "errata", "stream", "log.csv", "--label", "3", "--quiet"]
    process = subprocess.Popen([*command, "--out", "a"], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (here / "a" / "run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(3)  # so that events have gone through; on a busy machine it may be none, which must do as well
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "--out a --resume" in err
    assert not (here / "a" / "ledger.parquet").exists()
    options = ["--events", "400"]
    subprocess.run([*command, "--out", "a", "--resume", *options], check=True)
    subprocess.run([*command, "--out", "b", *options], check=True)
    first, second = (errata.Ledger.load(here / name).table for name in ("a", "b"))
    assert len(first) >= 400
    told = [table.iloc[:400].drop(columns="rank").astype(str) for table in (first, second)]
    assert told[0].equals(told[1])


def test_a_column_of_tags(run, here):
    lines = ["x,tags"] + [f"{t % 7},{'a|b' if t % 7 > 3 else 'c'}" for t in range(60)]
    (here / "t.csv").write_text("\n".join(lines) + "\n")
    told = run("stream", "t.csv", "--label", "tags", "--json")
    assert told.code == 0, told.err
    assert told.json["metrics"]["labels"] == 3
    assert "holds lists of labels, separated by '|'" in told.err


def test_training_by_the_other_door(run, here):
    write(here / "log.csv")
    told = run("train", "log.csv", "--label", "3", "--system", "ihomer", "--out", "a", "--json")
    assert told.code == 0, told.err
    assert told.json["metrics"]["events"] == 160


def test_predicting_new_events(run, here):
    write(here / "log.csv")
    assert run("stream", "log.csv", "--label", "low,high,big", "--out", "done", "--set", "n_min=50").code == 0
    (here / "log.csv").unlink()  # the model is in the folder
    rows = ["f1,f0"] + [f"{b:.4f},{a:.4f}" for a, b in np.random.default_rng(1).random((40, 2))]
    (here / "new.csv").write_text("\n".join(rows) + "\n")
    told = run("predict", "done", "new.csv", "--out", "p.csv", "--json", "--proba")
    assert told.code == 0, told.err
    assert told.json["rows"] == 40
    found = pd.read_csv(here / "p.csv", keep_default_na=False)
    assert list(found.columns) == ["row", "labels", "p_low", "p_high", "p_big"]
    assert told.json["predicted"]["low"] == found["labels"].str.contains("low").sum()
    wanted = np.where(np.random.default_rng(1).random((40, 2))[:, 0] < 0.5, "low", "high")
    assert np.mean([name in labels.split("|") for name, labels in zip(wanted, found["labels"])]) > 0.85
    (here / "new.jsonl").write_text('{"f0": 0.1}\n{"f0": 0.9, "low": 1}\n')
    told = run("predict", "done", "new.jsonl", "--out", "p.jsonl")
    assert told.code == 0, told.err
    assert "lacks 1 features of the run: 'f1'" in told.err
    assert len((here / "p.jsonl").read_text().splitlines()) == 2
    (here / "other.csv").write_text("g0,g1\n1,2\n")
    assert "none of the 2 features" in run("predict", "done", "other.csv", "--out", "o.csv").paragraph
    assert "for images" in run("predict", "done", "new.csv", "--out", "o.csv", "--image-size", "8").paragraph
    (here / "done" / "model.npz").write_bytes(b"PK")
    assert "is damaged" in run("predict", "done", "new.csv", "--out", "o.csv").paragraph
    assert not (here / "o.csv").exists()


def test_a_stream_killed_goes_on_to_the_same_end(run, here):
    """SIGKILL: nothing is written any more; the last snapshot holds."""
    write(here / "log.csv", rows=500)
    often = (
        "import sys, errata.engine.streams as s; s.run.__kwdefaults__['snapshot_every'] = 0.1; "
        "from errata.cli import app; app(sys.argv[1:])"
    )
    arguments = ["stream", "log.csv", "--label", "3", "--quiet"]
    process = subprocess.Popen([sys.executable, "-c", often, *arguments, "--out", "a"])
    deadline = time.monotonic() + 60
    while not (here / "a" / "snapshot.npz").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait(timeout=60) == -signal.SIGKILL
    assert not (here / "a" / "ledger.parquet").exists()
    assert run(*arguments, "--out", "a", "--resume").code == 0
    assert run(*arguments, "--out", "b").code == 0
    first, second = (errata.Ledger.load(here / name).table.astype(str) for name in ("a", "b"))
    assert first.equals(second)
    for folder in ("a", "b"):
        assert run("predict", folder, "log.csv", "--out", f"{folder}.csv", "--proba").code == 0
    assert (here / "a.csv").read_bytes() == (here / "b.csv").read_bytes()
