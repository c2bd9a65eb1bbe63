"""What all tests share: where the real data lie, and one thread per process so that timings and results are steady."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
from pathlib import Path

import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts background jobs with Ctrl-C ignored, and every process below inherits that; the tests that press
    # Ctrl-C in a process of their own need the default.
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parent.parent


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-dev-shm-usage"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="session")
def start_chromium(tmp_path_factory):
    """Starts a headless Chromium under selenium's driver; the test is skipped where either is missing."""
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs a browser: apt-get install chromium chromium-driver")
    pytest.importorskip("selenium", reason="needs selenium (extra 'dev') to drive the browser")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    def start():
        options = webdriver.ChromeOptions()
        options.binary_location = CHROMIUM
        for flag in (*QUIET, "--window-size=1200,900", f"--user-data-dir={tmp_path_factory.mktemp('chromium')}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        return webdriver.Chrome(options=options, service=Service(DRIVER))

    return start


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets: ``ERRATA_DATA``, else ``../shared/data``; the test is skipped without it."""
    folder = Path(os.environ.get("ERRATA_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"needs the real data sets, and {folder} does not exist (set ERRATA_DATA to their folder)")
    return folder


def _usable(package):
    """Import an optional package; one that is there but does not fit the installed torch counts as missing."""
    try:
        return importlib.import_module(package)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"{package} cannot be imported here: {error}")


@pytest.fixture(scope="session")
def bert(tmp_path_factory):
    """A folder with a BERT of one layer, and a tokenizer that knows a few words."""
    transformers = _usable("transformers")
    tokenizers = _usable("tokenizers")
    folder = tmp_path_factory.mktemp("bert")
    config = transformers.BertConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, pad_token_id=1
    )
    import torch

    torch.manual_seed(0)
    transformers.BertModel(config).half().save_pretrained(folder)
    words = {"[UNK]": 0, "[PAD]": 1, "good": 2, "bad": 3, "film": 4}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]")
    wrapped.save_pretrained(folder)
    return folder
