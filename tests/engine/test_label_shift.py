"""The room of label shift: training, the ledger, prediction with and without domains, on disk, and by command."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import errata
from errata.cli import app
from errata.engine import Run
from errata.engine.label_shift import ShiftRun
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError

SHARE = np.array([[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8], [0.4, 0.4, 0.2]])
SHOPS = np.array(["nord", "süd", "ost", "west"])
QUICK = {"epochs": 12, "batch_size": 64, "device": "cpu", "progress": False, "seed": 0}


def table(rows: int = 900, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    shop = rng.integers(0, 4, rows)
    kind = np.array([rng.choice(3, p=SHARE[s]) for s in shop])
    made = pd.DataFrame(4 * np.eye(3)[kind] + rng.normal(size=(rows, 3)), columns=["a", "b", "c"])
    return made.assign(shop=SHOPS[shop], kind=np.array(["u", "v", "w"])[kind])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table, new rows, and a run on them."""
    folder = tmp_path_factory.mktemp("shift")
    table().to_csv(folder / "visits.csv", index=False)
    table(300, seed=1).to_csv(folder / "new.csv", index=False)
    errata.train(
        folder / "visits.csv", label="kind", system="lls", domain="shop", num_classes=3, out=folder / "run", **QUICK
    )
    return folder


def test_classes_are_found_and_the_ledger_tells_them(folder: Path) -> None:
    run = Run.load(folder / "run")
    assert isinstance(run, ShiftRun)
    assert run.classes == ["class 0", "class 1", "class 2"]
    assert run.domains == sorted(SHOPS)
    assert run.metrics["accuracy_after_matching"] > 0.9
    ledger = run.ledger
    assert ledger.meta["task"] == "label_shift"
    assert (ledger.given == -1).all()
    posterior = np.stack([ledger.columns[f"p_{k}"] for k in range(3)], 1)
    np.testing.assert_allclose(posterior.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(posterior.argmax(1), ledger.proposed)
    assert set(ledger.columns["domain"]) == set(SHOPS)
    assert ledger.noise.rate == 0
    assert ledger.charts[0].style == "bars"
    assert "none of them labelled" in (folder / "run" / "report.html").read_text()


def test_the_true_classes_are_kept_out_of_the_training(folder: Path) -> None:
    run = Run.load(folder / "run")
    assert run.encoder.input_shape == (3,)


def test_new_rows_with_their_domains_and_without(folder: Path) -> None:
    run = Run.load(folder / "run")
    assert isinstance(run, ShiftRun)
    new = table(300, seed=1)
    own, even = run.predict_proba(folder / "new.csv"), run.predict_proba(folder / "new.csv", domain=False)
    assert not np.allclose(own, even)
    np.testing.assert_allclose(run.predict_proba(new.drop(columns=["kind"])), own, atol=1e-5)
    np.testing.assert_allclose(run.predict_proba(new.drop(columns=["shop"])), even, atol=1e-5)
    assert run.evaluate(folder / "new.csv", "kind")["accuracy_after_matching"] > 0.9
    assert set(run.predict(folder / "new.csv")) <= set(run.classes)
    with pytest.raises(UnknownNameError, match="domain"):
        run.predict_proba(new.assign(shop="mars"), domain="shop")


def test_the_command_line(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def errata_says(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, [*words])
        return done.exit_code, " ".join(done.output.split())

    code, said = errata_says("predict", str(folder / "run"), str(folder / "new.csv"), "--out", "p.csv", "--proba")
    assert code == 0, said
    assert list(pd.read_csv("p.csv"))[:4] == ["row", "prediction", "confidence", "p_class 0"]
    source = ("train", str(folder / "visits.csv"), "--system", "lls")
    for more, told in (
        (["--set", "num_classes=3"], "domain=COLUMN"),
        (["--set", "domain=shop"], "num_classes=K"),
        (["--set", "domain=shp", "--set", "num_classes=3"], "Did you mean 'shop'"),
        (["--set", "domain=shop", "--set", "num_classes=9"], "as many domains as classes"),
        (["--set", "domain=shop", "--set", "num_classes=3", "--set", "sollver=nmf"], "Did you mean 'solver'"),
    ):
        code, said = errata_says(*source, *more)
        assert code in (1, 2)
        assert told in said
        assert "Traceback" not in said


def test_arrays_with_domains_and_the_same_seed() -> None:
    data = table(400)
    x, shop = data[["a", "b", "c"]].to_numpy(), data["shop"].to_numpy()
    first, second = (errata.train(x, shop, system="lls", num_classes=3, solver="nmf", **QUICK) for _ in range(2))
    assert first.ledger.table.equals(second.ledger.table)


def test_domains_that_are_alike_are_warned_of() -> None:
    rng = np.random.default_rng(0)
    x, shop = rng.normal(size=(400, 3)), rng.integers(0, 4, 400)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        run = errata.train(x, shop, system="lls", num_classes=3, **{**QUICK, "epochs": 2})
    said = any("not identifiable" in str(one.message) for one in heard)
    assert said == any("not identifiable" in note for note in run.ledger.meta["notes"])
    assert said


def test_bad_input_is_refused(folder: Path, tmp_path: Path) -> None:
    data = table(60)
    for wrong, error in (
        ({"num_classes": 1}, ParameterError),
        ({"num_classes": 3, "solver": "svd"}, ParameterError),
        ({"num_classes": 5}, DataError),
    ):
        with pytest.raises(error):
            errata.train(data, system="lls", domain="shop", **wrong, **QUICK)
    with pytest.raises(ErrataError):
        errata.train(data.assign(shop="one"), system="lls", domain="shop", num_classes=2, **QUICK)
    with pytest.raises(ErrataError, match="already holds results"):
        errata.train(data, system="lls", domain="shop", num_classes=3, out=folder / "run", **QUICK)
    import shutil

    shutil.copytree(folder / "run", tmp_path / "run")
    (tmp_path / "run" / "factors.pt").write_bytes(b"broken")
    with pytest.raises(LoadError, match="damaged"):
        Run.load(tmp_path / "run")
