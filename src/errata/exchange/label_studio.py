"""Label Studio: tasks with predictions as JSON; annotations back as JSON or JSON-MIN.

A task's ``data`` holds the row (``errata_row``), what there is to see of it, and the ledger's word; a prediction holds
the proposed label. The questions are called ``label`` (of a class, ``Choices``; else see ``label_studio_forms``) and
``action``; ``config`` writes the labelling interface that asks them.

References
----------
Label Studio, Import pre-annotated data; Label Studio Task Format. https://labelstud.io/guide/task_format
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.sax.saxutils import quoteattr

from errata.exchange import items as names
from errata.exchange import label_studio_forms as forms
from errata.exchange.items import ACTION, DROP, LABEL, Answer, Item, Known, fault
from errata.exchange.jsons import members, read_json

__all__ = ["config", "dump", "picture_address", "read", "tasks"]

URL = "/data/local-files/?d="
"""Where Label Studio serves files of its own machine; ``url`` of ``write`` puts another address before the names."""


def dump(some: Iterable[Item], classes: Sequence[str], url: str | None = None) -> bytes:
    """The tasks as a file to be imported."""
    return json.dumps(list(tasks(some, url)), ensure_ascii=False, indent=1).encode()


def tasks(some: Iterable[Item], url: str | None = None) -> Iterator[dict[str, Any]]:
    """The rows as tasks."""
    for item in some:
        data: dict[str, Any] = {
            names.ROW: item.row,
            names.GIVEN: item.given or "",
            names.PROPOSED: item.proposed or "",
            names.TRUST: item.trust,
        }
        if item.text is not None:
            data["text"] = item.text
        if item.picture is not None:
            data["image"] = picture_address(item, URL if url is None else url)
        if item.values or (item.text is None and item.picture is None):
            data["values"] = item.values
        if item.whole is not None:
            data = {name: value for name, value in data.items() if name not in (names.GIVEN, names.PROPOSED)}
            data[names.DOUBTS] = item.whole.doubts
        task: dict[str, Any] = {"data": data}
        if item.proposed is not None:
            task["predictions"] = [{"model_version": "errata", "score": item.score, "result": _proposed(item)}]
        if item.answers:
            task["annotations"] = [_annotation(item, answer) for answer in item.answers]
        yield task


def picture_address(item: Item, url: str) -> str:
    """Where the tool finds a picture: below ``url``, or in the address itself where there is no file."""
    if item.picture is None:
        return ""
    if item.picture.png is not None:
        return "data:image/png;base64," + base64.b64encode(item.picture.png).decode("ascii")
    return url + quote(item.picture.name)


def _proposed(item: Item) -> list[dict[str, Any]]:
    if item.whole is not None:
        return forms.results(item, item.whole.proposed)
    return [_choice(LABEL, str(item.proposed), item.kind)]


def _choice(name: str, value: str, kind: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": kind, "type": "choices", "value": {"choices": [value]}}


def _annotation(item: Item, answer: Answer) -> dict[str, Any]:
    result = []
    if answer.action == DROP:
        result.append(_choice(ACTION, DROP, item.kind))
    elif answer.action == "skip":
        pass
    elif item.whole is not None:
        result += forms.results(item, item.whole.decided(answer))
        if answer.action == forms.KEEP:
            result.append(_choice(ACTION, forms.KEEP, item.kind))
    elif (answer.label or item.given) is not None:
        result.append(_choice(LABEL, str(answer.label or item.given), item.kind))
    more = {names.REVIEWER: answer.reviewer, names.NOTE: answer.note}
    return {"result": result, "was_cancelled": answer.action == "skip", "created_at": answer.when, **more}


def config(classes: Sequence[str], kind: str) -> str:
    """The labelling interface (XML) for texts, pictures or tables: ``kind`` is "text", "image" or "values".

    Examples
    --------
    >>> '<Choice value="cat"/>' in config(["cat", "dog"], "image")
    True
    """
    shown = {"text": "Text", "image": "Image", "values": "Table"}[kind]
    choices = "\n".join(f"    <Choice value={quoteattr(name)}/>" for name in classes)
    return (
        "<View>\n"
        f'  <Header value="given: ${names.GIVEN}, proposed: ${names.PROPOSED}"/>\n'
        f'  <{shown} name="{kind}" value="${kind}"/>\n'
        f'  <Choices name="{LABEL}" toName="{kind}" choice="single" showInline="true">\n{choices}\n  </Choices>\n'
        f'  <Choices name="{ACTION}" toName="{kind}" choice="single" showInline="true">\n'
        f'    <Choice value="{DROP}" hint="leave the row out"/>\n  </Choices>\n'
        "</View>\n"
    )


# -- back -------------------------------------------------------------------------------------------------------------


def read(path: Path, known: Known, reviewer: str = "") -> list[Answer]:
    """The decisions in an export, JSON or JSON-MIN.

    Raises
    ------
    DataError
        where the file is no such export, or names unknown rows or classes
    """
    content = read_json(path)
    if not isinstance(content, list):
        raise fault(str(path), "a list of tasks", type(content).__name__)
    answers: list[Answer] = []
    for number, task in enumerate(content, start=1):
        where = f"{path}, task {number}"
        if not isinstance(task, dict):
            raise fault(where, "a task (an object)", task)
        answers += _minimal(task, where, known, reviewer) if "data" not in task else _full(task, where, known, reviewer)
    return answers


def _full(task: dict[str, Any], where: str, known: Known, reviewer: str) -> list[Answer]:
    data = members(task, "data", dict, where)
    if names.ROW not in data:
        raise fault(where, f"'{names.ROW}' in the task's data, as errata wrote it", sorted(map(str, data))[:8])
    found = []
    for place, annotation in enumerate(members(task, "annotations", list, where, []), start=1):
        here = f"{where}, annotation {place}"
        if not isinstance(annotation, dict):
            raise fault(here, "an annotation (an object)", annotation)
        when = str(annotation.get("updated_at") or annotation.get("created_at") or "")
        said = {
            "reviewer": annotation.get(names.REVIEWER) or _person(annotation.get("completed_by")) or reviewer,
            "when": when,
            "note": str(annotation.get(names.NOTE) or ""),
        }
        if annotation.get("was_cancelled"):
            found.append(Answer(known.row(data[names.ROW], here), "skip", **said))
            continue
        result = members(annotation, "result", list, here)
        if known.form is not None:
            values = _values(result, here)
            found += _whole(values, _chosen(result, ACTION, here), data[names.ROW], here, known, said)
            continue
        chosen = {name: _chosen(result, name, here) for name in (LABEL, ACTION)}
        found += _decided(chosen, data[names.ROW], here, known, said)
    return found


def _values(result: list[Any], where: str) -> list[dict[str, Any]]:
    """The values of the regions or choices, with the sizes of the images that stand beside them."""
    found = []
    for entry in result:
        if not isinstance(entry, dict):
            raise fault(where, "results (objects)", entry)
        if entry.get("from_name") == LABEL:
            sizes = {name: entry[name] for name in ("original_width", "original_height") if name in entry}
            found.append({**sizes, **members(entry, "value", dict, where)})
    return found


def _whole(
    values: list[dict[str, Any]], action: Any, row: Any, where: str, known: Known, said: dict[str, str]
) -> list[Answer]:
    """The decision that regions, choices or a number tell; nothing drawn at all can only mean boxes or spans."""
    form = known.form
    if action == DROP:
        return [Answer(known.row(row, where), DROP, **said)]
    if action == forms.KEEP:
        return [Answer(known.row(row, where), "keep", **said)]
    if action is not None:
        raise fault(where, f"'{forms.KEEP}' or '{DROP}' as the answer of '{ACTION}'", action)
    if form is None or (not values and form.task in ("segmentation", "regression")):
        known.row(row, where)
        return []  # handed in without an answer
    return [known.whole(where, row, lambda position: forms.label_of(form, position, values), **said)]


def _chosen(result: list[Any], name: str, where: str) -> Any:
    """What was chosen in one of the questions; None where nothing was."""
    for entry in result:
        if not isinstance(entry, dict):
            raise fault(where, "results (objects)", entry)
        if entry.get("from_name") != name:
            continue
        choices = members(members(entry, "value", dict, where), "choices", list, where)
        if len(choices) != 1:
            raise fault(where, f"one choice of '{name}'", choices)
        return choices[0]
    return None


def _minimal(task: dict[str, Any], where: str, known: Known, reviewer: str) -> list[Answer]:
    """A task of JSON-MIN: the data and the answers side by side."""
    if names.ROW not in task:
        raise fault(where, f"'data' with '{names.ROW}', or '{names.ROW}' itself (JSON-MIN)", sorted(map(str, task))[:8])
    said = {
        "reviewer": _person(task.get("annotator")) or reviewer,
        "when": str(task.get("updated_at") or task.get("created_at") or ""),
    }
    if known.form is not None:
        values = _minimal_values(task.get(LABEL), known.form.task, where)
        return _whole(values, task.get(ACTION), task[names.ROW], where, known, said)
    return _decided({LABEL: task.get(LABEL), ACTION: task.get(ACTION)}, task[names.ROW], where, known, said)


def _minimal_values(told: Any, task: str, where: str) -> list[dict[str, Any]]:
    """The values of JSON-MIN, in which what has one member is that member."""
    if told is None:
        return []
    if task == "multilabel":
        return [{"choices": [told]} if isinstance(told, str) else told]
    if task == "regression":
        told = told[0] if isinstance(told, list) and len(told) == 1 else told
        return [told if isinstance(told, dict) else {"number": told}]
    if not isinstance(told, list) or any(not isinstance(value, dict) for value in told):
        raise fault(where, f"a list of regions in '{LABEL}'", told)
    return told


def _decided(chosen: dict[str, Any], row: Any, where: str, known: Known, said: dict[str, str]) -> list[Answer]:
    if chosen[ACTION] is not None:
        if chosen[ACTION] != DROP:
            raise fault(where, f"'{DROP}' as the answer of '{ACTION}'", chosen[ACTION])
        return [Answer(known.row(row, where), DROP, **said)]
    if chosen[LABEL] is None:
        known.row(row, where)
        return []  # handed in without an answer
    return [known.answer(where, row, chosen[LABEL], **said)]


def _person(told: Any) -> str:
    """Who it was: a number, or an object with an address or a name."""
    if isinstance(told, dict):
        told = next((told[key] for key in ("email", "username", "id") if told.get(key) not in (None, "")), "")
    return "" if told is None else str(told)
