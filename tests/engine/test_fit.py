"""``fit``: repeatable, resumable, refusing what does not belong, quiet, and leaving the process as it was."""

import logging
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import nn

import errata
from errata import systems
from errata.data.batches import Batches
from errata.engine.callbacks import weights_of
from errata.engine.evaluation import predict_proba
from errata.engine.fit import fit, resolve_device
from errata.errors import ErrataError, LoadError, ParameterError

ROWS, FEATURES, CLASSES = 90, 5, 3


def blobs() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(ROWS) % CLASSES
    x = torch.randn(ROWS, FEATURES, generator=generator) + 2 * nn.functional.one_hot(y, FEATURES)
    return x, y


def batches(**more):
    return Batches(*blobs(), **{"batch_size": 16, "seed": 0, **more})


def make(slug="ce", *, dropout=0.2, seed=0, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Linear(FEATURES, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, CLASSES)
        )
        return systems.load(slug)(network, CLASSES, ROWS, **settings)


def run(system, epochs, **more):
    return fit(system, batches(), epochs=epochs, **{"device": "cpu", "progress": False, **more})


def assert_same_state(a, b):
    first, second = a.state_dict(), b.state_dict()
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def test_same_seed_same_weights_other_seed_others():
    a, b, c = make(), make(), make()
    run(a, 2, seed=1)
    run(b, 2, seed=1)
    run(c, 2, seed=2)
    assert_same_state(a, b)
    assert not torch.equal(a.model[0].weight, c.model[0].weight)


def test_randomness_of_the_caller_is_left_alone():
    def drawn():
        return random.random(), np.random.rand(), float(torch.rand(()))

    for draw in (random.seed, np.random.seed, torch.manual_seed):
        draw(5)
    expected = drawn()
    for draw in (random.seed, np.random.seed, torch.manual_seed):
        draw(5)
    run(make(), 1)
    assert drawn() == expected


def test_settings_of_the_process_are_left_alone():
    logger = logging.getLogger("lightning.pytorch")
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        logger.level,
        signal.getsignal(signal.SIGINT),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        torch.is_grad_enabled(),
    )
    run(make(), 1)
    assert before == (
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.cudnn.benchmark,
        logger.level,
        signal.getsignal(signal.SIGINT),
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
        torch.is_grad_enabled(),
    )


def test_says_nothing_without_progress_and_on_short_trainings(capfd, recwarn):
    run(make(), 2, progress=False)
    run(make(), 2, progress=True)
    said = capfd.readouterr()
    assert said.out == ""
    assert said.err == ""
    assert [w for w in recwarn if "lightning" in w.filename] == []


def test_history_and_best_weights_of_the_held_out_labels():
    x, y = blobs()
    held = Batches(x[:30], 2 - y[:30], batch_size=30, shuffle=False)  # wrong labels: the best epoch is an early one
    system = make(scheduler="constant", lr=0.1)
    fitted = run(system, 6, validation=held)
    assert [r["epoch"] for r in fitted.history] == [1, 2, 3, 4, 5, 6]
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    agreement = [r["val_accuracy"] for r in fitted.history]
    assert fitted.best_epoch == 1 + int(np.argmax(agreement))
    assert fitted.best_epoch < 6

    def held_accuracy():
        return (predict_proba(system, x[:30]).argmax(1) == (2 - y[:30]).numpy()).mean()

    assert held_accuracy() == pytest.approx(agreement[-1])
    system.load_state_dict(fitted.best_weights, strict=False)
    assert held_accuracy() == pytest.approx(max(agreement))
    assert fitted.best_weights.keys() == weights_of(system).keys()
    assert not any("belief" in name for name in fitted.best_weights)


@pytest.mark.parametrize(
    "scheduler", ["constant", lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)]
)
def test_stopped_between_epochs_and_resumed_is_as_not_stopped(tmp_path, scheduler):
    whole, first, second = (make(scheduler=scheduler) for _ in range(3))
    run(whole, 5)
    run(first, 2, out=tmp_path)
    fitted = run(second, 5, out=tmp_path, resume=True)
    assert_same_state(whole, second)
    assert [r["epoch"] for r in fitted.history] == [1, 2, 3, 4, 5]


def test_resuming_what_is_finished_gives_it_back(tmp_path):
    held = Batches(*blobs(), batch_size=32, shuffle=False)
    first, second = make(), make(seed=9)
    before = run(first, 3, out=tmp_path, validation=held)
    after = run(second, 3, out=tmp_path, validation=held, resume=True)
    assert_same_state(first, second)
    assert after.history == before.history
    assert after.best_epoch == before.best_epoch
    assert all(torch.equal(before.best_weights[k], after.best_weights[k]) for k in before.best_weights)


def test_resume_without_anything_there_starts(tmp_path):
    a, b = make(), make()
    run(a, 2)
    run(b, 2, out=tmp_path, resume=True)
    assert_same_state(a, b)


