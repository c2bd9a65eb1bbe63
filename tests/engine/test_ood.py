"""Detectors, the room of out-of-distribution systems, and what a run says of new data."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import errata
from errata.engine import Run
from errata.engine.detectors import METHODS, Detector, embed, fit_detectors, load_detector, settings_of
from errata.engine.ood import OODRun, detector_of
from errata.engine.ood_ledger import ood_ledger
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError
from errata.scores import ood

QUICK = {"epochs": 3, "batch_size": 32, "device": "cpu", "progress": False, "seed": 0}


def pictures(n: int = 160, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Grey images of 8 x 8 whose upper or left half is bright."""
    rng = np.random.default_rng(seed)
    x, y = rng.integers(0, 90, (n, 1, 8, 8)), np.arange(n) % 2
    x[y == 0, :, :4] += 140
    x[y == 1, :, :, :4] += 140
    return x.astype(np.uint8), y


def noise(n: int = 40) -> np.ndarray:
    return np.random.default_rng(9).integers(0, 256, (n, 1, 8, 8)).astype(np.uint8)


@pytest.fixture(scope="module")
def trained() -> OODRun:
    return errata.train(*pictures(), system="oest", m_in=-4, m_out=-1, validation=0.3, **{**QUICK, "epochs": 12})


class TestTheRoom:
    def test_the_ledger_says_in_or_out_with_the_score(self, trained: OODRun) -> None:
        ledger = trained.ledger
        assert ledger.meta["task"] == "ood"
        assert ledger.classes == ["in-distribution", "out-of-distribution"]
        assert len(ledger) == 160
        assert set(ledger.table["given"]) == {"in-distribution"}
        np.testing.assert_allclose(ledger.columns["score"], trained.score(pictures()[0]), rtol=1e-5)
        assert (ledger.issue == (ledger.columns["score"] > ledger.meta["threshold"])).all()
        assert int(ledger.columns["held_out"].sum()) == 48
        assert set(ledger.columns["class"]) == {"0", "1"}
        assert ledger.kind.row == "sample"

    def test_five_per_cent_of_the_held_out_rows_are_flagged(self, trained: OODRun) -> None:
        held = trained.ledger.columns["held_out"]
        assert trained.ledger.issue[held].sum() == pytest.approx(0.05 * held.sum(), abs=1)

    def test_it_classifies_as_any_run_does(self, trained: OODRun) -> None:
        x, y = pictures(seed=1)
        assert (trained.predict(x) == y).mean() > 0.9
        assert trained.evaluate(x, y)["accuracy"] > 0.9

    def test_noise_is_told_from_new_data_of_the_same_kind(self, trained: OODRun) -> None:
        found = ood.detection_metrics(trained.score(pictures(seed=2)[0]), trained.score(noise()))
        assert found.auroc > 0.9

    def test_it_is_loaded_as_it_was_saved(self, trained: OODRun, tmp_path: Path) -> None:
        trained.save(tmp_path)
        loaded = Run.load(tmp_path)
        assert isinstance(loaded, OODRun)
        assert set(loaded.detectors) == set(METHODS)
        for method in METHODS:
            np.testing.assert_allclose(
                loaded.score(noise(), method), trained.score(noise(), method), rtol=1e-4, atol=1e-5
            )
        assert loaded.ledger.meta["threshold"] == trained.ledger.meta["threshold"]
        assert [c.title for c in loaded.ledger.charts] == [c.title for c in trained.ledger.charts]

    def test_the_same_seed_gives_the_same_ledger(self) -> None:
        first, second = (errata.train(*pictures(64), system="oest-star", **QUICK) for _ in range(2))
        assert first.ledger.table.equals(second.ledger.table)

    def test_a_stopped_training_goes_on_and_ends_the_same(self, tmp_path: Path) -> None:
        options = {"scheduler": "constant"}
        straight = errata.train(*pictures(64), system="oest", **options, **QUICK)
        errata.train(*pictures(64), system="oest", out=tmp_path / "stopped", **options, **{**QUICK, "epochs": 2})
        resumed = errata.train(*pictures(64), system="oest", out=tmp_path / "stopped", resume=True, **options, **QUICK)
        np.testing.assert_array_equal(resumed.ledger.columns["score"], straight.ledger.columns["score"])

    def test_selecting_another_epoch_fits_the_scale_anew(self) -> None:
        run = errata.train(*pictures(), system="oest", validation=0.3, **QUICK)
        if run.metrics["best_epoch"] == 3:
            pytest.skip("the last epoch was the best one")
        before = run.ledger.meta["threshold"]
        run.select("best")
        assert run.ledger.meta["threshold"] != before

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"method": "enrgy"}, UnknownNameError),
            ({"quantile": 1.0}, ParameterError),
            ({"validation": 0.95}, ParameterError),
            ({"m_inn": 3}, UnknownNameError),
            ({"pd_transforms": ["swirl"]}, UnknownNameError),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, options: dict, error: type[ErrataError]) -> None:
        with pytest.raises(error):
            errata.train(*pictures(40), system="oest", **{**QUICK, **options})

    def test_tables_and_a_single_class_are_refused(self) -> None:
        with pytest.raises(DataError, match="images"):
            errata.train(np.zeros((40, 3)), [0, 1] * 20, system="oest", **QUICK)
        with pytest.raises(DataError, match="class"):
            errata.train(pictures(40)[0], [0] * 40, system="oest", **QUICK)

    def test_an_existing_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "run.json").write_text("{}")
        with pytest.raises(ErrataError, match="already holds results"):
            errata.train(*pictures(40), system="oest", out=tmp_path, **QUICK)


