"""Audit speed beside cleanlab: the same labels and probabilities, the same rule, the same flagged rows.

Both sides run in one go, alternating, each repeat in a fresh process, so that time and peak memory are a side's own.
A process loads the arrays, imports its library, and is then measured for the one call:

    errata.scores.confident.find_label_issues(given, probs).ranked()
    cleanlab.filter.find_label_issues(given, probs, n_jobs=1, return_indices_ranked_by="self_confidence")

cleanlab is needed by this benchmark only; give the interpreter of an environment that has it:

    python -m venv /tmp/cleanlab && /tmp/cleanlab/bin/pip install "cleanlab==2.9.*"
    python benchmarks/peers/audit_speed.py --cleanlab-python /tmp/cleanlab/bin/python
    python benchmarks/peers/audit_speed.py --memmap       # 10,000,000 x 100 from a 4 GB file: errata alone
    python benchmarks/peers/audit_speed.py --quick ...    # small tables, one repeat, nothing recorded
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib.format import open_memmap

ROOT = Path(__file__).resolve().parents[2]
SHAPES = [(1_000_000, 100), (1_000_000, 10), (1_000_000, 2), (50_000, 1000)]
QUICK_SHAPES = [(50_000, 100), (50_000, 2)]
MEMMAP_SHAPE, QUICK_MEMMAP_SHAPE = (10_000_000, 100), (200_000, 100)
BLOCK = 100_000
CLEANLAB_ABSENT = 3


# -- data ------------------------------------------------------------------------------------------------------------


def transition(num_classes: int, noise: float, rng: np.random.Generator) -> np.ndarray:
    """Return T[i, j] = P(given=j | true=i): each class is confused with a few others, some classes more than others."""
    confusion = rng.dirichlet(np.full(num_classes, 0.2), num_classes)
    np.fill_diagonal(confusion, 1e-9)
    confusion /= confusion.sum(axis=1, keepdims=True)
    rate = noise * rng.uniform(0.5, 1.5, num_classes)
    matrix = confusion * rate[:, None]
    np.fill_diagonal(matrix, 1 - rate)
    return matrix


def write_data(folder: Path, rows: int, classes: int, *, noise: float, seed: int) -> None:
    """Write given.npy and probs.npy: labels through a known transition, probabilities of a good but fallible model.

    A row's logits are unit normal with an advantage for its true class that varies from row to row; for some rows it
    is too small, and the model errs.
    """
    matrix = transition(classes, noise, np.random.default_rng(seed)).cumsum(axis=1)
    given = np.empty(rows, np.int64)
    probs = open_memmap(folder / "probs.npy", mode="w+", dtype=np.float32, shape=(rows, classes))
    for start in range(0, rows, BLOCK):
        size = min(BLOCK, rows - start)
        rng = np.random.default_rng([seed, start])
        true = rng.integers(0, classes, size)
        given[start : start + size] = np.minimum((rng.random(size)[:, None] > matrix[true]).sum(axis=1), classes - 1)
        logits = rng.standard_normal((size, classes), dtype=np.float32)
        advantage = (3.25 + 0.4 * np.log(classes)) * rng.gamma(4, 0.25, size)
        logits[np.arange(size), true] += advantage.astype(np.float32)
        logits *= 1.5
        logits -= logits.max(axis=1, keepdims=True)
        np.exp(logits, out=logits)
        logits /= logits.sum(axis=1, keepdims=True)
        probs[start : start + size] = logits
        probs.flush()
    np.save(folder / "given.npy", given)


# -- one side, in its own process ------------------------------------------------------------------------------------


def peak_mb() -> float:
    """Return the most memory this process has held so far, mapped pages included."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would include what the parent held when it started this process
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def run_side(side: str, folder: Path, threads: int, memmap: bool) -> dict[str, Any]:
    """Load, import, measure the call; write the flagged rows and return the figures."""
    given = np.load(folder / "given.npy")
    probs = np.load(folder / "probs.npy", mmap_mode="r" if memmap else None)
    if side == "cleanlab":
        try:
            import cleanlab
            from cleanlab.filter import find_label_issues as peer
        except ImportError:
            sys.exit(CLEANLAB_ABSENT)
        version = cleanlab.__version__

        def call() -> np.ndarray:
            return peer(given, probs, n_jobs=1, return_indices_ranked_by="self_confidence")
    else:
        from errata.scores.confident import find_label_issues

        version = "this commit"

        def call() -> np.ndarray:
            return find_label_issues(given, probs, threads=threads).ranked()

    before = peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    flagged = call()
    figures = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    np.save(folder / f"{side}.npy", flagged)
    after = peak_mb()
    return {
        **figures,
        "peak_mb": after,
        "peak_beyond_input_mb": after - before,
        "flagged": len(flagged),
        "version": version,
    }


