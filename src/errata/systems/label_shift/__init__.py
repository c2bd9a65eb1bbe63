"""Systems for data whose class proportions differ between domains."""

from __future__ import annotations

from errata.cards import Card

CARDS: list[Card] = [
    Card(
        slug="lls",
        name="Discriminate, Discretise, Factorise, Adjust (DDFA)",
        task="label_shift",
        changes=("target",),
        needs=("domains", "number of classes"),
        summary="finds classes without any label: what rises and falls together from domain to domain is one class",
        path=f"{__name__}.lls:LatentLabelShift",
        paper="Roberts et al., Unsupervised Learning under Latent Label Shift, NeurIPS 2022",
        year=2022,
        arxiv="2207.13179",
    )
]
