"""Correcting labels that are no classes: what changes is what was decided, and nothing else."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import errata
from errata.correct.apply import apply_to_file
from errata.correct.places import provenance_of
from errata.errors import DataError, LedgerError, ParameterError, UnknownNameError
from errata.forms import form_of
from errata.ledger import Ledger

NAMES = {
    "conll": "ner.conll",
    "sentences": "ner.jsonl",
    "coco": "boxes.json",
    "yolo": "yolo",
    "masks": "masks",
    "numbers": "houses.csv",
    "columns": "songs.csv",
    "text": "tags.csv",
    "lists": "tags.jsonl",
}


@pytest.fixture(scope="module")
def ledgers():
    path = Path(__file__).parents[1] / "exchange" / "ledgers.py"
    spec = importlib.util.spec_from_file_location("exchange_ledgers", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def made(ledgers, tmp_path):
    """A function that makes a ledger's folder."""
    make = {
        "conll": ledgers.tokens,
        "sentences": lambda place: ledgers.tokens(place, ".jsonl"),
        "coco": ledgers.boxes,
        "yolo": ledgers.yolo,
        "masks": ledgers.masks,
        "numbers": ledgers.numbers,
        "columns": ledgers.sets,
        "text": lambda place: ledgers.sets(place, "text"),
        "lists": lambda place: ledgers.sets(place, "lists"),
    }
    return lambda kind: make[kind](tmp_path)


