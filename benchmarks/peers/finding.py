"""Which rows are wrong? errata beside cleanlab and SimiFeat (Docta's), from the same probabilities and embeddings.

Every method orders the rows of a set with known errors; told are the average precision of its order, and the share of
errors among its first n rows, n being the number of errors there are ("precision at n").

- cleanlab 2.9 (in a process of its own interpreter): every score, plain and adjusted, and every filter rule, with its
  issues first, each ordered by each score. "best of cleanlab" is the best of all these *for that set and seed*, chosen
  with hindsight, which no user could.
- SimiFeat-V and -R: this project's reimplementation of what Docta does, ordered by the share of rounds that flag a row.
- errata: confident, neighbours, the ensemble from one pass (the same probabilities and embeddings as all others have),
  the ensemble with its second pass (trained once more), and dynamics.

The ensemble's constants and weights were chosen on other sets and draws: see ``finding_rule.py``, and for the share of
self-confidence seeds 10 and 11 of TREC, CIFAR-10N and breast cancer; never on the checked rows.

Sets: CIFAR-10N (people's labels; a subset of the rows), the human-checked rows of the CIFAR-10, MNIST and 20news test
sets (an error: fewer than 3 of 5 people chose the given label; never used but for the figures), and digits and TREC
with planted noise that depends on the instance. "errata" is, for each set, what ``method="ensemble"`` gives of what is
at hand: of data two passes and neighbours; of given probabilities and an embedding one pass and neighbours; of given
probabilities alone (20news) their self-confidence.

    python -m venv /tmp/cleanlab && /tmp/cleanlab/bin/pip install "cleanlab==2.9.*"
    python benchmarks/peers/finding.py --cleanlab-python /tmp/cleanlab/bin/python
    python benchmarks/peers/finding.py --sets digits trec --seeds 1 --dry ...   # nothing recorded
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))

from _problems import FIRST_SEED, SOURCES, Problem

ROOT = Path(__file__).resolve().parents[2]
BOOTSTRAPS = 1000
SELF_CONFIDENCE = "confident, by self-confidence"
SHOWN = ("errata", SELF_CONFIDENCE, "neighbours", "dynamics", "SimiFeat-V (reimplemented)", "best of cleanlab")


# -- methods -----------------------------------------------------------------------------------------------------------


def errata_side(problem: Problem, args: argparse.Namespace) -> dict[str, np.ndarray]:
    """The order by every method of errata, and SimiFeat; sets ``problem.probs`` where the set brings none."""
    from sklearn.linear_model import LogisticRegression

    from errata.audit.confident import confident
    from errata.audit.crossval import cross_validate
    from errata.audit.ensemble import as_opinion, by_neighbours, combine, weighed
    from errata.audit.neighbours import neighbours
    from errata.audit.predictors import EstimatorFolds, Without, auto
    from errata.labels import ClassLabels
    from errata.scores.neighbours import consensus, nearest, share_right, solve_consensus
    from errata.scores.simifeat import simifeat

    found: dict[str, np.ndarray] = {}
    classes = int(problem.given.max()) + 1 if problem.probs is None else problem.probs.shape[1]
    labels = ClassLabels(problem.given, list(range(classes)))
    predictor: Any = None
    if problem.probs is None:
        begun = time.process_time()
        model = LogisticRegression(C=0.05, max_iter=200)
        predictor = (
            auto(problem.data, problem.seed)
            if problem.data is not None
            else EstimatorFolds(model, problem.features, labels, seed=problem.seed)
        )
        problem.probs = cross_validate(labels, predictor, seed=problem.seed, jobs=1).pred_probs
        problem.notes["cross_validation_seconds"] = time.process_time() - begun
    alone = confident(labels, problem.probs)
    found[SELF_CONFIDENCE] = alone.columns["self_confidence"]
    found["confident, by margin"] = alone.columns["normalized_margin"]
    near = neighbours(labels, problem.features, seed=problem.seed)
    found["neighbours"] = near.trust
    graph = nearest(problem.features, 18)
    transition, prior = solve_consensus(*consensus(graph.index, problem.given, classes))
    right = share_right(transition, prior, np.bincount(problem.given, minlength=classes) / len(labels))
    for rule in ("vote", "rank"):
        flags = simifeat(graph, problem.given, rule=rule, right=right, seed=problem.seed)
        found[f"SimiFeat-{rule[0].upper()} (reimplemented)"] = -flags.flagged
    opinions = [as_opinion("confident", alone), by_neighbours(near)]
    found["ensemble, one pass"] = combine(labels, weighed(opinions)).trust
    problem.notes["noise_rate"] = {"true": float(problem.wrong.mean()) if problem.checked is None else None}
    problem.notes["noise_rate"].update({"confident": alone.noise.rate, "neighbours": near.noise.rate})
    if predictor is not None and alone.issue.any():
        again = cross_validate(labels, Without(predictor, alone.issue, labels), seed=problem.seed, jobs=1)
        second = confident(labels, again.pred_probs)
        opinions.insert(1, as_opinion("confident_again", second))
        found["ensemble"] = combine(labels, weighed(opinions)).trust
        problem.notes["noise_rate"]["ensemble"] = second.noise.rate
    found["errata"] = found.get("ensemble", found["ensemble, one pass"])
    if problem.name == "20news":
        found["errata"] = found[SELF_CONFIDENCE]
    if problem.checked is None:
        found.update(networks(problem, args))
    return found


def networks(problem: Problem, args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Dynamics, and for some seeds confident learning with the same network cross-validated, with CPU seconds."""
    import errata
    from errata.data import read

    data = problem.data if problem.data is not None else read(problem.features, problem.given)
    begun = time.process_time()
    ledger = errata.audit(data, method="dynamics", seed=problem.seed, device="cpu", progress=False)
    found = {"dynamics": ledger.trust}
    problem.notes["noise_rate"]["dynamics"] = ledger.noise.rate
    problem.notes["dynamics_seconds"] = time.process_time() - begun
    if problem.seed < FIRST_SEED + args.network_seeds:
        name = "text_bag" if data.kind == "text" else "mlp"
        begun = time.process_time()
        ledger = errata.audit(data, model=name, seed=problem.seed, device="cpu", progress=False)
        problem.notes["network_cross_validated_seconds"] = time.process_time() - begun
        found["network cross-validated, by self-confidence"] = ledger.columns["self_confidence"]
        found["network cross-validated, by margin"] = ledger.columns["normalized_margin"]
    return found


