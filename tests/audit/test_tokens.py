import gzip

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

import errata
from errata.audit.tokens import token_features
from errata.data.conll import read_sentences
from errata.errors import DataError, ParameterError

PLACES, PEOPLE = ["Rome", "Oslo", "Lima", "Kano"], ["Ada", "Ben", "Eve", "Tom"]


@pytest.fixture(scope="module")
def sentences():
    """150 sentences about four people in four places; five labels are wrong."""
    rng = np.random.default_rng(0)
    tokens = [[rng.choice(PEOPLE), "lives", "in", rng.choice(PLACES), "now"] for _ in range(150)]
    labels = [["PER", "O", "O", "LOC", "O"] for _ in tokens]
    wrong = [(3, 0, "LOC"), (20, 3, "O"), (21, 1, "LOC"), (77, 3, "PER"), (120, 0, "O")]
    for sentence, position, label in wrong:
        labels[sentence][position] = label
    return tokens, labels, {(s, p) for s, p, _ in wrong}


def test_wrong_tokens_come_first_and_name_their_sentences(sentences):
    tokens, labels, wrong = sentences
    ledger = errata.audit(tokens, labels, task="tokens", progress=False)
    parts = ledger.parts.sort_values("rank")
    assert set(zip(parts["row"][:5], parts["position"][:5])) == wrong
    assert set(ledger.order[:5]) == {s for s, _ in wrong}
    first = parts.iloc[0]
    right = ["PER", "O", "O", "LOC", "O"]
    assert first["token"] == tokens[first["row"]][first["position"]]
    assert first["proposed"] == right[first["position"]]
    assert ledger.columns["wrong_tokens"].sum() == ledger.parts["issue"].sum()
    assert (ledger.columns["tokens"] == 5).all()
    assert ledger.data.texts()[3] == " ".join(tokens[3])
    again = errata.audit(tokens, labels, task="tokens", progress=False)
    assert (again.parts["trust"] == ledger.parts["trust"]).all()


def test_probabilities_of_ones_own_in_one_table_or_by_sentence(sentences, tmp_path):
    tokens, labels, _ = sentences
    flat = [label for row in labels for label in row]
    probs = np.full((750, 3), 0.05)
    probs[np.arange(750), [["LOC", "O", "PER"].index(label) for label in flat]] = 0.9
    probs[50] = [0.9, 0.05, 0.05]
    (tmp_path / "a.conll").write_text(
        "\n\n".join("\n".join(f"{t} {label}" for t, label in zip(*pair)) for pair in zip(tokens, labels))
    )
    one = errata.audit(str(tmp_path / "a.conll"), pred_probs=probs, task="tokens", classes=["LOC", "O", "PER"])
    two = errata.audit(tokens, labels, pred_probs=list(probs.reshape(150, 5, 3)), task="tokens")
    assert (one.trust == two.trust).all()
    assert one.order[0] == 10
    one.save(tmp_path / "out")
    loaded = errata.Ledger.load(tmp_path / "out")
    assert loaded.parts["token"].tolist() == one.parts["token"].tolist()


def test_a_missing_label_is_not_judged_and_what_is_refused(sentences):
    tokens, labels, _ = sentences
    gaps = [list(row) for row in labels]
    gaps[0][0] = None
    ledger = errata.audit(tokens, gaps, task="tokens", folds=2, progress=False)
    assert len(ledger.parts) == 749
    with pytest.raises(DataError, match="no labels"):
        errata.audit(tokens, task="tokens")
    with pytest.raises(ParameterError, match="Nothing to audit"):
        errata.audit(labels=labels, task="tokens")
    with pytest.raises(ParameterError, match="folds"):
        errata.audit(tokens[:3], labels[:3], task="tokens", folds=9)
    with pytest.raises(DataError, match="at least two classes"):
        errata.audit(tokens, [["O"] * 5] * 150, task="tokens")


def test_neighbours_are_of_the_same_sentence():
    alone = token_features(read_sentences([["a", "b"], ["a", "b"]])).toarray()
    other = token_features(read_sentences([["a", "b"], ["c", "a", "b"], ["c", "a", "b"]])).toarray()
    assert (alone[0] == alone[2]).all()
    assert (other[0] != other[3]).any()
    assert (other[3] == other[6]).all()


def test_real_distant_labels(shared_data):
    folder = shared_data / "text" / "african"
    clean = read_sentences(folder / "hausa_ner_train_clean.tsv.gz")
    wrong = clean.labels != read_sentences(folder / "hausa_ner_train_clean_noisy_labels.tsv.gz").labels
    with gzip.open(folder / "hausa_ner_train_clean_noisy_labels.tsv.gz", "rt") as file:
        assert file.readline()
    ledger = errata.audit(folder / "hausa_ner_train_clean_noisy_labels.tsv.gz", task="tokens", folds=2, progress=False)
    assert average_precision_score(wrong, -ledger.parts["trust"]) > 0.35  # of tokens, 8.4 % are wrong
    assert wrong[ledger.parts["issue"]].mean() > 0.5
