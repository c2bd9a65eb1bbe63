"""Data that belong to several clients: a folder for each, a column that names them, or one set dealt out.

Dealing out simulates clients, and is called so: each class goes to the clients in shares drawn from a Dirichlet
distribution (Hsu et al. 2019, arXiv 1909.06335), the smaller its ``alpha`` the more uneven. A row without a label is an
unlabelled sample of its client.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from errata.data.data import Data
from errata.data.huggingface import is_saved_dataset
from errata.data.reading import ENDINGS, read
from errata.errors import DataError, ParameterError, UnknownNameError
from errata.labels import MISSING, ClassLabels

__all__ = [
    "Clients",
    "by_classes",
    "client_folders",
    "deal_out",
    "dirichlet_partition",
    "hide_labels",
    "one_place",
    "read_clients",
]

UNLABELLED = frozenset({"unlabelled", "unlabeled"})
"""Classes of these names are no classes: their rows have no label."""


@dataclass
class Clients:
    """The data of every client, with one list of classes.

    Attributes
    ----------
    names : (M,) the clients' names
    data : (M,) Data of each, their labels encoded by ``classes``; -1 where a row has none
    classes : the K class names
    source : where they came from
    simulated : whether one set was dealt out
    test : labelled rows kept at the server, in no client's data; None where there are none
    notes : how it was read, in sentences
    """

    names: list[str]
    data: list[Data]
    classes: list[Any]
    source: str
    simulated: bool = False
    test: Data | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        rows, labelled = sum(map(len, self.data)), sum(int((codes >= 0).sum()) for codes in self.codes)
        return f"<Clients: {len(self)} with {rows:,} rows, {labelled:,} labelled, {len(self.classes)} classes>"

    @property
    def codes(self) -> list[np.ndarray]:
        """Each client's labels, -1 where a row has none."""
        return [d.labels.codes if d.labels is not None else np.full(len(d), MISSING) for d in self.data]

    @property
    def kind(self) -> str:
        """Of the data: tabular, text or image."""
        return self.data[0].kind

    def describe(self) -> list[str]:
        """How the data were read, in plain sentences."""
        rows, known = [len(d) for d in self.data], [int((codes >= 0).sum()) for codes in self.codes]
        lines = list(self.notes)
        lines.append(
            f"{len(self)} {'simulated ' if self.simulated else ''}clients with {min(rows):,} to {max(rows):,} rows, "
            f"{sum(rows):,} in all; {sum(known):,} of these have a label, {min(known):,} to {max(known):,} per client."
        )
        if self.test is not None:
            lines.append(f"{len(self.test):,} labelled rows stay at the server to measure on.")
        return lines


def read_clients(
    source: Any,
    label: Any = None,
    *,
    clients: int | Sequence[Any] | None = None,
    client_column: str | None = None,
    alpha: float | None = 0.1,
    labelled: float | None = None,
    test_share: float = 0.0,
    seed: int = 0,
    classes: Sequence[Any] | None = None,
    **reading: Any,
) -> Clients:
    """Read the data of several clients.

    Parameters
    ----------
    source : what ``errata.read`` takes, with ``clients`` or ``client_column``; else a folder with a folder, or a
        file, for each client; or a mapping from their names to what ``errata.read`` takes
    label : the label's column; rows without a label are unlabelled samples, and so is the class "unlabelled"
    clients : how many clients to deal the rows out to; or the name of each row's client, (N,)
    client_column : the column that names each row's client; it is not learned from
    alpha : above 0, evenness of the dealing; None spreads all classes evenly
    labelled : keep only this share of each client's labels, drawn at random; the others are hidden. None keeps all
    test_share : in [0, 1), of the labelled rows that stay at the server; of one source only
    seed : of what is drawn
    classes, reading : see ``errata.read``

    Raises
    ------
    DataError
        where there are no clients to be found, or their data don't go together

    Examples
    --------
    >>> x, y = np.zeros((60, 2)), np.arange(60) % 3
    >>> read_clients(x, y, clients=4, labelled=0.5)
    <Clients: 4 with 60 rows, 32 labelled, 3 classes>
    """
    if labelled is not None and not 0 <= labelled <= 1:
        raise ParameterError(f"labelled is a share of each client's labels, in [0, 1]; got {labelled!r}.")
    if not 0 <= test_share < 1:
        raise ParameterError(f"test_share must lie in [0, 1); got {test_share!r}.")
    if clients is not None and client_column is not None:
        raise ParameterError("Give clients (rows are dealt out) or client_column (rows have an owner), not both.")
    if clients is None and client_column is None:
        found = _from_places(_places(source), label, classes, str(_shown(source)), reading)
    else:
        found = _from_one(source, label, clients, client_column, alpha, test_share, seed, classes, reading)
    return found if labelled is None else hide_labels(found, labelled, seed)


