"""The room of several labels per item: from every kind of source to a run, and what is told where that can't be."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import errata
from errata.engine.multilabel import matched_thresholds
from errata.engine.multilabel_run import MultiLabelRun
from errata.engine.multilabel_scores import multilabel_scores
from errata.errors import DataError, ErrataError, LoadError, ParameterError, UnknownNameError
from errata.systems.multilabel.bce import BinaryCrossEntropy

NAMES = ["loud", "fast", "sad"]
QUICK = {"device": "cpu", "progress": False, "seed": 3, "epochs": 6}


def songs(n=150, seed=0):
    """Features whose signs are the labels."""
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return x, (x > 0).astype(np.int8)


def table(n=150, seed=0):
    x, y = songs(n, seed)
    features = pd.DataFrame(x, columns=["level", "tempo", "mood"])
    return features.assign(key=["C", "D", "E"] * (n // 3), **dict(zip(NAMES, y.T)))


@pytest.fixture(scope="module")
def trained():
    x, y = songs()
    return errata.train(x, np.where(np.random.default_rng(1).random(y.shape) < 0.3, -1, y), system="pu-mlc", **QUICK)


def test_a_run_has_ledger_figures_and_predictions(trained):
    assert isinstance(trained, MultiLabelRun)
    assert trained.classes == ["0", "1", "2"]
    assert len(trained.ledger) == 150
    assert trained.ledger.kind.rows == "items"
    assert trained.metrics["labels"] == 3
    assert trained.metrics["known"] == pytest.approx(0.7, abs=0.05)
    x, y = songs(60, seed=9)
    p = trained.predict_proba(x)
    assert p.shape == (60, 3)
    assert ((p >= 0) & (p <= 1)).all()
    np.testing.assert_array_equal(trained.predict(x), p >= trained.thresholds)
    np.testing.assert_array_equal(trained.predict(x, threshold=0.9), p >= 0.9)
    found = trained.evaluate(x, y)
    assert found["map"] > 0.9
    assert found["micro_f1"] > 0.8
    assert trained.metrics["evaluation"] == found


def test_the_same_seed_gives_the_same_run(trained):
    x, y = songs()
    again = errata.train(x, np.where(np.random.default_rng(1).random(y.shape) < 0.3, -1, y), system="pu-mlc", **QUICK)
    pd.testing.assert_frame_equal(trained.ledger.parts, again.ledger.parts, check_exact=True)


def test_saved_and_loaded_it_predicts_the_same(trained, tmp_path):
    trained.save(tmp_path / "run", report=False)
    loaded = errata.Run.load(tmp_path / "run", device="cpu")
    assert isinstance(loaded, MultiLabelRun)
    x, _ = songs(20, seed=5)
    np.testing.assert_array_equal(loaded.predict_proba(x), trained.predict_proba(x))
    np.testing.assert_array_equal(loaded.predict(x), trained.predict(x))
    pd.testing.assert_frame_equal(loaded.ledger.parts, trained.ledger.parts)


def test_missing_positives_are_found():
    x, y = songs(400)
    rng = np.random.default_rng(2)
    noted = np.where((y == 1) & (rng.random(y.shape) < 0.3), 0, y)
    ledger = errata.train(x, noted, system="pu-mlc", **{**QUICK, "epochs": 20}).ledger
    parts = ledger.parts.sort_values(["row", "label"])
    wrong = (noted != y).ravel()
    flagged = parts["issue"].to_numpy()
    assert wrong[flagged].mean() > 0.7
    assert flagged[wrong].mean() > 0.5


def test_tables_with_columns_of_labels_or_one_of_lists(tmp_path):
    frame = table()
    frame.to_csv(tmp_path / "songs.csv", index=False)
    lists = frame.drop(columns=NAMES).assign(tags=["|".join(n for n in NAMES if row[n]) for _, row in frame.iterrows()])
    lists.to_json(tmp_path / "songs.jsonl", orient="records", lines=True)
    found = []
    for name, label in (("songs.csv", "loud,fast,sad"), ("songs.csv", NAMES), ("songs.jsonl", "tags")):
        run = errata.train(tmp_path / name, label=label, system="bce", **QUICK)
        assert sorted(run.classes) == sorted(NAMES)
        run.save(tmp_path / f"run{len(found)}", report=False)
        loaded = errata.Run.load(tmp_path / f"run{len(found)}", device="cpu")
        new = table(60, seed=8)
        # neither labels nor the order of columns are needed
        shuffled = new.drop(columns=NAMES)[["mood", "key", "tempo", "level"]]
        np.testing.assert_allclose(loaded.predict_proba(shuffled), run.predict_proba(new), rtol=1e-5)
        found.append(run.evaluate(tmp_path / name)["map"])
    assert min(found) > 0.9
    assert run.evaluate(new, new[run.classes].to_numpy())["map"] > 0.85


ARFF = "@relation songs\n@attribute level numeric\n@attribute tempo numeric\n@attribute mood numeric\n{}@data\n"


def write_arff(path, x, y, unknown=(), order=(0, 1, 2)):
    head = ["level", "tempo", "mood"]
    text = "@relation songs\n" + "".join(f"@attribute {head[i]} numeric\n" for i in order)
    text += "".join(f"@attribute {name} {{0,1}}\n" for name in NAMES) + "@data\n"
    for row, labels in zip(x, y):
        values = [f"{row[i]:.6g}" for i in order]
        text += ",".join([*values, *("?" if v < 0 else str(v) for v in labels)]) + "\n"
    path.write_text(text)


def test_arff_with_a_list_of_labels_beside_it(tmp_path):
    x, y = songs()
    write_arff(tmp_path / "songs-train.arff", x, np.where(np.arange(150)[:, None] % 5 == 0, -1, y))
    (tmp_path / "songs.xml").write_text("<labels>" + "".join(f'<label name="{n}"/>' for n in NAMES) + "</labels>")
    run = errata.train(tmp_path / "songs-train.arff", system="pu-mlc", **QUICK)
    assert run.classes == NAMES
    new, truth = songs(60, seed=4)
    write_arff(tmp_path / "songs-test.arff", new, truth, order=(2, 0, 1))  # attributes are found by name
    assert run.evaluate(tmp_path / "songs-test.arff")["map"] > 0.9
    np.testing.assert_allclose(run.predict_proba(tmp_path / "songs-test.arff"), run.predict_proba(new), rtol=1e-3)
    (tmp_path / "other.arff").write_text("@relation r\n@attribute level numeric\n@attribute loud {0,1}\n@data\n1,1\n")
    with pytest.raises(DataError, match="lacks 2 of the 3 features trained on, such as 'tempo'"):
        run.predict(tmp_path / "other.arff")


def picture(colours):
    array = np.full((8, 8, 3), 20, dtype=np.uint8)
    array[..., [i for i in range(3) if colours[i]]] = 230
    file = io.BytesIO()
    Image.fromarray(array).save(file, "PNG")
    return file.getvalue()


def test_images_in_a_table_and_texts(tmp_path):
    y = np.random.default_rng(0).integers(0, 2, (48, 3))
    frame = pd.DataFrame({"photo": [picture(row) for row in y], "red": y[:, 0], "green": y[:, 1], "blue": y[:, 2]})
    frame.to_parquet(tmp_path / "photos.parquet")
    run = errata.train(
        tmp_path / "photos.parquet", label="red,green,blue", image_column="photo", system="pu-mlc", **QUICK
    )
    assert run.predict_proba(tmp_path / "photos.parquet").shape == (48, 3)
    words = pd.DataFrame({"text": [f"it is {' '.join(np.array(NAMES)[row == 1])} today" for row in y]})
    run = errata.train(words, y, system="bce", text="text", **QUICK)
    assert run.predict(words).shape == (48, 3)


def test_held_out_items_and_the_best_epoch():
    x, y = songs()
    run = errata.train(x, y, system="bce", validation=0.2, select="best", **QUICK)
    assert run.metrics["held_out"] == 30
    assert 0 < run.metrics["validation_map"] <= run.metrics["validation_map_best"] <= 1
    assert run.metrics["selected"] == "best"
    assert run.ledger.columns["held_out"].sum() == 30
    assert np.isfinite(run.ledger.trust).all()


class Stops(BinaryCrossEntropy):
    """A training that is interrupted once, in its third epoch."""

    card = BinaryCrossEntropy.card
    armed = False

    def training_step(self, batch):
        if Stops.armed and self.current_epoch == 2:
            Stops.armed = False
            raise MemoryError("killed")
        return super().training_step(batch)


def test_stopped_and_resumed_is_as_not_stopped(tmp_path):
    x, y = songs()
    whole = errata.train(x, y, system=Stops, **QUICK)
    Stops.armed = True
    with pytest.raises(MemoryError):
        errata.train(x, y, system=Stops, out=tmp_path / "run", **QUICK)
    with pytest.raises(LoadError, match="has not finished"):
        errata.Run.load(tmp_path / "run")
    with pytest.raises(ErrataError, match="already holds results"):
        errata.train(x, y, system=Stops, out=tmp_path / "run", **QUICK)
    with pytest.raises(LoadError, match="another training"):
        errata.train(x, 1 - y, system=Stops, out=tmp_path / "run", resume=True, **QUICK)
    resumed = errata.train(x, y, system=Stops, out=tmp_path / "run", resume=True, **QUICK)
    pd.testing.assert_frame_equal(resumed.ledger.parts, whole.ledger.parts, check_exact=True)
    for name, value in whole.system.state_dict().items():
        assert torch.equal(value, resumed.system.state_dict()[name]), name


X, Y = songs(20)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X,), DataError, "has no labels"),
        ((X, Y[:5]), DataError, "labels for each of the 20 rows"),
        ((X, np.zeros_like(Y)), DataError, "nothing to learn"),
        ((X, Y + 5), DataError, "Expected 0 or 1"),
        ((X, np.where(Y == 1, np.inf, Y)), DataError, "Expected 0 or 1"),
        ((X, Y[:, 0]), DataError, r"shape \(N, L\)"),
        ((np.where(X > 1, np.nan, X), Y), DataError, "holds nan in row"),
        ((X[:0], Y[:0]), DataError, "empty"),
        ((X[:1], Y[:1] * 0 + 1), DataError, "too few"),
    ],
)
def test_bad_input_is_told(arguments, error, message):
    with pytest.raises(error, match=message):
        errata.train(*arguments, system="pu-mlc", **QUICK)


def test_wrong_names_and_options_are_told(trained, tmp_path):
    frame = table(30)
    with pytest.raises(UnknownNameError, match="'fast'"):
        errata.train(frame, label="loud,fats", system="pu-mlc", **QUICK)
    with pytest.raises(UnknownNameError, match="gamma"):
        errata.train(X, Y, system="pu-mlc", gama=1.0, **QUICK)
    with pytest.raises(ParameterError, match="given twice"):
        errata.train(frame, Y, label="loud", system="pu-mlc", **QUICK)
    with pytest.raises(ParameterError, match="threshold must be"):
        trained.predict(X, threshold=[0.5, 0.5])
    with pytest.raises(DataError, match="labels"):
        trained.evaluate(X)
    odd = frame.assign(tags=["loud|new"] * 30).drop(columns=NAMES)
    lists = frame.assign(tags=["loud|fast"] * 29 + ["sad"]).drop(columns=NAMES)
    run = errata.train(lists, label="tags", system="bce", **QUICK)
    with pytest.raises(UnknownNameError, match="'new'"):
        run.evaluate(odd)


def test_thresholds_match_what_is_given():
    rng = np.random.default_rng(0)
    p = rng.random((100, 3))
    given = (rng.random((100, 3)) < [0.1, 0.5, 0.0]).astype(int)
    thresholds = matched_thresholds(given, p)
    assert ((p >= thresholds).sum(0) == given.sum(0))[:2].all()
    assert thresholds[2] == 0.5  # nobody has it
    assert matched_thresholds(np.where(given == 0, -1, given), p).tolist() == [0.5] * 3  # positives alone


def test_figures_agree_with_scikit_learn():
    from sklearn.metrics import f1_score, hamming_loss, label_ranking_loss

    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 2, (40, 5)), rng.random((40, 5))
    found = multilabel_scores(y, p, np.full(5, 0.4))
    said = p >= 0.4
    assert found["micro_f1"] == pytest.approx(f1_score(y, said, average="micro"), abs=1e-6)
    assert found["macro_f1"] == pytest.approx(f1_score(y, said, average="macro"), abs=1e-6)
    assert found["hamming"] == pytest.approx(hamming_loss(y, said), abs=1e-6)
    assert found["ranking_loss"] == pytest.approx(label_ranking_loss(y, p), abs=1e-6)
    one = multilabel_scores(y[:, :1], p[:, :1], np.array([0.4]))
    assert one["micro_f1"] == pytest.approx(f1_score(y[:, 0], said[:, 0]), abs=1e-6)
