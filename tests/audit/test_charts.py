from __future__ import annotations

import re

import pytest

from errata.audit.charts import drawn
from errata.audit.report import render
from errata.charts import Chart
from errata.ledger import Ledger


def ledger_with(*charts):
    return Ledger([0, 1], [0, 1], [1.0, 1.0], classes=["a", "b"], charts=charts)


def test_lines_run_from_left_to_right_and_higher_is_up():
    (chart,) = drawn(ledger_with(Chart("t", "s", {"up": ([1, 2, 3], [0.0, 0.5, 1.0])})))
    points = [tuple(map(float, p.split())) for p in re.split("[ML]", chart["lines"][0]["path"])[1:]]
    assert [x for x, _ in points] == [0.0, 217.0, 434.0]
    assert points[0][1] > points[1][1] > points[2][1]
    assert [t["label"] for t in chart["y_ticks"]] == ["0", "0.25", "0.5", "0.75", "1"]


def test_a_gap_in_a_line_is_a_gap():
    (chart,) = drawn(ledger_with(Chart("t", "s", {"a": ([1, 2, 3, 4], [1.0, None, 2.0, 3.0])})))
    assert chart["lines"][0]["path"].count("M") == 2


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1.0, 1e9], [1e-9, 2e-9]])
def test_any_range_can_be_drawn(values):
    (chart,) = drawn(ledger_with(Chart("t", "s", {"a": (list(range(len(values))), values)})))
    heights = [tick["at"] for tick in chart["y_ticks"]]
    assert heights == sorted(heights, reverse=True)
    assert all(-0.1 <= at <= 220.1 for at in heights)


def test_bars_stand_on_zero():
    (chart,) = drawn(ledger_with(Chart("t", "s", {"a": (["x", "y"], [2.0, -1.0])}, style="bars")))
    up, down = chart["lines"][0]["bars"]
    assert up["y"] + up["height"] == pytest.approx(down["y"])


def test_the_page_holds_the_chart_escaped_and_told_in_words():
    page = render(ledger_with(Chart("<b>", "It <i>rises</i>.", {"<s>": ([1, 2], [0.1, 0.2])}, x="round", y="accuracy")))
    assert '<svg class="chart"' in page
    assert "&lt;s&gt;: from 0.1 to 0.2." in page
    assert "<i>rises" not in page


def test_an_empty_chart_is_left_out():
    assert drawn(ledger_with(Chart("t", "s", {"a": ([1], [None])}))) == []
