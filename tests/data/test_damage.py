"""Damaged files of every kind end in a paragraph for people, never in a traceback."""

from __future__ import annotations

import gzip
import io
import json
import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from errata.data import encoder_for, read
from errata.errors import ErrataError

ODD = [b'"', b",", b"\n", b"\t", b"\0", b"NA", b"inf", b"\r", b";", b"\xff", b"1e999", b"{"]


def picture(i):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (i, i, 9)).save(buffer, "PNG")
    return buffer.getvalue()


def whole_files(folder):
    """A good file of every kind, as bytes by name."""
    rows = "".join(f'{i},{i / 7:.3f},{"xy"[i % 2]},"a text, number {i} ""q"" here",{"ab"[i % 2]}\n' for i in range(30))
    lines = "".join(json.dumps({"n": i / 7, "t": f"a text number {i}", "label": i % 2}) + "\n" for i in range(30))
    table = pa.table({"image": [picture(i) for i in range(6)], "n": list(range(6)), "label": [0, 1] * 3})
    pq.write_table(table, folder / "t", compression="none")
    with pa.ipc.new_stream(str(folder / "s"), table.schema) as writer:
        writer.write_table(table)
    archive, array = io.BytesIO(), io.BytesIO()
    np.savez(archive, X=np.random.default_rng(0).random((9, 3)), y=np.arange(9) % 2)
    np.save(array, np.random.default_rng(0).random((9, 3)))
    csv = f"id,n,c,t,label\n{rows}".encode()
    return {
        "a.csv": csv,
        "a.tsv": csv.replace(b",", b"\t"),
        "a.csv.gz": gzip.compress(csv),
        "a.jsonl": lines.encode(),
        "a.parquet": (folder / "t").read_bytes(),
        "a.npz": archive.getvalue(),
        "a.npy": array.getvalue(),
        "saved/data.arrow": (folder / "s").read_bytes(),
    }


def damaged(content, chance):
    """The file with a few changes: bytes replaced, put in, taken out, or the end cut off."""
    content = bytearray(content)
    for _ in range(chance.choice([1, 1, 2, 4])):
        place = chance.randrange(len(content))
        how = chance.random()
        if how < 0.5:
            content[place] = chance.randrange(256)
        elif how < 0.7:
            content[place:place] = chance.choice(ODD)
        elif how < 0.9:
            del content[place : place + chance.choice([1, 5, 50])]
        else:
            del content[place + 1 :]
    return bytes(content)


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.parquet", "a.npz", "a.npy", "saved/data.arrow"]
)
def test_damaged_files_are_read_or_explained(tmp_path, name):
    good = whole_files(tmp_path)[name]
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    source = path.parent if name.startswith("saved") else path
    chance = random.Random(name)
    explained = []
    for _ in range(60):
        path.write_bytes(damaged(good, chance))
        try:
            data = read(source, chance.choice([None, False]), unreadable=chance.choice(["error", "skip"]))
            data.describe()
            data.preview(0)
            encoder_for(data).fit(data).encode(data)
        except ErrataError as error:
            explained.append(str(error))
    assert len(explained) > 5
    assert not [text for text in explained if "\n" in text or len(text) > 1200]
