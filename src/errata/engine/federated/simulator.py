"""The small simulator: every client in this process, one after the other; the same seed gives the same result."""

from __future__ import annotations

from collections.abc import Sequence

from errata.engine.federated.client import Client
from errata.engine.federated.federation import Federation, finite, size_of
from errata.parts.federated import ClientUpdate

__all__ = ["simulate"]

INTEGER = 8  # bytes of r_k


def simulate(federation: Federation, clients: Sequence[Client]) -> None:
    """Go through the rounds that are left, then let every client look at the final model.

    Parameters
    ----------
    federation : the server's side
    clients : all of them, with different names
    """
    by_name = {client.name: client for client in clients}
    down = size_of(federation.state)
    for number in range(federation.round + 1, federation.rounds + 1):
        federation.begin()
        chosen = federation.choose(number, list(by_name))
        updates: dict[str, ClientUpdate] = {}
        for name in chosen:
            update = by_name[name].fit(federation.state, number)
            if finite(update.state):
                updates[name] = update
        state = federation.aggregate(updates)
        told = {name: {"samples": float(u.samples), **u.metrics} for name, u in updates.items()}
        failed = len(chosen) - len(updates)
        federation.finish(number, state, told, failed=failed, bytes_up=down + INTEGER, bytes_down=down)
    for name, client in by_name.items():
        federation.reports.setdefault(name, {}).update(client.look(federation.state, federation.rounds + 1))
    federation.save()
