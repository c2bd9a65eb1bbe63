"""The server's side of a federation, whatever carries the messages: the global model, rounds, figures, checkpoints."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from errata.engine.checkpoints import load_tensors, save_tensors
from errata.engine.evaluation import scores
from errata.engine.federated.spec import Spec
from errata.errors import DataError, LoadError, ParameterError
from errata.parts.federated import ClientUpdate, Share, State, floating_state, load_state, logits_of

__all__ = ["Federation", "finite", "size_of"]

CHECKPOINT = Path("checkpoints") / "last.pt"
SUMS = ("rows", "labelled", "unlabelled", "passing", "chose_local", "agreeing", "label_agreement", "label_trust")


class Federation:
    """The global model and what is known of its rounds.

    Parameters
    ----------
    spec : the common ground
    rounds : how many there are to be
    fraction : of the clients that take part in a round, in (0, 1]
    test : labelled data at the server, to measure every round on
    folder : for checkpoints; None keeps none
    tell : called with the record of each finished round
    device : where to measure
    """

    def __init__(
        self,
        spec: Spec,
        *,
        rounds: int,
        fraction: float = 1.0,
        test: Share | None = None,
        folder: Path | None = None,
        tell: Callable[[dict[str, Any]], None] | None = None,
        device: str | torch.device = "cpu",
    ) -> None:
        if int(rounds) != rounds or rounds < 1:
            raise ParameterError(f"rounds must be a whole number, 1 or more; got {rounds!r}.")
        if not 0 < fraction <= 1:
            raise ParameterError(f"fraction is the share of clients in a round, in (0, 1]; got {fraction!r}.")
        self.spec = spec
        self.rounds = int(rounds)
        self.fraction = fraction
        self.test = None if test is None or not len(test.y) else test
        self.folder = folder
        self.tell = tell
        self.device = torch.device(device)
        self.system = spec.build_system()
        self.model = spec.build_model().to(self.device)
        self.state: State = {name: value.cpu() for name, value in floating_state(self.model).items()}
        self.names = list(self.state)
        self.round = 0
        self.history: list[dict[str, Any]] = []
        self.reports: dict[str, dict[str, float]] = {}
        self._started = time.perf_counter()

    # -- rounds -------------------------------------------------------------------------------------------------------

    def choose(self, number: int, names: Sequence[str]) -> list[str]:
        """The clients of a round: ``fraction`` of those there, one at least, drawn from (seed, round) alone."""
        known = sorted(names)
        count = max(1, round(self.fraction * len(known)))
        rng = np.random.default_rng([self.spec.seed, number, 0xFED])
        return sorted(rng.choice(known, size=count, replace=False).tolist()) if known else []

    def begin(self) -> None:
        """Start the clock of a round."""
        self._started = time.perf_counter()

    def aggregate(self, updates: Mapping[str, ClientUpdate]) -> State:
        """The system's rule on what came back, in the order of the clients' names."""
        return self.system.update(self.state, [updates[name] for name in sorted(updates)])

    def finish(
        self,
        number: int,
        state: State | None,
        told: Mapping[str, Mapping[str, float]],
        *,
        failed: int = 0,
        bytes_up: float = 0.0,
        bytes_down: float = 0.0,
    ) -> dict[str, Any]:
        """Take over the new state (None: nothing usable came back), measure it, note the round, write a checkpoint.

        Parameters
        ----------
        told : the clients' figures by name, with "samples", r_k
        failed : clients that were chosen and gave nothing usable
        bytes_up, bytes_down : per client, of weights and figures
        """
        if state is not None:
            self.state = state
        self.round = number
        self.reports.update({name: dict(figures) for name, figures in told.items()})
        record: dict[str, Any] = {"round": number, "clients": len(told), "failed": failed}
        record |= _figures(list(told.values()))
        record |= {f"test_{name}": value for name, value in self.measure().items() if name != "rows"}
        record |= {"bytes_up": round(bytes_up), "bytes_down": round(bytes_down)}
        record["seconds"] = time.perf_counter() - self._started
        self.history.append(record)
        self.save()
        if self.tell is not None:
            self.tell(record)
        return record

    def measure(self) -> dict[str, float]:
        """The global model on the server's test data; empty where there are none."""
        load_state(self.model, self.state)
        if self.test is None:
            return {}
        logits = logits_of(self.model, self.test.x.to(self.device), self.test.views.to(self.device))
        return scores(self.test.y.numpy(), logits.softmax(1).cpu().numpy())

    # -- the travelling form ------------------------------------------------------------------------------------------

    def arrays(self) -> list[np.ndarray]:
        """The global state as arrays, in the order of ``names``."""
        return [self.state[name].numpy() for name in self.names]

    def from_arrays(self, arrays: Sequence[np.ndarray]) -> State:
        """Arrays in the order of ``names`` as a state of the right types.

        Raises
        ------
        DataError
            where they are not this model's
        """
        shapes = [tuple(np.shape(a)) for a in arrays]
        if shapes != [tuple(self.state[name].shape) for name in self.names]:
            raise DataError(f"Weights of another model came back: {shapes[:3]}.")
        return {name: torch.from_numpy(np.array(a)).to(self.state[name].dtype) for name, a in zip(self.names, arrays)}

    # -- checkpoints --------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write the checkpoint of the last round, whole or not at all."""
        if self.folder is not None:
            about = {"spec": self.spec.to_json(), "history": self.history, "reports": self.reports}
            content = {"round": self.round, "state": self.state, "about": json.dumps(about)}
            save_tensors(content, self.folder / CHECKPOINT)

    def resume(self) -> bool:
        """Go on from the checkpoint, where there is one.

        Raises
        ------
        LoadError
            where it is of another federation: another system, network, encoding, other classes or another seed
        """
        if self.folder is None or not (self.folder / CHECKPOINT).exists():
            return False
        content = load_tensors(self.folder / CHECKPOINT)
        if not isinstance(content, dict) or not {"round", "state", "about"} <= set(content):
            raise LoadError(f"{self.folder / CHECKPOINT} is not a federation's checkpoint.")
        about = json.loads(content["about"])
        before, now = json.loads(about["spec"]), json.loads(self.spec.to_json())
        other = [name for name in now if before.get(name) != now[name]]
        if other:
            raise LoadError(
                f"The checkpoint in {self.folder} belongs to another federation: {', '.join(other)} differ. "
                "Resume with the same data and settings, or choose another folder."
            )
        self.state, self.round = content["state"], int(content["round"])
        self.history, self.reports = about["history"], about["reports"]
        load_state(self.model, self.state)
        return True


