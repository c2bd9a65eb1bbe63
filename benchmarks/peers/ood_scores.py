"""Every out-of-distribution score beside pytorch-ood's, in one run: the same values, and the time that each takes.

    python benchmarks/peers/ood_scores.py [--repeats 5]

pytorch-ood imports torchvision when it is imported, for its model zoo and its augmentations. Neither is used here, and
where torchvision is not installed an empty stand-in takes its place; the detectors themselves are pytorch-ood's own,
unchanged.

What differs by definition is brought to one scale before it is compared, and said in the result: pytorch-ood's
covariance is a sum over the N samples (plus 1e-6 on the diagonal), ours their mean, so its Mahalanobis score is ours
over N.
"""

from __future__ import annotations

import argparse
import importlib.abc
import importlib.machinery
import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "claims"))

from oest import mnist

import errata
from _record import write_result
from errata.scores import ood


class _StandIn(ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (torch.nn.Module,), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing: it is empty."""


def stand_in_for_torchvision() -> bool:
    """Whether a stand-in was needed."""
    if importlib.util.find_spec("torchvision") is not None:
        return False
    sys.meta_path.append(_Finder())
    return True


def timed(functions: Sequence[Callable[[], Any]], repeats: int) -> tuple[list[Any], list[float]]:
    """What each function gives, and its median seconds; they take turns, forwards and backwards."""
    results: list[Any] = [None] * len(functions)
    seconds: list[list[float]] = [[] for _ in functions]
    for repeat in range(repeats + 1):
        order = range(len(functions)) if repeat % 2 == 0 else reversed(range(len(functions)))
        for i in order:
            started = time.perf_counter()
            results[i] = functions[i]()
            if repeat:  # the first round warms up
                seconds[i].append(time.perf_counter() - started)
    return results, [statistics.median(s) for s in seconds]


def network() -> tuple[Any, Tensor, Tensor, Tensor, Tensor, list[float]]:
    """A small CNN trained on five digits; inputs to train on, their classes, new ones of both kinds, the deviation."""
    x, y, x_test, y_test = mnist()
    rows, known = np.flatnonzero(y < 5)[:2000], np.flatnonzero(y_test < 5)[:1000]
    run = errata.train(x[rows], y[rows], system="ce", model="small_cnn", epochs=5, device="cpu", progress=False)
    views = run.system.views
    new = np.concatenate([x_test[known], x_test[np.flatnonzero(y_test >= 5)[:1000]]])
    plain = [views.plain(torch.from_numpy(images)) for images in (x[rows], new)]
    return run.system.model.eval(), plain[0], torch.from_numpy(y[rows]), plain[1], views.std, views.std.tolist()


def compare(repeats: int) -> list[dict[str, Any]]:
    """Both sides of every score."""
    from pytorch_ood import detector as theirs

    model, x, y, new, std, std_list = network()
    with torch.no_grad():
        logits, features = model(new), model.features(new)
        bank = model.features(x)
    n = len(x)
    gaussians = ood.fit_class_gaussians(bank, y)
    mahalanobis = theirs.Mahalanobis(None).fit_features(bank, y)
    knn = theirs.KNN(None, k=50).fit_features(bank, y)
    odin = theirs.ODIN(model, eps=0.0014, temperature=1000.0, norm_std=std_list)
    pairs: dict[str, tuple[Callable[[], Any], Callable[[], Any], float]] = {
        "MSP": (lambda: ood.max_probability_score(logits), lambda: theirs.MaxSoftmax.score(logits), 1.0),
        "MaxLogit": (lambda: ood.max_logit_score(logits), lambda: theirs.MaxLogit.score(logits), 1.0),
        "energy": (lambda: ood.energy_score(logits), lambda: theirs.EnergyBased.score(logits), 1.0),
        "ODIN": (lambda: ood.odin_score(model, new, channel_std=std), lambda: odin.predict(new), 1.0),
        "Mahalanobis": (
            lambda: ood.mahalanobis_score(features, gaussians),
            lambda: mahalanobis.predict_features(features),
            float(n),
        ),
        "kNN": (lambda: ood.knn_score(features, bank, 50), lambda: knn.predict_features(features), 1.0),
    }
    found = []
    for name, (ours, others, scale) in pairs.items():
        (mine, their), (own_time, their_time) = timed([ours, others], repeats)
        a, b = mine.double().numpy(), their.detach().double().cpu().numpy() * scale
        found.append(
            {
                "score": name,
                "largest_difference": float(np.abs(a - b).max()),
                "largest_relative_difference": float((np.abs(a - b) / np.abs(b).clip(1e-12)).max()),
                "spread": float(b.std()),
                "scaled_by": scale,
                "seconds": own_time,
                "their_seconds": their_time,
            }
        )
    return [*found, *metrics(ood.energy_score(logits).numpy(), repeats)]


def metrics(scores: np.ndarray, repeats: int) -> list[dict[str, Any]]:
    """AUROC, average precision and FPR95 of the energy, by both."""
    from pytorch_ood.metrics import AUPR, AUROC, FPRAtTPR

    half = len(scores) // 2

    def ours() -> dict[str, float]:
        found = ood.detection_metrics(scores[:half], scores[half:])
        return {"AUROC": found.auroc, "AUPR": found.aupr, "FPR95": found.fpr}

    def others() -> dict[str, float]:
        labels = torch.cat([torch.zeros(half), -torch.ones(len(scores) - half)]).long()
        named = {"AUROC": AUROC(), "AUPR": AUPR(), "FPR95": FPRAtTPR()}
        for metric in named.values():
            metric.update(torch.from_numpy(scores), labels)
        return {name: float(next(iter(metric.compute().values()))) for name, metric in named.items()}

    (mine, their), (own_time, their_time) = timed([ours, others], repeats)
    return [
        {
            "score": name,
            "ours": mine[name],
            "theirs": their[name],
            "largest_difference": abs(mine[name] - their[name]),
            "largest_relative_difference": abs(mine[name] - their[name]) / max(their[name], 1e-12),
            "seconds": own_time,
            "their_seconds": their_time,
        }
        for name in mine
    ]


def main() -> None:
    """Measure, print, record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args()
    stand_in = stand_in_for_torchvision()
    lines = compare(options.repeats)
    rows = []
    for line in lines:
        print(f"{line['score']:12} differs by {line['largest_relative_difference']:.1e} at most; "
              f"{1000 * line['seconds']:8.2f} ms, pytorch-ood {1000 * line['their_seconds']:8.2f} ms")  # fmt: skip
        rows.append(
            [
                line["score"],
                f"{line['largest_relative_difference']:.1e}",
                f"{1000 * line['seconds']:.2f}",
                f"{1000 * line['their_seconds']:.2f}",
            ]
        )
    table = {
        "title": "Scores of 2,000 images by a small CNN, beside pytorch-ood's",
        "columns": ["score", "largest relative difference", "errata, ms", "pytorch-ood, ms"],
        "rows": rows,
        "note": "Medians, taking turns in one process. pytorch-ood's Mahalanobis score is multiplied by the number of "
        "samples, by which its covariance is not divided.",
    }
    if not options.dry:
        peer = {"pytorch-ood": metadata.version("pytorch-ood"), "stand_in_for_torchvision": stand_in}
        print(f"written: {write_result('ood_scores', {'peer': peer, 'comparisons': lines, 'tables': [table]})}")


if __name__ == "__main__":
    main()
