"""JSON lines, Parquet, NumPy archives, saved datasets and folders of images: labels change, nothing else does."""

from __future__ import annotations

import json
import os
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import errata
from errata.correct.apply import apply_to_file
from errata.correct.jsonlines import spans
from errata.correct.provenance import Provenance
from errata.errors import DataError, LedgerError
from errata.ledger import Ledger

# -- JSON lines -------------------------------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.text(max_size=4), VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]))
def test_the_spans_of_values_are_the_values(record, ascii_only, indent):
    separators = (" ,\t", " : ") if indent else None
    text = " " + json.dumps(record, ensure_ascii=ascii_only, separators=separators) + " \r\n"
    assert {name: json.loads(text[start:end]) for name, (start, end) in spans(text).items()} == record


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(VALUES, st.sampled_from(["a", "é", '"b" ']), st.booleans()), min_size=2, max_size=6), st.data()
)
def test_only_the_labels_value_changes_in_a_line(tmp_path, carry_out, rows, data):
    names = sorted({name.strip() for _, name, _ in rows})
    lines = [
        json.dumps({"x": value, "label": name, "": i}, ensure_ascii=ascii_only).replace('"label": ', '"label" :\t')
        for i, (value, name, ascii_only) in enumerate(rows)
    ]
    ends = [data.draw(st.sampled_from(["\n", "\r\n", "\n\n"])) for _ in lines]
    source, out = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_bytes("".join(line + end for line, end in zip(lines, ends)).encode())
    wanted = [data.draw(st.sampled_from([*names, None, "drop"])) for _ in lines]
    if all(w == "drop" for w in wanted):
        return
    decisions = [(i, w) if w == "drop" else (i, "relabel", w) for i, w in enumerate(wanted) if w]
    given = [names.index(name.strip()) for _, name, _ in rows]
    carry_out(Ledger(given, given, np.ones(len(given)), classes=names), decisions, source, out, "label")
    before, after = source.read_bytes().split(b"\n"), out.read_bytes().split(b"\n")
    left = [i for i, w in enumerate(wanted) if w != "drop"]
    kept = [line for line in after if line.strip()]
    assert len(kept) == len(left)
    old_lines = [line for line in before if line.strip()]
    for line, i in zip(kept, left):
        old, new = json.loads(old_lines[i]), json.loads(line)
        if wanted[i] in (None, rows[i][1].strip()):
            assert line == old_lines[i]
        else:
            start, end = spans(old_lines[i].decode())["label"]
            assert line.decode().startswith(old_lines[i].decode()[:start])
            assert line.decode().endswith(old_lines[i].decode()[end:])
            assert new["label"].strip() == wanted[i]
            assert {**new, "label": 0} == {**old, "label": 0}


def test_json_labels_keep_their_type_and_missing_ones_are_put_in(tmp_path, ledger_for):
    source = tmp_path / "a.jsonl"
    source.write_bytes(b'\xef\xbb\xbf{"x": 1, "y": true}\n{"x": 2,"y":false}\n\n{"x": 3}\n{ }\n{"x": 5, "y": null}')
    ledger = ledger_for(source, "y")
    assert ledger.classes == [False, True]
    decisions = [(0, "relabel", "False"), (2, "relabel", "true"), (3, "relabel", True), (4, "relabel", False)]
    apply_to_file(ledger, decisions, tmp_path / "b.jsonl", soft=True)
    lines = (tmp_path / "b.jsonl").read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert lines[0] == b'{"x": 1, "y": false, "p_False": 1, "p_True": 0}'
    assert lines[1] == b'{"x": 2,"y":false, "p_False": 0.9, "p_True": 0.1}'
    assert lines[3] == b'{"x": 3, "y": true, "p_False": 0, "p_True": 1}'
    assert lines[4] == b'{"y": true, "p_False": 0, "p_True": 1 }'
    assert lines[5] == b'{"x": 5, "y": false, "p_False": 1, "p_True": 0}'
    apply_to_file(ledger, decisions, tmp_path / "c.jsonl", source=tmp_path / "b.jsonl", soft=True)
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()


def test_a_new_class_is_written_as_the_others_are(tmp_path, ledger_for):
    source = tmp_path / "a.jsonl"
    source.write_bytes(b'{"x": 1, "y": "1"}\n{"x": 2, "y": "2"}\n')
    apply_to_file(ledger_for(source), [(0, "relabel", 7)], tmp_path / "b.jsonl", new_classes=True)
    assert (tmp_path / "b.jsonl").read_bytes() == b'{"x": 1, "y": "7"}\n{"x": 2, "y": "2"}\n'