def cleanlab_side(problem: Problem, python: str) -> dict[str, dict[str, float]]:
    """The figures of every score and rule of cleanlab."""
    return {name: problem.score(order) for name, order in cleanlab_orders(problem, python).items()}


def cleanlab_orders(problem: Problem, python: str) -> dict[str, np.ndarray]:
    """Every score and rule of cleanlab on the same labels and probabilities, in its own interpreter."""
    with tempfile.TemporaryDirectory(prefix="finding-") as name:
        np.savez(Path(name) / "in.npz", given=problem.given, probs=problem.probs)
        done = subprocess.run([python, __file__, "--cleanlab", name], capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"cleanlab failed; is it installed for {python}? {done.stderr[-600:]}")
        with np.load(Path(name) / "out.npz") as arrays:
            return {f"cleanlab {key}": arrays[key] for key in arrays.files}


def run_cleanlab(folder: Path) -> None:
    """What runs in cleanlab's interpreter: an order of the rows for each score, and for each rule by each score."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    with np.load(folder / "in.npz") as arrays:
        given, probs = arrays["given"], arrays["probs"]
    scores = {}
    for method in ("self_confidence", "normalized_margin", "confidence_weighted_entropy"):
        scores[method] = get_label_quality_scores(given, probs, method=method)
        if method != "confidence_weighted_entropy":
            scores[f"{method} adjusted"] = get_label_quality_scores(given, probs, method=method, adjust_pred_probs=True)
    orders = dict(scores)
    rules = ("prune_by_noise_rate", "prune_by_class", "both", "confident_learning", "predicted_neq_given")
    for rule in rules:
        issues = find_label_issues(given, probs, filter_by=rule, n_jobs=1)
        orders.update({f"{rule}, {name}": score + np.where(issues, 0.0, 2.0) for name, score in scores.items()})
    np.savez(folder / "out.npz", **orders)


# -- comparison --------------------------------------------------------------------------------------------------------


def measure(problem: Problem, args: argparse.Namespace) -> dict[str, Any]:
    """One set and seed: every method's figures."""
    orders = errata_side(problem, args)
    own = {name: problem.score(order) for name, order in orders.items()}
    peers = cleanlab_orders(problem, args.cleanlab_python)
    theirs = {name: problem.score(order) for name, order in peers.items()}
    best = max(theirs, key=lambda name: theirs[name]["average_precision"])
    record = {
        "set": problem.name,
        "seed": problem.seed,
        "rows": len(problem.given),
        "checked": None if problem.checked is None else int(problem.checked.sum()),
        "errors": int(problem.wrong.sum() if problem.checked is None else problem.wrong[problem.checked].sum()),
        "best_of_cleanlab": best,
        "methods": {**own, **theirs, "best of cleanlab": theirs[best]},
        **problem.notes,
    }
    if problem.checked is not None:
        record["intervals_90"] = drawn_anew(problem, orders["errata"], peers[best])
    told = ", ".join(f"{name} {figures['average_precision']:.3f}" for name, figures in own.items())
    top = theirs[best]["average_precision"]
    print(f"{problem.name}, seed {problem.seed}: best of cleanlab {top:.3f} ({best}); {told}", flush=True)
    return record


