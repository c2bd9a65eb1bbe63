"""``errata.train`` from data as they come to a ledger, a model and a folder."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn

import errata
from errata import noise
from errata.engine import Run, train
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError
from errata.parts import System

QUICK = {"device": "cpu", "progress": False, "seed": 0}


def people(rows=240, seed=0):
    """A table of numbers, categories and gaps, whose label follows age and city; every tenth label is wrong."""
    rng = np.random.default_rng(seed)
    age, city = rng.integers(18, 80, rows).astype(float), rng.choice(["Rome", "Oslo", "Lima"], rows)
    old = (age > 50) | (city == "Oslo")
    right = np.where(old, "stays", "leaves")
    given = np.where(np.arange(rows) % 10 == 3, np.where(old, "leaves", "stays"), right)
    age[5] = np.nan
    return pd.DataFrame({"age": age, "city": city, "income": rng.normal(size=rows), "plan": given}), right


def test_the_robust_system_beats_the_plain_one_and_finds_the_wrong_labels(digits):
    x, given, true = (part[:800] for part in digits[:3])
    x_test, y_test = digits[3:]
    accuracy = {}
    for slug in ("ce", "elr"):
        run = train(x, given, system=slug, **QUICK)
        accuracy[slug] = run.evaluate(x_test, y_test)["accuracy"]
    assert accuracy["elr"] >= accuracy["ce"] + 0.03
    assert accuracy["elr"] > 0.92
    wrong = given != true
    assert average_precision_score(wrong, 1 - run.ledger.trust) > 0.97
    assert wrong[run.ledger.issue].mean() > 0.9
    assert run.ledger.noise.rate == pytest.approx(0.4, abs=0.05)
    assert (run.ledger.proposed[wrong] == true[wrong]).mean() > 0.9


def test_a_table_from_a_file_to_predictions_and_back(tmp_path):
    table, right = people()
    table.to_csv(tmp_path / "people.csv", index=False)
    out = tmp_path / "run"
    run = train(tmp_path / "people.csv", label="plan", system="ce", out=out, **QUICK)
    assert {p.name for p in out.iterdir()} >= {"model.pt", "run.json", "metrics.json", "ledger.parquet", "summary.json"}
    found = set(run.ledger.issues(budget=24).index)
    assert len(found & set(np.flatnonzero(table["plan"] != right))) > 15
    new, truth = people(60, seed=9)
    new = new.drop(columns="plan")
    assert (run.predict(new) == truth).mean() > 0.8
    again = Run.load(out)
    np.testing.assert_array_equal(again.predict_proba(new), run.predict_proba(new))
    pd.testing.assert_frame_equal(again.ledger.table, run.ledger.table)
    assert again.metrics == json.loads(json.dumps(run.metrics))
    assert again.history == run.history
    assert again.classes == ["leaves", "stays"]
    measured = again.evaluate(new.assign(plan=truth))
    assert set(measured) == {"accuracy", "balanced_accuracy", "macro_f1", "log_loss", "ece", "rows"}
    with pytest.raises(ErrataError, match="city"):
        run.predict(new.drop(columns="city"))


def test_metrics_hold_no_test_figure_unless_evaluated(digits):
    x, given, _, x_test, y_test = digits
    run = train(x[:200], given[:200], system="ce", epochs=2, **QUICK)
    assert set(run.metrics) == {
        "system",
        "epochs",
        "seconds",
        "rows",
        "labelled",
        "trained_on",
        "train_loss",
        "train_accuracy",
        "issues",
        "noise_rate",
    }
    run.evaluate(x_test, y_test)
    assert "evaluation" in run.metrics


def test_texts():
    rng = np.random.default_rng(0)
    words = {"pets": ["cat", "dog", "fish", "purr", "bark"], "cars": ["road", "engine", "wheel", "brake", "fuel"]}
    truth = rng.choice(["pets", "cars"], 150)
    texts = [" ".join(rng.choice([*words[t], "the", "a", "and"], 8)) for t in truth]
    given = np.where(np.arange(150) % 10 == 0, np.where(truth == "pets", "cars", "pets"), truth)
    run = train(texts, given.tolist(), **QUICK)
    assert (run.predict(["the dog and the cat bark", "a wheel and fuel"]) == ["pets", "cars"]).all()
    assert len(set(run.ledger.issues(budget=15).index) & set(range(0, 150, 10))) >= 13


def test_images_and_a_network_of_ones_own(tmp_path):
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2
    x = rng.integers(0, 100, (60, 1, 8, 8)).astype(np.uint8)
    x[y == 1, :, 2:6, 2:6] += 150
    run = train(x, y, system="ce", epochs=10, out=tmp_path / "auto", **QUICK)
    assert run.about["model"]["name"] == "small_cnn"
    assert (run.predict(x) == y).mean() > 0.9

    def own():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))

    mine = train(x, y, system="ce", model=own(), epochs=10, out=tmp_path / "own", **QUICK)
    with pytest.raises(LoadError, match="network of your own"):
        Run.load(tmp_path / "own")
    loaded = Run.load(tmp_path / "own", model=own())
    np.testing.assert_array_equal(loaded.predict_proba(x), mine.predict_proba(x))
    with pytest.raises(LoadError, match="does not fit"):
        Run.load(tmp_path / "own", model=nn.Sequential(nn.Flatten(), nn.Linear(64, 3)))
    with pytest.raises(LoadError, match="does not fit"):
        Run.load(tmp_path / "own", model=nn.Linear(64, 2))


def test_held_out_rows_and_rows_without_label(digits):
    x, given, true = (part[:400] for part in digits[:3])
    names = np.array([f"digit {k}" for k in given], dtype=object)
    names[::10] = None
    run = train(x, names, system="elr", validation=0.2, **QUICK)
    ledger, bare = run.ledger, np.arange(400) % 10 == 0
    assert len(ledger) == 400
    assert np.isnan(ledger.trust[bare]).all()
    assert not ledger.issue[bare].any()
    assert (ledger.proposed[bare] == true[bare]).mean() > 0.6  # proposed all the same; chance is 0.1
    held = ledger.columns["held_out"]
    assert held.sum() == run.metrics["held_out"] == pytest.approx(0.2 * 360, abs=5)
    assert not np.isnan(ledger.trust[held]).any()
    per_class = np.bincount(given[held & ~bare], minlength=10) / np.bincount(given[~bare], minlength=10)
    np.testing.assert_allclose(per_class, 0.2, atol=0.03)
    last = run.history[-1]["val_accuracy"]
    best = max(r["val_accuracy"] for r in run.history)
    assert run.metrics["validation_accuracy"] == last
    assert run.metrics["validation_accuracy_best"] == best

    def agreement():
        return (run.predict(x)[held] == names[held]).mean()

    assert agreement() == pytest.approx(last)
    assert run.select("best") is run
    assert agreement() == pytest.approx(best)
    run.select("last")
    assert agreement() == pytest.approx(last)
    chosen = train(x, names, system="elr", validation=0.2, select="best", **QUICK)
    assert (chosen.predict(x)[held] == names[held]).mean() == pytest.approx(best)
    np.testing.assert_array_equal(chosen.ledger.trust[~held], ledger.trust[~held])


def test_only_the_weights_selected_can_be_loaded(tmp_path, digits):
    x, given = digits[0][:200], digits[1][:200]
    train(x, given, validation=0.2, epochs=3, out=tmp_path / "a", **QUICK)
    with pytest.raises(ParameterError, match="weights of the last epoch only"):
        Run.load(tmp_path / "a").select("best")
    with pytest.raises(UnknownNameError, match="'lasd'"):
        Run.load(tmp_path / "a").select("lasd")


def test_the_same_seed_gives_the_same_ledger(digits):
    x, given = digits[0][:200], digits[1][:200]
    a, b, c = (train(x, given, epochs=3, **{**QUICK, "seed": s}) for s in (1, 1, 2))
    assert a.ledger.trust.tobytes() == b.ledger.trust.tobytes()
    assert a.ledger.trust.tobytes() != c.ledger.trust.tobytes()


def test_an_epoch_of_a_balanced_subset_still_knows_every_row_by_and_by(digits):
    x, _, given, _, _ = digits
    run = train(x, given, system="elr", epochs=8, epoch_rows=len(x) // 2, **QUICK)
    seen = run.system.visits.values
    assert int(seen.sum()) == 8 * (len(x) // 2)
    assert (seen > 0).float().mean() > 0.95
    assert run.about["epoch_rows"] == len(x) // 2


def test_a_system_of_ones_own(digits):
    from errata.systems.classification.ce import CrossEntropyTraining

    class Mine(CrossEntropyTraining):
        pass

    run = train(digits[0][:100], digits[1][:100], system=Mine, epochs=1, **QUICK)
    assert isinstance(run.system, Mine)
    assert issubclass(Mine, System)


@pytest.mark.parametrize(
    ("wrong", "error", "said"),
    [
        ({"system": "erl"}, UnknownNameError, "Did you mean 'elr'"),
        ({"lamda_": 1.0}, UnknownNameError, "Did you mean 'lambda_'"),
        ({"system": print}, ParameterError, "slug of a system"),
        ({"model": "mpl"}, UnknownNameError, "Did you mean 'mlp'"),
        ({"model": 3}, ParameterError, "model must be"),
        ({"validation": 1.0}, ParameterError, "validation must be"),
        ({"select": "best"}, ParameterError, "needs held-out labels"),
        ({"select": "first"}, UnknownNameError, "'first'"),
        ({"seed": -1}, ParameterError, "seed must be"),
        ({"resume": True}, ParameterError, "give out=FOLDER"),
        ({"epochs": 0}, ParameterError, "epochs must be"),
        ({"batch_size": 0}, ParameterError, "batch_size must be"),
    ],
)
def test_arguments_that_make_no_sense(digits, wrong, error, said):
    with pytest.raises(error, match=said):
        train(digits[0][:60], digits[1][:60], **{**QUICK, **wrong})


def test_data_that_cannot_be_trained_on():
    x = np.zeros((20, 3))
    with pytest.raises(DataError, match="no labels"):
        train(x, **QUICK)
    with pytest.raises(DataError, match="at least 2 classes"):
        train(x, ["only"] * 20, **QUICK)
    with pytest.raises(DataError, match="label for each"):
        train(x, [0, 1], **QUICK)
    x[3, 1] = np.nan
    with pytest.raises(DataError, match="nan in row 3"):
        train(x, [0, 1] * 10, **QUICK)


def test_a_folder_that_is_taken_is_left_as_it_is(tmp_path, digits):
    x, given = digits[0][:100], digits[1][:100]
    (tmp_path / "notes.txt").write_text("mine")
    train(x, given, epochs=2, out=tmp_path, **QUICK)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ErrataError, match="nothing is overwritten"):
        train(x, given, epochs=2, out=tmp_path, **QUICK)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert (tmp_path / "notes.txt").read_text() == "mine"
    audited = tmp_path / "audited"
    errata.Ledger([0, 1], [0, 1], [0.5, 0.5], classes=["a", "b"]).save(audited, report=False)
    with pytest.raises(ErrataError, match=r"ledger\.parquet"):
        train(x, given, epochs=2, out=audited, **QUICK)


def test_resuming_a_finished_run_gives_it_back_and_more_epochs_go_on(tmp_path, digits):
    x, given = digits[0][:150], digits[1][:150]
    first = train(x, given, epochs=2, out=tmp_path, scheduler="constant", **QUICK)
    same = train(x, given, epochs=2, out=tmp_path, scheduler="constant", resume=True, **QUICK)
    pd.testing.assert_frame_equal(first.ledger.table, same.ledger.table)
    assert same.metrics == first.metrics
    more = train(x, given, epochs=4, out=tmp_path, scheduler="constant", resume=True, **QUICK)
    at_once = train(x, given, epochs=4, scheduler="constant", **QUICK)
    pd.testing.assert_frame_equal(more.ledger.table, at_once.ledger.table)
    assert json.loads((tmp_path / "run.json").read_text())["epochs"] == 4


def test_a_checkpoint_of_other_data_settings_or_system_is_refused(tmp_path, digits):
    x, given = digits[0][:150], digits[1][:150]
    train(x, given, epochs=2, out=tmp_path, **QUICK)
    again = {"epochs": 4, "out": tmp_path, "resume": True, **QUICK}
    other = given.copy()
    other[7] = (other[7] + 1) % 10
    with pytest.raises(LoadError, match="the data was"):
        train(x, other, **again)
    with pytest.raises(LoadError, match="the data was"):
        train(x + 1e6 * np.eye(150, 64), given, **again)
    with pytest.raises(LoadError, match=r"beta was 0\.7, now it is 0\.9"):
        train(x, given, beta=0.9, **again)
    with pytest.raises(LoadError, match="the system was 'elr', now it is 'ce'"):
        train(x, given, system="ce", **again)
    with pytest.raises(LoadError, match="the seed was 0, now it is 5"):
        train(x, given, **{**again, "seed": 5})


KILLED = """
import os, signal, sys
import numpy as np, torch
from torch import nn
import errata

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        steps = nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10)
        self.layers = nn.Sequential(*steps)
        self.steps = 0

    def forward(self, x):
        self.steps += self.training
        if self.steps == int(os.environ.get("KILL_AT", -1)):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.layers(x)

