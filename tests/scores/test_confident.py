"""Confident learning against plain references, against figures of cleanlab 2.9, and with every kind of bad input."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))

import numpy as np
import pytest
import torch
from naive_confident import Naive

from errata.errors import DataError, ParameterError, UnknownNameError
from errata.scores import confident
from errata.scores.confident import RULES, confident_joint, find_label_issues
from errata.scores.evidence import cutoffs

FIELDS = ("issues", "self_confidence", "normalized_margin", "predicted", "joint", "thresholds")


def make(seed, rows=None, classes=None, dtype=np.float32, decimals=None, missing=0.0):
    """Labels with noise of some kind, some classes rare or absent, and probabilities that are good or not so good."""
    rng = np.random.default_rng(seed)
    classes = classes or int(rng.choice([2, 3, 5, 9]))
    rows = rows or int(rng.choice([4, 30, 150]))
    true = rng.choice(classes, rows, p=rng.dirichlet(np.full(classes, rng.choice([0.3, 3.0]))))
    wrong = rng.random(rows) < rng.choice([0.1, 0.4])
    given = np.where(wrong, rng.integers(0, classes, rows), true)
    logits = rng.standard_normal((rows, classes)) * rng.choice([0.5, 2.0])
    logits[np.arange(rows), true] += rng.choice([0.0, 1.0, 3.0])
    probs = np.exp(logits)
    probs /= probs.sum(axis=1, keepdims=True)
    if decimals is not None:  # in steps that floats represent exactly, so that equal values are equal
        steps = 2.0**decimals
        probs = np.floor(probs * steps) / steps
        probs[np.arange(rows), rng.integers(0, classes, rows)] += 1 - probs.sum(axis=1)
    given[rng.random(rows) < missing] = -1
    given[0] = max(given[0], 0)
    return given, probs.astype(dtype)


# What cleanlab 2.9.0 says (Python 3.11, NumPy 2.4.6): filter.find_label_issues(filter_by=rule),
# rank.get_label_quality_scores, count.get_confident_thresholds, count.estimate_joint, count.compute_confident_joint
GOLDEN_GIVEN = [2, 2, 1, 0, 1, 0, 0, 2, 1, 0, 1, 0, 1, 1, 2, 0, 1, 1, 0, 0, 2, 2, 1, 2]
# fmt: off
GOLDEN_PROBS = np.array([
    186, 517, 297,  29,   6, 965,  28, 880,  92, 716,  69, 215, 124, 525, 351, 372, 292, 336, 799, 129,  72, 677,  60,
    263,  60, 595, 345, 175, 188, 637, 505, 339, 156, 382, 527,  91,  18, 879, 103, 192, 376, 432,  15,  16, 969, 351,
    411, 238, 510, 451,  39, 887,  90,  23, 680,  54, 266, 345, 222, 433, 182, 119, 699, 429, 243, 328, 428, 526,  46,
    248, 749,   3,
]).reshape(24, 3) / 1000
GOLDEN_MARGIN = np.array([
    3900, 9680, 8940, 7505, 5870, 5180, 8350, 2930, 6250, 2690, 4170, 4275, 8880, 4720, 9765, 4700, 4705, 1015, 7070,
    4560, 7585, 4495, 5490, 1270,
]) / 10_000
GOLDEN_ENTROPY = np.array([
    454532, 928351, 826615, 701232, 587758, 486457, 752982, 483464, 641889, 369689, 485422, 528698, 830350, 498096,
    931750, 477806, 587655, 395181, 686744, 476294, 681871, 463786, 616774, 29425,
]) / 1_000_000
# fmt: on
GOLDEN_FLAGGED = {
    "prune_by_noise_rate": [0, 7, 9, 10, 11, 16, 17, 19, 23],
    "prune_by_class": [0, 7, 9, 10, 13, 15, 17, 19, 23],
    "both": [0, 7, 9, 10, 17, 19, 23],
    "confident_learning": [7, 9, 10, 11, 16, 17, 23],
    "predicted_neq_given": [0, 7, 9, 10, 11, 13, 15, 16, 17, 19, 21, 23],
    "low_normalized_margin": [0, 7, 9, 10, 11, 17, 23],
    "low_self_confidence": [0, 7, 9, 10, 17, 21, 23],
}


class TestGolden:
    @pytest.mark.parametrize("rule", RULES)
    def test_rows(self, rule):
        found = find_label_issues(GOLDEN_GIVEN, GOLDEN_PROBS, rule=rule)
        assert np.flatnonzero(found.issues).tolist() == GOLDEN_FLAGGED[rule]

    def test_joint_and_thresholds(self):
        found = find_label_issues(GOLDEN_GIVEN, GOLDEN_PROBS)
        assert (found.joint * 24).round(9).tolist() == [[5, 1, 2], [3, 6, 0], [1, 2, 4]]
        uncalibrated = confident_joint(GOLDEN_GIVEN, GOLDEN_PROBS, calibrate=False)
        assert (uncalibrated * 18).round(9).tolist() == [[3, 1, 1], [3, 5, 0], [1, 1, 3]]
        np.testing.assert_allclose(found.thresholds, [0.4775, 0.5178888888888888, 0.5034285714285713], rtol=1e-12)

    def test_scores(self):
        own = GOLDEN_PROBS[np.arange(24), GOLDEN_GIVEN]
        np.testing.assert_array_equal(confident.self_confidence(GOLDEN_GIVEN, GOLDEN_PROBS), own)
        margin = confident.normalized_margin(GOLDEN_GIVEN, GOLDEN_PROBS)
        np.testing.assert_allclose(margin, GOLDEN_MARGIN, atol=1e-12)
        entropy = confident.entropy_weighted(GOLDEN_GIVEN, GOLDEN_PROBS)
        np.testing.assert_allclose(entropy, GOLDEN_ENTROPY, atol=6e-7)


class TestAgainstNaive:
    @pytest.mark.parametrize("seed", range(60))
    def test_every_rule(self, seed):
        dtype = [np.float32, np.float64][seed % 2]
        given, probs = make(seed, dtype=dtype, missing=[0, 0.2][seed % 3 == 0], decimals=[None, 4][seed % 5 == 0])
        naive = Naive(given, probs)
        for rule in RULES:
            found = find_label_issues(given, probs, rule=rule)
            assert set(np.flatnonzero(found.issues)) == getattr(naive, rule)(), rule
        np.testing.assert_array_equal(found.thresholds, naive.thresholds)
        np.testing.assert_array_equal(found.joint, naive.joint / len(naive.keep))
        assert found.predicted.tolist() == probs.argmax(axis=1).tolist()
        for name in ("self_confidence", "normalized_margin"):
            expected = [getattr(naive, name)(i) if given[i] >= 0 else np.nan for i in range(len(given))]
            np.testing.assert_array_equal(getattr(found, name), np.clip(expected, 0, 1))

    def test_quota_beyond_the_rows_that_prefer_the_class(self):
        """A pair may have more quota than rows with a positive margin; then others rank too, and can be flagged."""
        reached = 0
        for seed in range(40):
            given, probs = make(seed, rows=60, classes=9)
            naive = Naive(given, probs)
            flagged = naive.prune_by_noise_rate()
            assert set(np.flatnonzero(confident.prune_by_noise_rate(given, probs))) == flagged
            for i in flagged:  # by a class that is less probable than the given one, and by no other
                lead = probs[i] - probs[i, given[i]]
                mates = np.flatnonzero(given == given[i])
                ranks = [(probs[mates, j] - probs[mates, given[i]] > lead[j]).sum() for j in range(9)]
                chosen = [j for j in range(9) if j != given[i] and ranks[j] < naive.quota[given[i], j]]
                reached += all(lead[j] < 0 for j in chosen)
        assert reached > 0  # or this test would not test what it says

    def test_functions_are_the_rules(self):
        given, probs = make(3, rows=150, classes=5)
        for rule in RULES:
            name = "prune_by_both" if rule == "both" else rule
            expected = find_label_issues(given, probs, rule=rule).issues
            assert getattr(confident, name)(given, probs).tolist() == expected.tolist()
        np.testing.assert_array_equal(confident.class_thresholds(given, probs), Naive(given, probs).thresholds)


class TestHowItIsRead:
    """The kind of array, the blocks and the threads make no difference."""

    @pytest.mark.parametrize("rule", ["prune_by_noise_rate", "low_normalized_margin"])
    @pytest.mark.parametrize(("block_rows", "threads"), [(1, 1), (7, 1), (7, 3), (100, 2), (5000, 4)])
    def test_blocks_and_threads(self, rule, block_rows, threads):
        given, probs = make(11, rows=400, classes=7, missing=0.1, decimals=5)
        expected = find_label_issues(given, probs, rule=rule)
        found = find_label_issues(given, probs, rule=rule, block_rows=block_rows, threads=threads)
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))

    @pytest.mark.parametrize("mode", ["r", "r+", "c"])
    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
    def test_memmap(self, tmp_path, mode, dtype):
        given, probs = make(12, rows=300, classes=6, decimals=8)
        np.save(tmp_path / "probs.npy", probs.astype(dtype))
        mapped = np.load(tmp_path / "probs.npy", mmap_mode=mode)
        expected = find_label_issues(given, probs)
        for table, labels, rows in ((mapped, given, slice(None)), (mapped[100:250], given[100:250], slice(100, 250))):
            found = find_label_issues(labels, table, block_rows=64)
            np.testing.assert_array_equal(found.self_confidence, expected.self_confidence[rows])
            np.testing.assert_array_equal(found.issues, find_label_issues(given[rows], probs[rows]).issues)

    def test_what_was_written_to_a_copy_on_write_memmap_stays(self, tmp_path):
        given, probs = make(13, rows=5000, classes=4)
        np.save(tmp_path / "probs.npy", probs)
        mapped = np.load(tmp_path / "probs.npy", mmap_mode="c")
        mapped[:] = probs[::-1]
        found = find_label_issues(given, mapped, block_rows=512)
        np.testing.assert_array_equal(found.issues, find_label_issues(given, probs[::-1]).issues)
        np.testing.assert_array_equal(mapped, probs[::-1])

    @pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads a process's memory from /proc")
    def test_memmap_does_not_stay_in_memory(self, tmp_path):
        rows, classes = 400_000, 100
        table = np.lib.format.open_memmap(tmp_path / "p.npy", mode="w+", dtype=np.float32, shape=(rows, classes))
        table[:] = 0.001
        table[np.arange(rows), np.arange(rows) % classes] += np.float32(0.9)
        table.flush()
        script = """
