"""Token ids of transformers' models."""

from __future__ import annotations

import pytest

from errata.data import encoder_for, encoder_from_spec, read
from errata.errors import MissingExtraError, ParameterError

TEXTS = ["good film", "bad", "good good good bad"]


def test_without_transformers_the_extra_is_named():
    try:
        import transformers  # noqa: F401
    except ImportError:
        data = read(TEXTS)
        with pytest.raises(MissingExtraError, match=r"errata\[text\]"):
            encoder_for(data, tokenizer="some-bert").fit(data).encode(data)
    else:
        pytest.skip("transformers is installed")


def test_texts_become_the_tokenizers_ids(tmp_path):
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    tokenizers = pytest.importorskip("tokenizers", reason="needs tokenizers")
    words = {"[PAD]": 0, "[UNK]": 1, "good": 2, "bad": 3, "film": 4}
    plain = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, unk_token="[UNK]", pad_token="[PAD]")
    wrapped.save_pretrained(tmp_path)
    data = read(TEXTS)
    encoder = encoder_for(data, tokenizer=str(tmp_path), max_len=3).fit(data)
    assert encoder.encode(data).tolist() == [[2, 4, 0], [3, 0, 0], [2, 2, 2]]
    again = encoder_from_spec(encoder.spec())
    assert again.encode(data.subset([1])).tolist() == [[3]]


def test_options_out_of_range_are_told():
    with pytest.raises(ParameterError, match="max_len"):
        encoder_for(read(TEXTS), tokenizer="x", max_len=0)
    with pytest.raises(ParameterError, match="tokenizer"):
        encoder_for(read([[1.0, 2.0]]), tokenizer="x")
