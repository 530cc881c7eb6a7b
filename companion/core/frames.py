"""Polars inside, pandas at the surface: a function gets and gives the kind that its caller uses."""

from collections.abc import Callable, Hashable
from functools import wraps
from typing import Any

import pandas as pd
import polars as pl


def to_polars(frame: pd.DataFrame | pl.DataFrame) -> pl.DataFrame:
    """The same table in Polars. The index of a pandas frame carries no data here and is left out.

    Raises:
        TypeError: it is no table.
        ValueError: two columns have one name.
    """
    if isinstance(frame, pl.DataFrame):
        return frame
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"a pandas or Polars DataFrame is needed; got {type(frame).__name__}")
    doubled = frame.columns[frame.columns.duplicated()].tolist()
    if doubled:
        raise ValueError(f"two columns are named {doubled[0]!r}")
    mixed = {name: _plain(column) for name, column in frame.items() if column.dtype == object}
    table = pl.from_pandas(_with(frame, mixed), include_index=False, nan_to_null=True)
    return table.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String))


def _with(frame: pd.DataFrame, columns: dict[Hashable, pd.Series]) -> pd.DataFrame:
    changed = frame.copy(deep=False)
    for name, column in columns.items():
        changed[name] = column
    return changed


def _plain(column: pd.Series) -> pd.Series:
    """A column of Python objects of several kinds as text; of one kind as it is."""
    kinds = set(map(type, column[column.notna()]))
    return column if len(kinds) < 2 else column.map(str, na_action="ignore")


def to_pandas(frame: pl.DataFrame) -> pd.DataFrame:
    """The same table in pandas; text is text, times stay in UTC."""
    return frame.with_columns(pl.col(pl.Categorical, pl.Enum).cast(pl.String)).to_pandas()


def compact(frame: pl.DataFrame) -> pl.DataFrame:
    """The same table with each text kept once and a number per row in its place.

    Sorting and filtering move 4 bytes instead of a text, several times as fast on millions of
    rows. The functions of `companion.data` take both forms and give the same answer.
    """
    columns = [name for name, dtype in frame.schema.items() if dtype == pl.String]
    return frame.with_columns(
        pl.col(name).cast(pl.Categorical(pl.Categories.random())) for name in columns
    )


def pandas_too(function: Callable[..., Any]) -> Callable[..., Any]:
    """Lets a function written for Polars tables take pandas tables too, and answer in kind.

    Every argument that is a pandas frame is turned into Polars; where there was one, Polars
    frames in the answer (also within a tuple) are turned into pandas.
    """

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        found = any(isinstance(a, pd.DataFrame) for a in [*args, *kwargs.values()])
        if not found:
            return function(*args, **kwargs)
        args = tuple(map(_inward, args))
        kwargs = {key: _inward(value) for key, value in kwargs.items()}
        return _outward(function(*args, **kwargs))

    return wrapped


def _inward(value: Any) -> Any:
    return to_polars(value) if isinstance(value, pd.DataFrame) else value


def _outward(value: Any) -> Any:
    if isinstance(value, pl.DataFrame):
        return to_pandas(value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named tuple
        return type(value)(*map(_outward, value))
    if isinstance(value, tuple | list):
        return type(value)(map(_outward, value))
    return value
