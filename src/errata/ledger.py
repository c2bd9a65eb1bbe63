"""The ledger: a row per sample that says whether its label is right, which label it should have, and how sure that is.

Every system fills one while it trains; an audit, a report, a review and a corrected data set are made from it. It is
columnar (NumPy arrays), so that ten million rows are a few hundred megabytes and saved in seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.errors import LedgerError, ParameterError
from errata.kinds import Kind, kind_of
from errata.labels import MISSING, ClassLabels

if TYPE_CHECKING:
    import pandas as pd

    from errata.charts import Chart
    from errata.findings import Finding
    from errata.vouching import Vouched

__all__ = ["PARTS", "UNSEEN", "UNVOUCHED", "Ledger", "Noise"]

PARTS = ("given", "proposed", "trust", "issue", "rank")
"""The columns of a ledger's table, and of its finer rows."""

UNSEEN = ("runs", "digest")
"""Columns that are for programs: nobody wants to read them."""

UNVOUCHED = (
    "Nothing vouches for the precision of this list: 1 - trust is taken at its word, and a model that has seen the "
    "labels trusts them too much or too little. Rows checked at random tell: `errata review DIR --random 100`, then "
    "`errata vouch DIR`. Or audit by cross-validation (`errata audit SOURCE`), whose list is vouched for."
)
"""What is said where a precision is asked of a ledger without ``vouched``."""


@dataclass(frozen=True)
class Noise:
    """What the ledger says of the label noise as a whole.

    Parameters
    ----------
    joint : (K, K) float64, sums to 1; joint[i, j] = P(true = i, given = j)
    """

    joint: np.ndarray

    @property
    def rate(self) -> float:
        """The estimated share of wrong labels, in [0, 1]."""
        return float(min(1.0, max(0.0, 1.0 - np.trace(self.joint))))

    @property
    def transition(self) -> np.ndarray:
        """(K, K) with T[i, j] = P(given = j | true = i); a class that is never true has the identity's row."""
        totals = self.joint.sum(axis=1, keepdims=True)
        return np.where(totals > 0, self.joint / np.where(totals > 0, totals, 1.0), np.eye(len(self.joint)))


