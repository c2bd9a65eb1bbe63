import gzip
import time

import numpy as np
import pandas as pd
import pytest

import errata
from errata.audit.findings import look
from errata.errors import DataError, UnknownNameError


def ledger_of(data):
    return errata.Ledger.from_labels(data.labels, data.labels.codes, np.full(len(data), 0.9), index=data.rows)


def found_in(data, **more):
    ledger = ledger_of(data)
    return {finding.name: finding for finding in look(data, ledger, **more)}, ledger


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(600, 4)), columns=list("abcd"))
    frame["city"] = rng.choice(["Rome", "Oslo", "Lima"], 600)
    frame["label"] = rng.choice(["no", "yes"], 600)
    return frame


def test_nothing_is_told_of_data_in_which_nothing_is_wrong(table):
    found, ledger = found_in(errata.read(table, "label"))
    assert found == {}
    assert (ledger.columns["duplicate_group"] == -1).all()
    assert ledger.columns["outlier_score"].max() < 5


def test_duplicates_in_a_table_conflicts_first(table):
    table.iloc[30] = table.iloc[10]
    table.iloc[31] = table.iloc[11]
    table.loc[[11, 31], "label"] = ["no", "yes"]
    table.iloc[40] = table.iloc[20]
    table.loc[40, "a"] += 1e-4
    found, ledger = found_in(errata.read(table, "label"))
    assert list(found) == ["conflicting_duplicates", "exact_duplicates", "near_duplicates"]
    assert found["conflicting_duplicates"].rows.tolist() == [11, 31]
    assert sorted(found["exact_duplicates"].rows.tolist()) == [10, 11, 30, 31]
    assert found["exact_duplicates"].details["groups"] == [[10, 30], [11, 31]]
    assert found["near_duplicates"].rows.tolist() == [20, 40]
    group = ledger.columns["duplicate_group"]
    assert group[10] == group[30] != group[11]
    assert found["exact_duplicates"].count == 4


def test_duplicates_among_texts_and_pictures():
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(300)]
    texts = [" ".join(rng.choice(words, 12)) for _ in range(200)]
    texts[50], texts[60] = texts[3], texts[4].upper() + "!"
    texts[70] = ""
    found, _ = found_in(errata.read(texts, ["x", "y"] * 100))
    assert found["exact_duplicates"].rows.tolist() == [3, 50]
    assert found["near_duplicates"].rows.tolist() == [4, 60]
    assert found["conflicting_duplicates"].rows.tolist() == [3, 50]
    assert found["missing_values"].rows.tolist() == [70]
    pictures = rng.integers(0, 255, (100, 12, 12, 3)).astype(np.uint8)
    pictures[40] = pictures[2]
    pictures[41] = np.clip(pictures[5].astype(int) + 1, 0, 255)
    found, _ = found_in(errata.read(pictures, np.arange(100) % 2))
    assert found["exact_duplicates"].rows.tolist() == [2, 40]
    assert found["near_duplicates"].rows.tolist() == [5, 41]


def test_outliers_gaps_constants_and_classes(table):
    table.loc[7, list("abcd")] = 25.0
    table.loc[::5, "b"] = np.nan
    table["flat"] = 3
    table.loc[:2, "label"] = "rare"
    table.loc[3:12, "label"] = "seldom"
    found, ledger = found_in(errata.read(table, "label", classes=["no", "yes", "rare", "seldom", "never"]))
    assert found["outliers"].rows.tolist() == [7]
    assert ledger.columns["outlier_score"].argmax() == 7
    assert found["missing_values"].details["columns"] == {"b": 120}
    assert found["missing_values"].count == 120
    assert found["constant_features"].details["columns"] == ["flat"]
    assert found["rare_classes"].details["classes"] == ["rare"]
    assert found["rare_classes"].rows.tolist() == [0, 1, 2]
    assert found["empty_classes"].details["classes"] == ["never"]
    assert found["class_imbalance"].details["classes"] == ["seldom"]
    x = np.random.default_rng(0).normal(size=(50, 3))
    x[:, 1] = 4
    found, _ = found_in(errata.read(x, np.arange(50) % 2))
    assert found["constant_features"].details["columns"] == ["1"]


def test_leakage_counts_rows_of_the_second_data_set(table):
    train, test = table.iloc[:400].copy(), table.iloc[400:].reset_index(drop=True)
    test.iloc[5] = train.iloc[100]
    test.iloc[6] = train.iloc[100]
    test.iloc[9] = train.iloc[200]
    test.loc[9, "c"] += 1e-4
    found, _ = found_in(errata.read(train, "label"), test=test[test.columns[::-1]])
    leak = found["leakage"]
    assert leak.details["of_test"] == 3
    assert leak.details["exact"] == 1
    assert sorted(leak.rows.tolist()) == [100, 200]
    assert [200, 9] in leak.details["pairs"]
    bare, _ = found_in(errata.read(train, "label"), test=test.drop(columns="label"))
    assert bare["leakage"].details["of_test"] == 3
    clean, _ = found_in(errata.read(train, "label"), test=table.iloc[410:])
    assert "leakage" not in clean
    found, _ = found_in(errata.read(["one two", "three four"], [0, 1]), test=["three four", "else"])
    assert found["leakage"].details["pairs"] == [[1, 0]]


