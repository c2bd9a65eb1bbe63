"""The app on Flower's own SuperLink and SuperNodes, on loopback; a client and the server's process are killed.

Every message to a client starts a Python process, so this takes minutes: set ERRATA_SLOW=1.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from errata.engine.federated.app import write_app
from errata.engine.federated.federation import CHECKPOINT
from errata.engine.federated.run import load

pytestmark = pytest.mark.skipif(not os.environ.get("ERRATA_SLOW"), reason="takes minutes: set ERRATA_SLOW=1")
pytest.importorskip("flwr", reason="needs the extra 'federated'")

BIN = Path(sys.executable).parent
LOOPBACK = "127.0.0.1"
PATIENCE = 600.0


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind((LOOPBACK, 0))
        return int(trial.getsockname()[1])


def rows(seed: int, path: Path) -> None:
    y = np.arange(90) % 3
    x = np.random.default_rng(seed).normal(size=(90, 4)) + 3.0 * np.eye(4)[y]
    lines = [f"{','.join(f'{v:.4f}' for v in row)},{'xyz'[k]}" for row, k in zip(x, y)]
    path.write_text("\n".join(["f0,f1,f2,f3,kind", *lines]) + "\n")


def until(true, seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.5)


def serverapp_below(parent: int) -> int | None:
    """The process that runs the ServerApp: Flower starts it below the SuperLink's SuperExec."""
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            if any(word.endswith(b"flwr-serverapp") for word in words) and _descends(int(entry.name), parent):
                return int(entry.name)
        except (OSError, ValueError):
            continue
    return None


def _descends(process: int, parent: int) -> bool:
    while process > 1:
        if process == parent:
            return True
        process = int((Path("/proc") / str(process) / "stat").read_text().rpartition(")")[2].split()[1])
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_killed_client_does_no_harm_and_a_killed_server_goes_on(tmp_path):
    for seed, name in enumerate(("bench", "a", "b")):
        rows(seed, tmp_path / f"{name}.csv")
    port = free_port()
    (tmp_path / "flwr").mkdir()
    (tmp_path / "flwr" / "config.toml").write_text(
        f'[superlink]\ndefault = "here"\n\n[superlink.here]\naddress = "{LOOPBACK}:{port}"\ninsecure = true\n'
    )
    off = {"FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1", "FLWR_HOME": str(tmp_path / "flwr")}
    own = {**os.environ, **off, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    app = write_app(
        tmp_path / "app", tmp_path / "bench.csv", "kind", out=tmp_path / "server", rounds=4, clients=1,
        round_timeout=90.0, device="cpu", tau=3,
    )  # fmt: skip
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> subprocess.Popen[bytes]:
        with open(tmp_path / f"log-{len(started)}", "wb") as log:
            started.append(subprocess.Popen(command, env=own, cwd=tmp_path, stdout=log, stderr=log))
        return started[-1]

    def run() -> None:
        subprocess.run(["flwr", "run", str(app), "here"], env=own, cwd=tmp_path, check=True, timeout=120)

    def node(name: str) -> subprocess.Popen[bytes]:
        config = f'source="{tmp_path / name}.csv" label="kind" out="{tmp_path / name}" name="{name}" device="cpu"'
        return start(
            "flower-supernode", "--insecure", "--superlink", f"{LOOPBACK}:{port}", "--port", str(free_port()),
            "--node-config", config,
        )  # fmt: skip

    def written(after: float) -> bool:
        file = tmp_path / "server" / CHECKPOINT
        return file.exists() and file.stat().st_mtime > after

    try:
        link = start(
            "flower-superlink", "--insecure", "--host", LOOPBACK, "--port", str(port),
            "--disable-runtime-dependency-installation",
        )  # fmt: skip
        until(lambda: socket.socket().connect_ex((LOOPBACK, port)) == 0)
        node("a")
        doomed = node("b")
        time.sleep(5)
        run()
        until(lambda: written(0.0))
        first = time.time()
        doomed.kill()
        until(lambda: written(first))
        server = serverapp_below(link.pid)
        assert server is not None
        os.kill(server, signal.SIGKILL)
        time.sleep(5)
        run()
        until((tmp_path / "server" / "model.pt").exists)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait(30)
    history = load(tmp_path / "server").history
    assert [record["round"] for record in history] == [1, 2, 3, 4]
    assert history[0]["clients"] + history[0]["failed"] in (1, 2)
    assert all(record["clients"] >= 1 for record in history)
    assert history[-1]["test_accuracy"] > 0.7
