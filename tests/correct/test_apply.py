"""``errata.apply`` in memory, and what it promises: nothing lost, nothing half done, the same when done again."""

from __future__ import annotations

import gzip
import os
import pickle
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

import errata
from errata.correct.apply import apply_to_file
from errata.correct.plan import make_plan
from errata.correct.soft import probabilities
from errata.errors import DataError, LedgerError, LoadError, ParameterError, UnknownNameError
from errata.ledger import Ledger

CLASSES = ["cat", "dog"]


@pytest.fixture
def frame():
    return pd.DataFrame({"x": [1.5, 2.5, 3.5, 4.5], "kind": ["cat", "dog", "dog", "cat"]}, index=list("abcd"))


@pytest.fixture
def ledger():
    return Ledger([0, 1, 1, 0], [0, 0, 1, 0], [0.9, 0.2, 0.8, 0.7], classes=CLASSES, meta={"label": "kind"})


# -- in memory --------------------------------------------------------------------------------------------------------


def test_a_data_frame_keeps_its_columns_index_and_types(frame, ledger):
    clean = errata.apply(ledger, [(1, "relabel", "cat"), (3, "drop")], source=frame)
    assert isinstance(clean, pd.DataFrame)
    pd.testing.assert_frame_equal(pd.DataFrame(clean), frame.iloc[:3].assign(kind=["cat", "cat", "dog"]))
    assert list(frame["kind"]) == ["cat", "dog", "dog", "cat"]
    assert list(clean.provenance.columns) == ["row", "old", "new", "who", "when", "why"]
    assert clean.provenance[["row", "old", "new"]].to_numpy().tolist() == [[1, "dog", "cat"], [3, "cat", ""]]
    assert clean.counts == {"relabelled": 1, "filled": 0, "dropped": 1, "left_in": 0, "kept": 0}
    assert type(clean[clean["x"] > 2]) is pd.DataFrame
    again = errata.apply(ledger, [(1, "relabel", "cat"), (3, "drop")], source=clean)
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(clean))
    copied = pickle.loads(pickle.dumps(clean))  # noqa: S301 - made here
    pd.testing.assert_frame_equal(copied.provenance, clean.provenance)


@pytest.mark.parametrize(
    "values",
    [
        pd.array(["cat", "dog", "dog", "cat"], dtype="string"),
        pd.Categorical(["cat", "dog", "dog", "cat"], categories=["dog", "cat", "cow"], ordered=True),
        np.array(["cat", "dog", "dog", "cat"], dtype=object),
    ],
)
def test_the_label_columns_type_stays(frame, ledger, values):
    frame["kind"] = values
    clean = errata.apply(ledger, [(1, "relabel", "cat")], source=frame)
    assert clean["kind"].dtype == frame["kind"].dtype
    assert list(clean["kind"]) == ["cat", "cat", "dog", "cat"]


@pytest.mark.parametrize("kind", ["int8", "Int64", "float32"])
def test_numbers_as_labels_keep_their_type(kind):
    frame = pd.DataFrame({"x": [1, 2, 3], "label": pd.array([3, 7, 7], dtype=kind)})
    ledger = Ledger([0, 1, 1], [0, 0, 1], [1, 0.1, 1], classes=[3, 7])
    for seven in ("3", 3, 3.0, np.int64(3)):
        clean = errata.apply(ledger, [(1, "relabel", seven)], source=frame)
        assert clean["label"].dtype == frame["label"].dtype
        assert clean["label"].tolist() == [3, 3, 7]


def test_new_classes_are_allowed_only_when_asked_for(frame, ledger):
    with pytest.raises(UnknownNameError, match=r"no class named 'catt'\. Did you mean 'cat'"):
        errata.apply(ledger, [(1, "relabel", "catt")], source=frame)
    clean = errata.apply(ledger, [(1, "relabel", "cow"), (2, "relabel", "cow")], source=frame, new_classes=True)
    assert list(clean["kind"]) == ["cat", "cow", "cow", "cat"]
    frame["kind"] = frame["kind"].astype("category")
    clean = errata.apply(ledger, [(1, "relabel", "cow")], source=frame, new_classes=True)
    assert list(clean["kind"].cat.categories) == ["cat", "dog", "cow"]


