"""A run's folder: what is damaged, foreign, unfinished or newer is told; a failed save harms nothing."""

import json
import resource

import numpy as np
import pandas as pd
import pytest
import torch

from errata.engine import Run, train
from errata.engine.checkpoints import plain, save_tensors
from errata.engine.task import fingerprint, hold_out
from errata.errors import DataError, ErrataError, LoadError, UnknownNameError


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    folder = tmp_path_factory.mktemp("runs") / "run"
    table = pd.DataFrame(x, columns=["a", "b", "c"]).assign(label=np.where(x[:, 0] > 0, "up", "down"))
    return train(table, system="ce", epochs=3, out=folder, device="cpu", progress=False), folder, table


def altered(folder, to, **changes):
    """A copy of a run's folder with other entries in its description."""
    to.mkdir()
    for file in folder.iterdir():
        if file.is_file():
            (to / file.name).write_bytes(file.read_bytes())
    about = json.loads((to / "run.json").read_text())
    (to / "run.json").write_text(json.dumps({**about, **changes}))
    return to


def test_nothing_there(tmp_path):
    with pytest.raises(LoadError, match="There is no run in"):
        Run.load(tmp_path)


def test_damaged_and_foreign_files(finished, tmp_path):
    _, folder, _ = finished
    copy = altered(folder, tmp_path / "a")
    (copy / "run.json").write_text("{")
    with pytest.raises(LoadError, match=r"run\.json can't be read as JSON"):
        Run.load(copy)
    (copy / "run.json").write_text("[1, 2]")
    with pytest.raises(LoadError, match="damaged, or not errata's"):
        Run.load(copy)
    copy = altered(folder, tmp_path / "b")
    (copy / "model.pt").write_bytes(b"no zip file")
    with pytest.raises(LoadError, match=r"model\.pt is damaged"):
        Run.load(copy)
    (copy / "model.pt").unlink()
    with pytest.raises(LoadError, match=r"model\.pt can't be read: No such file"):
        Run.load(copy)


def test_of_a_newer_errata_and_of_an_unknown_system(finished, tmp_path):
    _, folder, _ = finished
    with pytest.raises(LoadError, match="newer errata"):
        Run.load(altered(folder, tmp_path / "a", format=99))
    with pytest.raises(UnknownNameError, match="named 'elrr'"):
        Run.load(altered(folder, tmp_path / "b", system="elrr"))


def test_saved_elsewhere_it_is_the_same(finished, tmp_path):
    run, _, table = finished
    run.save(tmp_path / "copy")
    again = Run.load(tmp_path / "copy", device="cpu")
    np.testing.assert_array_equal(again.predict_proba(table), run.predict_proba(table))
    assert again.about == json.loads(json.dumps(run.about))


def test_evaluation_needs_labels_that_were_trained_on(finished):
    run, _, table = finished
    assert run.evaluate(table)["accuracy"] > 0.8
    with pytest.raises(UnknownNameError, match="'sideways'"):
        run.evaluate(table.assign(label="sideways"))
    with pytest.raises(ErrataError, match="label"):
        run.evaluate(table.drop(columns="label"))


def test_a_full_disk_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.pt"
    save_tensors({"a": torch.zeros(3)}, path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(ErrataError, match="Could not write"):
            save_tensors({"a": torch.ones(1_000_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert torch.equal(torch.load(path, weights_only=True)["a"], torch.zeros(3))
    assert [p.name for p in tmp_path.iterdir()] == ["model.pt"]


def test_holding_out_keeps_a_row_of_every_class():
    codes = np.array([0] * 100 + [1] * 10 + [2] + [-1] * 5)
    held = hold_out(codes, 0.5, seed=0)
    assert np.bincount(codes[held], minlength=3).tolist() == [50, 5, 0]
    assert (np.sort(held) == held).all()
    np.testing.assert_array_equal(held, hold_out(codes, 0.5, seed=0))
    assert len(hold_out(codes, 0.0, seed=0)) == 0
    assert not np.array_equal(held, hold_out(codes, 0.5, seed=1))


def test_fingerprints_differ_with_the_data():
    x, y, rows = np.arange(300.0).reshape(100, 3), np.arange(100) % 2, np.arange(100)
    own = fingerprint(x, y, rows)
    assert own == fingerprint(torch.from_numpy(x), y, rows)
    assert own != fingerprint(x, 1 - y, rows)
    assert own != fingerprint(x, y, rows[:50])
    assert own != fingerprint(x + 1, y, rows)


def test_plain_values_go_through_json():
    values = {"a": (1, np.float64(0.5)), "b": torch.tensor(2), "c": torch.optim.SGD, "d": None}
    assert json.loads(json.dumps(plain(values))) == {"a": [1, 0.5], "b": 2, "c": "torch.optim.sgd.SGD", "d": None}


def test_too_few_rows():
    with pytest.raises(DataError, match="at least 2 classes"):
        train(np.zeros((3, 2)), [0, None, None], system="ce", device="cpu", progress=False)
