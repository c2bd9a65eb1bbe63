"""Argilla's records, in every layout in which it writes them."""

from __future__ import annotations

import json
import uuid

import pytest

from errata.errors import DataError
from errata.exchange import read_answers, write_items
from errata.exchange.argilla import user_id

ANN, BOB = str(uuid.UUID(int=1)), str(uuid.UUID(int=2))
NESTED = [
    {
        "id": "2",
        "fields": {"text": "..."},
        "metadata": {"errata_row": 2},
        "suggestions": {"label": {"value": "pos", "score": 0.9, "agent": "errata"}},
        "responses": {"label": [{"value": "pos", "user_id": ANN}, {"value": "neg", "user_id": BOB}]},
        "vectors": {},
        "_server_id": None,
    },
    {
        "id": "0",
        "fields": {},
        "metadata": {"errata_row": 0},
        "responses": {"action": [{"value": "drop", "user_id": ANN}]},
    },
    {"id": "5", "fields": {}, "metadata": {"errata_row": 5}, "responses": {}},
]
FLAT = [
    {
        "id": "2",
        "text": "...",
        "errata_row": 2,
        "label.responses": ["pos", "neg"],
        "label.responses.users": [ANN, BOB],
        "label.responses.status": ["submitted", "submitted"],
        "action.responses": None,
    },
    {"id": "0", "text": "...", "errata_row": 0, "action.responses": ["drop"], "action.responses.users": [ANN]},
    {
        "id": "5",
        "errata_row": 5,
        "label.responses": ["pos"],
        "label.responses.users": [ANN],
        "label.responses.status": ["draft"],
    },
]
EXPECTED = {(2, "relabel", "pos", ANN), (2, "keep", None, BOB), (0, "drop", None, ANN)}


def read(folder, tmp_path, content):
    path = tmp_path / "records.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return {(a.row, a.action, a.label, a.reviewer) for a in read_answers(folder, path, "argilla")}


def by_columns(records):
    names = {name for record in records for name in record}
    return {name: [record.get(name) for record in records] for name in sorted(names)}


@pytest.mark.parametrize("records", [NESTED, FLAT])
@pytest.mark.parametrize(
    "layout",
    [
        lambda records: records,
        by_columns,
        lambda records: {record["id"]: record for record in records},
        lambda records: "\n".join(json.dumps(record) for record in records),
    ],
)
def test_responses_become_decisions_in_every_layout(texts, tmp_path, records, layout):
    assert read(texts, tmp_path, layout(records)) == EXPECTED


def test_a_discarded_record_is_skipped(texts, tmp_path):
    record = {**FLAT[0], "label.responses.status": ["discarded", "submitted"]}
    assert read(texts, tmp_path, [record]) == {(2, "skip", None, ANN), (2, "keep", None, BOB)}


def test_a_record_holds_what_argilla_needs(texts, tmp_path):
    write_items(texts, tmp_path / "out.json", "argilla")
    first = json.loads((tmp_path / "out.json").read_text())[0]
    assert set(first) == {"id", "fields", "metadata", "suggestions", "responses", "vectors"}
    assert first["id"] == "2"
    assert first["fields"]["text"].startswith("=cmd")
    assert first["suggestions"]["label"] == {"value": "pos", "score": 0.9, "agent": "errata"}
    assert first["responses"] == {}


def test_pictures_are_files_or_below_an_address(photos, tmp_path):
    write_items(photos, tmp_path / "out.json", "argilla")
    assert json.loads((tmp_path / "out.json").read_text())[0]["fields"]["image"] == str(tmp_path / "pets/a dog/0.png")
    write_items(photos, tmp_path / "out.json", "argilla", url="https://x.org/")
    assert json.loads((tmp_path / "out.json").read_text())[0]["fields"]["image"] == "https://x.org/a%20dog/0.png"


def test_people_are_known_by_an_id_that_does_not_change():
    assert user_id("ann") == user_id("ann") != user_id("bob")
    assert uuid.UUID(user_id("ann")).version == 5


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([{"fields": {}}], "record 1: expected 'errata_row' in the metadata"),
        (
            [{"id": "99", "responses": {"label": [{"value": "pos"}]}}],
            "record 1: expected a row of the ledger; found '99'",
        ),
        ([{"id": "2", "responses": {"label": [{"value": "?"}]}}], r"expected one of the classes neg, pos; found '\?'"),
        ([{"id": "2", "responses": {"label": ["pos"]}}], "expected responses to 'label' with a value; found 'pos'"),
        ([{"id": "2", "responses": {"label": {"value": "pos"}}}], "expected a list in 'label'"),
        ({"id": ["2", "3"], "responses": [{}]}, "expected columns of one length"),
        ("7", "expected records"),
        ([5], r"expected a record \(an object\); found 5"),
    ],
)
def test_what_is_not_as_expected_is_told_by_record(texts, tmp_path, content, said):
    with pytest.raises(DataError, match=said):
        read(texts, tmp_path, content)
