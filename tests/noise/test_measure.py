"""Transition, joint and rate: counted, and estimated from probabilities."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from errata import noise
from errata.errors import DataError


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 8), st.integers(1, 200), st.integers(0, 10**6))
def test_counted_matrices_are_distributions_that_agree(classes, rows, seed):
    rng = np.random.default_rng(seed)
    given_labels, true = rng.integers(-1, classes, size=rows), rng.integers(classes, size=rows)
    transition = noise.transition_matrix(given_labels, true, classes)
    np.testing.assert_allclose(transition.sum(axis=1), 1)
    known = given_labels >= 0
    if not known.any():
        return
    joint = noise.joint_matrix(given_labels, true, classes)
    assert joint.sum() == pytest.approx(1)
    np.testing.assert_allclose(joint.sum(axis=1), np.bincount(given_labels[known], minlength=classes) / known.sum())
    np.testing.assert_allclose(joint, (transition * joint.sum(axis=0)[:, None]).T, atol=1e-12)
    assert noise.noise_rate(given_labels, true) == pytest.approx(1 - np.trace(joint))


def test_orientation_by_hand():
    given_labels, true = np.array([1, 1, 0, 2]), np.array([0, 0, 0, 2])
    np.testing.assert_allclose(
        noise.transition_matrix(given_labels, true, 3), [[1 / 3, 2 / 3, 0], [0, 1, 0], [0, 0, 1]]
    )
    np.testing.assert_allclose(noise.joint_matrix(given_labels, true, 3), [[0.25, 0, 0], [0.5, 0, 0], [0, 0, 0.25]])
    assert noise.noise_rate(given_labels, true) == 0.5


def test_lists_tensors_and_unsigned_labels_are_fine():
    import torch

    true = np.tile(np.arange(200, dtype=np.uint8), 3)
    given_labels = torch.from_numpy((true + 1) % 200)
    found = noise.transition_matrix(given_labels, true, 200)
    assert (found == np.roll(np.eye(200), 1, axis=1)).all()
    assert noise.noise_rate([0, 1], [0, 0]) == 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: noise.transition_matrix([0, 1], [0], 2),
            "given and true must have one row per sample each, got 2 and 1",
        ),
        (lambda: noise.transition_matrix([0, 3], [0, 1], 2), r"given must be in \[0, 2\).*row 1 holds 3"),
        (lambda: noise.transition_matrix([0, 1], [0, 3], 2), r"true must be in \[0, 2\).*row 1 holds 3"),
        (lambda: noise.joint_matrix([-1], [0], 2), "no row with both"),
        (lambda: noise.noise_rate([], np.zeros(0, int)), "given must be integer"),
        (lambda: noise.noise_rate([-1], [0]), "no row with both"),
        (lambda: noise.estimate_transition([0, 1], np.full((3, 2), 0.5)), "got 2 and 3 rows"),
        (lambda: noise.estimate_transition([0, 1], [0.5, 0.5]), r"shape \(N, K\), got \(2,\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(DataError, match=message):
        call()


def planted(classes, rows, rate, mapping, seed):
    """Labels with planted noise, and the probabilities of a model that knows the classes well but not surely.

    Features are Gaussian around one corner per class, so the posterior of the true class is known in closed form.
    """
    rng = np.random.default_rng(seed)
    true = rng.integers(classes, size=rows)
    x = 4.0 * np.eye(classes)[true] + rng.normal(size=(rows, classes))
    posterior = np.exp(4.0 * x - (4.0 * x).max(axis=1, keepdims=True))
    posterior /= posterior.sum(axis=1, keepdims=True)
    given_labels = noise.asymmetric(true, rate, mapping, classes, seed=seed)
    planted_matrix = noise.asymmetric_transition(rate, mapping, classes)
    return given_labels, true, posterior @ planted_matrix, planted_matrix  # a model of the *given* labels


@pytest.mark.parametrize("mapping", ["pair", np.full((5, 5), 0.2)])
@pytest.mark.parametrize("rate", [0.1, 0.3])
def test_the_estimate_finds_the_planted_transition(mapping, rate):
    given_labels, true, probs, matrix = planted(5, 20_000, rate, mapping, seed=0)
    found = noise.estimate_transition(given_labels, probs)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found, matrix, atol=0.03)
    joint = noise.estimate_joint(given_labels, probs)
    np.testing.assert_allclose(joint, noise.joint_matrix(given_labels, true, 5), atol=0.01)
    np.testing.assert_allclose(joint.sum(axis=1), np.bincount(given_labels) / len(given_labels), atol=1e-9)


def test_clean_labels_are_estimated_clean():
    given_labels, _, probs, _ = planted(5, 5_000, 0.0, "pair", seed=1)
    np.testing.assert_allclose(noise.estimate_transition(given_labels, probs), np.eye(5), atol=0.02)


def test_the_estimate_reads_tensors_and_memory_maps(tmp_path):
    import torch

    given_labels, _, probs, _ = planted(4, 2_000, 0.2, "pair", seed=2)
    expected = noise.estimate_transition(given_labels, probs)
    np.save(tmp_path / "p.npy", probs)
    mapped = noise.estimate_transition(given_labels, np.load(tmp_path / "p.npy", mmap_mode="r"))
    tensors = noise.estimate_transition(torch.from_numpy(given_labels), torch.from_numpy(probs))
    np.testing.assert_allclose(mapped, expected)
    np.testing.assert_allclose(tensors, expected)


def test_a_class_that_nobody_is_estimated_to_be_keeps_its_row():
    given_labels = np.array([0, 0, 1, 1])
    probs = np.array([[0.9, 0.1, 0], [0.8, 0.2, 0], [0.1, 0.9, 0], [0.2, 0.8, 0]])
    np.testing.assert_allclose(noise.estimate_transition(given_labels, probs), np.eye(3))


def test_importing_the_room_loads_nothing_heavy():
    code = "import sys, errata.noise; print(sorted({'torch', 'scipy', 'pandas', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_missing_labels_do_not_count_in_the_estimate():
    given_labels, _, probs, _ = planted(4, 2_000, 0.2, "pair", seed=2)
    some = given_labels.copy()
    some[::5] = -1
    kept = some >= 0
    expected = noise.estimate_joint(given_labels[kept], probs[kept])
    np.testing.assert_allclose(noise.estimate_joint(some, probs), expected, atol=1e-6)
