"""`errata apply`: from an audit's folder and decisions to the corrected file."""

from __future__ import annotations

import json
import subprocess

import numpy as np
import pytest

import errata
from errata.ledger import Ledger
from errata.review import Decisions

ROWS = [("tab\\t here", "yes"), ('"q, ""x"""', "no"), ("plain", "no"), ("é", "yes"), ("last", "no")]


@pytest.fixture
def audited(here):
    """a.csv and its audit in ``audit``; row 2 is an issue."""
    text = "text,label\r\n" + "".join(f"{text},{label}\r\n" for text, label in ROWS)
    (here / "a.csv").write_bytes(text.encode("utf-8"))
    given = np.array([label == "yes" for _, label in ROWS]).astype(int)
    proposed = np.where(np.arange(5) == 2, 1, given)
    trust = np.where(np.arange(5) == 2, 0.1, 0.9)
    ledger = Ledger(given, proposed, trust, classes=["no", "yes"], meta={"source": "a.csv", "label": "label"})
    ledger.save(here / "audit", report=False)
    (here / "decisions.csv").write_text("row,action,label,reviewer\n2,relabel,yes,ann\n3,drop,,bob\n0,keep,,ann\n")
    return here


def test_the_corrected_file_and_its_provenance(audited, run):
    before = (audited / "a.csv").read_bytes()
    done = run("apply", "audit", "--decisions", "decisions.csv", "--out", "clean.csv", "--json")
    assert done.code == 0, done.err
    assert (audited / "a.csv").read_bytes() == before
    expected = before.replace(b"plain,no", b"plain,yes").replace("é,yes\r\n".encode(), b"")
    assert (audited / "clean.csv").read_bytes() == expected
    told = done.json
    assert {name: told[name] for name in ("out", "rows_before", "rows_after", "relabelled", "dropped", "kept")} == {
        "out": "clean.csv", "rows_before": 5, "rows_after": 4, "relabelled": 1, "dropped": 1, "kept": 1,
    }  # fmt: skip
    assert [(c["row"], c["old"], c["new"], c["who"]) for c in told["changes"]] == [
        (2, "no", "yes", "ann"),
        (3, "yes", "", "bob"),
    ]
    lines = (audited / "clean.csv.provenance.csv").read_text().splitlines()
    assert lines[0] == "row,old,new,who,when,why"
    assert lines[1].startswith("2,no,yes,ann,20")
    assert len(lines) == 3
    again = run("apply", "audit", "--decisions", "decisions.csv", "--source", "clean.csv", "--out", "again.csv")
    assert again.code == 0, again.err
    assert "All of it was done before" in again.err
    assert (audited / "again.csv").read_bytes() == expected


def test_a_dry_run_shows_a_diff_that_patch_takes_and_writes_nothing(audited, run):
    before = {p.name: p.stat().st_mtime_ns for p in audited.iterdir()}
    done = run("apply", "audit", "--decisions", "decisions.csv", "--dry-run")
    assert done.code == 0, done.err
    assert "1 relabelled, 1 dropped, 1 kept as decided; 5 rows before, 4 after" in done.err
    assert {p.name: p.stat().st_mtime_ns for p in audited.iterdir()} == before
    assert done.out.splitlines()[:3] == ["--- a.csv", "+++ a.csv", "@@ -4 +4 @@"]
    run("apply", "audit", "--decisions", "decisions.csv", "--out", "clean.csv")
    patched = subprocess.run(
        ["patch", "--binary", "-o", "patched.csv", "a.csv"],
        input=done.out.encode(),
        cwd=audited,
        check=True,
        capture_output=True,
    )
    assert patched.returncode == 0
    assert (audited / "patched.csv").read_bytes() == (audited / "clean.csv").read_bytes()


def test_the_reviews_decisions_are_taken_by_themselves(audited, run):
    with Decisions(audited / "audit") as record:
        record.add(2, "relabel", "yes", reviewer="ann", note="clearly")
        record.add(4, "drop", reviewer="ann")
        record.undo("ann")
    done = run("apply", "audit", "--out", "clean.csv", "--quiet")
    assert done.code == 0, done.err
    assert done.out.split() == ["clean.csv", "clean.csv.provenance.csv"]
    assert errata.read("clean.csv", "label").labels.names().tolist() == ["yes", "no", "yes", "yes", "no"]
    assert (audited / "clean.csv.provenance.csv").read_text().splitlines()[1].endswith(",relabel: clearly")


def test_proposals_are_accepted_only_when_asked_for(audited, run):
    told = run("apply", "audit", "--out", "clean.csv").paragraph
    assert "errata review audit" in told
    assert "--decisions proposed" in told
    done = run("apply", "audit", "--decisions", "proposed", "--max-trust", "0.05", "--out", "none.csv")
    assert "There is nothing to change" in done.err
    assert (audited / "none.csv").read_bytes() == (audited / "a.csv").read_bytes()
    done = run("apply", "audit", "--decisions", "proposed", "--soft", "--no-drop", "--out", "clean.csv")
    assert done.code == 0, done.err
    assert "Nobody has checked these" in done.err
    assert (audited / "clean.csv").read_bytes().split(b"\r\n")[3] == b"plain,yes,0,1"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("audit", "--decisions", "decisions.csv"), 2, "Where shall the corrected data go"),
        (("audit", "--decisions", "decisions.csv", "--out", "a.csv"), 1, "the source itself"),
        (("audit", "--decisions", "decisions.csv", "--out", "b.parquet"), 2, "Let --out end in .csv"),
        (("audit", "--decisions", "nowhere.csv", "--out", "b.csv"), 1, "no file nowhere.csv"),
        (("audit", "--decisions", "decisions.csv", "--out", "no/b.csv"), 1, "folder no does not exist"),
        (("audit", "--decisions", "decisions.csv", "--out", "b.csv", "--label", "lable"), 2, "Did you mean 'label'"),
        (("audit", "--decisions", "decisions.csv", "--out", "b.csv", "--label", "text"), 1, "does not fit the ledger"),
        (
            ("audit", "--decisions", "decisions.csv", "--out", "b.csv", "--source", "gone.csv"),
            1,
            "no file or folder gone",
        ),
        (("nowhere", "--decisions", "decisions.csv", "--out", "b.csv"), 1, "No ledger at"),
        (("audit", "--decisions", "bad.csv", "--out", "b.csv"), 1, "row 2: relabel yes and keep"),
        (("audit", "--decisions", "unknown.csv", "--out", "b.csv"), 2, "Did you mean 'yes'"),
    ],
)
def test_mistakes_are_told_in_one_paragraph(audited, run, arguments, code, told):
    (audited / "bad.csv").write_text("row,action,label\n2,relabel,yes\n2,keep,\n")
    (audited / "unknown.csv").write_text("row,action,label\n2,relabel,yess\n")
    before = sorted(p.name for p in audited.iterdir())
    done = run("apply", *arguments)
    assert told in done.paragraph
    assert done.code == code
    assert sorted(p.name for p in audited.iterdir()) == before


def test_a_new_class_and_force(audited, run):
    (audited / "new.csv").write_text("row,action,label\n2,relabel,maybe\n")
    assert run("apply", "audit", "--decisions", "new.csv", "--out", "b.csv", "--new-classes").code == 0
    assert (
        "nothing is overwritten unasked" in run("apply", "audit", "--decisions", "new.csv", "--out", "b.csv").paragraph
    )
    done = run("apply", "audit", "--decisions", "decisions.csv", "--out", "b.csv", "--force", "--json")
    assert done.code == 0
    assert json.loads(done.out)["relabelled"] == 1
