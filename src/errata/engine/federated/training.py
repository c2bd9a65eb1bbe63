"""``train`` for the kind "federated": clients simulated here, by the small simulator or by Flower's."""

from __future__ import annotations

import inspect
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from errata.data.clients import Clients, client_folders, hide_labels, read_clients
from errata.engine.federated.client import Client, folder_names
from errata.engine.federated.federation import Federation
from errata.engine.federated.run import CLIENTS, FederatedRun, about_of, made
from errata.engine.federated.spec import Spec, make_system
from errata.engine.fit import resolve_device
from errata.engine.randomness import mixed_seed
from errata.engine.recipes import MODELS
from errata.engine.run import FILES
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.parts.federated import Share
from errata.storage import claim_folder, write_json

__all__ = ["ENGINES", "read", "server_share", "spec_for", "split", "train"]

ENGINES = ("local", "flower")
DEFAULT_CLIENTS = 10


def read(source: Any, label: Any = None, **reading: Any) -> Any:
    """A folder of clients as ``Clients``; anything else as ``errata.read`` reads it."""
    from errata.data import read as read_one

    if isinstance(source, Clients):
        return source
    if isinstance(source, (str, Path)) and client_folders(Path(source).expanduser()):
        return read_clients(source, label, **reading)
    return read_one(source, label, **reading)


