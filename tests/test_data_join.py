from datetime import UTC, datetime, timedelta

import pandas as pd
import polars as pl
import pytest
from conftest import make_events

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
