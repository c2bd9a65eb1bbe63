"""Several labels per item on the command line: train on ARFF, measure, predict; and what is told when it goes wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

NAMES = ("loud", "größe")


@pytest.fixture
def songs(here):
    rng = np.random.default_rng(0)
    for part, n in (("train", 90), ("test", 40)):
        x = rng.normal(size=(n, 2))
        text = "@relation songs\n@attribute a numeric\n@attribute b numeric\n"
        text += "".join(f"@attribute {name} {{0,1}}\n" for name in NAMES) + "@data\n"
        text += "".join(f"{row[0]:.5f},{row[1]:.5f},{int(row[0] > 0)},{int(row[1] > 0)}\n" for row in x)
        (here / f"songs-{part}.arff").write_text(text, encoding="utf-8")
    (here / "songs.xml").write_text(
        "<labels>" + "".join(f'<label name="{name}"></label>' for name in NAMES) + "</labels>", encoding="utf-8"
    )
    return here


def test_train_measure_and_predict(run, songs):
    told = run(
        *("train", "songs-train.arff", "--label", "songs.xml", "--system", "pu-mlc", "--test", "songs-test.arff"),
        *("--epochs", "15", "--set", "gamma=0.4", "--device", "cpu", "--out", "run", "--json"),
    )
    assert told.code == 0, told.err
    assert told.json["test"]["map"] > 0.85
    assert "90 rows" in told.err
    assert "Labels: 2" in told.err
    assert "größe" in (songs / "run" / "report.html").read_text(encoding="utf-8")
    told = run("predict", "run", "songs-test.arff", "--out", "found.csv", "--proba", "--json")
    assert told.code == 0, told.err
    found = pd.read_csv(songs / "found.csv", keep_default_na=False)
    assert list(found.columns) == ["row", "labels", "p_loud", "p_größe"]
    assert told.json["predicted"] == {name: sum(name in row.split("|") for row in found["labels"]) for name in NAMES}
    x = np.loadtxt(
        (songs / "songs-test.arff").read_text(encoding="utf-8").split("@data\n")[1].splitlines(), delimiter=","
    )
    said = found["labels"].str.split("|").apply(lambda labels: "loud" in labels)
    assert (said == (x[:, 0] > 0)).mean() > 0.8


def test_mistakes_are_told_in_one_paragraph(run, songs):
    told = run("train", "songs-train.arff", "--label", "loud,size", "--system", "pu-mlc")
    assert told.code == 2
    assert "'size'" in told.paragraph
    (songs / "bad.arff").write_text("@relation r\n@attribute a numeric\n@attribute l {0,1}\n@data\n1,2\n")
    told = run("train", "bad.arff", "--label", "l", "--system", "bce")
    assert told.code == 1
    assert "line 5" in told.paragraph
    (songs / "songs.xml").unlink()
    told = run("train", "songs-train.arff", "--system", "bce")
    assert "which of its 4 attributes are labels" in told.paragraph
