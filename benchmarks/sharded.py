"""How fast an audit in shards is, and how much memory it takes: the figures of the cost model in docs/scale.md.

python benchmarks/sharded.py --rows 2000000             # this process alone
python benchmarks/sharded.py --rows 2000000 --ray       # and a local Ray cluster of two workers
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parent))
from _record import write_result

CLASSES = 100
FILE_ROWS = 250_000


def make(folder: Path, rows: int) -> int:
    """Write shards of random probabilities with a fifth of the labels wrong; return their bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    for number, start in enumerate(range(0, rows, FILE_ROWS)):
        n = min(FILE_ROWS, rows - start)
        true = rng.integers(CLASSES, size=n)
        probs = rng.random((n, CLASSES), dtype=np.float32)
        probs[np.arange(n), true] += rng.exponential(60, size=n).astype(np.float32)
        probs /= probs.sum(1, keepdims=True)
        given = np.where(rng.random(n) < 0.2, rng.integers(CLASSES, size=n), true)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(probs.reshape(-1)), CLASSES)
        table = pa.table({"label": pa.array(given.astype(str)), "pred_probs": lists})
        pq.write_table(table, folder / f"part-{number:04d}.parquet", row_group_size=FILE_ROWS, compression="none")
    return sum(file.stat().st_size for file in folder.iterdir())


def measure(folder: str, engine: str, shard_rows: int, channel: Any) -> None:
    """Audit once in a process of its own; send seconds, peak memory in MB and the issues found."""
    from errata.audit.engines import engine_named
    from errata.audit.sharded import audit_shards

    if engine == "ray":
        import ray

        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    runner = engine_named(engine)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    started = time.perf_counter()
    ledger = audit_shards(folder, engine=runner, shard_rows=shard_rows, progress=False)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    channel.put((seconds, peak, peak - before, int(ledger.issue.sum())))


def main() -> None:
    """Measure each engine, and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--shard-rows", type=int, default=FILE_ROWS)
    parser.add_argument("--ray", action="store_true")
    options = parser.parse_args()
    rows: list[list[str]] = []
    found = []
    with tempfile.TemporaryDirectory() as place:
        size = make(Path(place), options.rows)
        for engine in ("here", *(("ray",) if options.ray else ())):
            context = multiprocessing.get_context("spawn")
            channel = context.Queue()
            worker = context.Process(target=measure, args=(place, engine, options.shard_rows, channel))
            worker.start()
            seconds, peak, beyond, issues = channel.get()
            worker.join()
            hours = seconds / options.rows * 1e9 / 3600
            found.append({"engine": engine, "seconds": seconds, "peak_mb": peak, "beyond_mb": beyond, "issues": issues})
            rows.append([engine, f"{options.rows:,} x {CLASSES}", f"{seconds:.1f}", f"{hours:.1f}", f"{peak:.0f}"])
            print(*rows[-1], issues, flush=True)
    table = {
        "title": f"An audit of {size / 1e9:.1f} GB of Parquet in shards of {options.shard_rows:,} rows",
        "columns": ["engine", "rows x classes", "seconds", "hours per billion rows", "peak memory of the driver, MB"],
        "rows": rows,
        "note": "Each row is read seven times at most (nine where quotas reach below the clear margins).",
    }
    write_result("sharded", {"tables": [table], "bytes": size, "rows": options.rows, "found": found})


if __name__ == "__main__":
    main()
