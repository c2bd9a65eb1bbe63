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
import sys, time
import torch
torch.set_num_threads(1)
from errata.engine.federated import join, serve
from errata.engine.federated.client import Client

role, folder, port, options = sys.argv[1], sys.argv[2], int(sys.argv[3]), dict(a.split("=") for a in sys.argv[4:])
slow = float(options.get("slow", 0))
fit = Client.fit

def slowly(self, state, number):
    print("fit", number, flush=True)
    time.sleep(slow)
    return fit(self, state, number)

Client.fit = slowly
if role == "server":
    serve(
        f"{folder}/bench.csv", "kind", port=port, rounds=int(options["rounds"]), clients=int(options["clients"]),
        out=f"{folder}/server", resume="resume" in options, model={"name": "mlp", "hidden": [8]}, device="cpu",
        wait_for=200, tau=3, tau_prime=3, seed=4,
    )
else:
    join(
        f"{folder}/{role}.csv", "kind", server=f"127.0.0.1:{port}", out=f"{folder}/{role}", name=role, wait_for=200,
        device="cpu", tell=lambda told: print(told, flush=True),
    )
"""


class Stage:
    """Starts processes and ends those that are left."""

    def __init__(self, folder):
        self.folder = folder
        self.port = free_port()
        self.running = []
        self.lines = {}

    def start(self, role, **options):
        given = [f"{k}={v}" for k, v in options.items()]
        process = subprocess.Popen(
            [sys.executable, "-c", PLAYERS, role, str(self.folder), str(self.port), *given],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.running.append(process)
        said = self.lines.setdefault(process.pid, [])
        threading.Thread(target=lambda: said.extend(process.stdout), daemon=True).start()
        return process

    def said(self, process):
        return "".join(self.lines[process.pid])

    def wait_until(self, what, *processes):
        until = time.monotonic() + PATIENCE
        while not what():
            assert time.monotonic() < until, "\n".join(self.said(p)[-2000:] for p in self.running)
            for process in processes:
                assert process.poll() in (None, 0), self.said(process)[-3000:]
            time.sleep(0.05)

    def end(self):
        for process in self.running:
            if process.poll() is None:
                process.kill()
            process.wait()


@pytest.fixture
def stage(tmp_path):
    sites(tmp_path)
    found = Stage(tmp_path)
    yield found
    found.end()


def rounds_of(folder):
    file = folder / "server" / "checkpoints" / "last.pt"
    return torch.load(file, weights_only=True)["round"] if file.exists() else 0


def test_a_client_killed_in_a_round_and_a_server_killed_after_one_do_no_harm(stage, tmp_path):
    server = stage.start("server", rounds=5, clients=2)
    people = [stage.start("site-1"), stage.start("site-2"), stage.start("site-3", slow=3)]
    victim = people[2]
    # in the middle of a round of its own: it has begun to fit, and is killed before it can answer
    stage.wait_until(lambda: "fit" in stage.said(victim) or rounds_of(tmp_path) >= 4, server)
    victim.send_signal(signal.SIGKILL)
    killed_in = int(stage.said(victim).split("fit ")[1].split()[0])
    # the server goes on without it, and is killed itself once that round is done
    stage.wait_until(lambda: rounds_of(tmp_path) >= killed_in, server)
    server.send_signal(signal.SIGKILL)
    server.wait()
    done = rounds_of(tmp_path)
    again = stage.start("server", rounds=done + 2, clients=2, resume=1)
    stage.wait_until(lambda: again.poll() is not None and all(p.poll() is not None for p in people))
    assert again.returncode == 0, stage.said(again)[-3000:]
    assert [p.returncode for p in people[:2]] == [0, 0], stage.said(people[0])[-3000:]
    assert victim.returncode == -signal.SIGKILL
    run = errata.Run.load(tmp_path / "server")
    assert [r["round"] for r in run.history] == list(range(1, done + 3))
    assert run.history[killed_in - 1]["failed"] == 1
    assert run.history[killed_in - 1]["clients"] == 2
    assert all(r["failed"] == 0 for r in run.history[killed_in:])
    assert run.metrics["test_accuracy"] > 0.5
    assert run.evaluate(tmp_path / "bench.csv")["accuracy"] == pytest.approx(run.metrics["test_accuracy"])
    for name in ("site-1", "site-2"):  # what is known of single rows is with the clients, and nowhere else
        ledger = errata.Ledger.load(tmp_path / name)
        assert len(ledger) == 60
        assert set(ledger.columns["client"]) == {name}
        assert (tmp_path / name / "report.html").exists()
    assert len(errata.Ledger.load(tmp_path / "server")) >= 2
    assert not list((tmp_path / "server").rglob("memory-*"))


def test_over_the_network_it_ends_as_in_one_process_and_a_hanging_client_is_not_waited_for(stage, tmp_path):
    server = stage.start("server", rounds=2, clients=2)
    people = [stage.start(f"site-{i}") for i in (1, 2)]
    stage.wait_until(lambda: server.poll() is not None and all(p.poll() is not None for p in people))
    assert server.returncode == 0, stage.said(server)[-3000:]
    over = errata.Run.load(tmp_path / "server")
    clients = {f"site-{i}": tmp_path / f"site-{i}.csv" for i in (1, 2)}
    here = train(
        clients, label="kind", test=tmp_path / "bench.csv", rounds=2, tau=3, tau_prime=3, seed=4, progress=False,
        model={"name": "mlp", "hidden": [8]}, device="cpu",
    )  # fmt: skip
    assert [r["clients"] for r in over.history] == [2, 2]
    for name in ("samples", "test_accuracy", "pass_rate", "local_share", "labelled"):
        assert [r[name] for r in over.history] == pytest.approx([r[name] for r in here.history])
    theirs = errata.Ledger.load(tmp_path / "site-1")
    assert np.allclose(theirs.trust, here.ledgers["site-1"].trust, atol=1e-5, equal_nan=True)


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


def in_threads(folder, port, clients, **server):
    """A federation in threads of this process; what the server and each client came to."""
    from errata.engine.federated import join, serve

    found = {}

    def note(name, function):
        try:
            found[name] = function()
        except Exception as error:
            found[name] = error

    tasks = [threading.Thread(target=note, args=("server", lambda: serve(
        folder / "bench.csv", "kind", port=port, progress=False, device="cpu", tau=2, tau_prime=2, rounds=1, **server,
    )))]  # fmt: skip
    for name, options in clients.items():
        tasks.append(threading.Thread(target=note, args=(name, lambda name=name, options=options: join(
            folder / "site-1.csv", "kind", server=f"localhost:{port}", out=folder / f"out-{name}", device="cpu",
            wait_for=20, **options,
        ))))  # fmt: skip
    for task in tasks:
        task.start()
    for task in tasks:
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