def _figures(told: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """A round's figures over its clients: sums, the shares that follow from them, and mean losses."""
    total = {name: sum(float(one.get(name, 0.0)) for one in told) for name in SUMS}

    def share(part: str, whole: str) -> float | None:
        return total[part] / total[whole] if total[whole] > 0 else None

    found: dict[str, Any] = {
        "samples": sum(float(one.get("samples", 0.0)) for one in told),
        "labelled": total["labelled"],
        "unlabelled": total["unlabelled"],
        "pass_rate": share("passing", "unlabelled"),
        "local_share": share("chose_local", "unlabelled"),
        "agreeing_share": share("agreeing", "passing"),
        "label_agreement": share("label_agreement", "labelled"),
    }
    for name in ("labelled_loss", "unlabelled_loss"):
        values = [float(one[name]) for one in told if name in one]
        found[name] = sum(values) / len(values) if values else None
    return found


def finite(state: Mapping[str, torch.Tensor]) -> bool:
    """Whether a client's weights can be used at all: a diverged client must not spoil the mean."""
    return all(bool(value.isfinite().all()) for value in state.values())


def size_of(state: Mapping[str, torch.Tensor]) -> int:
    """Bytes of the bare numbers."""
    return sum(value.numel() * value.element_size() for value in state.values())
