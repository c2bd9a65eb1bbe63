"""A finished training on several labels per item: predicts which of them apply."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.data import Data
from errata.data.multilabel_reading import MultiLabelData, read_multilabel
from errata.engine.evaluation import predict_proba
from errata.engine.fit import resolve_device
from errata.engine.run import Run
from errata.errors import DataError, ParameterError, UnknownNameError

__all__ = ["MultiLabelRun"]


class MultiLabelRun(Run):
    """A finished training on several labels per item; see ``errata.Run``.

    ``classes`` are the names of the L labels; column i of ``predict`` and ``predict_proba`` is label i. A label is
    predicted where its probability reaches the label's own threshold (``thresholds``): the one at which as many
    training items have it as were given it; or 0.5 where a system does not believe that what isn't given is absent.
    """

    def __repr__(self) -> str:
        return (
            f"<MultiLabelRun: {self.system.card.slug} on {self.about.get('source', 'data')}, "
            f"{self.metrics.get('epochs')} epochs, {len(self.ledger):,} items, {len(self.classes)} labels, "
            f"{int(self.ledger.issue.sum()):,} issues>"
        )

    @property
    def thresholds(self) -> np.ndarray:
        """(L,) the probability from which each label is predicted."""
        return np.asarray(self.about.get("thresholds", [0.5] * len(self.classes)), dtype=np.float64)

    def predict(self, source: Any, threshold: Any = None, **reading: Any) -> np.ndarray:
        """Which labels apply: (N, L) int8 of 0 and 1.

        Parameters
        ----------
        source : whatever ``errata.train`` takes; labels aren't needed
        threshold : in place of ``thresholds``: a number for all labels, or (L,)
        reading : further options of ``errata.read``
        """
        wanted = self.thresholds if threshold is None else np.asarray(threshold, dtype=np.float64)
        if wanted.shape not in ((), (len(self.classes),)) or not ((wanted >= 0) & (wanted <= 1)).all():
            raise ParameterError(
                f"threshold must be a number in [0, 1], or {len(self.classes)} of them, one for each label; got "
                f"{threshold!r}."
            )
        return (self.predict_proba(source, **reading) >= wanted).astype(np.int8)

    def predict_proba(self, source: Any, **reading: Any) -> np.ndarray:
        """(N, L) float32, the probability of each label; it ranks items, and is no calibrated chance."""
        return self._probabilities(self._items(source, False, reading).data)

    def evaluate(self, source: Any, label: Any = None, **reading: Any) -> dict[str, float]:
        """Measure the predictions against the labels of ``source``, which should be right and not trained on.

        Parameters
        ----------
        source : as for ``predict``
        label : how its labels are found, or (N, L) of them; by default as in training

        Returns
        -------
        dict of map, micro_f1, macro_f1, hamming, ranking_loss and rows (``engine.multilabel_scores``); also kept in
        ``metrics["evaluation"]``

        Raises
        ------
        DataError
            where there are no labels, or one that was trained on is missing
        """
        from errata.engine.multilabel_scores import multilabel_scores

        items = self._items(source, self._label_of(source) if label is None else label, reading)
        matrix = self._in_order(items)
        found = multilabel_scores(matrix, self._probabilities(items.data), self.thresholds)
        self.metrics["evaluation"] = found
        return found

    def _label_of(self, source: Any) -> Any:
        named = isinstance(source, (str, Path)) or hasattr(source, "columns")
        return self.about.get("label") if named else None

    def _in_order(self, items: MultiLabelData) -> np.ndarray:
        """The labels as columns in the order of the classes."""
        matrix = items.require_labels()
        names = [str(name) for name in self.classes]
        if items.names == names:
            return matrix
        place = {name: i for i, name in enumerate(items.names)}
        listed = isinstance(items.label, str)  # a column of lists has the labels that occur, and no others
        for name in items.names if listed else names:
            if name not in (names if listed else place):
                known = names if listed else items.names
                raise UnknownNameError("label", name, known, f"The run was trained on these; see {items.source}.")
        ordered = np.zeros((len(matrix), len(names)), dtype=np.int8)
        for i, name in enumerate(names):
            if name in place:
                ordered[:, i] = matrix[:, place[name]]
        return ordered

    # -- reading further data as those trained on ----------------------------------------------------------------------

    def _items(self, source: Any, label: Any, reading: Mapping[str, Any]) -> MultiLabelData:
        if isinstance(source, MultiLabelData):
            return self._aligned(source)
        if isinstance(source, Data):
            return MultiLabelData(source, None, [])
        options = {**self.about.get("reading", {}), **self.encoder.reading(), **reading}
        if label is not None and label is not False and not isinstance(label, (str, list, tuple)):
            return self._aligned(read_multilabel(source, label, classes=self.classes, **options))
        return self._aligned(read_multilabel(source, label=label, **options))

    def _aligned(self, items: MultiLabelData) -> MultiLabelData:
        """An ARFF file's features in the order of the training's, found by name."""
        names = self.about.get("features")
        own = [column.name for column in items.data.columns]
        if names is None or own == names or items.data.format != "ARFF":
            return items
        place = {name: i for i, name in enumerate(own)}
        missing = [name for name in names if name not in place]
        if missing:
            raise DataError(
                f"{items.source} lacks {len(missing):,} of the {len(names):,} features trained on, such as "
                f"'{missing[0]}'. Expected the same attributes as in {self.about.get('source', 'training')}."
            )
        chosen = [place[name] for name in names]
        data = Data(
            kind="tabular",
            columns=[items.data.columns[i] for i in chosen],
            rows=items.data.rows,
            source=items.source,
            format=items.data.format,
            array=np.asarray(items.data.array)[:, chosen],
        )
        return MultiLabelData(data, items.matrix, items.names, items.label, items.standardize)

    def _probabilities(self, data: Data) -> np.ndarray:
        return predict_proba(self.system, self.encoder.encode(data), device=resolve_device(self.device))
