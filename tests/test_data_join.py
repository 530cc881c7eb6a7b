from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pytest
from conftest import OTHER_TIMES, make_events

from companion.data.join import join_as_of, join_table, merge_logs
from companion.data.schema import SchemaError

START = datetime(2024, 1, 1, tzinfo=UTC)


def snapshots(*rows):
    times = pl.Series(
        [START + timedelta(seconds=s) for _, s, _ in rows], dtype=pl.Datetime("us", "UTC")
    )
    return pl.DataFrame(
        {"item_id": [r[0] for r in rows], "timestamp": times, "price_now": [r[2] for r in rows]}
    )


def test_ids_that_became_floats_still_meet_their_text():
    events = pd.DataFrame({"user_id": [101, 102, None, 101], "item": list("abcd")})
    profiles = pd.DataFrame({"user_id": ["101", "102"], "segment": ["gold", "new"]})
    found = join_table(events, profiles, "user_id")
    assert (found.matched, found.unmatched, found.without_key) == (3, 0, 1)
    assert found.events["item"].tolist() == list("abcd")
    assert found.events["segment"].tolist()[:2] == ["gold", "new"]


def test_an_event_without_a_partner_stays_and_is_counted():
    found = join_table(
        make_events([("u9", "a", 1)]), pl.DataFrame({"user_id": ["u1"], "age": [3]}), "user_id"
    )
    assert found.events["age"].to_list() == [None]
    assert (found.matched, found.unmatched) == (0, 1)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"user_id": ["u", "u"], "x": [1, 2]}, "'u' more than once"),
        ({"user_id": ["u"], "item_id": ["a"]}, "both have a column 'item_id'"),
        ({"id": ["u"]}, "no column 'user_id'"),
        ({"user_id": [2.0**60]}, "lost digits"),
    ],
)
def test_joins_that_would_go_wrong_are_refused(table, message):
    with pytest.raises(SchemaError, match=message):
        join_table(make_events([("u", "a", 1)]), pl.DataFrame(table), "user_id")


def test_the_last_snapshot_at_or_before_the_event_is_used_and_never_a_later_one():
    events = make_events([("u", "a", 30), ("u", "a", 5), ("u", "a", 20), ("u", "b", 9)])
    prices = snapshots(("a", 20, 2.0), ("a", 10, 1.0), ("b", 10, 7.0))
    found = join_as_of(events, prices, "item_id")
    assert found.events["price_now"].to_list() == [2.0, None, 2.0, None]
    assert found.events["item_id"].to_list() == ["a", "a", "a", "b"]
    assert (found.matched, found.unmatched) == (2, 2)


def test_two_snapshots_that_contradict_each_other_are_refused():
    with pytest.raises(SchemaError, match="'a' has two snapshots"):
        join_as_of(
            make_events([("u", "a", 30)]), snapshots(("a", 1, 1.0), ("a", 1, 2.0)), "item_id"
        )


def test_several_logs_become_one_in_order_of_time():
    views = make_events([("u", "a", 5), ("u", "b", 1)])
    orders = make_events([("u", "a", 3)], event="purchase").with_columns(price=pl.lit(2.0))
    log = merge_logs(views=views, orders=orders)
    assert log["source"].to_list() == ["views", "orders", "views"]
    assert log["price"].to_list() == [None, 2.0, None]
    with pytest.raises(SchemaError, match="do not fit"):
        merge_logs(a=views, b=orders.with_columns(item_id=pl.lit(5)))
    with pytest.raises(SchemaError, match="at least one"):
        merge_logs()


NOT_TIMES = {
    "seconds": pl.col("timestamp").dt.epoch("s"),
    "no zone": pl.col("timestamp").dt.replace_time_zone(None),
    "text": pl.col("timestamp").dt.to_string(),
    "date": pl.col("timestamp").dt.date(),
}


@pytest.mark.parametrize("kind", NOT_TIMES)
def test_times_that_cannot_be_compared_are_refused(kind):
    events, prices = make_events([("u", "a", 30)]), snapshots(("a", 1, 1.0))
    change = NOT_TIMES[kind].alias("timestamp")
    with pytest.raises(SchemaError, match="the snapshots need a column 'timestamp'"):
        join_as_of(events, prices.with_columns(change), "item_id")
    with pytest.raises(SchemaError, match="the events need a column 'timestamp'"):
        join_as_of(events.with_columns(change), prices, "item_id")
    with pytest.raises(SchemaError, match="the snapshots need a column 'timestamp'"):
        join_as_of(events, prices.drop("timestamp"), "item_id")


