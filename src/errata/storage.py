"""Ledgers on disk: ``ledger.parquet`` with everything, ``summary.json`` for people and scripts, ``report.html``.

The Parquet file carries its own description in its metadata, so the one file is enough to load a ledger.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.charts import Chart
from errata.errors import ErrataError, LedgerError
from errata.findings import Finding
from errata.vouching import Vouched

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["atomic", "claim_folder", "load", "make_folder", "save", "write_json"]

FORMAT = 1
PARTS = "parts.parquet"
KEY = b"errata.ledger"
# The report is drawn two floors above; it is named here, as the systems' cards name their modules, not imported.
REPORT = "errata.audit.report:render"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path``; when the block ends well, the file is flushed and moved into place.

    Raises
    ------
    ErrataError
        where the disk is full or the place can't be written; whatever stood at ``path`` still stands there

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with atomic(target) as half_done:
    ...     _ = half_done.write_text("whole")
    >>> target.read_text()
    'whole'
    """
    handle = None
    temporary = path
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise ErrataError(
            f"Could not write {path}: {error.strerror or error}. Nothing that was there before has been changed; "
            "free some space or choose another place."
        ) from error
    finally:
        if handle is not None:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def claim_folder(out: str | Path | None, resume: bool, *, taken_by: Iterable[str], goes_on: bool = True) -> Path | None:
    """Make the folder of a run; one that holds results is refused unless they are to be resumed.

    Parameters
    ----------
    out : the folder; None for a run without one
    taken_by : the names that say that it holds results
    goes_on : whether such a run can be resumed at all

    Raises
    ------
    ErrataError
        where it is taken, or can't be made
    """
    if out is None:
        return None
    folder = Path(out)
    taken = [name for name in taken_by if (folder / name).exists()] if folder.is_dir() else []
    if taken and not resume:
        how = ", or resume that run with resume=True (--resume on the command line)" if goes_on else ""
        raise ErrataError(
            f"{folder} already holds results ({', '.join(taken)}), and nothing is overwritten. "
            f"Choose another folder{how}."
        )
    return make_folder(folder)


def make_folder(folder: Path) -> Path:
    """Make ``folder`` (and those above it); say clearly where that can't be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ErrataError(
            f"Could not make the folder {folder}: {error.strerror or error}. Choose another place."
        ) from error
    if not os.access(folder, os.W_OK):
        raise ErrataError(f"The folder {folder} can't be written to. Choose another place, or change its permissions.")
    return folder


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically, readable by people."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False, default=_plain) + "\n", encoding="utf-8")


def save(ledger: Ledger, folder: Path, *, report: bool = True) -> Path:
    """Write the ledger's three files into ``folder``; see ``Ledger.save``."""
    import pyarrow.parquet as pq

    make_folder(folder)
    table = _to_arrow(ledger)
    with atomic(folder / "ledger.parquet") as temporary:
        pq.write_table(table, temporary, compression="zstd", compression_level=1, row_group_size=1 << 20)
    _save_parts(ledger, folder / PARTS)
    write_json(folder / "summary.json", summary(ledger))
    if report:
        with atomic(folder / "report.html") as temporary:
            temporary.write_text(_renderer()(ledger), encoding="utf-8")
    return folder


def summary(ledger: Ledger) -> dict[str, Any]:
    """What ``summary.json`` says: counts, noise, classes, worst rows, where it came from."""
    given = np.bincount(ledger.given[ledger.given >= 0], minlength=len(ledger.classes))
    flagged = np.bincount(ledger.given[ledger.issue], minlength=len(ledger.classes))
    return {
        "format": FORMAT,
        "rows": len(ledger),
        "labelled": int((ledger.given >= 0).sum()),
        "issues": int(ledger.issue.sum()),
        "noise_rate": ledger.noise.rate,
        "classes": [
            {"name": name, "labels": int(n), "issues": int(f)} for name, n, f in zip(ledger.classes, given, flagged)
        ],
        "transition": ledger.noise.transition.round(6).tolist(),
        "findings": [finding.plain() | {"rows": finding.rows[:20].tolist()} for finding in ledger.findings],
        "estimated_errors": None if ledger.vouched is None else round(ledger.vouched.errors, 1),
        "vouched": None if ledger.vouched is None else _vouched(ledger.vouched, int(ledger.issue.sum())),
        "most_suspicious_rows": [_plain(row) for row in ledger.index[ledger.order[:20]]],
        **ledger.meta,
    }


def _vouched(v: Vouched, issues: int) -> dict[str, Any]:
    """What is stated of the list, and when not to believe it."""
    at = v.at(issues) if issues and len(v.n) else None
    return {
        "errors_low": None if math.isnan(v.errors_low) else round(v.errors_low, 1),
        "errors_high": None if math.isnan(v.errors_high) else round(v.errors_high, 1),
        "issues": None if at is None else {name: round(value, 4) for name, value in at.items()},
        "checked_at_random": v.checked,
        "notes": list(v.notes),
    }