import sys, pathlib, numpy as np
from errata.scores.confident import find_label_issues
peak = lambda: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM"))
probs = np.load(sys.argv[1], mmap_mode="r")
given = np.random.default_rng(0).integers(0, 100, len(probs)).astype(np.int32)
before = peak()
found = find_label_issues(given, probs)
print((peak() - before) * 1024, int(found.issues.sum()))
"""
        done = subprocess.run(
            [sys.executable, "-c", script, tmp_path / "p.npy"], capture_output=True, text=True, check=True
        )
        grown, flagged = map(int, done.stdout.split())
        assert flagged > 0.9 * rows
        assert grown < table.nbytes / 2  # every row is contested here: most of it is what is kept of them

    def test_kinds_of_arrays(self):
        given, probs = make(14, rows=100, classes=4, decimals=6)
        expected = find_label_issues(given, probs)
        for labels, table in (
            (given.tolist(), probs.tolist()),
            (given.astype(np.int8), np.asfortranarray(probs)),
            (given.astype(float), np.repeat(probs, 2, axis=1)[:, ::2]),
            (torch.tensor(given), torch.tensor(probs)),
            (given, probs.astype(np.float16)),
            (given, probs.astype(np.longdouble)),
        ):
            found = find_label_issues(labels, table)
            np.testing.assert_array_equal(found.issues, expected.issues)
            np.testing.assert_allclose(found.self_confidence, expected.self_confidence, rtol=1e-7)

    def test_input_is_not_changed(self):
        given, probs = make(15)
        copies = given.copy(), probs.copy()
        probs.flags.writeable = given.flags.writeable = False
        find_label_issues(given, probs)
        np.testing.assert_array_equal(given, copies[0])
        np.testing.assert_array_equal(probs, copies[1])

    @pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
    def test_precision_of_the_scores(self, dtype):
        given, probs = make(16, decimals=6)
        scores = confident.self_confidence(given, probs.astype(dtype))
        assert scores.dtype == (np.float64 if dtype is np.float64 else np.float32)


class TestEdges:
    def test_missing_labels_change_nothing_for_the_others(self):
        given, probs = make(21, rows=200, classes=5)
        more = np.concatenate([given, np.full(60, -1)])
        shuffled = np.random.default_rng(0).permutation(260)
        table = np.concatenate([probs, make(22, rows=60, classes=5)[1]])
        for rule in RULES:
            expected = find_label_issues(given, probs, rule=rule)
            found = find_label_issues(more[np.sort(shuffled)], table, rule=rule)
            np.testing.assert_array_equal(found.issues, np.concatenate([expected.issues, np.zeros(60, bool)]))
            np.testing.assert_array_equal(found.joint, expected.joint)
            assert np.isnan(found.self_confidence[200:]).all()
            assert np.isnan(found.normalized_margin[200:]).all()
            assert np.isnan(confident.entropy_weighted(more, table)[200:]).all()
            np.testing.assert_array_equal(found.predicted, table.argmax(axis=1))

    def test_single_row(self):
        for rule in ("prune_by_noise_rate", "prune_by_class", "both"):
            assert not find_label_issues([1], [[0.9, 0.1]], rule=rule).issues.any()  # a class's last row stays
        assert find_label_issues([1], [[0.9, 0.1]], rule="predicted_neq_given").issues.tolist() == [True]

    def test_one_class_given(self):
        found = find_label_issues([2, 2, 2], [[0.1, 0.2, 0.7], [0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
        assert not found.issues.any()
        assert found.joint.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
        assert found.thresholds[:2].tolist() == [np.inf, np.inf]

    def test_absent_class_is_never_counted(self):
        given, probs = make(23, rows=150, classes=5)
        given[given == 3] = 1
        found = find_label_issues(given, probs)
        assert found.thresholds[3] == np.inf
        assert not found.joint[3].any()
        assert not found.joint[:, 3].any()

    def test_joint_has_the_given_labels_shares(self):
        given, probs = make(24, rows=150, classes=5, missing=0.2)
        joint = confident_joint(given, probs)
        np.testing.assert_allclose(joint.sum(axis=1), np.bincount(given[given >= 0], minlength=5) / (given >= 0).sum())
        assert joint.sum() == pytest.approx(1, abs=1e-12)
        assert confident_joint(given, probs, calibrate=False).sum() == pytest.approx(1, abs=1e-12)

    def test_rounding_does_not_contest_a_label(self):
        probs = np.array([[0.5, 0.5 + 5e-7], [0.5, 0.5 + 5e-6], [0.9, 0.1]])
        assert confident.predicted_neq_given([0, 0, 0], probs).tolist() == [False, True, False]

    @pytest.mark.parametrize("given", [[0, 0, 1], [0, 0, 2]])  # all classes present, or one absent
    def test_rounding_does_not_decide_what_is_confident(self, given):
        for less, counted in ((5e-7, 3), (5e-6, 2)):
            probs = np.array([[0.7 - less, 0.3 + less, 0], [0.7 + less, 0.3 - less, 0], [0.1, 0.4, 0.5]])
            thresholds = confident.class_thresholds(given, probs)
            assert thresholds[0] == pytest.approx(0.7, abs=1e-12)
            joint = confident_joint(given, probs, calibrate=False)
            assert joint[0, 0] == pytest.approx((counted - 1) / (counted + 1))  # absent classes are given one row

    def test_cutoff_is_the_first_float_above_the_exact_one(self):
        thresholds = np.array([0.3, 0.7, np.inf])
        for dtype in (np.float32, np.float64):
            cut = cutoffs(thresholds, np.dtype(dtype))
            assert cut.dtype == dtype
            assert (cut[:2].astype(float) >= thresholds[:2] - 1e-6).all()
            assert (np.nextafter(cut[:2], dtype(0)).astype(float) < thresholds[:2] - 1e-6).all()

    def test_certain_and_wrong_everywhere(self):
        """Thresholds are kept above zero, or every class would count as confident in every row."""
        given, probs = np.array([0, 0, 1, 1]), np.eye(2)[[1, 1, 0, 0]]
        assert confident.class_thresholds(given, probs).tolist() == [2e-6, 2e-6]
        assert confident.confident_learning(given, probs).all()

    def test_ranked(self):
        given, probs = make(25, rows=150, classes=3)
        found = find_label_issues(given, probs)
        rows = found.ranked()
        assert set(rows) == set(np.flatnonzero(found.issues))
        assert (np.diff(found.self_confidence[rows]) >= 0).all()

    def test_entropy_weighted(self):
        probs = np.array([[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25], [0.0, 1.0, 0, 0], [0.5, 0.5, 0, 0]])
        scores = confident.entropy_weighted([0, 0, 0, 0], probs)
        np.testing.assert_allclose(scores, [1, np.log(5) / 4, 0, np.log(2)], rtol=1e-12)
        given, table = make(26, rows=150)
        scores = confident.entropy_weighted(given, table)
        assert (scores >= 0).all()
        assert (scores <= 1).all()


class TestBadInput:
    GIVEN, PROBS = [0, 1, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.7, 0.3]]

    @pytest.mark.parametrize(
        ("row", "values", "message"),
        [
            (2, [np.nan, 1.0], r"row 2, column 0 is nan, expected a probability"),
            (3, [1.0, np.inf], r"row 3, column 1 is inf"),
            (1, [-0.25, 1.25], r"row 1, column 0 is -0.25"),
            (3, [2.5, 3.5], r"row 3 sums to 6, expected 1 .* softmax"),
            (0, [0.5, 0.25], r"row 0 sums to 0.75, expected 1"),
        ],
    )
    @pytest.mark.parametrize("block_rows", [1, 100])
    @pytest.mark.parametrize("threads", [1, 2])
    def test_no_distribution(self, row, values, message, block_rows, threads):
        probs = np.array(self.PROBS)
        probs[row] = values
        with pytest.raises(DataError, match=message):
            find_label_issues(self.GIVEN, probs, block_rows=block_rows, threads=threads)
        with pytest.raises(DataError, match=message):
            confident.entropy_weighted(self.GIVEN, probs)

    def test_first_bad_row_is_named_whatever_the_threads(self):
        given, probs = make(31, rows=500, classes=3)
        probs[[77, 78, 300, 490]] = np.nan
        for threads in (1, 4):
            with pytest.raises(DataError, match="row 77, column 0"):
                find_label_issues(given, probs, block_rows=10, threads=threads)

    def test_rounding_is_no_error(self):
        probs = np.array([[1.0 + 5e-7, -5e-7], [0.2, 0.8]])
        found = find_label_issues([0, 1], probs)
        assert found.self_confidence.tolist() == [1.0, 0.8]
        rounded = np.random.default_rng(0).dirichlet(np.ones(10), 50).round(3)  # as in a table with three decimals
        find_label_issues(np.arange(50) % 10, rounded)

    @pytest.mark.parametrize(
        ("given", "message"),
        [
            ([0, 1, 2, 0], r"row 2 is 2, expected an integer from 0 to 1.*needs one"),
            ([0, -2, 1, 0], r"row 1 is -2"),
            ([0, 1, 0.5, 0], r"row 2 is 0.5"),
            ([0, 1, float("nan"), 0], r"row 2 is nan"),
            (
                ["cat", "dog", "dog", "cat"],
                r"expected classes as integers from 0 to 1 \(-1 for missing\), found type <U3",
            ),
            ([0, 1, 1], r"3 labels and pred_probs has 4 rows"),
            ([[0], [1], [1], [0]], r"shape \(4, 1\)"),
            ([-1, -1, -1, -1], r"every label is missing"),
        ],
    )
    def test_labels(self, given, message):
        with pytest.raises(DataError, match=message):
            find_label_issues(given, self.PROBS)

    @pytest.mark.parametrize(
        ("probs", "message"),
        [
            ([0.5, 0.5, 0.1, 0.9], r"found shape \(4,\)"),
            ([[1.0]] * 4, r"found shape \(4, 1\)"),
            (np.empty((0, 3)), r"found shape \(0, 3\)"),
            ([["a", "b"]] * 4, r"real numbers"),
            (np.ones((4, 2), complex), r"real numbers"),
            ([[0.5, 0.5], [1.0]], r"cannot be read as an array"),
            (torch.full((4, 2), 0.5, requires_grad=True), r"detach"),
            (torch.full((4, 2), 0.5, dtype=torch.bfloat16), r"float\(\)"),
        ],
    )
    def test_tables(self, probs, message):
        with pytest.raises(DataError, match=message):
            find_label_issues(self.GIVEN, probs)

    def test_parameters(self):
        with pytest.raises(UnknownNameError, match="Did you mean 'prune_by_class'"):
            find_label_issues(self.GIVEN, self.PROBS, rule="prune_by_clas")
        for name in ("threads", "block_rows"):
            for value in (0, -1, 1.5, True, "2"):
                with pytest.raises(ParameterError, match=f"{name}: expected an integer of at least 1"):
                    find_label_issues(self.GIVEN, self.PROBS, **{name: value})


def uneven():
    """Labels of rare and frequent classes, and probabilities; the figures below are cleanlab 2.9's for them."""
    rng = np.random.default_rng(7)
    n, k = 400, 4
    true = rng.choice(k, n, p=[0.55, 0.25, 0.15, 0.05])
    given = np.where(rng.random(n) < 0.15, (true + rng.integers(1, k, n)) % k, true)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), true] += 2
    probs = np.exp(logits)
    return given, probs / probs.sum(1, keepdims=True)


