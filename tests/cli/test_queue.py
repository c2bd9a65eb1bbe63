"""`errata queue`: from a ledger to a list for people, and to the review."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from errata.ledger import Ledger

NAMES = ["A:x", "A:y", "B:z"]


@pytest.fixture
def audited(here):
    """data.csv and its ledger in `a`: 90 rows, 12 of them wrong."""
    rng = np.random.default_rng(0)
    truth = np.arange(90) % 3
    given = truth.copy()
    odd = rng.choice(90, size=12, replace=False)
    given[odd] = (given[odd] + 1) % 3
    table = pd.DataFrame(
        {
            "text": [f"größe {i}" for i in range(90)],
            "label": [NAMES[g] for g in given],
            "right": [NAMES[t] for t in truth],
        }
    )
    table.to_csv(here / "data.csv", index=False)
    trust = np.where(given == truth, rng.uniform(0.5, 1, 90), rng.uniform(0, 0.6, 90))
    meta = {"source": "data.csv", "source_path": str(here / "data.csv"), "label": "label"}
    Ledger(given, truth, trust, classes=NAMES, meta=meta).save(here / "a")
    return here


def test_a_queue_with_everything_a_person_needs(audited, run):
    done = run("queue", "a", "--budget", "10%", "--hierarchy", "names")
    assert done.code == 0, done.err
    table = pd.read_csv("a/queue.csv")
    assert list(table.columns) == ["place", "row", "score", "given", "proposed", "trust", "content"]
    assert table["place"].tolist() == list(range(1, 10))
    assert (table["score"].diff().dropna() <= 0).all()
    assert table["content"].str.contains("größe").all()
    assert "errata review a" in done.out


def test_the_review_follows_it(audited, run):
    from errata.review import Decisions
    from errata.review.filters import Filter
    from errata.review.queue import Queue

    before = Ledger.load("a")
    assert run("queue", "a", "--budget", "4", "--hierarchy", "names", "-q").code == 0
    wanted = pd.read_csv("a/queue.csv")["row"].tolist()
    ledger = Ledger.load("a")
    assert (ledger.order == before.order).all()
    queue = Queue(ledger, Decisions("a"))
    seen = []
    while (position := queue.claim("ann", Filter())) is not None:
        seen.append(position)
        queue.decide("ann", position, "keep")
    assert seen == wanted
    assert queue.goals == 4


def test_a_later_rule_replaces_an_earlier_one(audited, run):
    for rule in ("random", "trust"):
        assert run("queue", "a", "--budget", "5", "--rule", rule).code == 0
    ledger = Ledger.load("a")
    assert ledger.meta["queue"]["rule"] == "trust"
    assert [c.title for c in ledger.charts].count("What the budget is expected to find") == 1
    assert (
        pd.read_csv("a/queue.csv")["row"].tolist() == ledger.index[np.argsort(ledger.trust, kind="stable")][:5].tolist()
    )


def test_a_simulation_on_a_column_of_the_source(audited, run):
    told = run("queue", "a", "--hierarchy", "names", "--truth", "right", "--json").json
    assert told["simulation"]["errors"] == 12
    rules = {(r["rule"], r["budget"]): r for r in told["simulation"]["rules"]}
    assert rules["gd", 0.1]["recall"] > rules["random", 0.1]["recall"]
    assert "What a budget buys" in [c.title for c in Ledger.load("a").charts]
    assert "What a budget buys" in Path("a/report.html").read_text(encoding="utf-8")
    np.save("truth.npy", np.arange(90) % 3)
    again = run("queue", "a", "--truth", "truth.npy", "--json").json
    assert again["simulation"]["errors"] == 12


def test_other_formats_and_other_models(audited, run):
    Ledger.load("a").save("b", report=False)
    Path("tree.json").write_text(json.dumps({"root": {"A:x": {}, "A:y": {}, "B:z": {}}}), encoding="utf-8")
    done = run("queue", "a", "--budget", "3", "--hierarchy", "tree.json", "--with", "b", "--out", "q.parquet")
    assert done.code == 0, done.err
    assert len(pd.read_parquet("q.parquet")) == 3
    assert run("queue", "a", "--budget", "3", "--out", "q.jsonl", "--rule", "random", "--seed", "5").code == 0
    assert len(pd.read_json("q.jsonl", lines=True)) == 3
    assert run("queue", "a", "--hierarchy", "confusion", "--out", "q.tsv").code == 0


def test_the_data_may_be_gone(audited, run):
    (audited / "data.csv").unlink()
    done = run("queue", "a", "--budget", "3")
    assert done.code == 0
    assert "row numbers only" in done.err
    assert "content" not in pd.read_csv("a/queue.csv").columns
    assert "npy" in run("queue", "a", "--truth", "right").paragraph


def test_data_that_have_changed_are_not_shown(audited, run):
    table = pd.read_csv("data.csv")
    table.loc[0, "label"] = "A:x" if table.loc[0, "label"] != "A:x" else "A:y"
    table.to_csv("data.csv", index=False)
    assert "has changed" in run("queue", "a", "--budget", "3").err


@pytest.mark.parametrize(
    ("options", "says", "code"),
    [
        (["--budget", "0"], "budget", 2),
        (["--rule", "gdd"], "Did you mean 'gd'", 2),
        (["--hierarchy", "none.csv"], "There is no file", 1),
        (["--hierarchy", "names:/"], "'/'", 1),
        (["--map", "x"], "label=node", 2),
        (["--map", "C=A", "--hierarchy", "names"], "none of the labels", 1),
        (["--unmapped", "drop"], "--unmapped", 2),
        (["--with", "nowhere"], "No ledger at", 1),
        (["--pred-probs", "none.npy"], "can't be read", 1),
        (["--rule", "entropy"], "probabilities", 2),
        (["--truth", "wright"], "Did you mean 'right'", 2),
        (["--exclude", "Z", "--truth", "right"], "class named 'Z'", 2),
        (["--out", "q.txt"], "ending", 1),
        (["--out", "data.csv"], "exists", 1),
    ],
)
def test_mistakes_are_told_in_one_paragraph(audited, run, options, says, code):
    done = run("queue", "a", *options)
    assert says in done.paragraph
    assert done.code == code
    assert not (audited / "a" / "queue.csv").exists()


def test_help_has_an_example(run):
    assert "errata queue" in run("queue", "--help").out


def test_rows_drawn_at_random_and_checked_vouch_for_the_list(audited, run):
    ledger = Ledger.load("a")
    run("queue", "a", "--rule", "random", "--budget", "40", "--seed", "3")
    drawn = pd.read_csv("a/queue.csv")
    right = pd.read_csv("data.csv")["right"]
    drawn["label"] = right[drawn["row"]].to_numpy()
    drawn["action"] = np.where(drawn["label"] == drawn["given"], "keep", "relabel")
    drawn.to_csv("seen.csv", index=False)
    done = run("vouch", "a", "--decisions", "seen.csv", "--seed", "3", "--json")
    told = json.loads(done.out)
    assert told["checked"] == 40
    wrong = (drawn["action"] == "relabel").mean()
    assert told["errors_low"] <= 90 * wrong <= told["errors_high"]
    assert told["rows_for"]["0.5"] <= len(ledger)
    page = Path("a/report.html").read_text(encoding="utf-8")
    assert "by 40 rows that were checked at random" in page
    assert Ledger.load("a").vouched.checked == 40
