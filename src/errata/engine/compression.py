"""Training on a part of the data: a teacher of all of it, scores from its one training, a student of what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from errata.engine.distilling import LITTLE, TEACHER, Distilling, Work
from errata.engine.fit import check_settings
from errata.engine.pruned import complete
from errata.engine.pruning import Choice
from errata.engine.run import FILES, Run
from errata.engine.training import read_labelled, split_options
from errata.errors import DataError, ErrataError, ParameterError
from errata.storage import claim_folder
from errata.systems.compression.kd_pruning import KnowledgeDistillation

__all__ = ["PrunedRun", "load", "read", "train"]

STEPS = ("epochs", "steps")


@dataclass
class PrunedRun(Run):
    """What training with "kd-pruning" returns: a ``Run`` of the student.

    Attributes
    ----------
    teacher : the run of the teacher, where one was needed; not kept by ``load``
    """

    teacher: Run | None = field(default=None, repr=False)

    @property
    def kept(self) -> np.ndarray:
        """The rows that were kept, by their numbers in the data."""
        return self.ledger.index[self.ledger.columns["kept"].astype(bool)]

    def decisions(self) -> Any:
        """A table (row, action) that drops all other rows: ``errata.apply(run, run.decisions())`` gives the subset."""
        import pandas as pd

        lost = self.ledger.index[~self.ledger.columns["kept"].astype(bool)]
        return pd.DataFrame({"row": lost, "action": "drop", "note": "pruned"})


def read(source: Any, label: Any = None, **reading: Any) -> Any:
    """The data, as ``errata.read`` reads them."""
    from errata.data import read as read_data

    return read_data(source, label, **reading)


def load(folder: str | Path, model: nn.Module | None = None, device: str = "auto") -> PrunedRun:
    """Load a run saved by training with "kd-pruning"; see ``errata.Run.load``."""
    return PrunedRun.load(folder, model, device)  # type: ignore[return-value]


def train(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    system: Any = "kd-pruning",
    keep: float = 0.5,
    score: Any = "random",
    easy: bool = False,
    class_balanced: bool = False,
    cut: float | None = None,
    distill: bool = True,
    teacher: Any = None,
    teacher_model: Any = None,
    alpha: float | str = "auto",
    tau: float = 4.0,
    equal: str = "epochs",
    cached: bool | str = "auto",
    early: int = 10,
    model: str | nn.Module = "auto",
    epochs: int | None = None,
    batch_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    devices: int = 1,
    precision: str | int | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    augment: bool = True,
    deterministic: bool = True,
    **rest: Any,
) -> PrunedRun:
    """Train a student on a part of the data, held to the soft labels of a teacher of all of it.

    Parameters
    ----------
    source, y, label, model, epochs, batch_size, seed, device, devices, precision, out, resume, progress, augment,
    deterministic : as of ``errata.train``; epochs and batch size are the teacher's
    keep : the share of labelled samples that is kept, in (0, 1]
    score : what they are chosen by: "random" (with distillation about as good as any), "forgetting", "el2n", "grand",
        "aum", "accumulated_margin", "correctness" (these keep the hard ones), "entropy", "least_confidence",
        "moderate", "coverage" (CCS), "herding", "k_center"; or numbers of your own, the high ones kept
    easy : keep the easy end of a score
    class_balanced : each class keeps its share
    cut : the share that "coverage" drops as mislabelled first
    distill : learn from the teacher; without it, from the labels alone
    teacher : a run, or its folder, in place of one trained here; "recorded" scores need one that was trained here
    teacher_model : its network; by default the student's architecture. For a small ``keep`` a smaller one is better.
    alpha : weight of the teacher, in [0, 1]; "auto" is 1 where up to 0.3 is kept, and else the best of ``ALPHAS`` on a
        tenth of the (noisy) labels, which these trials don't see; it takes a training for each
    tau : temperature
    equal : students get as many "epochs" as the teacher (the more is dropped, the fewer steps), or as many "steps"
    cached : whether the teacher's predictions are computed once, on plain inputs; by default where nothing is
        augmented, and for a teacher that encodes the data in another way
    early : epochs that count for EL2N and GraNd
    **rest : options of ``errata.read``, and of the training: ``lr``, ``optimizer`` ...

    Returns
    -------
    PrunedRun
        its ledger has a row for every sample: the teacher's judgement of its label (the student's, where there is no
        teacher), ``score`` and ``kept``, and every score that was recorded

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(200, 2))
    >>> run = train(x, (x[:, 0] > 0).astype(int), keep=0.25, epochs=20, progress=False, device="cpu")
    >>> int(run.ledger.columns["kept"].sum()), bool((run.predict(x) == (x[:, 0] > 0)).mean() > 0.9)
    (50, True)
    """
    choice = Choice(keep, score if isinstance(score, str) else np.asarray(score), easy, class_balanced, cut, seed)
    _check(alpha, tau, equal, cached, teacher, choice)
    check_settings(1 if epochs is None else epochs, device, devices, precision, resume, out)
    reading, settings = split_options(rest, KnowledgeDistillation)
    folder = claim_folder(out, resume, taken_by=FILES)
    if folder is not None and not resume and (folder / TEACHER).exists():
        raise ErrataError(
            f"{folder} already holds a teacher, and nothing is overwritten. Choose another folder, or go on with that "
            "training: resume=True (--resume on the command line)."
        )
    data = read_labelled(source, y, label, reading)
    work = Work(
        data,
        choice,
        model,
        {"epochs": epochs, "batch_size": batch_size, "augment": augment, "seed": seed, "settings": settings},
        {"seed": seed, "device": device, "devices": devices, "precision": precision, "progress": progress}
        | {"deterministic": deterministic, "resume": resume},
        folder,
        reading,
    )
    master = None
    if teacher is not None:
        master = _brought(teacher, data, device)
    elif distill or choice.needs_teacher:
        master = work.teach(model if teacher_model is None else teacher_model, early)
    kept, score_of = work.choose(master)
    found = Distilling(1.0 if alpha == "auto" else float(alpha), tau, cached) if distill and master else None
    if found is not None and alpha == "auto" and keep > LITTLE:
        found = work.choose_alpha(master, kept, found, equal)
    about = {"keep": keep, "score": choice.name, "easy": easy, "class_balanced": class_balanced, "equal": equal}
    student = work.student(master, kept, found, equal, about)
    run = PrunedRun(**{name: getattr(student, name) for name in Run.__dataclass_fields__}, teacher=master)
    complete(run, data, master, kept, score_of, found, choice)
    if folder is not None:
        run.save(folder)
    return run


# -- pieces ------------------------------------------------------------------------------------------------------------


def _check(alpha: Any, tau: float, equal: str, cached: Any, teacher: Any, choice: Choice) -> None:
    if alpha != "auto" and (isinstance(alpha, (str, bool)) or not 0 <= alpha <= 1):
        raise ParameterError(f"alpha is the teacher's weight, in [0, 1], or 'auto'; got {alpha!r}.")
    if isinstance(tau, (str, bool)) or not tau > 0:
        raise ParameterError(f"tau is a temperature above 0; got {tau!r}.")
    if equal not in STEPS:
        raise ParameterError(f"equal must be 'epochs' or 'steps'; got {equal!r}.")
    if cached not in (True, False, "auto"):
        raise ParameterError(f"cached must be True, False or 'auto'; got {cached!r}.")


def _brought(teacher: Any, data: Any, device: str) -> Run:
    run = teacher if isinstance(teacher, Run) else Run.load(teacher, device=device)
    if [str(c) for c in run.classes] != [str(c) for c in data.labels.classes]:
        raise DataError(
            f"The teacher knows the classes {', '.join(map(str, run.classes))}, and the data have "
            f"{', '.join(map(str, data.labels.classes))}; a teacher must know the same classes in the same order."
        )
    run.predict_proba(data.subset([0]))  # where it can't read these data, it says so now
    return run
