"""Folders of images by class."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from errata.data import encoder_for, read
from errata.data.folders import natural
from errata.errors import DataError, UnknownNameError


def picture(path, value=10, size=(8, 8)):
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    Image.new("RGB", size, (value, value, 0)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue())


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for i in (10, 2, 1):
        picture(root / "Hund 犬" / f"img{i}.PNG", i)
    picture(root / "cat2" / "a.jpeg", 50)
    picture(root / "cat10" / "deep" / "b.png", 60)
    (root / "cat2" / "notes.txt").write_text("not an image")
    (root / "cat2" / ".hidden.png").write_text("junk")
    (root / ".git").mkdir()
    (root / ".git" / "x.png").write_text("junk")
    (root / "__MACOSX").mkdir()
    (root / "empty").mkdir()
    picture(root / "loose.png")
    return root


def test_classes_are_the_folders_and_names_sort_as_people_do(photos):
    data = read(photos)
    assert data.labels.classes == ["cat2", "cat10", "Hund 犬"]
    assert data.labels.names().tolist() == ["cat2", "cat10"] + ["Hund 犬"] * 3
    assert data.table["file"].to_pylist() == [
        "cat2/a.jpeg",
        "cat10/deep/b.png",
        "Hund 犬/img1.PNG",
        "Hund 犬/img2.PNG",
        "Hund 犬/img10.PNG",
    ]
    assert encoder_for(data).fit(data).encode(data)[:, 0, 0, 0].tolist() == [50, 60, 1, 2, 10]
    told = " ".join(data.describe())
    for part in ("1 files are no images", "without images were left out: empty", "1 images that lie in no class's"):
        assert part in told
    assert data.preview(4).row == {"file": "Hund 犬/img10.PNG"}


def test_unreadable_files_are_named_or_skipped(photos):
    (photos / "cat2" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(DataError, match=r"1 of 6 images .*cat2/broken\.png"):
        read(photos)
    data = read(photos, unreadable="skip")
    assert data.rows.tolist() == [0, 2, 3, 4, 5]
    assert data.labels.names()[0] == "cat2"


def test_labels_can_be_left_out_and_named(photos, tmp_path):
    assert read(photos, False).labels is None
    assert read(photos, "folder").label_name == "folder"
    with pytest.raises(UnknownNameError, match="no label named 'labels'"):
        read(photos, "labels")
    assert read(photos, classes=["cat10", "cat2", "Hund 犬", "bird"]).labels.codes.tolist() == [1, 0, 2, 2, 2]
    flat = tmp_path / "flat"
    picture(flat / "b2.png")
    picture(flat / "b10.png")
    assert read(flat, False).table["file"].to_pylist() == ["b2.png", "b10.png"]


def test_folders_that_will_not_do_are_told(tmp_path):
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="no sub-folders"):
        read(tmp_path / "none")
    (tmp_path / "some" / "a").mkdir(parents=True)
    with pytest.raises(DataError, match=r"folders \(a\) hold no images"):
        read(tmp_path / "some")
    picture(tmp_path / "flat" / "x.png")
    with pytest.raises(DataError, match="none in a folder of its class"):
        read(tmp_path / "flat")
    for split in ("train", "Test"):
        picture(tmp_path / "parts" / split / "cat" / "x.png")
    with pytest.raises(DataError, match=r"Read one of them: .*parts/(train|Test)"):
        read(tmp_path / "parts")
    with pytest.raises(DataError, match=r"no file or folder .*nonne\. Did you mean .*none\?"):
        read(tmp_path / "nonne")


@given(st.lists(st.text("aB10٣²_.", max_size=6)))
def test_natural_order_is_an_order(names):
    ordered = sorted(names, key=natural)
    names.reverse()
    assert sorted(names, key=natural) == ordered
    numbers = [f"x{n}" for n in np.random.default_rng(0).permutation(30)]
    assert sorted(numbers, key=natural) == [f"x{n}" for n in range(30)]
