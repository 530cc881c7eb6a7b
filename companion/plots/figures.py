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
COLORS = (MAIN, SECOND, "#4c8c4a", "#8a5fa8", "#b58900", INK)
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


def bands(
    lines: dict[str, tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
    title: str,
    x: str,
    y: str,
    places: npt.ArrayLike | None = None,
) -> Axes:
    """One line with its band for each name; the names stand in a legend, in the lines' order.

    Args:
        lines: name to middle, low end and high end, [E] each.
        title: what the figure says.
        x: the axis below, in words.
        y: the axis beside, in words and units.
        places: [E] where the points lie; 1, 2, 3, ... when None.
    """
    ax = axes(title, x, y, (SIZE[0], 3.2))
    for number, (name, (middle, low, high)) in enumerate(lines.items()):
        heights = np.asarray(middle)
        at = np.arange(1, len(heights) + 1) if places is None else np.asarray(places)
        color = COLORS[number % len(COLORS)]
        ax.plot(at, heights, color=color, linewidth=1.3, label=name)
        ax.fill_between(at, np.asarray(low), np.asarray(high), color=color, alpha=0.2, linewidth=0)
    ax.legend(fontsize=8, frameon=False)
    return ax


def grid(
    values: npt.ArrayLike,
    title: str,
    *,
    arrows: Sequence[str] = (),
    marks: dict[int, str] | None = None,
    label: str = "",
) -> Axes:
    """A gridworld from above: a colour for each cell's value, and a sign in it.

    Args:
        values: [rows, columns], NaN for a cell without a value.
        title: what the figure says.
        arrows: a sign for each cell, row by row, such as "\u2191" for the greedy action.
        marks: cell number to a letter that stands in place of the arrow, such as "G".
        label: what the colours mean, in words and units.
    """
    array = np.asarray(values, float)
    rows, columns = array.shape
    ax = axes(title, "", "", (0.5 * columns + 1.2, 0.5 * rows + 0.7))
    image = ax.imshow(np.ma.masked_invalid(array), cmap="Blues", aspect="equal")
    ax.figure.colorbar(image, ax=ax, shrink=0.8, label=label).ax.tick_params(labelsize=7)
    ax.set_xticks(np.arange(-0.5, columns), [])
    ax.set_yticks(np.arange(-0.5, rows), [])
    ax.grid(color="white", linewidth=1)
    ax.tick_params(length=0)
    middle = (np.nanmin(array) + np.nanmax(array)) / 2 if np.isfinite(array).any() else 0.0
    signs = dict(enumerate(arrows)) | (marks or {})
    for cell, sign in signs.items():
        row, column = divmod(cell, columns)
        dark = np.isfinite(array[row, column]) and array[row, column] > middle
        color = "white" if dark else INK
        ax.text(column, row, sign, ha="center", va="center", fontsize=9, color=color)
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