# -- Parquet ----------------------------------------------------------------------------------------------------------


def parquet(tmp_path, labels, **options):
    n = len(labels)
    table = pa.table(
        {
            "id": pa.array(np.arange(n), pa.uint16()),
            "label": labels,
            "when": pa.array(np.arange(n), pa.timestamp("us", tz="UTC")),
            "tags": pa.array([["x"] * (i % 3) for i in range(n)], pa.list_(pa.string())),
            "kind": pa.array([f"k{i % 2}" for i in range(n)]).dictionary_encode(),
        }
    )
    table = table.replace_schema_metadata({b"made by": b"ann", **options.pop("metadata", {})})
    path = tmp_path / "a.parquet"
    pq.write_table(table, path, row_group_size=4, **options)
    return path


LABELS = {
    "strings": pa.array(["a", "b", None, "c"] * 3),
    "large strings": pa.array(["a", "b", None, "c"] * 3, pa.large_string()),
    "a dictionary": pa.array(["a", "b", None, "c"] * 3).dictionary_encode(),
    "an ordered dictionary": pa.DictionaryArray.from_arrays(
        pa.array([0, 1, None, 2] * 3, pa.int8()), pa.array(["a", "b", "c"]), ordered=True
    ),
    "small integers": pa.array([1, 2, None, 3] * 3, pa.int8()),
    "floats": pa.array([1.0, 2.0, None, 3.0] * 3),
    "booleans": pa.array([True, False, None, True] * 3),
}


@pytest.mark.parametrize("kind", LABELS)
def test_parquet_keeps_schema_metadata_and_row_groups(tmp_path, ledger_for, kind):
    source, out = parquet(tmp_path, LABELS[kind], compression={"id": "zstd", "label": "snappy"}), tmp_path / "b.parquet"
    ledger = ledger_for(source, "label")
    new = ledger.classes[-1] if kind != "booleans" else False
    outcome = apply_to_file(ledger, [(0, "relabel", new), (2, "relabel", new), (5, "drop"), (11, "relabel", new)], out)
    before, after = pq.ParquetFile(source), pq.ParquetFile(out)
    assert after.schema_arrow.equals(before.schema_arrow, check_metadata=True)
    assert [after.metadata.row_group(i).num_rows for i in range(3)] == [4, 3, 4]
    codecs = [after.metadata.row_group(0).column(i).compression for i in (0, 1)]
    assert codecs == ["ZSTD", "SNAPPY"]
    old, found = before.read().to_pylist(), after.read().to_pylist()
    for row in (0, 2, 11):
        old[row]["label"] = new if kind != "floats" else float(new)
    assert found == [record for row, record in enumerate(old) if row != 5]
    assert outcome.counts["filled"] == 1
    again = tmp_path / "c.parquet"
    apply_to_file(
        ledger, [(0, "relabel", new), (2, "relabel", new), (5, "drop"), (11, "relabel", new)], again, source=out
    )
    assert again.read_bytes() == out.read_bytes()


