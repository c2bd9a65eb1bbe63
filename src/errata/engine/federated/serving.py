"""The server of a real federation, over Flower's gRPC streams: clients come, go, die and come back; rounds go on.

This needs no more than one process on each side; for a deployment of Flower's own see ``app``.

What travels: to a client the federation's description, once, and the weights each round; back the weights, r_k and sums
over its rows. A client that dies in a round, answers too late or sends what can't be used is left out of that round's
mean. The server writes a checkpoint after every round and goes on from it when it is started again.
"""

from __future__ import annotations

import hmac
import socket
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import torch

from errata.data.clients import Clients
from errata.engine.federated import security
from errata.engine.federated._flower import flower, quiet
from errata.engine.federated.federation import Federation, finite
from errata.engine.federated.progress import Rounds
from errata.engine.federated.run import FederatedRun, about_of, made
from errata.engine.federated.training import claim, make_system, server_share, spec_for, split
from errata.engine.fit import resolve_device
from errata.errors import ErrataError, ParameterError
from errata.storage import write_json

__all__ = ["finished", "prepared", "serve"]

ASKING = 60.0  # seconds for a new client to say who it is
MESSAGE = 512 << 20  # bytes of a message at most, as Flower has it


def serve(
    source: Any,
    label: Any = None,
    *,
    system: str = "fedlabel",
    rounds: int = 20,
    clients: int = 2,
    fraction: float = 1.0,
    classes: Sequence[Any] | None = None,
    model: str = "auto",
    host: str = "127.0.0.1",
    port: int = 8080,
    certificates: str | Path | None = None,
    token: str | Path | None = None,
    wait_for: float = 600.0,
    round_timeout: float | None = None,
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    verbose: bool = False,
    **rest: Any,
) -> FederatedRun:
    """Be the server of a real federation, until its last round.

    Parameters
    ----------
    source, label : the server's own data: labelled rows like the clients'. From them it knows the columns, the scale
        of the inputs and the classes, and it measures every round on them.
    system, model, seed, device, rest : as in ``train``
    rounds : of communication
    clients : how many have to be there for a round to begin, 1 or more
    fraction : of the clients that are there, in each round
    classes : the classes, where the server's own rows don't show all of them
    host, port : where to listen; another host than this machine needs ``certificates``
    certificates : a folder with ca.pem, server.pem and server.key for TLS
    token : a file with a secret that every client must know as well
    wait_for : seconds to wait for so many clients before giving up
    round_timeout : seconds after which a round goes on without those who have not answered; None waits for all that
        are connected
    out, resume : the server's folder, as in ``train``; with ``resume`` go on from the last whole round in it
    progress, verbose : show each round; and what Flower has to say

    Raises
    ------
    ErrataError
        where the port is taken, or too few clients come in time
    """
    if clients < 1:
        raise ParameterError(f"clients must be 1 or more; got {clients}.")
    security.check_host(host, certificates is not None, server=True)
    secret, tls = security.read_token(token), None if certificates is None else security.certificates(certificates)
    federation, about, folder = prepared(
        source,
        label,
        system=system,
        rounds=rounds,
        fraction=fraction,
        classes=classes,
        model=model,
        seed=seed,
        device=device,
        out=out,
        resume=resume,
        rest=rest,
    )
    _free(host, port)
    with Rounds(federation, show=progress, every=0.0), quiet(verbose):
        _listen(federation, _address(host, port), clients, wait_for, round_timeout, secret, tls)
    return finished(federation, about, folder, device)


def prepared(
    source: Any,
    label: Any,
    *,
    system: str,
    rounds: int,
    fraction: float,
    classes: Sequence[Any] | None,
    model: str,
    seed: int,
    device: str,
    out: str | Path | None,
    resume: bool,
    rest: Mapping[str, Any],
) -> tuple[Federation, dict[str, Any], Path | None]:
    """A server's federation, what its ``run.json`` says (and holds already), and its folder; see ``serve``."""
    reading, settings = split(rest, system)
    make_system(system, settings)
    bench = _own(source, label, classes, reading)
    spec = spec_for(bench, bench.data[0], system, settings, model, seed)
    folder = claim(out, resume)
    place = torch.device(resolve_device(device))
    federation = Federation(
        spec, rounds=rounds, fraction=fraction, test=server_share(bench.data[0], spec), folder=folder, device=place
    )
    if resume:
        federation.resume()
    about = about_of(
        spec,
        {},
        source=bench.source,
        label=bench.data[0].label_name,
        kind=bench.kind,
        reading=bench.data[0].reading,
        rounds=rounds,
        fraction=fraction,
        engine="server",
        simulated=False,
    )
    if folder is not None:
        write_json(folder / "run.json", about)
    return federation, about, folder


