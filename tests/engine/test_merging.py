"""Two runs become one: in Python and as a folder, with the same classes or others, and what is refused."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch
from torch import nn

import errata
from errata import models
from errata.engine import Run, merge
from errata.engine.merging import MergedRun
from errata.engine.merging_inputs import PairedBatches, named_alike
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError

QUICK = {"epochs": 12, "device": "cpu", "progress": False, "system": "ce"}


def blobs(classes, rows=160, seed=0):
    """(N, 6) points about one centre per class."""
    centres = np.random.default_rng(9).normal(size=(6, 6)) * 3
    rng = np.random.default_rng(seed)
    y = rng.choice(classes, rows)
    return (centres[y] + rng.normal(size=(rows, 6))).astype(np.float32), y


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs on classes 0 to 2, on 2 to 5, on 0 to 2 again; with a small and a larger network."""
    place = tmp_path_factory.mktemp("merging")
    for name, classes, seed in (("low", [0, 1, 2], 1), ("high", [2, 3, 4, 5], 2), ("again", [0, 1, 2], 3)):
        x, y = blobs(classes, seed=seed)
        np.savez(place / f"{name}.npz", x=x, y=y)
        errata.train(str(place / f"{name}.npz"), seed=seed, out=place / name, **QUICK)
    return place


@pytest.fixture(scope="module")
def merged(folder):
    return merge(folder / "low", folder / "high", out=folder / "merged", budget=1.3, device="cpu")


class TestTheMergedRun:
    def test_knows_the_classes_of_both(self, merged):
        assert merged.classes == [0, 1, 2, 3, 4, 5]
        x, y = blobs(range(6), 300, seed=7)
        assert (merged.predict(x) == y).mean() > 0.75
        assert merged.metrics["agreement"] > 0.8
        assert 1.2 < merged.metrics["cost"] < 1.4

    def test_is_a_folder_that_is_loaded_and_predicts_the_same(self, merged, folder):
        again = Run.load(folder / "merged", device="cpu")
        assert isinstance(again, MergedRun)
        x, _ = blobs(range(6), 50, seed=8)
        np.testing.assert_allclose(again.predict_proba(x), merged.predict_proba(x), rtol=1e-5, atol=1e-6)
        assert again.metrics["cost"] == merged.metrics["cost"]
        spec = json.loads((folder / "merged" / "run.json").read_text())["model"]
        wide = models.from_spec(spec)
        assert wide.body[0].out_features > 256 or wide.body[2].out_features > 256
        assert again.evaluate(x, blobs(range(6), 50, seed=8)[1])["accuracy"] > 0.6

    def test_fills_a_ledger_of_units(self, merged, folder):
        ledger = errata.Ledger.load(folder / "merged")
        assert (ledger.kind.row, len(ledger)) == ("unit", 512)
        table = ledger.table
        assert set(table["group"]) == {"body.0.weight:0", "body.2.weight:0"}
        assert (table["given"] == "kept separate").sum() == merged.metrics["kept_separate"] > 0
        for _, units in table.groupby("group"):
            assert sorted(units["unit"]) == sorted(units["partner"]) == list(range(256))
        assert table["trust"].between(0, 1).all()
        assert [chart.title for chart in ledger.charts][:2] == ["How alike the units are", "How wide the layers are"]
        page = (folder / "merged" / "report.html").read_text()
        assert "look unlike" in page
        assert "How wide the layers are" in page

    def test_can_be_merged_again(self, merged, folder):
        twin = merge(folder / "merged", folder / "merged", device="cpu", data=str(folder / "low.npz"))
        x, _ = blobs(range(6), 50, seed=8)
        np.testing.assert_allclose(twin.predict_proba(x), merged.predict_proba(x), atol=2e-2)

    def test_says_the_same_for_the_same_seed(self, folder):
        options = {"budget": 1.2, "device": "cpu", "seed": 5, "batches": 1, "batch_size": 64}
        one, other = (merge(folder / "low", folder / "again", **options) for _ in range(2))
        for a, b in zip(one.system.state_dict().values(), other.system.state_dict().values()):
            assert torch.equal(a, b)
        assert one.metrics["rows"] == 64


def test_the_same_classes_are_averaged(folder):
    run = merge(folder / "low", folder / "again", device="cpu")
    assert run.classes == [0, 1, 2]
    x, y = blobs([0, 1, 2], 200, seed=7)
    assert (run.predict(x) == y).mean() > 0.9


def test_a_probe_learns_from_labels(folder):
    x, y = blobs(range(6), 400, seed=6)
    np.savez(folder / "all.npz", x=x, y=y)
    run = merge(folder / "low", folder / "high", str(folder / "all.npz"), probe=True, label="y", device="cpu")
    plain = merge(folder / "low", folder / "high", str(folder / "all.npz"), device="cpu")
    x, y = blobs(range(6), 300, seed=7)
    assert (run.predict(x) == y).mean() >= (plain.predict(x) == y).mean() - 0.02
    np.savez(folder / "foreign.npz", x=x, y=y + 100)
    with pytest.raises(DataError, match="fewer than two"):
        merge(folder / "low", folder / "high", str(folder / "foreign.npz"), probe=True, label="y", device="cpu")


