"""Text as whole numbers, for sorting and comparing many rows quickly."""

from typing import NamedTuple

import numpy as np
import polars as pl


class Codes(NamedTuple):
    """`values[codes[n]]` is the text of row n; codes [N] int32 count from 0 in order of first
    appearance, and -1 stands for a missing value. Values [distinct]."""

    codes: np.ndarray
    values: pl.Series


def encode(column: pl.Series) -> Codes:
    """Codes of a text column. They depend on this column alone, not on what was encoded before."""
    if isinstance(column.dtype, pl.Categorical):
        return _renumber(column)
    dictionary = column.cast(pl.String).to_arrow().dictionary_encode()
    indices = dictionary.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Codes(indices.astype(np.int32, copy=False), pl.Series(dictionary.dictionary))


def _renumber(column: pl.Series) -> Codes:
    """The codes that the column has already, numbered by first appearance."""
    physical = column.to_physical()
    seen = physical.drop_nulls().unique(maintain_order=True)
    place = np.full(int(seen.max() or 0) + 1, -1, np.int32)  # type: ignore[arg-type]
    place[seen.to_numpy()] = np.arange(len(seen), dtype=np.int32)
    codes = place[physical.fill_null(0).to_numpy()]
    codes[column.is_null().to_numpy()] = -1
    return Codes(codes, column.drop_nulls().unique(maintain_order=True).cast(pl.String))
