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


def test_bands_have_a_line_and_an_area_for_each_name():
    lines = {"a": ([1, 2], [0, 1], [2, 3]), "b": ([5, 6], [4, 5], [6, 8])}
    ax = figures.bands(lines, "t", "x", "y")
    assert [line.get_ydata().tolist() for line in ax.lines] == [[1, 2], [5, 6]]
    assert ax.lines[0].get_xdata().tolist() == [1, 2]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    areas = [area.get_paths()[0].vertices[:, 1] for area in ax.collections]
    assert [(area.min(), area.max()) for area in areas] == [(0, 3), (4, 8)]
    assert figures.bands(lines, "t", "x", "y", [10, 20]).lines[1].get_xdata().tolist() == [10, 20]


def test_a_grid_shows_values_arrows_and_marks():
    values = [[0.0, 1.0, np.nan], [2.0, 3.0, 4.0]]
    ax = figures.grid(values, "t", arrows="abcdef", marks={5: "G"}, label="steps")
    shown = ax.images[0].get_array()
    np.testing.assert_array_equal(shown.filled(-1), [[0, 1, -1], [2, 3, 4]])
    signs = {tuple(map(int, text.get_position())): text.get_text() for text in ax.texts}
    assert signs == {(0, 0): "a", (1, 0): "b", (2, 0): "c", (0, 1): "d", (1, 1): "e", (2, 1): "G"}
    assert ax.figure.axes[1].get_ylabel() == "steps"
