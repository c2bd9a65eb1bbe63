"""What all tests share: where the real data lie, and one thread per process so that timings and results are steady."""

from __future__ import annotations

import importlib
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
