"""Figures handed from a notebook to its report."""

import json
import subprocess
import sys

import nbformat
import numpy as np
import pandas as pd
import polars as pl
import pytest
from nbconvert import HTMLExporter

from companion.reports import record as module
from companion.reports.errors import ReportError
from companion.reports.record import MIME, figures, record


@pytest.fixture
def shown(monkeypatch):
    """What `record` publishes."""
    published = []
    monkeypatch.setattr(module, "_show", published.append)
    return published


def kept(shown, value, **words):
    assert record("x", value, **words) is None
    figure = shown[-1][MIME]
    json.dumps(figure, allow_nan=False)
    return figure["value"]


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (3, 3),
        (0.5, 0.5),
        ("text", "text"),
        (True, True),
        (np.bool_(False), False),
        (np.int64(2**53), 2**53),
        (np.float32(0.1), 0.1),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array(7.5), 7.5),
        (np.array(["2017-01-02"], dtype="datetime64[D]"), ["2017-01-02"]),
        ([1, (2, 3)], [1, [2, 3]]),
        ({"a": np.float64(1.5), 2: "b"}, {"a": 1.5, "2": "b"}),
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        (pd.DataFrame({"a": [0.5]}, index=pd.Index(["k"], name="m")), [{"m": "k", "a": 0.5}]),
        (pd.DataFrame({"t": pd.to_datetime(["2017-01-02"])}), [{"t": "2017-01-02T00:00:00"}]),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Series([1.5], index=["k"]), {"k": 1.5}),
        (pl.DataFrame({"a": [1], "b": ["x"]}), [{"a": 1, "b": "x"}]),
        (pl.Series([1, 2]), [1, 2]),
    ],
)
def test_values_become_plain(shown, value, plain):
    assert kept(shown, value) == plain


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        np.float32("nan"),
        [1.0, float("nan")],
        None,
        np.datetime64("NaT"),
        object(),
        {1, 2},
        pd.DataFrame({"a": [1.0, None]}),
        pd.DataFrame({"t": [pd.NaT]}),
        pd.DataFrame([[1, 2]], columns=["a", "a"]),
        pl.DataFrame({"a": [1, None]}),
        {"1": 0, 1: 0},
    ],
)
def test_what_is_not_a_figure_is_refused_by_name(shown, value):
    with pytest.raises(ValueError, match="'recall'"):
        record("recall", value)
    assert not shown


@pytest.mark.parametrize("interval", [(2, 1), (1,), (0, float("inf")), ("a", "b")])
def test_a_wrong_interval_is_refused_by_name(shown, interval):
    with pytest.raises(ValueError, match="'recall'"):
        record("recall", 1.0, interval=interval)


def test_a_figure_needs_a_name(shown):
    with pytest.raises(ValueError, match="needs a name"):
        record(" ", 1)


def test_interval_label_and_unit_are_kept(shown):
    record("x", 2, label="Recall", unit="%", interval=(np.float64(1), 3))
    figure = shown[0][MIME]
    assert (figure["label"], figure["unit"], figure["interval"]) == ("Recall", "%", [1.0, 3])


def test_outside_a_notebook_it_prints_nothing():
    code = "from companion.reports.record import record; print(record('x', 1))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("None\n", "")


def with_figures(*names):
    cells = [nbformat.v4.new_markdown_cell("## First *part*\ntext\n```\n# no heading\n```")]
    for name in names:
        cell = nbformat.v4.new_code_cell("record(...)")
        data = {MIME: {"name": name, "value": 1, "label": "", "unit": "", "interval": None}}
        cell.outputs = [nbformat.v4.new_output("display_data", data=data)]
        cells.append(cell)
    return nbformat.v4.new_notebook(cells=cells)


def test_figures_say_where_they_came_from():
    found = figures(with_figures("a", "b"))
    assert list(found) == ["a", "b"]
    assert found["b"] == {
        "value": 1,
        "label": "",
        "unit": "",
        "interval": None,
        "cell": 3,
        "section": "First part",
    }


def test_a_name_recorded_twice_is_an_error_that_names_it():
    with pytest.raises(ReportError, match=r"'a' is recorded twice, in cell 2 and in cell 3"):
        figures(with_figures("a", "a"))


@pytest.mark.filterwarnings("ignore:Your element with mimetype")
def test_a_recorded_figure_leaves_no_mark_on_another_page():
    page, _ = HTMLExporter(template_name="basic").from_notebook_node(with_figures("a"))
    assert "vnd.companion" not in page
    assert "interval" not in page
