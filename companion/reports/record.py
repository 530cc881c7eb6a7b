"""Figures that a notebook hands to its report: `record` writes one, `figures` reads them all."""

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any

import numpy as np

from companion.reports.cells import places
from companion.reports.errors import ReportError

MIME = "application/vnd.companion.figure+json"


def record(
    name: str,
    value: Any,
    *,
    label: str = "",
    unit: str = "",
    interval: tuple[float, float] | None = None,
) -> None:
    """Hand a figure to the report. Shows nothing on the page.

    `value` is a number, a text, a truth value, a date, a list or mapping of them, a NumPy scalar
    or array, or a pandas or Polars frame (kept as a list of rows). `unit` is what the value
    counts in, such as "%" or "s". `interval` is its 95 % interval, (low, high), in the same unit.
    A `label` makes it one of the key figures at the head of the report.

    Raises ValueError that names the figure when a value is missing, infinite or of another type.
    """
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"A figure needs a name, a text that is not empty; this is {name!r}.")
    figure = {
        "name": name,
        "value": _plain(value, name),
        "label": str(label),
        "unit": str(unit),
        "interval": None if interval is None else _interval(interval, name),
    }
    _show({MIME: figure})


def figures(notebook: Any) -> dict[str, dict[str, Any]]:
    """Collect what an executed notebook recorded, by name, in the order of the page.

    Each figure has value, label, unit, interval (or None), and the cell number and section that
    it came from. Raises ReportError when two cells record the same name.
    """
    found: dict[str, dict[str, Any]] = {}
    for cell, place in zip(notebook["cells"], places(notebook), strict=True):
        for output in cell.get("outputs", []):
            if MIME not in output.get("data", {}):
                continue
            figure = dict(output["data"][MIME])
            name = figure.pop("name")
            if name in found:
                raise ReportError(
                    f"The figure {name!r} is recorded twice, in cell {found[name]['cell']} and in "
                    f"cell {place['cell']}: give each figure a name of its own."
                )
            found[name] = figure | place
    return found


def _show(data: dict[str, Any]) -> None:
    """Publish as display data where a notebook listens; elsewhere do nothing."""
    python = sys.modules.get("IPython")
    if python is not None and python.get_ipython() is not None:
        from IPython.display import display

        # Of a type that no front end draws, so the page stays as it is.
        display(data, raw=True)  # type: ignore[no-untyped-call,unused-ignore]


def _interval(interval: Iterable[Any], name: str) -> list[Any]:
    """(low, high) as two finite numbers in order."""
    ends = _plain(list(interval), name)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not numbers or ends[0] > ends[1]:
        raise ValueError(f"The interval of figure {name!r} must be (low, high); this is {ends}.")
    return list(ends)


def _plain(value: Any, name: str) -> Any:
    """The value as JSON knows it. Raises ValueError that names the figure."""
    if isinstance(value, str | bool | np.bool_):
        return value if isinstance(value, str) else bool(value)
    if isinstance(value, int | float | np.integer | np.floating):
        return _number(value, name)
    if isinstance(value, np.datetime64):
        return _plain(None if np.isnat(value) else _shortest(str(value)), name)
    if isinstance(value, date) and value == value:  # pandas' NaT is a date that equals nothing
        return value.isoformat()
    if isinstance(value, np.ndarray):
        return [_plain(item, name) for item in value] if value.ndim else _plain(value[()], name)
    if isinstance(value, Mapping):
        return _mapping(value, name)
    if isinstance(value, list | tuple):
        return [_plain(item, name) for item in value]
    if (unpack := _table(value)) is not None:
        return _plain(unpack(value, name), name)
    missing = value is None or type(value).__name__ in {"NAType", "NaTType"}
    what = "a missing value" if missing else f"a value of type {type(value).__name__}"
    raise ValueError(
        f"The figure {name!r} holds {what}: record numbers, texts, truth values, dates, lists or "
        "mappings of them, arrays or frames."
    )


def _number(value: Any, name: str) -> int | float:
    """A Python number; a NumPy one keeps the digits that it shows (0.1, not 0.1000000015)."""
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(str(value)) if isinstance(value, np.floating) else float(value)
    if not math.isfinite(number):
        raise ValueError(f"The figure {name!r} holds {number}, which is not a finite number.")
    return number


def _shortest(moment: str) -> str:
    """A time without the zeros of a fraction that it does not have."""
    return moment.rstrip("0").rstrip(".") if "." in moment else moment


def _mapping(value: Mapping[Any, Any], name: str) -> dict[str, Any]:
    keys = [str(key) for key in value]
    if len(set(keys)) < len(keys):
        raise ValueError(f"The figure {name!r} has two keys that read the same: {keys}.")
    return {key: _plain(item, name) for key, item in zip(keys, value.values(), strict=True)}


def _table(value: Any) -> Callable[[Any, str], Any] | None:
    """How to unpack a frame or a series. Looks only at libraries that are loaded already."""
    pandas, polars = sys.modules.get("pandas"), sys.modules.get("polars")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return _pandas_rows
    if pandas is not None and isinstance(value, pandas.Series):
        return _pandas_series
    if polars is not None and isinstance(value, polars.DataFrame):
        return lambda frame, _: frame.to_dicts()
    if polars is not None and isinstance(value, polars.Series):
        return lambda series, _: series.to_list()
    return None


def _counts_up(index: Any) -> bool:
    """Whether an index is only 0, 1, 2, ... and so says nothing."""
    return type(index).__name__ == "RangeIndex" and index.name is None


def _pandas_rows(frame: Any, name: str) -> list[dict[str, Any]]:
    if not _counts_up(frame.index):
        frame = frame.reset_index()
    columns = [" ".join(map(str, c)) if isinstance(c, tuple) else str(c) for c in frame.columns]
    if len(set(columns)) < len(columns):
        raise ValueError(f"The figure {name!r} has two columns of one name: {columns}.")
    values = [frame.iloc[:, place].to_numpy() for place in range(len(columns))]
    return [dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True)]


def _pandas_series(series: Any, name: str) -> Any:
    if _counts_up(series.index):
        return list(series.to_numpy())
    return dict(zip(series.index, series.to_numpy(), strict=True))
