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


FITTED = [
    (IdEncoder(), [["a"], ["b"]], 1, ["id"]),
    (GroupMeanImputer(), [("a", 1.0), ("b", None)], 2, ["value"]),
    (OutlierClipper(0.2, 0.8), [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], 3, ["x0", "x1", "x2"]),
]


@pytest.mark.parametrize(("transformer", "table", "columns", "names"), FITTED)
def test_the_conventions_of_scikit_learn(transformer, table, columns, names):
    before = vars(transformer).copy()
    fitted = clone(transformer)
    assert fitted.fit(table, [0, 1]) is fitted
    assert fitted.n_features_in_ == columns
    assert fitted.get_feature_names_out().tolist() == names
    assert fitted.get_params() == transformer.get_params()
    learned = set(vars(fitted)) - set(before)
    assert learned
    assert all(name.endswith("_") for name in learned)
    fresh = clone(fitted)
    assert vars(fresh) == before
    with pytest.raises(NotFittedError):
        fresh.transform(table)
    np.testing.assert_array_equal(fresh.fit_transform(table), fitted.transform(table))


def test_the_quantiles_are_parameters_that_scikit_learn_can_set():
    assert OutlierClipper(0.2, 0.8).get_params() == {"low": 0.2, "high": 0.8}
    clipper = OutlierClipper().set_params(low=0.0, high=0.5).fit(np.arange(11.0)[:, None])
    assert (clipper.low_.tolist(), clipper.high_.tolist()) == ([0.0], [5.0])
    with pytest.raises(NotFittedError):
        OutlierClipper().count_outside([[1.0]])
    with pytest.raises(NotFittedError):
        IdEncoder().inverse_transform([0])


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


@pytest.mark.parametrize(
    "ids",
    [
        [101, 7, 7],
        np.array([101, 7, 7]),
        np.array([101, 7, 7], np.int32),
        pd.Series([101, 7, 7]),
        pd.Series([101, None, 7, 7]),
        pd.Series([101, np.nan, 7, 7], dtype=object),
        pd.Series([101, None, 7, 7], dtype="Int64"),
        pd.DataFrame({"id": [101, None, 7, 7]}),
        np.array([101.0, np.nan, 7.0, 7.0]),
        np.array([[101.0], [np.nan], [7.0], [7.0]]),
        pl.Series([101, 7, 7]),
        pl.Series([101.0, None, 7.0, 7.0]),
        pl.DataFrame({"id": [101.0, None, 7.0, 7.0]}),
        [101, None, 7, 7],
        [101.0, None, 7.0, 7.0],
    ],
)
def test_a_number_is_the_id_of_its_digits_whatever_a_gap_made_of_it(ids):
    encoder = IdEncoder().fit(ids)
    assert encoder.ids_.tolist() == ["7", "101"]
    codes = encoder.transform(ids)
    assert codes.shape == np.shape(ids)
    assert codes.ravel().tolist() in ([3, 2, 2], [3, UNKNOWN, 2, 2])
    assert encoder.transform(["101", "7", "101.0"]).tolist() == [3, 2, UNKNOWN]
    assert (
        IdEncoder().fit(["7", "7", "101"]).transform(ids).ravel().tolist() == codes.ravel().tolist()
    )


@pytest.mark.parametrize(
    "ids",
    [
        [["a", "b"]],
        np.array([["a", "b"]]),
        pd.DataFrame({"x": ["a"], "y": ["b"]}),
        pl.DataFrame({"x": ["a"], "y": ["b"]}),
    ],
)
def test_two_columns_are_no_ids(ids):
    with pytest.raises(ValueError, match=r"one column of ids is needed; got shape \(1, 2\)"):
        IdEncoder().fit(ids)


@pytest.mark.parametrize("kind", [list, pl.Series, lambda v: compact(pl.DataFrame({"i": v}))["i"]])
def test_many_ids_of_one_frequency_stay_in_order_of_appearance(kind):
    ids = [f"i{n * 37 % 200}" for n in range(200)]
    twice = ids[::3]
    expected = twice + [one for one in ids if one not in set(twice)]
    assert IdEncoder().fit(kind(ids + twice)).ids_.tolist() == expected


@pytest.mark.parametrize("columns", [1, 3])
def test_another_number_of_columns_is_refused(columns):
    clipper = OutlierClipper(0.0, 1.0).fit(np.arange(6.0).reshape(3, 2))
    for function in (clipper.transform, clipper.count_outside):
        with pytest.raises(ValueError, match=f"fit saw 2 columns; these are {columns}"):
            function(np.zeros((4, columns)))


def test_the_pipeline_clips_what_is_high_and_nothing_that_is_low():
    train = np.arange(1_001.0)[:, None]
    pipeline = number_pipeline(scale="minmax").fit(train)
    assert pipeline[1].low_.tolist() == [0.0]
    assert pipeline[1].high_.tolist() == [995.0]
    assert pipeline[1].count_outside(train).tolist() == [5]
    assert len(np.unique(pipeline.transform(train))) == 996
