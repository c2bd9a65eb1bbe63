"""The passes of a sharded audit: what a worker does with one shard. See ``errata.audit.sharded``."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from errata.audit.shards import Columns, Shard
from errata.audit.trust import logit_counts, with_shift
from errata.errors import DataError
from errata.labels import MISSING
from errata.scores.blocks import BlockReader
from errata.scores.evidence import Evidence, confident_class, count_pairs, gather
from errata.storage import atomic

__all__ = [
    "CLEAR",
    "WORST",
    "Ends",
    "Plan",
    "Sampled",
    "Written",
    "bins",
    "key_of",
    "labels",
    "pairs",
    "sums",
    "within",
    "write",
]

CLEAR = 3e-6  # above this, a margin belongs to a row that is predicted otherwise, whatever the rounding
WORST = 100_000  # rows of the ledger that is returned where there are more than fit


@dataclass(frozen=True)
class Plan:
    """What the passes so far have found out; sent to the workers with each pass."""

    columns: Columns
    folds: Any = None
    thresholds: np.ndarray = field(default_factory=lambda: np.empty(0))
    samples: tuple[np.ndarray, ...] = ()  # of places among the labelled rows: for the sharpness, and for vouching
    slope: float = 1.0

    def read(self, shard: Shard) -> tuple[np.ndarray, BlockReader, Evidence]:
        """The shard's given labels, probabilities and evidence."""
        codes, values = shard.read(self.columns)
        if self.folds is not None:
            values = self.folds.predict(values, shard.start)
        if values.shape[1] != len(self.columns.classes):
            raise DataError(
                f"{shard.path} has {values.shape[1]} probabilities per row; {len(self.columns.classes)} classes are "
                "known. Every class needs its column; name all classes with classes=."
            )
        reader = BlockReader(values)
        return codes, reader, gather(reader, codes.astype(np.int32))


def labels(column: str, shard: Shard) -> np.ndarray:
    return shard.labels(column)


def sums(plan: Plan, shard: Shard) -> tuple[np.ndarray, np.ndarray, int]:
    codes, _, evidence = plan.read(shard)
    known = codes >= 0
    total = np.bincount(codes[known], evidence.own[known].astype(np.float64), minlength=len(plan.columns.classes))
    return total, evidence.counts, int(known.sum())


Sampled = tuple[np.ndarray, np.ndarray]
"""(n,) given labels and (n, K) probabilities of some rows."""


def pairs(plan: Plan, starts: np.ndarray, shard: Shard) -> tuple[np.ndarray, list[Sampled]]:
    codes, reader, evidence = plan.read(shard)
    counted = confident_class(reader, evidence, plan.thresholds)
    labelled = np.flatnonzero(codes >= 0)
    found = []
    for places in plan.samples:
        rows = labelled[_here(places, starts, shard)]
        found.append((codes[rows], np.asarray(reader.array[rows])))
    return count_pairs(evidence.given, counted, reader.num_classes), found


def _here(places: np.ndarray, starts: np.ndarray, shard: Shard) -> np.ndarray:
    """Of places among all labelled rows those within the shard, counted from its first."""
    first, last = np.searchsorted(places, starts[shard.number : shard.number + 2])
    return places[first:last] - starts[shard.number]


