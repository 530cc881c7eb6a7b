"""What is learned from data, after scikit-learn's conventions: `fit` on the training part alone.

Means, medians and scales are scikit-learn's own (`SimpleImputer`, `StandardScaler`,
`MinMaxScaler`); here is only what it lacks for logs.
"""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils.validation import check_array, check_is_fitted

from companion.core.codes import encode
from companion.core.frames import to_polars
from companion.data import parse

PADDING, UNKNOWN, FIRST_KNOWN = 0, 1, 2


class IdEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Ids to whole numbers for an embedding table: 0 padding, 1 unknown, known ids from 2.

    An id that the training part did not have gets the one index of the unknown. It is never an
    error, never the padding (which a mask would hide), never -1 (which reads the last row).

    Attributes:
        ids_: [known] the ids that `fit` has seen, most frequent first, ties in order of appearance.
        size_: rows that an embedding table needs: the known ids and two.
    """

    def fit(self, ids: Any, y: Any = None) -> Self:
        """Learns the ids.

        Args:
            ids: [N] or [N, 1] ids; missing ones are passed over.
            y: not used; it is there for pipelines.

        Raises:
            ValueError: more than one column.
        """
        shape = ids.shape if hasattr(ids, "shape") else np.shape(ids)
        if len(shape) == 2 and shape[1] != 1:
            raise ValueError(f"one column of ids is needed; got shape {shape}")
        categorical = isinstance(ids, pl.Series) and isinstance(ids.dtype, pl.Categorical)
        codes, values = encode(ids if categorical else _text(ids))
        counts = np.bincount(codes[codes >= 0], minlength=len(values))
        order = np.argsort(-counts, kind="stable")  # [known]
        self.ids_ = values.to_numpy()[order].astype(object)
        self.size_ = len(self.ids_) + FIRST_KNOWN
        self.n_features_in_ = 1
        return self

    def transform(self, ids: Any) -> np.ndarray:
        """Indices of ids, in the shape they came in; missing and new ones are `UNKNOWN`."""
        check_is_fitted(self, "ids_")
        shape = ids.shape if hasattr(ids, "shape") else np.shape(ids)
        if isinstance(ids, pl.Series) and isinstance(ids.dtype, pl.Categorical):
            codes, values = encode(ids)  # each different id is looked up once
            return np.append(self._index(values), np.int32(UNKNOWN))[codes]
        return self._index(_text(ids)).reshape(shape)

    def _index(self, ids: pl.Series) -> np.ndarray:
        known = pl.Series(self.ids_, dtype=pl.String)
        places = pl.Series(np.arange(FIRST_KNOWN, self.size_, dtype=np.int32))
        table = pl.DataFrame({"id": known, "index": places})
        column = pl.DataFrame({"id": ids})
        found = column.join(table, on="id", how="left", maintain_order="left")["index"]
        return found.fill_null(UNKNOWN).to_numpy()

    def inverse_transform(self, indices: npt.ArrayLike) -> np.ndarray:
        """Ids of indices; "<padding>" and "<unknown>" for the two that are none.

        Raises:
            ValueError: an index is outside the table.
        """
        check_is_fitted(self, "ids_")
        indices = np.asarray(indices)
        if indices.size and (indices.min() < 0 or indices.max() >= self.size_):
            raise ValueError(
                f"indices must lie in [0, {self.size_ - 1}]; got {indices.min()} to {indices.max()}"
            )
        names = np.concatenate([np.array(["<padding>", "<unknown>"], object), self.ids_])
        return names[indices]

    def count_unknown(self, ids: Any) -> int:
        """How many of the ids `fit` has not seen."""
        return int((self.transform(ids) == UNKNOWN).sum())

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names that came in."""
        return np.asarray(["id"] if input_features is None else input_features, object)


def _text(ids: Any) -> pl.Series:
    """Ids as text. A whole number that pandas made a float because of a gap is a whole number."""
    if isinstance(ids, pd.DataFrame | pl.DataFrame):
        ids = to_polars(ids).to_series(0)
    elif isinstance(ids, pd.Series):
        ids = to_polars(ids.to_frame("id")).to_series(0)
    if isinstance(ids, pl.Series):
        return parse.ids(ids).values if ids.dtype.is_float() else ids.cast(pl.String)
    array = np.asarray(ids)
    if array.dtype.kind == "f":
        return parse.ids(pl.Series("id", array.ravel())).values
    flat = np.asarray(ids, dtype=object).ravel()
    given = [v for v in flat if not _absent(v)]
    if any(isinstance(v, float) for v in given) and all(isinstance(v, int | float) for v in given):
        numbers = [None if _absent(v) else float(v) for v in flat]
        return parse.ids(pl.Series("id", numbers, dtype=pl.Float64)).values
    return pl.Series([None if _absent(v) else str(v) for v in flat], dtype=pl.String)


def _absent(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and value != value)


