"""CVAT's format against datumaro, CVAT's own library of formats: both read what the other writes.

It is no dependency of errata: `pip install datumaro` (tried with 1.13.12) runs these.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from errata.exchange import read_answers, write_items
from errata.forms import form_of
from errata.ledger import Ledger

datumaro = pytest.importorskip("datumaro", reason="needs datumaro (pip install datumaro), CVAT's library of formats")


def opened(folder: Path, name: str, place: Path) -> tuple[Ledger, object, dict[str, object]]:
    """A ledger, its form, and the items that datumaro reads of what was written, by the picture's name."""
    write_items(folder, place / f"{name}.zip", "cvat", budget=12)
    with zipfile.ZipFile(place / f"{name}.zip") as archive:
        archive.extractall(place / name)
    dataset = datumaro.Dataset.import_from(str(place / name), "cvat")
    ledger = Ledger.load(folder)
    return ledger, form_of(ledger, folder), {Path(item.id).stem: item for item in dataset}


def named(dataset_item, kind, names):
    return [(names[a.label], a) for a in dataset_item.annotations if a.type == kind]


def label_names(place: Path) -> list[str]:
    dataset = datumaro.Dataset.import_from(str(place), "cvat")
    return [entry.name for entry in dataset.categories()[datumaro.AnnotationType.label]]


def test_boxes_that_we_write_are_read_as_they_are(ledgers, tmp_path):
    folder = ledgers.boxes(tmp_path)
    _, form, items = opened(folder, "out", tmp_path)
    names = label_names(tmp_path / "out")
    for position in range(12):
        found = named(items[f"{position:02}"], datumaro.AnnotationType.bbox, names)
        told = sorted((name, *np.round(a.points, 2).tolist()) for name, a in found)
        assert told == sorted(tuple(box) for box in form.proposed(position))


def test_masks_that_we_write_are_read_as_they_are(ledgers, tmp_path):
    folder = ledgers.masks(tmp_path)
    _, form, items = opened(folder, "out", tmp_path)
    names = label_names(tmp_path / "out")
    for position in range(12):
        found = dict(named(items[f"{position:02}"], datumaro.AnnotationType.mask, names))
        wanted = dict(form.areas(form.proposed(position)))
        assert found.keys() == wanted.keys()
        for name, area in wanted.items():
            assert (np.asarray(found[name].image).astype(bool) == area).all()


@pytest.mark.parametrize("kind", ["boxes", "masks"])
def test_what_datumaro_writes_is_read(ledgers, tmp_path, kind):
    folder = getattr(ledgers, kind)(tmp_path)
    ledger, form, _ = opened(folder, "out", tmp_path)
    dataset = datumaro.Dataset.import_from(str(tmp_path / "out"), "cvat")
    tags = ("(as shown)", "(drop this picture)")
    names = [entry.name for entry in dataset.categories()[datumaro.AnnotationType.label]]
    plain = [item.wrap(annotations=[a for a in item.annotations if names[a.label] not in tags]) for item in dataset]
    other = datumaro.Dataset.from_iterable(
        plain, categories=dataset.categories(), media_type=datumaro.components.media.Image
    )
    other.export(str(tmp_path / "theirs"), "cvat", save_media=True)
    file = next((tmp_path / "theirs").rglob("*.xml"))
    answers = {answer.row: answer for answer in read_answers(folder, file, "cvat", reviewer="ann")}
    assert sorted(answers) == list(range(12))  # no picture has our tag, so that all of them count
    for position in range(12):
        answer = answers[int(ledger.index[position])]
        proposed = form.proposed(position)
        assert (answer.action == "keep") == form.same(proposed, form.given(position))
        assert answer.label is None or form.same(form.read(position, answer.label), proposed)
