"""Datasets saved to disk by Hugging Face's package, made here with pyarrow alone."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from errata.data import encoder_for, read
from errata.errors import DataError

FEATURES = {"text": {"dtype": "string", "_type": "Value"}, "label": {"names": ["neg", "pos"], "_type": "ClassLabel"}}


def save(folder, tables, features, *, stream=True, indices=None):
    """Write a dataset as ``save_to_disk`` does."""
    folder.mkdir(parents=True)
    names = []
    for i, table in enumerate(tables):
        names.append({"filename": f"data-{i:05d}-of-{len(tables):05d}.arrow"})
        new = pa.ipc.new_stream if stream else pa.ipc.new_file
        with new(str(folder / names[-1]["filename"]), table.schema) as writer:
            writer.write_table(table)
    state = {"_data_files": names, "_fingerprint": "x", "_split": "train"}
    if indices is not None:
        table = pa.table({"indices": pa.array(indices, pa.uint64())})
        with pa.ipc.new_stream(str(folder / "indices.arrow"), table.schema) as writer:
            writer.write_table(table)
        state["_indices_data_files"] = [{"filename": "indices.arrow"}]
    (folder / "state.json").write_text(json.dumps(state))
    (folder / "dataset_info.json").write_text(json.dumps({"features": features}))
    return folder


def texts(start, n=6):
    words = [f"this is the text number {i}" for i in range(start, start + n)]
    return pa.table({"text": words, "label": pa.array([i % 2 for i in range(start, start + n)])})


@pytest.mark.parametrize("stream", [True, False])
def test_texts_in_several_files_with_class_names(tmp_path, stream):
    data = read(save(tmp_path / "d", [texts(0), texts(6)], FEATURES, stream=stream))
    assert (len(data), data.kind, data.format) == (12, "text", "Hugging Face dataset")
    assert data.texts()[7] == "this is the text number 7"
    assert data.labels.classes == ["neg", "pos"]
    assert data.labels.codes.tolist() == [0, 1] * 6


def test_a_selection_of_rows_kept_beside_them_counts(tmp_path):
    data = read(save(tmp_path / "d", [texts(0)], FEATURES, indices=[4, 1, 2]))
    assert data.texts() == [f"this is the text number {i}" for i in (4, 1, 2)]


def test_a_dictionary_of_splits_asks_for_one(tmp_path):
    for split in ("train", "test"):
        save(tmp_path / "d" / split, [texts(0)], FEATURES)
    (tmp_path / "d" / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    with pytest.raises(DataError, match=r"2 splits: train, test.*d/train"):
        read(tmp_path / "d")
    assert len(read(tmp_path / "d" / "train")) == 6


def picture(value, size=(8, 8)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, 0, 255 - value)).save(buffer, "PNG")
    return buffer.getvalue()


def test_images_as_bytes_and_as_paths(tmp_path):
    folder = tmp_path / "d"
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = [{"bytes": picture(i * 20), "path": None} for i in range(5)] + [{"bytes": None, "path": "own.png"}]
    table = pa.table({"image": pa.array(images, kind), "label": pa.array([0, 1] * 3)})
    features = {"image": {"_type": "Image"}, "label": FEATURES["label"]}
    save(folder, [table], features)
    (folder / "own.png").write_bytes(picture(200))
    data = read(folder)
    assert data.kind == "image"
    pixels = encoder_for(data).fit(data).encode(data)
    assert pixels.shape == (6, 3, 8, 8)
    assert pixels[:, 0, 0, 0].tolist() == [0, 20, 40, 60, 80, 200]


def test_paths_out_of_the_folder_are_refused(tmp_path):
    (tmp_path / "secret.png").write_bytes(picture(1))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([{"bytes": None, "path": "../secret.png"}] * 2, kind), "label": [0, 1]})
    save(tmp_path / "d", [table], {"image": {"_type": "Image"}, "label": FEATURES["label"]})
    with pytest.raises(DataError, match="outside of"):
        read(tmp_path / "d", image_column="image")
    state = {"_data_files": [{"filename": "../../etc/passwd"}]}
    (tmp_path / "d" / "state.json").write_text(json.dumps(state))
    with pytest.raises(DataError, match="outside of its folder"):
        read(tmp_path / "d")


def test_damaged_datasets_are_told(tmp_path):
    folder = save(tmp_path / "d", [texts(0)], FEATURES)
    file = next(folder.glob("data*.arrow"))
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="damaged"):
        read(folder)
    file.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read(folder)
    file.unlink()
    with pytest.raises(DataError, match=r"lacks data-00000-of-00001\.arrow"):
        read(folder)
    (folder / "state.json").write_text("{")
    with pytest.raises(DataError, match=r"state\.json is damaged"):
        read(folder)


def test_missing_class_labels_are_missing(tmp_path):
    table = pa.table({"text": ["one two three", "four five six", "seven eight nine"], "label": pa.array([-1, 0, 1])})
    data = read(save(tmp_path / "d", [table], FEATURES))
    assert data.labels.codes.tolist() == [-1, 0, 1]
    assert np.array_equal(data.labels.counts, [1, 1])
