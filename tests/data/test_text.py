"""Texts as hashed words."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.data import TextEncoder, read
from errata.data.text import hash_texts, tokenize
from errata.errors import ParameterError

texts = st.lists(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20) | st.text("ab ,日", max_size=9), max_size=6
)


def bags(values, **options):
    offsets, ids = hash_texts(values, 2**30, **options)
    return [ids[a:b].tolist() for a, b in itertools.pairwise(offsets)]


@settings(deadline=None, max_examples=50)
@given(texts)
def test_a_text_is_hashed_the_same_whatever_stands_beside_it(values):
    together = bags(values, chars=(3, 4))
    assert together == [bags([value], chars=(3, 4))[0] for value in values]
    assert all(1 <= i <= 2**30 for bag in together for i in bag)


def test_words_and_pairs_come_in_the_order_of_the_text():
    (a,), (b,), (c,) = bags(["alpha", "beta", "gamma"])
    first, ab, second, bc, third = bags(["Alpha beta  gamma"])[0]
    assert [first, second, third] == [a, b, c]
    assert len({a, b, c, ab, bc}) == 5
    assert bags(["beta alpha"])[0][1] != ab
    assert bags(["alpha beta gamma"], ngrams=1) == [[a, b, c]]
    assert bags(["", "alpha", " "]) == [[], [a], []]


def test_tokens_of_many_scripts():
    offsets, codes, words = tokenize(["Don't STOP!!", "ＡＢ №5", "東京タワー", "Ψυχή ΨΥΧΉ", "हिन्दी", "a_b x\u00a0y"])
    tokens = [[words[c] for c in codes[i:j]] for i, j in itertools.pairwise(offsets)]
    assert tokens[0] == ["don't", "stop", "!", "!"]
    assert tokens[1] == ["ab", "no5"]
    assert tokens[2][:2] == ["東", "京"]
    assert tokens[3][0] == tokens[3][1]
    assert tokens[4] == ["हिन्दी"]
    assert tokens[5] == ["a_b", "x", "y"]


def test_pieces_of_words_make_misspellings_alike():
    def likeness(chars):
        one, other = (set(bag) for bag in bags(["unbelievable", "unbeleivable"], chars=chars))
        return len(one & other) / len(one | other)

    assert likeness(None) == 0
    assert likeness((3, 4)) > 0.3


def test_hashes_are_the_same_in_every_process_and_release():
    """Saved models depend on them."""
    assert hash_texts(["good film"], 10**6)[1].tolist() == [788488, 159714, 580737]
    pieces = [880235, 205800, 928717, 741406, 237607, 513507, 928717, 433154, 237607]
    assert hash_texts(["日本"], 10**6, chars=(1, 1))[1].tolist() == pieces


def test_rows_are_filled_with_zero_and_cut_at_the_end():
    data = read(["one two three four", "one", "", "five six"])
    encoder = TextEncoder(max_len=3, buckets=500).fit(data)
    x = encoder.encode(data)
    assert (x.shape, x.dtype, encoder.vocabulary) == ((4, 3), torch.int32, 501)
    assert x[2].tolist() == [0, 0, 0]
    assert x[1].tolist() == [x[0, 0], 0, 0]
    assert (x[0] > 0).all()
    assert x.max() <= 500


def test_length_and_buckets_are_chosen_from_the_training_texts():
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(3000)]
    short = [" ".join(rng.choice(words, 5)) for _ in range(999)]
    data = read([*short, " ".join(rng.choice(words, 400))])
    encoder = TextEncoder().fit(data)
    assert encoder.length == 9  # five words and four pairs; the one long text is cut
    assert encoder.size == 8192
    assert TextEncoder().fit(read(["a", "b"])).size == 4096
    assert TextEncoder().fit(read([" ".join(words)] * 3)).length == 512


@pytest.mark.parametrize("options", [{"buckets": 1}, {"ngrams": 3}, {"chars": (4, 3)}, {"max_len": 0}])
def test_options_out_of_range_are_told(options):
    with pytest.raises(ParameterError, match=next(iter(options))):
        TextEncoder(**options)


def test_many_short_texts_are_encoded_fast():
    rng = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(20_000)])
    many = [" ".join(row) for row in words[rng.integers(0, len(words), (20_000, 10))]]
    data = read(many)
    start = time.process_time()
    TextEncoder().fit(data).encode(data)
    assert time.process_time() - start < 1.2  # a million in a minute; 0.2 s here
