"""A label per token (names, parts of speech): which tokens are labelled wrongly, and in which sentences."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from errata.audit.align import align
from errata.audit.confident import confident, require_two_classes
from errata.audit.crossval import temper
from errata.audit.items import item_ledger, parts_table
from errata.audit.progress import Progress, Show
from errata.data.conll import Sentences, read_sentences
from errata.errors import DataError, ParameterError
from errata.labels import MISSING, ClassLabels
from errata.scores.tokens import WAYS, sentence_trust

if TYPE_CHECKING:
    from errata.ledger import Ledger

__all__ = ["audit", "token_features"]

COLUMNS = 1 << 18  # of hashed features of the word itself; its neighbours have a quarter
BOUNDARY = "\x02"


def audit(
    source: Any = None,
    y: Any = None,
    *,
    label: Any = None,
    labels: Any = None,
    token: int | str | None = None,
    separator: str | None = None,
    pred_probs: Any = None,
    classes: Sequence[Any] | None = None,
    aggregate: str = "min",
    folds: int = 5,
    seed: int = 0,
    progress: Show = True,
) -> Ledger:
    """Find wrong labels of tokens by confident learning over all tokens.

    Parameters
    ----------
    source : a CoNLL file, a .jsonl file with lists of tokens and labels (also .gz), or a list of lists of tokens
    y, labels : the labels as lists like the tokens, where they are not in the source
    label, token, separator : where labels and tokens are in a file; see ``errata.data.conll.read_sentences``
    pred_probs : out-of-sample probabilities of all tokens in order, (T, K), or a list of (tokens, K) for each sentence;
        by default a logistic regression on words, their pieces and their neighbours is cross-validated
    classes : the K labels in the order of the columns of ``pred_probs``
    aggregate : how trust in a sentence follows from that in its tokens: "min", "product", "softmin"
    folds, seed : of the cross-validation, whose parts are whole sentences
    progress : see ``errata.audit``

    Returns
    -------
    Ledger
        A row per sentence, an issue where any of its tokens is; columns ``tokens`` and ``wrong_tokens``. ``parts`` has
        a row per labelled token (the million most suspicious ones), with ``position`` (in the sentence, from 0) and
        ``token``. ``meta["token_noise_rate"]`` is the estimated share of wrong token labels.

    Raises
    ------
    DataError
        where the source can't be read, or there are too few sentences or labels

    Examples
    --------
    >>> tokens = [["go", "to", "Rome"], ["in", "Rome"]] * 10
    >>> labels = [["O", "O", "LOC"], ["O", "LOC"]] * 10
    >>> labels[4] = ["O", "O", "O"]
    >>> ledger = audit(tokens, labels, folds=4, progress=False)
    >>> ledger.parts.sort_values("rank").head(1)[["row", "position", "token", "given", "proposed"]]
        row  position token given proposed
    12    4         2  Rome     O      LOC
    """
    if aggregate not in WAYS:
        sentence_trust(np.zeros(1), np.array([0, 1]), aggregate)  # which names the ways there are
    sentences = _read(source, y if y is not None else labels, label, token, separator)
    if pred_probs is not None:
        found, probs = align(sentences.labels, _joined(pred_probs), classes)
        about: dict[str, Any] = {"probabilities": "as given"}
    else:
        found = ClassLabels.encode(sentences.labels, classes)
        require_two_classes(found)
        probs, about = _cross_validated(sentences, found, folds, seed, progress)
    reading = {"label": label, "token": token, "separator": separator}
    about["reading"] = {name: value for name, value in reading.items() if isinstance(value, (str, int))}
    return _ledger(source, sentences, found, confident(found, probs), aggregate, about)


def _read(source: Any, values: Any, label: Any, token: Any, separator: str | None) -> Sentences:
    if source is None:
        raise ParameterError("Nothing to audit: give a CoNLL or JSON lines file, or lists of tokens and labels.")
    sentences = read_sentences(source, values if values is not None else label, token=token, separator=separator)
    if sentences.labels is None:
        raise DataError(
            "The sentences have no labels; give them as lists like the tokens, as in audit(tokens, labels)."
        )
    return sentences


def _joined(pred_probs: Any) -> Any:
    """The probabilities of all tokens in one table, where they came sentence by sentence."""
    if isinstance(pred_probs, (list, tuple)) and len(pred_probs) and np.ndim(pred_probs[0]) == 2:
        return np.concatenate([np.asarray(part) for part in pred_probs])
    return pred_probs


def _ledger(
    source: Any, sentences: Sentences, labels: ClassLabels, found: Ledger, aggregate: str, about: dict[str, Any]
) -> Ledger:
    from errata.data import read

    sentence, names = sentences.sentence_of, labels.names()
    known = np.flatnonzero(labels.codes != MISSING)
    proposed = labels.names(found.proposed.astype(np.int64))
    parts = parts_table(
        sentence[known],
        names[known],
        proposed[known],
        found.trust[known],
        found.issue[known],
        {"position": sentences.positions[known], "token": sentences.tokens[known]},
    )
    wrong = np.bincount(sentence[found.issue], minlength=len(sentences))
    trust = sentence_trust(found.trust, sentences.offsets, aggregate)
    meta: dict[str, Any] = {
        "method": "confident",
        "task": "tokens",
        "aggregate": aggregate,
        "source": sentences.source,
        **about,
        "label_names": labels.classes,
        "token_noise_rate": round(found.noise.rate, 6),
    }
    if isinstance(source, (str, os.PathLike)):
        meta["source_path"] = os.path.abspath(os.path.expanduser(source))
    columns = {"tokens": np.diff(sentences.offsets), "wrong_tokens": wrong}
    ledger = item_ledger(trust, wrong > 0, columns=columns, meta=meta, parts=parts)
    ledger.data = read(sentences.texts(), False)
    return ledger


# -- probabilities ----------------------------------------------------------------------------------------------------


def _cross_validated(
    sentences: Sentences, labels: ClassLabels, folds: int, seed: int, progress: Show
) -> tuple[np.ndarray, dict[str, Any]]:
    """(T, K) out-of-sample probabilities: no sentence is judged by a model that saw it."""
    from errata.audit.predictors import EstimatorFolds

    if isinstance(folds, bool) or not isinstance(folds, (int, np.integer)) or not 2 <= folds <= len(sentences):
        raise ParameterError(
            f"folds must be a whole number from 2 to the number of sentences, {len(sentences):,}; got {folds!r}."
        )
    description = "a logistic regression on words, their pieces and their neighbours"
    learner = EstimatorFolds(_regression(), token_features(sentences), labels, seed=seed, description=description)
    order = np.random.default_rng([seed, 0xF01D]).permutation(len(sentences))
    fold = (order % folds)[sentences.sentence_of]
    probs = np.zeros((len(fold), len(labels.classes)), dtype=np.float32)
    with Progress(progress, f"cross-validation in {folds} folds", total=folds) as bar:
        for number in range(folds):
            train, test = np.flatnonzero((fold != number) & (labels.codes != MISSING)), np.flatnonzero(fold == number)
            if len(np.unique(labels.codes[train])) < 2:
                raise DataError("All tokens but those of one fold have the same label; give more sentences.")
            probs[test] = learner.fit_predict(train, test, number, lambda share: None)
            bar.advance()
    temperature = temper(probs, labels.codes)
    about = {
        "probabilities": f"{folds}-fold cross-validation of {description}",
        "model": description,
        "folds": folds,
        "seed": seed,
        "temperature": round(temperature, 4),
    }
    return probs, about


def _regression() -> Any:
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=1.0, max_iter=100, tol=1e-3)


def token_features(sentences: Sentences) -> Any:
    """(T, D) sparse float32: the token, its pieces and its shape, and the same, coarser, of two tokens on each side.

    What occurs once is left out, so that a single label can't be learned by heart.

    Examples
    --------
    >>> token_features(read_sentences([["in", "Kano"], ["in", "Lagos"]])).shape[0]
    4
    """
    import scipy.sparse as sp
    from sklearn.feature_extraction import FeatureHasher

    words, codes = np.unique(np.append(sentences.tokens.astype(str), BOUNDARY), return_inverse=True)
    boundary, codes = codes[-1], codes[:-1]
    whole = FeatureHasher(COLUMNS, input_type="string", dtype=np.float32, alternate_sign=False)
    coarse = FeatureHasher(COLUMNS // 4, input_type="string", dtype=np.float32, alternate_sign=False)
    own = whole.transform(_describe(word) for word in words)
    near = coarse.transform(_describe_briefly(word) for word in words)
    first, last = sentences.positions, np.repeat(sentences.offsets[1:] - 1, np.diff(sentences.offsets))
    at = np.arange(len(codes))
    blocks = [own[codes]]
    for step in (-2, -1, 1, 2):
        inside = (first + step >= 0) & (at + step <= last)
        blocks.append(near[np.where(inside, codes[np.clip(at + step, 0, len(codes) - 1)], boundary)])
    table = sp.hstack(blocks, format="csr")
    seen = np.bincount(table.indices, minlength=table.shape[1])
    return table[:, np.flatnonzero(seen >= 2)].tocsr()


def _shape(word: str) -> str:
    """What kind of characters, runs of them as one: "Kano-2" is "Aa-0".

    Examples
    --------
    >>> _shape("Kano-2")
    'Aa-0'
    """
    kinds = ["A" if c.isupper() else "a" if c.isalpha() else "0" if c.isdigit() else c for c in word]
    return "".join(k for i, k in enumerate(kinds) if i == 0 or k != kinds[i - 1])


def _describe(word: str) -> list[str]:
    low = word.lower()
    found = [f"w={low}", f"s={_shape(word)}", f"n={min(len(word), 8)}"]
    found += [f"<{low[:n]}" for n in range(1, 5) if n < len(low)]
    found += [f"{low[-n:]}>" for n in range(1, 5) if n < len(low)]
    return [*found, f"c={word}"]


def _describe_briefly(word: str) -> list[str]:
    low = word.lower()
    return [f"w={low}", f"s={_shape(word)}", f"{low[-3:]}>"]