class TestDetectors:
    @pytest.mark.parametrize("method", ["energy", "msp", "maxlogit", "uniform"])
    def test_scores_are_the_pure_ones_of_the_logits(self, trained: OODRun, method: str) -> None:
        pure = {
            "energy": ood.energy_score,
            "msp": ood.max_probability_score,
            "maxlogit": ood.max_logit_score,
            "uniform": ood.uniform_score,
        }[method]
        with torch.no_grad():
            expected = pure(trained.system.eval()(torch.from_numpy(noise())))
        np.testing.assert_allclose(trained.score(noise(), method), expected, rtol=1e-5)

    def test_odin_moves_images_in_their_own_units(self, trained: OODRun) -> None:
        x = torch.from_numpy(noise()).float() / 255
        views = trained.system.views
        expected = ood.odin_score(trained.system.model.eval(), views.plain(x), channel_std=views.std)
        np.testing.assert_allclose(trained.score(noise(), "odin"), expected, rtol=1e-4)

    def test_features_are_compared_with_those_trained_on(self, trained: OODRun) -> None:
        learned = torch.from_numpy(pictures()[0][~trained.ledger.columns["held_out"]])
        classes = torch.from_numpy(pictures()[1][~trained.ledger.columns["held_out"]])
        system = trained.system.eval()
        with torch.no_grad():
            bank, new = embed(system, learned).double(), embed(system, torch.from_numpy(noise())).double()
        expected = ood.mahalanobis_score(new, ood.fit_class_gaussians(bank, classes))
        np.testing.assert_allclose(trained.score(noise(), "mahalanobis"), expected, rtol=1e-3)
        np.testing.assert_allclose(
            trained.score(noise(), "knn"), ood.knn_score(new, bank, trained.detectors["knn"].settings["k"]), rtol=1e-4
        )

    def test_the_embedding_is_what_the_last_linear_layer_takes(self) -> None:
        network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        system = errata.system("ce")(network, 2, 1)
        x = torch.randn(5, 4)
        torch.testing.assert_close(embed(system, x), network[:3](x))
        with pytest.raises(DataError, match="neither"):
            embed(errata.system("ce")(nn.Flatten(), 2, 1), x)

    def test_a_detector_of_other_weights_is_not_taken(self, trained: OODRun, tmp_path: Path) -> None:
        trained.save(tmp_path)
        assert load_detector(tmp_path, "energy", trained.system) is not None
        other = errata.train(*pictures(40), system="oest", **QUICK)
        assert load_detector(tmp_path, "energy", other.system) is None
        (tmp_path / "detectors" / "energy.pt").write_bytes(b"nothing")
        with pytest.raises(LoadError, match="damaged"):
            load_detector(tmp_path, "energy", trained.system)

    @pytest.mark.parametrize(
        ("method", "given", "error"),
        [
            ("enrgy", {}, UnknownNameError),
            ("energy", {"k": 3}, UnknownNameError),
            ("energy", {"temperature": 0}, ParameterError),
            ("odin", {"epsilon": -1}, ParameterError),
            ("knn", {"k": 2.5}, ParameterError),
            ("knn", {"k": "many"}, ParameterError),
        ],
    )
    def test_settings_are_checked(self, trained: OODRun, method: str, given: dict, error: type[ErrataError]) -> None:
        with pytest.raises(error):
            settings_of(method, given, trained.system)

    def test_nothing_to_take_the_scale_from(self, trained: OODRun) -> None:
        with pytest.raises(DataError, match="usual scores"):
            fit_detectors(trained.system, {"energy": {}}, torch.zeros(0, 1, 8, 8))
        x = torch.from_numpy(pictures(20)[0])
        with pytest.raises(ParameterError, match="k must be less"):
            fit_detectors(trained.system, {"knn": {"k": 20}}, x, x)

    def test_texts_are_scored_but_not_by_what_moves_them(self) -> None:
        texts = [f"{'good' if i % 2 else 'bad'} number {i}" for i in range(60)]
        run = errata.train(texts, [i % 2 for i in range(60)], system="ce", validation=0.3, **QUICK)
        ledger = errata.audit(["good number 3", "zz qq"], task="ood", run=run, progress=False)
        assert len(ledger) == 2
        with pytest.raises(DataError, match="whole numbers"):
            errata.audit(["good"], task="ood", run=run, method="odin", progress=False)


