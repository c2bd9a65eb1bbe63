"""Graphs on the command line: train, predict, audit, with their words and their errors."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import errata
from errata.cli import app

pytest.importorskip("torch_geometric", reason="needs PyTorch Geometric: pip install 'errata[graphs]'")

SMALL = ("--set", "width=8", "--set", "hidden=8", "--set", "heads=2", "--device", "cpu", "--seed", "1")


def write_graph(folder, n=60, seed=0):
    """nodes.csv and edges.csv of three communities; a fifth of the first 40 labels are wrong, the others missing."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    edges = np.argwhere(np.triu(rng.random((n, n)) < np.where(y[:, None] == y[None, :], 0.25, 0.02), 1))
    given = np.where(rng.random(n) < 0.2, (y + 1) % 3, y)
    with open(folder / "nodes.csv", "w", encoding="utf-8") as file:
        print("id,größe,weight,label", file=file)
        for i in range(n):
            a, b = rng.normal(size=2) + 2 * np.eye(3, 2)[y[i]]
            print(f"n{i},{a:.3f},{b:.3f},{'äbc'[given[i]] if i < 40 else ''}", file=file)
    with open(folder / "edges.csv", "w", encoding="utf-8") as file:
        print("source,target", file=file)
        print("\n".join(f"n{a},n{b}" for a, b in edges), file=file)
    return y


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("graph")
    (folder / "mail").mkdir()
    write_graph(folder / "mail")
    command = [
        "train",
        str(folder / "mail"),
        "--system",
        "erase",
        "--epochs",
        "5",
        *SMALL,
        "--out",
        str(folder / "run"),
    ]
    with pytest.raises(SystemExit) as end:
        app([*command, "--quiet"])
    assert not end.value.code
    return folder


def test_a_folder_of_two_tables_is_trained_on_and_told(run, here):
    write_graph(here)
    done = run("train", here / "edges.csv", "--system", "erase", "--epochs", "3", *SMALL, "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["nodes"] == 60
    assert done.json["metrics"]["trained_on"] == 40
    assert "60 nodes and" in done.err
    assert "nodes" in done.err
    assert "20 of them without a label" in done.err


def test_the_report_shows_neighbourhoods_and_speaks_of_nodes(trained):
    page = (trained / "run" / "report.html").read_text(encoding="utf-8")
    assert "data:image/png;base64" in page
    assert "node " in page
    assert "Agreement with the given labels" in page
    ledger = errata.Ledger.load(trained / "run")
    assert ledger.kind.row == "node"
    assert ledger.columns["node"][0] == "n0"


def test_every_node_is_predicted(run, trained, here):
    done = run("predict", trained / "run", trained / "mail", "--out", "p.csv", "--proba")
    assert done.code == 0, done.err
    with open(here / "p.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 60
    assert set(rows[0]) == {"row", "prediction", "confidence", "p_ä", "p_b", "p_c"}


def test_an_audit_lists_the_doubtful_nodes(run, here):
    write_graph(here)
    done = run("audit", here, "--method", "erase", "--set", "epochs=4", *SMALL, "--out", "audit")
    assert done.code == 0, done.err
    assert "--system erase" in done.out
    assert json.loads((here / "audit" / "summary.json").read_text())["task"] == "graphs"


def test_the_labels_are_corrected_in_the_table_of_nodes(run, trained, here):
    ledger = errata.Ledger.load(trained / "run")
    row = int(ledger.issues().index[0])
    (here / "decisions.csv").write_text(f"row,action,label\n{row},relabel,{ledger.issues()['proposed'].iloc[0]}\n")
    done = run("apply", trained / "run", "--decisions", "decisions.csv", "--out", "clean.csv")
    assert done.code == 0, done.err
    before = (trained / "mail" / "nodes.csv").read_text(encoding="utf-8").splitlines()
    after = (here / "clean.csv").read_text(encoding="utf-8").splitlines()
    assert [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b] == [row + 1]


def test_rows_of_a_table_are_linked_by_likeness(run, here):
    write_graph(here)
    (here / "edges.csv").unlink()
    done = run(
        "train", "nodes.csv", "--system", "gnn-ce", "--epochs", "2", "--set", "knn=3", "--set", "hidden=8", "--json"
    )
    assert done.code == 0, done.err
    assert "linked with the 3 most like it (knn=3)" in done.err


def test_a_test_source_is_measured(run, here):
    y = write_graph(here)
    lines = (here / "nodes.csv").read_text(encoding="utf-8").splitlines()
    (here / "clean").mkdir()
    clean = [lines[0], *(f"{line.rpartition(',')[0]},{'äbc'[c]}" for line, c in zip(lines[1:], y, strict=True))]
    (here / "clean" / "nodes.csv").write_text("\n".join(clean) + "\n", encoding="utf-8")
    (here / "clean" / "edges.csv").write_text((here / "edges.csv").read_text())
    done = run("train", "edges.csv", "--system", "erase", "--epochs", "3", *SMALL, "--test", "clean", "--json")
    assert done.code == 0, done.err
    assert done.json["test"]["rows"] == 60


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nothing",), 1, "no file or folder nothing"),
        (("edges.csv", "--devices", "2"), 2, "nothing to divide"),
        (("edges.csv", "--set", "alhpa=1"), 2, "Did you mean 'alpha'"),
        (("edges.csv", "--set", "alpha=2"), 2, "alpha must be in [0, 1]"),
        (("edges.csv", "--label", "lable"), 2, "Did you mean 'label'"),
        (("edges.csv", "--image-size", "8"), 2, "named 'image_size'"),
        (("ind.cora.graph",), 1, "NAME.content and NAME.cites"),
        (("lonely",), 1, "there is no edges.csv"),
    ],
)
def test_errors_are_one_paragraph(run, here, arguments, code, told):
    write_graph(here)
    (here / "lonely").mkdir()
    (here / "ind.cora.graph").write_bytes(b"\x80\x02")
    done = run("train", *arguments, "--system", "erase", "--epochs", "1")
    assert done.code == code, done.err
    assert told in " ".join(done.paragraph.split())
    assert not (here / "edges-erase").exists()
