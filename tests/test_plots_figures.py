from datetime import UTC, datetime

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest

from companion.plots import figures

mpl.use("agg")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_bars_stand_at_their_values_with_labels():
    ax = figures.bars(pl.Series([3, 1]), "title", "below", "beside", ["x", "y"])
    assert [bar.get_height() for bar in ax.patches] == [3, 1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["x", "y"]
    assert (ax.get_title(loc="left"), ax.get_xlabel(), ax.get_ylabel()) == (
        "title",
        "below",
        "beside",
    )


def test_curves_start_at_one_and_are_named():
    ax = figures.curves({"a": [5, 4, 3], "b": [1, 2, 3]}, "t", "x", "y")
    assert ax.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert [text.get_text().strip() for text in ax.texts] == ["a", "b"]


def test_intervals_reach_from_low_to_high_the_first_on_top():
    table = pd.DataFrame(
        {"difference": [0.1, -0.2], "low": [0.0, -0.3], "high": [0.4, -0.1]},
        index=["first", "second"],
    )
    ax = figures.intervals(table, "t")
    (_, _, (bars,)) = ax.containers[0]
    ends = [segment[:, 0].round(6).tolist() for segment in bars.get_segments()]
    assert ends == [[0.0, 0.4], [-0.3, -0.1]]
    names = dict(zip([t.get_text() for t in ax.get_yticklabels()], ax.get_yticks(), strict=True))
    assert names["first"] > names["second"]


def test_parts_have_a_line_where_each_begins():
    times = [datetime(2024, 1, day, tzinfo=UTC) for day in (1, 8, 15)]
    cut = datetime(2024, 1, 9, tzinfo=UTC)
    ax = figures.parts(pl.Series(times), np.array([1, 2, 3]), {"test": cut}, "t")
    drawn = mpl.dates.num2date(ax.lines[0].get_xdata()[0])
    assert (drawn.month, drawn.day) == (1, 9)
