"""A claim: one sentence that can be false, and the command that measures it.

``python benchmarks/claims/elr.py`` measures what is missing, says whether the claim holds, and exits 1 where it does
not. The measurements of one setting lie in one file, ``benchmarks/results/claims-<setting>.json``: every seed of every
system, so that a baseline is trained once for all claims. ``--again`` measures anew; ``--device cuda --full`` takes the
paper's full setting.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from claims._measure import Cells
from claims._settings import SETTINGS


@dataclass(frozen=True)
class Claim:
    """What a system is said to do, where, against what, and by how much.

    Parameters
    ----------
    slug : the system, or a name of ``_measure.VARIANTS``
    says : the sentence
    data : the settings; the claim must hold on each
    against : the systems it is compared with
    margin : by how much its mean score must be above theirs, in points (0.01 of accuracy each); negative: may be below
    score : "last" (test accuracy of the last epoch), "chosen" (of the epoch chosen by noisy validation) or
        "average_precision" (of the ledger's trust against the truth)
    seeds : how many, 3 or more
    """

    slug: str
    says: str
    data: Sequence[str]
    against: Sequence[str] = ("ce",)
    margin: float = 0.0
    score: str = "last"
    seeds: int = 3

    def measure(
        self, *, again: bool = False, device: str = "auto", full: bool = False, seeds: int | None = None
    ) -> bool:
        """Measure what is missing and say whether the claim holds."""
        holds = True
        for name in self.data:
            setting = SETTINGS[f"{name}-full" if full and f"{name}-full" in SETTINGS else name]
            cells = Cells(setting, device=device)
            for system in (self.slug, *self.against):
                cells.fill(system, seeds or self.seeds, again=again and system == self.slug)
            for other in self.against:
                holds &= self._compare(cells, other, seeds or self.seeds)
        return holds

    def _compare(self, cells: Cells, other: str, seeds: int) -> bool:
        own = np.array(cells.scores(self.slug, self.score)[:seeds])
        base = np.array(cells.scores(other, self.score)[:seeds])
        gain = 100 * (own - base)
        holds = bool(gain.mean() >= self.margin)
        print(
            f"{cells.setting.name}: {self.slug} {100 * own.mean():.1f} ± {100 * own.std(ddof=1):.1f}, "
            f"{other} {100 * base.mean():.1f} ± {100 * base.std(ddof=1):.1f}; gain {gain.mean():+.1f} points over "
            f"{len(gain)} seeds ({(gain > 0).sum()} for it); asked {self.margin:+.1f}: "
            f"{'holds' if holds else 'DOES NOT HOLD'}"
        )
        return holds


def main(*claims: Claim) -> None:
    """Measure the claims of one file from the command line."""
    parser = argparse.ArgumentParser(description="\n".join(claim.says for claim in claims))
    parser.add_argument("--seeds", type=int, default=None, help="how many seeds (default: the claim's)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--full", action="store_true", help="the paper's full setting; needs a GPU to end today")
    parser.add_argument("--again", action="store_true", help="measure the claim's own system anew")
    options = parser.parse_args()
    if options.seeds is not None and options.seeds < 3:
        parser.error("a claim needs 3 seeds or more")
    results = []
    for claim in claims:
        print(f"Claim: {claim.says}")
        results.append(
            claim.measure(again=options.again, device=options.device, full=options.full, seeds=options.seeds)
        )
    sys.exit(0 if all(results) else 1)
