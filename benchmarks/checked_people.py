"""The human-checked rows of CIFAR-10's test set, judged by a network that learned what people said of training images.

CIFAR-10N has labels of the training images that people gave again, beside the published ones. A run that learned all of
them foretells how people divide over an image; and how they differ from the published labels tells which classes are
taken for one another (``given_column``). Neither has anything to do with the test set's votes. In this order:

``--opinions FILE`` writes the training images with one label a row: the aggregate, the first person's and the worst of
CIFAR-10N's three people, in the column ``person_label``, beside the published ``true_label``. ``--teach START OUT``
takes the network of a run that learned the published labels (``checked_rows.py``), and trains it one more epoch on
those of FILE. A run from the beginning is

    errata train FILE --label person_label --system ce --model resnet9 --epochs 4 --batch-size 256 \\
        --set lr=0.2 --set scheduler=one-cycle --precision bf16-mixed --validation 0 --seed 104 --out RUN

``--choose`` compares orders on test rows that nobody checked and that cleanlab's model contradicts, as it does all
checked ones. Wrong there: of five people drawn from CIFAR-10H fewer than three choose the published label; every row
counts with its chance of it, so nothing is drawn.

Without it, what ``errata.audit(test, run=..., given_column="true_label")`` makes of the checked rows is scored by the
five people's votes.

    python benchmarks/checked_people.py --opinions FILE --teach START OUT --seed 203
    python benchmarks/checked_people.py --choose --runs RUN [RUN ...] --published RUN [RUN ...]
    python benchmarks/checked_people.py --cleanlab-python /tmp/cleanlab/bin/python --runs RUN [RUN ...] --published ...

``--published`` are runs that learned the published labels (``checked_rows.py``), for comparison.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

import errata
from _record import write_result
from checked_rows import DATA, TEST, Test, scores, table_of_votes
from errata.audit import by_run
from errata.audit.confident import confident
from errata.audit.ensemble import as_opinion
from errata.audit.second_look import posterior, slips_of
from errata.labels import ClassLabels

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))
from finding import Problem, cleanlab_side

PEOPLE = ("aggregate_label", "random_label1", "worst_label")
GIVEN = "true_label"
CLASSES = 10


def write_opinions(place: Path) -> None:
    """The training images with a row for each label that people gave."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(DATA / "cifar10n_train.parquet")
    parts = [table.select(["image", GIVEN, name]).rename_columns(["image", GIVEN, "person_label"]) for name in PEOPLE]
    rows = pa.array(np.arange(table.num_rows))
    whole = pa.concat_tables([part.append_column("row", rows) for part in parts])
    pq.write_table(whole.replace_schema_metadata(table.schema.metadata), place)


def teach(opinions: Path, start: Path, out: Path, seed: int) -> None:
    """One epoch of people's labels for the network of a run that learned the published ones."""
    errata.train(
        opinions,
        label="person_label",
        system="ce",
        model=_load(start).system.model,
        epochs=1,
        batch_size=256,
        lr=0.05,
        scheduler="one-cycle",
        precision="bf16-mixed",
        validation=0,
        device="cpu",
        seed=seed,
        out=out,
    )


# -- which order -------------------------------------------------------------------------------------------------------


def orders(given: np.ndarray, probs: np.ndarray, slips: np.ndarray) -> dict[str, np.ndarray]:
    """Trust by a model's probabilities: of the given label, its margin, both; and these with the slips known."""
    found = {}
    labels = ClassLabels(given, list(range(CLASSES)))
    for known, own in {"": probs, ", slips known": posterior(given, probs, slips)}.items():
        ledger = confident(labels, own)
        found[f"self-confidence{known}"] = ledger.columns["self_confidence"]
        found[f"margin{known}"] = ledger.columns["normalized_margin"]
        found[f"both{known}"] = as_opinion("confident", ledger).places
    return found


def choose(test: Test, models: dict[str, np.ndarray], slips: np.ndarray) -> list[list[str]]:
    """A row for each order: its figures on rows that nobody checked, those that cleanlab's model doubts, and all."""
    from scipy.stats import binom

    share = test.people / test.people.sum(1, keepdims=True)
    chance = binom.cdf(2, 5, share[np.arange(len(share)), test.given])
    unchecked = test.votes[:, 0] < 0
    doubted = unchecked & (test.probs.argmax(1) != test.given)
    rows = []
    for model, probs in models.items():
        for name, trust in orders(test.given, probs, slips).items():
            cells = [f"{model}: {name}"]
            for part in (doubted, unchecked):
                wrong = np.repeat([True, False], part.sum())
                doubt, weight = -np.tile(trust[part], 2), np.r_[chance[part], 1 - chance[part]]
                for score in (average_precision_score, roc_auc_score):
                    cells.append(f"{score(wrong, doubt, sample_weight=weight):.3f}")
            rows.append(cells)
    return rows


