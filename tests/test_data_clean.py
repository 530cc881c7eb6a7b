import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from conftest import OTHER_TIMES, make_events, other_moments
from hypothesis import given
from hypothesis import strategies as st

from companion.core.codes import encode
from companion.core.frames import compact, pandas_too, to_polars
from companion.data import clean, features
from companion.data.order import in_order, packed
from companion.data.schema import SchemaError

COLUMNS = ("user_id", "item_id", "event", "timestamp")
REPEATS = [
    ("u1", "a", "view", 100),
    ("u1", "a", "view", 100),
    ("u1", "a", "view", 160),
    ("u1", "a", "purchase", 160),
    ("u1", "a", "purchase", 160),
    ("u1", "a", "purchase", 900),
    ("u2", "a", "view", 100),
]


def repeats():
    return make_events(REPEATS, COLUMNS)


@pytest.mark.parametrize(
    "prepare", [lambda e: e, in_order, compact, lambda e: in_order(compact(e))]
)
def test_only_exact_copies_go(prepare):
    found = clean.remove_duplicates(prepare(repeats()))
    assert found.events.height == 5
    assert sorted(found.rejected["line"]) == [2, 5]
    assert found.step.rows_in - found.step.rows_out == 2
    assert set(found.rejected["reason"]) == {"exact copy of an earlier row"}
    assert json.loads(found.rejected["row"][0])["item_id"] == "a"


@given(st.lists(st.tuples(st.sampled_from("uv"), st.sampled_from("ab"), st.integers(0, 3))))
def test_duplicates_as_pandas_sees_them(rows):
    events = make_events(rows)
    expected = events.to_pandas().drop_duplicates()
    for table in (events, in_order(events), compact(events)):
        kept = clean.remove_duplicates(table).events
        assert sorted(kept.select("user_id", "item_id", "timestamp").rows()) == sorted(
            map(tuple, expected[["user_id", "item_id", "timestamp"]].itertuples(index=False))
        )


def test_a_second_column_makes_a_row_another():
    events = repeats().with_columns(price=pl.Series([1.0, 2, 3, 4, 5, 6, 7]))
    assert clean.remove_duplicates(events).events.height == 7


def test_rows_without_a_value_go_with_their_reason():
    events = make_events([("u1", "a", 1), ("", "b", 2), (None, None, 3)])
    found = clean.reject_missing(events, ["user_id", "item_id"])
    assert found.events["item_id"].to_list() == ["a"]
    assert found.rejected["reason"].to_list() == ["missing: user_id", "missing: user_id, item_id"]
    with pytest.raises(SchemaError, match="no column 'price'"):
        clean.reject_missing(events, ["price"])


def test_limits_include_their_ends_and_spare_the_missing():
    events = make_events([("u", "a", n) for n in range(5)])
    events = events.with_columns(price=pl.Series([-1.0, 0.0, 5.0, 5.1, None]))
    found = clean.reject_outside(events, "price", low=0, high=5)
    assert found.events["price"].to_list() == [0.0, 5.0, None]
    assert found.rejected["reason"].to_list() == [
        "price -1.0 is below 0 or above 5",
        "price 5.1 is below 0 or above 5",
    ]


@pytest.mark.parametrize("limits", [{}, {"low": 2, "high": 1}])
def test_limits_that_are_none(limits):
    with pytest.raises(ValueError, match="low"):
        clean.reject_outside(make_events([("u", "a", 1)]), "timestamp", **limits)


def test_ties_keep_the_order_of_the_log_whatever_the_items_are():
    events = make_events([("u1", "i9", 10), ("u1", "i2", 10), ("u1", "i5", 10), ("u1", "i1", 20)])
    for table in (
        events,
        compact(events),
        events[[3, 1, 0, 2]].with_columns(line=pl.Series([4, 2, 1, 3])),
    ):
        found = clean.sort_by_time(table).events
        assert found["item_id"].cast(pl.String).to_list() == ["i9", "i2", "i5", "i1"]


