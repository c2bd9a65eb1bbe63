"""`errata audit` for labels that are not one class per row, and for what else is wrong with the data."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import errata


def errata_audit(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "errata", "audit", *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


@pytest.fixture
def votes(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.integers(2, size=60)
    rows = [
        {"question": i, "worker": w, "answer": int(true[i] if rng.random() < skill else 1 - true[i])}
        for i in range(60)
        for w, skill in enumerate([0.95, 0.9, 0.85, 0.55])
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "votes.csv", index=False)
    return tmp_path / "votes.csv", true


def test_several_peoples_labels(votes, tmp_path):
    file, true = votes
    names = ["--set", "item=question", "--set", "annotator=worker", "--set", "label=answer"]
    done = errata_audit(file, "--annotations", *names, "--out", tmp_path / "out", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 60
    table = errata.Ledger.load(tmp_path / "out").table
    assert (table["proposed"].astype(int).to_numpy() == true).mean() > 0.9
    assert (tmp_path / "out" / "report.html").exists()


def test_late_labels_go_to_an_earlier_audit_and_the_queue_asks_for_more(votes, tmp_path):
    table = pd.read_csv(votes[0])
    table[:200].to_csv(tmp_path / "some.csv", index=False)
    table[200:].to_csv(tmp_path / "more.csv", index=False)
    names = ["--annotations", "--set", "item=question", "--set", "annotator=worker", "--set", "label=answer", "--json"]
    first, both = tmp_path / "first", tmp_path / "both"
    assert errata_audit(tmp_path / "some.csv", *names, "--out", first).returncode == 0
    queue = [sys.executable, "-m", "errata", "queue", str(first), "--budget", "5", "--json"]
    asked = subprocess.run(queue, capture_output=True, text=True, timeout=300)
    assert asked.returncode == 0, asked.stderr
    assert json.loads(asked.stdout)["rule"] == "opinion"
    assert set(pd.read_csv(first / "queue.csv")["item"]) <= set(range(60))
    done = errata_audit(tmp_path / "more.csv", *names, "--earlier", first, "--out", both)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rows"] == 60
    refused = errata_audit(tmp_path / "more.csv", "--label", "answer", "--earlier", first)
    assert refused.returncode in (1, 2)
    assert "--earlier goes with --annotations" in refused.stderr


def test_annotations_with_a_column_that_is_not_there(votes):
    done = errata_audit(votes[0], "--annotations")
    assert done.returncode in (1, 2)
    assert "question" in done.stderr
    assert "Traceback" not in done.stderr


def test_several_labels_per_row(tmp_path):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(300, 4))
    y = (x[:, :3] > 0).astype(int)
    y[:6, 0] = 1 - y[:6, 0]
    table = pd.DataFrame(np.hstack([x.round(3), y]), columns=["p", "q", "r", "s", "red", "big", "old"])
    table[["red", "big", "old"]] = table[["red", "big", "old"]].astype(int)
    table.to_csv(tmp_path / "tags.csv", index=False)
    done = errata_audit(
        tmp_path / "tags.csv", "--task", "multilabel", "--label", "red, big, old", "--folds", 3, "--out", tmp_path / "o"
    )
    assert done.returncode == 0, done.stderr
    parts = errata.Ledger.load(tmp_path / "o").parts
    worst = parts.sort_values("rank").head(6)
    assert (worst["label"] == "red").mean() >= 0.5
    assert worst["row"].isin(range(6)).mean() >= 0.5


def test_an_unknown_task_names_the_nearest(tmp_path):
    (tmp_path / "a.csv").write_text("x,label\n1,a\n2,b\n")
    done = errata_audit(tmp_path / "a.csv", "--task", "multilabels")
    assert done.returncode in (1, 2)
    assert "multilabel" in done.stderr


def test_findings_are_told_unless_they_are_not_wanted(tmp_path):
    rng = np.random.default_rng(2)
    table = pd.DataFrame(rng.normal(size=(200, 3)).round(3), columns=list("abc"))
    table["label"] = np.where(table["a"] > 0, "x", "y")
    table["same"] = 1.0
    table.iloc[50:60] = table.iloc[0:10].to_numpy()
    table.to_csv(tmp_path / "t.csv", index=False)
    done = errata_audit(tmp_path / "t.csv", "--label", "label", "--out", tmp_path / "with", "--json")
    assert done.returncode == 0, done.stderr
    names = {finding["name"] for finding in json.loads(done.stdout)["findings"]}
    assert {"exact_duplicates", "constant_features"} <= names
    done = errata_audit(tmp_path / "t.csv", "--label", "label", "--out", tmp_path / "no", "--no-findings", "--json")
    assert json.loads(done.stdout)["findings"] == []
