import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score
from sklearn.neighbors import NearestNeighbors

from errata.errors import DataError, ParameterError
from errata.noise import symmetric
from errata.scores.neighbours import agreement, consensus, nearest, share_right, solve_consensus


def clusters(n=600, k=4, seed=0, spread=0.15):
    rng = np.random.default_rng(seed)
    true = rng.integers(0, k, n)
    return np.eye(k)[true] + rng.normal(scale=spread, size=(n, k)), true


def test_the_graph_is_that_of_an_exact_search_whatever_the_blocks():
    x = np.random.default_rng(0).normal(size=(301, 7))
    graph = nearest(x, 6)
    found = NearestNeighbors(n_neighbors=7, metric="cosine").fit(x)
    distance, index = found.kneighbors(x)
    assert (graph.index == index[:, 1:]).all()
    assert graph.similarity == pytest.approx(1 - distance[:, 1:], abs=1e-5)
    for rows in (1, 13, 1000):
        assert (nearest(x, 6, block_rows=rows).index == graph.index).all()


def test_rows_are_compared_with_those_allowed_only():
    x, _ = clusters(200)
    among = np.arange(200) % 3 > 0
    within = np.arange(200) % 2
    graph = nearest(x, 5, among=among, within=within)
    assert among[graph.index].all()
    assert (within[graph.index] == within[:, None]).all()
    assert (graph.index != np.arange(200)[:, None]).all()


def test_places_without_a_neighbour_hold_the_row_itself_and_no_vote():
    graph = nearest([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]], 4)
    assert (graph.index[:, 2:] == np.arange(3)[:, None]).all()
    assert (graph.similarity[:, 2:] == 0).all()
    votes = agreement(graph, [0, 0, 1])
    assert votes.predicted[0] == 0
    assert votes.own[2] == 0  # its own label never votes for itself


def test_votes_are_weighed_shares_of_labels():
    rng = np.random.default_rng(1)
    x, codes = rng.normal(size=(150, 5)), rng.integers(-1, 6, 150)
    graph = nearest(x, 12)
    votes = agreement(graph, codes)
    for row in range(150):
        weight = np.maximum(graph.similarity[row], 0) * (codes[graph.index[row]] >= 0)
        table = np.bincount(np.maximum(codes[graph.index[row]], 0), weights=weight, minlength=6) / weight.sum()
        assert votes.predicted[row] == table.argmax()
        if codes[row] < 0:
            assert np.isnan(votes.own[row])
            continue
        assert votes.own[row] == pytest.approx(table[codes[row]], abs=1e-5)
        assert votes.rival[row] == pytest.approx(np.delete(table, codes[row]).max(), abs=1e-5)


def test_alike_rows_with_other_labels_are_the_least_trusted():
    x, true = clusters()
    given = symmetric(true, 0.2, 4, seed=0)
    votes = agreement(nearest(x, 20), given)
    assert average_precision_score(given != true, -votes.margin) > 0.98


def test_consensus_counts_triples():
    index = np.array([[1, 2], [0, 3], [3, 0], [2, 1], [4, 4]])
    codes = np.array([0, 1, 1, -1, 0])
    first, second, third = consensus(index, codes, 2)
    # rows 1, 2 and 3 have a missing label among their three, row 4 has no neighbours
    assert third[0, 1, 1] == 1
    assert third.sum() == 1
    assert second[0, 1] == 1
    assert first.tolist() == [1, 0]


def test_transition_is_found_from_consensus_in_real_pictures():
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    transition = np.full((10, 10), 0.0) + np.diag(np.linspace(0.6, 0.95, 10))
    transition[np.arange(10), (np.arange(10) + 1) % 10] += 1 - transition.sum(1)
    given = (transition.cumsum(1)[y] > rng.random((len(y), 1))).argmax(1)
    found, prior = solve_consensus(*consensus(nearest(x, 2).index, given, 10))
    assert np.abs(found - transition).max() < 0.12
    assert np.abs(found - transition).mean() < 0.02
    assert prior == pytest.approx(np.bincount(y) / len(y), abs=0.03)
    right = share_right(found, prior, np.bincount(given) / len(given))
    assert right == pytest.approx([(y[given == c] == c).mean() for c in range(10)], abs=0.12)


def test_true_classes_keep_the_names_under_which_most_labels_are_right():
    transition, prior = np.array([[0.55, 0.45], [0.1, 0.9]]), np.array([0.3, 0.7])
    third = np.einsum("i,ia,ib,ic->abc", prior, transition, transition, transition)
    found, shares = solve_consensus(third.sum((1, 2)), third.sum(2), third)
    assert found == pytest.approx(transition, abs=0.03)
    assert shares == pytest.approx(prior, abs=0.03)


@pytest.mark.parametrize(
    ("features", "k", "error", "says"),
    [
        ([[1.0, np.nan]], 1, DataError, "row 0 holds NaN"),
        ([1.0, 2.0], 1, DataError, "shape"),
        ([["a", "b"]], 1, DataError, "numbers"),
        ([[1.0, 2.0]], 0, ParameterError, "k must be"),
    ],
)
def test_what_is_no_table_of_numbers_is_told(features, k, error, says):
    with pytest.raises(error, match=says):
        nearest(features, k)


def test_labels_of_other_rows_are_told():
    with pytest.raises(DataError, match="each of the 3 rows"):
        agreement(nearest(np.eye(3), 2), [0, 1])
    with pytest.raises(DataError, match="at most 128 classes"):
        consensus(np.zeros((3, 2), dtype=int), [0, 1, 2], 129)