def content(path: Path) -> dict[str, bytes]:
    """The bytes of a file, or of the files of a folder."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def chosen(folder: Path) -> pd.DataFrame:
    """The worst row gets what is proposed, the second worst is kept, row 2 is dropped."""
    ledger = Ledger.load(folder)
    form, order = form_of(ledger, folder), ledger.order.tolist()
    text = form.text(order[0], form.proposed(order[0]))
    rows = [int(ledger.index[p]) for p in order[:2]]
    table = [(rows[0], "relabel", text, "ann"), (2, "drop", None, "bob")]
    if rows[1] != 2:
        table.append((rows[1], "keep", None, "ann"))
    return pd.DataFrame(table, columns=["row", "action", "label", "reviewer"])


@pytest.mark.parametrize("kind", NAMES)
def test_applied_once_is_applied(made, tmp_path, kind):
    folder, source = made(kind), tmp_path / NAMES[kind]
    before, decisions = content(source), chosen(folder)
    tried = apply_to_file(folder, decisions, None, dry_run=True)
    (tmp_path / "clean").mkdir()
    out = tmp_path / "clean" / NAMES[kind]
    done = apply_to_file(folder, decisions, out)
    assert content(source) == before
    assert tried.counts == done.counts
    assert (tried.changed, tried.written, done.written) == (done.changed, False, True)
    assert done.counts["dropped"] == 1
    assert done.rows_after == done.rows_before - 1
    assert list(tried.diff())
    provenance = pd.read_csv(provenance_of(out), keep_default_na=False)
    assert {"row", "old", "new", "who", "when", "why"} <= set(provenance.columns)
    assert set(provenance["row"]) == {int(decisions["row"][0]), 2}
    assert provenance.loc[provenance["row"] == 2, "who"].tolist() == ["bob"]
    # the same decisions on what came out change nothing more
    again = apply_to_file(folder, decisions, tmp_path / "clean" / f"2{NAMES[kind]}", source=out)
    assert again.changed == 0
    assert content(tmp_path / "clean" / f"2{NAMES[kind]}") == content(out)
    assert provenance_of(tmp_path / "clean" / f"2{NAMES[kind]}").read_bytes() == provenance_of(out).read_bytes()


@pytest.mark.parametrize("kind", NAMES)
def test_what_is_proposed_is_what_is_written(made, tmp_path, kind):
    folder = made(kind)
    (tmp_path / "clean").mkdir()
    out = tmp_path / "clean" / NAMES[kind]
    apply_to_file(folder, "proposed", out)
    ledger = Ledger.load(folder)
    form = form_of(ledger, folder)
    if kind in ("numbers", "columns", "text", "lists"):
        clean = errata.apply(folder, "proposed")
        for position in range(len(ledger)):
            assert form.same(clean["label"].iloc[position], form.proposed(position))
        return
    written = form_of(ledger, labels=out)
    for position in range(len(ledger)):
        assert form.same(written.given(position), form.proposed(position))


def test_lines_of_conll_change_only_where_a_token_does(made, tmp_path):
    folder = made("conll")
    source = tmp_path / "ner.conll"
    odd = "-DOCSTART- -X- O\r\n\r\n# sent_id = 1\r\n" + source.read_text(encoding="utf-8").replace("\n", "\r\n")
    source.write_text(odd.replace("lives\tX\tO", "lives \tX\t O"), encoding="utf-8", newline="")
    before = source.read_bytes().split(b"\n")
    apply_to_file(folder, [(7, "relabel", '["B-LOC", "O", "O"]'), (0, "keep")], tmp_path / "clean.conll")
    after = (tmp_path / "clean.conll").read_bytes().split(b"\n")
    assert [(a, b) for a, b in zip(before, after) if a != b] == [(b"Rome\tX\tO\r", b"Rome\tX\tB-LOC\r")]
    assert len(before) == len(after)
    apply_to_file(folder, [(0, "drop")], tmp_path / "less.conll")
    assert b"# sent_id" not in (tmp_path / "less.conll").read_bytes()
    assert (tmp_path / "less.conll").read_bytes().startswith(b"-DOCSTART- -X- O\r\n\r\nBen\t")


def test_columns_by_blanks_and_labels_elsewhere_are_kept(ledgers, tmp_path):
    rows = [[("in", "O"), ("Rome", "LOC")], [("to", "O"), ("Rome", "LOC")]] * 10
    rows[5] = [("to", "O"), ("Rome", "O")]
    text = "".join("".join(f"{label:<5}{word}   x\n" for word, label in row) + "\n" for row in rows)
    (tmp_path / "a.txt").write_text(text)
    labels = [[label for _, label in row] for row in rows]
    truth = ["O", "LOC"] * 20
    probs = np.where(np.array(truth)[:, None] == np.array(["LOC", "O"]), 0.9, 0.1)
    ledger = errata.audit(
        str(tmp_path / "a.txt"), label=0, token=1, task="tokens", pred_probs=probs, classes=["LOC", "O"], progress=False
    )
    folder = ledger.save(tmp_path / "audit", report=False)
    assert labels[5] == ["O", "O"]
    apply_to_file(folder, "proposed", tmp_path / "b.txt")
    lines = [(a, b) for a, b in zip(text.split("\n"), (tmp_path / "b.txt").read_text().split("\n")) if a != b]
    assert lines == [("O    Rome   x", "LOC    Rome   x")]


def test_coco_keeps_everything_else_as_it_is(made, tmp_path):
    folder = made("coco")
    text = (tmp_path / "boxes.json").read_text()
    crowd = {"id": 99, "image_id": 103, "category_id": 1, "bbox": [0, 0, 3, 3], "iscrowd": 1, "segmentation": []}
    content = json.loads(text)
    content["annotations"].insert(4, crowd)
    (tmp_path / "boxes.json").write_text(json.dumps(content, indent=1))
    apply_to_file(folder, "proposed", tmp_path / "clean.json")
    before, after = (json.loads((tmp_path / n).read_text()) for n in ("boxes.json", "clean.json"))
    assert {k: v for k, v in before.items() if k != "annotations"} == {
        k: v for k, v in after.items() if k != "annotations"
    }
    kept = {one["id"]: one for one in after["annotations"]}
    swapped = next(one for one in before["annotations"] if one["image_id"] == 105)
    assert kept[swapped["id"]] == {**swapped, "category_id": 1}
    assert kept[99] == crowd
    new = next(one for one in after["annotations"] if one["id"] > 99)
    assert (new["image_id"], new["category_id"], new["bbox"]) == (103, 7, [20, 18, 15, 10])
    assert all(one in after["annotations"] for one in before["annotations"] if one["image_id"] not in (105, 108))
    # a dropped image takes its crowds along
    apply_to_file(folder, [(3, "drop")], tmp_path / "less.json")
    less = json.loads((tmp_path / "less.json").read_text())
    assert 103 not in {image["id"] for image in less["images"]} | {one["image_id"] for one in less["annotations"]}
    lines = set((tmp_path / "boxes.json").read_text().splitlines())
    assert set((tmp_path / "less.json").read_text().splitlines()) <= lines


def test_a_moved_box_loses_its_outline(made, tmp_path):
    folder = made("coco")
    content = json.loads((tmp_path / "boxes.json").read_text())
    content["annotations"][0] |= {"segmentation": [[5, 5, 15, 5, 15, 15]]}
    (tmp_path / "boxes.json").write_text(json.dumps(content))
    boxes = [{"label": "red", "box": [5, 5, 14, 15]}, {"label": "blue", "box": [20, 18, 35, 28]}]
    apply_to_file(folder, [(0, "relabel", json.dumps(boxes))], tmp_path / "clean.json")
    one = json.loads((tmp_path / "clean.json").read_text())["annotations"][0]
    assert (one["bbox"], one["area"], one["segmentation"], one["note"]) == ([5, 5, 9, 10], 90, [], "box 0")


def test_masks_keep_their_palette_and_type(made, tmp_path):
    folder = made("masks")
    for file in (tmp_path / "masks").iterdir():
        with Image.open(file) as old:
            new = old.convert("P")
            new.putdata(list(old.getdata()))
        new.putpalette([1, 2, 3, 40, 50, 60, 70, 80, 90] + [0] * 759)
        new.save(file)
    (tmp_path / "masks" / "classes.txt").write_text("ground\nred\nblue\n")
    apply_to_file(folder, "proposed", tmp_path / "clean")
    before, after = content(tmp_path / "masks"), content(tmp_path / "clean")
    assert [name for name in before if before[name] != after[name]] == ["04.png", "09.png"]
    with Image.open(tmp_path / "clean" / "04.png") as new:
        assert (new.mode, new.getpalette()[:9]) == ("P", [1, 2, 3, 40, 50, 60, 70, 80, 90])
        assert (np.asarray(new)[18:28, 20:35] == 2).all()


def test_masks_in_one_array(tmp_path):
    given = np.zeros((4, 8, 8), dtype=np.uint8)
    given[:, :, 4:] = 1
    probs = np.where(np.stack([given == 0, given == 1], axis=1), 0.9, 0.1)
    given[2, :4, 4:] = 0
    np.save(tmp_path / "m.npy", given)
    ledger = errata.audit(
        str(tmp_path / "m.npy"), pred_probs=probs, classes=["road", "sky"], task="segmentation", progress=False
    )
    folder = ledger.save(tmp_path / "audit", report=False)
    text = form_of(ledger).text(2, form_of(ledger).proposed(2))
    apply_to_file(folder, [(2, "relabel", text), (0, "drop")], tmp_path / "clean.npy")
    new = np.load(tmp_path / "clean.npy")
    assert new.dtype == np.uint8
    assert new.shape == (3, 8, 8)
    assert (new[1] == given[1]).all()
    with pytest.raises(DataError, match="a class for every pixel"):
        apply_to_file(
            folder,
            [(0, "relabel", '[{"label": null, "box": [0, 0, 1, 1], "runs": "0 1"}]')],
            tmp_path / "n.npy",
        )


def test_numbers_are_written_as_decided_and_all_else_stays(made, tmp_path):
    folder = made("numbers")
    before = (tmp_path / "houses.csv").read_bytes().split(b"\n")
    apply_to_file(folder, [(11, "relabel", "150.5"), (12, "relabel", 200), (0, "relabel", "50.5")], tmp_path / "c.csv")
    after = (tmp_path / "c.csv").read_bytes().split(b"\n")
    changed = [(a, b) for a, b in zip(before, after) if a != b]
    assert changed == [
        (b'4,77,"x, 11",3689.25\r', b'4,77,"x, 11",150.5\r'),
        (b'5,84,"x, 12",17.5\r', b'5,84,"x, 12",200\r'),
    ]
    clean = errata.apply(folder, [(11, "relabel", "150.5"), (3, "drop")])
    assert len(clean) == 39
    assert clean["label"].loc[11] == 150.5


def test_columns_of_zeros_and_ones_change_one_by_one(made, tmp_path):
    folder = made("columns")
    before = (tmp_path / "songs.csv").read_text().split("\n")
    apply_to_file(folder, [(7, "relabel", "fast, loud"), (9, "relabel", "none"), (1, "drop")], tmp_path / "c.csv")
    after = (tmp_path / "c.csv").read_text().split("\n")
    del before[2]
    assert [(a, b) for a, b in zip(before, after) if a != b] == [("0,-3,0,1", "0,-3,1,1")]
    table = pd.read_csv(provenance_of(tmp_path / "c.csv"), keep_default_na=False)
    assert table[["row", "old", "new", "part"]].values.tolist() == [[1, "none", "", ""], [7, 0, 1, "fast"]] or table[
        ["row", "old", "new", "part"]
    ].astype(str).values.tolist() == [["1", "none", "", ""], ["7", "0", "1", "fast"]]


def test_lists_are_written_in_the_way_of_the_others(made, tmp_path):
    folder = made("text")
    apply_to_file(folder, [(7, "relabel", '["loud", "fast"]')], tmp_path / "c.csv")
    assert (tmp_path / "c.csv").read_text().split("\n")[8] == "0,-3,fast; loud"
    folder = made("lists")
    apply_to_file(folder, [(7, "relabel", "fast, loud")], tmp_path / "c.jsonl")
    line = (tmp_path / "c.jsonl").read_text().split("\n")[7]
    assert line == '{"tempo": 0, "tags": ["fast", "loud"], "volume": -3}'


@pytest.mark.parametrize("kind", ["conll", "coco", "masks", "numbers", "columns"])
def test_data_that_were_changed_since_are_refused(made, tmp_path, kind):
    folder, source = made(kind), tmp_path / NAMES[kind]
    if kind == "masks":
        Image.fromarray(np.ones((30, 40), dtype=np.uint8)).save(source / "06.png")
    else:
        swaps = {
            "conll": ("Ada\tX\tB-PER", "Ada\tX\tO"),
            "numbers": (",143.75", ",144.75"),
            "columns": ("1,1\n", "1,0\n"),
        }
        old, new = swaps.get(kind, ('"category_id": 1', '"category_id": 7'))
        text = source.read_text()
        assert old in text
        source.write_text(text.replace(old, new, 1))
    with pytest.raises(LedgerError, match="fit the ledger"):
        apply_to_file(folder, [(7, "keep"), (8, "drop")], tmp_path / f"out{source.suffix}")
    assert not (tmp_path / f"out{source.suffix}").exists()


def test_what_is_refused(made, tmp_path):
    folder = made("conll")
    out = tmp_path / "c.conll"
    with pytest.raises(DataError, match=r"decision on row 7: expected a JSON list of 3 labels"):
        apply_to_file(folder, [(7, "relabel", '["O"]')], out)
    with pytest.raises(UnknownNameError, match="B-TIME"):
        apply_to_file(folder, [(7, "relabel", '["B-TIME", "O", "O"]')], out)
    apply_to_file(folder, [(7, "relabel", '["B-TIME", "O", "O"]')], out, new_classes=True)
    with pytest.raises(ParameterError, match="soft"):
        apply_to_file(folder, [(7, "keep")], tmp_path / "d.conll", soft=True)
    with pytest.raises(ParameterError, match=r"\.conll"):
        apply_to_file(folder, [(7, "keep")], tmp_path / "d.jsonl")
    (tmp_path / "short.conll").write_text("a\tX\tO\n\nb\tX\tO\n")
    with pytest.raises(LedgerError, match="40 rows"):
        apply_to_file(folder, [(7, "keep")], tmp_path / "d.conll", source=tmp_path / "short.conll")


DENSE = """% songs
@relation 'songs: -C 2'
@attribute tempo numeric
@attribute fast {0,1}
@attribute 'very loud' {no, yes}
@data
% the first
1.5, 1 ,no
2.5,0,yes
'3.5',1,?
4.5,0,no
"""
SPARSE = """@relation songs
@attribute fast {0,1}
@attribute tempo numeric
@attribute 'very loud' {no, yes}
@data
{0 1, 1 1.5}
{1 2.5,2 yes}
{}
{1 4.5}
"""


@pytest.mark.parametrize(
    ("content", "changed"),
    [
        (DENSE, [("1.5, 1 ,no", "1.5, 0 ,yes"), ("'3.5',1,?", "'3.5',0,yes")]),
        (SPARSE, [("{0 1, 1 1.5}", "{0 0, 1 1.5, 2 yes}"), ("{}", "{2 yes}")]),
    ],
)
def test_arff(tmp_path, content, changed):
    (tmp_path / "s.arff").write_text(content)
    names = ["fast", "very loud"]
    probs = np.array([[0.1, 0.9], [0.1, 0.9], [0.1, 0.9], [0.1, 0.1]])
    ledger = errata.audit(
        str(tmp_path / "s.arff"), label=names, pred_probs=probs, classes=names, task="multilabel", progress=False
    )
    folder = ledger.save(tmp_path / "audit", report=False)
    decisions = [(0, "relabel", "very loud"), (2, "relabel", "very loud"), (3, "keep")]
    outcome = apply_to_file(folder, decisions, tmp_path / "c.arff")
    lines = zip(content.split("\n"), (tmp_path / "c.arff").read_text().split("\n"))
    assert [(a, b) for a, b in lines if a != b] == changed
    assert outcome.counts["relabelled"] == 2
    again = apply_to_file(folder, decisions, tmp_path / "d.arff", source=tmp_path / "c.arff")
    assert again.changed == 0
    assert (tmp_path / "d.arff").read_bytes() == (tmp_path / "c.arff").read_bytes()
    less = apply_to_file(folder, [(1, "drop")], tmp_path / "e.arff")
    assert less.rows_after == 3
    assert len((tmp_path / "e.arff").read_text().split("\n")) == len(content.split("\n")) - 1


def test_labels_in_memory(ledgers):
    tokens = [["go", "to", "Rome"], ["in", "Rome"]] * 10
    labels = [["O", "O", "LOC"], ["O", "LOC"]] * 10
    labels[4] = ["O", "O", "O"]
    ledger = errata.audit(tokens, labels, task="tokens", folds=4, progress=False)
    clean = errata.apply(ledger, [(4, "relabel", '["O", "O", "LOC"]'), (1, "drop")], source=(tokens, labels))
    assert len(clean) == 19
    assert clean["labels"].loc[4] == ["O", "O", "LOC"]
    assert clean["tokens"].iloc[1] == ["go", "to", "Rome"]
    assert clean.provenance[["row", "old", "new"]].values.tolist()[1] == [4, "O", "LOC"]
    given = [{"boxes": [[0, 0, 10, 10]], "labels": ["cat"]}, {"boxes": [[1, 1, 4, 4]], "labels": ["dog"]}]
    seen = [{**one, "scores": [0.9]} for one in given]
    seen[0] = {**seen[0], "labels": ["dog"]}
    ledger = errata.audit(given, predictions=seen, task="boxes", classes=["cat", "dog"])
    clean = errata.apply(ledger, "proposed", source=given)
    assert clean["labels"].tolist() == [["dog"], ["dog"]]
    assert clean["boxes"].tolist() == [[(0, 0, 10, 10)], [(1, 1, 4, 4)]]
    masks = np.zeros((2, 4, 4), dtype=np.uint8)
    probs = np.full((2, 2, 4, 4), 0.5)
    ledger = errata.audit(masks, pred_probs=probs, task="segmentation", progress=False)
    area = '[{"label": "1", "box": [1, 1, 3, 3], "runs": "0 4"}]'
    clean = errata.apply(ledger, [(1, "relabel", area)], source=masks)
    assert clean["mask"].iloc[1].sum() == 4
    assert masks.sum() == 0


def test_a_correction_can_be_saved(made, tmp_path):
    clean = errata.apply(made("conll"), [(7, "relabel", '["B-LOC", "O", "O"]')])
    assert clean["labels"].loc[7] == ["B-LOC", "O", "O"]
    clean.save(tmp_path / "c.conll")
    assert (tmp_path / "c.conll").read_text(encoding="utf-8").count("Rome\tX\tB-LOC") == 24
    with pytest.raises(ParameterError, match="the format of its source"):
        clean.save(tmp_path / "c.jsonl")
    ledger = Ledger.load(tmp_path / "ner.conll-audit")
    (tmp_path / "ner.conll").unlink()
    with pytest.raises(DataError, match="are not there any more"):
        errata.apply(ledger, [(7, "keep")])
