"""`errata noise`: a copy in the same format in which only the labels differ, the originals beside them."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

N = 300
LABELS = np.array(["cat", "dog", "été"])[np.arange(N) % 3]
NUMBERS = [f"{i / 7:.3f}0" for i in range(N)]  # a spelling that a float does not keep


def noisy_csv(run, source, *more):
    done = run("noise", source, "--label", "y", "--rate", "0.2", "--out", "noisy.csv", *more)
    assert done.code == 0, done.err
    rows = [line.split(",") for line in Path("noisy.csv").read_text(encoding="utf-8").splitlines()]
    return done, rows[0], rows[1:]


@pytest.fixture
def source(here):
    path = here / "clean.csv"
    path.write_text("x,y\n" + "".join(f"{x},{y}\n" for x, y in zip(NUMBERS, LABELS)), encoding="utf-8")
    return path


def test_only_the_labels_change_and_the_originals_are_kept(run, source):
    before = source.read_bytes()
    done, header, rows = noisy_csv(run, source, "--kind", "symmetric", "--json")
    assert header == ["x", "y", "y_true"]
    assert [row[0] for row in rows] == NUMBERS
    assert [row[2] for row in rows] == list(LABELS)
    changed = sum(row[1] != row[2] for row in rows)
    assert changed == 60
    assert done.json == {"out": "noisy.csv", "rows": 300, "changed": 60, "rate": 0.2, "true_column": "y_true"}
    assert source.read_bytes() == before


def test_the_same_seed_gives_the_same_noise_and_another_gives_another(run, source):
    first = noisy_csv(run, source, "--kind", "symmetric", "--seed", "1")[2]
    assert noisy_csv(run, source, "--kind", "symmetric", "--seed", "1", "--force")[2] == first
    assert noisy_csv(run, source, "--kind", "symmetric", "--seed", "2", "--force")[2] != first


def test_asymmetric_noise_follows_its_mapping(run, source, here):
    rows = noisy_csv(run, source, "--kind", "asymmetric")[2]
    assert {(row[2], row[1]) for row in rows if row[1] != row[2]} == {("cat", "dog"), ("dog", "été"), ("été", "cat")}
    (here / "m.json").write_text('{"cat": "été"}', encoding="utf-8")
    rows = noisy_csv(run, source, "--kind", "asymmetric", "--mapping", "m.json", "--force")[2]
    assert {(row[2], row[1]) for row in rows if row[1] != row[2]} == {("cat", "été")}
    (here / "m.json").write_text("[[1, 0, 0], [1, 0, 0], [0, 0, 1]]")
    rows = noisy_csv(run, source, "--kind", "asymmetric", "--mapping", "m.json", "--force")[2]
    assert {(row[2], row[1]) for row in rows if row[1] != row[2]} == {("dog", "cat")}


def test_instance_dependent_noise_is_planted_on_numbers_and_on_texts(run, source, here):
    rows = noisy_csv(run, source, "--kind", "instance")[2]
    assert 30 < sum(row[1] != row[2] for row in rows) < 90
    lines = (f"the {'cat' if i % 2 else 'dog'} number {i} is a very good one,{i % 2}\n" for i in range(N))
    (here / "texts.csv").write_text("text,y\n" + "".join(lines))
    rows = noisy_csv(run, here / "texts.csv", "--kind", "instance", "--true-column", "was", "--force")[2]
    assert 30 < sum(row[1] != row[2] for row in rows) < 90


def test_a_table_of_any_text_layout_stays_as_it_is(run, here):
    lines = [f'"a ""b""; {i}";{"yes" if i % 2 else "no"};{"" if i % 3 else "z"}' for i in range(50)]
    (here / "a.csv").write_text("\ufefft;y;z\n\n" + "\n".join(lines) + "\n", encoding="utf-8")
    done = run("noise", "a.csv", "--label", "y", "--kind", "symmetric", "--rate", "0", "--text", "t", "--out", "b.csv")
    assert done.code == 2  # there is no such option: nothing but the label matters here
    done = run("noise", "a.csv", "--label", "y", "--kind", "symmetric", "--rate", "0", "--out", "b.csv")
    assert done.code == 0, done.err
    assert (here / "b.csv").read_text() == "t;y;z;y_true\n" + "".join(f"{r};{r.split(';')[-2]}\n" for r in lines)


def test_gzipped_text_whose_quotation_marks_are_text(run, here):
    with gzip.open("a.tsv.gz", "wt") as file:
        file.write("x\ty\n" + "".join(f'{i * i % 17}\t"{i % 2}\n' for i in range(40)))
    done = run("noise", "a.tsv.gz", "--label", "y", "--kind", "symmetric", "--rate", "0.5", "--out", "b.tsv.gz")
    assert done.code == 0, done.err
    lines = gzip.decompress((here / "b.tsv.gz").read_bytes()).decode().splitlines()
    assert lines[0] == "x\ty\ty_true"
    assert sum(line.split("\t")[1] != line.split("\t")[2] for line in lines[1:]) == 20
    assert {line.split("\t")[1] for line in lines[1:]} == {'"0', '"1'}


def test_parquet_keeps_types_and_schema_metadata(run, here):
    table = pa.table(
        {
            "x": pa.array(np.arange(N) ** 2 % 17, pa.int16()),
            "y": pa.array(LABELS).dictionary_encode(),
            "d": pa.array([{"a": [1]}] * N),
        }
    ).replace_schema_metadata({"note": "mine"})
    pq.write_table(table, "a.parquet")
    done = run("noise", "a.parquet", "--label", "y", "--kind", "symmetric", "--rate", "0.1", "--out", "b.parquet")
    assert done.code == 0, done.err
    new = pq.read_table("b.parquet")
    assert new.column_names == ["x", "y", "y_true", "d"]
    assert new.schema.metadata[b"note"] == b"mine"
    assert new["x"].type == pa.int16()
    assert new["y"].type == table["y"].type
    assert new["y_true"].to_pylist() == list(LABELS)
    assert sum(a != b for a, b in zip(new["y"].to_pylist(), LABELS)) == 30


def test_jsonl_keeps_what_it_does_not_know(run, here):
    with open("a.jsonl", "w", encoding="utf-8") as file:
        for i in range(N):
            file.write(json.dumps({"x": i / 3, "y": bool(i % 2), "more": {"k": [i]}}) + "\n")
    done = run("noise", "a.jsonl", "--label", "y", "--kind", "symmetric", "--rate", "0.1", "--out", "b.jsonl")
    assert done.code == 0, done.err
    records = [json.loads(line) for line in (here / "b.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [r["y_true"] for r in records] == [bool(i % 2) for i in range(N)]
    assert [r["more"] for r in records] == [{"k": [i]} for i in range(N)]
    assert sum(r["y"] != r["y_true"] for r in records) == 30


def test_npz_keeps_the_other_arrays(run, here):
    x, y = np.random.default_rng(0).normal(size=(N, 2)).astype("float32"), (np.arange(N) % 3).astype("uint8")
    np.savez("a.npz", x=x, y=y)
    done = run("noise", "a.npz", "--kind", "symmetric", "--rate", "0.1", "--out", "b.npz", "--label", "y")
    assert done.code == 0, done.err
    new = np.load("b.npz")
    np.testing.assert_array_equal(new["x"], x)
    np.testing.assert_array_equal(new["y_true"], y)
    assert new["y"].dtype == y.dtype
    assert (new["y"] != y).sum() == 30


def test_rows_without_a_label_stay_so(run, here):
    (here / "a.csv").write_text("x,y\n" + "".join(f"{i * i % 17},{['a', 'b', ''][i % 3]}\n" for i in range(90)))
    rows = noisy_csv(run, "a.csv", "--kind", "symmetric")[2]
    assert [row[1] for row in rows[2::3]] == [""] * 30
    assert sum(row[1] != row[2] for row in rows) == 12


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--kind", "symetric"), 2, "Did you mean 'symmetric'"),
        (("--kind", "symmetric", "--rate", "1.5"), 2, "rate must be a number in [0, 1], got 1.5"),
        (("--kind", "symmetric", "--label", "yy"), 2, "Did you mean 'y'"),
        (("--kind", "symmetric", "--out", "b.parquet"), 2, "clean.csv can't become b.parquet"),
        (("--kind", "symmetric", "--out", "clean.csv"), 1, "nothing is overwritten"),
        (("--kind", "symmetric", "--true-column", "x"), 1, "has a column 'x' already"),
        (("--kind", "asymmetric", "--mapping", "nosuch"), 2, "mapping"),
        (("--kind", "asymmetric", "--mapping", "none.json"), 1, "There is no none.json"),
        (("--kind", "asymmetric", "--mapping", "bad.json"), 1, "is not JSON"),
        (("--kind", "asymmetric", "--mapping", "odd.json"), 2, "Did you mean 'dog'"),
    ],
)
def test_what_cannot_be_is_told_and_nothing_is_written(run, source, here, options, code, says):
    (here / "bad.json").write_text("{")
    (here / "odd.json").write_text('{"cat": "dogg"}')
    before = {path.name: path.read_bytes() for path in here.iterdir()}
    given = {"--label": "y", "--rate": "0.1", "--out": "noisy.csv", **dict(zip(options[::2], options[1::2]))}
    done = run("noise", source, *(part for pair in given.items() for part in pair))
    assert done.code == code
    assert says in done.paragraph
    assert {path.name: path.read_bytes() for path in here.iterdir()} == before


def test_a_folder_is_not_a_table(run, here):
    (here / "photos").mkdir()
    done = run("noise", "photos", "--kind", "symmetric", "--rate", "0.1", "--out", "b.csv")
    assert done.code == 1
    assert "noise is planted in a table" in done.paragraph


def test_another_encoding_is_kept(run, here):
    lines = [f"{i * i % 17};{'été' if i % 2 else 'hiver'}" for i in range(40)]
    (here / "a.csv").write_bytes(("x;saison\n" + "\n".join(lines)).encode("latin-1"))
    plain = ("noise", "a.csv", "--label", "saison", "--kind", "symmetric", "--rate", "0.5", "--out", "b.csv")
    assert "encoding" in run(*plain).paragraph
    assert run(*plain, "--encoding", "latin-1").code == 0
    copied = [line.split(";") for line in (here / "b.csv").read_bytes().decode("latin-1").splitlines()]
    assert [";".join([row[0], row[2]]) for row in copied[1:]] == lines
    assert sum(row[1] != row[2] for row in copied[1:]) == 20
