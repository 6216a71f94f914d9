"""The chart in characters: what is better is to the right, and nothing breaks it."""

from typing import Any

import pytest

from taxiops.cli.chart import COLUMNS, gains_chart

MAE = {"direction": "lower_is_better", "baseline": 2.0}
R2 = {"direction": "higher_is_better", "baseline": 0.8}


def chart_of(**metrics: dict[str, Any]) -> list[str]:
    return gains_chart(metrics).splitlines()


def test_what_is_better_is_right_of_the_bar_whatever_the_direction() -> None:
    mae = {**MAE, "change": -0.2, "ci_low": -0.3, "ci_high": -0.1}
    r2 = {**R2, "change": -0.04, "ci_low": -0.08, "ci_high": 0.02}
    first, second, legend = chart_of(mae=mae, r2=r2)
    assert first.startswith("mae     +10.0 %  [")
    assert first.index("|") < first.index("-", first.index("[")) < first.index("o")
    assert second.startswith("r2       -5.0 %  [")
    assert second.index("o") < second.index("|")
    assert "right is better" in legend


def test_every_line_is_ascii_and_as_long_as_every_other() -> None:
    rows = [{**MAE, "change": each, "ci_low": each, "ci_high": each} for each in (-50, 0.0, 50)]
    *lines, _ = chart_of(one=rows[0], other=rows[1], third=rows[2])
    assert {len(line) for line in lines} == {len("other") + 2 + 8 + 4 + COLUMNS + 2}
    assert all(line.isascii() for line in lines)


@pytest.mark.parametrize(
    "metric",
    [{}, {**MAE, "change": "x"}, {**MAE, "change": float("nan"), "ci_low": 0, "ci_high": 0}],
)
def test_what_cannot_be_drawn_is_left_out(metric: dict[str, Any]) -> None:
    assert gains_chart({"mae": metric}) == ""