def models_of(test: Test, seen: dict[str, np.ndarray], published: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """cleanlab's probabilities, those of the runs, and of the people's runs together, with and without cleanlab's."""
    together = by_run.pool(list(seen.values()), [1 / len(seen)] * len(seen))
    weights = by_run.pool_weights(test.given, [test.probs, together])
    return {
        "cleanlab's probabilities": test.probs,
        **published,
        **seen,
        **({"people's runs together": together} if len(seen) > 1 else {}),
        "people's runs and cleanlab's, by likelihood": by_run.pool([test.probs, together], weights),
    }


# -- the votes ---------------------------------------------------------------------------------------------------------


def judge(test: Test, runs: dict[str, Any], published: dict[str, np.ndarray], python: str) -> dict[str, dict[str, Any]]:
    """Every order's figures on the checked rows."""
    checked = test.votes[:, 0] >= 0
    wrong = test.votes[checked, 0] < 3
    problem = Problem("cifar10_test", 0, test.given, test.votes[:, 0] < 3, test.probs, test.probs, None, checked)
    found: dict[str, dict[str, Any]] = cleanlab_side(problem, python)
    labels = ClassLabels(test.given, list(range(CLASSES)))
    found["errata, probabilities alone"] = scores(wrong, confident(labels, test.probs).trust[checked])
    for name, probs in published.items():
        found[f"errata, {name}"] = scores(wrong, confident(labels, probs).trust[checked])
    asked = {**{name: [run] for name, run in runs.items()}, "people's runs together": list(runs.values())}
    for name, own in list(asked.items())[: None if len(runs) > 1 else 1]:
        for told, column in {"": None, ", slips known": GIVEN}.items():
            ledger = errata.audit(
                TEST, label="label", run=own, given_column=column, image_column="image", device="cpu", progress=False
            )
            vouched = ledger.vouched.at(int(checked.sum()))
            row = {**scores(wrong, ledger.trust[checked]), "flagged": int(ledger.issue.sum()), "vouched": vouched}
            found[f"errata, {name}{told}"] = row
            print(name + told, row, flush=True)
    return found


# -- what is written ---------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opinions", type=Path, help="write the training images with people's labels")
    parser.add_argument("--teach", type=Path, nargs=2, metavar=("START", "OUT"), help="go on with a run, on --opinions")
    parser.add_argument("--seed", type=int, default=203)
    parser.add_argument("--runs", type=Path, nargs="+", help="runs that learned them")
    parser.add_argument("--published", type=Path, nargs="*", default=[], help="runs that learned the published labels")
    parser.add_argument("--choose", action="store_true", help="compare orders on rows that nobody checked")
    parser.add_argument("--cleanlab-python", default=sys.executable, help="interpreter that has cleanlab 2.9")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    options = parser.parse_args()
    if options.opinions is not None:
        if not options.opinions.exists():
            write_opinions(options.opinions)
        if options.teach:
            teach(options.opinions, *options.teach, options.seed)
        return
    test = Test.read()
    runs = {f"people's run {run.about['seed']}": run for run in map(_load, options.runs)}
    others = {f"run {run.about['seed']} on published labels": run for run in map(_load, options.published)}
    published = {name: _view(run) for name, run in others.items()}
    payload: dict[str, Any] = {"runs": [about(run, test) for run in [*runs.values(), *others.values()]]}
    if options.choose:
        seen = {name: _view(run) for name, run in runs.items()}
        slips = slips_of(list(runs.values()), GIVEN, next(iter(runs.values())).classes)
        payload["tables"] = [table_of_orders(choose(test, models_of(test, seen, published), slips))]
    else:
        payload["methods"] = judge(test, runs, published, options.cleanlab_python)
        table = table_of_votes(payload["methods"], payload["runs"])
        table["title"] = "The 275 checked rows of CIFAR-10's test set, judged by what people said of training images"
        payload["tables"] = [table]
    for row in payload["tables"][0]["rows"]:
        print(*row, sep="\t")
    if not options.dry:
        print(write_result("checked_people_rule" if options.choose else "checked_people", payload))


def _load(folder: Path) -> Any:
    """The run in a folder; of one that went on with another run's network, the network is built anew first."""
    import json

    from errata.models import build

    went_on = json.loads((folder / "run.json").read_text())["model"] == "ResNet9"
    return by_run.load_run(folder, build("resnet9", CLASSES, (3, 32, 32)) if went_on else "auto", "cpu")


def _view(run: Any) -> np.ndarray:
    """(10000, 10) what it makes of the test set."""
    data = by_run.read_for(run, TEST, "label", image_column="image")[1]
    return by_run.view(run, data).probabilities


def about(run: Any, test: Test) -> dict[str, Any]:
    """How the run was made, and how good it is."""
    right = float((_view(run).argmax(1) == test.given).mean())
    return {"command": run.about["command"], "seconds": run.metrics["seconds"], "test_accuracy": right}


def table_of_orders(rows: list[list[str]]) -> dict[str, Any]:
    return {
        "title": "Orders of CIFAR-10 test rows that nobody checked, by what people would vote",
        "columns": ["order", "doubted rows: average precision", "AUROC", "all rows: average precision", "AUROC"],
        "rows": rows,
        "note": "Wrong: of five people drawn from CIFAR-10H fewer than three choose the published label; expected "
        "values. Doubted: cleanlab's model contradicts the label. Both: three quarters the rank of self-confidence, "
        "one the margin's.",
    }


if __name__ == "__main__":
    main()