def test_the_source_is_found_where_the_ledger_tells(reviews, ledger_for, tmp_path, monkeypatch):
    ledger = ledger_for(reviews, "stars")
    ledger.save(tmp_path / "audit", report=False)
    clean = errata.apply(tmp_path / "audit", [(0, "relabel", 1), (5, "drop")])
    assert clean["stars"].tolist()[:3] == [1, 1, 5]
    assert pd.isna(clean["stars"].iloc[3])
    assert list(clean.columns) == ["text", "stars", "n, o"]
    assert list(clean.index) == [0, 1, 2, 3, 4]
    assert clean["text"].iloc[2] == 'say "yes"\nand no'
    clean.save(tmp_path / "clean.csv")
    expected = reviews.read_bytes().replace(b'really",5', b'really",1').replace(b'more,5,"6"\r\n', b"")
    assert (tmp_path / "clean.csv").read_bytes() == expected
    reviews.rename(tmp_path / "moved.csv")
    with pytest.raises(DataError, match="--source"):
        apply_to_file(tmp_path / "audit", [(0, "drop")], tmp_path / "x.csv")
    assert len(errata.apply(tmp_path / "audit", [(0, "drop")], source=tmp_path / "moved.csv")) == 5
    monkeypatch.chdir(tmp_path)
    ledger.meta["source"] = "moved.csv"
    ledger.save(tmp_path / "audit", report=False)
    monkeypatch.chdir("/")
    assert len(errata.apply(tmp_path / "audit", [(0, "drop")])) == 5  # a relative source is also looked for beside DIR


def test_data_in_memory_give_a_table_as_well():
    x, y = np.arange(12.0).reshape(4, 3), np.array(["a", "b", "b", "a"])
    data = errata.read(x, y)
    ledger = Ledger.from_labels(data.labels, [0, 1, 0, 0], [0.9, 0.9, 0.1, 0.9])
    ledger.data = data
    clean = errata.apply(ledger, "proposed")
    assert list(clean.columns) == ["0", "1", "2", "label"]
    assert clean["label"].tolist() == ["a", "b", "a", "a"]
    bare = Ledger.from_labels(data.labels, [0, 1, 0, 0], [0.9, 0.9, 0.1, 0.9])
    clean = errata.apply(bare, [(0, "drop"), (1, "relabel", "a")])
    assert clean["label"].tolist() == ["a", "b", "a"]
    assert list(clean.index) == [1, 2, 3]
    images = errata.read(np.zeros((4, 1, 8, 8), dtype=np.uint8), y)
    clean = errata.apply(bare, [(0, "drop")], source=images)
    assert clean["label"].tolist() == ["b", "b", "a"]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".parquet", ".jsonl"])
def test_a_table_without_a_file_is_saved_by_its_ending(frame, ledger, tmp_path, ending):
    clean = errata.apply(ledger, [(1, "relabel", "cat"), (3, "drop")], source=frame)
    path = clean.save(tmp_path / f"out{ending}")
    assert errata.read(path, "kind").labels.names().tolist() == ["cat", "cat", "dog"]
    assert (tmp_path / f"out{ending}.provenance.csv").read_text().splitlines()[1].startswith("1,dog,cat,")
    with pytest.raises(errata.ErrataError, match="nothing is overwritten unasked"):
        clean.save(path)
    clean.save(path, force=True)
    with pytest.raises(ParameterError, match="choose one of these endings"):
        clean.save(tmp_path / "out.xlsx")


# -- what the decisions do --------------------------------------------------------------------------------------------


def test_rows_can_be_left_in_against_a_decision_to_drop(frame, ledger):
    clean = errata.apply(ledger, [(1, "drop"), (0, "keep")], source=frame, drop=False)
    assert len(clean) == 4
    assert clean.counts["left_in"] == 1
    assert clean.counts["kept"] == 1
    assert len(clean.provenance) == 0
    assert any("left in" in note for note in clean.notes)
    with pytest.raises(DataError, match="Every row would be dropped"):
        errata.apply(ledger, [(i, "drop") for i in range(4)], source=frame)


def test_soft_labels_are_probabilities_and_decisions_are_certain(frame, ledger):
    clean = errata.apply(ledger, [(1, "relabel", "cat"), (2, "keep")], source=frame, soft=True)
    expected = [[0.9, 0.1], [1, 0], [0, 1], [0.7, 0.3]]
    np.testing.assert_allclose(clean[["p_cat", "p_dog"]].to_numpy(), expected, atol=1e-6)
    again = errata.apply(ledger, [(1, "relabel", "cat"), (2, "keep")], source=clean, soft=True)
    pd.testing.assert_frame_equal(pd.DataFrame(again), pd.DataFrame(clean))
    with pytest.raises(DataError, match="column 'p_cat' already"):
        errata.apply(ledger, [], source=frame.assign(p_cat=1), soft=True)