class Ledger:
    """A row per sample: the given label, the proposed one, the trust in the given one, and whether it is an issue.

    Parameters
    ----------
    given, proposed : (N,) integer codes into ``classes``; -1 where there is none
    trust : (N,) float in [0, 1], the probability that the given label is right; NaN where no label is given
    classes : the K class names
    issue : (N,) bool; by default the rows whose proposed label is not the given one
    noise : the joint distribution of true and given labels, as ``Noise`` or (K, K); by default counted from the
        proposed and the given labels
    columns : further columns of length N, such as ``{"loss": ...}``
    index : (N,) the rows' numbers in the data; by default 0 .. N-1
    meta : anything JSON can hold: the source, the method, the command
    parts : the finer rows beneath the ledger's rows (a label of several, a token, a region, a box), with the columns
        row (the index value of the ledger's row), given, proposed, trust, issue, rank (0 = most suspicious of all), and
        what the kind needs
    findings : what else was found: duplicates, outliers, leakage ...
    vouched : how precise the list is estimated to be, by its length; or a function that finds it out when it is asked
    charts : what the report draws beside its own figures, such as the accuracy round by round

    Examples
    --------
    >>> ledger = Ledger(given=[0, 1, 1], proposed=[0, 1, 0], trust=[0.9, 0.8, 0.1], classes=["cat", "dog"])
    >>> ledger.table
      given proposed  trust  issue  rank
    0   cat      cat    0.9  False     2
    1   dog      dog    0.8  False     1
    2   dog      cat    0.1   True     0
    >>> round(ledger.noise.rate, 2)
    0.33
    """

    def __init__(
        self,
        given: Any,
        proposed: Any,
        trust: Any,
        *,
        classes: Sequence[Any],
        issue: Any = None,
        noise: Noise | np.ndarray | None = None,
        columns: Mapping[str, Any] | None = None,
        index: Any = None,
        meta: Mapping[str, Any] | None = None,
        parts: pd.DataFrame | None = None,
        findings: Sequence[Finding] = (),
        vouched: Vouched | Callable[[], Vouched | None] | None = None,
        charts: Sequence[Chart] = (),
    ) -> None:
        self.classes = list(classes)
        self.given = _codes(given, len(self.classes), "given")
        self.proposed = _codes(proposed, len(self.classes), "proposed")
        self.trust = np.asarray(trust, dtype=np.float32)
        n = len(self.given)
        labelled = self.given != MISSING
        self.issue = (
            labelled & (self.proposed != MISSING) & (self.proposed != self.given)
            if issue is None
            else np.asarray(issue, dtype=bool)
        )
        self.index = np.arange(n, dtype=np.int64) if index is None else np.asarray(index)
        self.columns = {str(k): np.asarray(v) for k, v in (columns or {}).items()}
        self.meta = dict(meta or {})
        self.parts = parts
        self.findings = list(findings)
        self.charts = list(charts)
        self._vouched = vouched
        self.data: Any = None  # the data the rows came from, where they are at hand: the report shows them
        _check_parts(parts)
        for what in ("proposed", "trust", "issue", "index"):
            _same_length(getattr(self, what), n, what)
        for what, values in self.columns.items():
            _same_length(values, n, what)
        _check_trust(self.trust)
        self._noise = noise if isinstance(noise, Noise) or noise is None else Noise(np.asarray(noise, dtype=np.float64))
        self._order: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.given)

    def __repr__(self) -> str:
        return (
            f"<Ledger: {len(self):,} rows, {len(self.classes)} classes, {int(self.issue.sum()):,} issues, "
            f"noise rate {self.noise.rate:.1%}>"
        )

    # -- what it says -----------------------------------------------------------------------------------------------

    @property
    def order(self) -> np.ndarray:
        """(N,) positions, most suspicious first: issues before the rest, each by rising trust; unlabelled rows last."""
        if self._order is None:
            key = self.trust + np.where(self.issue, 0.0, 2.0).astype(np.float32)
            self._order = np.argsort(np.where(self.given == MISSING, np.float32(np.inf), key), kind="stable")
        return self._order

    @property
    def rank(self) -> np.ndarray:
        """(N,) int: 0 for the most suspicious row."""
        rank = np.empty(len(self), dtype=np.int64)
        rank[self.order] = np.arange(len(self))
        return rank

    @property
    def noise(self) -> Noise:
        """The estimated noise: ``.rate``, ``.transition`` (T[i, j] = P(given=j | true=i)) and ``.joint``."""
        if self._noise is None:
            k = len(self.classes)
            known = (self.given != MISSING) & (self.proposed != MISSING)
            pairs = self.proposed[known].astype(np.int64) * k + self.given[known]
            joint = np.bincount(pairs, minlength=k * k).reshape(k, k)
            self._noise = Noise(joint / max(1, joint.sum()))
        return self._noise

    @property
    def kind(self) -> Kind:
        """What kind of task it is of, with the words for its rows; from ``meta["task"]``."""
        return kind_of(self.meta.get("task"))

    def called(self, position: int) -> str:
        """What a row is called to people: its name, where its kind has one (several people's items), or number."""
        return str((self.columns[self.kind.names] if self.kind.names else self.index)[position])

    @property
    def vouched(self) -> Vouched | None:
        """How precise the list is estimated to be, by its length; None where that is not known."""
        if callable(self._vouched):
            self._vouched = self._vouched()
        return self._vouched

    @vouched.setter
    def vouched(self, value: Vouched | Callable[[], Vouched | None] | None) -> None:
        self._vouched = value

    @property
    def table(self) -> pd.DataFrame:
        """One row per sample: given, proposed, trust, issue, rank, then the further columns."""
        return self._frame(np.arange(len(self)))

    def issues(self, budget: int | None = None, min_precision: float | None = None) -> pd.DataFrame:
        """The rows to look at, the most suspicious first.

        Parameters
        ----------
        budget : how many rows can be checked; the best so many are returned, also beyond those flagged
        min_precision : in (0, 1]; only the longest head of the list of which at least this share can be vouched to be
            wrong. Where ``vouched`` is known (audits from probabilities) it is the interval's lower end that has to
            reach it: few rows, or none, where the errors follow from the items. Elsewhere (a training run, whose model
            has seen the labels that it judges) a row's chance to be wrong is taken to be ``1 - trust``, which nothing
            vouches for; a ``UserWarning`` says so, and how to get a figure that is.

        Examples
        --------
        >>> ledger = Ledger([0, 1, 1], [0, 0, 0], [0.9, 0.3, 0.1], classes=["cat", "dog"])
        >>> list(ledger.issues().index), list(ledger.issues(budget=1).index)
        ([2, 1], [2])
        """
        if budget is not None and (int(budget) != budget or budget < 0):
            raise ParameterError(f"budget must be a whole number of rows, 0 or more; got {budget!r}.")
        if min_precision is not None and not 0 < min_precision <= 1:
            raise ParameterError(f"min_precision must be in (0, 1]; got {min_precision!r}.")
        if budget is None:
            chosen = self.order[: int(self.issue.sum())]
        else:
            labelled = int((self.given != MISSING).sum())
            chosen = self.order[: min(int(budget), labelled)]
        if min_precision is not None and self.vouched is not None:
            return self._frame(chosen[: self.vouched.rows_for(min_precision)])
        if min_precision is not None:
            warnings.warn(UNVOUCHED, stacklevel=2)
        if min_precision is not None and len(chosen):
            by_trust = chosen[np.argsort(self.trust[chosen], kind="stable")]
            precision = np.cumsum(1.0 - self.trust[by_trust], dtype=np.float64) / np.arange(1, len(by_trust) + 1)
            enough = np.flatnonzero(precision >= min_precision)
            chosen = by_trust[: enough[-1] + 1] if len(enough) else by_trust[:0]
        return self._frame(chosen)

    def _frame(self, rows: np.ndarray) -> pd.DataFrame:
        import pandas as pd

        classes = pd.Index(self.classes)
        data: dict[str, Any] = {
            "given": pd.Categorical.from_codes(self.given[rows], categories=classes),
            "proposed": pd.Categorical.from_codes(self.proposed[rows], categories=classes),
            "trust": self.trust[rows],
            "issue": self.issue[rows],
            "rank": self.rank[rows],
        }
        own = ("trust", "issue", "rank")
        data.update(
            {
                name: values[rows] if values.ndim == 1 else list(values[rows])
                for name, values in self.columns.items()
                if name not in own
            }
        )
        return pd.DataFrame(data, index=pd.Index(self.index[rows]))

    # -- on disk ----------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        """Write ``ledger.parquet``, ``summary.json`` and ``report.html`` into a folder; other files are not touched.

        Each file is written beside its place and moved there when it is whole, so a killed or failed save leaves the
        old file as it was.
        """
        from errata import storage

        return storage.save(self, Path(folder), report=report)

    @classmethod
    def load(cls, folder: str | Path) -> Ledger:
        """Read a ledger saved by ``save``; ``folder`` is the folder or its ``ledger.parquet``.

        Raises
        ------
        LedgerError
            where there is none, or the file is damaged or not a ledger
        """
        from errata import storage

        return storage.load(Path(folder))

    @classmethod
    def from_labels(cls, labels: ClassLabels, proposed: Any, trust: Any, **more: Any) -> Ledger:
        """A ledger over given labels; ``proposed`` and ``trust`` as in the constructor."""
        return cls(labels.codes, proposed, trust, classes=labels.classes, **more)


def _codes(values: Any, num_classes: int, what: str) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise LedgerError(f"'{what}' must be a one-dimensional array of class codes; got {array.dtype} {array.shape}.")
    if array.size and (array.min() < MISSING or array.max() >= num_classes):
        row = int(np.flatnonzero((array < MISSING) | (array >= num_classes))[0])
        raise LedgerError(f"'{what}' must lie in [-1, {num_classes - 1}]; row {row} holds {array[row]}.")
    return array.astype(np.int32, copy=False)


def _check_parts(parts: pd.DataFrame | None) -> None:
    missing = [] if parts is None else [name for name in ("row", *PARTS) if name not in parts.columns]
    if missing:
        raise LedgerError(f"parts must have the columns row, {', '.join(PARTS)}; {', '.join(missing)} are missing.")


def _same_length(values: np.ndarray, n: int, what: str) -> None:
    if values.ndim < 1 or len(values) != n:
        raise LedgerError(f"'{what}' must have one entry per row, {n}; got shape {tuple(values.shape)}.")


def _check_trust(trust: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        odd = (trust < 0) | (trust > 1)
    if odd.any():
        row = int(np.flatnonzero(odd)[0])
        raise LedgerError(f"trust must lie in [0, 1] (NaN where no label is given); row {row} holds {trust[row]}.")
