"""`errata audit`: what it finds and writes, and that what it can't do is told in one paragraph with nothing lost."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest

import errata

FAST = ("--folds", "2", "--device", "cpu")


@pytest.fixture
def probabilities(here, table, blobs):
    """probs.npy: (240, 3) of a good model."""
    x, _, _ = blobs()
    logits = 2.0 * x
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.save(here / "probs.npy", probs.astype("float32"))
    return here / "probs.npy"


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- what it finds ----------------------------------------------------------------------------------------------------


def test_wrong_labels_are_found_told_and_saved(run, table, here, blobs):
    _, given, true = blobs()
    done = run("audit", "table.csv", "--label", "label", *FAST)
    assert done.code == 0, done.err
    assert "240 rows, read as a table" in done.err
    for told in ("estimated noise", "Look at these first", "Most confused", "f0=", "table-audit/report.html", "Next:"):
        assert told in done.out
    assert set(os.listdir("table-audit")) == {"ledger.parquet", "summary.json", "report.html"}
    ledger = errata.Ledger.load("table-audit")
    wrong = given != true
    assert (ledger.issue & wrong).sum() / wrong.sum() > 0.8
    assert (ledger.issue & wrong).sum() / ledger.issue.sum() > 0.8


def test_json_stands_alone_on_stdout_and_talk_goes_to_stderr(run, table, probabilities, here):
    done = run("audit", table, "--pred-probs", probabilities, "--json")
    assert done.json["out"] == "table-audit"
    assert done.json["rows"] == 240
    assert done.json["issues"] == json.loads((here / "table-audit" / "summary.json").read_text())["issues"]
    assert "Look at these first" in done.err


def test_quiet_says_the_paths_alone(run, table, probabilities):
    done = run("audit", table, "--pred-probs", probabilities, "--quiet")
    assert done.out.split() == ["table-audit/report.html", "table-audit/ledger.parquet", "table-audit/summary.json"]
    assert done.err == ""


def test_given_probabilities_need_no_training(run, table, probabilities, blobs):
    _, given, _ = blobs()
    assert run("audit", table, "--pred-probs", probabilities).code == 0
    ledger = errata.Ledger.load("table-audit")
    expected = errata.audit(labels=np.array([*"abc"])[given], pred_probs=np.load(probabilities))
    np.testing.assert_array_equal(ledger.issue, expected.issue)
    np.testing.assert_array_equal(ledger.trust, expected.trust)


def test_a_run_on_other_rows_judges_the_labels(run, here, blobs, write_csv):
    x, given, true = blobs()
    write_csv(here / "old.csv", x[:120], given[:120])
    write_csv(here / "new.csv", x[120:], given[120:])
    done = run("train", "old.csv", "--system", "ce", "--epochs", "20", "--device", "cpu", "--out", "trained", "-q")
    assert done.code == 0, done.err
    probs = np.full((120, 3), 0.25)
    probs[np.arange(120), true[120:]] = 0.5
    np.save("p.npy", probs)
    wrong = (given != true)[120:]
    for name, more in {"alone": (), "both": ("--pred-probs", "p.npy")}.items():
        done = run("audit", "new.csv", "--label", "label", "--run", "trained", *more, "--out", name, "--json")
        assert done.code == 0, done.err
        assert done.json["rows"] == 120
        first = np.argsort(errata.Ledger.load(name).trust)[: wrong.sum()]
        assert wrong[first].mean() > 0.7
    assert "very data" in run("audit", "old.csv", "--label", "label", "--run", "trained", "--out", "no").paragraph


def test_the_same_seed_gives_the_same_ledger(run, table):
    for out in ("one", "two"):
        assert run("audit", table, *FAST, "--seed", "3", "--out", out).code == 0
    one, two = (pq.read_table(f"{out}/ledger.parquet") for out in ("one", "two"))
    assert one.equals(two)


def test_a_training_systems_ledger(run, table):
    done = run("audit", table, "--method", "elr", "--device", "cpu", "--json")
    assert done.code == 0, done.err
    assert done.json["system"] == "elr"


def test_names_that_are_not_ascii(run, table, probabilities, here):
    source = here / "données été.csv"
    table.rename(source)
    text = source.read_text().replace("label", "étiquette").replace(",a\n", ",мяу\n")
    source.write_text(text, encoding="utf-8")
    done = run("audit", source.name, "--label", "étiquette", "--pred-probs", probabilities)
    assert done.code == 0, done.err
    assert "мяу" in done.out
    assert (here / "données été-audit" / "report.html").exists()


def test_a_second_audit_gets_a_folder_of_its_own(run, table, probabilities, here):
    assert run("audit", table, "--pred-probs", probabilities).code == 0
    before = files(here)
    assert run("audit", table, "--pred-probs", probabilities).code == 0
    assert (here / "table-audit-2" / "ledger.parquet").exists()
    assert before.items() <= files(here).items()


def test_other_files_in_the_chosen_folder_are_never_touched(run, table, probabilities, here):
    (here / "out").mkdir()
    (here / "out" / "mine.txt").write_text("mine")
    assert run("audit", table, "--pred-probs", probabilities, "--out", "out").code == 0
    assert run("audit", table, "--pred-probs", probabilities, "--out", "out", "--force").code == 0
    assert (here / "out" / "mine.txt").read_text() == "mine"


# -- what it can't do -------------------------------------------------------------------------------------------------

ROWS = "".join(f"{i * 7 % 11},{'ab'[i % 2]}\n" for i in range(40))
BAD_TABLES = {
    "empty file": ("", 1, "is empty"),
    "header only": ("x,y\n", 1, "no rows"),
    "one class": ("x,y\n" + ROWS.replace("b", "a"), 1, "'a'"),
    "misspelt label": ("x,yy\n" + ROWS, 2, "Did you mean 'yy'"),
    "labels all missing": ("x,y\n" + ROWS.replace("a", "").replace("b", ""), 1, "no label at all"),
    "numbers as labels": ("x,y\n" + ROWS.replace("a", "0.5").replace("b", "1.5"), 1, "not whole"),
    "infinite feature": ("x,y\n" + "inf,a\n" + ROWS, 1, "row 0"),
    "two columns of one name": ("y,y\n" + ROWS, 1, "more than one column named 'y'"),
    "too many fields": ("x,y\n" + ROWS + "1,a,9\n", 1, "42"),
    "not text": (b"x,y\n\xff\xfe\x80,a\n" + ROWS.encode(), 1, "utf-8"),
    "every label another": ("x,y\n" + "".join(f"{i % 7},name{i}\n" for i in range(300)), 1, "different values"),
}


@pytest.mark.parametrize(("content", "code", "says"), BAD_TABLES.values(), ids=BAD_TABLES)
def test_a_table_that_cannot_be_audited_is_told(run, here, content, code, says):
    (here / "bad.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    done = run("audit", "bad.csv", "--label", "y", *FAST)
    assert done.code == code
    assert says in done.paragraph
    assert os.listdir(here) == ["bad.csv"]
    assert done.out == ""


def odd(change):
    def make(probs):
        probs = probs.copy()
        return change(probs)

    return make


def _with(probs, place, value):
    probs[place] = value
    return probs


BAD_PROBABILITIES = {
    "sums": (odd(lambda p: _with(p, (3, 0), 0.9)), "row 3"),
    "NaN": (odd(lambda p: _with(p, (5, 1), np.nan)), "row 5"),
    "negative": (odd(lambda p: _with(_with(p, 7, [1.5, -0.5, 0]), (0, 0), p[0, 0])), "row 7"),
    "too few columns": (odd(lambda p: p[:, :2] / p[:, :2].sum(1, keepdims=True)), "3"),
    "too many columns": (odd(lambda p: np.c_[p, np.zeros(len(p))]), "4"),
    "too few rows": (odd(lambda p: p[:-1]), "239"),
    "one-dimensional": (odd(lambda p: p[:, 0]), "(240,)"),
}


@pytest.mark.parametrize(("change", "says"), BAD_PROBABILITIES.values(), ids=BAD_PROBABILITIES)
def test_probabilities_that_are_none_are_told(run, table, probabilities, here, change, says):
    np.save(probabilities, change(np.load(probabilities)))
    done = run("audit", table, "--pred-probs", probabilities)
    assert says in done.paragraph
    assert sorted(os.listdir(here)) == ["probs.npy", "table.csv"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--label", "lable"), 2, "Did you mean 'label'"),
        (("--method", "elrr"), 2, "Did you mean 'elr'"),
        (("--rule", "prune"), 2, "prune_by"),
        (("--unreadable", "ignore"), 2, "'error' or 'skip'"),
        (("--features", "f0,ff1"), 2, "Did you mean 'f1'"),
        (("--kind", "f0"), 2, "--kind expects column=kind"),
        (("--pred-probs", "none.npy"), 1, "There is no file none.npy"),
        (("--pred-probs", "table.csv"), 1, "is not a .npy file"),
        (("--out", "table.csv"), 1, "is a file"),
        (("--out", "/proc/out"), 1, "Could not make the folder"),
    ],
)
def test_options_that_cannot_be_are_told(run, table, here, options, code, says):
    done = run("audit", table, *FAST, *options)
    assert done.code == code
    assert says in done.paragraph
    assert os.listdir(here) == ["table.csv"]


def test_a_source_that_is_not_there_or_no_table(run, here):
    assert "none.csv" in run("audit", "none.csv").paragraph
    (here / "a.xls").write_bytes(b"\xd0\xcf\x11\xe0")
    assert ".parquet" in run("audit", "a.xls", "--label", "y").paragraph
    (here / "a.parquet").write_bytes(b"PAR1 and then nothing")
    assert "a.parquet" in run("audit", "a.parquet", "--label", "y").paragraph
    (here / "empty").mkdir()
    assert "empty" in run("audit", "empty").paragraph


def test_an_earlier_audit_is_only_replaced_when_told(run, table, probabilities, here):
    assert run("audit", table, "--pred-probs", probabilities, "--out", "out").code == 0
    before = files(here)
    done = run("audit", table, "--pred-probs", probabilities, "--out", "out")
    assert done.code == 1
    assert "--force" in done.paragraph
    assert files(here) == before


def test_an_unreadable_image_is_named_or_skipped(run, here):
    from PIL import Image

    rng = np.random.default_rng(0)
    for i in range(40):
        folder = here / "photos" / ("dark" if i % 2 else "light")
        folder.mkdir(parents=True, exist_ok=True)
        low = 0 if i % 2 else 128
        Image.fromarray(rng.integers(low, low + 127, size=(8, 8, 3), dtype="uint8")).save(folder / f"{i}.png")
    (here / "photos" / "dark" / "broken.png").write_bytes(b"no image")
    done = run("audit", "photos", *FAST)
    assert done.code == 1
    assert "broken.png" in done.paragraph
    done = run("audit", "photos", *FAST, "--unreadable", "skip", "--json")
    assert done.code == 0, done.err
    assert "broken.png" in done.err
    assert done.json["rows"] == 40


def errata_process(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "errata", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


@pytest.mark.parametrize("limit", [1_000, 9_000])
def test_a_disk_that_is_full_while_saving_leaves_the_old_result(run, table, probabilities, here, limit):
    assert run("audit", table, "--pred-probs", probabilities, "--out", "out").code == 0
    before = files(here)
    process = errata_process(
        "audit", table, "--pred-probs", probabilities, "--out", "out", "--force", "--rule", "prune_by_class",
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
    )  # fmt: skip
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 1, told
    assert "Traceback" not in told
    assert "Could not write" in told.splitlines()[-1]
    after = files(here)
    assert after.keys() == before.keys()
    assert len(errata.Ledger.load("out")) == 240


def test_a_kill_in_the_middle_of_saving_leaves_a_whole_ledger(here):
    code = (
        "import errata, numpy as np\n"
        "n = 200_000\n"
        "for i in range(10_000):\n"
        "    z = np.full(n, i % 100, dtype=np.int32)\n"
        "    errata.Ledger(z, z, np.ones(n), classes=list(range(100))).save('out', report=False)\n"
    )
    for wait in (0.05, 0.11, 0.17):
        process = subprocess.Popen([sys.executable, "-c", code])
        for _ in range(600):
            if (here / "out" / "summary.json").exists():
                break
            time.sleep(0.05)
        time.sleep(wait)
        process.send_signal(signal.SIGKILL)
        process.wait()
        ledger = errata.Ledger.load("out")
        assert len(ledger) == 200_000
        assert len(set(ledger.given.tolist())) == 1
        assert json.loads((here / "out" / "summary.json").read_text())["rows"] == 200_000