@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("ab"), st.integers(-2, 2))),
    st.randoms(use_true_random=False),
)
def test_sorting_agrees_with_a_plain_sort(rows, random):
    lines = random.sample(range(1, 2 * len(rows) + 1), len(rows))
    events = make_events(rows).with_columns(line=pl.Series(lines, dtype=pl.Int64))
    first = {user: n for n, user in reversed(list(enumerate(events["user_id"])))}
    expected = sorted(
        events.select("user_id", "timestamp", "line").rows(),
        key=lambda row: (first[row[0]], row[1], row[2]),
    )
    for table in (events, compact(events)):
        found = clean.sort_by_time(table).events
        assert (
            found.with_columns(pl.col("user_id").cast(pl.String))
            .select("user_id", "timestamp", "line")
            .rows()
            == expected
        )
        assert clean.sort_by_time(found).step.changed == 0


def test_two_keys_that_need_too_many_bits_are_not_packed():
    wide = np.array([0, 2**62])
    assert packed(wide, wide) is None
    events = make_events([("v", "a", 3), ("u", "b", 2), ("v", "c", 1)])
    assert in_order(events)["item_id"].to_list() == ["c", "a", "b"]


def test_codes_count_by_first_appearance_and_mark_the_missing():
    column = pl.Series(["b", None, "a", "b"])
    other = compact(pl.DataFrame({"x": ["z", "y", "a", "b", None, "a", "b"]}))["x"]
    for found in (encode(column), encode(column.cast(pl.Categorical)), encode(other[3:])):
        assert found.values[int(found.codes[0])] == "b"
        assert found.codes.tolist() == [0, -1, 1, 0]


def test_steps_add_up_and_everything_set_aside_is_written(tmp_path):
    events = repeats().with_columns(price=pl.Series([1.0, 1, 1, 1, 1, -1, 1]))
    done = clean.clean(
        events,
        [
            clean.sort_by_time,
            clean.remove_duplicates,
            lambda e: clean.reject_outside(e, "price", low=0),
            lambda e: clean.reject_where(e, pl.col("user_id") == "u2", "a robot"),
        ],
    )
    table = done.table()
    assert table["rows after"].tolist() == [7, 5, 4, 3]
    assert table["rejected"].sum() == done.rejected.height == 4
    path = clean.write_rejected(done.rejected, tmp_path / "new" / "rejected.csv")
    written = pl.read_csv(path)
    assert written["line"].to_list() == [2, 5, 6, 7]
    assert not list(path.parent.glob("*.part"))


def test_a_step_that_loses_rows_in_silence_is_caught():
    def loses(events):
        found = clean.remove_duplicates(events)
        return found._replace(events=found.events[:-1])

    with pytest.raises(SchemaError, match="7 rows came in, 4 stay, 2 went"):
        clean.clean(repeats(), [loses])


def test_pandas_in_pandas_out():
    found = clean.remove_duplicates(repeats().to_pandas())
    assert isinstance(found.events, pd.DataFrame)
    assert isinstance(found.rejected, pd.DataFrame)
    assert str(found.events["timestamp"].dtype).endswith("UTC]")