def test_parquet_codes_stay_codes_and_new_names_come_behind(tmp_path, ledger_for):
    features = {"info": {"features": {"label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}}}
    metadata = {b"huggingface": json.dumps(features).encode()}
    source = parquet(tmp_path, pa.array([0, 1, -1, 1, 0], pa.int64()), metadata=metadata)
    ledger = ledger_for(source, "label")
    assert ledger.classes == ["neg", "pos"]
    out = tmp_path / "b.parquet"
    apply_to_file(ledger, [(0, "relabel", "pos"), (3, "relabel", "mixed")], out, new_classes=True, soft=True)
    table = pq.read_table(out)
    assert table["label"].to_pylist() == [1, 1, -1, 2, 0]
    described = json.loads(table.schema.metadata[b"huggingface"])["info"]["features"]
    assert described["label"]["names"] == ["neg", "pos", "mixed"]
    assert described["p_mixed"]["dtype"] == "float32"
    assert table["p_mixed"].to_pylist() == [0, 0, None, 1, 0]
    assert errata.read(out, "label").labels.names().tolist() == ["pos", "pos", None, "mixed", "neg"]


def test_parquet_labels_that_the_type_can_not_hold_are_refused(tmp_path, ledger_for):
    source = parquet(tmp_path, LABELS["small integers"])
    with pytest.raises(DataError, match="holds int8, which can't hold the class"):
        apply_to_file(ledger_for(source, "label"), [(0, "relabel", "cat")], tmp_path / "b.parquet", new_classes=True)
    with pytest.raises(DataError, match="can't hold the class 300"):
        apply_to_file(ledger_for(source, "label"), [(0, "relabel", 300)], tmp_path / "b.parquet", new_classes=True)


def test_a_row_group_that_is_dropped_is_gone(tmp_path, ledger_for):
    source = parquet(tmp_path, LABELS["strings"])
    apply_to_file(ledger_for(source, "label"), [(row, "drop") for row in range(4, 8)], tmp_path / "b.parquet")
    assert pq.ParquetFile(tmp_path / "b.parquet").num_row_groups == 2


# -- NumPy archives ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_keep_their_other_members_byte_for_byte(tmp_path, ledger_for, save):
    source, out = tmp_path / "a.npz", tmp_path / "b.npz"
    x = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float16)
    save(source, X=x, y=np.array(["a", "b", "a", "c", "b", "a"]), names=np.array(["one", "two"]), n=np.int8(3))
    ledger = ledger_for(source, "y")
    apply_to_file(ledger, [(0, "relabel", "longer"), (2, "relabel", "c")], out, new_classes=True)
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(out) as after:
        assert after.namelist() == before.namelist()
        assert all(after.read(name) == before.read(name) for name in ("X.npy", "names.npy", "n.npy"))
        assert after.getinfo("X.npy").compress_type == before.getinfo("X.npy").compress_type
    with np.load(out) as arrays:
        assert arrays["y"].tolist() == ["longer", "b", "c", "c", "b", "a"]
    apply_to_file(ledger, [(1, "drop"), (2, "relabel", "c")], tmp_path / "c.npz", soft=True)
    with np.load(tmp_path / "c.npz") as arrays:
        assert arrays["y"].tolist() == ["a", "c", "c", "b", "a"]
        assert arrays["X"].dtype == np.float16
        assert np.array_equal(arrays["X"], x[[0, 2, 3, 4, 5]])
        assert arrays["names"].tolist() == ["one", "two"]
        assert arrays["p_c"].tolist()[1] == 1


@pytest.mark.parametrize("kind", [np.uint8, np.int64, np.float32, bool])
def test_archives_keep_the_type_of_labels(tmp_path, ledger_for, kind):
    source, out = tmp_path / "a.npz", tmp_path / "b.npz"
    np.savez(source, X=np.zeros((4, 2)), y=np.array([[0], [1], [1], [0]], dtype=kind))
    apply_to_file(ledger_for(source), [(0, "relabel", 1 if kind is not bool else True)], out)
    with np.load(out) as arrays:
        assert arrays["y"].dtype == kind
        assert arrays["y"].astype(int).tolist() == [[1], [1], [1], [0]]
    if kind is np.uint8:
        with pytest.raises(DataError, match="is uint8, which can't hold the class 300"):
            apply_to_file(ledger_for(source), [(0, "relabel", 300)], tmp_path / "c.npz", new_classes=True)


def test_archives_are_never_unpickled(tmp_path, ledger_for):
    source, plain = tmp_path / "a.npz", tmp_path / "plain.npz"
    np.savez(plain, X=np.zeros((3, 2)), y=np.array([0, 1, 1]))
    ledger = ledger_for(plain)
    np.savez(source, X=np.zeros((3, 2)), y=np.array([0, 1, 1]), extra=np.array([{}, {}, {}], dtype=object))
    apply_to_file(ledger, [(0, "relabel", 1)], tmp_path / "b.npz", source=source)
    with zipfile.ZipFile(source) as before, zipfile.ZipFile(tmp_path / "b.npz") as after:
        assert after.read("extra.npy") == before.read("extra.npy")
    with pytest.raises(DataError, match="holds Python objects, which are not unpickled"):
        apply_to_file(ledger, [(0, "drop")], tmp_path / "c.npz", source=source)
    np.savez(source, X=np.zeros((3, 2)), y=np.array([0, 1, 1], dtype=object))
    with pytest.raises(DataError, match="are Python objects, which are not unpickled"):
        apply_to_file(ledger, [(0, "relabel", 1)], tmp_path / "d.npz", source=source)


# -- Hugging Face datasets --------------------------------------------------------------------------------------------


def saved_dataset(folder, files=2, selection=None):
    """As ``datasets`` saves it."""
    folder.mkdir()
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["neg", "pos"], "_type": "ClassLabel"},
    }
    schema = pa.schema([("text", pa.string()), ("label", pa.int64())]).with_metadata(
        {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
    )
    names = [f"data-{i:05}-of-{files:05}.arrow" for i in range(files)]
    for i, name in enumerate(names):
        table = pa.table({"text": [f"text {i} {j}" for j in range(4)], "label": [0, 1, 1, -1]}).cast(schema)
        with pa.OSFile(str(folder / name), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
            writer.write_table(table, max_chunksize=3)
    state = {"_data_files": [{"filename": name} for name in names], "_fingerprint": "abc", "_split": "train"}
    if selection is not None:
        indices = pa.table({"indices": pa.array(selection, pa.uint64())})
        with pa.OSFile(str(folder / "indices.arrow"), "wb") as sink, pa.ipc.new_stream(sink, indices.schema) as writer:
            writer.write_table(indices)
        state["_indices_data_files"] = [{"filename": "indices.arrow"}]
    (folder / "state.json").write_text(json.dumps(state))
    info = {
        "features": features,
        "splits": {"train": {"num_examples": 4 * files if selection is None else len(selection)}},
    }
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return folder


def test_a_saved_dataset_is_written_again(tmp_path, ledger_for):
    source, out = saved_dataset(tmp_path / "a"), tmp_path / "b"
    ledger = ledger_for(source, "label")
    decisions = [(0, "relabel", "pos"), (3, "relabel", "neg"), (5, "drop"), (6, "relabel", "neg")]
    apply_to_file(ledger, decisions, out)
    data = errata.read(out, "label")
    assert data.labels.names().tolist() == ["pos", "pos", "pos", "neg", "neg", "neg", None]
    assert data.texts()[4] == "text 1 0"
    state, info = (json.loads((out / name).read_text()) for name in ("state.json", "dataset_info.json"))
    assert [(out / entry["filename"]).is_file() for entry in state["_data_files"]] == [True]
    assert state["_fingerprint"] != "abc"
    assert info["splits"]["train"]["num_examples"] == 7
    apply_to_file(ledger, decisions, tmp_path / "c", source=out)
    assert errata.read(tmp_path / "c", "label").table.equals(data.table)


def test_a_selection_of_a_saved_dataset_is_carried_out(tmp_path, ledger_for):
    source, out = saved_dataset(tmp_path / "a", selection=[6, 0, 5]), tmp_path / "b"
    ledger = ledger_for(source, "label")
    if len(ledger) != 3:
        pytest.skip("selections are not read yet")
    apply_to_file(ledger, [(0, "relabel", "mixed"), (1, "drop")], out, new_classes=True, soft=True)
    data = errata.read(out, "label")
    assert data.texts() == ["text 1 2", "text 1 1"]
    assert data.labels.names().tolist() == ["mixed", "pos"]
    assert data.labels.classes == ["neg", "pos", "mixed"]
    features = json.loads((out / "dataset_info.json").read_text())["features"]
    assert list(features) == ["text", "label", "p_neg", "p_pos", "p_mixed"]
    assert data.table["p_mixed"].to_pylist() == [1, 0]


# -- folders of images ------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    for i, name in enumerate(
        ["cat/1.png", "cat/10.png", "cat/2.PNG", "cat/deep/3.jpg", "dog/1.png", "dog/2.png", "été/1.png"]
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (i * 30, 0, 0)).save(folder / name)
    for name in ("cat/notes.txt", "README.md", ".hidden/1.png", "dog/.thumb.png", "Thumbs.db", "loose.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(name)
    (folder / "empty").mkdir()
    return folder


def tree(folder):
    return {
        os.path.relpath(os.path.join(place, name), folder): open(os.path.join(place, name), "rb").read()
        for place, _, names in os.walk(folder)
        for name in names
    }


@pytest.mark.parametrize("link", [False, True])
def test_images_move_to_their_class_and_the_source_stays(photos, tmp_path, ledger_for, link):
    before = tree(photos)
    ledger = ledger_for(photos)
    rows = {name: row for row, name in enumerate(errata.read(photos).table["file"].to_pylist())}
    decisions = [
        (rows["cat/1.png"], "relabel", "dog"),
        (rows["cat/deep/3.jpg"], "relabel", "été"),
        (rows["dog/2.png"], "drop"),
        (rows["été/1.png"], "relabel", "bird"),
    ]
    out = tmp_path / "clean"
    apply_to_file(ledger, decisions, out, new_classes=True, link=link)
    after = tree(out)
    assert tree(photos) == before
    expected = dict(before)
    expected["dog/1.from-cat.png"] = expected.pop("cat/1.png")
    expected["été/deep/3.jpg"] = expected.pop("cat/deep/3.jpg")
    expected["bird/1.png"] = expected.pop("été/1.png")
    del expected["dog/2.png"]
    assert after == expected
    assert (out / "empty").is_dir()
    assert os.path.samefile(out / "cat/2.PNG", photos / "cat/2.PNG") == link
    told = Provenance.read(tmp_path / "clean.provenance.csv")
    moved = dict(zip(told.further["file"], told.further["new_file"]))
    assert moved["cat/1.png"] == "dog/1.from-cat.png"
    assert moved["dog/2.png"] == ""
    names = errata.read(out).labels.names().tolist()
    assert sorted(names) == ["bird", "cat", "cat", "dog", "dog", "été"]
    again = tmp_path / "again"
    apply_to_file(ledger, decisions, again, source=out, new_classes=True)
    assert tree(again) == after
    assert (tmp_path / "again.provenance.csv").read_bytes() == (tmp_path / "clean.provenance.csv").read_bytes()


def test_files_are_counted_as_errata_reads_them(photos):
    from errata.correct.folders import Folder

    data = errata.read(photos)
    source = Folder(photos, None, {}, [])
    assert source.files == data.table["file"].to_pylist()
    assert source.labels.names().tolist() == data.labels.names().tolist()


def test_probabilities_of_images_lie_in_a_table(photos, tmp_path, ledger_for):
    ledger = ledger_for(photos)
    out, again = tmp_path / "clean", tmp_path / "again"
    apply_to_file(ledger, [(0, "relabel", "dog"), (1, "drop")], out, soft=True)
    lines = (out / "soft-labels.csv").read_text().splitlines()
    assert lines[0] == "file,p_cat,p_dog,p_été"
    assert lines[1] == "dog/1.from-cat.png,0,1,0"
    assert len(lines) == 7
    apply_to_file(ledger, [(0, "relabel", "dog"), (1, "drop")], again, source=out, soft=True)
    assert tree(again) == tree(out)


def test_folders_of_others_are_not_replaced(photos, tmp_path, ledger_for):
    ledger = ledger_for(photos)
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(errata.ErrataError, match="a folder that errata did not make"):
        apply_to_file(ledger, [(0, "drop")], out, force=True)
    assert (out / "thesis.txt").read_text() == "years of work"
    made = tmp_path / "made"
    apply_to_file(ledger, [(0, "drop")], made)
    apply_to_file(ledger, [(0, "relabel", "dog")], made, force=True)
    assert len(errata.read(made)) == 7
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]
    for bad in (photos, photos / "clean", tmp_path):
        with pytest.raises(errata.ErrataError, match="source"):
            apply_to_file(ledger, [(0, "drop")], bad, force=True)
    with pytest.raises(DataError, match="can't be the name of a folder"):
        apply_to_file(ledger, [(0, "relabel", "../x")], tmp_path / "x", new_classes=True)


def test_an_image_that_came_or_went_is_told(photos, tmp_path, ledger_for):
    ledger = ledger_for(photos)
    (photos / "dog" / "2.png").unlink()
    with pytest.raises(LedgerError, match="it has 6 rows, the ledger 7"):
        apply_to_file(ledger, [(0, "drop")], tmp_path / "out")


def test_images_that_could_not_be_read_stay_as_they_are(photos, tmp_path, ledger_for):
    (photos / "cat" / "2.PNG").write_bytes(b"no picture")
    ledger = ledger_for(photos, unreadable="skip")
    assert len(ledger) == 6
    apply_to_file(ledger, [(int(ledger.index[-1]), "relabel", "cat")], tmp_path / "out")
    assert (tmp_path / "out/cat/2.PNG").read_bytes() == b"no picture"
    assert (tmp_path / "out/cat/1.from-été.png").is_file()