class TestAnyRun:
    @pytest.fixture(scope="class")
    def folder(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A table of two clouds, and a run of plain training on it that held nothing out."""
        folder = tmp_path_factory.mktemp("any")
        write_table(folder / "table.csv")
        errata.train(folder / "table.csv", label="kind", system="ce", out=folder / "run", **{**QUICK, "epochs": 20})
        return folder

    def test_the_training_data_are_read_again_and_the_detector_is_kept(self, folder: Path) -> None:
        run = Run.load(folder / "run")
        first = detector_of(run, "knn", folder=folder / "run")
        assert (folder / "run" / "detectors" / "knn.pt").exists()
        assert not first.held_out
        moved = folder / "elsewhere.csv"
        os.replace(folder / "table.csv", moved)
        try:
            again = detector_of(run, "knn", folder=folder / "run")
            with pytest.raises(LoadError, match="--reference"):
                detector_of(run, "msp", folder=folder / "run")
        finally:
            os.replace(moved, folder / "table.csv")
        np.testing.assert_array_equal(again.reference, first.reference)

    def test_settings_of_one_time_do_not_replace_what_is_kept(self, folder: Path) -> None:
        run = Run.load(folder / "run")
        usual = detector_of(run, "mahalanobis", folder=folder / "run")
        other = detector_of(run, "mahalanobis", folder=folder / "run", epsilon=0.1)
        assert not np.array_equal(usual.reference, other.reference)
        np.testing.assert_array_equal(detector_of(run, "mahalanobis", folder=folder / "run").reference, usual.reference)

    def test_a_row_of_the_training_data_does_not_count_as_its_own_neighbour(self, folder: Path) -> None:
        run = Run.load(folder / "run")
        assert detector_of(run, "knn", folder=folder / "run").reference.min() > 1e-7

    def test_far_rows_are_found_with_every_score_of_features(self, folder: Path) -> None:
        rng = np.random.default_rng(4)
        new = np.r_[rng.normal(size=(20, 2)), [[40.0, -40.0]]]
        import pandas as pd

        table = pd.DataFrame(new, columns=["a", "b"])
        for method in ("mahalanobis", "knn"):
            ledger = errata.audit(table, task="ood", run=folder / "run", method=method, progress=False)
            assert ledger.order[0] == 20
            assert ledger.issue[20]

    def test_a_reference_sets_the_scale(self, folder: Path, tmp_path: Path) -> None:
        reference = write_table(tmp_path / "reference.csv", seed=3)
        run = Run.load(folder / "run")
        for method in ("energy", "knn"):
            detector = detector_of(run, method, reference=str(reference))
            assert detector.held_out
            assert len(detector.reference) == (200 if method == "energy" else 100)

    def test_training_data_of_another_length_are_noticed(self, folder: Path, tmp_path: Path) -> None:
        about = json.loads((folder / "run" / "run.json").read_text())
        shorter = write_table(tmp_path / "table.csv", rows=50)
        run = Run.load(folder / "run")
        run.about = {**about, "source": str(shorter), "source_path": str(shorter)}
        with pytest.raises(LoadError, match="50 rows"):
            detector_of(run, "msp")


def write_table(path: Path, rows: int = 200, seed: int = 0) -> Path:
    rng = np.random.default_rng(seed)
    kind = np.arange(rows) % 2
    x = rng.normal(size=(rows, 2)) + 4.0 * kind[:, None]
    lines = ["a,b,kind", *(f"{a:.4f},{b:.4f},{'uv'[k]}" for (a, b), k in zip(x, kind))]
    path.write_text("\n".join(lines) + "\n")
    return path


class TestTheLedger:
    def ledger(self, held_out: bool = True, rows: int = 200) -> errata.Ledger:
        rng = np.random.default_rng(0)
        detector = Detector("energy", {}, np.sort(rng.normal(size=rows)), held_out)
        scores = np.r_[rng.normal(size=3000), rng.normal(6, 1, size=1000)]
        data = errata.read(np.zeros((4000, 2)), False)
        return ood_ledger(detector, scores, data, {}, {"source": "somewhere"})

    def test_the_share_of_foreign_rows_is_estimated(self) -> None:
        ledger = self.ledger()
        assert abs(ledger.noise.rate - 0.25) < 0.1
        assert ledger.issue[3000:].all()
        assert ledger.issue[:3000].mean() < 0.12
        order = ledger.order[:50]
        assert (np.diff(ledger.columns["score"][order]) <= 0).all()

    def test_the_report_speaks_of_samples_that_look_foreign(self) -> None:
        from errata.audit.report import render

        page = render(self.ledger())
        assert "samples in somewhere look foreign" in page
        assert "Scores of these rows and of the usual ones" in page
        for word in ("labels in somewhere", "Most confused", "Which class is mistaken"):
            assert word not in page

    def test_a_scale_that_is_not_to_be_relied_on_says_so(self) -> None:
        assert "trained on" in " ".join(self.ledger(held_out=False).meta["notes"])
        assert "40 held-out rows" in " ".join(self.ledger(rows=40).meta["notes"])
        assert self.ledger().meta["notes"] == []

    def test_no_rows_make_an_empty_ledger(self) -> None:
        detector = Detector("energy", {}, np.zeros(5))
        ledger = ood_ledger(detector, np.zeros(0), errata.read(np.zeros((3, 2)), False).subset([]), {}, {})
        assert len(ledger) == 0