def main(out, resume):
    data = np.load(sys.argv[1])
    torch.manual_seed(0)
    return errata.train(data["x"], data["y"], model=Network(), epochs=5, batch_size=32, validation=0.1, out=out,
                        resume=resume, device="cpu", progress=False, seed=3)

if __name__ == "__main__":
    main(sys.argv[2], False)
"""


def test_killed_in_the_middle_of_an_epoch_and_resumed_is_as_not_killed(tmp_path, digits, monkeypatch):
    np.savez(tmp_path / "data.npz", x=digits[0][:320], y=digits[1][:320])
    script = tmp_path / "script.py"
    script.write_text(KILLED)
    environment = {**os.environ, "PYTHONPATH": str(Path(errata.__file__).parents[1])}
    steps = -(-(320 - 32) // 32)  # of one epoch
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "data.npz"), str(tmp_path / "killed")],
        env={**environment, "KILL_AT": str(2 * steps + 4)},  # in the third epoch
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    saved = torch.load(tmp_path / "killed" / "checkpoints" / "last.ckpt", weights_only=True)
    assert saved["errata_run"]["epochs_done"] == 2
    with pytest.raises(LoadError, match="has not finished"):
        Run.load(tmp_path / "killed")

    scope: dict = {"__name__": "script"}
    monkeypatch.setattr(sys, "argv", ["script", str(tmp_path / "data.npz")])
    exec(compile(KILLED, "script.py", "exec"), scope)
    resumed = scope["main"](tmp_path / "killed", True)
    whole = scope["main"](tmp_path / "whole", False)
    pd.testing.assert_frame_equal(resumed.ledger.table, whole.ledger.table, check_exact=True)
    for name, value in whole.system.state_dict().items():
        assert torch.equal(value, resumed.system.state_dict()[name]), name
    for name, value in whole.weights["best"].items():
        assert torch.equal(value, resumed.weights["best"][name]), name
    without_time = [
        [{k: v for k, v in record.items() if k != "seconds"} for record in run.history] for run in (whole, resumed)
    ]
    assert without_time[0] == without_time[1]


def test_a_real_table_of_human_labels_trains(shared_data, tmp_path):
    """Images stored as JPEG bytes in a Parquet column, with the labels that people gave."""
    source = pd.read_parquet(shared_data / "cifar10n_train.parquet").iloc[:300]
    source.to_parquet(tmp_path / "some.parquet")
    run = train(tmp_path / "some.parquet", label="worst_label", epochs=1, **QUICK)
    assert len(run.ledger) == 300
    assert not np.isnan(run.ledger.trust).any()
    assert len(run.classes) == 10


def test_two_processes_give_the_ledger_of_one(digits):
    given = noise.symmetric(digits[2][:300], 0.2, 10, seed=1)
    one = train(digits[0][:300], given, epochs=2, validation=0.1, **QUICK)
    two = train(digits[0][:300], given, epochs=2, validation=0.1, devices=2, **QUICK)
    np.testing.assert_allclose(one.ledger.trust, two.ledger.trust, atol=1e-5)
    assert (one.ledger.proposed == two.ledger.proposed).mean() > 0.99
    assert [r["epoch"] for r in two.history] == [1, 2]
    assert two.metrics["train_loss"] == pytest.approx(one.metrics["train_loss"], abs=1e-5)
    assert two.metrics["best_epoch"] in (1, 2)


def test_a_language_model_reads_token_ids_of_its_own_tokenizer(bert):
    texts = ["good film", "bad film", "good good", "bad bad"] * 6
    run = errata.train(texts, [0, 1, 0, 1] * 6, system="ce", model=f"hf:{bert}", epochs=2, device="cpu", progress=False)
    assert run.encoder.name == "tokens"
    assert run.predict_proba(["good film"]).shape == (1, 2)
    ledger = errata.audit(texts, [0, 1, 0, 1] * 6, model=f"hf:{bert}", epochs=1, folds=2, device="cpu", progress=False)
    assert len(ledger) == 24
