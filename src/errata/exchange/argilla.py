"""Argilla (2.x): records as JSON, with the proposed label as a suggestion; responses back.

What comes back may be a list of records (``dataset.records.to_list()``, ``to_json``), the same by columns or by record
(``to_dict()``), nested or flattened, or a record in each line. Two questions are asked, ``label`` and ``action``; which
they are, the settings beside the records tell (``argilla_forms``).

References
----------
Argilla, rg.Record; rg.Dataset.records. https://docs.argilla.io/latest/reference/argilla/records/records
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from errata.exchange import argilla_forms as forms
from errata.exchange import items as names
from errata.exchange.items import ACTION, DROP, LABEL, Answer, Item, Known, fault
from errata.exchange.jsons import members, read_json
from errata.exchange.label_studio import picture_address

__all__ = ["dump", "read", "records", "user_id"]

PEOPLE = uuid.UUID("5ac1b33e-3b1f-4d0f-9e5e-0e77a7a00001")  # reviewers' names become ids below it
PENDING = "pending"
LEFT = ("draft", PENDING)  # not handed in; nested records tell it of the record only


def dump(some: Iterable[Item], classes: Sequence[str], url: str | None = None) -> bytes:
    """The records as a file that ``dataset.records.from_json`` reads."""
    return json.dumps(list(records(some, url)), ensure_ascii=False, indent=1).encode()


def user_id(reviewer: str) -> str:
    """The id under which a reviewer's responses go out: Argilla knows people by UUID."""
    return str(uuid.uuid5(PEOPLE, reviewer))


