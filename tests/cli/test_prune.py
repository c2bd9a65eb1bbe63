"""`errata prune`: the subset in the source's own format, and the student."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from errata.ledger import Ledger

SHORT = ("--epochs", "4", "--batch-size", "16", "--device", "cpu")


def test_a_table_is_pruned_and_a_student_trained(table, run):
    done = run("prune", table, "--keep", "0.25", "--score", "el2n", "--test", table, *SHORT, "--out", "o", "--json")
    assert done.code == 0, done.err
    told = done.json
    assert told["kept"] == 60
    assert set(told["test"]) == {"student", "teacher"}
    lines = table.read_text().splitlines()
    kept = (table.parent / "o" / "kept.csv").read_text().splitlines()
    assert len(kept) == 61
    flag = Ledger.load("o").columns["kept"]
    assert kept == [lines[0], *(line for line, stays in zip(lines[1:], flag) if stays)]
    assert "Accuracy" in [c.title for c in Ledger.load("o").charts]
    done = run("predict", "o", table, "--out", "p.csv")
    assert done.code == 0, done.err


def test_nothing_is_overwritten_and_a_run_is_resumed(table, run):
    first = run("prune", table, "--no-distill", *SHORT, "--out", "o")
    assert first.code == 0, first.err
    assert "already holds" in run("prune", table, "--no-distill", *SHORT, "--out", "o").paragraph
    assert run("prune", table, "--no-distill", *SHORT, "--out", "o", "--resume", "--no-subset").code == 0


def test_a_folder_of_images_is_pruned_into_a_folder(here, run):
    rng = np.random.default_rng(0)
    for name, level in (("grün", 40), ("rot", 200)):
        (here / "photos" / name).mkdir(parents=True)
        for i in range(12):
            pixels = np.clip(rng.normal(level, 10, size=(12, 12, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(here / "photos" / name / f"{i}.png")
    done = run("prune", "photos", "--keep", "0.5", "--alpha", "0.5", "--class-balanced", *SHORT, "--out", "o")
    assert done.code == 0, done.err
    assert sorted(len(list(f.iterdir())) for f in (here / "o" / "kept").iterdir() if f.is_dir()) == [6, 6]


def test_a_teacher_and_scores_from_elsewhere(table, run):
    assert run("train", table, "--label", "label", "--system", "ce", *SHORT, "--out", "t").code == 0
    np.save("s.npy", np.arange(240.0))
    done = run(
        "prune",
        table,
        "--label",
        "label",
        "--keep",
        "0.2",
        "--score",
        "s.npy",
        "--teacher",
        "t",
        *SHORT,
        "--out",
        "o",
        "--json",
    )
    assert done.code == 0, done.err
    assert Ledger.load("o").columns["kept"].tolist() == [False] * 192 + [True] * 48
    assert json.loads((table.parent / "o" / "run.json").read_text())["pruning"]["distilled"]


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (["--score", "hardest"], "pruning score", 2),
        (["--keep", "0"], "keep", 2),
        (["--alpha", "much"], "--alpha", 2),
        (["--tau", "-1"], "tau", 2),
        (["--equal", "time"], "equal", 2),
        (["--score", "none.npy"], "can't be read", 1),
        (["--teacher", "nowhere"], "no run", 1),
        (["--resume"], "--out", 2),
        (["--label", "lable"], "Did you mean 'label'", 2),
        (["--set", "lrr=1"], "lrr", 2),
    ],
)
def test_mistakes_are_told_in_one_paragraph(table, run, options, says, code):
    done = run("prune", table, *SHORT, *options)
    assert says in done.paragraph
    assert done.code == code
    assert not (table.parent / "table-pruned").exists()


def test_help_has_an_example(run):
    assert "errata prune" in run("prune", "--help").out
