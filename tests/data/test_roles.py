"""Which column is the label, which are features, and what is left out and told."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from errata.data import encoder_for, read
from errata.errors import DataError, ParameterError, UnknownNameError

N = 60
TEXTS = [f"a text of several words, the number {i}" for i in range(N)]


def frame(**columns):
    return pd.DataFrame({"label": ["p", "q", "r"] * (N // 3), **columns})


def roles(data):
    return {c.name: c.role for c in data.columns}


def note(data, name):
    return next(c.note for c in data.columns if c.name == name)


def test_the_label_is_guessed_only_from_one_clear_name():
    base = {"x": np.arange(6) / 7}
    for name in ("label", "Labels", "TARGET", "class", "y"):
        data = read(pd.DataFrame({**base, name: [0, 1] * 3}))
        assert data.label_name == name
        assert any("guessed" in line for line in data.describe())
    named = read(pd.DataFrame({**base, "label": [0, 1] * 3}), "label")
    assert not any("guessed" in line for line in named.describe())
    with pytest.raises(DataError, match=r"several columns could be it \(label, y\)"):
        read(pd.DataFrame({**base, "label": [0, 1] * 3, "y": [0, 1] * 3}))
    with pytest.raises(DataError, match=r"none was named, and no column|no column is named like one.*x, stars"):
        read(pd.DataFrame({**base, "stars": [0, 1] * 3}))
    with pytest.raises(UnknownNameError, match="Did you mean 'stars'"):
        read(pd.DataFrame({**base, "stars": [0, 1] * 3}), "star")
    with pytest.raises(ParameterError, match="label must be"):
        read(pd.DataFrame({**base, "stars": [0, 1] * 3}), 1.5)
    assert read(pd.DataFrame({**base, "stars": [0, 1] * 3}), False).labels is None


def test_labels_from_elsewhere_leave_every_column_a_feature():
    data = read(pd.DataFrame({"x": np.arange(6) / 7, "label": [5, 6, 7] * 2}), list("ababab"))
    assert data.labels.classes == ["a", "b"]
    assert roles(data) == {"x": "feature", "label": "feature"}


def test_a_text_with_a_few_other_columns_is_text():
    data = read(frame(review=TEXTS, length=np.arange(N) % 7, title=[f"Title of item {i}" for i in range(N)]))
    assert data.kind == "text"
    assert roles(data) == {"label": "label", "review": "feature", "length": "ignored", "title": "feature"}
    assert "only the text is used (review, title)" in note(data, "length")
    assert data.texts()[3] == f"{TEXTS[3]}\nTitle of item 3"
    only = read(frame(review=TEXTS, title=[f"Title of item {i}" for i in range(N)]), text="title")
    assert only.texts()[3] == "Title of item 3"


def test_a_table_with_a_text_beside_many_columns_is_a_table():
    columns = {f"x{i}": np.random.default_rng(i).normal(size=N) for i in range(8)}
    data = read(frame(**columns, remark=TEXTS))
    assert data.kind == "tabular"
    assert "text='remark'" in note(data, "remark")
    assert read(frame(**columns, remark=TEXTS), text="remark").kind == "text"
    assert read(frame(x=np.arange(N) / 7, remark=TEXTS), features=["x"]).kind == "tabular"


def test_wrong_guesses_are_overridden():
    table = frame(code=["x", "y"] * (N // 2), n=["1", "2", "3", "4"] * (N // 4), key=[f"k{i}" for i in range(N)])
    data = read(table, kinds={"code": "ignored", "n": "number", "key": "category"})
    assert [(c.name, c.kind) for c in data.columns[1:]] == [("code", "ignored"), ("n", "number"), ("key", "category")]
    assert note(data, "code") == "it was told so"
    assert read(table, kinds={"code": "text"}).texts()[:2] == ["x", "y"]
    assert roles(read(table, features=["key"]))["key"] == "feature"
    with pytest.raises(UnknownNameError, match=r"kind of column named 'numeric'.*Did you mean 'number'"):
        read(table, kinds={"n": "numeric"})
    with pytest.raises(UnknownNameError, match="column named 'cod'"):
        read(table, kinds={"cod": "text"})
    with pytest.raises(ParameterError, match="not both"):
        read(table, text="code", image_column="n")


def test_a_lone_column_of_many_words_is_text():
    names = [f"{a}{b}" for a in "abcdefghijklmnopqrst" for b in range(20)] * 2
    data = read(pd.DataFrame({"word": names, "label": [0, 1] * 400}))
    assert data.kind == "text"
    assert "400 different values are read as text" in note(data, "word")
    assert read(pd.DataFrame({"word": names, "label": [0, 1] * 400}), kinds={"word": "category"}).kind == "tabular"


def test_further_labels_and_copies_of_the_label_are_not_features():
    rng = np.random.default_rng(0)
    label = np.array(["cat", "dog", "eel"])[rng.integers(0, 3, N)]
    other = np.where(rng.random(N) < 0.4, np.roll(label, 1), label)
    table = pd.DataFrame(
        {"x": rng.normal(size=N), "noisy_label": other, "true_label": label, "copy": label, "pet": other}
    )
    data = read(table, "noisy_label")
    assert roles(data) == {
        "x": "feature",
        "noisy_label": "label",
        "true_label": "ignored",
        "copy": "ignored",
        "pet": "ignored",
    }
    assert "another label" in note(data, "true_label")
    assert "a copy of the label" in note(data, "pet")
    asked = read(table, "noisy_label", features=["x", "true_label"])
    assert roles(asked)["true_label"] == "feature"


def test_labels_kept_beside_the_noisy_ones_are_not_features():
    rng = np.random.default_rng(0)
    for classes in (["cat", "dog", "eel"], ["good", "bad"], [1, 2, 3, 4, 5], [0, 1]):
        true = np.array(classes)[rng.integers(0, len(classes), 300)]
        noisy = np.where(rng.random(300) < 0.3, rng.permutation(true), true)
        for name in ("stars_true", "clean_stars", "gold", "original label"):
            data = read(pd.DataFrame({"x": rng.normal(size=300), "stars": noisy, name: true}), "stars")
            assert roles(data)[name] == "ignored", (classes, name)
    few = pd.DataFrame({"x": [1.5, 2.5, 3.5], "stars": [1, 2, 1], "stars_true": [2, 2, 1]})
    assert roles(read(few, "stars"))["stars_true"] == "ignored"


def test_features_of_the_same_values_as_the_label_are_features():
    rng = np.random.default_rng(0)
    columns = {f"owns {what}": rng.choice(["yes", "no"], 300) for what in ("a house", "a car")}
    churn = np.where(rng.random(300) < 0.25, columns["owns a car"], rng.choice(["yes", "no"], 300))
    data = read(pd.DataFrame({**columns, "churn": churn}), "churn")
    assert set(roles(data).values()) == {"feature", "label"}
    counts = {f"n{i}": rng.integers(0, 5, 300) for i in range(3)}
    data = read(pd.DataFrame({**counts, "stars": rng.integers(0, 5, 300)}), "stars")
    assert set(roles(data).values()) == {"feature", "label"}


def test_a_column_that_determines_the_label_is_told():
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, N)
    data = read(pd.DataFrame({"x": rng.normal(size=N), "group": np.array(["u", "v", "w"])[label], "label": label}))
    assert roles(data)["group"] == "feature"
    assert "alone determines the label" in note(data, "group")
    assert any("alone determines" in line for line in data.describe())
    fair = read(
        pd.DataFrame({"x": rng.normal(size=N), "group": rng.permutation(np.array(list("uvw"))[label]), "label": label})
    )
    assert note(fair, "group") == ""


def test_a_rare_label_is_not_copied_by_chance():
    label = np.zeros(200, dtype=int)
    label[:6] = 1
    chance = np.zeros(200, dtype=int)
    chance[-6:] = 1
    data = read(pd.DataFrame({"flag": chance, "x": np.arange(200) / 3, "label": label}))
    assert roles(data)["flag"] == "feature"


def test_data_without_a_feature_are_told():
    with pytest.raises(DataError, match=r"nothing to learn from \('n': it holds the same value"):
        read(frame(n=1))
    with pytest.raises(DataError, match="nothing to learn from"):
        read(frame(n=np.arange(N) / 7), kinds={"n": "ignored"})


def test_another_label_is_chosen_without_reading_again():
    table = frame(x=np.arange(N) / 7, second_label=["q", "p", "r"] * (N // 3), group=["u", "v"] * (N // 2))
    data = read(table, "label").subset(np.arange(10, 30))
    again = data.select_label("second_label")
    assert again.labels.names().tolist() == table["second_label"][10:30].tolist()
    assert (again.rows == data.rows).all()
    assert roles(again)["label"] == "ignored"
    with pytest.raises(UnknownNameError, match="Did you mean 'second_label'"):
        data.select_label("secondlabel")
    with pytest.raises(UnknownNameError):
        read(np.zeros((3, 2))).select_label("label")


def test_new_data_are_read_as_the_training_data_were():
    data = read(frame(review=TEXTS, length=np.arange(N) % 7))
    encoder = encoder_for(data).fit(data)
    one = pd.DataFrame({"length": [3], "review": ["short"]})
    with pytest.raises(DataError):
        read(one, False)
    new = read(one, False, **encoder.reading())
    assert new.texts() == ["short"]
    table = read(frame(a=np.arange(N) / 7, b=list("uvwxyz") * 10), kinds={"b": "category"})
    encoder = encoder_for(table).fit(table)
    new = read(pd.DataFrame({"a": [5], "b": ["u"], "more": [1]}), False, **encoder.reading())
    assert encoder.encode(new).shape == (1, encoder.input_shape[0])
