from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from conftest import OTHER_TIMES, make_events, other_moments

from companion.core.frames import compact
from companion.data import split
from companion.data.schema import SchemaError

START = datetime(2024, 1, 1, tzinfo=UTC)
LOG = [("u1", "a", 1), ("u1", "b", 10), ("u2", "a", 50), ("u2", "b", 90), ("u2", "c", 100)]


def at(seconds):
    return START + timedelta(seconds=seconds)


def many():
    return make_events([(f"u{n % 7}", f"i{n % 5}", (n * 37) % 101) for n in range(100)])


def together(parts):
    return sorted(pl.concat([p for p in parts if p.height]).rows())


@pytest.mark.parametrize("prepare", [lambda e: e, compact])
@pytest.mark.parametrize(
    "cut",
    [
        lambda e: split.by_time(e, at(40), at(80)),
        lambda e: split.by_share(e, 0.2, 0.3),
        lambda e: split.by_user(e, 0.3, 0.3, seed=1),
        lambda e: split.leave_last_out(e, 2),
    ],
)
def test_nothing_is_lost_and_nothing_is_doubled(cut, prepare):
    events = many().with_row_index("line", offset=1)
    parts = [p.with_columns(pl.col(pl.Categorical).cast(pl.String)) for p in cut(prepare(events))]
    assert all(part.height for part in parts)
    assert together([p.select(events.columns) for p in parts]) == sorted(events.rows())


def test_a_global_cut_has_no_future_in_training():
    events = make_events(LOG)
    parts = split.by_time(events, at(60), at(60))
    assert parts.train["item_id"].to_list() == ["a", "b", "a"]
    assert parts.test["item_id"].to_list() == ["b", "c"]
    found = split.leaks(parts.train, parts.test)
    assert (found.future, found.cold_users, found.cold_items) == (0, 0, 1)


def test_leave_last_out_lets_other_users_futures_in_and_says_so():
    events = make_events([("u1", "a", 1), ("u1", "x", 5), ("u1", "b", 10), *LOG[2:]])
    parts = split.leave_last_out(events)
    assert parts.test["item_id"].to_list() == ["b", "c"]
    found = split.leaks(pl.concat([parts.train, parts.validation]), parts.test)
    assert found.latest_train == at(90)
    assert found.earliest_test == at(10)
    assert found.future == 2
    assert "2 training events are later" in str(found)


def test_a_user_without_history_is_counted():
    train = make_events([("u1", "a", 1), ("u1", "b", 2)])
    test = make_events([("u1", "c", 3), ("u9", "a", 4)])
    for prepare in (lambda e: e, compact):
        found = split.leaks(prepare(train), prepare(test))
        assert (found.cold_users, found.test_users) == (1, 2)
        assert "1 cold users of 2" in str(found)


def test_leaks_of_an_empty_test():
    assert split.leaks(make_events(LOG), make_events(LOG)[:0]).future == 0


def test_events_of_one_instant_stay_together():
    events = make_events([("u", f"i{n}", n // 10) for n in range(100)])
    parts = split.by_share(events, 0.15, 0.15)
    assert not set(parts.train["timestamp"]) & set(parts.validation["timestamp"])
    assert parts.train.height == 70
    assert parts.test.height == 20


def test_whole_users_go_to_one_part_whatever_the_order_of_the_log():
    first = split.by_user(many(), 0.3, 0.3, seed=5)
    users = [set(part["user_id"]) for part in first]
    assert sum(map(len, users)) == len(set.union(*users)) == 7
    second = split.by_user(many().reverse(), 0.3, 0.3, seed=5)
    assert [set(part["user_id"]) for part in second] == users
    other = [
        split.by_user(many(), 0.3, 0.3, seed=s).test["user_id"].unique().to_list() for s in range(9)
    ]
    assert len({tuple(sorted(u)) for u in other}) > 1


def test_short_users_stay_in_training():
    parts = split.leave_last_out(make_events([("u", "a", 1), ("u", "b", 2), ("v", "c", 3)]))
    assert parts.train.height == 3
    assert parts.test.height == 0


def test_folds_by_user_test_each_user_once():
    folds = list(split.folds_by_user(many(), 3))
    tested = [user for fold in folds for user in fold.test["user_id"].unique()]
    assert sorted(tested) == [f"u{n}" for n in range(7)]
    assert all(not set(f.train["user_id"]) & set(f.test["user_id"]) for f in folds)
    pandas_folds = list(split.folds_by_user(many().to_pandas(), 3))
    assert [len(f.test) for f in pandas_folds] == [f.test.height for f in folds]


def test_folds_by_time_never_look_ahead():
    folds = list(split.folds_by_time(many(), 4))
    assert len(folds) == 4
    for fold in folds:
        assert fold.train["timestamp"].max() < fold.test["timestamp"].min()
    assert sum(f.test.height for f in folds) + folds[0].train.height == 100


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda e: split.by_time(e, datetime(2024, 1, 1), at(2)), "no time zone"),
        (lambda e: split.by_time(e, at(3), at(2)), "after the test"),
        (lambda e: split.by_share(e, 0.5, 0.5), "below 1"),
        (lambda e: split.by_share(e[:0]), "no event"),
        (lambda e: split.by_user(e, -0.1, 0.5), "0 or more"),
        (lambda e: split.leave_last_out(e, 0), "1 or more"),
        (lambda e: list(split.folds_by_user(e, 8)), "number of users, 7"),
        (lambda e: list(split.folds_by_time(e, 100)), "from 1 to 99"),
    ],
)
def test_cuts_that_are_none(call, message):
    with pytest.raises(ValueError, match=message):
        call(many())