def finished(federation: Federation, about: dict[str, Any], folder: Path | None, device: str) -> FederatedRun:
    """The run of a server after its last round, saved where it has a folder."""
    run = made(federation, about | {"client_folders": dict.fromkeys(federation.reports, "")}, {}, device)
    if folder is not None:
        run.save(folder)
    return run


def _own(source: Any, label: Any, classes: Sequence[Any] | None, reading: dict[str, Any]) -> Clients:
    from errata.data import read

    data = source if not isinstance(source, str | Path) else read(source, label, classes=classes, **reading)
    labels = data.require_labels(min_classes=1)
    return Clients(["server"], [data], list(labels.classes), data.source)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _free(host: str, port: int) -> None:
    """Find out before the long work whether the port can be had."""
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(kind, socket.SOCK_STREAM) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind((host, port))
    except OSError as error:
        raise ErrataError(
            f"The server can't listen on {host}:{port}: {error.strerror or error}. Choose another --port."
        ) from error


def _listen(
    federation: Federation,
    address: str,
    clients: int,
    wait_for: float,
    timeout: float | None,
    secret: bytes | None,
    tls: tuple[bytes, bytes, bytes] | None,
) -> None:
    left = federation.rounds - federation.round
    if left <= 0:
        return
    server = _server(_strategy(federation, clients, wait_for, secret))
    # what Flower's start_server does, but for its signal handlers (Ctrl-C is the caller's) and its end: a gRPC server
    # that is left to the interpreter's shutdown can hang there
    listening = flower("flwr.server.superlink.fleet.grpc_bidi.grpc_server").start_grpc_server(
        client_manager=server.client_manager(),
        server_address=address,
        max_message_length=MESSAGE,
        certificates=tls,
    )
    try:
        server.fit(num_rounds=left, timeout=timeout)
        server.disconnect_all_clients(timeout)
    finally:
        listening.stop(grace=1).wait(10)


def _server(plan: Any) -> Any:
    """Flower's server, with a round's deadline: a client that hangs is dropped instead of waited for."""
    flower_server = flower("flwr.server")
    common = flower("flwr.common")

    class Server(flower_server.Server):  # type: ignore[name-defined]
        def fit_round(self, server_round: int, timeout: float | None) -> Any:
            asked = plan.configure_fit(server_round, self.parameters, self._client_manager)
            done, failed = _ask(asked, lambda proxy, ins: proxy.fit(ins, timeout, server_round), timeout)
            self._drop(failed)
            parameters, metrics = plan.aggregate_fit(server_round, done, [None] * len(failed))
            return parameters, metrics, (done, [])

        def evaluate_round(self, server_round: int, timeout: float | None) -> Any:
            asked = plan.configure_evaluate(server_round, self.parameters, self._client_manager)
            done, failed = _ask(asked, lambda proxy, ins: proxy.evaluate(ins, timeout, server_round), timeout)
            self._drop(failed)
            plan.aggregate_evaluate(server_round, done, [])

        def disconnect_all_clients(self, timeout: float | None) -> None:
            everyone = [(proxy, common.ReconnectIns(seconds=None)) for proxy in self._client_manager.all().values()]
            _ask(everyone, lambda proxy, ins: proxy.reconnect(ins, timeout, None), ASKING)

        def _drop(self, failed: list[Any]) -> None:
            for proxy in failed:
                self._client_manager.unregister(proxy)

    return Server(client_manager=flower_server.SimpleClientManager(), strategy=plan)


def _ask(asked: list[tuple[Any, Any]], how: Any, timeout: float | None) -> tuple[list[tuple[Any, Any]], list[Any]]:
    """Ask everybody at once: what came back in time, in the order asked, and who failed."""
    if not asked:
        return [], []
    pool = ThreadPoolExecutor(max_workers=len(asked))
    tasks: list[tuple[Any, Future[Any]]] = [(proxy, pool.submit(how, proxy, ins)) for proxy, ins in asked]
    wait([task for _, task in tasks], timeout=timeout)
    pool.shutdown(wait=False, cancel_futures=True)
    done, failed = [], []
    for proxy, task in tasks:
        if task.done() and task.exception() is None:
            done.append((proxy, task.result()))
        else:
            failed.append(proxy)
            bridge = getattr(proxy, "bridge", None)
            if bridge is not None and not task.done():
                bridge.close()  # its thread ends, and its stream
    return done, failed


