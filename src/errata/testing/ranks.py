"""Functions run in several processes that form one distributed group (gloo, on the CPU).

Starting Python and torch takes seconds, so the processes are kept for further calls until this process ends.
"""

from __future__ import annotations

import atexit
import importlib
import importlib.util
import multiprocessing
import os
import pickle
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import ModuleType
from typing import Any

from errata.errors import ErrataError

__all__ = ["run_on_ranks"]

GRACE = 5.0  # seconds that the other ranks have, after one has raised, to raise or end too
START = 300.0  # seconds that a process may take to start; a busy machine reads torch slowly
_POOLS: dict[int, _Ranks] = {}


def run_on_ranks(
    function: Callable[..., Any], *args: Any, world_size: int = 2, timeout: float = 120.0, modules: Iterable[str] = ()
) -> list[Any]:
    """Call ``function(*args)`` on each rank of a gloo group and return the ranks' results, in order.

    Parameters
    ----------
    function : defined at the top of a module; it finds its rank by ``torch.distributed.get_rank()``
    args : what can be pickled; the same on all ranks
    world_size : the number of processes
    timeout : seconds until the ranks are given up
    modules : names of further modules that ``args`` need and that can't be imported by name everywhere, such as test
        files; the function's own is always taken along

    Raises
    ------
    ErrataError
        where a rank raised (with its traceback), died, or did not answer in time

    Examples
    --------
    >>> import torch
    >>> run_on_ranks(torch.distributed.get_rank)  # doctest: +SKIP
    [0, 1]
    """
    if world_size not in _POOLS or not _POOLS[world_size].alive:
        _POOLS[world_size] = _Ranks(world_size)
    files = {name: _file_of(name) for name in {function.__module__, *modules}}
    return _POOLS[world_size].run(function, args, files, timeout)


class _Ranks:
    def __init__(self, world_size: int) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="errata-ranks-")
        context = multiprocessing.get_context("spawn")
        self.connections: list[Any] = []
        self.processes = []
        for rank in range(world_size):
            ours, theirs = context.Pipe()
            args = (rank, world_size, str(Path(self.folder.name) / "rendezvous"), theirs)
            process = context.Process(target=_serve, args=args, daemon=True)
            process.start()
            theirs.close()
            self.connections.append(ours)
            self.processes.append(process)
        atexit.register(self.close)
        for rank, connection in enumerate(self.connections):
            try:
                started = connection.poll(START) and connection.recv() == "ready"
            except EOFError:
                started = False
            if not started:
                self.close()
                raise ErrataError(
                    f"Rank {rank} died at its start, or did not start within {START:g} s. In a script, the call must "
                    "stand under `if __name__ == '__main__':`, for each rank reads the script too."
                )

    @property
    def alive(self) -> bool:
        return bool(self.processes) and all(p.is_alive() for p in self.processes)

    def run(self, function: Callable[..., Any], args: Any, files: dict[str, str | None], timeout: float) -> list[Any]:
        job = pickle.dumps((files, pickle.dumps((function, args))))
        for connection in self.connections:
            connection.send_bytes(job)
        answers: dict[int, Any] = {}
        failure = ""
        deadline = time.monotonic() + timeout
        while len(answers) < len(self.connections):
            waiting = [c for i, c in enumerate(self.connections) if i not in answers]
            ready = wait(waiting, timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                self.close()  # they hang in a collective call: start afresh next time
                late = f"The ranks did not answer within {timeout:g} s; one may wait for a call on another."
                raise ErrataError(failure or late)
            for rank in [self.connections.index(c) for c in ready]:
                try:
                    well, answers[rank] = self.connections[rank].recv()
                except EOFError:
                    self.processes[rank].join()
                    code = self.processes[rank].exitcode
                    self.close()
                    raise ErrataError(f"Rank {rank} died (exit code {code}).") from None
                if not well and not failure:
                    failure = f"Rank {rank} raised:\n{answers[rank]}"
                    deadline = min(deadline, time.monotonic() + GRACE)
        if failure:
            raise ErrataError(failure)
        return [answers[rank] for rank in range(len(self.connections))]

    def close(self) -> None:
        atexit.unregister(self.close)
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.join()
        for connection in self.connections:
            connection.close()
        self.processes, self.connections = [], []
        self.folder.cleanup()


def _file_of(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


def _load(name: str, file: str | None) -> ModuleType:
    """Import a module by name, or where that can't be (a test file), from its file under that name."""
    try:
        return importlib.import_module(name)
    except ImportError:
        if file is None:
            raise
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"can't load {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _serve(rank: int, world_size: int, rendezvous: str, connection: Connection) -> None:
    import datetime

    import torch

    # what torchrun sets, so that Lightning's own ddp strategy finds the group that is there
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world_size),
        LOCAL_WORLD_SIZE=str(world_size),
        GROUP_RANK="0",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT="0",
        TORCHELASTIC_RUN_ID="errata",
    )
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{rendezvous}",
        rank=rank,
        world_size=world_size,
        timeout=datetime.timedelta(seconds=300),
    )
    connection.send("ready")
    while True:
        try:
            files, call = pickle.loads(connection.recv_bytes())  # noqa: S301  # from the process that started this one
        except EOFError:
            return
        try:
            for name, file in files.items():
                _load(name, file)
            function, args = pickle.loads(call)  # noqa: S301
            answer = (True, function(*args))
        except Exception:
            answer = (False, traceback.format_exc())
        connection.send(answer)