@pytest.mark.parametrize("other", OTHER_TIMES)
def test_snapshots_and_events_in_another_unit_or_zone_meet(other):
    events = make_events([("u", "a", 30), ("u", "a", 5), ("u", "a", 20), ("u", "b", 9)])
    prices = snapshots(("a", 20, 2.0), ("a", 10, 1.0), ("b", 10, 7.0))
    change = OTHER_TIMES[other]
    for left, right in ((events, change(prices)), (change(events), prices)):
        found = join_as_of(left, right, "item_id")
        prices_now = pl.Series(list(found.events["price_now"])).fill_nan(None)
        assert prices_now.to_list() == [2.0, None, 2.0, None]
        assert (found.matched, found.unmatched) == (2, 2)


def test_two_snapshots_that_are_equal_are_one():
    prices = snapshots(("a", 1, 1.0), ("a", 1, 1.0))
    found = join_as_of(make_events([("u", "a", 30)]), prices, "item_id")
    assert found.events["price_now"].to_list() == [1.0]


@pytest.mark.parametrize("absent", [None, ""])
def test_snapshots_and_rows_without_a_key_are_passed_over(absent):
    events = make_events([("u", absent, 30), ("u", "a", 30)])
    prices = snapshots((absent, 1, 1.0), (absent, 1, 2.0), ("a", 1, 3.0))
    for found in (
        join_as_of(events, prices, "item_id"),
        join_table(events, prices.drop("timestamp"), "item_id"),
    ):
        assert found.events["price_now"].to_list() == [None, 3.0]
        assert found.events["item_id"].to_list() == [absent, "a"]
        assert (found.matched, found.unmatched, found.without_key) == (1, 0, 1)


@pytest.mark.parametrize(
    "keys",
    [
        pl.Series(["1.5E+10", "007", " 7 "]),
        pl.Series([1, 2, 3]),
        pl.Series([101.0, 102.0, 103.0]),
        pl.Series(["a", "b", "c"], dtype=pl.Categorical),
    ],
)
def test_the_key_stays_as_it_was(keys):
    events = make_events([("u", "a", n) for n in range(3)]).with_columns(item_id=keys)
    table = pl.DataFrame({"item_id": keys, "x": [1, 2, 3]})
    prices = table.with_columns(timestamp=pl.lit(START))
    for found in (join_table(events, table, "item_id"), join_as_of(events, prices, "item_id")):
        assert found.events["item_id"].equals(keys, check_dtypes=True)
        assert found.events.columns == [*events.columns, "x"]
        assert found.events["x"].to_list() == [1, 2, 3]


def test_columns_with_the_names_of_helpers_are_kept():
    helpers = {"_found": [5], "_row": [6], "_key": [7]}
    events = make_events([("u", "a", 3)])
    both = {"item_id": ["a"], "x": [8]}
    as_of = pl.DataFrame(both).with_columns(timestamp=pl.lit(START))
    for how, table in ((join_table, pl.DataFrame(both)), (join_as_of, as_of)):
        left = how(
            events.with_columns(**{k: pl.Series(v) for k, v in helpers.items()}), table, "item_id"
        )
        right = how(
            events, table.with_columns(**{k: pl.Series(v) for k, v in helpers.items()}), "item_id"
        )
        for found in (left, right):
            assert found.events.select(*helpers, "x").rows() == [(5, 6, 7, 8)]
            assert found.matched == 1


def test_merged_logs_count_their_lines_anew_and_keep_the_old_ones():
    views = make_events([("u", "a", 5), ("u", "b", 1)]).with_columns(line=pl.Series([70, 90]))
    orders = make_events([("u", "a", 3), ("u", "b", 3)], event="purchase")
    for log in (merge_logs(views=views, orders=orders), merge_logs(orders=orders, views=views)):
        assert log["line"].to_list() == [1, 2, 3, 4]
        assert log["source"].to_list() == ["views", "orders", "orders", "views"]
        assert log["source_line"].to_list() == [90, 1, 2, 70]


@pytest.mark.parametrize("column", ["source", "source_line"])
def test_a_log_with_a_column_that_merging_adds_is_refused(column):
    log = make_events([("u", "a", 5)])
    with pytest.raises(SchemaError, match=f"'b' has a column '{column}' already"):
        merge_logs(a=log, b=log.with_columns(pl.lit("x").alias(column)))


@pytest.mark.parametrize(
    "kind",
    [
        lambda e: e,
        pl.DataFrame.to_pandas,
    ],
)
def test_a_column_without_any_value_merges_with_one_of_any_type(kind):
    views = make_events([("u", "a", 5)]).with_columns(price=None, query=None)
    orders = make_events([("u", "a", 3)]).with_columns(price=pl.lit(2.0), query=pl.lit("tea"))
    log = merge_logs(views=kind(views), orders=kind(orders))
    assert list(log["source"]) == ["orders", "views"]
    price, query = list(log["price"]), list(log["query"])
    assert (price[0], query[0]) == (2.0, "tea")
    assert pd.isna(price[1])