def drawn_anew(problem: Problem, ours: np.ndarray, theirs: np.ndarray) -> dict[str, list[float]]:
    """90 % intervals of both orders' average precision and of their difference, from drawing the checked rows anew."""
    from sklearn.metrics import average_precision_score

    wrong = problem.wrong[problem.checked]
    doubts = [-np.asarray(order, dtype=np.float64)[problem.checked] for order in (ours, theirs)]
    rng, drawn = np.random.default_rng(problem.seed), []
    for _ in range(BOOTSTRAPS):
        rows = rng.integers(0, len(wrong), len(wrong))
        drawn.append([average_precision_score(wrong[rows], doubt[rows]) for doubt in doubts])
    values = np.array(drawn).T
    told = {"errata": values[0], "best of cleanlab": values[1], "difference": values[0] - values[1]}
    return {name: np.quantile(found, [0.05, 0.95]).tolist() for name, found in told.items()}


def summary(records: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """Means over seeds, for each set, method and figure; and over sets as "mean of sets" where a method has all."""
    result: dict[str, dict[str, dict[str, float]]] = {}
    for name in dict.fromkeys(r["set"] for r in records):
        of_set = [r["methods"] for r in records if r["set"] == name]
        result[name] = {
            method: {key: float(np.mean([m[method][key] for m in of_set])) for key in of_set[0][method]}
            for method in of_set[0]
            if all(method in m for m in of_set)
        }
    everywhere = [m for m in next(iter(result.values())) if all(m in methods for methods in result.values())]
    result["mean of sets"] = {
        method: {
            key: float(np.mean([methods[method][key] for methods in result.values()]))
            for key in ("average_precision", "precision_at_n", "auroc")
        }
        for method in everywhere
    }
    return result


def tables(records: list[dict[str, Any]], means: dict[str, dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """What the documents show."""
    sets = [name for name in means if name != "mean of sets"]
    rows = []
    for name in [*sets, "mean of sets"]:
        figures = [means[name].get(method, {}).get("average_precision") for method in SHOWN]
        ahead = f"{100 * (figures[0] - figures[-1]):+.1f}"
        rows.append([name, *("" if value is None else f"{100 * value:.1f}" for value in figures), ahead])
    seeds = len({record["seed"] for record in records})
    orders = sum(name.startswith("cleanlab ") for name in records[0]["methods"])
    first = {
        "title": "Average precision of the order in which wrong labels are looked for",
        "columns": [
            "",
            "errata",
            "self-confidence",
            "neighbours",
            "dynamics",
            "SimiFeat-V",
            "cleanlab's best",
            "ahead",
        ],
        "rows": rows,
        "note": f"In percent, means of {seeds} seeds (checked rows: one). The best of cleanlab's {orders} orders is "
        "chosen by the truth, for each set and seed. Self-confidence: the default where probabilities alone are given.",
    }
    checked = [record for record in records if record["checked"]]
    second = {
        "title": "The checked rows, with 90 % intervals from drawing them anew",
        "columns": ["", "checked", "wrong", "errata", "cleanlab's best", "ahead", "which"],
        "rows": [_checked_row(record) for record in checked],
        "note": "Average precision in percent. A random order has the share that is wrong.",
    }
    return [first, *([second] if checked else [])]


def _checked_row(record: dict[str, Any]) -> list[Any]:
    ours, theirs = (record["methods"][name]["average_precision"] for name in ("errata", "best of cleanlab"))
    values = {"errata": ours, "best of cleanlab": theirs, "difference": ours - theirs}
    told = []
    for name, value in values.items():
        low, high = (f"{100 * end:.1f}" for end in record["intervals_90"][name])
        told.append(f"{100 * value:.1f} ({low} to {high})")
    wrong = f"{record['errors']} ({record['errors'] / record['checked']:.0%})"
    return [record["set"], record["checked"], wrong, *told, record["best_of_cleanlab"].removeprefix("cleanlab ")]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cleanlab-python", default=sys.executable, help="interpreter that has cleanlab 2.9")
    parser.add_argument("--sets", nargs="+", choices=SOURCES, default=list(SOURCES))
    parser.add_argument("--rows", type=int, default=2500, help="of CIFAR-10N, a subset for each seed")
    parser.add_argument("--seeds", type=int, default=5, help="so many, from 100 on")
    parser.add_argument("--network-seeds", type=int, default=1, help="seeds for which a network is cross-validated too")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    parser.add_argument("--cleanlab", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, record."""
    args = parse()
    if args.cleanlab:
        run_cleanlab(args.cleanlab)
        return
    sys.path.insert(0, str(ROOT / "benchmarks"))
    from _record import write_result

    begun, records = time.process_time(), []
    for name in args.sets:
        for problem in SOURCES[name](args):
            records.append(measure(problem, args))
    means = summary(records)
    shown = tables(records, means)
    for table in shown:
        print(f"\n{table['title']}\n" + "\n".join("  ".join(map(str, row)) for row in table["rows"]))
    print(f"\n{time.process_time() - begun:.0f} CPU seconds")
    if not args.dry:
        settings = {"rows": args.rows, "seeds": args.seeds, "sets": args.sets}
        result = {**settings, "records": records, "summary": means, "tables": shown}
        print(f"written: {write_result('finding', result)}")


if __name__ == "__main__":
    main()
