"""Words that speak for one class against another."""

from __future__ import annotations

import numpy as np
import pytest

from errata.ledger import Ledger
from errata.review.content import Content
from errata.review.speaking import Speaking

SAID = {0: "the referee gave a penalty in the match", 1: "the parliament passed a law on taxes"}


@pytest.fixture(scope="module")
def speaking():
    codes = np.arange(200) % 2
    codes[::17] = 1 - codes[::17]  # some labels are wrong
    return Speaking([f"{SAID[i % 2]} today {i}" for i in range(200)], codes, 2)


def sides(pieces):
    return {piece.text: piece.side for piece in pieces if piece.side}


def test_words_of_either_class_are_marked_and_common_ones_are_not(speaking):
    found = sides(speaking.pieces("The parliament gave the referee a law, today!", given=0, proposed=1))
    assert found == {"parliament": "proposed", "law": "proposed", "gave": "given", "referee": "given"}
    turned = sides(speaking.pieces("The parliament gave the referee a law, today!", given=1, proposed=0))
    assert turned["parliament"] == "given"
    assert turned["referee"] == "proposed"


@pytest.mark.parametrize(
    "text", ["", "  \n", "Law & <b>order</b>, LAW\t", "nothing known", "İstanbul LAW ﬁn straße", "日本 law"]
)
def test_the_pieces_are_the_text(speaking, text):
    pieces = speaking.pieces(text, 0, 1)
    assert "".join(piece.text for piece in pieces) == text
    assert all(piece.level in (1, 2, 3) for piece in pieces if piece.side)


def test_nothing_is_marked_where_there_is_nothing_to_compare(speaking):
    for given, proposed in ((0, 0), (-1, 1), (0, -1)):
        assert not sides(speaking.pieces("a law", given, proposed))
    assert not sides(Speaking(["one", "two"], np.array([0, 1]), 2).pieces("one two", 0, 1))


def test_the_strongest_word_has_the_highest_level(speaking):
    pieces = [piece for piece in speaking.pieces("parliament today the law", 0, 1) if piece.side]
    assert max(piece.level for piece in pieces) == 3


def test_a_long_text_is_not_all_marked(speaking):
    text = " ".join(SAID.values()) * 50
    assert len(set(sides(speaking.pieces(text, 0, 1)))) <= 24


def test_the_content_learns_from_rows_that_do_not_look_wrong(tmp_path):
    texts = [SAID[i % 2] for i in range(60)]
    given = np.arange(60) % 2
    given[:3] = 1 - given[:3]
    ledger = Ledger(given, np.arange(60) % 2, np.where(np.arange(60) < 3, 0.1, 0.9), classes=["sport", "politics"])
    content = Content(ledger, tmp_path, texts)
    content.read()
    look = content.look(0)
    assert sides(look.pieces)["penalty"] == "proposed"
    assert "".join(piece.text for piece in look.pieces) == look.text
    plain = Content(ledger, tmp_path, texts, marks=False)
    plain.read()
    assert plain.look(0).pieces == ()