def test_frames_that_are_none():
    with pytest.raises(TypeError, match="got list"):
        to_polars([1])
    with pytest.raises(ValueError, match="named 'a'"):
        to_polars(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    assert pandas_too(lambda frame: frame)(5) == 5


def test_declared_categories_do_not_become_a_grid():
    frame = pd.DataFrame(
        {
            "user": pd.Categorical(["u1", "u2"], categories=[f"u{n}" for n in range(1_000)]),
            "item": pd.Categorical(["i1", "i2"], categories=[f"i{n}" for n in range(1_000)]),
        }
    )
    assert len(features.count_by(frame, "user")) == 2
    assert to_polars(frame).group_by("user", "item").len().height == 2


@pytest.mark.parametrize("dtype", [pl.Int64, pl.UInt32, pl.UInt8])
@pytest.mark.parametrize("lines", [[2, 1], [3, 1, 2], [1, 3, 2], [9, 8, 7, 6]])
def test_ties_follow_the_line_whatever_kind_of_number_it_is(lines, dtype):
    events = make_events([("u", f"i{line}", 5) for line in lines])
    events = events.with_columns(line=pl.Series(lines, dtype=dtype))
    for table in (events, compact(events), events.to_pandas()):
        found = to_polars(clean.sort_by_time(table).events)
        assert found["line"].to_list() == sorted(lines)
        assert found["item_id"].cast(pl.String).to_list() == [f"i{n}" for n in sorted(lines)]


@pytest.mark.parametrize("line", [[1, None], [1.0, 2.0], ["1", "2"]])
@pytest.mark.parametrize("function", [clean.sort_by_time, clean.remove_duplicates, in_order])
def test_a_line_that_is_no_whole_number_is_refused(function, line):
    events = make_events([("u", "a", 2), ("u", "b", 1)]).with_columns(line=pl.Series(line))
    with pytest.raises(SchemaError, match="'line' must hold a whole number in every row"):
        function(events)


def test_the_step_counts_the_rows_that_moved():
    events = make_events([("u", "a", 1), ("u", "b", 3), ("u", "c", 2), ("v", "d", 9)])
    step = clean.sort_by_time(events).step
    assert (step.rows_in, step.rows_out, step.changed) == (4, 4, 2)


@pytest.mark.parametrize("other", OTHER_TIMES)
def test_sorting_does_not_depend_on_the_unit_or_the_zone_of_the_times(other):
    events = make_events([("u", "c", 3), ("v", "d", 1), ("u", "a", 1), ("u", "b", 1)])
    found = clean.sort_by_time(OTHER_TIMES[other](events))
    assert list(found.events["item_id"]) == ["a", "b", "c", "d"]
    assert found.step.changed == clean.sort_by_time(events).step.changed == 4


def test_a_missing_time_is_named_by_its_line():
    events = make_events([("u", "a", 3), ("u", "b", 1)]).with_columns(
        line=pl.Series([70, 90]),
        timestamp=pl.when(pl.col("item_id") != "b").then(pl.col("timestamp")),
    )
    for table in (events, events.to_pandas(), events.drop("line").with_row_index("line", 89)):
        with pytest.raises(SchemaError, match="line 90 has no timestamp"):
            clean.sort_by_time(table)


@pytest.mark.parametrize("absent", [None, float("nan")])
@pytest.mark.parametrize("kind", [lambda e: e, pl.DataFrame.to_pandas])
def test_what_is_no_number_counts_as_missing(absent, kind):
    events = make_events([("u", "a", 1), ("u", "b", 2), ("u", "c", 3)])
    events = kind(events.with_columns(price=pl.Series([1.0, absent, 9.0], dtype=pl.Float64)))
    found = clean.reject_missing(events, ["price"])
    assert list(found.events["item_id"]) == ["a", "c"]
    assert list(found.rejected["reason"]) == ["missing: price"]
    inside = clean.reject_outside(events, "price", low=0, high=5)
    assert list(inside.events["item_id"]) == ["a", "b"]
    assert list(inside.rejected["line"]) == [3]


@pytest.mark.parametrize("moment", other_moments(datetime(2024, 1, 1, 0, 0, 2, tzinfo=UTC)))
def test_a_limit_of_time_is_the_same_in_every_zone(moment):
    events = make_events([("u", f"i{n}", n) for n in range(5)])
    low = clean.reject_outside(events, "timestamp", low=moment)
    high = clean.reject_outside(events, "timestamp", high=moment)
    assert low.events["item_id"].to_list() == ["i2", "i3", "i4"]
    assert high.events["item_id"].to_list() == ["i0", "i1", "i2"]


def test_what_pandas_marks_as_missing_is_missing_in_polars():
    frame = pd.DataFrame({"price": [1.0, np.nan], "id": [1, "A2"]})
    assert to_polars(frame)["price"].to_list() == [1.0, None]


def test_a_column_of_several_kinds_of_objects_becomes_text():
    frame = pd.DataFrame({"id": pd.Series([1, "A2", None, np.nan], dtype=object)})
    assert to_polars(frame)["id"].to_list() == ["1", "A2", None, None]
    one = pd.DataFrame({"id": pd.Series([1, 2, None], dtype=object)})
    assert to_polars(one)["id"].cast(pl.String).to_list() == ["1", "2", None]


def test_an_enum_has_codes_like_any_text():
    column = pl.Series(["b", None, "a", "b"], dtype=pl.Enum(["a", "b", "c"]))
    found = encode(column)
    assert found.codes.tolist() == [0, -1, 1, 0]
    assert found.values.cast(pl.String).to_list() == ["b", "a"]