def test_the_folder_holds_one_checkpoint_and_both_logs(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    run(make(), 3, out=tmp_path)
    run(make(), 5, out=tmp_path, resume=True)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoints", "logs", "mine.txt"}
    rows = (tmp_path / "logs" / "version_0" / "metrics.csv").read_text().splitlines()
    assert len(rows) == 1 + 3  # one per epoch under the header; the resumed epochs are in version_1
    assert "train_loss" in rows[0]
    assert list((tmp_path / "logs" / "version_1").glob("events.out.tfevents*"))


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda: make("elr"), "the system was 'ce', now it is 'elr'"),
        (lambda: make(lr=0.5), "the hyper-parameter lr was 0.02, now it is 0.5"),
        (lambda: systems.load("ce")(nn.Linear(FEATURES, CLASSES), CLASSES, ROWS + 1), "the number of samples"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused_and_says_why(tmp_path, other, said):
    run(make(), 2, out=tmp_path)
    with pytest.raises(LoadError, match=said):
        run(other(), 4, out=tmp_path, resume=True)


def test_a_checkpoint_of_other_data_is_refused(tmp_path):
    run(make(), 2, out=tmp_path, identity={"data": "a"})
    with pytest.raises(LoadError, match="the data was 'a', now it is 'b'"):
        run(make(), 4, out=tmp_path, resume=True, identity={"data": "b"})


def test_a_damaged_checkpoint_is_told(tmp_path):
    run(make(), 2, out=tmp_path)
    path = tmp_path / "checkpoints" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(LoadError, match=r"last\.ckpt is damaged"):
        run(make(), 4, out=tmp_path, resume=True)


def test_a_foreign_checkpoint_is_told(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(make(), batches())
    trainer.save_checkpoint(tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(LoadError, match="not a checkpoint of errata"):
        run(make(), 4, out=tmp_path, resume=True)


class Evil:
    def __reduce__(self):
        return os.mkdir, (str(Path(os.environ["ERRATA_EVIL"])),)


def test_a_checkpoint_can_run_no_code(tmp_path, monkeypatch):
    monkeypatch.setenv("ERRATA_EVIL", str(tmp_path / "made_by_the_checkpoint"))
    (tmp_path / "checkpoints").mkdir()
    torch.save({"errata_run": {}, "state_dict": Evil()}, tmp_path / "checkpoints" / "last.ckpt")
    with pytest.raises(LoadError, match="damaged, or not a file that errata saved"):
        run(make(), 2, out=tmp_path, resume=True)
    assert not (tmp_path / "made_by_the_checkpoint").exists()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"epochs": 0}, "epochs must be"),
        ({"epochs": 1.5}, "epochs must be"),
        ({"epochs": 1, "devices": 0}, "devices must be"),
        ({"epochs": 1, "precision": "8-bit"}, "or one of 32-true"),
        ({"epochs": 1, "resume": True}, "resume needs the folder"),
        ({"epochs": 1, "device": "tpu"}, "device must be"),
        ({"epochs": 1, "device": "cuda:99"}, "asks for a GPU"),
    ],
)
def test_parameters_that_make_no_sense(wrong, said):
    with pytest.raises(ParameterError, match=said):
        fit(make(), batches(), **{"device": "cpu", "progress": False, **wrong})


def test_a_place_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ErrataError, match="Could not make the folder"):
        run(make(), 1, out=tmp_path / "file")


def test_half_precision_trains():
    system = make(dropout=0.0, lr=0.1)
    fitted = run(system, 10, precision="bf16-mixed")
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert system.model[0].weight.dtype == torch.float32


def test_device_names():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") == ("cuda" if torch.cuda.is_available() else "cpu")


INTERRUPTED = """
import os, signal, sys
sys.path.insert(0, {here!r})
import test_fit as t

class Press(t.Batches):
    def __iter__(self):
        for number, batch in enumerate(super().__iter__()):
            if self.batch_order.epoch == 2 and number == 2:
                os.kill(os.getpid(), signal.SIGINT)
            yield batch

try:
    t.fit(t.make(scheduler="constant"), Press(*t.blobs(), batch_size=16), epochs=5, out={out!r}, device="cpu")
except KeyboardInterrupt as stopped:
    print(stopped)
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
    sys.exit(130)
"""


def test_ctrl_c_says_how_to_resume_and_can_be_resumed(tmp_path):
    code = INTERRUPTED.format(here=str(Path(__file__).parent), out=str(tmp_path))
    environment = {**os.environ, "PYTHONPATH": str(Path(errata.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 130, done.stderr
    assert "Stopped in epoch 3." in done.stdout
    assert "resume=True" in done.stdout
    assert done.stdout.splitlines()[-1] == "True"  # Ctrl-C works again
    assert done.stderr == ""
    whole, resumed = make(scheduler="constant"), make(scheduler="constant")
    run(whole, 5)
    run(resumed, 5, out=tmp_path, resume=True)
    assert_same_state(whole, resumed)
