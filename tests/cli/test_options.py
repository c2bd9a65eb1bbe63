"""How the values of options are read."""

from __future__ import annotations

import inspect
import math

import pytest

from errata.cli._command import command
from errata.cli._options import LINES, Lines, Reading, ReadingWithClasses, assignments
from errata.cli._talk import Talk
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
    assert Reading().given() == ReadingWithClasses().given() == {}
    found = Reading(
        features="a, b c ,d,", text="t", image_column="i", kind=["a = number"], unreadable="skip", encoding="latin-1"
    ).given()
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
        Reading(unreadable="ignore").given()


def test_a_group_of_options_is_one_parameter_of_a_command():
    """``command`` puts the options in its place, in their order, and gives the function the group."""
    told = []

    @command
    def example(talk: Talk, source: str, how: Lines = LINES, last: int = 3) -> None:
        told.append((source, how, last))

    names = list(inspect.signature(example).parameters)
    assert names[:5] == ["source", "encoding", "separator", "header", "last"]
    shared = dict.fromkeys(("json", "quiet", "verbose", "traceback"), False)
    example(source="a.csv", encoding=None, separator="tab", header=False, last=4, **shared)
    assert told == [("a.csv", Lines(separator="tab", header=False), 4)]
    assert told[0][1].given() == {"separator": "\t", "header": False}
