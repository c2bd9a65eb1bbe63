"""Filters from and to the query of an address."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from errata.errors import ParameterError, UnknownNameError
from errata.review.filters import SHOW, Filter

CLASSES = ["a & b", 1, True, "ü=?#", "</script>"]
code = st.none() | st.integers(0, len(CLASSES) - 1)
share = st.floats(0, 1)


@given(st.builds(Filter, code, code, share, share, st.sampled_from(SHOW), st.none() | st.text(min_size=1)))
def test_a_filter_survives_its_address(choice):
    if choice.reviewer is not None and choice.show == "open":
        return  # a reviewer stands for rows decided
    assert Filter.read(dict(parse_qsl(choice.query(CLASSES), keep_blank_values=True)), CLASSES) == choice


def test_nothing_said_is_everything():
    assert Filter.read({"given": "", "low": "", "show": ""}, CLASSES) == Filter()
    assert Filter().query(CLASSES) == ""
    assert Filter.read({"reviewer": "ann"}, CLASSES).show == "decided"


@pytest.mark.parametrize("query", [{"low": "2"}, {"high": "x"}, {"low": "nan"}, {"high": "-inf"}])
def test_a_trust_is_a_share(query):
    with pytest.raises(ParameterError, match="from 0 to 1"):
        Filter.read(query, CLASSES)


@pytest.mark.parametrize("query", [{"given": "dog"}, {"show": "all"}])
def test_unknown_names_are_told(query):
    with pytest.raises(UnknownNameError):
        Filter.read(query, CLASSES)
