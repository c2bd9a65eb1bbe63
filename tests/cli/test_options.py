"""How the values of options are read."""

from __future__ import annotations

import math

import pytest

from errata.cli._options import assignments, reading
from errata.errors import ParameterError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("-1", -1),
        ("3.0", 3.0),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("inf", math.inf),
        ("true", True),
        ("False", False),
        ("None", None),
        ("null", None),
        ("[1, 2]", [1, 2]),
        ('"7"', "7"),
        ("gce", "gce"),
        ("a=b", "a=b"),
        ("", ""),
    ],
)
def test_a_setting_is_read_as_what_it_looks_like(text, value):
    (found,) = assignments([f"name={text}"]).values()
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("given", [["lr"], ["=3"], ["lr=1", "lr=2"]])
def test_a_setting_that_is_none_is_wrong_usage(given):
    with pytest.raises(ParameterError, match="--set") as told:
        assignments(given)
    assert told.value.exit_code == 2


def test_reading_options_that_were_not_given_are_left_to_the_reader():
    assert reading() == {}
    found = reading(
        features="a, b c ,d,", text="t", image_column="i", kinds=["a = number"], unreadable="skip", encoding="latin-1"
    )
    assert found == {
        "features": ["a", "b c", "d"],
        "text": "t",
        "image_column": "i",
        "kinds": {"a": "number"},
        "unreadable": "skip",
        "encoding": "latin-1",
    }


def test_unreadable_is_error_or_skip():
    with pytest.raises(ParameterError, match="'error' or 'skip'; got 'ignore'"):
        reading(unreadable="ignore")