def _strategy(federation: Federation, clients: int, wait_for: float, secret: bytes | None) -> Any:
    """A Flower strategy for its gRPC server: FedAvg's mean, with the federation's draws, notes and checkpoints."""
    common = flower("flwr.common")
    base = flower("flwr.server.strategy").FedAvg
    offset = federation.round

    class Plan(base):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            super().__init__(min_fit_clients=1, min_evaluate_clients=1, min_available_clients=clients)
            self.who: dict[str, str] = {}
            self.asked: list[str] = []

        def initialize_parameters(self, client_manager: Any) -> Any:
            return common.ndarrays_to_parameters(federation.arrays())

        def evaluate(self, server_round: int, parameters: Any) -> None:
            return None

        def configure_fit(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
            number = offset + server_round
            proxies = self._gather(client_manager, number)
            federation.begin()
            self.asked = federation.choose(number, list(proxies))
            ins = common.FitIns(common.ndarrays_to_parameters(federation.arrays()), {"round": number})
            return [(proxies[name], ins) for name in self.asked]

        def _gather(self, manager: Any, number: int) -> dict[str, Any]:
            """Who is there, by name, as soon as there are enough."""
            until = time.monotonic() + wait_for
            while True:
                found: dict[str, Any] = {}
                for cid, proxy in list(manager.all().items()):
                    name = self.who.get(cid) or self._welcome(manager, proxy, set(found))
                    if name is not None:
                        self.who[cid] = name
                        found[name] = proxy
                if len(found) >= clients:
                    return found
                if time.monotonic() >= until:
                    raise ErrataError(
                        f"Round {number} needs {clients} clients, and {len(found)} were there after {wait_for:.0f} s. "
                        "Start more with `errata federate join`, and go on with --resume."
                    )
                manager.wait_for(len(manager.all()) + 1, timeout=0.5)

        def _welcome(self, manager: Any, proxy: Any, present: set[str]) -> str | None:
            """Tell a new client what is done here, and learn its name; a stranger is sent away."""
            challenge = security.nonce()
            ins = common.GetPropertiesIns({"nonce": challenge, "token": secret is not None})
            done, _ = _ask([(proxy, ins)], lambda p, i: p.get_properties(i, None, None), ASKING)
            told = dict(done[0][1].properties) if done else {}
            name = str(told.get("name", ""))
            proof = str(told.get("proof", ""))
            refusal = ""
            if not name:
                refusal = "it did not say who it is"
            elif secret is not None and not hmac.compare_digest(proof, security.prove(secret, challenge, name)):
                refusal = "it does not know the federation's token"
            elif name in present or name in {self.who[c] for c in manager.all() if c in self.who}:
                refusal = f"a client named '{name}' is here already; give --name"
            ins = common.GetPropertiesIns({"refused": refusal} if refusal else {"spec": federation.spec.to_json()})
            done, _ = _ask([(proxy, ins)], lambda p, i: p.get_properties(i, None, None), ASKING)
            if refusal or not done or done[0][1].properties.get("ready") is not True:
                bridge = getattr(proxy, "bridge", None)
                if bridge is not None:
                    bridge.close()
                manager.unregister(proxy)
                return None
            return name

        def aggregate_fit(self, server_round: int, results: Any, failures: Any) -> Any:
            good, told, up = [], {}, 0
            for proxy, res in sorted(results, key=lambda pair: self.who[pair[0].cid]):
                name = self.who[proxy.cid]
                arrays = common.parameters_to_ndarrays(res.parameters)
                try:
                    usable = finite(federation.from_arrays(arrays))
                except ErrataError:
                    usable = False
                if not usable:
                    continue
                figures = {k: float(v) for k, v in res.metrics.items() if isinstance(v, int | float)}
                told[name] = {"samples": float(res.num_examples), **figures}
                up += sum(len(t) for t in res.parameters.tensors) + 8
                if res.num_examples > 0:
                    good.append((proxy, res))
            new = None
            if good:
                parameters, _ = super().aggregate_fit(server_round, good, [])
                mean = federation.from_arrays(common.parameters_to_ndarrays(parameters))
                rate = federation.system.server_lr
                new = {k: w + rate * (mean[k] - w) for k, w in federation.state.items()} if rate != 1.0 else mean
            down = sum(len(t) for t in common.ndarrays_to_parameters(federation.arrays()).tensors)
            federation.finish(
                offset + server_round,
                new,
                told,
                failed=len(self.asked) - len(told),
                bytes_up=up / max(1, len(told)),
                bytes_down=down,
            )
            return common.ndarrays_to_parameters(federation.arrays()), {}

        def configure_evaluate(self, server_round: int, parameters: Any, client_manager: Any) -> Any:
            if federation.round < federation.rounds:  # only the final model is looked at by every client
                return []
            number = federation.rounds + 1
            ins = common.EvaluateIns(common.ndarrays_to_parameters(federation.arrays()), {"round": number})
            return [(proxy, ins) for cid, proxy in client_manager.all().items() if cid in self.who]

        def aggregate_evaluate(self, server_round: int, results: Any, failures: Any) -> Any:
            for proxy, res in results:
                figures = {k: float(v) for k, v in res.metrics.items() if isinstance(v, int | float)}
                federation.reports.setdefault(self.who[proxy.cid], {}).update(figures)
            federation.save()
            return None, {}

    return Plan()
