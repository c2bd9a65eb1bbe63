from __future__ import annotations

import pytest

from errata.charts import MOST_POINTS, Chart
from errata.errors import ParameterError
from errata.ledger import Ledger


def test_long_lines_are_thinned_with_both_ends_kept():
    chart = Chart("t", "s", {"a": (range(10_000), [0.5] * 10_000)})
    across, up = chart.series["a"]
    assert len(across) == len(up) == MOST_POINTS
    assert (across[0], across[-1]) == (0, 9_999)


def test_what_is_no_number_is_nothing():
    assert Chart("t", "s", {"a": ([1, 2], [float("nan"), None])}).series["a"] == ([1, 2], [None, None])


def test_bad_charts_are_refused():
    with pytest.raises(ParameterError, match="2 x and 1 y"):
        Chart("t", "s", {"a": ([1, 2], [1.0])})
    with pytest.raises(ParameterError, match="style"):
        Chart("t", "s", style="pie")


def test_charts_survive_the_disk(tmp_path):
    charts = [Chart("t", "s", {"a": (["x", "y"], [1.0, None])}, x="which", y="how much", style="bars")]
    Ledger([0], [0], [1.0], classes=["a"], charts=charts).save(tmp_path)
    assert Ledger.load(tmp_path).charts == charts
