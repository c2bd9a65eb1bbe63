from __future__ import annotations

import numpy as np
import pytest

from errata.errors import DataError
from errata.scores import query


def probabilities(n: int, k: int, m: int = 1, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(k), size=(m, n))


def test_entropy_and_margin_are_highest_where_all_classes_are_alike() -> None:
    p = np.vstack([np.full(4, 0.25), probabilities(50, 4)[0]])
    assert query.entropy_score(p).argmax() == 0
    assert query.margin_score(p).argmax() == 0
    assert query.entropy_score(p)[0] == pytest.approx(np.log(4))


def test_models_that_agree_do_not_diverge() -> None:
    one = probabilities(20, 3)[0]
    assert query.kl_score([one, one, one]).max() < 1e-12
    assert query.kl_score([one, one[:, ::-1]]).min() >= 0


def test_divergence_needs_two_models() -> None:
    with pytest.raises(DataError, match="two models or more"):
        query.kl_score(probabilities(5, 3))


def test_vote_entropy_does_not_depend_on_the_order_of_the_models() -> None:
    votes = np.random.default_rng(1).integers(4, size=(30, 5))
    assert np.allclose(query.vote_entropy(votes, 4), query.vote_entropy(votes[:, ::-1], 4))


def test_signed_confidence_is_between_its_bounds_and_signed_by_the_vote() -> None:
    found = query.signed_confidence([0, 0], [[0], [1]], [[0.9], [0.9]])
    assert found.tolist() == [-0.9, 0.9]


def test_chance_is_seeded() -> None:
    assert (query.random_score(50, seed=1) == query.random_score(50, seed=1)).all()
    assert (query.random_score(50, seed=1) != query.random_score(50, seed=2)).any()


def test_a_wrong_shape_is_told() -> None:
    with pytest.raises(DataError, match=r"\(3,\)"):
        query.entropy_score([0.1, 0.2, 0.7])
