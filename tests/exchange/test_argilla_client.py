"""Records and settings against Argilla's own client: it reads what we write, and we read what it writes.

The client is no dependency of errata: `pip install argilla requests` (tried with 2.8.0) runs these. No server is asked:
Argilla's needs Elasticsearch or OpenSearch beside it, so that a running one was not tried.
"""

from __future__ import annotations

import json

import pytest

from errata.exchange import read_answers, write_items
from errata.forms import form_of
from errata.ledger import Ledger

rg = pytest.importorskip("argilla", reason="needs Argilla's client (pip install argilla requests)")

KINDS = {"tokens": "SpanQuestion", "sets": "MultiLabelQuestion", "numbers": "TextQuestion"}


@pytest.fixture(autouse=True)
def without_a_server(monkeypatch):
    """Settings belong to a client, which asks its server who it is as soon as it is made."""
    from argilla._api import _client

    monkeypatch.setattr(_client.APIClient, "_validate_connection", lambda self: None)
    rg.Argilla(api_url="http://127.0.0.1:9", api_key="none")


def written(folder, place):
    paths, _ = write_items(folder, place / "records.json", "argilla", budget=5)
    settings = rg.Settings.from_json(paths[1])
    return settings, [rg.Record.from_dict(told) for told in json.loads(paths[0].read_text(encoding="utf-8"))]


@pytest.mark.parametrize("kind", KINDS)
def test_the_client_reads_records_and_settings(ledgers, tmp_path, kind):
    folder = getattr(ledgers, kind)(tmp_path)
    settings, records = written(folder, tmp_path)
    assert type(settings.questions["label"]).__name__ == KINDS[kind]
    assert len(records) == 5
    assert {name for record in records for name in record.fields} <= {field.name for field in settings.fields}
    told = [record.suggestions["label"] for record in records]
    assert all(suggestion.agent == "errata" and 0 <= suggestion.score <= 1 for suggestion in told)
    settings.validate()


def answered(records, form, ledger):
    """Responses of one person: the first as shown, the second kept, the third dropped, the fourth only begun.

    A server says of each record whether it has as many submitted responses as are wanted.
    """
    me = "6e4b2a0e-8a35-4f6a-9d0e-0a3f5b0c1d2e"
    for number, record in enumerate(records):
        record._model.status = "completed" if number < 3 else "pending"
    for record, action in zip(records, ("as shown", "keep", "drop", "as shown")):
        status = "draft" if record is records[3] else "submitted"
        record.responses.add(rg.Response("action", action, user_id=me, status=status))
        value = record.suggestions["label"].value
        record.responses.add(rg.Response("label", value, user_id=me, status=status))
    first = int(ledger.index[ledger.order[0]])
    position = int(ledger.order[0])
    return {
        (first, "relabel", form.text(position, form.proposed(position))),
        (int(ledger.index[ledger.order[1]]), "keep", None),
        (int(ledger.index[ledger.order[2]]), "drop", None),
    }


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flat", [False, True])
def test_what_the_client_writes_comes_back(ledgers, tmp_path, kind, flat):
    from argilla.records._io import GenericIO, JsonIO

    folder = getattr(ledgers, kind)(tmp_path)
    _, records = written(folder, tmp_path)
    ledger = Ledger.load(folder)
    expected = answered(records, form_of(ledger, folder), ledger)
    out = tmp_path / "done.json"
    if flat:
        out.write_text(json.dumps(GenericIO.to_list(records, flatten=True), default=str))
    else:
        JsonIO.to_json(records, out)
    assert {(a.row, a.action, a.label) for a in read_answers(folder, out, "argilla")} == expected