def test_adjusted_scores_are_those_of_cleanlab():
    given, probs = uneven()
    own = [0.466995, 0.525889, 0.664901, 0.454983]
    margin = [0.55304, 0.643778, 0.729752, 0.535915]
    assert confident.self_confidence(given, probs, adjust=True)[:4] == pytest.approx(own, abs=1e-6)
    assert confident.normalized_margin(given, probs, adjust=True)[:4] == pytest.approx(margin, abs=1e-6)
    found = confident.find_label_issues(given, probs, adjust=True)
    assert (found.self_confidence == confident.self_confidence(given, probs, adjust=True)).all()
    assert (found.issues == confident.find_label_issues(given, probs).issues).all()


@pytest.mark.parametrize(
    ("rule", "number"),
    [
        ("prune_by_noise_rate", 85),
        ("prune_by_class", 100),
        ("both", 78),
        ("confident_learning", 74),
        ("predicted_neq_given", 115),
        ("low_normalized_margin", 74),
        ("low_self_confidence", 74),
    ],
)
def test_every_rule_flags_as_many_as_cleanlab(rule, number):
    given, probs = uneven()
    assert confident.find_label_issues(given, probs, rule=rule).issues.sum() == number


def test_the_number_of_issues_is_counted_as_cleanlab_does():
    given, probs = uneven()
    assert confident.num_label_issues(given, probs) == 74
    assert confident.num_label_issues(given, probs, count="off_diagonal_calibrated") == 106
    found = confident.find_label_issues(given, probs, rule="low_self_confidence", count="off_diagonal_calibrated")
    assert found.issues.sum() == 106
    assert found.self_confidence[found.issues].max() <= found.self_confidence[~found.issues].min()
    with pytest.raises(UnknownNameError, match="count"):
        confident.num_label_issues(given, probs, count="diagonal")


def test_a_class_without_rows_can_be_adjusted():
    given, probs = uneven()
    wide = np.column_stack([probs, np.zeros(len(probs))])
    assert np.isfinite(confident.self_confidence(given, wide, adjust=True)).all()
