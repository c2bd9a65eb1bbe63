"""Confident learning over shards: a fixed number of passes, memory bounded by one shard, the answer of one machine.

Each pass maps a small function over the shards and adds up what comes back, which never grows with the rows:

1. the labels' names (unless they are given);
2. for features: a sample, from which a model per fold is made (given probabilities skip this);
3. per class the number of labels and the sum of their self-confidence: the thresholds;
4. the confident counts, and an even sample of rows, of which the model's sharpness, and what vouches for the list, are
   told: the joint, and the quotas of pruning;
5. per pair of classes how many margins lie in each of some thousand bins: in which bin each quota ends;
6. the margins within these bins, counted by value and shard: where exactly, and which of equal margins are in;
7. and 8. the same over all rows for those pairs alone whose quota reaches below the clear margins, if there are any;
9. the shards of the ledger are written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from errata.audit.engines import Engine, engine_named
from errata.audit.progress import Progress, Show
from errata.audit.sharded_passes import (
    CLEAR,
    WORST,
    Ends,
    Plan,
    Sampled,
    Written,
    bins,
    key_of,
    labels,
    pairs,
    sums,
    within,
    write,
)
from errata.audit.shards import SHARD_ROWS, Shard, columns_of, cut, find_files
from errata.audit.trust import SAMPLE, sharpness, shift_for
from errata.audit.vouching import Listed, sample_places, vouch_list
from errata.errors import DataError
from errata.labels import MISSING
from errata.ledger import Ledger, Noise
from errata.scores.counts import at_least_one_correct, calibrate, prune_quota
from errata.storage import make_folder, write_json

__all__ = ["audit_shards"]

WHOLE = 20_000_000  # up to so many rows it holds all
THIN = 400_000  # rows that stand for those of a longer list beyond its worst
_PASSES = 7


def audit_shards(
    source: str,
    *,
    label: str | None = None,
    pred_probs: str | Sequence[str] | None = None,
    features: str | Sequence[str] | None = None,
    classes: Sequence[Any] | None = None,
    engine: str | Engine = "here",
    out: str | Path | None = None,
    shard_rows: int = SHARD_ROWS,
    folds: int = 5,
    seed: int = 0,
    progress: Show = True,
) -> Ledger:
    """Audit Parquet files that are larger than memory, here or on a Ray cluster.

    Parameters
    ----------
    source : a file, a folder, a pattern (``data/*.parquet``) or an address (``s3://bucket/folder``)
    label : the label's column, by default "label"; labels of any type
    pred_probs : out-of-sample probabilities: a list column (default "pred_probs"), or a column per class as names or a
        pattern (``p_*``), in the order of ``classes``
    features : instead: columns of numbers (or one list column), to learn a logistic regression per fold from a sample
    classes : the class names; by default the labels found, sorted
    engine : "here", "ray", or an object with a ``map``
    out : folder for ``ledger/part-*.parquet`` (every row), ``summary.json``, and the ledger that is returned
    shard_rows : rows that are held in memory at a time, 1,000,000 by default
    folds, seed : of the models on features
    progress : show how it goes

    Returns
    -------
    Ledger
        of all rows up to 20 million, else of the 100,000 worst; its index is the row among all files in sorted order.
        Issues, noise, proposals, trust and what is vouched for are those of ``errata.audit`` on the same
        probabilities; of more than 20 million rows, the precision beyond the worst is told from a sample of them.

    Raises
    ------
    DataError
        where there are no files, labels or probabilities that can be used; the row is named
    """
    runner = engine_named(engine) if isinstance(engine, str) else engine
    files = find_files(str(source))
    shards = cut(files, most_rows=shard_rows)
    columns = columns_of(files[0], label, features if features is not None else pred_probs)
    with Progress(progress, f"auditing {len(shards)} shards", total=_PASSES * len(shards)) as bar:
        passes = _Passes(runner, shards, bar)
        names = list(classes) if classes is not None else _class_names(passes, columns.label)
        plan = Plan(replace(columns, classes=tuple(names)))
        if features is not None:
            from errata.audit.sharded_models import learn

            plan = replace(plan, folds=learn(passes.over, plan.columns, shards, folds, seed))
        return _audit(passes, plan, Path(out) if out is not None else None, _about(str(source), plan))


def _about(source: str, plan: Plan) -> dict[str, Any]:
    """What the ledger tells of where it came from; of the columns those that nobody wants to read."""
    left_out = plan.columns.values if plan.folds is None or len(plan.columns.values) == 1 else ()
    where = {} if "://" in source else {"source_path": os.path.abspath(os.path.expanduser(source))}
    return {"source": source, **where, "label": plan.columns.label, "shards": {"left_out": list(left_out)}}


class _Passes:
    """Maps functions of (plan, shard) over all shards."""

    def __init__(self, engine: Engine, shards: Sequence[Shard], bar: Progress) -> None:
        self.engine, self.shards, self.bar = engine, shards, bar

    def over(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function(*arguments, shard)`` of every shard, in order."""
        found = []
        for result in self.engine.map(partial(function, *arguments), self.shards):
            found.append(result)
            self.bar.advance()
        return found


def _audit(passes: _Passes, plan: Plan, out: Path | None, about: Mapping[str, Any]) -> Ledger:
    own, counts, labelled = (np.array(column) for column in zip(*passes.over(sums, plan)))
    counts, own = counts.sum(0), own.sum(0)
    if np.count_nonzero(counts) < 2:
        raise DataError(
            f"Expected labels of at least two classes in {about['source']}; found {np.count_nonzero(counts)}."
        )
    means = np.divide(own, counts, out=np.full(len(counts), np.inf), where=counts > 0)
    places = sample_places(int(labelled.sum()), len(counts))
    samples = (_sharpness_places(int(labelled.sum()), len(counts)), places)
    plan = replace(plan, thresholds=np.maximum(means, 2e-6), samples=samples)
    starts = np.concatenate([[0], np.cumsum(labelled)])
    counted, sampled = zip(*passes.over(pairs, plan, starts))
    joint = calibrate(at_least_one_correct(np.sum(counted, axis=0)), counts)
    noise = Noise((joint / joint.sum()).T)
    for_slope, for_vouching = (_together(parts) for parts in zip(*sampled))
    plan = replace(plan, slope=sharpness(*for_slope), samples=())
    wanted = prune_quota(joint)
    np.fill_diagonal(wanted, 0)
    ends, scores = _quota_ends(passes, plan, wanted, least=CLEAR)
    short = (ends.kept < wanted.reshape(-1)) & (wanted.reshape(-1) > 0)
    below = None
    if short.any():
        below, _ = _quota_ends(passes, plan, np.where(short.reshape(wanted.shape), wanted, 0), least=-np.inf)
    shift = shift_for(scores, noise.rate)
    if out is not None:
        make_folder(out / "ledger")
    total = sum(shard.rows for shard in passes.shards)
    thin = None if total <= WHOLE else (_even(int(starts[-1]), THIN), starts)
    parts = passes.over(write, plan, ends, below, shift, out, thin)
    ledger = _assemble(parts, plan, noise, about, total)
    listed = _listed(ledger, [part.thin for part in parts if part.thin is not None], int(starts[-1]))
    ledger.vouched = vouch_list(listed, *for_vouching, joint_rate=noise.rate, slope=plan.slope)
    if out is not None:
        ledger.save(out)
        told = {"rows": total, "issues": ledger.meta["issues_in_all"], "noise_rate": noise.rate, "parts": len(parts)}
        write_json(out / "shards.json", told)
    return ledger


# -- what is made of it here ------------------------------------------------------------------------------------------


def _class_names(passes: _Passes, label: str) -> list[Any]:
    found = np.unique(np.concatenate([names.astype(str) for names in passes.over(labels, label)]))
    names = found.tolist()
    whole = all(name.lstrip("-").isdigit() for name in names)
    return sorted(names, key=int) if whole else names


def _sharpness_places(labelled: int, classes: int) -> np.ndarray:
    """Places among the labelled rows of those that ``sharpness`` would look at."""
    from errata.audit.trust import LEAST_SAMPLE, SAMPLE_VALUES

    return _even(labelled, int(np.clip(SAMPLE_VALUES // classes, LEAST_SAMPLE, SAMPLE)))


def _even(total: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, total - 1, min(most, total)).astype(np.int64))


def _together(parts: Sequence[Sampled]) -> Sampled:
    codes, probs = zip(*parts)
    return np.concatenate(codes), np.concatenate(probs)


def _listed(ledger: Ledger, thin: Sequence[dict[str, np.ndarray]], labelled: int) -> Listed:
    """The list: of all rows, or of the worst and an even sample of the others."""
    order = ledger.order[: int((ledger.given != MISSING).sum())]
    score, codes = ledger.columns["self_confidence"][order], ledger.given[order]
    against = ledger.columns["normalized_margin"][order] < 0.5
    if not thin:
        return Listed(score, codes, against)
    some = {name: np.concatenate([part[name] for part in thin]) for name in thin[0]}
    key = key_of(some)
    later = np.argsort(key, kind="stable")
    later = later[~np.isin(some["row"][later], ledger.index)]
    each = (labelled - len(order)) / max(1, len(later))
    stands = np.concatenate([np.ones(len(order)), np.full(len(later), each)])
    return Listed(
        np.concatenate([score, some["self_confidence"][later]]),
        np.concatenate([codes, some["given"][later]]),
        np.concatenate([against, some["normalized_margin"][later] < 0.5]),
        stands,
    )


def _quota_ends(passes: _Passes, plan: Plan, wanted: np.ndarray, *, least: float) -> tuple[Ends, np.ndarray]:
    """Find the end of every pair's quota in two passes."""
    quota = wanted.reshape(-1)
    of, ends, counts, scores = zip(*passes.over(bins, plan, wanted, least, True))
    last_bin, above = _last(quota, np.concatenate(of), np.concatenate(ends), np.concatenate(counts))
    inner = passes.over(within, plan, wanted, least, last_bin)
    shard = np.concatenate([np.full(len(p), number) for number, (p, _, _) in enumerate(inner)])
    pair, key, count = (np.concatenate(column) for column in zip(*inner))
    last, higher = _last(quota - above, pair, key, count)
    ties = np.zeros((len(quota), len(passes.shards)), dtype=np.int64)
    equal = key == last[pair]
    ties[pair[equal], shard[equal]] = count[equal]
    room = np.maximum(quota - above - higher, 0)
    before = np.cumsum(ties, axis=1) - ties
    ties = np.clip(room[:, None] - before, 0, ties)
    kept = above + higher + ties.sum(1)
    return Ends(wanted, least, last, ties, kept), np.sum(scores, axis=0)


def _last(quota: np.ndarray, pair: np.ndarray, key: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Per pair the key in which its quota ends (the lowest there is, if it does not), and how many are above it."""
    last = np.full(len(quota), 2**64 - 1, dtype=np.uint64)
    above = np.zeros(len(quota), dtype=np.int64)
    if not len(pair):
        return last, above
    order = np.lexsort((~key, pair))
    pair, key, count = pair[order], key[order], count[order]
    new = np.flatnonzero(np.r_[True, (pair[1:] != pair[:-1]) | (key[1:] != key[:-1])])  # the same key of other shards
    pair, key, count = pair[new], key[new], np.add.reduceat(count, new)
    starts, stops = (np.searchsorted(pair, np.arange(len(quota)), side=side) for side in ("left", "right"))
    for p in np.flatnonzero((quota > 0) & (stops > starts)):
        within = np.cumsum(count[starts[p] : stops[p]])
        at = min(int(np.searchsorted(within, quota[p])), len(within) - 1)
        last[p], above[p] = key[starts[p] + at], within[at - 1] if at else 0
    return last, above


def _assemble(parts: Sequence[Written], plan: Plan, noise: Noise, about: Mapping[str, Any], total: int) -> Ledger:
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    if parts[0].thin is not None:
        order = np.argsort(key_of(columns), kind="stable")[:WORST]
        columns = {name: values[np.sort(order)] for name, values in columns.items()}
    meta = {
        "method": "confident",
        "rule": "prune_by_noise_rate",
        **about,
        "rows_in_all": total,
        "issues_in_all": sum(part.issues for part in parts),
    }
    return Ledger(
        columns.pop("given"),
        columns.pop("proposed"),
        columns.pop("trust"),
        classes=plan.columns.classes,
        issue=columns.pop("issue"),
        noise=noise,
        index=columns.pop("row"),
        columns=columns,
        meta=meta,
    )
