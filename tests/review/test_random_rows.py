"""Rows checked at random vouch for what nothing else vouches for: a training run, and an audit in shards."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit import shards as room
from errata.audit.sharded import audit_shards
from errata.cli import app
from errata.correct.apply import Origin
from errata.errors import DataError

N, CHECKED = 500, 40


def noisy(seed=0):
    rng = np.random.default_rng(seed)
    true = rng.integers(3, size=N)
    x = rng.normal(size=(N, 4)) + 3 * np.eye(3, 4)[true]
    names = np.array(["ant", "bee", "cat"])
    return x, names[true], names[errata.noise.symmetric(true, 0.25, 3, seed=seed)]


def a_run(folder):
    x, true, given = noisy()
    pd.DataFrame(x, columns=list("abcd")).assign(kind=given).to_csv(folder / "table.csv", index=False)
    errata.train(
        str(folder / "table.csv"),
        label="kind",
        system="ce",
        epochs=2,
        validation=0.2,
        device="cpu",
        progress=False,
        out=folder / "found",
    )
    return true


def shards(folder):
    x, true, given = noisy()
    (folder / "parts").mkdir()
    far = ((x[:, None, :3] - 3 * np.eye(3)) ** 2).sum(2)
    probs = np.exp(-far / 2) / np.exp(-far / 2).sum(1, keepdims=True)
    table = pd.DataFrame(x, columns=list("abcd")).assign(kind=given, scores=list(probs))
    for number, rows in enumerate(np.array_split(np.arange(N), 2)):
        table.iloc[rows].to_parquet(folder / "parts" / f"{number}.parquet")
    source = str(folder / "parts" / "*.parquet")
    audit_shards(source, label="kind", pred_probs="scores", out=folder / "found", progress=False)
    return true


def vouched_on_the_command_line(folder):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
        app(["vouch", str(folder), "--json"], prog_name="errata")
    return json.loads(out.getvalue())


@pytest.mark.parametrize("make", [a_run, shards], ids=["training run", "audit in shards"])
def test_from_the_page_to_the_report(make, tmp_path, opens):
    true = make(tmp_path)
    before = errata.Ledger.load(tmp_path / "found")
    assert (before.vouched is None) == (make is a_run)
    opened = opens(tmp_path / "found", random=CHECKED, reviewer="ann")
    ann = opened.person()
    page = ann.get("/").text
    assert f"of {CHECKED} rows drawn at random decided" in page
    assert "Only row numbers" not in page
    queue = opened.queue
    for position in queue.order[:CHECKED]:
        position = int(position)
        wrong = before.classes[before.given[position]] != true[position]
        answer = ann.decide(queue.row(position), *(("relabel", true[position]) if wrong else ("keep",)))
        assert answer.status == 200
    told = vouched_on_the_command_line(tmp_path / "found")
    assert told["checked"] == CHECKED
    given = np.array(before.classes)[before.given]
    assert told["errors_low"] <= (given != true).sum() <= told["errors_high"]
    after = errata.Ledger.load(tmp_path / "found")
    assert after.vouched.checked == CHECKED
    assert after.order.tolist() == before.order.tolist()
    report = (tmp_path / "found" / "report.html").read_text()
    assert f"by {CHECKED} rows that were checked at random" in report
    assert "nobody vouches for" not in report


def test_a_training_s_report_says_that_nobody_vouches_for_it(tmp_path):
    a_run(tmp_path)
    report = (tmp_path / "found" / "report.html").read_text()
    assert "nobody vouches for" in report
    assert "errata vouch DIR" in report
    with pytest.warns(UserWarning, match="errata vouch DIR"):
        errata.Ledger.load(tmp_path / "found").issues(min_precision=0.9)


def test_what_the_rows_of_too_many_or_other_shards_hold_is_not_shown(tmp_path):
    shards(tmp_path)
    about = errata.Ledger.load(tmp_path / "found").meta
    data = room.read_rows(about)
    assert len(data) == N
    assert data.preview(0).row.keys() == {"a", "b", "c", "d", "kind"}
    with pytest.raises(DataError, match="too many to be read at once"):
        room.read_rows({**about, "rows_in_all": 10**8})
    with pytest.raises(DataError, match="count rows over all files"):
        Origin.of(tmp_path / "found").find(None)
    (tmp_path / "parts" / "1.parquet").unlink()
    with pytest.raises(DataError, match="has changed since"):
        room.read_rows(about)