def load(path: Path) -> Ledger:
    """Read a ledger; see ``Ledger.load``."""
    from errata.ledger import Ledger, Noise

    file = path / "ledger.parquet" if path.is_dir() else path
    table, about = _read(file)
    names = table.column_names
    missing = [c for c in ("row", "given", "proposed", "trust", "issue") if c not in names]
    if missing:
        raise LedgerError(f"{file} is damaged: its columns {', '.join(missing)} are missing. Make the ledger again.")
    further = [c for c in names if c.startswith("x:")]
    try:
        ledger = Ledger(
            _numpy(table, "given"),
            _numpy(table, "proposed"),
            _numpy(table, "trust"),
            classes=about["classes"],
            issue=_numpy(table, "issue"),
            noise=Noise(np.asarray(about["joint"], dtype=np.float64)),
            columns={c[2:]: _numpy(table, c) for c in further},
            index=_numpy(table, "row"),
            meta=about["meta"],
            parts=_load_parts(file.parent / PARTS) if about.get("parts") else None,
            findings=[Finding.from_plain(told) for told in about.get("findings", [])],
            vouched=Vouched.from_plain(about["vouched"]) if about.get("vouched") else None,
            charts=[Chart.from_plain(told) for told in about.get("charts", [])],
        )
        ledger._order = _order(_numpy(table, "rank"), len(ledger)) if "rank" in names else None
        return ledger
    except (KeyError, TypeError) as error:
        raise LedgerError(f"{file} is damaged: its description lacks {error}. Make the ledger again.") from error


def _save_parts(ledger: Ledger, file: Path) -> None:
    if ledger.parts is None:
        file.unlink(missing_ok=True)  # of an earlier ledger in this folder
        return
    with atomic(file) as temporary:
        ledger.parts.to_parquet(temporary, index=False, compression="zstd")


def _load_parts(file: Path) -> Any:
    import pandas as pd

    if not file.exists():
        raise LedgerError(f"{file}, with the ledger's finer rows, is missing. Copy it too, or make the ledger again.")
    try:
        return pd.read_parquet(file)
    except (OSError, ValueError) as error:
        raise LedgerError(f"{file} is damaged or not a Parquet file: {error}. Make the ledger again.") from error


def _order(rank: np.ndarray, n: int) -> np.ndarray | None:
    """The order that ranks tell, where they are a permutation; it need not be sorted again."""
    if rank.dtype.kind not in "iu" or (n and (rank.min() < 0 or rank.max() >= n)):
        return None
    order = np.full(n, -1, dtype=np.int64)
    order[rank] = np.arange(n)
    return None if (order < 0).any() else order


def _read(file: Path) -> tuple[Any, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not file.exists():
        raise LedgerError(f"No ledger at {file}. `errata audit SOURCE --out DIR` or Ledger.save(DIR) makes one.")
    try:
        opened = pq.ParquetFile(file)
        raw = (opened.schema_arrow.metadata or {}).get(KEY)
        if raw is None:
            raise LedgerError(
                f"{file} is a Parquet file, but not a ledger of errata (it lacks the ledger's description)."
            )
        about = json.loads(raw)
        table = opened.read()
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, LedgerError):
            raise
        raise LedgerError(f"{file} is damaged or not a Parquet file: {error}. Make the ledger again.") from error
    if about.get("format", 0) > FORMAT:
        raise LedgerError(
            f"{file} was written by a newer errata (format {about['format']}; this one reads up to {FORMAT}). "
            "Upgrade with: pip install --upgrade errata"
        )
    return table, about


def _to_arrow(ledger: Ledger) -> Any:
    import pyarrow as pa

    arrays = {
        "row": pa.array(ledger.index),
        "given": pa.array(_small(ledger.given, len(ledger.classes))),
        "proposed": pa.array(_small(ledger.proposed, len(ledger.classes))),
        "trust": pa.array(ledger.trust),
        "issue": pa.array(ledger.issue),
        "rank": pa.array(ledger.rank),
    }
    for name, values in ledger.columns.items():
        arrays[f"x:{name}"] = pa.array(values.tolist() if values.ndim > 1 else values)
    about = {
        "format": FORMAT,
        "classes": ledger.classes,
        "joint": ledger.noise.joint.tolist(),
        "meta": ledger.meta,
        "parts": ledger.parts is not None,
        "findings": [finding.plain() for finding in ledger.findings],
        "vouched": None if ledger.vouched is None else ledger.vouched.plain(),
        "charts": [chart.plain() for chart in ledger.charts],
    }
    described = json.dumps(about, ensure_ascii=False, default=_plain).encode()
    return pa.table(arrays).replace_schema_metadata({KEY: described})


def _small(codes: np.ndarray, num_classes: int) -> np.ndarray:
    return codes.astype(np.int8 if num_classes <= 127 else np.int16 if num_classes <= 32767 else np.int32)


def _numpy(table: Any, name: str) -> np.ndarray:
    return table.column(name).to_numpy()


def _renderer() -> Callable[[Ledger], str]:
    module, attribute = REPORT.split(":")
    return getattr(importlib.import_module(module), attribute)


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    return str(value)


def source_path(told: Mapping[str, Any], folder: Path | None = None) -> Path | None:
    """The file or folder that a ledger was made from; None where it isn't there (any more).

    Parameters
    ----------
    told : what the ledger or run tells of it: ``source_path``, absolute, and ``source``, as it was typed
    folder : the ledger's folder; the source is also looked for beside it, as both may have been moved
    """
    source, absolute = told.get("source"), told.get("source_path")
    places = [Path(absolute)] if isinstance(absolute, str) else []
    if isinstance(source, str) and source:
        path = Path(source).expanduser()
        near = [] if folder is None or path.is_absolute() else [folder, folder.parent, folder.parent.parent]
        places += [path, *(place / path for place in near)]
    return next((place for place in places if os.path.exists(place)), None)
