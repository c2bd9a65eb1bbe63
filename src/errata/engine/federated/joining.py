"""A client of a real federation, over Flower's gRPC: its rows stay here, and so does its ledger."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from errata.data.clients import by_classes, one_place
from errata.engine.federated import security
from errata.engine.federated._flower import flower, quiet
from errata.engine.federated.client import Client
from errata.engine.federated.spec import Spec
from errata.engine.fit import resolve_device
from errata.errors import ErrataError
from errata.ledger import Ledger
from errata.parts.federated import floating_state
from errata.storage import make_folder

__all__ = ["join"]

MESSAGE = 512 << 20


def join(
    source: Any,
    label: Any = None,
    *,
    server: str,
    out: str | Path,
    name: str | None = None,
    root_certificate: str | Path | None = None,
    token: str | Path | None = None,
    wait_for: float = 600.0,
    device: str = "auto",
    tell: Callable[[str], None] | None = None,
    verbose: bool = False,
    **reading: Any,
) -> Ledger:
    """Take part in a federation with the data at hand, until its last round.

    Parameters
    ----------
    source, label : this client's data; rows without a label are unlabelled samples
    server : HOST:PORT; another machine needs ``root_certificate``
    out : this client's folder: its memory between rounds and its ledger, with the report
    name : told to the server; by default the folder's name and this machine's. No two clients may share it.
    root_certificate : the CA's certificate in PEM form, for TLS
    token : the file with the federation's secret, where it has one
    wait_for : seconds to go on trying where the server is not there, at first or after it was stopped
    device : where to compute
    tell : called with a sentence for each thing that happens
    verbose : show what Flower has to say
    reading : options of ``errata.read``

    Returns
    -------
    Ledger
        of this client; also saved in ``out``

    Raises
    ------
    ErrataError
        where the server can't be reached, sends this client away, or the data don't fit
    """
    host, port = security.split_address(server)
    security.check_host(host, root_certificate is not None, server=False)
    secret = security.read_token(token)
    root = None if root_certificate is None else _root(Path(root_certificate))
    data = one_place(source, label, reading)
    folder = make_folder(Path(out))
    known = name or f"{folder.resolve().name}@{platform.node() or 'client'}"
    member = _member(known, data, folder, secret, torch.device(resolve_device(device)), tell or (lambda _: None))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    with quiet(verbose):
        _stay(member, address, root, wait_for)
    if member.client is None:
        raise ErrataError(f"The server at {server} has ended without asking anything of this client.")
    member.client.save_ledger()
    return member.client.ledger()


def _root(file: Path) -> bytes:
    if not file.is_file():
        raise ErrataError(f"There is no certificate {file}; it is the CA's, in PEM form.")
    return file.read_bytes()


def _stay(member: Any, address: str, root: bytes | None, wait_for: float) -> None:
    """Serve the server until it says goodbye; where the connection is lost, try again for a while."""
    client = flower("flwr.client")
    grpc = flower("grpc")
    until = time.monotonic() + wait_for
    while True:
        before = member.heard
        try:
            client.start_client(
                server_address=address,
                client=member.to_client(),
                root_certificates=root,
                insecure=root is None,
                grpc_max_message_length=MESSAGE,
            )
            return
        except (grpc.RpcError, ConnectionError, StopIteration) as error:
            if member.error is not None:
                raise member.error from None
            if member.heard != before:
                until = time.monotonic() + wait_for
                member.tell("The connection to the server was lost; waiting for it to come back.")
            if time.monotonic() >= until:
                told = error.details() if hasattr(error, "details") else str(error)
                raise ErrataError(
                    f"The server at {address} can't be reached ({str(told)[:200]}). Is `errata federate serve` running "
                    "there, and does it use TLS as you do here?"
                ) from None
            time.sleep(min(1.0, max(0.1, wait_for / 20)))
        except ErrataError:
            raise
        except Exception:
            if member.error is not None:
                raise member.error from None
            raise


def _member(
    name: str, data: Any, folder: Path, secret: bytes | None, device: torch.device, tell: Callable[[str], None]
) -> Any:
    base = flower("flwr.client").NumPyClient

    class Member(base):  # type: ignore[valid-type, misc]
        def __init__(self) -> None:
            self.client: Client | None = None
            self.error: ErrataError | None = None
            self.heard = 0
            self.tell = tell

        def get_properties(self, config: Any) -> dict[str, Any]:
            """First who one is, then what is to be done."""
            self.heard += 1
            if config.get("refused"):
                raise self._failed(ErrataError(f"The server has sent this client away: {config['refused']}."))
            if "spec" in config:
                try:
                    self._prepare(Spec.from_json(str(config["spec"])))
                except ErrataError as error:
                    raise self._failed(error) from None
                return {"ready": True}
            told = {"name": name}
            if config.get("token"):
                if secret is None:
                    raise self._failed(ErrataError("The server asks for the federation's token: give --token FILE."))
                told["proof"] = security.prove(secret, str(config["nonce"]), name)
            return told

        def _failed(self, error: ErrataError) -> ErrataError:
            """Note why this client ends: Flower wraps what is raised in its calls."""
            self.error = error
            return error

        def _prepare(self, spec: Spec) -> None:
            own = by_classes(data, spec.classes)
            self.client = Client.from_data(name, spec, own, folder=folder, device=device).recall()
            tell(f"Joined as '{name}': {len(own):,} rows, {len(self.client.share.labelled):,} with a label.")

        def _ready(self) -> Client:
            if self.client is None:
                raise self._failed(ErrataError("The server asked for work before it had said what is to be done."))
            return self.client

        def _state(self, arrays: Any) -> dict[str, torch.Tensor]:
            names = floating_state(self._ready().model)
            return {key: torch.from_numpy(np.array(a)) for key, a in zip(names, arrays)}

        def fit(self, parameters: Any, config: Any) -> Any:
            self.heard += 1
            try:
                client = self._ready()
                update = client.fit(self._state(parameters), int(config["round"]))
                client.save_ledger(report=False)  # whatever happens next, what is known is written
            except ErrataError as error:
                raise self._failed(error) from None
            tell(f"Round {config['round']}: {update.samples:,} rows used.")
            return [value.numpy() for value in update.state.values()], update.samples, update.metrics

        def evaluate(self, parameters: Any, config: Any) -> Any:
            self.heard += 1
            figures = self._ready().look(self._state(parameters), int(config["round"]))
            return 0.0, int(figures["rows"]), figures

    return Member()
