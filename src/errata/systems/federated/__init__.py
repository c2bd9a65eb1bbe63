"""Systems that learn from data that stay with their owners."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="fedavg",
        name="Federated averaging of the labelled part",
        task="federated",
        changes=("model",),
        needs=("clients",),
        summary="the mean of models that clients train on their own labels; the baseline of federated claims",
        path=f"{__name__}.fedavg:FedAvg",
        paper="McMahan et al., Communication-Efficient Learning of Deep Networks from Decentralized Data, AISTATS 2017",
        year=2017,
        arxiv="1602.05629",
    ),
    Card(
        slug="fedlabel",
        name="FedLabel (selective knowledge assimilation)",
        task="federated",
        changes=("target", "model"),
        needs=("clients", "samples without labels"),
        summary="on each client the surer of two models, its own or the global one, labels the samples without labels",
        path=f"{__name__}.fedlabel:FedLabel",
        paper="Cho et al., Local or Global: Selective Knowledge Assimilation for Federated Learning with Limited "
        "Labels, ICCV 2023",
        year=2023,
        arxiv="2307.08809",
    ),
]
