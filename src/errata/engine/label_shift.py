"""The room of label shift: classes found without labels, from domains in which they are differently frequent.

A network learns to tell the domains, as it would learn classes; the rest is ``errata.systems.label_shift.lls``.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from errata import systems
from errata.charts import Chart
from errata.engine.checkpoints import load_tensors, save_tensors
from errata.engine.conduct import settings_of
from errata.engine.run import Run
from errata.errors import ErrataError, LoadError, ParameterError, UnknownNameError
from errata.labels import MISSING, ClassLabels
from errata.ledger import Ledger
from errata.parts.matching import hungarian_relabel
from errata.systems.label_shift.lls import LatentLabelShift

__all__ = ["ShiftRun", "Source", "load", "read", "train"]

FACTORS = "factors.pt"
OWN = ("num_classes", "num_bins", "solver", "clip")
"""Parameters of the system; the others are the discriminator's."""


@dataclass
class Source:
    """Data that are read when it is known which column holds the domains."""

    source: Any
    label: Any = None
    options: dict[str, Any] = field(default_factory=dict)

    def describe(self) -> list[str]:
        """Nothing yet: the columns' roles depend on the domain."""
        return []


def read(source: Any, label: Any = None, **options: Any) -> Any:
    """Keep what is to be read, for the domain's column is a parameter of the training; without labels, read it.

    Parameters
    ----------
    source, options : see ``errata.read``
    label : the column of true classes, where they are known; it is left out of the training, and measured against
    """
    if label is False:
        from errata.data import read as read_any

        return read_any(source, False, **options)
    return Source(source, label, options)


def train(
    source: Any,
    y: Any = None,
    *,
    num_classes: int | None = None,
    domain: Any = None,
    label: Any = None,
    num_bins: int | None = None,
    solver: str = "anchor",
    clip: bool = True,
    validation: float = 0.1,
    select: str = "best",
    system: Any = "lls",
    **options: Any,
) -> ShiftRun:
    """Find classes without labels; called by ``errata.train`` for systems of this kind.

    Parameters
    ----------
    source : see ``errata.train``; a folder's sub-folders are the domains
    y : (N,) the domains, where ``source`` is an array or a list
    num_classes : K, how many classes there are: 2 or more, at most as many as domains
    domain : the column of the domains, where ``source`` is a table
    label : the column of the true classes (or an array), where they are known; only measured against
    num_bins, solver, clip : see ``errata.systems.label_shift.lls.LatentLabelShift``
    validation, select : of the network that tells the domains: the share held out, and which epoch is used
    system : "lls"
    **options : those of ``errata.train``: ``model``, ``epochs``, ``seed``, ``out`` ..., hyper-parameters of plain
        training, options of ``errata.read``

    Returns
    -------
    ShiftRun
        its ledger has a row per sample with the proposed class, and p(y | x, d) in the columns ``p_0``, ``p_1`` ...
    """
    from errata.engine import training

    if num_classes is None:
        raise ParameterError("lls needs to know how many classes there are: num_classes=K (--set num_classes=K).")
    given = source if isinstance(source, Source) else Source(source, label)
    label = given.label if label is None else label
    data = _data(given, domain if y is None else y, label, options)
    core = LatentLabelShift(
        num_classes, num_bins=num_bins, solver=solver, clip=clip, random_state=options.get("seed", 0)
    )
    core._check(len(data.require_labels().classes), len(data))
    told = training.filled(options)
    told |= {"system": "ce", "label": None, "validation": validation, "select": select if validation else "last"}
    trainable = settings_of(systems.load("ce"))
    for name in told["rest"]:
        if name not in trainable:
            raise UnknownNameError("option of training 'lls'", name, ["domain", *OWN, *trainable, *told])
    run, folder = training.train_classes(data, None, **told)
    own = {"num_classes": num_classes, "num_bins": num_bins, "solver": solver, "clip": clip}
    made = ShiftRun.of(run, core, data, {**own, "domain": domain if isinstance(domain, str) else data.label_name})
    truth = _truth(given, label, data)
    if truth is not None:
        made.metrics |= made._agreement(made.ledger.proposed, truth)
    if folder is not None:
        made.save(folder)
    return made


