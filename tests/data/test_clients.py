"""Whose rows are whose: dealt out, named by a column, or in a folder for each client; and what has no label."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from errata.data.clients import client_folders, dirichlet_partition, read_clients
from errata.errors import DataError, ParameterError, UnknownNameError


def table(rows=60, clients=3, unlabelled=0.5, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 3
    frame = pd.DataFrame({"a": rng.normal(size=rows) + y, "b": rng.normal(size=rows) - y})
    frame["kind"] = np.array(["x", "y", "z"], dtype=object)[y]
    frame.loc[rng.random(rows) < unlabelled, "kind"] = None
    frame["site"] = [["Köln", "Oslo", "São Paulo"][i % clients] for i in range(rows)]
    return frame


@given(
    st.lists(st.integers(-1, 4), min_size=20, max_size=200),
    st.integers(1, 8),
    st.one_of(st.none(), st.floats(0.05, 50)),
    st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_every_row_has_one_owner_and_every_client_two_rows(codes, clients, alpha, seed):
    owners = dirichlet_partition(np.array(codes), clients, alpha, seed)
    counts = np.bincount(owners, minlength=clients)
    assert len(owners) == len(codes)
    assert len(counts) == clients
    assert counts.min() >= 2
    assert np.array_equal(owners, dirichlet_partition(np.array(codes), clients, alpha, seed))


def test_small_alpha_is_uneven_and_none_is_even():
    codes = np.repeat(np.arange(10), 200)

    def largest_share(alpha):
        owners = dirichlet_partition(codes, 10, alpha, seed=1)
        per_class = np.stack([np.bincount(owners[codes == k], minlength=10) for k in range(10)])
        return float((per_class.max(1) / 200).mean())

    assert largest_share(None) == pytest.approx(0.1)
    assert largest_share(100.0) < 0.2 < 0.5 < largest_share(0.1)


def test_rows_without_a_label_are_spread_evenly():
    owners = dirichlet_partition(np.full(100, -1), 4, 0.1, 0)
    assert np.bincount(owners).tolist() == [25] * 4


def test_labels_are_hidden_inside_each_client():
    x, y = np.random.default_rng(0).normal(size=(300, 2)), np.arange(300) % 3
    found = read_clients(x, y, clients=5, labelled=0.1, alpha=0.5, seed=4)
    whole = read_clients(x, y, clients=5, alpha=0.5, seed=4)
    for few, all_ in zip(found.codes, whole.codes):
        kept = few >= 0
        assert kept.sum() == np.ceil(0.1 * len(all_))
        assert np.array_equal(few[kept], all_[kept])
    assert found.simulated
    assert any("to simulate few labels" in line for line in found.describe())


def test_the_servers_rows_are_in_no_clients_data():
    x, y = np.zeros((100, 2)), np.arange(100) % 2
    found = read_clients(x, y, clients=3, test_share=0.2, seed=1)
    rows = np.concatenate([d.rows for d in found.data])
    assert len(found.test) == 20
    assert sorted([*rows, *found.test.rows]) == list(range(100))


def test_a_column_names_the_clients_and_is_not_learned_from():
    found = read_clients(table(), "kind", client_column="site")
    assert found.names == ["Köln", "Oslo", "São Paulo"]
    assert [c.name for c in found.data[0].features] == ["a", "b"]
    assert found.classes == ["x", "y", "z"]
    assert not found.simulated
    assert "kinds" not in found.data[0].reading


def test_names_may_be_given_for_each_row():
    found = read_clients(np.zeros((6, 2)), [0, 1, 0, 1, 0, 1], clients=["b", "a", "b", "a", "b", "a"])
    assert found.names == ["a", "b"]
    assert found.data[1].rows.tolist() == [0, 2, 4]


class TestFolders:
    def test_a_table_for_each(self, tmp_path):
        for site, part in table().groupby("site"):
            part.drop(columns="site").to_csv(tmp_path / f"{site}.csv", index=False)
        found = read_clients(tmp_path, "kind")
        assert found.names == ["Köln", "Oslo", "São Paulo"]
        assert sum(map(len, found.data)) == 60

    def test_a_folder_of_images_by_class_for_each(self, tmp_path):
        for client, classes in {"a": ["cat", "dog"], "b": ["dog", "Unlabelled"], "c": ["unlabeled"]}.items():
            for name in classes:
                (tmp_path / client / name).mkdir(parents=True)
                for i in range(3):
                    Image.new("L", (9, 9), i).save(tmp_path / client / name / f"{i}.png")
        found = read_clients(tmp_path)
        assert found.names == ["a", "b", "c"]
        assert found.classes == ["cat", "dog"]
        assert [sorted(codes.tolist()) for codes in found.codes] == [
            [0, 0, 0, 1, 1, 1],
            [-1, -1, -1, 1, 1, 1],
            [-1] * 3,
        ]

    def test_one_client_may_lack_labels_or_their_column(self, tmp_path):
        table(unlabelled=0).drop(columns="site").to_csv(tmp_path / "all.csv", index=False)
        table(unlabelled=1).drop(columns="site").to_csv(tmp_path / "none.csv", index=False)
        table().drop(columns=["site", "kind"]).to_csv(tmp_path / "bare.csv", index=False)
        found = read_clients(tmp_path, "kind")
        assert [int((codes >= 0).sum()) for codes in found.codes] == [60, 0, 0]
        assert all([c.name for c in d.features] == ["a", "b"] for d in found.data)

    def test_a_folder_of_images_by_class_is_no_folder_of_clients(self, tmp_path):
        (tmp_path / "cat").mkdir()
        Image.new("L", (8, 8)).save(tmp_path / "cat" / "1.png")
        assert client_folders(tmp_path) == {}
        with pytest.raises(DataError, match="not a folder of clients"):
            read_clients(tmp_path)

    def test_clients_with_other_kinds_of_data_are_told(self, tmp_path):
        table().drop(columns="site").to_csv(tmp_path / "a.csv", index=False)
        pd.DataFrame(
            {"words": [f"some words here to read, number {i}" for i in range(40)], "kind": ["x", "y"] * 20}
        ).to_csv(tmp_path / "b.csv", index=False)
        with pytest.raises(DataError, match="different kinds"):
            read_clients(tmp_path, "kind")

    def test_no_label_at_all(self, tmp_path):
        for name in "ab":
            table(unlabelled=1).drop(columns="site").to_csv(tmp_path / f"{name}.csv", index=False)
        with pytest.raises(DataError, match="No client of"):
            read_clients(tmp_path, "kind")


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"clients": 0}, ParameterError, "1 or more"),
        ({"clients": 40}, DataError, "too few for 40 clients"),
        ({"clients": 2, "client_column": "site"}, ParameterError, "not both"),
        ({"clients": 2, "alpha": 0}, ParameterError, "alpha"),
        ({"clients": 2, "labelled": 2}, ParameterError, "labelled"),
        ({"clients": 2, "test_share": 1}, ParameterError, "test_share"),
        ({"client_column": "sites"}, UnknownNameError, "Did you mean 'site'"),
        ({"clients": ["a"]}, DataError, "for each of 60 rows"),
        ({}, DataError, "client_column="),
    ],
)
def test_what_makes_no_sense_is_told(options, error, says):
    with pytest.raises(error, match=says):
        read_clients(table(), "kind", **options)


def test_a_row_of_nobody_is_told():
    frame = table()
    frame.loc[7, "site"] = None
    with pytest.raises(DataError, match="row 7"):
        read_clients(frame, "kind", client_column="site")
