"""`errata demo`: the whole loop on data that come with the installation, where the truth is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from errata.cli import _options as options
from errata.cli._command import command
from errata.cli._places import output_folder
from errata.cli._talk import Talk

if TYPE_CHECKING:
    import numpy as np

    from errata.ledger import Ledger

__all__ = ["demo"]

SOURCE = "scikit-learn's digits (simulated noise)"
TEST = 500  # digits kept apart, with their right labels, to measure on at the end
SYMMETRIC, PAIRED = 0.2, 0.1  # shares of labels replaced by any other digit, and by the next one
SYSTEMS = ("ce", "elr")


@command
def demo(talk: Talk, out: options.OutFolder = None, seed: options.Seed = 0) -> None:
    """The whole loop in a minute or two: plant wrong labels, find them, train in spite of them.

    The data are scikit-learn's handwritten digits; the wrong labels are simulated, so the truth is known.

    Example:

      errata demo --out errata-demo
    """
    folder = output_folder(
        talk, out, "errata-demo", taken_by=("ledger.parquet", "runs"), hint="Choose another --out, or none."
    )
    images, true, test_images, test_true = _digits(seed)
    given = _plant(true, seed)
    wrong = given != true
    _step(talk, 1, f"The data: {len(true):,} handwritten digits, which come with scikit-learn.")
    talk.say(f"   Made wrong on purpose (the noise is simulated): {wrong.sum()} of their labels, {wrong.mean():.0%}.")
    _step(talk, 2, "Finding the wrong ones, from the labels as given alone: errata.audit(images, labels)")
    with _one_thread():
        ledger = _audit(talk, images, given, seed)
    found = _found(ledger, wrong)
    ledger.save(folder)
    _show_found(talk, ledger, true, found)
    _step(talk, 3, "Training on the wrong labels all the same: errata.train(images, labels, system=...)")
    accuracies = {}
    for system in SYSTEMS:
        with _one_thread():
            run = _train(talk, images, given, system, folder / "runs" / system, seed)
        accuracies[system] = run.evaluate(test_images, test_true)["accuracy"]
    _show_accuracies(talk, accuracies)
    made = {name.split(".")[0]: folder / name for name in ("report.html", "ledger.parquet", "summary.json", "runs")}
    talk.paths(made)
    talk.say("\nNext, on data of your own: errata audit your.csv --label COLUMN")
    talk.result(
        {
            "data": SOURCE,
            "planted": int(wrong.sum()),
            **found,
            "estimated_noise": ledger.noise.rate,
            "test_accuracy": accuracies,
            "seed": seed,
            "made": {name: str(path) for name, path in made.items()},
        }
    )


def _digits(seed: int) -> tuple[Any, np.ndarray, Any, np.ndarray]:
    """Training images (N, 64) and labels, then those for the test; the same split for the same seed."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(
        x.astype("float32"), y, test_size=TEST, stratify=y, random_state=seed
    )
    return x_train, y_train, x_test, y_test


def _plant(true: np.ndarray, seed: int) -> np.ndarray:
    """Labels of which some are replaced by any other digit and some by the next one."""
    from errata import noise

    return noise.asymmetric(
        noise.symmetric(true, SYMMETRIC, 10, seed=seed), PAIRED, "pair", num_classes=10, seed=seed + 1
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """On data this small threads wait for each other; on a busy machine for minutes."""
    import torch
    from threadpoolctl import threadpool_limits

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        torch.set_num_threads(threads)


def _audit(talk: Talk, images: Any, given: np.ndarray, seed: int) -> Ledger:
    from errata.audit import audit
    from errata.data import read

    ledger = audit(images, given, seed=seed, device="cpu", progress=talk.progress)
    ledger.meta["source"] = SOURCE
    ledger.data = read((images * 255 / 16).astype("uint8").reshape(-1, 8, 8), given)  # the report shows pictures
    return ledger


def _train(talk: Talk, images: Any, given: np.ndarray, system: str, folder: Path, seed: int) -> Any:
    from errata.engine import train

    return train(
        images, given, system=system, out=folder, seed=seed, device="cpu", augment=False, progress=talk.progress
    )


def _found(ledger: Ledger, wrong: np.ndarray) -> dict[str, Any]:
    """How the flagged rows compare with those that were made wrong."""
    hits = int((ledger.issue & wrong).sum())
    flagged = int(ledger.issue.sum())
    return {
        "flagged": flagged,
        "flagged_and_wrong": hits,
        "precision": hits / flagged if flagged else 0.0,
        "recall": hits / int(wrong.sum()),
    }


def _step(talk: Talk, number: int, text: str) -> None:
    talk.say(f"\n[bold cyan]{number}[/bold cyan]  {text}")


def _show_found(talk: Talk, ledger: Ledger, true: np.ndarray, found: dict[str, Any]) -> None:
    from rich.table import Table

    from errata.cli._show import shown_trust

    precision, recall = (f"[bold]{found[name]:.0%}[/bold]" for name in ("precision", "recall"))
    talk.say(
        f"   {found['flagged']} labels flagged: {precision} of them are wrong indeed (precision),",
        f"   and {recall} of all wrong labels are among them (recall).",
        f"   Estimated share of wrong labels: {ledger.noise.rate:.0%}. The most suspicious rows:\n",
    )
    table = Table(box=None, header_style="bold dim", padding=(0, 2, 0, 0))
    for heading in ("   row", "given", "proposed", "in truth", "trust"):
        table.add_column(heading, justify="right")
    for row in ledger.order[:5]:
        proposed, truth = ledger.classes[ledger.proposed[row]], true[row]
        colour = "green" if proposed == truth else "red"
        table.add_row(
            str(row),
            str(ledger.classes[ledger.given[row]]),
            f"[{colour}]{proposed}[/{colour}]",
            str(truth),
            shown_trust(ledger.trust[row]),
        )
    talk.say(table)


def _show_accuracies(talk: Talk, accuracies: dict[str, float]) -> None:
    talk.say(f"   Accuracy on {TEST} other digits, with right labels:")
    for name, words in zip(SYSTEMS, ("plain training", "robust training")):
        talk.say(f"     {f'{words} ({name})'.ljust(24)}[bold]{accuracies[name]:.1%}[/bold]")
