"""PLeaS and its baselines where each of the two networks knows five classes of its own; see ``pleas.py``."""

from __future__ import annotations

from _trials import main
from pleas import SETTING

if __name__ == "__main__":
    main(SETTING.trials()[1])
