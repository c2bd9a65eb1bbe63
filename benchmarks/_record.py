"""Write what a benchmark measured, with all that is needed to judge and repeat it.

A result file is ``benchmarks/results/<name>.json``::

    {"name": ..., "date": ..., "command": ..., "commit": ..., "dirty": ..., "machine": {...}, "versions": {...},
     "result": {...what the benchmark passed...}}

A benchmark script finds this module by its folder::

    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from _record import write_result
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"

_PACKAGES = ("errata", "numpy", "scipy", "torch", "lightning", "scikit-learn", "pandas", "pyarrow", "torchmetrics")
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


def write_result(
    name: str, payload: dict[str, Any], *, command: str | None = None, folder: str | os.PathLike[str] | None = None
) -> Path:
    """Write ``payload`` as the result ``name``, whole or not at all, and return the file's path.

    Parameters
    ----------
    name : name of the file without ``.json``: letters, digits, ``.``, ``-``, ``_``
    payload : what was measured, every seed and repeat; NumPy numbers and arrays, tuples and paths are converted.
        NaN and infinity are refused, since JSON has neither: write None and say why.
    command : how to run it again; by default how this process was started
    folder : where to; by default ``benchmarks/results``
    """
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ValueError(f"a result's name has letters, digits, dots, '-' and '_' only, not {name!r}")
    target = Path(folder if folder is not None else RESULTS) / f"{name}.json"
    record = {
        "name": name,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command if command is not None else this_command(),
        **COMMIT,
        "machine": machine_info(),
        "versions": versions(),
        "result": payload,
    }
    text = json.dumps(record, indent=2, default=_plain, allow_nan=False, ensure_ascii=False) + "\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{name}-", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)  # a temporary file is private, a result is not
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    return target


def read_result(name: str, *, folder: str | os.PathLike[str] | None = None) -> dict[str, Any]:
    """Return the record that :func:`write_result` wrote under this name."""
    path = Path(folder if folder is not None else RESULTS) / f"{name}.json"
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def machine_info() -> dict[str, Any]:
    """Return processor, cores, memory, system, load and (where torch is in use) the accelerator of this machine."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "cores_usable": usable,
        "memory_gb": _memory_gb(),
        "system": platform.platform(),
        "load_average": [round(x, 2) for x in os.getloadavg()] if hasattr(os, "getloadavg") else None,
        "accelerator": _accelerator(),
        "environment": {name: os.environ[name] for name in _THREAD_VARIABLES if name in os.environ},
    }


def versions(packages: tuple[str, ...] = _PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed, without importing any."""
    found = {"python": platform.python_version()}
    for package in packages:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def git_state() -> dict[str, Any]:
    """Return the commit, and whether what runs differs from it (results apart); None for both outside a git checkout.

    An errata that is imported from elsewhere than this checkout counts as different.
    """
    commit = _git("rev-parse", "HEAD")
    changed = _git("status", "--porcelain", "--", ".", ":(exclude)benchmarks/results")
    spec = find_spec("errata")
    foreign = spec is None or spec.origin is None or ROOT not in Path(spec.origin).resolve().parents
    return {"commit": commit, "dirty": None if changed is None else bool(changed) or foreign}


def this_command() -> str:
    """Return how this process was started, with paths relative to the repository."""
    script = Path(sys.argv[0])
    with contextlib.suppress(ValueError, OSError):
        script = script.resolve().relative_to(ROOT)
    return shlex.join(["python", str(script), *sys.argv[1:]])


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _memory_gb() -> float | None:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    return None


def _accelerator() -> str | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return str(torch.cuda.get_device_name())


def _plain(value: Any) -> Any:
    """Convert what json cannot write: NumPy arrays and numbers, tensors, paths, sets."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"cannot write a {type(value).__name__} to a result file: {value!r}")


COMMIT = git_state()
"""What the code was when this process started: later commits say nothing about what has been measured."""
