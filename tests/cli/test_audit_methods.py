"""`errata audit --method ...`, and what goes with cross-validation: groups, jobs, going on after a stop."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit import folds as kept_folds


@pytest.mark.parametrize(
    ("method", "more"),
    [
        ("neighbours", ()),
        ("neighbours", ("--set", "flag_by=rank")),
        ("dynamics", ("--set", "epochs=8", "--set", "score=belief")),
        ("ensemble", ("--folds", "3", "--jobs", "1")),
    ],
)
def test_every_method_finds_what_is_wrong(run, table, here, blobs, method, more):
    _, given, true = blobs()
    done = run("audit", "table.csv", "--label", "label", "--method", method, "--device", "cpu", *more)
    assert done.code == 0, done.err
    assert set(os.listdir("table-audit")) == {"ledger.parquet", "summary.json", "report.html"}
    ledger = errata.Ledger.load("table-audit")
    wrong = given != true
    assert ledger.meta["method"] == method
    assert (ledger.issue & wrong).sum() / wrong.sum() > 0.6
    assert (ledger.issue & wrong).sum() / ledger.issue.sum() > 0.6


def test_embeddings_come_from_a_file(run, table, here, blobs):
    np.save(here / "x.npy", blobs()[0])
    done = run("audit", "table.csv", "--label", "label", "--method", "neighbours", "--embeddings", "x.npy")
    assert done.code == 0, done.err
    assert errata.Ledger.load("table-audit").meta["model"] == "embeddings as given"


def test_given_probabilities_and_embeddings_make_an_ensemble_without_training(run, table, here, blobs):
    x, given, true = blobs()
    far = ((x[:, None] - 4.0 * np.eye(3)) ** 2).sum(-1)
    probs = np.exp(-0.5 * (far - far.min(1, keepdims=True)))
    np.save(here / "p.npy", probs / probs.sum(1, keepdims=True))
    np.save(here / "x.npy", x)
    command = ("audit", "table.csv", "--label", "label", "--pred-probs", "p.npy", "--embeddings", "x.npy")
    done = run(*command)
    assert done.code == 0, done.err
    ledger = errata.Ledger.load("table-audit")
    assert ledger.meta["methods"] == ["confident", "neighbours"]
    wrong = given != true
    assert wrong[ledger.issue].mean() > 0.9
    np.save(here / "x.npy", x[:-1])
    done = run(*command, "--force")
    assert done.code == 1
    assert "239" in done.err
    assert "240" in done.err
    np.save(here / "x.npy", x)
    done = run(*command, "--method", "confident", "--force")
    assert done.code != 0  # embeddings are of no use to it
    assert "embeddings" in done.err


def test_rows_that_stand_in_a_test_set_too_are_told(run, table, here):
    frame = pd.read_csv("table.csv")
    frame.iloc[5:12].to_csv("test.csv", index=False)
    done = run("audit", "table.csv", "--label", "label", "--folds", "2", "--test", "test.csv", "--no-findings")
    assert done.code == 0, done.err
    (found,) = [f for f in errata.Ledger.load("table-audit").findings if f.name == "leakage"]
    assert found.count == 7
    assert sorted(found.rows.tolist()) == list(range(5, 12))


@pytest.mark.parametrize("method", ["confident", "ensemble"])
def test_groups_are_kept_together_and_not_learned_from(run, table, here, method):
    frame = pd.read_csv("table.csv")
    frame["patient"] = [f"p{i // 4}" for i in range(len(frame))]
    frame.to_csv("patients.csv", index=False)
    done = run("audit", "patients.csv", "--label", "label", "--method", method, "--group", "patient", "--folds", "2")
    assert done.code == 0, done.err
    ledger = errata.Ledger.load("patients-audit")
    assert "by groups" in ledger.meta["probabilities"]
    missing = run("audit", "patients.csv", "--label", "label", "--method", method, "--group", "patiant")
    assert missing.code != 0
    assert "patient" in missing.err


@pytest.mark.parametrize("method", ["confident", "ensemble"])
def test_a_stopped_audit_goes_on_with_the_folds_it_has(run, table, here, monkeypatch, method):
    command = ("audit", "table.csv", "--label", "label", "--method", method, "--folds", "3", "--jobs", "1")
    write, read, used = kept_folds.Kept.write, kept_folds.Kept.read, []

    def stopping(self, number, probs):
        write(self, number, probs)
        if number == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(kept_folds.Kept, "write", stopping)
    assert run(*command).code == 130
    assert sorted(p.name for p in (here / "table-audit").rglob("*.npy")) == ["0.npy", "1.npy"]

    def counting(self, number, shape):
        found = read(self, number, shape)
        used.append(found is not None)
        return found

    monkeypatch.setattr(kept_folds.Kept, "write", write)
    monkeypatch.setattr(kept_folds.Kept, "read", counting)
    done = run(*command, "--out", "table-audit")
    assert done.code == 0, done.err
    assert used[:3] == [True, True, False]
    assert set(os.listdir("table-audit")) == {"ledger.parquet", "summary.json", "report.html"}