def train(
    source: Any,
    y: Any = None,
    *,
    label: Any = None,
    system: str = "fedlabel",
    clients: Any = None,
    client_column: str | None = None,
    rounds: int = 20,
    fraction: float = 1.0,
    labelled: float | None = None,
    alpha: float | None = 0.1,
    test: Any = None,
    test_label: Any = None,
    test_share: float = 0.15,
    model: str | Mapping[str, Any] = "auto",
    engine: str = "local",
    seed: int = 0,
    device: str = "auto",
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    **rest: Any,
) -> FederatedRun:
    """Train one model over several clients whose data stay apart; all of them simulated on this machine.

    Parameters
    ----------
    source, y, label : what ``errata.read`` takes, or a folder with a folder or table for each client; a row without a
        label is an unlabelled sample
    system : "fedlabel" or "fedavg"
    clients : how many clients to deal the rows out to (10 where nothing says whose they are), or each row's client
    client_column : the column that names each row's client
    rounds : of communication, 1 or more
    fraction : of the clients that take part in a round, in (0, 1]
    labelled : hide all but this share of each client's labels, to simulate few labels
    alpha : evenness of the dealing, above 0; None is even
    test, test_label : data at the server, with right labels, to measure every round on
    test_share : without ``test``, the share of one source's labelled rows that stay at the server for that
    model : "auto", a name of ``errata.models``, or a dict of the name and options: {"name": "mlp", "hidden": [64]}
    engine : "local" (this process, no further packages) or "flower" (Flower's simulation on Ray)
    seed, device : as in ``errata.train``; "flower" computes on CPUs
    out, resume : a folder for the server's model, figures and overview, with each client's own below ``clients/``; go
        on in it from the last whole round
    progress : show how it goes
    rest : options of ``errata.read``, and hyper-parameters of the system

    Returns
    -------
    FederatedRun

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> x, y = load_iris(return_X_y=True)
    >>> run = train(x, y, clients=3, rounds=3, labelled=0.5, alpha=None, progress=False)
    >>> len(run.history), len(run.ledgers), sorted(set(run.ledger.columns["client"].tolist()))
    (3, 3, ['client-1', 'client-2', 'client-3'])
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    reading, settings = split(rest, system)
    make_system(system, settings)  # a wrong hyper-parameter is told before anything is read
    folder = claim(out, resume)
    given = _clients(source, y, label, clients, client_column, alpha, labelled, test, test_share, seed, reading)
    bench = (
        given.test if test is None else read_test(test, test_label if test_label is not None else label, given, reading)
    )
    spec = spec_for(given, bench, system, settings, model, seed)
    place = torch.device(resolve_device(device))
    scratch = None if folder is not None or engine == "local" else Path(tempfile.mkdtemp(prefix="errata-federated-"))
    home = folder or scratch
    folders = dict(zip(given.names, folder_names(given.names)))
    try:
        people = _people(given, spec, home, folders, place)
        about = about_of(
            spec,
            folders,
            source=given.source,
            source_path=_path_of(given),
            label=given.data[0].label_name,
            kind=given.kind,
            reading=given.data[0].reading,
            rounds=rounds,
            fraction=fraction,
            engine=engine,
            simulated=given.simulated,
        )
        federation = Federation(
            spec, rounds=rounds, fraction=fraction, test=server_share(bench, spec), folder=folder, device=place
        )
        if resume:
            federation.resume()
        if folder is not None:
            write_json(folder / "run.json", about)
        _go(federation, people, engine, progress, home)
        ledgers = {name: client.recall().ledger() for name, client in people.items()}
        run = made(federation, about, ledgers, device)
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
    if folder is not None:
        run.save(folder)
    return run


def _go(federation: Federation, people: Mapping[str, Client], engine: str, progress: bool, home: Path | None) -> None:
    from errata.engine.federated.progress import Rounds

    with Rounds(federation, show=progress):
        if engine == "local":
            from errata.engine.federated.simulator import simulate

            simulate(federation, list(people.values()))
        else:
            from errata.engine.federated.flower import simulate_with_flower

            simulate_with_flower(federation, people, home)


def _people(
    given: Clients, spec: Spec, home: Path | None, folders: Mapping[str, str], device: torch.device
) -> dict[str, Client]:
    return {
        name: Client.from_data(
            name, spec, data, folder=None if home is None else home / CLIENTS / folders[name], device=device
        )
        for name, data in zip(given.names, given.data)
    }


def _clients(
    source: Any,
    y: Any,
    label: Any,
    clients: Any,
    column: str | None,
    alpha: float | None,
    labelled: float | None,
    test: Any,
    test_share: float,
    seed: int,
    reading: dict[str, Any],
) -> Clients:
    from errata.data import Data

    if isinstance(source, Clients):
        return source if labelled is None else hide_labels(source, labelled, seed)
    places = isinstance(source, (str, Path)) and bool(client_folders(Path(source).expanduser()))
    apart = clients is None and column is None and (places or (isinstance(source, Mapping) and _places(source)))
    if clients is None and column is None and not apart:
        if isinstance(source, (str, Path)):
            return read_clients(source, label, **reading)  # tells what a folder of clients looks like
        clients = DEFAULT_CLIENTS
    if isinstance(source, Data):
        reading = {}
    return read_clients(
        source,
        y if y is not None else label,
        clients=clients,
        client_column=column,
        alpha=alpha,
        labelled=labelled,
        test_share=0.0 if apart or test is not None else test_share,
        seed=seed,
        **reading,
    )


def _places(source: Mapping[Any, Any]) -> bool:
    from errata.data import Data

    return bool(source) and all(isinstance(value, (str, Path, Data)) for value in source.values())


def read_test(test: Any, label: Any, given: Clients, reading: Mapping[str, Any]) -> Any:
    """The server's data, read as the clients' are and encoded by their classes.

    Raises
    ------
    DataError
        where it has no labels
    """
    from errata.data import Data
    from errata.data import read as read_one

    own = {**given.data[0].reading, **reading}
    name = given.data[0].label_name
    chosen = label if label is not None else name if not isinstance(test, Data) and _named(given) else None
    data = test if isinstance(test, Data) else read_one(test, chosen, classes=given.classes, **own)
    data.require_labels(min_classes=1)
    return data


def _named(given: Clients) -> bool:
    return bool(given.data[0].named)


def spec_for(given: Clients, bench: Any, system: str, settings: Mapping[str, Any], model: Any, seed: int) -> Spec:
    """The common ground: the encoding is learned from the server's data, or else from the largest client's."""
    from errata import data as room
    from errata import models

    options = dict(model) if isinstance(model, Mapping) else {"name": model}
    chosen = options.pop("name", None)
    if not isinstance(chosen, str):
        raise ParameterError("A federation builds its network by name: model= takes 'auto' or one of errata.models.")
    if len(given.classes) < 2:
        raise DataError(f"Expected at least 2 classes over all clients; {given.source} holds {given.classes}.")
    if not any(bool((codes >= 0).any()) for codes in given.codes):
        raise DataError(f"No client of {given.source} has a label; at least one needs some.")
    basis = bench if bench is not None else max(given.data, key=len)
    encoder: Any = room.encoder_for(basis, **room.tokenizer_of(chosen, basis)).fit(basis)
    name = MODELS[basis.kind] if chosen == "auto" else chosen
    if name.replace("-", "_") == "text_bag":
        options.setdefault("num_embeddings", encoder.vocabulary)
    network = models.build(name, len(given.classes), encoder.input_shape, seed=mixed_seed(seed, 1), **options)
    if network.spec is None:
        raise ParameterError(f"The model '{name}' can't be built again by name, as every client must.")
    kept = make_system(system, settings).settings()
    return Spec(system, kept, network.spec, encoder.spec(), list(given.classes), int(seed))


def server_share(bench: Any, spec: Spec) -> Share | None:
    """The server's labelled rows, encoded; None where there are none."""
    if bench is None:
        return None
    known = np.flatnonzero(bench.labels.codes >= 0)
    part = bench.subset(known)
    place = {str(c): i for i, c in enumerate(spec.classes)}
    strange = [c for c in part.labels.classes if str(c) not in place]
    if strange:
        raise UnknownNameError("class", strange[0], spec.classes, f"It stands in {bench.source}.")
    lookup = np.array([place[str(c)] for c in part.labels.classes], dtype=np.int64)
    x = spec.build_encoder().encode(part)
    if not isinstance(x, torch.Tensor):
        x = torch.stack([torch.as_tensor(x[i]) for i in range(len(x))])
    return Share(x, torch.from_numpy(lookup[part.labels.codes]), spec.views())


def split(rest: Mapping[str, Any], system: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell the options of ``errata.read`` from the system's hyper-parameters.

    Raises
    ------
    UnknownNameError
        for a name that is neither
    """
    from errata import systems
    from errata.data import read as read_one

    options = [p.name for p in inspect.signature(read_one).parameters.values() if p.kind is p.KEYWORD_ONLY]
    known = list(systems.load(system).hyperparameters())
    for name in rest:
        if name not in options and name not in known:
            hint = "A federation is trained for a number of rounds, of tau steps each." if name == "epochs" else ""
            raise UnknownNameError(f"option or hyper-parameter of '{system}'", name, [*known, *options], hint)
    return {k: v for k, v in rest.items() if k in options}, {k: v for k, v in rest.items() if k in known}


def claim(out: str | Path | None, resume: bool) -> Path | None:
    """Make the folder of a federation; see ``errata.storage.claim_folder``."""
    if out is None and resume:
        raise ParameterError("resume needs the folder of the earlier run: give out= (--out).")
    return claim_folder(out, resume, taken_by=(*FILES, CLIENTS))


def _path_of(given: Clients) -> str | None:
    found = given.data[0].origin.get("source_path")
    return str(found) if found is not None else None
