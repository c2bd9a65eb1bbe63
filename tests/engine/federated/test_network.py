"""A real federation on loopback: a server and its clients in processes of their own, over Flower's gRPC."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

import errata
from errata.engine.federated import security
from errata.engine.federated.training import train
from errata.errors import ErrataError, ParameterError

pytest.importorskip("flwr", reason="needs the extra 'federated'")

PATIENCE = 240  # seconds: on a busy machine a process alone takes many to start


def sites(folder, clients=3, rows=60):
    """A table for each client, and the server's."""
    rng = np.random.default_rng(0)
    for i in range(clients + 1):
        y = np.arange(rows) % 3
        frame = pd.DataFrame(rng.normal(size=(rows, 3)) + 3.0 * np.eye(3)[y], columns=list("abc"))
        frame["kind"] = np.array(["x", "y", "z"], dtype=object)[y]
        if i:
            frame.loc[rng.random(rows) < 0.5, "kind"] = None
        frame.to_csv(folder / ("bench.csv" if i == 0 else f"site-{i}.csv"), index=False)


def free_port():
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


PLAYERS = """
import json, os, sys, time
import torch
torch.set_num_threads(1)
from errata.engine.federated import joining, serving
from errata.engine.federated.client import Client
fit = Client.fit

def play(role, folder, port, slow=0, rounds=1, clients=1, resume=False):
    def slowly(self, state, number):
        print("fit", number, flush=True)
        time.sleep(slow)
        return fit(self, state, number)

    Client.fit = slowly
    if role == "server":
        serving.serve(
            f"{folder}/bench.csv", "kind", port=port, rounds=rounds, clients=clients, out=f"{folder}/server",
            resume=resume, model={"name": "mlp", "hidden": [8]}, device="cpu", wait_for=200, tau=10, tau_prime=3,
            eta=0.2,
            seed=4,
        )
    else:
        joining.join(
            f"{folder}/{role}.csv", "kind", server=f"127.0.0.1:{port}", out=f"{folder}/{role}", name=role, wait_for=200,
            device="cpu", tell=lambda told: print(told, flush=True),
        )

for line in sys.stdin:
    order = json.loads(line)
    pid = os.fork()
    if pid == 0:
        log = os.open(order.pop("log"), os.O_WRONLY | os.O_CREAT)
        os.dup2(log, 1), os.dup2(log, 2), os.close(0)
        try:
            play(**order)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        sys.stdout.flush()
        os._exit(0)
    print(pid, flush=True)
"""


