import gzip
import json

import numpy as np
import pytest

from errata.data.conll import read_sentences
from errata.errors import DataError, ParameterError

CONLL = "-DOCSTART- -X- O\n\nIn IN O\nKano NNP B-LOC\n\t\nNo RB O\n"


def test_layouts_of_files_say_the_same(tmp_path):
    (tmp_path / "a.conll").write_text(CONLL)
    with gzip.open(tmp_path / "b.tsv.gz", "wt") as file:
        file.write(CONLL.replace(" ", "\t") + "\n\n")
    rows = [{"tokens": ["In", "Kano"], "tags": ["O", "B-LOC"]}, {"tokens": ["No"], "tags": ["O"]}]
    (tmp_path / "c.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n\n")
    for name in ("a.conll", "b.tsv.gz", "c.jsonl"):
        found = read_sentences(tmp_path / name)
        assert found.tokens.tolist() == ["In", "Kano", "No"]
        assert found.labels.tolist() == ["O", "B-LOC", "O"]
        assert found.offsets.tolist() == [0, 2, 3]
        assert found.sentence_of.tolist() == [0, 0, 1]
        assert found.positions.tolist() == [0, 1, 0]
    assert read_sentences(tmp_path / "a.conll", 1).labels.tolist() == ["IN", "NNP", "RB"]
    assert read_sentences(tmp_path / "a.conll", "1", token=2).tokens.tolist() == ["O", "B-LOC", "O"]


def test_comments_are_no_tokens_but_a_number_sign_is(tmp_path):
    (tmp_path / "a.conllu").write_text("# sent_id = 1\n# text = No 1\n1\tNo\tX\n2\t#\tSYM\n\n# newdoc\n1\tYes\tX\n")
    found = read_sentences(tmp_path / "a.conllu", token=1)
    assert found.tokens.tolist() == ["No", "#", "Yes"]
    assert found.labels.tolist() == ["X", "SYM", "X"]


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.conll", "In O\nKano\n", "line 2: expected a token and its label; found 'Kano' alone"),
        ("a.conll", "\n\n", "holds no sentence"),
        ("a.conll", b"In O\n\xff O\n", "line 2"),
        ("a.jsonl", '{"tokens": ["a"], "tags": []}', "line 1: 1 tokens and 0 labels"),
        ("a.jsonl", '{"tokens": ["a"]}', "expected a list named 'labels or tags'"),
        ("a.jsonl", '{"tokens": "a", "tags": []}', "expected 'tokens' to be a list"),
        ("a.jsonl", "[1]", "found a list"),
        ("a.jsonl", "{", "expected a JSON object"),
        ("a.csv", "x", "expected a CoNLL file"),
    ],
)
def test_what_is_wrong_is_told_with_the_line(tmp_path, name, text, says):
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=says):
        read_sentences(tmp_path / name)


def test_lists_and_columns_that_do_not_fit(tmp_path):
    with pytest.raises(DataError, match="sentence 1: 2 tokens and 1 labels"):
        read_sentences([["a"], ["b", "c"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="1 sentences of tokens and 2 of labels"):
        read_sentences([["a"]], [["O"], ["O"]])
    with pytest.raises(DataError, match="There is no file"):
        read_sentences(tmp_path / "none.conll")
    (tmp_path / "a.conll").write_text(CONLL)
    with pytest.raises(ParameterError, match="number of a column"):
        read_sentences(tmp_path / "a.conll", "ner")
    with pytest.raises(DataError, match="label in column 7"):
        read_sentences(tmp_path / "a.conll", 7)
    (tmp_path / "cut.conll.gz").write_bytes(gzip.compress(CONLL.encode() * 50)[:60])
    with pytest.raises(DataError, match="damaged after line"):
        read_sentences(tmp_path / "cut.conll.gz")
    assert read_sentences([["a"]]).labels is None


def test_a_real_file(shared_data):
    found = read_sentences(shared_data / "text" / "african" / "hausa_ner_train_clean.tsv.gz")
    assert len(found) == 1014
    assert len(found.tokens) == 28660
    assert np.unique(found.labels.astype(str), return_counts=True)[1].sum() == 28660