def _margins_of(
    reader: BlockReader, evidence: Evidence, wanted: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    classes = reader.num_classes
    chosen = (evidence.given >= 0) & (wanted.max(axis=1) > 0)[evidence.given]
    if least > 0:
        chosen &= evidence.contested
    found: list[tuple[np.ndarray, ...]] = []

    def work(start: int, stop: int) -> tuple[np.ndarray, ...]:
        local = np.flatnonzero(chosen[start:stop])
        given = evidence.given[start + local].astype(np.int64)
        margins = reader.take(start, stop, local)
        margins -= evidence.own[start + local, None]
        use = (wanted[given] > 0) & (margins >= least)
        at, other = np.nonzero(use)
        return given[at] * classes + other, _ordered(margins[at, other]), start + local[at]

    found = list(reader.map(work))
    return tuple(np.concatenate(column) for column in zip(*found))  # type: ignore[return-value]


def _ordered(margins: np.ndarray) -> np.ndarray:
    """Floats as 64-bit unsigned integers of the same order."""
    bits = np.ascontiguousarray(margins, dtype=np.float64).view(np.uint64)
    return bits ^ np.where(bits >> np.uint64(63), np.uint64(2**64 - 1), np.uint64(1 << 63))


_BIN_BITS = np.uint64(20)
_BIN = np.uint64(44)  # bits below a bin: a sign, eleven bits of exponent and eight of fraction are told apart


def bins(
    plan: Plan, wanted: np.ndarray, least: float, scored: bool, shard: Shard
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    codes, reader, evidence = plan.read(shard)
    of, keys, _ = _margins_of(reader, evidence, wanted, least)
    both, counts = np.unique(of.astype(np.uint64) << _BIN_BITS | keys >> _BIN, return_counts=True)
    own = np.where(codes >= 0, np.clip(evidence.own, 0, 1), np.nan).astype(evidence.own.dtype)
    pair, end = (both >> _BIN_BITS).astype(np.int64), both & np.uint64((1 << int(_BIN_BITS)) - 1)
    return pair, end, counts, logit_counts(own, plan.slope) if scored else None


def within(
    plan: Plan, wanted: np.ndarray, least: float, last_bin: np.ndarray, shard: Shard
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    _, reader, evidence = plan.read(shard)
    of, keys, _ = _margins_of(reader, evidence, wanted, least)
    inside = (keys >> _BIN) == last_bin[of]
    order = np.lexsort((keys[inside], of[inside]))
    pair, key = of[inside][order], keys[inside][order]
    first = np.flatnonzero(np.r_[True, (pair[1:] != pair[:-1]) | (key[1:] != key[:-1])][: len(pair)])
    return pair[first], key[first], np.diff(np.r_[first, len(pair)])


@dataclass(frozen=True)
class Ends:
    """Where each pair's quota ends: all larger margins are in, and of equal ones so many per shard."""

    wanted: np.ndarray
    least: float
    last: np.ndarray  # (P,) ordered margin
    ties: np.ndarray  # (P, shards) how many of those that equal it
    kept: np.ndarray  # (P,)

    def flag(self, reader: BlockReader, evidence: Evidence, number: int) -> np.ndarray:
        """(n,) which rows of the shard are within some pair's quota."""
        pairs, keys, rows = _margins_of(reader, evidence, self.wanted, self.least)
        flagged = np.zeros(reader.num_rows, dtype=bool)
        flagged[rows[keys > self.last[pairs]]] = True
        equal = np.flatnonzero(keys == self.last[pairs])
        equal = equal[np.lexsort((rows[equal], pairs[equal]))]
        of = pairs[equal]
        place = np.arange(len(of)) - np.searchsorted(of, of)
        flagged[rows[equal[place < self.ties[of, number]]]] = True
        return flagged


@dataclass(frozen=True)
class Written:
    """What comes back of a shard whose part of the ledger is written.

    Parameters
    ----------
    columns : of all its rows; or, of data too large for that, of its worst
    issues : how many there are among all its rows
    thin : the same columns of the shard's share of an even sample of all labelled rows, where not all come back
    """

    columns: dict[str, np.ndarray]
    issues: int
    thin: dict[str, np.ndarray] | None = None


def write(
    plan: Plan,
    ends: Ends,
    below: Ends | None,
    shift: float,
    out: Path | None,
    thin: tuple[np.ndarray, np.ndarray] | None,
    shard: Shard,
) -> Written:
    """Write the shard's part of the ledger; ``thin``: of too many rows, the sample's places and the shards' starts."""
    codes, reader, evidence = plan.read(shard)
    issue = ends.flag(reader, evidence, shard.number)
    if below is not None:
        issue |= below.flag(reader, evidence, shard.number)
    issue &= evidence.contested
    own = np.where(codes >= 0, np.clip(evidence.own, 0, 1), np.nan).astype(evidence.own.dtype)
    rival = np.clip(evidence.rival_prob, 0, 1)
    proposed = np.where(issue | (codes < 0), evidence.predicted, codes)
    part: dict[str, np.ndarray] = {
        "row": shard.start + np.arange(shard.rows, dtype=np.int64),
        "given": codes.astype(np.int32),
        "proposed": proposed.astype(np.int32),
        "trust": with_shift(own, plan.slope, shift),
        "issue": issue,
        "self_confidence": own.astype(np.float32),
        "normalized_margin": ((own - rival + 1) / 2).astype(np.float32),
        "proposed_probability": np.where(proposed == codes, own, np.maximum(rival, evidence.own)).astype(np.float32),
    }
    if out is not None:
        _write_part(part, plan, out / "ledger" / f"part-{shard.number:06d}.parquet")
    if thin is None:
        return Written(part, int(issue.sum()))
    worst = np.argsort(key_of(part), kind="stable")[:WORST]
    some = np.flatnonzero(codes >= 0)[_here(*thin, shard)]
    return Written(_rows_of(part, worst), int(issue.sum()), _rows_of(part, some))


def key_of(columns: dict[str, np.ndarray]) -> np.ndarray:
    """(n,) what the list is ordered by: issues first, each by rising trust; rows without a label at the end."""
    key = columns["trust"] + np.where(columns["issue"], 0, 2).astype(np.float32)
    return np.where(columns["given"] == MISSING, np.float32(np.inf), key)


def _rows_of(columns: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in columns.items()}


def _write_part(part: dict[str, np.ndarray], plan: Plan, file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = pa.array([str(name) for name in plan.columns.classes])
    shown: dict[str, Any] = dict(part)
    for column in ("given", "proposed"):
        codes = pa.array(part[column], mask=part[column] == MISSING)
        shown[column] = pa.DictionaryArray.from_arrays(codes, names)
    with atomic(file) as temporary:
        pq.write_table(pa.table(shown), temporary, compression="zstd")
