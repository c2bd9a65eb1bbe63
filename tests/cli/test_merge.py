"""`errata merge`: two runs in, one run out, and what it says."""

from __future__ import annotations

import numpy as np
import pytest

import errata
from errata.cli import app


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two runs on other classes, with names from anywhere, and data with all of them."""
    place = tmp_path_factory.mktemp("merge")
    centres = np.random.default_rng(9).normal(size=(4, 5)) * 4
    names = np.array(["Äpfel", "梨", "[kiwi]", "fig"])
    for name, classes in (("a", [0, 1]), ("b", [1, 2, 3]), ("all", [0, 1, 2, 3])):
        rng = np.random.default_rng(len(classes))
        y = rng.choice(classes, 120)
        x = (centres[y] + rng.normal(size=(120, 5))).astype(np.float32)
        rows = [",".join([*(f"{v:.4f}" for v in row), names[k]]) for row, k in zip(x, y)]
        (place / f"{name}.csv").write_text("\n".join(["p,q,r,s,t,fruit", *rows]), encoding="utf-8")
    for name in ("a", "b"):
        errata.train(
            str(place / f"{name}.csv"),
            label="fruit",
            system="ce",
            epochs=15,
            seed=len(name),
            out=place / name,
            device="cpu",
            progress=False,
        )
    return place


def test_a_merge_is_a_run_that_predicts_the_classes_of_both(run, made):
    done = run("merge", made / "a", made / "b", "--out", "c", "--budget", "1.2", "--test", made / "all.csv", "--json")
    assert done.code == 0, done.err
    assert done.json["metrics"]["cost"] == pytest.approx(1.2, abs=0.1)
    assert done.json["test"]["merged"]["accuracy"] > 0.7
    assert set(done.json["test"]) == {"merged"}  # neither parent knows all classes
    predicted = run("predict", "c", made / "all.csv", "--out", "p.csv", "--json")
    assert predicted.code == 0, predicted.err
    assert set(predicted.json["predicted"]) <= {"Äpfel", "梨", "[kiwi]", "fig"}


def test_it_says_what_was_made_and_what_comes_next(run, made):
    done = run("merge", made / "a", made / "b", "--out", "d", "--matching", "weight", "--solver", "none")
    assert done.code == 0, done.err
    assert "4 classes" in done.out
    assert "errata predict d SOURCE" in done.out
    again = run("merge", made / "a", made / "b", "--out", "d")
    assert again.code == 1
    assert "nothing is overwritten" in again.paragraph


def test_a_probe_and_a_further_parameter(run, made):
    done = run(
        "merge",
        made / "a",
        made / "b",
        "--data",
        made / "all.csv",
        "--probe",
        "--set",
        "ridge=1e-4",
        "--json",
        "--out",
        "e",
    )
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("nowhere", "nowhere"), 1, "There is no run in nowhere"),
        (("A", "B", "--matching", "luck"), 2, "no way to match units named 'luck'"),
        (("A", "B", "--set", "rigde=1"), 2, "Did you mean 'ridge'"),
        (("A", "B", "--data", "gone.csv"), 1, "gone.csv"),
        (("A", "B", "--set", "head=tail"), 2, "'halve' or 'copy'"),
    ],
)
def test_errors_are_one_paragraph_and_leave_nothing_behind(run, made, here, arguments, code, says):
    given = [{"A": made / "a", "B": made / "b"}.get(a, a) for a in arguments]
    done = run("merge", *given, "--out", "f")
    assert done.code == code
    assert says in done.paragraph
    assert not (here / "f").exists()


def test_help_has_an_example(run):
    done = run("merge", "--help")
    assert "errata merge run-a run-b --out merged" in done.out
    assert callable(app)
