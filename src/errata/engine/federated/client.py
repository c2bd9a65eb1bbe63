"""One client: its share of the data, its part in a round, and its own ledger, which never leaves it."""

from __future__ import annotations

import copy
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from errata.engine.checkpoints import load_tensors, save_tensors
from errata.engine.federated.spec import Spec
from errata.engine.randomness import isolated_randomness, mixed_seed
from errata.errors import DataError, LoadError
from errata.labels import MISSING
from errata.ledger import Ledger
from errata.parts import SampleMemory
from errata.parts.federated import ClientUpdate, Share, State, load_state, logits_of
from errata.storage import make_folder

__all__ = ["Client", "folder_names"]

MEMORY = re.compile(r"memory-(\d+)\.pt")
KEPT = 2  # memories, so that a round can be done again after the server was stopped in it


class Client:
    """A client of a federation.

    Parameters
    ----------
    name : told apart from the others by it
    spec : what the server says
    share : the encoded data
    rows : (n,) each row's number in the source
    origin : where the data came from, for the ledger
    folder : for its memory and its ledger; None keeps the memory in this object
    data : the data as read, where they are at hand, for the report's pictures
    device : where to compute

    Notes
    -----
    Its randomness comes from (seed, name, round): neither the order of clients nor the process they run in matters.
    """

    def __init__(
        self,
        name: str,
        spec: Spec,
        share: Share,
        *,
        rows: Any = None,
        origin: Mapping[str, Any] | None = None,
        folder: Path | None = None,
        data: Any = None,
        device: str | torch.device = "cpu",
    ) -> None:
        self.name = name
        self.spec = spec
        self.device = torch.device(device)
        self.share = Share(share.x.to(self.device), share.y.to(self.device), share.views.to(self.device))
        self.rows = np.arange(len(share.y)) if rows is None else np.asarray(rows)
        self.origin = dict(origin or {})
        self.folder = folder
        self.data = data
        self.system = spec.build_system()
        self.model = spec.build_model().to(self.device)
        n, classes = len(share.y), len(spec.classes)
        self.round = 0
        self.belief = SampleMemory(max(1, n), (classes,))
        self.visits = SampleMemory(max(1, n), dtype=torch.int32)
        self.passed = torch.zeros(n, dtype=torch.int32)
        self.local = torch.zeros(n, dtype=torch.int32)
        self.pseudo = torch.full((n,), MISSING, dtype=torch.int64)

    @classmethod
    def from_data(cls, name: str, spec: Spec, data: Any, **more: Any) -> Client:
        """A client of ``errata.data.Data`` whose labels are encoded by the federation's classes."""
        x = spec.build_encoder().encode(data)
        if not isinstance(x, Tensor):
            raise DataError(
                f"The images of client '{name}' don't fit into memory as they are; give image_size= (--image-size), so "
                "that they do."
            )
        y = torch.full((len(data),), MISSING) if data.labels is None else torch.as_tensor(np.array(data.labels.codes))
        share = Share(x, y.long(), spec.views())
        return cls(name, spec, share, rows=data.rows, origin=data.origin, data=data, **more)

    # -- rounds -------------------------------------------------------------------------------------------------------

    def fit(self, state: State, number: int) -> ClientUpdate:
        """Take part in a round: what may leave this client. ``evidence`` stays here and is emptied."""
        self._recall(number)
        seed = mixed_seed(self.spec.seed, zlib.crc32(self.name.encode()), number)
        load_state(self.model, {name: value.to(self.device) for name, value in state.items()})
        with isolated_randomness(seed):
            known = self._look()
            update = self.system.client_round(self.model, self.share, seed=seed, known=known)
        self._note(update.evidence)
        self._remember(number)
        update.metrics.update(self._figures(known))
        state = {name: value.cpu() for name, value in update.state.items()}
        return ClientUpdate(state, update.samples, update.metrics)

    def look(self, state: State, number: int) -> dict[str, float]:
        """Look at the final model: the last word on this client's rows; returns what may be told of all of them."""
        self._recall(number)
        load_state(self.model, {name: value.to(self.device) for name, value in state.items()})
        known = self._look()
        self._remember(number)
        return self._figures(known)

    def _look(self) -> Tensor:
        """The global model's logits of all rows, once a round; they also move what is believed of each row."""
        if not len(self.share.y):
            return torch.zeros(0, len(self.spec.classes), device=self.device)
        known = logits_of(self.model, self.share.x, self.share.views)
        self.belief.mean(torch.arange(len(known)), known.softmax(1).cpu(), self.visits)
        return known

    def _note(self, evidence: Mapping[str, Tensor]) -> None:
        if not evidence:
            return
        label, local = evidence["pseudo_label"].cpu(), evidence["is_local"].cpu()
        self.passed += (label != MISSING).int()
        self.local += (local == 1).int()
        self.pseudo = torch.where(local >= 0, label, self.pseudo)

    def _figures(self, known: Tensor) -> dict[str, float]:
        """Sums over the rows, none about a single one."""
        y = self.share.y
        own = y != MISSING
        probability = known.softmax(1)[own].gather(1, y[own][:, None])[:, 0]
        return {
            "rows": float(len(y)),
            "labelled": float(own.sum()),
            "label_agreement": float((known.argmax(1)[own] == y[own]).sum()),
            "label_trust": float(probability.sum()),
        }

    # -- memory -------------------------------------------------------------------------------------------------------

    def _remember(self, number: int) -> None:
        self.round = number
        if self.folder is None:
            return
        save_tensors(self._state() | {"round": number}, make_folder(self.folder) / f"memory-{number:06d}.pt")
        for old in sorted(self._memories())[:-KEPT]:
            self._memories()[old].unlink(missing_ok=True)

    def _memories(self) -> dict[int, Path]:
        if self.folder is None or not self.folder.is_dir():
            return {}
        found = {MEMORY.fullmatch(p.name): p for p in self.folder.iterdir()}
        return {int(match.group(1)): p for match, p in found.items() if match}

    def _recall(self, number: int | None = None) -> None:
        """Go back to what was known before round ``number``: a round that is done again counts once."""
        kept = {n: p for n, p in self._memories().items() if number is None or n < number}
        if kept and max(kept) != self.round:
            self._restore(load_tensors(kept[max(kept)]))
        elif not kept and number is not None and self.round >= number:
            self.belief, self.visits = (
                SampleMemory(*_like(self.belief)),
                SampleMemory(*_like(self.visits), None, torch.int32),
            )
            self.round = 0
            self.passed.zero_()
            self.local.zero_()
            self.pseudo.fill_(MISSING)

    def recall(self) -> Client:
        """Load the latest memory of the folder."""
        self._recall()
        return self

    def _state(self) -> dict[str, Any]:
        tensors = {"belief": self.belief.values, "visits": self.visits.values}
        tensors |= {"passed": self.passed, "local": self.local, "pseudo": self.pseudo}
        return {name: copy.deepcopy(value) for name, value in tensors.items()}

    def _restore(self, kept: dict[str, Any]) -> None:
        if kept["belief"].shape != self.belief.values.shape or len(kept["pseudo"]) != len(self.pseudo):
            raise LoadError(
                f"The memory in {self.folder} is of other data: {tuple(kept['belief'].shape)} there, "
                f"{tuple(self.belief.values.shape)} here. Join with the same data, or choose another folder."
            )
        everyone = torch.arange(len(self.belief.values))
        self.belief.write(everyone, kept["belief"])
        self.visits.write(everyone, kept["visits"])
        self.passed, self.local, self.pseudo = kept["passed"], kept["local"], kept["pseudo"]
        self.round = int(kept["round"])

    # -- the ledger ---------------------------------------------------------------------------------------------------

    def ledger(self) -> Ledger:
        """A row per sample of this client: what the global models of its rounds believed of it, on the mean.

        Columns: ``passed`` and ``by_local``, in how many rounds an unlabelled row got a pseudo-label, and how often the
        client's own model was chosen for it; ``pseudo_label``, the last one.
        """
        n = len(self.share.y)
        y = self.share.y.cpu().numpy()
        belief = self.belief.values[:n].numpy()
        seen = self.visits.values[:n].numpy() > 0
        own = np.take_along_axis(belief, np.maximum(y, 0)[:, None], 1)[:, 0] if n else np.zeros(0, dtype=np.float32)
        trust = np.where((y != MISSING) & seen, np.clip(own, 0, 1), np.nan)
        proposed = np.where(seen, belief.argmax(1), y) if n else y
        names = np.array([*map(str, self.spec.classes), ""], dtype=object)
        columns: dict[str, Any] = {"client": np.full(n, self.name)}
        if bool((self.pseudo != MISSING).any()) or bool(self.local.any()):
            columns |= {"passed": self.passed.numpy(), "by_local": self.local.numpy()}
            columns["pseudo_label"] = names[self.pseudo.numpy()].astype(str)
        meta = {
            **self.origin,
            "task": "federated",
            "method": self.spec.system,
            "system": self.spec.system,
            "client": self.name,
            "rounds": self.round,
            "hyperparameters": self.spec.settings,
            "seed": self.spec.seed,
        }
        ledger = Ledger(y, proposed, trust, classes=self.spec.classes, columns=columns, index=self.rows, meta=meta)
        ledger.data = self.data
        return ledger

    def save_ledger(self, report: bool = True) -> Path | None:
        """Write the ledger into the client's folder."""
        return None if self.folder is None else self.ledger().save(self.folder, report=report)


def _like(memory: SampleMemory) -> tuple[int, tuple[int, ...]]:
    return memory.num_samples, memory.shape


def folder_names(names: Sequence[str]) -> list[str]:
    """A folder's name for each client, safe on any disk, all different.

    Examples
    --------
    >>> folder_names(["Köln", "a/b", "a b", ".."])
    ['Köln', 'a_b', 'a_b-2', 'client']
    """
    found: list[str] = []
    taken: set[str] = set()
    for name in names:
        stem = re.sub(r"[^\w.-]+", "_", name).strip("._ ")[:80] or "client"
        own, i = stem, 1
        while own.casefold() in taken:
            i += 1
            own = f"{stem}-{i}"
        taken.add(own.casefold())
        found.append(own)
    return found
