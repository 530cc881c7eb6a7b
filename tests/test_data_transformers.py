import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline

from companion.core.frames import compact
from companion.data.transformers import (
    FIRST_KNOWN,
    PADDING,
    UNKNOWN,
    GroupMeanImputer,
    IdEncoder,
    OutlierClipper,
    log1p_price,
    number_pipeline,
)


def test_a_new_item_is_unknown_and_nothing_else():
    encoder = IdEncoder().fit(["a", "b", "c"])
    known = encoder.transform(["a", "b", "c"])
    new = encoder.transform(["a", "z"])
    assert new[1] == UNKNOWN
    assert UNKNOWN not in {PADDING, *known}
    assert encoder.inverse_transform([0, 1, *known]).tolist() == [
        "<padding>",
        "<unknown>",
        "a",
        "b",
        "c",
    ]
    assert encoder.count_unknown(["a", "z"]) == 1
    assert encoder.size_ == 5


@pytest.mark.parametrize(
    "ids",
    [
        ["b", "a", None, "b"],
        np.array(["b", "a", None, "b"], object),
        pd.Series(["b", "a", None, "b"]),
        pd.DataFrame({"id": ["b", "a", None, "b"]}),
        pl.Series(["b", "a", None, "b"]),
        compact(pl.DataFrame({"id": ["b", "a", None, "b"]}))["id"],
    ],
)
def test_every_kind_of_column_gives_the_same_codes(ids):
    encoder = IdEncoder().fit(ids)
    assert encoder.ids_.tolist() == ["b", "a"]  # most frequent first
    assert encoder.transform(ids).ravel().tolist() == [2, 3, UNKNOWN, 2]


def test_codes_keep_their_shape_and_do_not_wrap_around():
    encoder = IdEncoder().fit(["a"])
    assert encoder.transform([["a"], ["b"]]).shape == (2, 1)
    for index in (-1, 3):
        with pytest.raises(ValueError, match=r"\[0, 2\]"):
            encoder.inverse_transform([index])
    with pytest.raises(NotFittedError):
        IdEncoder().transform(["a"])


def test_the_fill_is_learned_from_training_alone():
    pipeline = number_pipeline("mean").fit([[10.0], [20.0], [np.nan]])
    assert pipeline[0].statistics_[0] == 15.0
    pipeline.transform([[1000.0]])
    assert pipeline[0].statistics_[0] == 15.0


def test_the_scale_is_learned_from_training_alone():
    scaler = number_pipeline("mean")[-1].fit([[0.0], [2.0], [4.0]])
    assert scaler.transform([[100.0]])[0, 0] == pytest.approx(60.01249869818786)


@pytest.mark.parametrize(("scale", "low", "high"), [("standard", None, None), ("minmax", 0, 1)])
def test_the_pipeline_gives_finite_numbers(scale, low, high):
    train = np.array([[1.0, np.nan], [3.0, np.nan], [5.0, np.nan]])
    out = number_pipeline(scale=scale).fit(train).transform(np.array([[np.nan, 7.0], [1e9, 2.0]]))
    assert np.isfinite(out).all()
    if low is not None:
        fitted = number_pipeline(scale=scale).fit_transform(train)[:, 0]
        assert (fitted.min(), fitted.max()) == (low, high)
    with pytest.raises(ValueError, match="'log'"):
        number_pipeline(scale="log")


@pytest.mark.parametrize(
    "kind",
    [
        list,
        pd.DataFrame,
        lambda rows: pl.DataFrame(rows, orient="row"),
        lambda rows: compact(pl.DataFrame(rows, orient="row")),
    ],
)
def test_a_missing_price_is_its_items_mean(kind):
    train = kind([("a", 1.0), ("a", 3.0), ("b", None), ("c", 11.0)])
    imputer = GroupMeanImputer().fit(train)
    assert imputer.means_ == {"a": 2.0, "c": 11.0}
    test = kind([("a", None), ("b", None), ("z", None), ("c", 7.0)])
    assert imputer.transform(test)[:, 0].tolist() == [2.0, 5.0, 5.0, 7.0]


def test_nothing_to_learn_from_is_an_error():
    with pytest.raises(ValueError, match="no number"):
        GroupMeanImputer().fit([("a", None)])
    with pytest.raises(ValueError, match="two columns"):
        GroupMeanImputer().fit([("a",)])


def test_outliers_are_pulled_to_the_limits_of_training():
    train = np.arange(101.0)[:, None]
    clipper = OutlierClipper(0.1, 0.9).fit(train)
    assert clipper.transform([[-5.0], [50.0], [1e6]]).ravel().tolist() == [10.0, 50.0, 90.0]
    assert clipper.count_outside([[-5.0], [50.0], [1e6]]).tolist() == [2]
    with pytest.raises(ValueError, match="low < high"):
        OutlierClipper(0.9, 0.1).fit(train)


def test_refunds_have_no_logarithm():
    assert log1p_price([0.0, 3.0]).tolist() == pytest.approx([0.0, 1.386294], abs=1e-6)
    with pytest.raises(ValueError, match=r"row 1: price -1 .*2 rows"):
        log1p_price([0.0, -1.0, -5.0])
    assert np.isnan(log1p_price([np.nan])).all()


@pytest.mark.parametrize("transformer", [IdEncoder(), GroupMeanImputer(), OutlierClipper(0.2, 0.8)])
def test_the_conventions_of_scikit_learn(transformer):
    copy = clone(transformer)
    assert copy.get_params() == transformer.get_params()
    assert repr(copy) == repr(transformer)


def test_they_work_in_scikit_learns_pipelines():
    table = pd.DataFrame({"item": ["a", "b", "a"], "price": [1.0, np.nan, 3.0], "n": [1, 2, 300]})
    both = make_column_transformer(
        (IdEncoder(), ["item"]),
        (GroupMeanImputer(), ["item", "price"]),
        (make_pipeline(OutlierClipper(0, 0.5), number_pipeline()), ["n"]),
    )
    out = both.fit_transform(table)
    assert out[:, 0].tolist() == [FIRST_KNOWN, FIRST_KNOWN + 1, FIRST_KNOWN]
    assert out[:, 1].tolist() == [1.0, 2.0, 3.0]
    assert both.get_feature_names_out().tolist()[:2] == [
        "idencoder__item",
        "groupmeanimputer__price",
    ]
