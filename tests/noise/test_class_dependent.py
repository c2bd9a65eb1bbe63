"""Symmetric and asymmetric noise: what is planted is what was asked for."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata import noise
from errata.errors import DataError, ParameterError, UnknownNameError

rates = st.floats(0, 1, allow_nan=False)
seeds = st.integers(0, 2**32)


@st.composite
def labelled(draw):
    """(labels, K): unbalanced, some classes empty, some labels missing, of any integer dtype that fits."""
    classes = draw(st.integers(2, 12))
    size = draw(st.integers(0, 200))
    dtype = draw(st.sampled_from([np.int8, np.int16, np.int32, np.int64]))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    labels = rng.choice(classes, size=size, p=rng.dirichlet(np.ones(classes) * 0.5)).astype(dtype)
    labels[rng.random(size) < draw(st.sampled_from([0.0, 0.1]))] = -1
    return labels, classes


@settings(max_examples=80, deadline=None)
@given(labelled(), rates, seeds, st.booleans())
def test_symmetric_changes_exactly_the_asked_share_of_each_class(case, rate, seed, inclusive):
    labels, classes = case
    noisy = noise.symmetric(labels, rate, classes, seed=seed, inclusive=inclusive)
    known = labels >= 0
    share = rate * (classes - 1) / classes if inclusive else rate
    assert noisy.dtype == labels.dtype
    assert (noisy[~known] == -1).all()
    assert ((noisy[known] >= 0) & (noisy[known] < classes)).all()
    assert abs((noisy != labels).sum() - share * known.sum()) <= 0.5 + 1e-6
    for c in np.unique(labels[known]):
        members = labels == c
        assert abs((noisy[members] != c).sum() - share * members.sum()) < 1 + 1e-6


@settings(max_examples=80, deadline=None)
@given(labelled(), rates, seeds)
def test_symmetric_spreads_the_changed_labels_evenly_over_the_other_classes(case, rate, seed):
    labels, classes = case
    noisy = noise.symmetric(labels, rate, classes, seed=seed)
    for c in np.unique(labels[labels >= 0]):
        went = np.bincount(noisy[labels == c], minlength=classes)
        others = np.delete(went, c)
        assert others.max() - others.min() <= 1


@settings(max_examples=80, deadline=None)
@given(labelled(), rates, seeds)
def test_pair_noise_goes_to_the_next_class_only(case, rate, seed):
    labels, classes = case
    noisy = noise.asymmetric(labels, rate, "pair", classes, seed=seed)
    changed = noisy != labels
    assert (noisy[changed] == (labels[changed] + 1) % classes).all()
    assert abs(changed.sum() - rate * (labels >= 0).sum()) <= 0.5 + 1e-6


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), seeds)
def test_a_transition_matrix_is_planted_up_to_rounding(classes, seed):
    rng = np.random.default_rng(seed)
    matrix = rng.dirichlet(np.ones(classes), size=classes)
    labels = np.repeat(np.arange(classes), rng.integers(50, 400, size=classes))
    noisy = noise.asymmetric(labels, None, matrix, classes, seed=seed)
    counts = noise.transition_matrix(noisy, labels, classes) * np.bincount(labels)[:, None]
    # one for the number of leavers, one for the share of them that goes to the class
    assert np.abs(counts - matrix * np.bincount(labels)[:, None]).max() <= 2


def test_many_tiny_classes_are_right_together():
    labels = np.arange(100)
    noisy = noise.symmetric(labels, 0.4, 100, seed=0)
    assert (noisy != labels).sum() == 40


def test_which_tiny_classes_change_depends_on_the_seed_evenly():
    labels = np.arange(10)
    changed = sum(noise.symmetric(labels, 0.3, 10, seed=s) != labels for s in range(2000))
    assert np.abs(changed / 2000 - 0.3).max() < 0.05  # five standard deviations


@pytest.mark.parametrize("make", [noise.symmetric, noise.asymmetric])
def test_independent_draws_scatter_around_the_rate(make):
    labels = np.tile(np.arange(10), 2000)
    options = {"num_classes": 10, "exact": False}
    found = [(make(labels, 0.3, **options, seed=s) != labels).mean() for s in range(20)]
    assert np.std(found) > 0
    assert abs(np.mean(found) - 0.3) < 5 * np.sqrt(0.21 / 20000 / 20)


def test_independent_draws_follow_the_transition_matrix():
    matrix = np.array([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0], [0.3, 0.3, 0.4]])
    labels = np.tile(np.arange(3), 20000)
    noisy = noise.asymmetric(labels, None, matrix, 3, seed=1, exact=False)
    np.testing.assert_allclose(noise.transition_matrix(noisy, labels, 3), matrix, atol=0.02)


@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("make", [noise.symmetric, noise.asymmetric])
def test_same_seed_same_noise_and_another_seed_another(make, exact):
    labels = np.tile(np.arange(5), 100)
    first = make(labels, 0.5, num_classes=5, seed=3, exact=exact)
    assert (first == make(labels, 0.5, num_classes=5, seed=3, exact=exact)).all()
    assert (first != make(labels, 0.5, num_classes=5, seed=4, exact=exact)).any()


def test_input_and_global_generators_are_left_alone():
    import torch

    labels = np.tile(np.arange(5), 100)
    before, copy = np.random.get_state()[1].copy(), labels.copy()
    torch_before = torch.get_rng_state()
    noise.symmetric(labels, 0.5, 5, seed=0)
    noise.asymmetric(labels, 0.5, "pair", 5, seed=0, exact=False)
    assert (labels == copy).all()
    assert (np.random.get_state()[1] == before).all()
    assert torch.equal(torch.get_rng_state(), torch_before)


def test_noise_is_not_tied_to_a_split_made_from_the_same_seed():
    labels = np.zeros(1000, dtype=np.int64)
    changed = np.flatnonzero(noise.symmetric(labels, 0.5, 2, seed=7))
    split = np.random.default_rng(7).permutation(1000)[:500]
    assert 150 < len(np.intersect1d(changed, split)) < 350


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_a_tensor_comes_back_as_a_tensor(dtype):
    import torch

    labels = torch.arange(100, dtype=getattr(torch, dtype)) % 10
    noisy = noise.symmetric(labels, 0.4, 10, seed=0)
    assert isinstance(noisy, torch.Tensor)
    assert noisy.dtype == labels.dtype
    assert (noisy.numpy() == noise.symmetric(labels.numpy(), 0.4, 10, seed=0)).all()


def test_booleans_stay_booleans():
    labels = np.array([True, False] * 50)
    noisy = noise.symmetric(labels, 0.2, 2, seed=0)
    assert noisy.dtype == bool
    assert (noisy != labels).sum() == 20


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_named_mappings_make_the_confusions_of_the_field(name):
    expected = {"mnist": {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}, "cifar10": {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}}[name]
    labels = np.tile(np.arange(10), 100)
    matrix = noise.transition_matrix(noise.asymmetric(labels, 0.4, name, seed=0), labels, 10)
    wanted = np.eye(10)
    for source, target in expected.items():
        wanted[source, source], wanted[source, target] = 0.6, 0.4
    np.testing.assert_allclose(matrix, wanted)


def test_cifar100_is_circular_inside_blocks_of_five():
    labels = np.repeat(np.arange(100), 10)
    noisy = noise.asymmetric(labels, 1.0, "cifar100", 100, seed=0)
    assert (noisy // 5 == labels // 5).all()
    assert ((noisy - labels) % 5 == 1).all()


def test_rate_scales_a_matrix_and_keeps_the_pattern():
    matrix = np.array([[0.8, 0.2, 0.0], [0.0, 1.0, 0.0], [0.2, 0.2, 0.6]])
    np.testing.assert_allclose(noise.asymmetric_transition(0.3, matrix), matrix)
    np.testing.assert_allclose(
        noise.asymmetric_transition(0.6, matrix), [[0.6, 0.4, 0.0], [0, 1, 0], [0.4, 0.4, 0.2]], atol=1e-12
    )
    with pytest.raises(ParameterError, match=r"class 2 would have to change 1\.33 .* at most 0\.75"):
        noise.asymmetric_transition(1.0, matrix)


def test_num_classes_is_inferred_where_it_can_be():
    labels = np.array([0, 1, 2] * 10)
    assert set(noise.asymmetric(labels, 1.0, seed=0)) == {0, 1, 2}
    assert set(noise.asymmetric(labels, 1.0, {0: 4}, seed=0)) == {1, 2, 4}


def test_the_planted_transition_is_the_stated_one():
    labels = np.tile(np.arange(4), 300)
    for options in ({}, {"inclusive": True}):
        noisy = noise.symmetric(labels, 0.5, 4, seed=0, **options)
        expected = noise.symmetric_transition(0.5, 4, **options)
        np.testing.assert_allclose(noise.transition_matrix(noisy, labels, 4), expected, atol=1 / 300)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "0.4", True])
def test_rates_outside_the_unit_interval_are_refused(rate):
    with pytest.raises(ParameterError, match=r"rate must be a number in \[0, 1\], got"):
        noise.symmetric([0, 1], rate, 2, seed=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1, 5]), r"in \[0, 3\) or -1 \(missing\), but row 2 holds 5"),
        (np.array([0, -2, 5]), r"row 1 holds -2"),
        (np.array([0.0, 1.0]), r"integer class numbers .* got dtype float64, beginning with 0\.0"),
        (np.array(["a", "b"]), r"integer class numbers"),
        (np.array(["a", None], dtype=object), r"got dtype object"),
        (np.zeros((2, 2), dtype=int), r"shape \(N,\).*got shape \(2, 2\)"),
    ],
)
def test_labels_that_are_none_are_refused_with_value_and_row(labels, message):
    with pytest.raises(DataError, match=message):
        noise.symmetric(labels, 0.2, 3, seed=0)


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({0: 3}, r"value 3 in \{0: 3\}.*in \[0, 3\)"),
        ({-1: 1}, r"key -1"),
        ({"cat": 1}, r"key 'cat'"),
        ({0: 1.0}, r"value 1\.0"),
        (np.eye(4), r"shape \(3, 3\), got \(4, 4\)"),
        (np.array([[1, 0, 0], [0.5, 0.4, 0], [0, 0, 1]]), r"row 1 sums to 0\.9"),
        (np.array([[1, 0, 0], [1.5, -0.5, 0], [0, 0, 1]]), r"found -0\.5 in row 1, column 1"),
        (np.array([[1, 0, 0], [np.nan, 1, 0], [0, 0, 1]]), r"found nan in row 1, column 0"),
        (7, r"a name, a dict .* or a \(K, K\) matrix, got int"),
        ("cifar10", r"for 10 classes, but num_classes is 3"),
    ],
)
def test_mappings_that_do_not_fit_are_refused(mapping, message):
    with pytest.raises(ParameterError, match=message):
        noise.asymmetric([0, 1, 2], 0.2, mapping, 3, seed=0)


def test_a_misspelt_mapping_gets_a_suggestion():
    with pytest.raises(UnknownNameError, match="Did you mean 'cifar10'"):
        noise.asymmetric([0, 1, 2], 0.2, "cifar-10", 10, seed=0)


def test_other_parameters_are_checked():
    with pytest.raises(ParameterError, match="seed must be an integer >= 0, got None"):
        noise.symmetric([0, 1], 0.2, 2, seed=None)
    with pytest.raises(ParameterError, match="num_classes must be an integer >= 2, got 1"):
        noise.symmetric([0, 0], 0.2, 1, seed=0)
    with pytest.raises(ParameterError, match="uint8 cannot hold 300 classes"):
        noise.symmetric(np.zeros(3, dtype=np.uint8), 0.2, 300, seed=0)
    with pytest.raises(ParameterError, match="rate may be None only with a transition matrix"):
        noise.asymmetric([0, 1], None, "pair", 2, seed=0)


def test_a_million_rows_take_less_than_two_seconds():
    labels = np.random.default_rng(0).integers(100, size=1_000_000)
    started = time.process_time()
    noisy = noise.symmetric(labels, 0.4, 100, seed=0)
    assert time.process_time() - started < 2
    assert (noisy != labels).sum() == 400_000
