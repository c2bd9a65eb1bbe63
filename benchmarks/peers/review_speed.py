"""Looking and deciding, measured: the report, the review page at a million rows, and decisions from many at once.

    python benchmarks/peers/review_speed.py             # everything; writes benchmarks/results/review_speed.json
    python benchmarks/peers/review_speed.py --quick     # small tables, nothing recorded

What is asked for:

- the report on 100,000 rows of texts, pictures, and a table: under 5 s and under 5 MB;
- the review of a ledger of 1,000,000 rows: the page is there in under 1 s, both the first one after the folder was
  opened (loading the ledger included; Python's imports, which take the same for any folder, are told apart) and every
  later one;
- a decision is on the disk and answered in under 50 ms for 95 of 100, with 2,000 decisions from 8 people at once, each
  with a connection of his own, over HTTP, the queue and the next row's page included;
- 50,000 decisions are written to a file in under 5 s.

The server runs in a process of its own, as it does for users. Where the disk waits long to say that a write is durable,
that is part of the time: a bare SQLite commit and a bare fsync of the same disk are measured beside it.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
CLASSES = 10
WORDS = 5_000


# -- ledgers ---------------------------------------------------------------------------------------------------------


def columns(rows: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return given, proposed and trust of a ledger in which one row of ten looks wrong."""
    rng = np.random.default_rng(seed)
    given = rng.integers(0, CLASSES, rows)
    proposed = np.where(rng.random(rows) < 0.1, (given + 1) % CLASSES, given)
    trust = np.where(proposed == given, 0.6 + 0.4 * rng.random(rows), 0.4 * rng.random(rows))
    return given, proposed, trust


def texts(rows: int, seed: int, length: int = 30) -> list[str]:
    """Return texts of so many words, some far more common than others."""
    rng = np.random.default_rng(seed)
    words = np.array([f"word{i}" for i in range(WORDS)])
    return [" ".join(line) for line in words[rng.zipf(1.3, (rows, length)) % WORDS]]


def ledger_over(data: Any, rows: int, seed: int) -> Any:
    """Return a ledger over data."""
    from errata.ledger import Ledger

    given, proposed, trust = columns(rows, seed)
    ledger = Ledger(given, proposed, trust, classes=[str(k) for k in range(CLASSES)])
    ledger.data = data
    return ledger


# -- the report ------------------------------------------------------------------------------------------------------


def measure_report(rows: int, seed: int, repeats: int) -> dict[str, Any]:
    """Return seconds and size of the report for three kinds of data."""
    import errata
    from errata.audit.report import render

    rng = np.random.default_rng(seed)
    label = columns(rows, seed)[0].astype(str)
    sources: dict[str, Any] = {
        "texts": texts(rows, seed),
        "pictures": rng.integers(0, 256, (rows, 3, 32, 32), dtype=np.uint8),
        "numbers": rng.normal(size=(rows, 100)).astype(np.float32),
    }
    found = {}
    for name in list(sources):
        data = errata.read(sources.pop(name), label=label)
        ledger = ledger_over(data, rows, seed)
        seconds = []
        for _ in range(repeats):
            started = time.perf_counter()
            page = render(ledger)
            seconds.append(time.perf_counter() - started)
        found[name] = {
            "seconds": seconds,
            "megabytes": len(page.encode()) / 1e6,
            "rows_with_their_nearest": page.count('class="near"'),
        }
    return found


# -- the review ------------------------------------------------------------------------------------------------------


def write_folder(folder: Path, rows: int, seed: int) -> None:
    """Write the ledger of a text file, and the file."""
    from errata.ledger import Ledger

    given, proposed, trust = columns(rows, seed)
    with open(folder / "texts.csv", "w", encoding="utf-8") as file:
        file.write("text,label\n")
        file.writelines(f"{text},{k}\n" for text, k in zip(texts(rows, seed, 12), given))
    meta = {"source": str(folder / "texts.csv"), "label": "label"}
    names = [str(k) for k in range(CLASSES)]
    Ledger(given, proposed, trust, classes=names, meta=meta).save(folder, report=False)