class Stage:
    """Real processes, forked from one that has done the imports (but not Flower's), for these take seconds each."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.logs = {}
        self.director = subprocess.Popen(
            [sys.executable, "-c", PLAYERS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def start(self, role, **options):
        log = self.folder / f"log-{len(self.logs)}-{role}.txt"
        order = {"role": role, "folder": str(self.folder), "port": self.port, "log": str(log), **options}
        self.director.stdin.write(json.dumps(order) + "\n")
        self.director.stdin.flush()
        pid = int(self.director.stdout.readline())
        self.logs[pid] = log
        return pid

    def said(self, pid):
        return self.logs[pid].read_text() if self.logs[pid].exists() else ""

    @staticmethod
    def running(pid):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            return False
        return state not in "ZX"

    def wait_until(self, what):
        until = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < until, "\n".join(self.said(pid)[-2000:] for pid in self.logs)
            time.sleep(0.05)

    def end(self):
        for pid in self.logs:
            if self.running(pid):
                os.kill(pid, signal.SIGKILL)
        self.director.stdin.close()
        self.director.wait()


@pytest.fixture
def stage(tmp_path):
    sites(tmp_path, clients=2)
    found = Stage(tmp_path)
    yield found
    found.end()


def rounds_of(folder):
    file = folder / "server" / "checkpoints" / "last.pt"
    return torch.load(file, weights_only=True)["round"] if file.exists() else 0


def test_a_client_killed_in_a_round_and_a_server_killed_after_one_do_no_harm(stage, tmp_path):
    server = stage.start("server", rounds=50, clients=1)
    stays = stage.start("site-1", slow=0.3)
    stage.wait_until(lambda: "fit" in stage.said(stays))
    victim = stage.start("site-2", slow=5)
    # in the middle of a round of its own: it has begun to fit, and is killed before it can answer
    stage.wait_until(lambda: "fit" in stage.said(victim))
    os.kill(victim, signal.SIGKILL)
    killed_in = int(stage.said(victim).split("fit ")[1].split()[0])
    # the server goes on without it, and is killed itself a round later
    stage.wait_until(lambda: rounds_of(tmp_path) > killed_in)
    os.kill(server, signal.SIGKILL)
    stage.wait_until(lambda: not stage.running(server))
    done = rounds_of(tmp_path)
    again = stage.start("server", rounds=done + 2, clients=1, resume=True)
    stage.wait_until(lambda: not stage.running(again) and not stage.running(stays))
    assert "Traceback" not in stage.said(again) + stage.said(stays), stage.said(again) + stage.said(stays)
    assert "waiting for it to come back" in stage.said(stays)
    run = errata.Run.load(tmp_path / "server")
    assert [r["round"] for r in run.history] == list(range(1, done + 3))
    assert (run.history[killed_in - 1]["failed"], run.history[killed_in - 1]["clients"]) == (1, 1)
    assert all((r["failed"], r["clients"]) == (0, 1) for r in run.history[killed_in:])
    assert run.metrics["test_accuracy"] > 0.4
    assert run.evaluate(tmp_path / "bench.csv")["accuracy"] == pytest.approx(run.metrics["test_accuracy"])
    # what is known of single rows is with the client, and nowhere else
    ledger = errata.Ledger.load(tmp_path / "site-1")
    assert len(ledger) == 60
    assert set(ledger.columns["client"]) == {"site-1"}
    assert (tmp_path / "site-1" / "report.html").exists()
    assert not list((tmp_path / "server").rglob("memory-*"))
    assert set(errata.Ledger.load(tmp_path / "server").columns["client"]) == {"site-1"}


def test_over_the_network_it_ends_as_in_one_process(tmp_path):
    sites(tmp_path)
    names = ("site-1",)  # threads share torch's generator, so only one may draw from it
    found = in_threads(
        tmp_path,
        free_port(),
        {name: {"name": name, "source": tmp_path / f"{name}.csv"} for name in names},
        clients=1,
        rounds=2,
        seed=4,
        wait_for=60,
    )
    over = found["server"]
    here = train(
        {name: tmp_path / f"{name}.csv" for name in names}, label="kind", test=tmp_path / "bench.csv", rounds=2, tau=2,
        tau_prime=2, seed=4, progress=False, device="cpu",
    )  # fmt: skip
    assert [r["clients"] for r in over.history] == [1, 1], found
    for figure in ("samples", "test_accuracy", "pass_rate", "local_share", "labelled"):
        assert [r[figure] for r in over.history] == pytest.approx([r[figure] for r in here.history])
    for name in names:
        assert np.allclose(found[name].trust, here.ledgers[name].trust, atol=1e-5, equal_nan=True)


def test_a_client_that_hangs_is_not_waited_for():
    from errata.engine.federated.serving import _ask

    closed, release = [], threading.Event()

    class Proxy:
        class bridge:
            close = staticmethod(lambda: closed.append(True))

    quick, hanging, broken = Proxy(), Proxy(), Proxy()

    def answer(proxy, asked):
        if proxy is broken:
            raise ConnectionError
        if proxy is hanging:
            release.wait(30)
        return asked + 1

    started = time.monotonic()
    done, failed = _ask([(quick, 1), (hanging, 2), (broken, 3)], answer, timeout=0.3)
    assert time.monotonic() - started < 10
    release.set()
    assert done == [(quick, 2)]
    assert failed == [hanging, broken]
    assert closed == [True]


class TestWhoMayTalk:
    @pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.7", "::", "example.invalid"])
    def test_another_host_needs_tls(self, host):
        for server in (True, False):
            with pytest.raises(ParameterError, match=r"TLS.*(--certificates|--root-certificate)"):
                security.check_host(host, False, server=server)
        security.check_host(host, True, server=True)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
    def test_this_machine_does_not(self, host):
        security.check_host(host, False, server=True)

    def test_a_folder_without_certificates_is_told(self, tmp_path):
        (tmp_path / "ca.pem").write_text("x")
        with pytest.raises(ErrataError, match=r"server.pem, server.key are missing"):
            security.certificates(tmp_path)

    def test_a_token_is_proved_and_never_sent(self, tmp_path):
        (tmp_path / "short").write_text("abc")
        with pytest.raises(ErrataError, match="too short"):
            security.read_token(tmp_path / "short")
        (tmp_path / "token").write_text("a long enough secret\n")
        token = security.read_token(tmp_path / "token")
        proof = security.prove(token, "nonce", "me")
        assert token.decode() not in proof
        assert proof != security.prove(token, "nonce2", "me") != security.prove(token, "nonce", "you")

    @pytest.mark.parametrize("address", ["localhost", "host:", ":80", "host:99999", "host:x"])
    def test_addresses(self, address):
        with pytest.raises(ParameterError, match="HOST:PORT"):
            security.split_address(address)


def test_a_server_that_is_not_there_is_told(tmp_path):
    from errata.engine.federated import join

    sites(tmp_path, clients=1)
    with pytest.raises(ErrataError, match="can't be reached"):
        join(tmp_path / "site-1.csv", "kind", server=f"127.0.0.1:{free_port()}", out=tmp_path / "out", wait_for=1)


def test_a_port_that_is_taken_is_told_before_anything_else(tmp_path):
    from errata.engine.federated import serve

    sites(tmp_path, clients=0)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ErrataError, match="can't listen"):
            serve(tmp_path / "bench.csv", "kind", port=other.getsockname()[1], wait_for=0.1, progress=False)


def in_threads(folder, port, people, first=(), **server):
    """A federation in threads of this process; what the server and each client came to."""
    from errata.engine.federated import join, serve

    found = {}

    def note(name, function):
        try:
            found[name] = function()
        except Exception as error:
            found[name] = error

    tasks = [threading.Thread(target=note, args=("server", lambda: serve(
        folder / "bench.csv", "kind", port=port, progress=False, device="cpu",
        **{"tau": 2, "tau_prime": 2, "rounds": 1, **server},
    )))]  # fmt: skip
    for name, options in people.items():
        tasks.append(threading.Thread(target=note, args=(name, lambda name=name, options=options: join(
            label="kind", server=f"localhost:{port}", out=folder / f"out-{name}", device="cpu", wait_for=20,
            **{"source": folder / "site-1.csv", **options},
        ))))  # fmt: skip
    early = [tasks[0], *(task for name, task in zip(people, tasks[1:]) if name in first)]
    for task in early:
        task.start()
    for task in early[1:]:
        task.join(PATIENCE)
    late = [task for task in tasks if task not in early]
    for task in late:
        task.start()
    for task in [*late, tasks[0]]:
        task.join(PATIENCE)
    return found


def test_a_stranger_and_a_double_are_sent_away(tmp_path):
    sites(tmp_path, clients=1)
    (tmp_path / "token").write_text("the secret of this federation")
    (tmp_path / "other").write_text("another secret altogether")
    found = in_threads(
        tmp_path,
        free_port(),
        {
            "right": {"token": tmp_path / "token", "name": "one"},
            "wrong": {"token": tmp_path / "other", "name": "two"},
            "none": {"name": "three"},
        },
        clients=1,
        token=tmp_path / "token",
        first=("wrong", "none"),
        wait_for=60,
    )
    assert len(found["right"]) == 60, found
    assert "does not know the federation's token" in str(found["wrong"])
    assert "--token" in str(found["none"])
    assert list(found["server"].overview.columns["client"]) == ["one"]


def test_tls_with_a_certificate_of_ones_own(tmp_path):
    pytest.importorskip("cryptography")
    sites(tmp_path, clients=1)
    make_certificates(tmp_path / "tls")
    port = free_port()
    found = in_threads(
        tmp_path,
        port,
        {"safe": {"name": "safe", "root_certificate": tmp_path / "tls" / "ca.pem"}},
        clients=1,
        certificates=tmp_path / "tls",
        wait_for=60,
    )
    assert len(found["safe"]) == 60, found
    assert len(found["server"].history) == 1


def make_certificates(folder: Path):
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    folder.mkdir()
    now = dt.datetime.now(dt.timezone.utc)

    def issue(name, key, issuer, issuer_key, ca):
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer or subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if not ca:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(issuer_key or key, hashes.SHA256())

    root_key, own_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = issue("root", root_key, None, None, True)
    own = issue("localhost", own_key, root.subject, root_key, False)
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(root.public_bytes(pem))
    (folder / "server.pem").write_bytes(own.public_bytes(pem))
    (folder / "server.key").write_bytes(
        own_key.private_bytes(pem, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    )


def test_a_client_with_other_classes_is_told_which(tmp_path):
    sites(tmp_path, clients=1)
    frame = pd.read_csv(tmp_path / "site-1.csv")
    frame.loc[0, "kind"] = "unheard of"
    frame.to_csv(tmp_path / "site-1.csv", index=False)
    found = in_threads(tmp_path, free_port(), {"odd": {"name": "odd"}}, clients=1, wait_for=8)
    assert "unheard of" in str(found["odd"])
    assert "needs 1 clients" in str(found["server"])


def test_the_servers_record_is_plain(tmp_path):
    sites(tmp_path, clients=1)
    found = in_threads(tmp_path, free_port(), {"one": {"name": "one"}}, clients=1, out=tmp_path / "server", wait_for=60)
    assert len(found["one"]) == 60, found
    told = json.loads((tmp_path / "server" / "run.json").read_text(encoding="utf-8"))
    assert told["task"] == "federated"
    assert told["client_folders"] == {"one": ""}
    assert not told["simulated"]