def test_soft_labels_of_several_classes_follow_the_proposal_and_the_noise():
    joint = np.array([[0.4, 0.05, 0.0], [0.0, 0.2, 0.05], [0.1, 0.05, 0.15]])  # joint[true, given]
    ledger = Ledger(
        [0, 1, 2, -1, -1, 0], [0, 2, 1, 1, -1, 1], [0.8, 0.2, np.nan, np.nan, np.nan, 0.5], classes=["a", "b", "c"],
        noise=joint, columns={"proposed_probability": np.array([0.8, 0.6, np.nan, 0.7, np.nan, np.nan])},
    )  # fmt: skip
    from errata.correct.decisions import decide

    plan = make_plan(ledger, decide([], ledger))
    found = probabilities(plan, np.array([0, 1, 2, 3, 4, 5, -1]))
    np.testing.assert_allclose(found[0], [0.8, 0.0, 0.2], atol=1e-6)  # given a: the truth is else only ever c
    np.testing.assert_allclose(found[1], [0.2, 0.2, 0.6], atol=1e-6)  # the model's share to c, what is left to a
    np.testing.assert_allclose(found[2], [0, 0, 1], atol=1e-6)  # nothing is known against the given label
    np.testing.assert_allclose(found[3], [0.3 * 0.45 / 0.75, 0.7, 0.3 * 0.3 / 0.75], atol=1e-6)
    assert np.isnan(found[4]).all()
    np.testing.assert_allclose(found[5], [0.5, 0.5, 0], atol=1e-6)
    assert np.isnan(found[6]).all()


# -- refusals ---------------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_refused(frame, ledger):
    with pytest.raises(LedgerError, match=r"2 labels differ .row 0 is 'dog', the ledger has 'cat'"):
        errata.apply(ledger, [], source=frame.iloc[[1, 0, 2, 3]])
    with pytest.raises(LedgerError, match="it has 3 rows, the ledger 4"):
        errata.apply(ledger, [], source=frame.iloc[:3])
    with pytest.raises(LedgerError, match="it has 5 rows, the ledger 4"):
        errata.apply(ledger, [], source=pd.concat([frame, frame.iloc[:1]]))
    with pytest.raises(UnknownNameError, match="Did you mean 'kind'"):
        errata.apply(ledger, [], source=frame, label="kinds")
    with pytest.raises(LedgerError, match="4 labels differ"):
        errata.apply(ledger, [], source=frame.assign(kind=["x", "y", "y", "x"]))
    with pytest.raises(ParameterError, match="Expected a ledger"):
        errata.apply(frame, [])
    with pytest.raises(ParameterError, match="source must be"):
        errata.apply(ledger, [], source=3)
    named = Ledger([0, 1], [0, 1], [1, 1], classes=CLASSES, index=np.array(["u", "v"]), meta={"label": "kind"})
    with pytest.raises(LedgerError, match="rows have names"):
        errata.apply(named, [], source=frame.iloc[:2])
    assert errata.apply(named, [("v", "relabel", "cat")])["kind"].tolist() == ["cat", "cat"]


def test_places_that_can_not_be_written_are_refused(reviews, ledger_for, tmp_path):
    ledger = ledger_for(reviews, "stars")
    before = reviews.read_bytes()
    os.symlink(reviews, tmp_path / "link.csv")
    (tmp_path / "taken.csv").write_text("mine")
    (tmp_path / "folder.csv").mkdir()
    for out, told in {
        reviews: "the source itself",
        tmp_path / "link.csv": "the source itself",
        tmp_path / "taken.csv": "nothing is overwritten unasked",
        tmp_path / "no" / "x.csv": "does not exist",
        tmp_path / "x.parquet": "can't become x.parquet. Let --out end in .csv",
        tmp_path / "folder.csv": "is a folder",
        None: "Where shall the corrected data go",
    }.items():
        with pytest.raises(errata.ErrataError, match=told):
            apply_to_file(ledger, [(0, "drop")], out)
    assert reviews.read_bytes() == before
    assert (tmp_path / "taken.csv").read_text() == "mine"
    apply_to_file(ledger, [(0, "drop")], tmp_path / "taken.csv", force=True)
    assert (tmp_path / "taken.csv").read_bytes() != b"mine"