def start_side(python: str, side: str, folder: Path, *, threads: int = 1, memmap: bool = False) -> dict[str, Any]:
    """Run one side in a fresh process of its interpreter, and return its figures."""
    command = [python, __file__, "--side", side, "--folder", str(folder), "--threads", str(threads)]
    done = subprocess.run(command + ["--memmap"] * memmap, capture_output=True, text=True)
    if done.returncode == CLEANLAB_ABSENT:
        sys.exit(
            f"cleanlab is not installed for {python}. Make an environment that has it and name its interpreter:\n"
            '  python -m venv /tmp/cleanlab && /tmp/cleanlab/bin/pip install "cleanlab==2.9.*"\n'
            "  python benchmarks/peers/audit_speed.py --cleanlab-python /tmp/cleanlab/bin/python"
        )
    if done.returncode:
        sys.exit(f"{side} failed (exit {done.returncode}):\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


# -- comparison ------------------------------------------------------------------------------------------------------


def agreement(folder: Path) -> dict[str, Any]:
    """Compare what both sides flagged last.

    A row that one side alone flags is a tie if it has, towards some class, exactly the margin of a row of the same
    given class that the other side alone flags: the rule does not say which of the two to take.
    """
    ours, theirs = np.load(folder / "errata.npy"), np.load(folder / "cleanlab.npy")
    given, probs = np.load(folder / "given.npy"), np.load(folder / "probs.npy", mmap_mode="r")
    only = [np.setdiff1d(ours, theirs), np.setdiff1d(theirs, ours)]
    margins: list[dict[int, set[tuple[int, int, float]]]] = [
        {int(r): {(int(given[r]), j, float(m)) for j, m in enumerate(probs[r] - probs[r, given[r]])} for r in rows}
        for rows in only
    ]
    ties = 0
    for mine, other in (margins, margins[::-1]):
        known = set().union(*other.values()) if other else set()
        ties += sum(bool(row & known) for row in mine.values())
    same_order = len(ours) == len(theirs) and bool(
        np.array_equal(probs[ours, given[ours]], probs[theirs, given[theirs]]) if len(ours) else True
    )
    return {
        "flagged_errata": len(ours),
        "flagged_cleanlab": len(theirs),
        "symmetric_difference": sum(map(len, only)),
        "of_which_ties": ties,
        "same_ranking_up_to_ties": same_order,
    }


def measure(rows: int, classes: int, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one shape, all sides alternating, and return every repeat."""
    with tempfile.TemporaryDirectory(prefix="audit-speed-", dir=args.temp) as name:
        folder = Path(name)
        write_data(folder, rows, classes, noise=args.noise, seed=args.seed)
        sides = [(f"errata, {n} thread{'s' * (n > 1)}", "errata", n) for n in args.threads]
        sides.insert(0, ("cleanlab", "cleanlab", 1))
        repeats: dict[str, list[dict[str, Any]]] = {label: [] for label, _, _ in sides}
        for repeat in range(args.repeats):
            for label, side, threads in sides if repeat % 2 == 0 else sides[::-1]:
                python = args.cleanlab_python if side == "cleanlab" else sys.executable
                repeats[label].append(start_side(python, side, folder, threads=threads))
        return {
            "rows": rows,
            "classes": classes,
            "dtype": "float32",
            "input_mb": rows * classes * 4 / 1e6,
            "agreement": agreement(folder),
            "repeats": repeats,
            "summary": summary(repeats),
        }


def summary(repeats: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float]]:
    """Return each side's median and best, and how many times faster than cleanlab it is by median, best and CPU time.

    On a machine that does other work as well, the wall clock measures that too; best and CPU time do so less.
    """

    def column(label: str, key: str) -> list[float]:
        return [run[key] for run in repeats[label]]

    result = {}
    for label in repeats:
        row = {key: statistics.median(column(label, key)) for key in ("seconds", "cpu_seconds", "peak_beyond_input_mb")}
        row["best_seconds"] = min(column(label, "seconds"))
        row["times_faster"] = statistics.median(column("cleanlab", "seconds")) / row["seconds"]
        row["times_faster_best"] = min(column("cleanlab", "seconds")) / row["best_seconds"]
        row["times_less_cpu"] = statistics.median(column("cleanlab", "cpu_seconds")) / row["cpu_seconds"]
        result[label] = row
    return result


def print_shape(measured: dict[str, Any]) -> None:
    """Print one shape as a table."""
    print(f"\n{measured['rows']:,} x {measured['classes']} float32, input {measured['input_mb']:.0f} MB")
    heads = ("", "median s", "best s", "CPU s", "beyond input", "faster", "by best", "less CPU")
    print("  {:20} {:>9} {:>8} {:>8} {:>13} {:>8} {:>8} {:>9}".format(*heads))
    for label, row in measured["summary"].items():
        print(
            f"  {label:20} {row['seconds']:9.3f} {row['best_seconds']:8.3f} {row['cpu_seconds']:8.3f} "
            f"{row['peak_beyond_input_mb']:10.0f} MB {row['times_faster']:6.1f} x {row['times_faster_best']:6.1f} x "
            f"{row['times_less_cpu']:7.1f} x"
        )
    print("  " + ", ".join(f"{key} {value}" for key, value in measured["agreement"].items()), flush=True)


def measure_memmap(args: argparse.Namespace) -> dict[str, Any]:
    """Write the large table, audit it from the file, and return every repeat."""
    rows, classes = QUICK_MEMMAP_SHAPE if args.quick else MEMMAP_SHAPE
    with tempfile.TemporaryDirectory(prefix="audit-speed-", dir=args.temp) as name:
        folder = Path(name)
        write_data(folder, rows, classes, noise=args.noise, seed=args.seed)
        runs = [
            {"threads": n, **start_side(sys.executable, "errata", folder, threads=n, memmap=True)}
            for _ in range(args.repeats)
            for n in args.threads
        ]
    print(f"\n{rows:,} x {classes} float32 from a memory-mapped file of {rows * classes * 4 / 1e6:.0f} MB")
    for run in runs:
        print(
            f"  {run['threads']} thread(s): {run['seconds']:.2f} s, {run['cpu_seconds']:.2f} s CPU, "
            f"peak {run['peak_mb']:.0f} MB"
        )
    return {"rows": rows, "classes": classes, "dtype": "float32", "repeats": runs}


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cleanlab-python", default=sys.executable, help="interpreter that has cleanlab 2.9")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads to measure errata with"
    )
    parser.add_argument("--noise", type=float, default=0.2, help="mean share of wrong labels")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temp", help="where to put the tables while measuring; default the system's temporary folder")
    parser.add_argument("--memmap", action="store_true", help="errata alone, on a table of 4 GB in a file")
    parser.add_argument("--quick", action="store_true", help="small tables, one repeat, nothing recorded")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.quick:
        args.repeats = 1
    return args


def main() -> None:
    """Measure, print, record."""
    args = parse()
    if args.side:
        print(json.dumps(run_side(args.side, args.folder, args.threads[0], args.memmap)))
        return
    if args.memmap:
        name, result = "audit_speed_memmap", measure_memmap(args)
    else:
        name, result = "audit_speed", {"noise": args.noise, "seed": args.seed, "shapes": []}
        for rows, classes in QUICK_SHAPES if args.quick else SHAPES:
            result["shapes"].append(measure(rows, classes, args))
            print_shape(result["shapes"][-1])
    if not args.quick:
        sys.path.insert(0, str(ROOT / "benchmarks"))
        from _record import write_result

        print(f"\nwritten: {write_result(name, result)}")


if __name__ == "__main__":
    main()
