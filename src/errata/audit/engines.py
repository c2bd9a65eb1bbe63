"""Where the shards of a large audit are worked on: here, one after the other, or on a Ray cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from errata._lazy import optional
from errata.errors import UnknownNameError

__all__ = ["ENGINES", "Engine", "Here", "OnRay", "engine_named"]


class Engine(Protocol):
    """Applies a function to every item and gives the results in the items' order."""

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """Yield ``function(item)`` for every item; the function must be repeatable, as a lost worker's item is."""


class Here:
    """In this process, one item after the other.

    Examples
    --------
    >>> list(Here().map(abs, [-1, 2]))
    [1, 2]
    """

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """See ``Engine``."""
        yield from map(function, items)


class OnRay:
    """By Ray Data, on the cluster that RAY_ADDRESS names, or else on this machine's cores.

    An item whose worker dies is given to another worker, three times at most.

    Raises
    ------
    MissingExtraError
        where Ray is not installed
    """

    def __init__(self) -> None:
        self._ray = optional("ray", "scale", "engine='ray'")
        optional("ray.data", "scale", "engine='ray'")
        if not self._ray.is_initialized():
            self._ray.init(ignore_reinit_error=True, log_to_driver=False, include_dashboard=False)
        context = self._ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True

    def map(self, function: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        """See ``Engine``; results come back as pickles of this program's own making."""
        ray, cloudpickle = self._ray, self._ray.cloudpickle
        work = ray.put((function, list(items)))

        def one(row: dict[str, Any]) -> dict[str, Any]:
            own, all_items = ray.get(work)
            return {"place": row["place"], "result": cloudpickle.dumps(own(all_items[row["place"]]))}

        places = [{"place": place} for place in range(len(items))]
        done = ray.data.from_items(places, override_num_blocks=max(1, len(places))).map(one)
        results = {int(row["place"]): row["result"] for row in done.iter_rows()}
        for place in range(len(items)):
            yield cloudpickle.loads(results.pop(place))


ENGINES: dict[str, Callable[[], Engine]] = {"here": Here, "ray": OnRay}


def engine_named(name: str) -> Engine:
    """Return the engine of this name.

    Examples
    --------
    >>> type(engine_named("here")).__name__
    'Here'
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    return ENGINES[name]()
