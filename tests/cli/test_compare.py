"""`errata compare`: two folders side by side."""

from __future__ import annotations

import pytest

from errata.ledger import Ledger


@pytest.fixture
def ledgers(here):
    Ledger([0, 1, 1], [0, 0, 1], [0.9, 0.1, 0.8], classes=["cat", "[dog]"]).save(here / "one", report=False)
    Ledger([0, 0, 1], [0, 0, 1], [0.9, 0.95, 0.8], classes=["cat", "[dog]"]).save(here / "two", report=False)


def test_what_changed_is_shown(ledgers, run):
    done = run("compare", "one", "two")
    assert done.code == 0, done.err
    assert "a = one" in done.out
    lines = {line.rsplit(None, 1)[0].strip(): line.split()[-1] for line in done.out.splitlines() if line.strip()}
    assert lines["labels changed"] == "1"
    assert lines["issues gone"] == "1"
    assert "[dog] → cat" in done.out
    assert "0.100 → 0.950" in done.out
    assert "The rows" not in run("compare", "one", "two", "--rows", "0").out


def test_json_has_all_of_it(ledgers, run):
    told = run("compare", "one", "two", "--json").json
    assert told["counts"]["labels_changed"] == 1
    assert told["figures"]["issues"] == {"a": 1, "b": 0}
    assert told["rows"][0]["row"] == 1
    assert told["confusion"] == {"classes": ["cat", "[dog]"], "counts": [[0, 0], [1, 0]]}


def test_mistakes_are_told_in_one_paragraph(ledgers, run):
    assert "No ledger at" in run("compare", "one", "nowhere").paragraph
    assert "one is no run" in run("compare", "one", "two", "--test", "x.csv").paragraph