def serve(folder: Path) -> None:
    """Open the review of a folder, as `errata review` does; tell the port and when what was ready."""
    started = time.perf_counter()
    import pandas  # noqa: F401
    import pyarrow.dataset
    import pyarrow.parquet  # noqa: F401
    import uvicorn

    import errata.ledger  # noqa: F401
    from errata.review import app, content, pages, queue, server  # noqa: F401

    imported = time.perf_counter() - started
    listening = server._listen("127.0.0.1", 0)
    started = time.perf_counter()
    with server.build(folder, reviewer=None) as (application, _):
        built = time.perf_counter() - started
        guard = server.guarded(application, "127.0.0.1", None)
        told = {"port": listening.getsockname()[1], "seconds": built, "imports": imported, "pid": os.getpid()}
        print(json.dumps(told), flush=True)
        config = uvicorn.Config(guard, log_level="error", access_log=False, lifespan="off", ws="none")
        uvicorn.Server(config).run(sockets=[listening])


@contextlib.contextmanager
def served(folder: Path) -> Iterator[dict[str, Any]]:
    """Run the server in a process of its own; stop it at the end."""
    command = [sys.executable, __file__, "--serve", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ})
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.terminate()
        process.wait(30)


class Person:
    """Someone who decides: one connection, cookies, forms."""

    def __init__(self, port: int, name: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self.port, self.cookies = port, {"errata_reviewer": name}

    def ask(self, method: str, path: str, fields: dict[str, str] | None = None) -> bytes:
        """Send a request and return the body of the answer."""
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"cookie": cookie, "accept": "application/json" if fields else "text/html"}
        body = None
        if fields is not None:
            body = urlencode({"csrf": self.cookies["errata_form"], **fields})
            headers["content-type"] = "application/x-www-form-urlencoded"
            headers["origin"] = f"http://127.0.0.1:{self.port}"
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {content[:300]!r}")
        for line in answer.headers.get_all("set-cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return content

    def page(self) -> tuple[str, float]:
        """Open the page; return the row that it shows and the seconds that took."""
        started = time.perf_counter()
        html = self.ask("GET", "/").decode()
        seconds = time.perf_counter() - started
        return re.search(r'data-row="([^"]*)"', html)[1], seconds  # type: ignore[index]

    def decide(self, row: str, action: str, label: str | None) -> tuple[str, float]:
        """Decide on a row; return the next one and the seconds until the answer was there."""
        fields = {"row": row, "action": action, **({"label": label} if label else {})}
        started = time.perf_counter()
        answer = json.loads(self.ask("POST", "/decide", fields))
        return answer["row"], time.perf_counter() - started


def work(port: int, name: str, decisions: int, seconds: list[float]) -> None:
    """Decide on so many rows, one after the other."""
    person = Person(port, name)
    row, _ = person.page()
    for i in range(decisions):
        action, label = (("keep", None), ("relabel", "3"), ("drop", None))[i % 3]
        row, took = person.decide(row, action, label)
        seconds.append(took)


def measure_review(rows: int, people: int, decisions: int, seed: int, temp: str | None) -> dict[str, Any]:
    """Return how long opening, pages and decisions take, and check that each decision is in the record once."""
    with tempfile.TemporaryDirectory(prefix="review-speed-", dir=temp) as name:
        folder = Path(name)
        write_folder(folder, rows, seed)
        with served(folder) as told:
            person = Person(told["port"], "first")
            first = person.page()[1]
            # the text file is read in the background meanwhile; pages are asked for before and after
            pages = [person.page()[1] for _ in range(20)]
            while b"still being read" in person.ask("GET", "/"):
                time.sleep(0.2)
            pages_read = [person.page()[1] for _ in range(20)]
            times: list[list[float]] = [[] for _ in range(people)]
            crowd = [
                threading.Thread(target=work, args=(told["port"], f"person {i}", decisions // people, times[i]))
                for i in range(people)
            ]
            cpu = cpu_seconds(told["pid"])
            started = time.perf_counter()
            for thread in crowd:
                thread.start()
            for thread in crowd:
                thread.join()
            wall = time.perf_counter() - started
            cpu = cpu_seconds(told["pid"]) - cpu
        with contextlib.closing(sqlite3.connect(folder / "decisions.sqlite")) as db:
            recorded, distinct = db.execute("SELECT count(*), count(DISTINCT row) FROM decisions").fetchone()
        disk = measure_disk(folder)
    took = np.array([second for one in times for second in one])
    if not len(took) == recorded == distinct == decisions:
        raise RuntimeError(f"{len(took)} answers, {recorded} decisions on {distinct} rows; expected {decisions} each")
    return {
        "rows": rows,
        "people": people,
        "decisions": decisions,
        "import_seconds": told["imports"],
        "open_seconds": told["seconds"],
        "first_page_seconds": first,
        "open_and_first_page_seconds": told["seconds"] + first,
        "page_ms_while_reading": quantiles(pages),
        "page_ms": quantiles(pages_read),
        "decision_ms": quantiles(took.tolist()),
        "decisions_per_second": decisions / wall,
        "server_cpu_ms_per_decision": 1000 * cpu / decisions,
        "lost_or_doubled": 0,
        "disk": disk,
    }


def cpu_seconds(pid: int) -> float:
    """Return the processor time that a process has taken (Linux only)."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return float("nan")
    used = stat.read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, used)) / os.sysconf("SC_CLK_TCK")


def measure_disk(folder: Path, times: int = 200) -> dict[str, Any]:
    """Return how long the disk itself takes: a flushed write, and a bare SQLite commit in the same mode."""
    waits, commits = [], []
    with open(folder / "probe", "wb") as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fsync(file.fileno())
            waits.append(time.perf_counter() - started)
    with contextlib.closing(sqlite3.connect(folder / "probe.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("CREATE TABLE t (x)")
        for i in range(times):
            started = time.perf_counter()
            db.execute("INSERT INTO t VALUES (?)", (i,))
            commits.append(time.perf_counter() - started)
    return {"fsync_ms": quantiles(waits), "sqlite_commit_ms": quantiles(commits)}


def quantiles(seconds: list[float]) -> dict[str, float]:
    """Return median, 95th percentile and the longest, in milliseconds."""
    values = 1000 * np.array(seconds)
    return {
        "median": float(np.median(values)),
        "p95": float(np.quantile(values, 0.95)),
        "max": float(values.max()),
    }


def measure_export(decisions: int, seed: int, temp: str | None, repeats: int) -> dict[str, Any]:
    """Return how long it takes to write so many decisions in each format."""
    from errata.review import Decisions

    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="review-speed-", dir=temp) as name:
        folder = Path(name)
        with Decisions(folder) as record:
            with record.writing():
                for row in rng.permutation(decisions).tolist():
                    record.add(row, "relabel", "3", reviewer=f"person {row % 8}")
            found = {}
            for ending in (".csv", ".parquet"):
                seconds = []
                for _ in range(repeats):
                    started = time.perf_counter()
                    record.export(folder / f"out{ending}")
                    seconds.append(time.perf_counter() - started)
                found[ending[1:]] = seconds
    return {"decisions": decisions, "seconds": found}


# -- all of it -------------------------------------------------------------------------------------------------------


def verdicts(result: dict[str, Any]) -> dict[str, bool]:
    """Return which of the demands hold, by the median of repeats."""
    review = result["review"]
    return {
        "report under 5 s": all(statistics.median(r["seconds"]) < 5 for r in result["report"].values()),
        "report under 5 MB": all(r["megabytes"] < 5 for r in result["report"].values()),
        "page under 1 s": max(review["open_and_first_page_seconds"], review["page_ms"]["p95"] / 1000) < 1,
        "decision under 50 ms (p95)": review["decision_ms"]["p95"] < 50,
        "export under 5 s": all(statistics.median(s) < 5 for s in result["export"]["seconds"].values()),
    }


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temp", help="where the folders are made; default the system's temporary folder")
    parser.add_argument("--quick", action="store_true", help="small tables, nothing recorded")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print, record."""
    args = parse()
    if args.serve:
        serve(args.serve)
        return
    small = 50 if args.quick else 1
    result: dict[str, Any] = {"seed": args.seed}
    result["report"] = measure_report(100_000 // small, args.seed, args.repeats)
    result["report_rows"] = 100_000 // small
    result["review"] = measure_review(1_000_000 // small, 8, 400 if args.quick else 2_000, args.seed, args.temp)
    result["export"] = measure_export(50_000 // small, args.seed, args.temp, args.repeats)
    result["holds"] = verdicts(result)
    print(json.dumps(result, indent=2))
    if not args.quick:
        sys.path.insert(0, str(ROOT / "benchmarks"))
        from _record import write_result

        print(f"\nwritten: {write_result('review_speed', result)}")


if __name__ == "__main__":
    main()
