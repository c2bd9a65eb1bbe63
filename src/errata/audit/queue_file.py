"""The queue as a table for people: which row, why, which labels, and what the row holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.shards import read_rows
from errata.errors import DataError, ErrataError
from errata.ledger import Ledger
from errata.storage import atomic, source_path

if TYPE_CHECKING:
    import pandas as pd

    from errata.data import Data

__all__ = ["data_of", "queue_table", "true_labels", "write_queue"]

GLIMPSE = 300  # characters of a row's content


def data_of(ledger: Ledger, folder: Path | None = None, label: str | None = None) -> Data | None:
    """The data that a ledger was made from, its rows in the ledger's order; None where they are not at hand any more.

    Parameters
    ----------
    ledger : tells the source in its ``meta``
    folder : where it lies; a training says there how its data were read
    label : another column as the label

    Raises
    ------
    DataError
        where the source is there, and the rows or (without ``label``) the labels are not those of the ledger any more
    """
    from errata.data import read

    if ledger.kind.names:
        return None  # its source has other rows (opinions), and nothing of what these are
    about = {**_description(folder), **ledger.meta}
    own = about.get("label") if isinstance(about.get("label"), str) else None
    if "shards" in about:
        place, data = str(about["source"]), read_rows(about)
    else:
        path = source_path(about, folder)
        if path is None:
            return None
        reading = dict(about["reading"]) if isinstance(about.get("reading"), dict) else {}
        place, data = str(path), read(path, own if own is not None and not path.is_dir() else None, **reading)
    where = np.searchsorted(data.rows, ledger.index)
    found = where < len(data)
    found[found] = data.rows[where[found]] == ledger.index[found]
    if not found.all():
        raise DataError(
            f"{place} has changed since the ledger was made: row {ledger.index[~found][0]} is not in it any more."
        )
    data = data.subset(where)
    if label is not None:
        return data.select_label(label)
    if data.labels is not None and own is not None:
        now = np.array([str(c) for c in data.labels.classes] + [""], dtype=object)[data.labels.codes]
        then = np.array([str(c) for c in ledger.classes] + [""], dtype=object)[ledger.given]
        if (now != then).any():
            row = ledger.index[np.flatnonzero(now != then)[0]]
            raise DataError(f"{place} has changed since the ledger was made: row {row} has another label now.")
    return data


def _description(folder: Path | None) -> dict[str, Any]:
    try:
        told = json.loads((Path(folder) / "run.json").read_text(encoding="utf-8")) if folder is not None else {}
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def true_labels(ledger: Ledger, truth: str, folder: Path | None = None) -> Any:
    """True labels for a simulation: (N,) codes, or names with None where there is none.

    Parameters
    ----------
    truth : a column of the ledger's source, or a .npy file of codes or of names
    folder : where the ledger lies

    Raises
    ------
    DataError
        where the file can't be read, or the source is not at hand
    UnknownNameError
        where the source has no such column
    """
    if truth.endswith(".npy"):
        try:
            return np.load(truth, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise DataError(f"{truth} can't be read as a .npy file of true labels: {error}.") from error
    data = data_of(ledger, folder, truth)
    if data is None:
        raise DataError(
            f"The column '{truth}' is in the data that the ledger was made from, and these are not there any more. Put "
            "them back, or give the true labels as a .npy file."
        )
    labels = data.require_labels(min_classes=1)
    return [None if code < 0 else labels.classes[code] for code in labels.codes.tolist()]


def queue_table(ledger: Ledger, data: Data | None = None) -> pd.DataFrame:
    """The rows within the budget, the first one first.

    Parameters
    ----------
    ledger : what ``errata.audit.queueing.enqueue`` returned
    data : its rows, where they are at hand

    Returns
    -------
    DataFrame with the columns place (from 1), row, score, given, proposed, trust, and content; item, where several
    people labelled items
    """
    import pandas as pd

    if "place" not in ledger.columns:
        raise ErrataError("This ledger has no queue; `errata queue DIR --budget N` makes one.")
    place, queued = ledger.columns["place"], ledger.columns["queued"].astype(bool)
    order = np.argsort(place, kind="stable")
    order = order[queued[order]]
    names = np.array([str(c) for c in ledger.classes] + [""], dtype=object)
    told: dict[str, Any] = {
        "place": place[order] + 1,
        "row": ledger.index[order],
        **({ledger.kind.names: ledger.columns[ledger.kind.names][order]} if ledger.kind.names else {}),
        "score": ledger.columns["queue_score"][order],
    }
    for name, codes in (("given", ledger.given), ("proposed", ledger.proposed)):
        told[name] = ledger.columns[name][order] if name in ledger.columns else names[codes[order]]
    told["trust"] = ledger.trust[order]
    if data is not None:
        told["content"] = [_glimpse(data, int(position)) for position in order]
    return pd.DataFrame(told)


def _glimpse(data: Data, position: int) -> str:
    preview = data.preview(position)
    if preview.text is not None:
        text = " ".join(preview.text.split())
    elif data.images is not None and data.table is None:
        text = data.images.name(int(data.rows[position]))
    else:
        text = ", ".join(f"{name}={value}" for name, value in (preview.row or {}).items() if name != data.label_name)
    return text if len(text) <= GLIMPSE else text[: GLIMPSE - 1] + "…"


def write_queue(table: pd.DataFrame, path: Path) -> Path:
    """Write a queue as .csv, .tsv, .jsonl or .parquet, whole or not at all."""
    ending = path.suffix.lower()
    with atomic(path) as temporary:
        if ending == ".parquet":
            table.to_parquet(temporary, index=False)
        elif ending == ".jsonl":
            table.to_json(temporary, orient="records", lines=True, force_ascii=False)
        else:
            table.to_csv(temporary, index=False, sep="\t" if ending == ".tsv" else ",", float_format="%.6g")
    return path
