"""`errata train --system oest` and `errata audit --run`, as a user has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import errata
from errata.cli import app


def write_photos(folder: Path, classes: bool, n: int = 24, seed: int = 0, foreign: int = 0) -> None:
    rng = np.random.default_rng(seed)
    for i in range(n + foreign):
        x = rng.integers(0, 90, (8, 8))
        if i >= n:
            x = rng.integers(0, 256, (8, 8))
        elif i % 2:
            x[:4] += 140
        else:
            x[:, :4] += 140
        below = folder / ("upper" if i % 2 else "lëft") if classes else folder
        below.mkdir(parents=True, exist_ok=True)
        Image.fromarray(x.astype(np.uint8)).save(below / f"{i:03}.png")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ood")
    write_photos(folder / "photos", True, n=60)
    write_photos(folder / "new", False, seed=1, foreign=8)
    margins = ("--set", "m_in=-3", "--set", "m_out=-1")
    rest = ("--validation", "0.3", "--device", "cpu", "--out", str(folder / "run"), "--quiet")
    command = ["train", str(folder / "photos"), "--system", "oest", "--epochs", "6", *margins, *rest]
    with pytest.raises(SystemExit) as end:
        app(command)
    assert not end.value.code
    return folder


def test_the_run_holds_its_detectors_and_a_report_in_the_right_words(trained):
    kept = {path.stem for path in (trained / "run" / "detectors").iterdir()}
    assert kept == {"energy", "msp", "maxlogit", "uniform", "odin", "mahalanobis", "knn"}
    about = json.loads((trained / "run" / "run.json").read_text())
    assert (about["task"], about["method"], about["validation"]) == ("ood", "energy", 0.3)
    assert "label" not in (trained / "run" / "report.html").read_text().split("<h1>")[1].split("</h1>")[0]


@pytest.mark.parametrize("method", ["energy", "msp", "maxlogit", "odin", "mahalanobis", "knn"])
def test_new_photos_are_scored_with_every_method(run, trained, method):
    done = run("audit", trained / "new", "--run", trained / "run", "--method", method, "--out", "scored", "--json")
    assert done.code == 0, done.err
    assert done.json["rows"] == 32
    assert (done.json["task"], done.json["method"]) == ("ood", method)
    ledger = errata.Ledger.load("scored")
    assert {"score", "predicted", "confidence"} <= set(ledger.table)
    assert set(ledger.table["predicted"]) <= {"upper", "lëft"}
    assert (ledger.issue == (ledger.columns["score"] > done.json["threshold"])).all()


def test_it_talks_of_what_looks_foreign(run, trained):
    done = run("audit", trained / "new", "--run", trained / "run", "--out", "scored")
    assert done.code == 0, done.err
    assert "look foreign" in done.out
    assert "label" not in done.out.replace("labels.", "")


def test_predictions_as_of_any_run(run, trained):
    done = run("predict", trained / "run", trained / "new", "--out", "p.csv", "--json")
    assert done.code == 0, done.err
    assert done.json["rows"] == 32


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--run", "nowhere"), "There is no run in nowhere"),
        (("--task", "ood"), "--run DIR"),
        (("--run", "RUN", "--method", "enrgy"), "Did you mean 'energy'"),
        (("--run", "RUN", "--set", "k=3"), "Known: temperature"),
        (("--run", "RUN", "--set", "speed=3"), "There is no option"),
        (("--run", "RUN", "--set", "quantile=2"), "quantile must be in (0, 1)"),
        (("--run", "RUN", "--method", "knn", "--set", "k=1000"), "k must be less than"),
        (("--run", "RUN", "--reference", "missing/"), "missing"),
    ],
)
def test_wrong_usage_is_told_in_a_paragraph(run, trained, arguments, says):
    done = run("audit", trained / "new", *(str(trained / "run") if a == "RUN" else a for a in arguments))
    assert says in done.paragraph


def test_bad_pictures_and_taken_folders_are_told(run, trained, here):
    (here / "empty").mkdir()
    assert "empty" in run("audit", "empty", "--run", trained / "run").paragraph
    (here / "broken").mkdir()
    (here / "broken" / "a.png").write_bytes(b"no picture")
    assert "a.png" in run("audit", "broken", "--run", trained / "run").paragraph
    assert run("audit", trained / "new", "--run", trained / "run", "--out", "twice", "-q").code == 0
    assert "--force" in run("audit", trained / "new", "--run", trained / "run", "--out", "twice").paragraph
