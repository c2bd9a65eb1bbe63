"""What all tests share: where the real data lie, and one thread per process so that timings and results are steady."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs with Ctrl-C ignored, and every process below inherits that; the tests that press
    # Ctrl-C in a process of their own need the default.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: ``ERRATA_DATA``, else ``../shared/data``; the test is skipped without it."""
    folder = Path(os.environ.get("ERRATA_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets, and {folder} does not exist (set ERRATA_DATA to their folder)")
    return folder