def test_a_second_data_set_must_be_of_the_same_kind(table):
    data = errata.read(table, "label")
    with pytest.raises(UnknownNameError, match="column named 'a'"):
        found_in(data, test=table.drop(columns="a"))
    with pytest.raises(DataError, match="of another kind"):
        found_in(data, test=np.zeros((3, 5)))
    more, _ = found_in(data, test=table.iloc[:3].assign(number=[7, 8, 9]))
    assert more["leakage"].details["of_test"] == 3


def test_of_very_many_rows_a_sample_is_compared(table, monkeypatch):
    from errata.audit.findings import duplicates

    table.iloc[300:, :4] = table.iloc[:300, :4].to_numpy() + 1e-5
    table["city"] = "Rome"
    monkeypatch.setattr(duplicates, "MOST", 500)
    found, _ = found_in(errata.read(table, "label"))
    assert 300 < found["near_duplicates"].count < 500
    assert "of 500 drawn at random" in found["near_duplicates"].says


def test_drift_in_the_order_is_told_and_goes_away_when_mixed():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)) + np.linspace(0, 2, 400)[:, None]
    y = rng.integers(0, 2, 400)
    found, _ = found_in(errata.read(x, y))
    assert found["drift"].details["p_value"] < 0.01
    mixed, _ = found_in(errata.read(rng.permutation(x), y))
    assert "drift" not in mixed


def test_embeddings_tell_more_than_the_data_and_must_fit_them():
    texts, y = ["a", "b", "c", "d"] * 25, np.arange(100) % 2
    data = errata.read([f"{t} {i}" for i, t in enumerate(texts)], y)
    embeddings = np.random.default_rng(0).normal(size=(100, 80)).astype(np.float32)
    embeddings[90] = embeddings[10] + 1e-4
    found, _ = found_in(data, features=embeddings)
    assert found["near_duplicates"].rows.tolist() == [10, 90]
    ledger = ledger_of(data)
    assert [f.name for f in look(None, ledger, features=embeddings)] == ["near_duplicates"]
    assert [f.name for f in look(None, ledger, pred_probs=np.full((100, 2), 0.5))] == []
    with pytest.raises(DataError, match=r"expected numbers of shape \(100, D\), found"):
        look(data, ledger, features=embeddings[:50])
    with pytest.raises(DataError, match="row 3 holds values that are not numbers"):
        look(data, ledger, features=np.where(np.arange(100)[:, None] == 3, np.nan, embeddings))
    with pytest.raises(DataError, match="must be the same rows"):
        look(texts[:3], ledger)


def test_pictures_of_the_test_set_that_were_trained_on(shared_data):
    """Known of CIFAR-10: some pictures of its test set stand in its training set, a little altered."""
    test = errata.read(shared_data / "cifar10_test.parquet", label="label").subset(np.arange(2000))
    rng = np.random.default_rng(0)
    pixels = test.images.pixels(test.rows)
    altered = np.clip(pixels[:50] + rng.normal(scale=4, size=pixels[:50].shape), 0, 255).astype(np.uint8)
    train = errata.read(np.concatenate([altered, pixels[1000:]]), np.arange(1050) % 2)
    found, _ = found_in(train, test=errata.read(pixels[:1000], np.arange(1000) % 2))
    assert found["leakage"].details["of_test"] >= 50
    assert {(i, i) for i in range(50)} <= {tuple(pair) for pair in found["leakage"].details["pairs"]}
    assert found["leakage"].details["of_test"] < 60


def test_findings_are_saved_with_the_ledger(tmp_path, table):
    table.iloc[30] = table.iloc[10]
    table["label"] = np.where(table["a"] > 0, "yes", "no")
    ledger = errata.audit(table, label="label", findings=True, folds=2, progress=False)
    assert "exact_duplicates" in [f.name for f in ledger.findings]
    ledger.save(tmp_path, report=False)
    loaded = errata.Ledger.load(tmp_path)
    assert [f.plain() for f in loaded.findings] == [f.plain() for f in ledger.findings]
    assert (loaded.columns["duplicate_group"] == ledger.columns["duplicate_group"]).all()


def test_real_texts_are_known_to_hold_duplicates(shared_data):
    path = shared_data / "text" / "spam" / "sms_train.tsv.gz"
    with gzip.open(path, "rt") as file:
        assert file.readline()
    frame = pd.read_csv(path, sep="\t", header=None, names=["a", "b"], quoting=3)
    text = frame["a"] if frame["a"].str.len().mean() > frame["b"].astype(str).str.len().mean() else frame["b"]
    expected = text.duplicated(keep=False).sum()
    data = errata.read(text.tolist(), np.arange(len(text)) % 2)
    found, _ = found_in(data)
    assert found["exact_duplicates"].count == expected


def test_a_hundred_thousand_rows_take_seconds():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(100_000, 8)), columns=list("abcdefgh"))
    data = errata.read(frame, rng.integers(0, 3, 100_000))
    start = time.process_time()
    found, _ = found_in(data)
    assert time.process_time() - start < 30
    assert set(found) <= {"outliers", "near_duplicates", "conflicting_duplicates"}