def test_a_full_disk_leaves_what_was_there(reviews, ledger_for, tmp_path):
    out = tmp_path / "out.csv"
    out.write_text("old")
    big = tmp_path / "big.csv"
    big.write_text("text,stars\n" + "".join(f"{i} {'x' * 200},{i % 2}\n" for i in range(20_000)))
    ledger_for(big, "stars").save(tmp_path / "audit", report=False)
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "from errata.correct.apply import apply_to_file\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))\n"
        f"apply_to_file({str(tmp_path / 'audit')!r}, [(0, 'drop')], {str(out)!r}, force=True)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Could not write" in done.stderr
    assert out.read_text() == "old"
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith(".out.csv")]


def test_killed_in_the_middle_the_old_file_stands(tmp_path):
    source, out = tmp_path / "a.csv", tmp_path / "b.csv.gz"
    words = np.random.default_rng(0).integers(0, 1 << 62, size=(20_000, 20)).astype(str)
    rows = "".join(f"{' '.join(line)},{'ab'[i % 2]}\n" for i, line in enumerate(words))
    source.write_text("text,label\n" + rows)
    given = np.arange(20_000) % 2
    meta = {"source": str(source)}
    Ledger(given, given, np.ones(20_000), classes=["a", "b"], meta=meta).save(tmp_path / "audit", report=False)
    out.write_bytes(b"old")
    code = (
        "from errata.correct.apply import apply_to_file\n"
        f"apply_to_file({str(tmp_path / 'audit')!r}, [(5, 'drop')], {str(out)!r}, force=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while not list(tmp_path.glob(".b.csv.gz.*/new/b.csv.gz")):
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert out.read_bytes() == b"old"
    assert not (tmp_path / "b.csv.gz.provenance.csv").exists()
    apply_to_file(tmp_path / "audit", [(5, "drop")], out, force=True)
    assert gzip.decompress(out.read_bytes()).count(b"\n") == 20_000


def test_a_damaged_ledger_or_run_is_told(tmp_path):
    with pytest.raises(LedgerError, match="No ledger at"):
        errata.apply(tmp_path, [])
    (tmp_path / "metrics.json").write_text("{")
    Ledger([0, 1], [0, 1], [1, 1], classes=CLASSES).save(tmp_path, report=False)
    with pytest.raises(LoadError, match="can't be read as JSON"):
        errata.compare(tmp_path, tmp_path)


# -- the whole loop ---------------------------------------------------------------------------------------------------


def test_from_an_audit_over_decisions_to_a_corrected_file(tmp_path):
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 300)
    given = true.copy()
    wrong = rng.choice(300, 30, replace=False)
    given[wrong] = (given[wrong] + 1) % 3
    probs = np.full((300, 3), 0.05)
    probs[np.arange(300), true] = 0.9
    names = np.array(["bad", "good", "so, so"])
    source = tmp_path / "reviews.csv"
    rows = "".join(f'"text {i}","{names[g]}"\n' for i, g in enumerate(given))
    source.write_text("text,stars\n" + rows)
    ledger = errata.audit(source, label="stars", pred_probs=probs)
    ledger.save(tmp_path / "audit", report=False)
    checked = ledger.issues().assign(action="relabel", who="ann")
    checked["label"] = checked["proposed"]
    assert set(checked.index) == set(wrong)
    apply_to_file(tmp_path / "audit", checked, tmp_path / "clean.csv")
    clean = errata.read(tmp_path / "clean.csv", "stars")
    assert clean.labels.names().tolist() == names[true].tolist()
    after = errata.audit(tmp_path / "clean.csv", label="stars", pred_probs=probs)
    found = errata.compare(ledger, after)
    assert found.counts["labels_changed"] == found.counts["issues_gone"] == 30
    assert found.counts["issues_new"] == 0


def test_the_source_is_found_and_read_alike_from_any_other_folder(tmp_path, monkeypatch):
    at_home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    at_home.mkdir(), elsewhere.mkdir()
    (at_home / "t.csv").write_text("".join(f"{i % 7};{'ab'[i % 2]}\n" for i in range(40)))
    monkeypatch.chdir(at_home)
    told = {"label": "column 2", "separator": ";", "header": False}
    errata.audit("t.csv", **told, folds=2, progress=False).save("found")
    monkeypatch.chdir(elsewhere)
    done = apply_to_file(
        at_home / "found", pd.DataFrame({"row": [3], "action": ["relabel"], "label": ["a"]}), "out.csv"
    )
    assert done.counts["relabelled"] == 1
    assert (elsewhere / "out.csv").read_text().splitlines()[3] == "3;a"
