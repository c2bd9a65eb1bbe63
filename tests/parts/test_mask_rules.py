import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from errata.parts.mask_rules import merge_labels, merge_labels_medical, update_labels_voc

CLASSES = 5


def problem(seed):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, CLASSES, (3, 6, 7)) * (rng.random((3, 6, 7)) < 0.6)
    label[rng.random(label.shape) < 0.05] = 255
    label[1] = np.where(label[1] == 3, 0, label[1])
    probabilities = rng.dirichlet(np.full(CLASSES, 0.3), (3, 6, 7)).transpose(0, 3, 1, 2)
    on = [c for c in range(1, CLASSES) if rng.random() < 0.5]
    return label, probabilities, on


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_medical_rule(seed):
    label, probabilities, on = problem(seed)
    new = merge_labels_medical(label, probabilities, on)
    changed = new != label
    if not on:
        assert not changed.any()
    assert np.isin(label[changed], [0, *on]).all()
    assert np.isin(new[changed], [0, *on]).all()
    for one, other in zip(label, new):
        assert set(np.unique(other)) <= {0, *np.unique(one)}
    assert (merge_labels_medical(new, probabilities, on) == new)[
        [i for i in range(3) if _keeps(label[i], new[i])]
    ].all()


def _keeps(label, new):
    return set(np.unique(label)) == set(np.unique(new))


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_renaming_the_foreground_classes_commutes(seed):
    label, probabilities, on = problem(seed)
    names = np.concatenate([[0], 1 + np.random.default_rng(seed).permutation(CLASSES - 1)])
    renamed = np.where(label == 255, 255, names[np.minimum(label, CLASSES - 1)])
    moved = np.empty_like(probabilities)
    moved[:, names] = probabilities
    best, top = probabilities.argmax(1), probabilities.max(1)
    one = merge_labels_medical(renamed, moved, [int(names[c]) for c in on])
    other = merge_labels_medical(label, probabilities, on)
    assert (one == np.where(other == 255, 255, names[np.minimum(other, CLASSES - 1)])).all()
    one = update_labels_voc(renamed, names[best], top, [0, *(int(names[c]) for c in on)], 0.6)
    other = update_labels_voc(label, best, top, [0, *on], 0.6)
    assert (one == np.where(other == 255, 255, names[np.minimum(other, CLASSES - 1)])).all()


@given(seed=st.integers(0, 10_000))
@settings(max_examples=40, deadline=None)
def test_voc_rule(seed):
    label, probabilities, on = problem(seed)
    best, top = probabilities.argmax(1), probabilities.max(1)
    new = update_labels_voc(label, best, top, [0, *on], 0.6)
    changed = new != label
    assert (top[changed] > 0.6).all()
    assert np.isin(new[changed], [0, *on]).all()
    for one, other in zip(label, new):
        if np.isin(one, range(1, CLASSES)).any():
            assert set(np.unique(other)) <= set(np.unique(one))


def test_an_object_does_not_vanish_from_an_image():
    label = np.zeros((1, 20, 20), dtype=int)
    label[0, :3, :3] = 1
    best, top = np.zeros((1, 20, 20), dtype=int), np.full((1, 20, 20), 0.99)
    assert (update_labels_voc(label, best, top, [0, 1]) == label).all()
    label[0, :12] = 1
    best[0, 0] = 1
    assert (update_labels_voc(label, best, top, [0, 1]) == best).all()  # 5 % of the image are left


def test_an_empty_image_may_get_any_class_that_is_on():
    label, best = np.zeros((1, 2, 2), dtype=int), np.array([[[1, 2], [0, 1]]])
    assert update_labels_voc(label, best, np.full((1, 2, 2), 0.9), [0, 1]).tolist() == [[[1, 0], [0, 1]]]


def test_ignoring_instead_of_erasing():
    label, best = np.array([[[1, 1, 2, 0]]]), np.array([[[0, 1, 0, 1]]])
    sure = np.array([[[True, True, False, False]]])
    assert merge_labels(label, best, sure, [1], logic_255=True).tolist() == [[[255, 1, 255, 0]]]
