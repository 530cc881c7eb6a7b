from datetime import UTC, datetime

import polars as pl
import pytest
from conftest import OTHER_TIMES, make_events, other_moments

from companion.core.frames import compact
from companion.data import features
from companion.data.ingest import ColumnMapping, to_events
from companion.data.schema import EVENTS

COLUMNS = ("user_id", "item_id", "event", "timestamp")
DAY = 86_400
AT = datetime(2024, 1, 11, tzinfo=UTC)  # ten days after the events begin


def test_a_missing_value_is_counted_like_any_other():
    table = pl.DataFrame({"cat": ["a", "a", None, "b", None, "b"]})
    counts = dict(features.count_by(table, "cat").rows())
    assert counts == {"a": 2, "b": 2, None: 2}


def test_a_session_ends_after_thirty_minutes_of_silence():
    minutes = [0, 30, 61, 61, 92]
    events = make_events([("u", "a", m * 60) for m in minutes] + [("v", "a", 0)])
    for table in (events, compact(events), events.reverse()):
        found = features.add_sessions(table)
        ids = dict.fromkeys(found["session_id"])
        assert list(ids) in (["u#1", "u#2", "u#3", "v#1"], ["v#1", "u#1", "u#2", "u#3"])
        assert found.filter(pl.col("session_id") == "u#2").height == 2


def test_the_clock_change_does_not_join_two_sessions():
    stamps = ["2023-11-05T01:30:00-04:00", "2023-11-05T01:30:00-05:00", "2023-11-05T01:40:00-05:00"]
    log = pl.DataFrame({"user_id": "u1", "item_id": "a", "timestamp": stamps})
    events = to_events(log, ColumnMapping(event="view")).events
    assert features.add_sessions(events)["session_id"].to_list() == ["u1#1", "u1#2", "u1#2"]


@pytest.mark.parametrize("minutes", [0, -1, float("nan")])
def test_silence_must_last(minutes):
    with pytest.raises(ValueError, match="above 0"):
        features.add_sessions(make_events([("u", "a", 1)]), minutes)


def log():
    return make_events(
        [
            ("u", "a", "view", 0),
            ("u", "b", "view", 60),
            ("u", "a", "purchase", 90),
            ("u", "b", "purchase", 4 * DAY),
            ("u", "c", "purchase", 10 * DAY),  # at the moment: not before it
            ("v", "a", "view", 2 * DAY),
        ],
        COLUMNS,
    ).with_columns(price=pl.Series([None, None, 2.0, 3.0, 99.0, None]))


def test_user_features_by_hand():
    user = features.user_features(log(), AT).row(0, named=True)
    assert {k: v for k, v in user.items() if v != 0} == {
        "user_id": "u",
        "events": 4,
        "items": 2,
        "active_days": 2,
        "views": 2,
        "purchases": 2,
        "recency_days": 6.0,
        "tenure_days": 10.0,
        "gap_days": 4.0,
        "spend": 5.0,
    }


def test_item_features_by_hand():
    table = features.item_features(log(), AT)
    assert table["item_id"].to_list() == ["a", "b"]
    assert {k: v for k, v in table.row(0, named=True).items() if v != 0} == {
        "item_id": "a",
        "events": 3,
        "users": 2,
        "views": 2,
        "purchases": 1,
        "recency_days": 8.0,
        "age_days": 10.0,
        "price_mean": 2.0,
    }


def test_nothing_after_the_moment_changes_a_feature():
    later = make_events([("u", "z", "purchase", 11 * DAY), ("w", "a", "view", 12 * DAY)], COLUMNS)
    more = pl.concat([log(), later.with_columns(price=pl.lit(1e6))])
    for function in (features.user_features, features.item_features):
        assert function(more, AT).equals(function(log(), AT))
    with pytest.raises(ValueError, match="time zone"):
        features.user_features(log(), datetime(2024, 1, 11))


def test_session_features_by_hand():
    sessions = features.session_features(features.add_sessions(log()))
    first = sessions.filter(pl.col("session_id") == "u#1").row(0, named=True)
    assert (first["events"], first["items"], first["seconds"]) == (3, 2, 90.0)
    assert (first["views"], first["purchases"], first["converted"]) == (2, 1, True)
    assert sessions.filter(pl.col("user_id") == "v")["converted"].to_list() == [False]
    with pytest.raises(ValueError, match="add_sessions"):
        features.session_features(log())


def test_the_shop_has_its_own_clock():
    found = features.add_local_time(log(), "America/New_York")
    assert found["hour"][0] == 19  # midnight in UTC on New Year's Day
    assert found["weekday"][0] == 7  # still Sunday there
    with pytest.raises(ValueError, match="Mars"):
        features.add_local_time(log(), "Mars/Base")


@pytest.mark.parametrize("other", OTHER_TIMES)
def test_sessions_do_not_depend_on_the_unit_or_the_zone_of_the_times(other):
    seconds = [0, 1_800, 3_601, 3_601, 5_402]
    events = make_events([("u", "a", s) for s in seconds] + [("v", "a", 0)])
    changed = OTHER_TIMES[other](events)
    expected = ["u#1", "u#1", "u#2", "u#2", "u#3", "v#1"]
    assert features.add_sessions(events)["session_id"].to_list() == expected
    assert list(features.add_sessions(changed)["session_id"]) == expected
    if isinstance(changed, pl.DataFrame):
        assert features.session_numbers(changed).tolist() == [1, 1, 2, 2, 3, 1]


def test_one_day_lies_between_the_last_minute_of_a_day_and_the_first_of_the_next():
    events = make_events([("u", "a", DAY - 60), ("u", "a", DAY + 60), ("v", "a", 5)])
    table = features.user_features(events, AT)
    assert table["gap_days"].to_list() == [1.0, None]


def spoken(events):
    sessions = features.session_features(features.add_sessions(events))
    return features.user_features(events, AT), features.item_features(events, AT), sessions


def test_the_columns_are_the_same_whatever_events_occur():
    every = [("u", "a", kind, n) for n, kind in enumerate(EVENTS)]
    full = spoken(make_events(every, COLUMNS))
    for kind in ("view", "purchase", "search"):
        few = spoken(make_events([("u", "a", kind, 1)], COLUMNS))
        assert [table.columns for table in few] == [table.columns for table in full]
        assert [table.schema for table in few] == [table.schema for table in full]
    for table in full:
        assert table["searches"].to_list() == [1]


@pytest.mark.parametrize("moment", other_moments(AT))
def test_a_moment_is_the_same_in_every_zone(moment):
    assert features.user_features(log(), moment).equals(features.user_features(log(), AT))
    assert features.item_features(log(), moment).equals(features.item_features(log(), AT))


def test_spend_is_price_times_quantity_and_one_where_no_quantity_is_known():
    rows = [("u", "a", "purchase", 1), ("u", "b", "purchase", 2), ("u", "a", "view", 3)]
    events = make_events(rows, COLUMNS).with_columns(
        price=pl.Series([2.0, 5.0, 100.0]), quantity=pl.Series([3.0, None, 7.0])
    )
    assert features.user_features(events, AT)["spend"].to_list() == [11.0]