# -- one source -------------------------------------------------------------------------------------------------------


def _from_one(
    source: Any,
    label: Any,
    clients: Any,
    column: str | None,
    alpha: float | None,
    test_share: float,
    seed: int,
    classes: Sequence[Any] | None,
    reading: dict[str, Any],
) -> Clients:
    if column is not None:
        reading = {**reading, "kinds": {**(reading.get("kinds") or {}), column: "ignored"}}
    data = _without_unlabelled(read(source, label, classes=classes, **reading))
    if column is not None:  # other data, such as the server's, need not have it
        kinds = {name: kind for name, kind in data.reading.get("kinds", {}).items() if name != column}
        data.reading = (
            {**data.reading, "kinds": kinds} if kinds else {k: v for k, v in data.reading.items() if k != "kinds"}
        )
    if data.labels is None:
        raise DataError(f"{data.source} has no labels; name their column with label=. Rows without one are welcome.")
    rng = np.random.default_rng([seed, 0x7E57])
    known = rng.permutation(np.flatnonzero(data.labels.codes >= 0))
    held = np.sort(known[: round(len(known) * test_share)])
    kept = np.setdiff1d(np.arange(len(data)), held, assume_unique=True)
    if column is None and isinstance(clients, (int, np.integer)):
        owners = deal_out(data.labels.codes[kept], int(clients), alpha, seed)
        names = [f"client-{i + 1:0{len(str(clients))}d}" for i in range(int(clients))]
    else:
        given = _owners(data, column) if column is not None else np.asarray(clients, dtype=object).astype(str)
        if len(given) != len(data):
            raise DataError(f"Expected the name of a client for each of {len(data):,} rows; got {len(given):,}.")
        found, owners = np.unique(given[kept], return_inverse=True)
        names = found.tolist()
    parts = [data.subset(kept[owners == i]) for i in range(len(names))]
    test = data.subset(held) if len(held) else None
    simulated = column is None and isinstance(clients, (int, np.integer))
    return Clients(names, parts, data.labels.classes, data.source, simulated, test, data.describe())


def _owners(data: Data, column: str) -> np.ndarray:
    values = data.column(column).to_numpy(zero_copy_only=False)[data.rows]
    empty = [i for i, v in enumerate(values.tolist()) if v is None or v != v or str(v).strip() == ""]
    if empty:
        raise DataError(
            f"'{column}' of {data.source} names no client in {len(empty):,} rows, the first of them row "
            f"{int(data.rows[empty[0]])}. Fill it, or leave those rows out."
        )
    return np.array([str(v) for v in values.tolist()], dtype=object)


def deal_out(codes: np.ndarray, clients: int, alpha: float | None, seed: int) -> np.ndarray:
    """(N,) the number of the client that gets each row; see ``dirichlet_partition``. Every client gets two or more."""
    if clients < 1:
        raise ParameterError(f"clients must be 1 or more; got {clients}.")
    if len(codes) < 2 * clients:
        raise DataError(f"{len(codes):,} rows are too few for {clients} clients of two rows or more. Take fewer.")
    return dirichlet_partition(codes, clients, alpha, seed)


