"""The figures of the course: arrays in, `Axes` out, one style, labels in words."""

from collections.abc import Sequence
from datetime import datetime

import matplotlib.pyplot as plt
import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num

INK, MAIN, SECOND, PALE = "#333333", "#1f5f8b", "#c8553d", "#b8c4cc"
SIZE, DPI = (6.4, 2.8), 90


def axes(title: str, x: str, y: str, size: tuple[float, float] = SIZE) -> Axes:
    """Empty axes in the course's style."""
    _, ax = plt.subplots(figsize=size, dpi=DPI, layout="constrained")
    ax.set_title(title, loc="left", fontsize=10, color=INK)
    ax.set_xlabel(x, fontsize=9)
    ax.set_ylabel(y, fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8, colors=INK)
    return ax


def bars(
    values: npt.ArrayLike, title: str, x: str, y: str, labels: Sequence[str] | None = None
) -> Axes:
    """One bar for each value. [N]

    Args:
        values: heights.
        title: what the figure says.
        x: the axis below, in words.
        y: the axis beside, in words and units.
        labels: [N] names below the bars; their numbers from 0 when None.
    """
    heights = np.asarray(values)
    ax = axes(title, x, y)
    ax.bar(np.arange(len(heights)), heights, color=MAIN, width=0.8)
    if labels is not None:
        ax.set_xticks(np.arange(len(heights)), labels)
    return ax


def curves(lines: dict[str, npt.ArrayLike], title: str, x: str, y: str) -> Axes:
    """One line for each name, drawn over 1, 2, 3, ...; the name stands at its end."""
    ax = axes(title, x, y)
    for (name, values), color in zip(lines.items(), (MAIN, SECOND, INK, PALE) * 3, strict=False):
        heights = np.asarray(values)
        places = np.arange(1, len(heights) + 1)
        ax.plot(places, heights, color=color, marker="o", markersize=3)
        ax.annotate(f" {name}", (places[-1], heights[-1]), fontsize=8, color=color, va="center")
    ax.margins(x=0.15)
    return ax


def intervals(table: pd.DataFrame, title: str) -> Axes:
    """A dot with its interval for each row, the first on top, and a line at zero.

    Args:
        table: [N, 3] mean, low end, high end; the index names the rows, the first column's name is
            what is measured.
        title: what the figure says.
    """
    centre, low, high = table.to_numpy(dtype=float).T
    places = np.arange(len(table))[::-1]
    ax = axes(title, f"{table.columns[0]} (95 % interval)", "", (SIZE[0], 0.9 + 0.35 * len(table)))
    ax.axvline(0, color=PALE, linewidth=1)
    ax.errorbar(centre, places, xerr=[centre - low, high - centre], fmt="o", color=MAIN, capsize=3)
    ax.set_yticks(places, table.index.astype(str))
    ax.set_ylim(-0.6, len(table) - 0.4)
    return ax


def parts(
    times: Sequence[datetime], counts: npt.ArrayLike, cuts: dict[str, datetime], title: str
) -> Axes:
    """Events over time, with a line where each part of a split begins.

    Args:
        times: [N] start of each stretch.
        counts: [N] events in it.
        cuts: name of the part to the time at which it begins.
        title: what the figure says.
    """
    ax = axes(title, "time", "events")
    ax.fill_between(
        np.asarray(times, "datetime64[us]"), np.asarray(counts), color=PALE, step="post"
    )
    top = float(np.max(np.asarray(counts)))
    for number, (name, start) in enumerate(cuts.items()):
        place = float(date2num(start.replace(tzinfo=None)))
        ax.axvline(place, color=SECOND, linewidth=1)
        ax.annotate(
            f" {name}", (place, top * (1 - 0.12 * number)), fontsize=8, va="top", color=SECOND
        )
    ax.set_ylim(0, top * 1.1)
    return ax