class GroupMeanImputer(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Fills a missing number with the mean of its group in the training part.

    For a table of two columns, the group and the number: a missing price becomes the mean price
    of that item, and the mean over all where the item had none.

    Attributes:
        means_: group to mean. overall_: the mean over all training rows.
    """

    def fit(self, table: Any, y: Any = None) -> Self:
        """Learns the means.

        Raises:
            ValueError: there is not one number to learn from, or not two columns.
        """
        groups, values = self._columns(table)
        known = ~np.isnan(values)
        if not known.any():
            raise ValueError("there is no number to learn a mean from")
        codes, names = encode(groups)
        use = known & (codes >= 0)
        sums = np.bincount(codes[use], values[use], minlength=len(names))
        counts = np.bincount(codes[use], minlength=len(names))
        some = counts > 0
        means = sums[some] / counts[some]
        self.means_ = dict(zip(names.to_numpy()[some], means, strict=True))
        self.overall_ = float(values[known].mean())
        self.n_features_in_ = 2
        return self

    def transform(self, table: Any) -> np.ndarray:
        """The numbers, none of them missing. [N, 1]"""
        check_is_fitted(self, "means_")
        groups, values = self._columns(table)
        codes, names = encode(groups)
        means = [self.means_.get(name, self.overall_) for name in names]
        fill = np.append(means, self.overall_)[codes]  # the last place is for a missing group
        return np.where(np.isnan(values), fill, values)[:, None]

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The name of the number."""
        return np.asarray(["value" if input_features is None else input_features[1]], object)

    @staticmethod
    def _columns(table: Any) -> tuple[pl.Series, np.ndarray]:
        whole = (
            table if isinstance(table, pd.DataFrame | pl.DataFrame) else np.asarray(table, object)
        )
        if len(whole.shape) != 2 or whole.shape[1] != 2:
            raise ValueError(f"two columns are needed, group and number; got {whole.shape}")
        if isinstance(whole, np.ndarray):
            return _text(whole[:, 0]), whole[:, 1].astype(float)
        frame = to_polars(whole)
        values = frame.to_series(1).cast(pl.Float64).fill_null(float("nan"))
        return frame.to_series(0), values.to_numpy()


class OutlierClipper(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pulls values beyond two quantiles of the training part back to them.

    Args:
        low: quantile of the lower limit, in [0, 1).
        high: quantile of the upper limit, in (low, 1].

    Attributes:
        low_, high_: [D] the limits of each column.
    """

    def __init__(self, low: float = 0.01, high: float = 0.99):
        self.low = low
        self.high = high

    def fit(self, table: Any, y: Any = None) -> Self:
        """Learns the limits. Missing values are passed over.

        Raises:
            ValueError: the quantiles are not in order.
        """
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"0 <= low < high <= 1 is needed; got {self.low} and {self.high}")
        array = check_array(table, dtype=float, ensure_all_finite="allow-nan")
        self.low_, self.high_ = np.nanquantile(array, [self.low, self.high], axis=0)
        self.n_features_in_ = array.shape[1]
        return self

    def transform(self, table: Any) -> np.ndarray:
        """The values, none beyond the limits. [N, D]"""
        check_is_fitted(self, "low_")
        array = self._checked(table)
        return np.clip(array, self.low_, self.high_)

    def count_outside(self, table: Any) -> np.ndarray:
        """How many values of each column lie beyond the limits. [D]"""
        check_is_fitted(self, "low_")
        array = self._checked(table)
        return ((array < self.low_) | (array > self.high_)).sum(axis=0)

    def _checked(self, table: Any) -> np.ndarray:
        array = check_array(table, dtype=float, ensure_all_finite="allow-nan")
        if array.shape[1] != self.n_features_in_:
            raise ValueError(f"fit saw {self.n_features_in_} columns; these are {array.shape[1]}")
        return array

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names that came in."""
        names = [f"x{n}" for n in range(self.n_features_in_)]
        return np.asarray(names if input_features is None else input_features, object)


def log1p_price(price: Any) -> np.ndarray:
    """log(1 + price), for prices of 0 or more; a missing price stays missing. [N] -> [N]

    Raises:
        ValueError: a price is negative or infinite; the first such row is named. A refund has no
            logarithm: set such rows apart before this step.
    """
    array = np.asarray(price, dtype=float)
    wrong = np.flatnonzero((array < 0) | np.isinf(array))
    if len(wrong):
        raise ValueError(
            f"row {wrong[0]}: price {array.ravel()[wrong[0]]:g} has no logarithm "
            f"({len(wrong):,} rows); set refunds apart first"
        )
    return np.log1p(array)


def number_pipeline(fill: str = "median", scale: str = "standard") -> Pipeline:
    """Scikit-learn's pipeline for numeric features: fill, clip, scale.

    Args:
        fill: "mean", "median" or "most_frequent" of the training part.
        scale: "standard" (mean 0, deviation 1) or "minmax" (0 to 1 on the training part; values
            beyond it go beyond, so that they are seen).

    Raises:
        ValueError: the scale is neither.
    """
    scalers = {"standard": StandardScaler, "minmax": MinMaxScaler}
    if scale not in scalers:
        raise ValueError(f"scale must be standard or minmax; got {scale!r}")
    imputer = SimpleImputer(strategy=fill, keep_empty_features=True)
    return make_pipeline(imputer, OutlierClipper(0.0, 0.995), scalers[scale]())