def dirichlet_partition(
    codes: np.ndarray, clients: int, alpha: float | None = 0.1, seed: int = 0, least: int = 2
) -> np.ndarray:
    """Deal rows out so that classes are uneven over clients: each class in shares from Dirichlet(alpha).

    Parameters
    ----------
    codes : (N,) labels; rows of -1 are spread evenly
    clients : M >= 1
    alpha : above 0; None spreads every class evenly
    least : rows that every client gets at least; those with fewer take some of the client with most

    Returns
    -------
    (N,) int64 in [0, M)

    Examples
    --------
    >>> owners = dirichlet_partition(np.repeat([0, 1], 50), clients=4, alpha=0.1, seed=1)
    >>> np.bincount(owners).sum().item(), len(set(owners.tolist()))
    (100, 4)
    """
    if alpha is not None and not alpha > 0:
        raise ParameterError(f"alpha must be above 0, or None for an even spread; got {alpha!r}.")
    rng = np.random.default_rng([seed, 0xD1])
    owners = np.empty(len(codes), dtype=np.int64)
    for k in np.unique(codes):
        rows = rng.permutation(np.flatnonzero(codes == k))
        if alpha is None or k == MISSING:
            owners[rows] = (np.arange(len(rows)) + rng.integers(clients)) % clients
        else:
            ends = np.cumsum(rng.dirichlet(np.full(clients, alpha)))[:-1] * len(rows)
            owners[rows] = np.searchsorted(ends, np.arange(len(rows)), side="right")
    counts = np.bincount(owners, minlength=clients)
    while counts.min() < least:
        poor, rich = int(counts.argmin()), int(counts.argmax())
        moved = rng.choice(np.flatnonzero(owners == rich), size=min(least, counts[rich] // 2), replace=False)
        owners[moved] = poor
        counts = np.bincount(owners, minlength=clients)
    return owners


def hide_labels(found: Clients, share: float, seed: int) -> Clients:
    """Keep ``share`` of each client's labels, one at least, drawn at random; this simulates few labels."""
    parts = []
    for i, (data, codes) in enumerate(zip(found.data, found.codes)):
        rng = np.random.default_rng([seed, 0x1AB, i])
        rows = rng.permutation(np.flatnonzero(codes >= 0))
        kept = rows[: int(np.ceil(len(rows) * share))]
        new = np.full(len(codes), MISSING, dtype=np.int64)
        new[kept] = codes[kept]
        parts.append(data.with_labels(ClassLabels(new, found.classes), name=data.label_name or "label"))
    note = f"{share:.0%} of each client's labels were kept; the others are hidden, to simulate few labels."
    return Clients(found.names, parts, found.classes, found.source, found.simulated, found.test, [*found.notes, note])


# -- a place for each client ------------------------------------------------------------------------------------------


def client_folders(folder: Path) -> dict[str, Path]:
    """The places of clients below a folder: tables, or folders that hold one table, a data set, or folders of classes.

    Empty where ``folder`` holds none, and where it is a folder of images by class or a saved data set itself.
    """
    if not folder.is_dir() or is_saved_dataset(folder):
        return {}
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith((".", "_")))
    tables = [p for p in inside if p.is_file() and p.name.lower().removesuffix(".gz").endswith(ENDINGS)]
    if tables:
        return {_stem(p): p for p in tables}
    found: dict[str, Path] = {}
    for place in (p for p in inside if p.is_dir()):
        within = [p for p in place.iterdir() if not p.name.startswith(".")]
        own = [p for p in within if p.is_file() and p.name.lower().removesuffix(".gz").endswith(ENDINGS)]
        if len(own) == 1 and not any(p.is_dir() for p in within):
            found[place.name] = own[0]
        elif is_saved_dataset(place) or any(p.is_dir() for p in within):
            found[place.name] = place
    return found


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name[: -len(Path(name).suffix)]


def _places(source: Any) -> dict[str, Any]:
    if isinstance(source, Mapping) and source:
        return {str(name): value for name, value in source.items()}
    if isinstance(source, (str, os.PathLike)):
        folder = Path(source).expanduser()
        found = client_folders(folder)
        if found:
            return dict(found)
        if folder.is_dir() or folder.exists():
            raise DataError(
                f"{folder} is not a folder of clients (one folder or table for each, {folder.name}/<client>/...). Say "
                "whose the rows are with client_column=, or how many clients to simulate with clients=."
            )
        raise DataError(f"There is no file or folder {folder}.")
    raise DataError("Say whose the rows are with client_column=, or how many clients to simulate with clients=.")


def _from_places(
    places: Mapping[str, Any], label: Any, classes: Sequence[Any] | None, source: str, reading: dict[str, Any]
) -> Clients:
    read_in = {name: one_place(place, label, reading) for name, place in places.items()}
    kinds = {d.kind for d in read_in.values()}
    if len(kinds) > 1:
        told = ", ".join(f"{name}: {d.kind}" for name, d in list(read_in.items())[:4])
        raise DataError(f"The clients of {source} hold data of different kinds ({told}); all must be of one.")
    if classes is None:
        every = [c for d in read_in.values() if d.labels is not None for c in d.labels.classes]
        if not every:
            raise DataError(f"No client of {source} has a label; at least one needs some.")
        classes = ClassLabels.encode(np.array(every, dtype=object), name="label").classes
    data = [by_classes(d, list(classes)) for d in read_in.values()]
    notes = [f"{source}: a folder of clients, {', '.join(list(places)[:8])}{' ...' if len(places) > 8 else ''}."]
    return Clients(list(places), data, list(classes), source, notes=notes)


def one_place(place: Any, label: Any, reading: dict[str, Any]) -> Data:
    """Read one client's data; where the column of the labels is not there, all its rows are without one.

    Parameters
    ----------
    place, label : see ``errata.read``
    reading : options of it
    """
    try:
        return _without_unlabelled(read(place, label, **reading))
    except UnknownNameError as error:
        bare = read(place, False, **reading)
        if not isinstance(label, str) or label in {c.name for c in bare.columns} or error.suggestion is not None:
            raise
        return bare  # a client that has no labels needs no column for them
    except DataError as error:
        if not isinstance(label, str) or "holds no label at all" not in str(error):
            raise
        return read(place, False, **{**reading, "kinds": {**(reading.get("kinds") or {}), label: "ignored"}})


def by_classes(data: Data, classes: list[Any]) -> Data:
    """The same rows, their labels encoded by a federation's classes.

    Raises
    ------
    UnknownNameError
        where a label is none of them
    """
    if data.labels is None:
        return data.with_labels(ClassLabels(np.full(len(data), MISSING, dtype=np.int64), classes))
    place = {str(c): i for i, c in enumerate(classes)}
    lookup = np.full(len(data.labels.classes) + 1, MISSING, dtype=np.int64)
    for i, name in enumerate(data.labels.classes):
        if str(name) not in place:
            raise UnknownNameError("class", name, classes, f"It stands in {data.source}.")
        lookup[i] = place[str(name)]
    return data.with_labels(ClassLabels(lookup[data.labels.codes], classes), name=data.label_name or "label")


def _without_unlabelled(data: Data) -> Data:
    if data.labels is None:
        return data
    bare = [i for i, c in enumerate(data.labels.classes) if str(c).strip().casefold() in UNLABELLED]
    if not bare:
        return data
    kept = [i for i in range(len(data.labels.classes)) if i not in bare]
    lookup = np.full(len(data.labels.classes) + 1, MISSING, dtype=np.int64)
    lookup[kept] = np.arange(len(kept))
    labels = ClassLabels(lookup[data.labels.codes], [data.labels.classes[i] for i in kept])
    return data.with_labels(labels, name=data.label_name or "label") if kept else _bare(data)


def _bare(data: Data) -> Data:
    """The same rows without labels."""
    return data._copy(None)


def _shown(source: Any) -> Any:
    return source if isinstance(source, (str, os.PathLike)) else "the clients"