def load(folder: str | Path, model: Any = None, device: str = "auto") -> ShiftRun:
    """Load such a run; see ``Run.load``."""
    place = Path(folder)
    run = cast(ShiftRun, ShiftRun.load(place, model=model, device=device))
    told = load_tensors(place / FACTORS)
    if not isinstance(told, dict) or not {"p_y_given_d", "p_bin_given_y", "sizes"} <= set(told):
        raise LoadError(f"{place / FACTORS} is not what errata saved there. Train again.")
    settings = {name: run.about["lls"][name] for name in OWN}
    core = LatentLabelShift(**settings)
    core.p_y_given_d_, core.p_bin_given_y_ = told["p_y_given_d"].numpy(), told["p_bin_given_y"].numpy()
    core._sizes, core.domains_ = told["sizes"].numpy(), np.arange(len(told["sizes"]))
    core.condition_ = float(np.linalg.cond(core.p_y_given_d_))
    run._take(core)
    return run


class ShiftRun(Run):
    """A run whose classes were found without labels.

    Attributes
    ----------
    core : the fitted ``LatentLabelShift``
    domains : the D domains, in the order of the columns of ``p_y_given_d``
    p_y_given_d : (K, D) how frequent the classes are in each domain

    Examples
    --------
    >>> import errata
    >>> rng = np.random.default_rng(0)
    >>> kind = rng.random(600) < np.repeat([0.1, 0.5, 0.9], 200)
    >>> x = (rng.normal(size=(600, 2)) + 4.0 * kind[:, None]).astype("float32")
    >>> site = np.repeat(["a", "b", "c"], 200)
    >>> run = errata.train(x, site, system="lls", num_classes=2, epochs=20, device="cpu", progress=False)
    >>> run.classes, run.predict_proba(x, domain=site).shape
    (['class 0', 'class 1'], (600, 2))
    """

    core: LatentLabelShift
    domains: list[Any]

    @classmethod
    def of(cls, run: Run, core: LatentLabelShift, data: Any, told: Mapping[str, Any]) -> ShiftRun:
        """Find the classes, and make the ledger, from a run that tells the domains."""
        about = {**run.about, "task": "label_shift", "lls": dict(told)}
        made = cls(
            run.system, run.encoder, run.classes, run.ledger, run.metrics, run.history, about, run.device, run.weights
        )
        codes = data.labels.codes
        g = Run._probabilities(made, data)
        known = codes != MISSING
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            core.fit_posterior(g[known], codes[known])
        notes = [str(one.message) for one in heard]
        for note in notes:
            warnings.warn(note, stacklevel=2)
        made._take(core)
        made.ledger = made._ledger(data, made._posterior(g, codes), notes)
        accuracy = {"domain_accuracy": run.metrics.get("validation_accuracy_best")}
        made.metrics = {
            "system": "lls",
            **{name: run.metrics[name] for name in ("epochs", "seconds", "rows", "trained_on")},
            **accuracy,
            "condition": core.condition_,
        }
        return made

    def _take(self, core: LatentLabelShift) -> None:
        self.core, self.domains = core, list(self.classes)
        self.classes = [f"class {k}" for k in range(core.num_classes)]

    @property
    def p_y_given_d(self) -> np.ndarray:
        """(K, D) how frequent the classes are in each domain; columns sum to 1."""
        return self.core.p_y_given_d_

    def _posterior(self, g: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
        """(N, K) under each row's own domain; where that is not known, as from all domains evenly."""
        even = self.core.adjust(g)
        if codes is None:
            return even
        own = self.core.adjust(g, np.maximum(codes, 0))
        return np.where((codes == MISSING)[:, None], even, own)

    def predict_proba(self, source: Any, domain: Any = None, **reading: Any) -> np.ndarray:
        """(N, K) float32 probabilities of the classes of each row.

        Parameters
        ----------
        source : whatever ``errata.train`` takes
        domain : (N,) the rows' domains, or their column; by default the column trained with, where the data have it.
            False, or without any: as for samples from all domains evenly.
        reading : further options of ``errata.read``
        """
        if isinstance(source, Source):
            source, reading = source.source, {**source.options, **reading}
        data, codes = self._with_domains(source, domain, reading)
        return self._posterior(Run._probabilities(self, data), codes).astype(np.float32)

    def _with_domains(self, source: Any, domain: Any, reading: Mapping[str, Any]) -> tuple[Any, np.ndarray | None]:
        from errata.data import Data

        column = self.about["lls"].get("domain") if domain is None else domain
        if column is None or column is False:
            return self._read(source, False, reading), None
        try:
            data = source.select_label(column) if isinstance(source, Data) and isinstance(column, str) else None
            data = self._read(source, column, reading) if data is None else data
        except (ErrataError, AttributeError):
            if domain is not None:
                raise
            return self._read(source, False, reading), None  # the data don't tell their domains
        place = {str(name): i for i, name in enumerate(self.domains)}
        labels = data.require_labels(min_classes=1)
        strange = [c for c, n in zip(labels.classes, labels.counts) if n and str(c) not in place]
        if strange:
            raise UnknownNameError("domain", str(strange[0]), place, "The run was trained on these domains only.")
        lookup: np.ndarray = np.array([place.get(str(c), MISSING) for c in labels.classes] + [MISSING], dtype=np.int64)
        return data, lookup[labels.codes]

    def evaluate(self, source: Any, label: Any = None, **reading: Any) -> dict[str, float]:
        """Match the classes found with those of ``source`` as well as can be, and say how many samples agree."""
        given = source if isinstance(source, Source) else Source(source, label, reading)
        predicted = self.predict_proba(given.source, **given.options).argmax(1)
        data = self._read(given.source, False, given.options)
        truth = _truth(given, given.label if label is None else label, data)
        if truth is None:
            raise ParameterError("There is nothing to measure against: name the column of the true classes.")
        found = self._agreement(predicted, truth)
        self.metrics["evaluation"] = found
        return found

    def _agreement(self, predicted: np.ndarray, truth: ClassLabels) -> dict[str, float]:
        k = max(len(truth.classes), len(self.classes))
        known = truth.codes != MISSING
        accuracy = hungarian_relabel(predicted[known], truth.codes[known], k)[2]
        return {"accuracy_after_matching": accuracy, "rows": int(known.sum())}

    def _ledger(self, data: Any, posterior: np.ndarray, notes: list[str]) -> Ledger:
        n, k = posterior.shape
        labels = data.labels
        columns: dict[str, Any] = {"domain": np.array([*map(str, labels.classes), ""], dtype=object)[labels.codes]}
        columns |= {"confidence": posterior.max(1)} | {f"p_{i}": posterior[:, i] for i in range(k)}
        told: dict[str, Any] = {**self.about["lls"], "condition": self.core.condition_}
        told |= {name: self.about[name] for name in ("epochs", "batch_size", "seed") if name in self.about}
        names = [str(name) for name in self.domains]
        shown = {self.classes[i]: (names, self.p_y_given_d[i].tolist()) for i in range(k)}
        chart = Chart(
            "How frequent the classes are in each domain",
            "The shares of the classes that were found, estimated without labels. Classes whose shares hardly differ "
            "between domains can't be told apart.",
            shown,
            x="domain",
            y="share",
            style="bars",
        )
        ledger = Ledger(
            np.full(n, MISSING),
            posterior.argmax(1),
            np.full(n, np.nan),
            classes=self.classes,
            noise=np.eye(k) / k,  # nothing is given, so nothing given is wrong
            columns=columns,
            index=data.rows,
            meta={
                **data.origin,
                **told,
                "task": "label_shift",
                "method": "lls",
                "system": "lls",
                "notes": notes,
            },
            charts=[chart],
        )
        ledger.data = data
        return ledger

    def save(self, folder: str | Path, *, report: bool = True) -> Path:
        place = super().save(folder, report=report)
        content = {
            "p_y_given_d": torch.from_numpy(self.core.p_y_given_d_),
            "p_bin_given_y": torch.from_numpy(self.core.p_bin_given_y_),
            "sizes": torch.from_numpy(self.core._sizes),
        }
        save_tensors(content, place / FACTORS)
        return place


def _data(given: Source, domain: Any, label: Any, options: dict[str, Any]) -> Any:
    """Read the data with the domains in the labels' place, and the true classes out of sight."""
    from errata.data import Data
    from errata.data import read as read_any

    names = [p.name for p in inspect.signature(read_any).parameters.values() if p.kind is p.KEYWORD_ONLY]
    reading = {**given.options, **{name: options.pop(name) for name in names if name in options}}
    hidden = {label: "ignored"} if isinstance(label, str) else {}
    if hidden:
        reading["kinds"] = {**hidden, **(reading.get("kinds") or {})}
    table = (isinstance(given.source, (str, Path)) and not Path(given.source).is_dir()) or hasattr(
        given.source, "columns"
    )
    if domain is None and table and not isinstance(given.source, Data):
        raise ParameterError("lls needs to know which column holds the domains: domain=COLUMN (--set domain=COLUMN).")
    return read_any(given.source, domain, **reading)


def _truth(given: Source, label: Any, data: Any) -> ClassLabels | None:
    """The true classes, to measure against; None where they are not told."""
    from errata.data import read as read_any

    if label is None or label is False:
        return None
    if isinstance(label, str):
        options = {name: value for name, value in given.options.items() if name != "kinds"}
        labels = read_any(given.source, label, **options).labels
    else:
        labels = ClassLabels.encode(label)
    if labels is None or len(labels.codes) != len(data):
        raise ParameterError(f"Expected a true class for each of the {len(data)} rows.")
    return labels
