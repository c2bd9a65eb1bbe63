"""What a row holds, and what is said where the data are gone or changed."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import errata
from errata.ledger import Ledger
from errata.review.content import TEXT, Content


def read(ledger: Ledger, folder: Path, data=None) -> Content:
    content = Content(ledger, folder, data)
    content.read()
    return content


def test_texts_are_shown_without_their_label(folder):
    content = read(Ledger.load(folder), folder)
    assert content.state == "ready"
    look = content.look(3)
    assert look.text == "This is the long text of animal 3, which says meow."
    assert look.values is None
    assert content.picture(3, 64) is None


def test_tables_are_shown_value_by_value(tmp_path):
    lines = [f"{i / 7},Oslo,{'ab'[i % 2]}" for i in range(10)]
    (tmp_path / "t.csv").write_text("size,city,label\n" + "\n".join(lines) + "\n")
    given = np.arange(10) % 2
    about = {"source": str(tmp_path / "t.csv"), "label": "label"}
    content = read(Ledger(given, given, np.ones(10), classes=["a", "b"], meta=about), tmp_path)
    assert content.look(1).values == {"size": "0.142857", "city": "Oslo"}
    assert content.look(1).text is None


def test_pictures_are_made_small_and_known_by_row_only(tmp_path):
    for name, colour in (("cat", "red"), ("dog", "blue")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("RGB", (400, 200), colour).save(tmp_path / "pets" / name / "1.png")
    ledger = Ledger([0, 1], [1, 1], [0.1, 0.9], classes=["cat", "dog"], meta={"source": str(tmp_path / "pets")})
    content = read(ledger, tmp_path)
    assert content.state == "ready", content.said
    assert content.look(0).picture
    assert content.look(0).values["file"].endswith("1.png")
    picture = Image.open(io.BytesIO(content.picture(1, 100)))
    assert picture.size == (100, 50)
    assert picture.convert("RGB").getpixel((50, 25)) == (0, 0, 255)
    (tmp_path / "pets" / "dog" / "1.png").write_bytes(b"broken")
    assert content.picture(1, 100) is None  # no exception: the reviewer goes on


def test_a_long_text_is_cut_and_the_rest_counted(tmp_path):
    texts = ["word " * TEXT, *(f"this is text number {i}" for i in range(9))]
    given = np.arange(10) % 2
    content = read(Ledger(given, given, np.ones(10), classes=[0, 1]), tmp_path, texts)
    assert len(content.look(0).text) == TEXT
    assert content.look(0).cut == 4 * TEXT


def test_a_relative_source_is_found_beside_the_ledger_and_above(tmp_path, make_ledger, monkeypatch):
    (tmp_path / "audit").mkdir()
    make_ledger(tmp_path / "audit", source="animals.csv")
    monkeypatch.chdir("/")
    assert read(Ledger.load(tmp_path / "audit"), tmp_path / "audit").state == "ready"
    shutil.move(tmp_path / "audit" / "animals.csv", tmp_path)
    assert read(Ledger.load(tmp_path / "audit"), tmp_path / "audit").state == "ready"


def test_a_training_tells_in_run_json_how_its_data_were_read(tmp_path, make_ledger):
    make_ledger(tmp_path, source="animals.csv", label=None)
    ledger = Ledger.load(tmp_path)
    del ledger.meta["label"]
    source = tmp_path / "animals.csv"
    source.write_text(source.read_text().replace("text,label", "text,which").replace("meow", "meow; purr"))
    about = {"label": "which", "reading": {"text": "text", "features": None, "kinds": None}}
    (tmp_path / "run.json").write_text(json.dumps(about))
    assert read(ledger, tmp_path).look(0).text.endswith("meow; purr.")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "no longer there"),
        (
            lambda path: path.write_text("".join(path.read_text().splitlines(keepends=True)[:11])),
            "20 of the 30 rows are no longer there",
        ),
        (
            lambda path: path.write_text(re.sub(r"(animal 4\D.*),dog", r"\1,owl", path.read_text())),
            "1 rows have another label than it says, the first in row 4",
        ),
        (lambda path: path.write_bytes(b"\xff\xfe\x00rubbish"), "Only row numbers"),
        (lambda path: path.write_text(path.read_text().replace("text,label", "text,name")), "label"),
    ],
)
def test_where_the_data_are_gone_or_changed_only_row_numbers_are_shown(folder, harm, said):
    harm(folder / "animals.csv")
    content = read(Ledger.load(folder), folder)
    assert content.state == "missing"
    assert said in content.said
    assert content.look(0).text is None


def test_a_ledger_without_a_source_takes_the_data_from_the_caller(tmp_path):
    x = np.arange(20.0).reshape(10, 2)
    given = np.arange(10) % 2
    ledger = Ledger(given, given, np.ones(10), classes=[0, 1])
    assert "does not say from which data" in read(ledger, tmp_path).said
    assert list(read(ledger, tmp_path, x).look(4).values.values()) == ["8", "9"]
    named = Ledger(given, given, np.ones(10), classes=[0, 1], index=[f"item {i}" for i in range(10)])
    assert "item 0" in read(named, tmp_path, x).said


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_data_are_said(folder):
    (folder / "animals.csv").chmod(0)
    assert "permission" in read(Ledger.load(folder), folder).said


def test_tokens_that_look_wrong_are_marked_in_their_sentence(tmp_path):
    file = tmp_path / "said.conll"
    file.write_text("Ann B-PER\nlives O\nin O\nRome O\n\nin O\nParis B-PER\n\n" * 10)
    ledger = errata.audit(str(file), task="tokens", folds=3, progress=False)
    ledger.parts["issue"] = (ledger.parts["row"] == 0) & (ledger.parts["position"] == 3)
    ledger.save(tmp_path / "audit", report=False)
    content = Content(Ledger.load(tmp_path / "audit"), tmp_path / "audit")
    content.read()
    assert content.state == "ready", content.said
    look = content.look(0)
    assert "".join(piece.text for piece in look.pieces) == look.text == "Ann lives in Rome"
    assert [piece.text for piece in look.pieces if piece.side] == ["Rome"]
    assert not any(piece.side for piece in content.look(1).pieces)
    file.write_text("Ann B-PER\n\n" * 20)
    content = Content(Ledger.load(tmp_path / "audit"), tmp_path / "audit")
    content.read()
    assert content.state == "missing"
    assert "has changed" in content.said