def records(some: Iterable[Item], url: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows as records."""
    for item in some:
        fields: dict[str, Any] = {}
        if item.text is not None:
            fields["text"] = item.text
        if item.picture is not None:
            fields["image"] = _address(item, url)
        if item.values or not fields:
            fields["values"] = "\n".join(f"{name}: {value}" for name, value in item.values.items())
        suggestions = {}
        if item.proposed is not None:
            suggested = item.proposed if item.whole is None else forms.value(item, item.whole.proposed)
            suggestions[LABEL] = {"value": suggested, "score": item.score, "agent": "errata"}
        responses: dict[str, list[Any]] = {}
        for answer in item.answers:
            for name, value in _said(item, answer):
                responses.setdefault(name, []).append({"value": value, "user_id": user_id(answer.reviewer)})
        about = item.given if item.whole is None else item.whole.doubts
        told: dict[str, Any] = {names.ROW: item.row, names.GIVEN if item.whole is None else names.DOUBTS: about}
        if item.trust is not None:
            told[names.TRUST] = item.trust
        yield {
            "id": str(item.row),
            "fields": fields,
            "metadata": told,
            "suggestions": suggestions,
            "responses": responses,
            "vectors": {},
        }


def _said(item: Item, answer: Answer) -> Iterator[tuple[str, Any]]:
    """The questions that a decision answers, and how."""
    if answer.action in (DROP, "skip"):
        yield ACTION, answer.action
    elif item.whole is None:
        yield LABEL, item.given if answer.label is None else answer.label
    else:
        yield LABEL, forms.value(item, item.whole.decided(answer))
        yield ACTION, forms.SHOWN


def _address(item: Item, url: str | None) -> str:
    """Argilla reads pictures from files itself, unless an address is given."""
    path = None if item.picture is None else item.picture.path
    return str(path.absolute()) if path is not None and url is None else picture_address(item, url or "")


# -- back -------------------------------------------------------------------------------------------------------------


def read(path: Path, known: Known, reviewer: str = "", people: Sequence[str] = ()) -> list[Answer]:
    """The decisions in exported records.

    Parameters
    ----------
    path : the file
    known : the ledger's rows and classes
    reviewer : whose they are, where a response does not tell
    people : reviewers that are known; the ids under which they went out become their names again

    Raises
    ------
    DataError
        where the file holds no records, or they name unknown rows or classes
    """
    named = {user_id(name): name for name in people}
    answers: list[Answer] = []
    for number, record in enumerate(_records(read_json(path), str(path)), start=1):
        where = f"{path}, record {number}"
        if not isinstance(record, dict):
            raise fault(where, "a record (an object)", record)
        row = _row(record, where)
        by_user: dict[str, dict[str, Any]] = {}
        for name in (LABEL, ACTION):
            for user, value, status in _responses(record, name, where):
                user = "" if user == "None" else user
                if status == "discarded":
                    by_user.setdefault(user, {})[ACTION] = "skip"
                elif status not in LEFT:
                    by_user.setdefault(user, {}).setdefault(name, value)
        for user, said in by_user.items():
            answers += _decided(said, row, where, known, named.get(user, user) or reviewer)
    return answers


def _records(content: Any, where: str) -> list[Any]:
    """The records, however they were laid out."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict) or not content:
        raise fault(where, "records: a list, or an object by columns or by record", type(content).__name__)
    if all(isinstance(value, list) for value in content.values()):
        lengths = {name: len(column) for name, column in content.items()}
        if len(set(lengths.values())) > 1:
            raise fault(where, "columns of one length", lengths)
        return [dict(zip(content, line)) for line in zip(*content.values())]
    if all(isinstance(value, dict) for value in content.values()):
        return [{"id": name, **record} for name, record in content.items()]
    raise fault(where, "records: a list, or an object by columns or by record", sorted(map(str, content))[:8])


def _row(record: dict[str, Any], where: str) -> Any:
    """The row: in the metadata, or flattened beside it, or else the record's id."""
    metadata = members(record, "metadata", dict, where, {})
    for value in (metadata.get(names.ROW), record.get(names.ROW), record.get("id")):
        if value is not None:
            return value
    raise fault(where, f"'{names.ROW}' in the metadata, or the row as the record's id", sorted(map(str, record))[:8])


def _responses(record: dict[str, Any], name: str, where: str) -> Iterator[tuple[str, Any, str]]:
    """Who answered a question, what, and whether it was handed in."""
    flat = f"{name}.responses"
    if flat in record:
        values = members(record, flat, list, where, [])
        users = members(record, f"{flat}.users", list, where, [""] * len(values))
        states = members(record, f"{flat}.status", list, where, ["submitted"] * len(values))
        if not len(values) == len(users) == len(states):
            raise fault(
                where, f"as many users and states as answers in '{flat}'", [len(values), len(users), len(states)]
            )
        yield from zip(map(str, users), values, (str(state or "submitted") for state in states))
        return
    for response in members(members(record, "responses", dict, where, {}), name, list, where, []):
        if not isinstance(response, dict) or "value" not in response:
            raise fault(where, f"responses to '{name}' with a value", response)
        user = response.get("user_id")
        state = response.get("status") or (PENDING if record.get("status") == PENDING else "submitted")
        yield "" if user is None else str(user), response["value"], str(state)


def _decided(said: dict[str, Any], row: Any, where: str, known: Known, reviewer: str) -> list[Answer]:
    action = said.get(ACTION)
    if known.form is not None and action in (None, *forms.ACTIONS[:2]):
        return _whole(said, row, where, known, reviewer)
    if action is not None and action != "keep":
        if action not in (DROP, "skip"):
            raise fault(where, f"'{DROP}', 'keep' or 'skip' as the answer of '{ACTION}'", action)
        return [Answer(known.row(row, where), action, reviewer=reviewer)]
    if said.get(LABEL) is None:
        known.row(row, where)
        return []
    return [known.answer(where, row, said[LABEL], reviewer=reviewer)]


def _whole(said: dict[str, Any], row: Any, where: str, known: Known, reviewer: str) -> list[Answer]:
    """A label that is no class: as given, or as it was shown when it was handed in."""
    form, action = known.form, said.get(ACTION)
    if action == "keep":
        return [Answer(known.row(row, where), "keep", reviewer=reviewer)]
    if form is None or (said.get(LABEL) is None and (action is None or form.task == "regression")):
        known.row(row, where)
        return []
    return [known.whole(where, row, lambda at: forms.label_of(form, at, said.get(LABEL)), reviewer=reviewer)]
