"""What the claims about budgets share: noisy labels with a known truth, a tree of them, an ensemble of cheap models."""

from __future__ import annotations

import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from claims._settings import DATA
from errata.data import Hierarchy, hierarchy_from_names, read_hierarchy

FOLDS = 4


@dataclass(frozen=True)
class Noisy:
    """Rows with a given and a true label, and what models predict out of fold."""

    given: np.ndarray
    true: np.ndarray
    classes: list[str]
    hierarchy: Hierarchy
    pred_probs: list[np.ndarray]
    far: np.ndarray
    aliases: dict[str, str] | None = None
    missing: str = "error"


def planted(true: np.ndarray, distances: np.ndarray, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Wrong labels for a share of the rows, half of them near in the tree and half anywhere else.

    Near is the label at the least distance (one of them at random), far a label at more than that. The second result
    says which rows got a far one.
    """
    rng = np.random.default_rng(seed)
    n, k = len(true), len(distances)
    apart = distances.astype(float) + np.where(np.eye(k, dtype=bool), np.inf, 0.0)
    least = apart.min(axis=1, keepdims=True)
    rows = rng.permutation(n)[: round(rate * n)]
    given, far = true.copy(), np.zeros(n, dtype=bool)
    for i, row in enumerate(rows):
        own = true[row]
        near = np.flatnonzero(apart[own] == least[own])
        other = np.flatnonzero((apart[own] > least[own]) & np.isfinite(apart[own]))
        far[row] = bool(i % 2 and len(other))
        given[row] = rng.choice(other if far[row] else near)
    return given, far


def out_of_fold(models: Sequence[ClassifierMixin], x: Any, given: np.ndarray, k: int, seed: int) -> list[np.ndarray]:
    """(N, K) of each model, from models that have not seen the row."""
    found = []
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    for model in models:
        probs = np.zeros((len(given), k))
        for train, test in folds.split(given):
            fitted = model.fit(x[train], given[train])
            probs[np.ix_(test, fitted.classes_)] = fitted.predict_proba(x[test])
        found.append(np.maximum(probs, 1e-9) / np.maximum(probs, 1e-9).sum(axis=1, keepdims=True))
    return found


def text_models() -> list[Any]:
    """Five, as the paper has: linear, Bayes, neighbours and Gaussians of a reduced space."""
    return [
        LogisticRegression(C=5.0, max_iter=200),
        MultinomialNB(alpha=0.1),
        KNeighborsClassifier(15, metric="cosine"),
        make_pipeline(TruncatedSVD(60, random_state=0), LinearDiscriminantAnalysis()),
        make_pipeline(TruncatedSVD(30, random_state=0), StandardScaler(), GaussianNB()),
    ]


def words(texts: Sequence[str], most: int = 4000) -> Any:
    """Sparse weights of words and pairs of words."""
    return TfidfVectorizer(ngram_range=(1, 2), min_df=2, max_features=most, sublinear_tf=True).fit_transform(texts)


# -- SemEval-2010: relations between two marked nouns, each with its two directions ------------------------------------


def semeval(seed: int) -> Noisy:
    """A random half of the training sentences; the tree is root > relation > direction, and Other beside them."""
    with gzip.open(DATA / "relations" / "semeval2010_TRAIN_FILE.TXT.gz", "rt", encoding="utf-8") as lines:
        kept = [line.strip() for line in lines if line.strip() and not line.startswith("Comment")]
    texts, names = [line.split("\t", 1)[1].strip('"') for line in kept[::2]], kept[1::2]
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(names))[:4000])
    count = {name: sum(names[i] == name for i in rows) for name in set(names)}
    rows = np.array([i for i in rows if count[names[i]] >= 10])
    classes = sorted({names[i] for i in rows})
    true = np.array([classes.index(names[i]) for i in rows])
    directed = [name for name in classes if "(" in name]
    edges = [("relation", "related"), *(("relation", name) for name in classes if name not in directed)]
    edges += [edge for name in directed for edge in (("related", _undirected(name)), (_undirected(name), name))]
    tree = Hierarchy.from_edges(edges)
    given, far = planted(true, tree.distances(classes).graph, 0.15, seed)
    x = words([_between(texts[i]) for i in rows])
    return Noisy(given, true, classes, tree, out_of_fold(text_models(), x, given, len(classes), seed), far)


def _undirected(name: str) -> str:
    return name.split("(")[0]


def _between(sentence: str) -> str:
    """The two nouns and what stands between and around them, marked by where it stands."""
    found = re.match(r"(.*)<e1>(.*)</e1>(.*)<e2>(.*)</e2>(.*)", sentence)
    if found is None:
        return sentence
    before, first, between, second, after = (part.split() for part in found.groups())
    return " ".join(
        [f"b_{w}" for w in before[-2:]]
        + [f"e1_{w}" for w in first]
        + [f"m_{w}" for w in between]
        + [f"e2_{w}" for w in second]
        + [f"a_{w}" for w in after[:2]]
    ).lower()


# -- FewRel, in the tree of 623 relations ------------------------------------------------------------------------------

FEWREL = {
    "crosses": "loc.loc.crosses",
    "spouse": "per.per.relative.spouse",
    "mother": "per.per.relative.parent.mother",
    "child": "per.per.relative.child",
    "follows": "org.org.follows",
    "part of": "org.org.isPartOf",
    "located in or next to body of water": "loc.loc.locatedNearbodyOfWater",
    "member of": "per.org.memberOf",
}
"""FewRel's relations that the tree has; the other eight stand beside it."""


def fewrel(seed: int) -> Noisy:
    """250 sentences of each of the sixteen relations of FewRel's validation set, in the tree of 623 relations."""
    import json

    folder = DATA / "relations"
    with gzip.open(folder / "fewrel_val_wiki.json.gz") as file:
        told = json.load(file)
    with gzip.open(folder / "fewrel_pid2name.json.gz") as file:
        named = {pid: name for pid, (name, _) in json.load(file).items() if pid in told}
    tree = read_hierarchy(folder / "relation_hierarchy.csv.gz")
    classes = sorted(named.values())
    rng = np.random.default_rng(seed)
    texts, labels = [], []
    for pid, items in told.items():
        for i in rng.permutation(len(items))[:250]:
            texts.append(_tokens(items[i]))
            labels.append(classes.index(named[pid]))
    true = np.array(labels)
    aliases = {name: node for name, node in FEWREL.items() if node in tree.names}
    apart = tree.distances(classes, aliases, missing="root").graph
    given, far = planted(true, apart, 0.15, seed)
    probs = out_of_fold(text_models(), words(texts), given, len(classes), seed)
    return Noisy(given, true, classes, tree, probs, far, aliases, "root")


def _tokens(item: dict[str, Any]) -> str:
    head, tail = item["h"][2][0], item["t"][2][0]
    marks = dict.fromkeys(head, "h_") | dict.fromkeys(tail, "t_")
    low, high = min(*head, *tail), max(*head, *tail)
    near = [(i, w) for i, w in enumerate(item["tokens"]) if low - 3 <= i <= high + 3]
    return " ".join(marks.get(i, "m_" if low < i < high else "") + w for i, w in near).lower()


# -- TREC: kinds of questions, coarse:fine -----------------------------------------------------------------------------


def trec(seed: int) -> Noisy:
    """3,000 questions with their fine labels; the tree is what the labels' names say."""
    with gzip.open(DATA / "text" / "trec" / "TREC.train.gz", "rt", encoding="latin-1") as lines:
        rows = [line.strip().split(" ", 1) for line in lines if line.strip()]
    rng = np.random.default_rng(seed)
    rows = [rows[i] for i in rng.permutation(len(rows))[:3000]]
    common = [name for name in sorted({name for name, _ in rows}) if sum(name == other for other, _ in rows) >= 15]
    rows = [row for row in rows if row[0] in common]
    true = np.array([common.index(name) for name, _ in rows])
    tree = hierarchy_from_names(common)
    given, far = planted(true, tree.distances(common).graph, 0.15, seed)
    probs = out_of_fold(text_models(), words([text for _, text in rows]), given, len(common), seed)
    return Noisy(given, true, common, tree, probs, far)


# -- CIFAR-10N: real mistakes of people --------------------------------------------------------------------------------

ANIMALS = {"bird": "animal", "cat": "pet", "dog": "pet", "deer": "hoofed", "frog": "animal", "horse": "hoofed"}
ANIMALS |= {"airplane": "vehicle", "automobile": "road", "ship": "vehicle", "truck": "road"}
ABOVE = [("thing", "animal"), ("thing", "vehicle"), ("animal", "pet"), ("animal", "hoofed"), ("vehicle", "road")]


def cifar10n(seed: int) -> Noisy:
    """3,000 images with one person's label (about 17 % wrong); a tree of animals and vehicles of our own making."""
    import torch

    import errata

    train = errata.read(DATA / "cifar10n_train.parquet", label="true_label")
    rows = np.sort(np.random.default_rng(seed).permutation(len(train))[:3000])
    part = train.subset(rows)
    given = train.select_label("random_label1").labels.codes[rows].astype(np.int64)
    true = part.labels.codes.astype(np.int64)
    classes = [str(c) for c in part.labels.classes]
    pixels = errata.data.encoder_for(part).fit(part).encode(part).float()
    small = torch.nn.functional.avg_pool2d(pixels, 4).flatten(1).numpy()
    edges = _edges(pixels)
    x = np.hstack([StandardScaler().fit_transform(small), StandardScaler().fit_transform(edges)])
    models = [
        LogisticRegression(C=0.01, max_iter=200),
        KNeighborsClassifier(15),
        make_pipeline(PCA(60, random_state=0), LinearDiscriminantAnalysis()),
        make_pipeline(PCA(40, random_state=0), GaussianNB()),
        make_pipeline(PCA(60, random_state=0), KNeighborsClassifier(25, weights="distance")),
    ]
    tree = Hierarchy.from_edges([*ABOVE, *((above, name) for name, above in ANIMALS.items())])
    distances = tree.distances(classes).graph
    far = (given != true) & (distances[given, true] > 4)
    return Noisy(given, true, classes, tree, out_of_fold(models, x, given, 10, seed), far)


def _edges(pixels: Any) -> np.ndarray:
    """Histograms of eight directions in 4 x 4 cells of the grey image."""
    import torch

    grey = pixels.mean(1)
    dx = torch.zeros_like(grey)
    dy = torch.zeros_like(grey)
    dx[:, :, 1:-1], dy[:, 1:-1] = grey[:, :, 2:] - grey[:, :, :-2], grey[:, 2:] - grey[:, :-2]
    length, angle = (dx**2 + dy**2).sqrt(), torch.atan2(dy, dx)
    bins = ((angle + np.pi) / (2 * np.pi) * 8).long().clamp(0, 7)
    planes = torch.zeros(len(grey), 8, *grey.shape[1:]).scatter_(1, bins[:, None], length[:, None])
    cells = torch.nn.functional.avg_pool2d(planes, 8).flatten(1)
    return (cells / cells.norm(dim=1, keepdim=True).clamp(min=1e-6)).numpy()