def test_images_and_a_transformer(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 60, (80, 1, 8, 8), dtype=np.uint8)
    y = rng.integers(0, 3, 80)
    for k in range(3):
        x[y == k, :, 2 * k : 2 * k + 3] += 150
    options = {**QUICK, "epochs": 3}
    runs = [
        errata.train(x[s], y[s], model="patch_transformer", seed=i, optimizer="adam", lr=3e-3, **options)
        for i, s in enumerate((slice(0, 50), slice(30, 80)))
    ]
    merged = merge(*runs, x, budget=1.4, out=tmp_path / "merged", device="cpu", batch_size=40)
    again = Run.load(tmp_path / "merged", device="cpu")
    np.testing.assert_allclose(again.predict_proba(x), merged.predict_proba(x), rtol=1e-4, atol=1e-5)


def test_texts(tmp_path):
    rng = np.random.default_rng(0)
    words = (["good", "fine", "great"], ["bad", "poor", "sad"])
    y = rng.integers(0, 2, 80)
    texts = [" ".join(rng.choice(words[k], 5)) + " film" for k in y]
    runs = [errata.train(texts[s], y[s], seed=i, **QUICK) for i, s in enumerate((slice(0, 50), slice(30, 80)))]
    merged = merge(*runs, texts, device="cpu", out=tmp_path / "merged")
    assert (merged.predict(texts) == y).mean() > 0.95
    again = Run.load(tmp_path / "merged", device="cpu")
    assert (again.predict(texts) == merged.predict(texts)).all()


class TestRefused:
    def test_other_architectures(self, folder):
        x, y = blobs([0, 1, 2])
        other = errata.train(x, y, model=models.MLP(6, 3), **QUICK)
        with pytest.raises(LoadError, match="network of your own"):
            merge(folder / "low", other)
        small = errata.train(x[:, :5], y, **QUICK)
        with pytest.raises(DataError, match="in_features is 6 in the first and 5 in the second"):
            merge(folder / "low", small)

    def test_two_networks_in_one_run(self, folder):
        x, y = blobs([0, 1, 2])
        run = errata.train(x, y, **{**QUICK, "system": "elr-plus"})
        with pytest.raises(ParameterError, match="more than one network"):
            merge(run, folder / "low")

    def test_no_run_and_no_data(self, folder, tmp_path):
        with pytest.raises(LoadError, match="There is no run"):
            merge(tmp_path, folder / "low")
        moved = tmp_path / "moved"
        shutil.copytree(folder / "low", moved)
        about = json.loads((moved / "run.json").read_text())
        about["source"] = about["source_path"] = str(tmp_path / "gone.npz")
        (moved / "run.json").write_text(json.dumps(about))
        with pytest.raises(DataError, match=r"gone\.npz can't be found"):
            merge(moved, folder / "low")

    def test_an_output_that_is_taken_and_values_that_make_no_sense(self, folder, merged):
        with pytest.raises(ErrataError, match="nothing is overwritten"):
            merge(folder / "low", folder / "high", out=folder / "merged")
        for options in ({"budget": 3}, {"seed": -1}, {"batches": 0}, {"matching": "luck"}, {"solver": "x"}):
            with pytest.raises((ParameterError, UnknownNameError)):
                merge(folder / "low", folder / "high", device="cpu", **options)

    def test_training_is_told_where_to_go(self, folder):
        with pytest.raises(ParameterError, match="errata merge A B --out C"):
            errata.train(str(folder / "low.npz"), system="pleas")


def test_a_damaged_spec_is_told():
    spec = models.build("mlp", 3, (4,), hidden=[5]).spec
    with pytest.raises(LoadError, match="widths that can't be read"):
        models.from_spec({**spec, "widths": {"norms": {}}})
    with pytest.raises(LoadError, match="don't fit"):
        models.from_spec({**spec, "widths": {"shapes": {"nothing.weight": [3]}}})


def test_numbers_and_texts_name_the_same_class():
    assert named_alike([0, 1], ["1", "2"]) == ([0, 1], [1, "2"])


def test_each_network_sees_its_own_encoding_of_the_same_rows(folder):
    runs = [Run.load(folder / name, device="cpu") for name in ("low", "high")]
    parts = [errata.read(str(folder / f"{name}.npz")) for name in ("low", "high")]
    batches = PairedBatches(*runs, parts, batch_size=50, most=3, seed=0)
    assert len(batches) == 3
    rows = np.concatenate(list(batches.rows()))
    assert len(set(rows)) == 150
    assert 60 <= (rows < 160).sum() <= 90
    for x in batches:
        raw = [a * torch.tensor(r.encoder.std) + torch.tensor(r.encoder.mean) for a, r in zip(x, runs)]
        torch.testing.assert_close(raw[0], raw[1], rtol=0, atol=1e-4)
        assert not torch.allclose(x.a, x.b)


def test_plain_networks_need_no_runs():
    a, b = (nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)) for _ in range(2))
    assert errata.system("pleas")(a, b, [torch.randn(30, 3)]).model(torch.randn(1, 3)).shape == (1, 2)
