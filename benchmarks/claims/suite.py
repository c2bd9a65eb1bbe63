"""All systems in all settings, for the tables of the documentation: ``python benchmarks/claims/suite.py``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from claims._measure import CROSS_VALIDATED, Cells
from claims._settings import SETTINGS

SYSTEMS = ("ce", "gce", "ogc", "anl", "elr", "elr-plus", CROSS_VALIDATED)
HERE = [name for name in SETTINGS if not name.endswith("-full")]


def main() -> None:
    """Measure what is missing in the chosen settings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("settings", nargs="*", default=HERE, help=f"among {', '.join(SETTINGS)}")
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    for name in options.settings:
        cells = Cells(SETTINGS[name], device=options.device)
        for system in options.systems:
            cells.fill(system, options.seeds)


if __name__ == "__main__":
    main()