@pytest.mark.parametrize(
    ("validation", "test", "sizes"),
    [
        (0.2, 0.0, [80, 20, 0]),
        (0.0, 0.3, [70, 0, 30]),
        (0.0, 0.0, [100, 0, 0]),
        (0.1, 0.1, [80, 10, 10]),
    ],
)
@pytest.mark.parametrize("kind", [lambda e: e, compact, pl.DataFrame.to_pandas])
def test_shares_of_an_evenly_timed_log_are_exact(validation, test, sizes, kind):
    events = kind(make_events([("u", f"i{n}", (n * 37) % 100) for n in range(100)]))
    parts = split.by_share(events, validation, test)
    assert [len(part) for part in parts] == sizes
    latest = [part["timestamp"].max() for part in parts if len(part)]
    earliest = [part["timestamp"].min() for part in parts if len(part)]
    assert all(a < b for a, b in zip(latest[:-1], earliest[1:], strict=True))


@pytest.mark.parametrize(
    "other",
    [
        "ns",
        "ms",
        "us in Shanghai",
        "ns in New York",
        "pandas s",
        "pandas ms",
        "pandas ns",
        "pandas s in Berlin",
    ],
)
def test_shares_do_not_depend_on_the_unit_or_the_zone_of_the_times(other):
    events = OTHER_TIMES[other](make_events([("u", f"i{n}", n) for n in range(100)]))
    assert [len(part) for part in split.by_share(events, 0.2, 0.3)] == [50, 20, 30]
    assert [len(part) for part in split.by_share(events, 0.2, 0.0)] == [80, 20, 0]
    assert [len(part) for part in split.by_share(events, 0.0, 0.0)] == [100, 0, 0]


@pytest.mark.parametrize("shares", [(0.1, 0.1), (0.0, 0.3), (0.3, 0.0)])
def test_one_instant_cannot_be_cut(shares):
    events = make_events([("u", f"i{n}", 5) for n in range(100)])
    with pytest.raises(ValueError, match="no event is left for training"):
        split.by_share(events, *shares)
    assert split.by_share(events, 0.0, 0.0).train.height == 100


CUTS = {
    "by time": lambda e: split.by_time(e, at(40), at(80)),
    "by share": lambda e: split.by_share(e, 0.2, 0.3),
    "by user": lambda e: split.by_user(e, 0.3, 0.3),
    "last out": lambda e: split.leave_last_out(e, 2),
    "folds by user": lambda e: list(split.folds_by_user(e, 3)),
    "folds by time": lambda e: list(split.folds_by_time(e, 3)),
}


@pytest.mark.parametrize("column", ["user_id", "timestamp"])
@pytest.mark.parametrize("kind", [lambda e: e, compact, pl.DataFrame.to_pandas])
@pytest.mark.parametrize("name", CUTS)
def test_rows_that_would_be_lost_stop_a_split(name, kind, column):
    events = many().with_row_index("line", offset=1)
    events = events.with_columns(pl.when(pl.col("line") != 8).then(pl.col(column)).alias(column))
    with pytest.raises(SchemaError, match=f"(row 7|line 8) has no {column}"):
        CUTS[name](kind(events))


@pytest.mark.parametrize("name", ["by user", "folds by user", "last out"])
@pytest.mark.parametrize("kind", [lambda e: e, compact, pl.DataFrame.to_pandas])
def test_users_whose_ids_hold_a_zero_byte_are_not_lost(name, kind):
    users = ["a", "a\0", "a\0b", "\0", "b", "b\0\0"]
    events = make_events([(user, "i", n) for n, user in enumerate(users * 5)])
    parts = CUTS[name](kind(events))
    if name == "folds by user":
        assert [len(fold.train) + len(fold.test) for fold in parts] == [30] * 3
        tested = [str(user) for fold in parts for user in fold.test["user_id"]]
        assert sorted(tested) == sorted(users * 5)
        return
    assert sum(map(len, parts)) == 30
    assert all(map(len, parts))
    assert sorted(str(user) for part in parts for user in part["user_id"]) == sorted(users * 5)


@pytest.mark.parametrize("moment", other_moments(at(60)))
def test_a_cut_is_the_same_in_every_zone(moment):
    parts = split.by_time(make_events(LOG), at(40), moment)
    assert [part["timestamp"].to_list() for part in parts] == [
        [at(1), at(10)],
        [at(50)],
        [at(90), at(100)],
    ]
    assert split.by_time(make_events(LOG), moment, at(95)).train.height == 3


@pytest.mark.parametrize(
    ("seconds", "folds"), [([5] * 20, 1), ([0] * 5 + [1] * 15, 3), ([0] * 15 + [1] * 5, 2)]
)
def test_ties_that_would_empty_a_fold_are_an_error(seconds, folds):
    events = make_events([("u", "a", second) for second in seconds])
    with pytest.raises(ValueError, match=f"share an instant for {folds} folds"):
        list(split.folds_by_time(events, folds))


def test_a_training_event_of_the_instant_of_the_first_test_event_is_not_later():
    train = make_events([("u", "a", 1), ("u", "b", 5), ("u", "b", 6)])
    found = split.leaks(train, make_events([("u", "a", 5), ("u", "a", 9)]))
    assert found.future == 1


def test_a_search_in_the_test_is_not_a_cold_item():
    train = make_events([("u", "a", 1)])
    test = make_events([("u", None, 5), ("u", "a", 6), ("u", "z", 7)])
    found = split.leaks(train, test)
    assert (found.cold_items, found.test_items) == (1, 2)
