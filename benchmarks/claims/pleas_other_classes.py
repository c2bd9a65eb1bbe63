"""PLeaS and its baselines where each of the two networks knows five classes of its own; see ``pleas.py``."""

from __future__ import annotations

from _trials import Trials, main
from pleas import ARMS, SCORES, SETTINGS, WORDS, measure_on, verdicts

APART = Trials(
    "pleas-other-classes",
    says=f"{WORDS}; each knows its own five classes only, and their answers are put side by side",
    measure=measure_on(True),
    arms=list(ARMS),
    scores=SCORES,
    settings=SETTINGS,
)

if __name__ == "__main__":
    main((APART, verdicts()))
