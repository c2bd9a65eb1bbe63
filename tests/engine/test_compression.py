"""The whole of a pruned training: teacher, scores, choice, student, ledger, disk, resuming."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import errata
from errata.engine import compression
from errata.engine.compression import PrunedRun, train
from errata.engine.distilling import ALPHAS
from errata.engine.pruning import SCORES, Choice
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError

QUIET = {"progress": False, "device": "cpu"}
SHORT = {**QUIET, "epochs": 6, "batch_size": 16}


def blobs(n: int = 160, seed: int = 0, wrong: float = 0.15) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    true = np.arange(n) % 3
    x = rng.normal(size=(n, 4)).astype(np.float32) + 3.0 * np.eye(4, dtype=np.float32)[true]
    given = np.where(rng.random(n) < wrong, rng.integers(3, size=n), true)
    return x, given, true


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> tuple[PrunedRun, object]:
    """A run with recorded scores, on the disk."""
    x, given, _ = blobs()
    folder = tmp_path_factory.mktemp("pruned") / "run"
    return train(x, given, keep=0.25, score="el2n", out=folder, **{**SHORT, "epochs": 12}), folder


def test_the_ledger_has_a_row_for_every_sample(trained) -> None:
    run, _ = trained
    _, given, true = blobs()
    ledger = run.ledger
    assert len(ledger) == 160
    assert (ledger.given == given).all()
    assert ledger.kind.task == "compression"
    assert ledger.columns["kept"].sum() == 40
    assert ledger.columns["score"][ledger.columns["kept"]].min() >= np.sort(ledger.columns["score"])[-40]
    assert {"forgetting", "aum", "grand", "correctness"} <= set(ledger.columns)
    assert {"What was kept", "Loss while training"} <= {c.title for c in ledger.charts}
    assert ((ledger.trust >= 0) & (ledger.trust <= 1)).all()
    wrong = given != true
    assert ledger.trust[wrong].mean() < ledger.trust[~wrong].mean() - 0.3
    assert len(run.kept) == 40
    assert len(run.decisions()) == 120


def test_it_can_be_loaded_and_predicts_the_same(trained) -> None:
    run, folder = trained
    x = blobs()[0]
    again = errata.Run.load(folder, device="cpu")
    assert isinstance(again, PrunedRun)
    assert np.array_equal(again.predict_proba(x), run.predict_proba(x))
    assert (again.ledger.columns["kept"] == run.ledger.columns["kept"]).all()
    assert again.about["pruning"]["alpha"] == 1.0
    teacher = errata.Run.load(folder / "teacher", device="cpu")
    assert teacher.system.card.slug == "ce"
    assert "What was kept" in (folder / "report.html").read_text(encoding="utf-8")


def test_the_teacher_of_one_run_serves_another(trained) -> None:
    _, folder = trained
    x, given, true = blobs()
    run = train(x, given, keep=0.2, score="aum", easy=True, teacher=folder / "teacher", **{**SHORT, "epochs": 30})
    assert run.metrics["kept"] == 32
    assert (run.predict(x) == true).mean() > 0.8


@pytest.mark.parametrize("score", [s for s in SCORES if s not in ("random", "el2n")])
def test_every_score_keeps_as_many(trained, score) -> None:
    _, folder = trained
    x, given, _ = blobs()
    run = train(x, given, keep=0.3, score=score, teacher=folder / "teacher", distill=False, **{**SHORT, "epochs": 1})
    assert run.metrics["kept"] == 48
    assert "alpha" not in run.metrics


def test_errata_train_opens_the_same_door() -> None:
    x, given, _ = blobs()
    run = errata.train(x, given, system="kd-pruning", keep=0.3, **SHORT)
    assert isinstance(run, PrunedRun)
    assert run.about["pruning"]["score"] == "random"
    again = train(x, given, keep=0.3, **SHORT)
    assert np.array_equal(run.predict_proba(x), again.predict_proba(x))


def test_without_a_teacher_none_is_trained(tmp_path) -> None:
    x, given, _ = blobs()
    run = train(x, given, keep=0.5, distill=False, out=tmp_path / "a", **SHORT)
    assert run.teacher is None
    assert not (tmp_path / "a" / "teacher").exists()
    assert not np.isnan(run.ledger.trust).any()


def test_everything_is_kept_with_a_share_of_one() -> None:
    x, given, _ = blobs(60)
    run = train(x, given, keep=1.0, alpha=0.5, **SHORT)
    assert run.ledger.columns["kept"].all()


def test_classes_keep_their_shares_where_asked() -> None:
    x, given, _ = blobs()
    run = train(x, given, keep=0.25, class_balanced=True, distill=False, **SHORT)
    kept = np.bincount(given[run.ledger.columns["kept"]], minlength=3)
    assert np.abs(kept - np.bincount(given) * 0.25).max() < 1


def test_scores_of_your_own() -> None:
    x, given, _ = blobs()
    own = np.random.default_rng(0).normal(size=160)
    run = train(x, given, keep=0.25, score=own, distill=False, **SHORT)
    assert set(run.kept) == set(np.argsort(-own)[:40])
    easy = train(x, given, keep=0.25, score=own, easy=True, distill=False, **SHORT)
    assert set(easy.kept) == set(np.argsort(own)[:40])


def test_alpha_is_tried_on_labels_that_the_trials_do_not_see(tmp_path) -> None:
    x, given, _ = blobs(90)
    run = train(x, given, keep=0.6, out=tmp_path / "a", **{**SHORT, "epochs": 3})
    tried = run.about["pruning"]["tried"]
    assert set(tried) == {str(a) for a in ALPHAS}
    assert tried[str(run.metrics["alpha"])] == max(tried.values())
    assert "Choosing the teacher's weight" in [c.title for c in run.ledger.charts]
    assert json.loads((tmp_path / "a" / "alpha.json").read_text()) == tried


def test_equal_steps_give_the_student_as_many_as_the_teacher() -> None:
    x, given, _ = blobs()
    run = train(x, given, keep=0.25, equal="steps", alpha=1.0, **{**SHORT, "epochs": 4})
    assert len(run.history) == 4 * 10 // 3 + 1  # 40 steps of the teacher, 3 batches of the student


def test_images_are_seen_by_teacher_and_student_alike() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(48) % 2
    x = (rng.uniform(0, 60, size=(48, 1, 12, 12)) + 120 * y[:, None, None, None]).astype(np.uint8)
    run = train(x, y, keep=0.5, score="grand", alpha=0.5, **{**SHORT, "epochs": 12})
    assert run.metrics["kept"] == 24
    assert (run.predict(x) == y).mean() > 0.8


def test_texts_too() -> None:
    texts = [f"good day {i}" if i % 2 else f"bad night {i}" for i in range(60)]
    run = train(texts, np.arange(60) % 2, keep=0.5, score="forgetting", alpha=1.0, **SHORT)
    assert run.metrics["kept"] == 30


def test_a_network_of_your_own_is_trained_in_place_and_copied_for_the_teacher() -> None:
    x, given, true = blobs()
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
    run = train(x, given, keep=0.3, model=network, lr=0.1, **{**SHORT, "epochs": 15})
    assert run.system.model is network
    assert run.teacher.system.model is not network
    assert (run.predict(x) == true).mean() > 0.8


class _Stop(Exception):
    pass


@pytest.mark.parametrize("when", ["in the teacher", "in the student"])
def test_stopped_and_resumed_it_ends_where_it_would_have(tmp_path, monkeypatch, when) -> None:
    import lightning.pytorch as pl

    x, given, _ = blobs(80)
    options = {"keep": 0.4, "score": "forgetting", "alpha": 1.0, **SHORT}
    whole = train(x, given, out=tmp_path / "whole", **options)
    wanted = "ce" if when == "in the teacher" else "kd-pruning"
    original = pl.LightningModule.on_train_epoch_start

    def stops(self) -> None:
        if self.card.slug == wanted and self.trainer.current_epoch == 3:
            raise _Stop
        original(self)

    with monkeypatch.context() as patch:
        patch.setattr(pl.LightningModule, "on_train_epoch_start", stops)
        with pytest.raises(_Stop):
            train(x, given, out=tmp_path / "part", **options)
    with pytest.raises(ErrataError, match="already holds"):
        train(x, given, out=tmp_path / "part", **options)
    again = train(x, given, out=tmp_path / "part", resume=True, **options)
    assert np.array_equal(again.predict_proba(x), whole.predict_proba(x))
    for name in ("kept", "score", "forgetting"):
        assert np.array_equal(again.ledger.columns[name], whole.ledger.columns[name], equal_nan=True)


def test_another_training_is_not_resumed(tmp_path) -> None:
    x, given, _ = blobs(80)
    train(x, given, keep=0.3, out=tmp_path / "a", **SHORT)
    with pytest.raises(LoadError, match="belongs to another training"):
        train(x, given[::-1].copy(), keep=0.3, out=tmp_path / "a", resume=True, **SHORT)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"keep": 0.0}, ParameterError, "keep"),
        ({"keep": 1.2}, ParameterError, "keep"),
        ({"score": "el2nn"}, UnknownNameError, "Did you mean 'el2n'"),
        ({"score": np.zeros(7)}, DataError, "160 labelled samples"),
        ({"score": np.full(160, np.nan), "distill": False}, DataError, "NaN"),
        ({"alpha": 1.5}, ParameterError, "alpha"),
        ({"alpha": "best"}, ParameterError, "alpha"),
        ({"tau": 0}, ParameterError, "tau"),
        ({"equal": "time"}, ParameterError, "equal"),
        ({"cut": 1.0}, ParameterError, "cut"),
        ({"cached": "no"}, ParameterError, "cached"),
        ({"learning": 3}, UnknownNameError, "learning"),
        ({"keep": 0.01, "distill": False}, DataError, "of one class"),
    ],
)
def test_mistakes_are_told(options, error, says) -> None:
    x, given, _ = blobs()
    with pytest.raises(error, match=says):
        train(x, given, **{**SHORT, **options})


def test_data_that_can_not_be_trained_on_are_told() -> None:
    x, given, _ = blobs(20)
    with pytest.raises(DataError, match="2 classes"):
        train(x, np.zeros(20, dtype=int), **SHORT)
    with pytest.raises(DataError):
        train(x, given[:7], **SHORT)
    broken = x.copy()
    broken[3, 1] = np.nan
    with pytest.raises(DataError, match=r"NaN|nan|not finite"):
        train(broken, given, **SHORT)


def test_a_teacher_must_know_the_classes_and_the_scores(trained) -> None:
    _, folder = trained
    x, given, _ = blobs()
    with pytest.raises(DataError, match="same classes"):
        train(x, given % 2, teacher=folder / "teacher", **SHORT)
    plain = errata.train(x, given, system="ce", **SHORT)
    with pytest.raises(ParameterError, match="recorded"):
        train(x, given, teacher=plain, score="el2n", **SHORT)
    with pytest.raises(LoadError, match="no run"):
        train(x, given, teacher=folder / "nowhere", **SHORT)


def test_coverage_never_cuts_what_must_be_kept() -> None:
    assert Choice(0.9, "coverage", cut=0.5).share_cut == pytest.approx(0.1)
    assert Choice(0.1, "coverage").share_cut == 0.3
    assert Choice(0.2, "coverage").share_cut == 0.2
    assert Choice(1.0, "coverage").share_cut == 0.0


def test_the_room_reads_what_errata_reads() -> None:
    assert compression.read([[1.0], [2.0]], [0, 1]).labels.classes == [0, 1]
