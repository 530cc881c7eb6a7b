import numpy as np
import polars as pl
import pytest
from conftest import OTHER_TIMES, make_events
from hypothesis import given
from hypothesis import strategies as st

from companion.core.frames import compact
from companion.data.sequences import baskets, histories
from companion.data.transformers import IdEncoder

LOG = [("u", "b", 2), ("u", "a", 1), ("v", "c", 5), ("u", "c", 3), ("u", "z", 4)]


def encoder():
    return IdEncoder().fit(["a", "b", "c"])  # 2, 3, 4


def test_a_history_by_hand():
    found = histories(make_events(LOG), encoder(), 3)
    assert found.users.tolist() == ["u", "v"]
    assert found.items.tolist() == [[3, 4, 1], [4, 0, 0]]
    assert found.mask.tolist() == [[True, True, True], [True, False, False]]
    assert np.diff(found.seconds[0]).tolist() == [1, 1]
    assert found.cold == 0


def test_wanted_users_in_their_order_and_the_cold_ones_counted():
    for events in (make_events(LOG), compact(make_events(LOG))):
        found = histories(events, encoder(), 2, users=["v", "new", "u"])
        assert found.items.tolist() == [[4, 0], [0, 0], [4, 1]]
        assert found.cold == 1
    with pytest.raises(ValueError, match="'v' is wanted twice"):
        histories(make_events(LOG), encoder(), 2, users=["v", "v"])


@given(
    st.lists(st.tuples(st.sampled_from("uvw"), st.sampled_from("abcz"), st.integers(0, 9))),
    st.integers(1, 5),
)
def test_histories_agree_with_plain_lists(rows, length):
    events = make_events(rows)
    index = {"a": 2, "b": 3, "c": 4, "z": 1}
    plain = {}
    for user, item, _ in sorted(rows, key=lambda row: row[2]):
        plain.setdefault(user, []).append(index[item])
    found = histories(events, encoder(), length)
    assert set(found.users) == set(plain)
    for user, row in zip(found.users, found.items, strict=True):
        assert [i for i in row if i] == plain[user][-length:]
        assert not row[len(plain[user][-length:]) :].any()


def test_an_empty_log_and_a_wrong_length():
    assert histories(make_events(LOG)[:0], encoder(), 2, users=["u"]).cold == 1
    with pytest.raises(ValueError, match="1 or more"):
        histories(make_events(LOG), encoder(), 0)


def basket_log():
    rows = [
        ("u", "a", 10, "s1"),
        ("u", "b", 10, "s1"),
        ("u", "a", 10, "s1"),
        ("u", "c", 20, "s2"),
        ("u", "z", 30, "s3"),
        ("u", "a", 40, "s4"),
        ("v", "z", 1, "s5"),
        ("w", "b", 2, "s6"),
    ]
    return make_events(rows, ("user_id", "item_id", "timestamp", "session_id"))


@pytest.mark.parametrize("prepare", [lambda e: e, compact, lambda e: e.reverse()])
def test_baskets_by_hand(prepare):
    found = baskets(prepare(basket_log()), encoder(), length=2, width=3)
    sets = {
        u: [set(b) - {0} for b in rows] for u, rows in zip(found.users, found.items, strict=True)
    }
    assert sets == {"u": [{4}, {2}], "w": [{3}, set()]}  # unknown items and their baskets are out
    whole = baskets(prepare(basket_log()), encoder(), length=5, width=3)
    row = whole.items[whole.users.tolist().index("u")]
    assert [set(b) - {0} for b in row] == [{2, 3}, {4}, {2}, set(), set()]
    assert whole.seconds.shape == (2, 5)


def test_a_large_basket_is_drawn_by_the_seed():
    rows = [("u", f"i{n}", 1, "s") for n in range(50)]
    events = make_events(rows, ("user_id", "item_id", "timestamp", "session_id"))
    known = IdEncoder().fit(events["item_id"])
    drawn = [
        set(baskets(events, known, length=1, width=5, seed=s).items[0, 0].tolist())
        for s in (0, 0, 1, 2)
    ]
    assert drawn[0] == drawn[1]
    assert len({frozenset(d) for d in drawn}) == 3
    assert all(len(d) == 5 for d in drawn)
    assert max(max(d) for d in drawn) > 20  # not only the first lines of the till


def test_baskets_need_sessions_and_sizes():
    with pytest.raises(ValueError, match="add_sessions"):
        baskets(basket_log().drop("session_id"), encoder(), length=1, width=1)
    with pytest.raises(ValueError, match="1 or more"):
        baskets(basket_log(), encoder(), length=1, width=0)
    empty = baskets(basket_log().filter(pl.col("item_id") == "z"), encoder(), length=1, width=1)
    assert empty.items.shape == (0, 1, 1)


START = 1_704_067_200.0  # seconds: 2024 begins


@pytest.mark.parametrize("other", [None, *OTHER_TIMES])
def test_the_seconds_of_a_history_by_hand(other):
    events = make_events(LOG) if other is None else OTHER_TIMES[other](make_events(LOG))
    found = histories(events, encoder(), 3)
    assert found.items.tolist() == [[3, 4, 1], [4, 0, 0]]
    expected = [[START + 2, START + 3, START + 4], [START + 5, 0, 0]]
    assert np.asarray(found.seconds).tolist() == expected


def timed_baskets(*rows):
    return make_events(rows, ("user_id", "item_id", "timestamp", "session_id"))


@pytest.mark.parametrize("other", [None, *OTHER_TIMES])
def test_the_seconds_of_a_basket_are_those_of_its_user_and_its_first_line(other):
    events = timed_baskets(
        ("u", "a", 10, "s1"),
        ("v", "c", 7, "s2"),
        ("u", "b", 30, "s1"),
        ("u", "c", 20, "s3"),
        ("v", "a", 90, "s4"),
        ("v", "b", 80, "s4"),
        ("u", "a", 95, "s5"),
    )
    events = events if other is None else OTHER_TIMES[other](events)
    found = baskets(events, encoder(), length=2, width=2)
    assert found.users.tolist() == ["u", "v"]
    assert [[set(b) - {0} for b in rows] for rows in found.items.tolist()] == [
        [{4}, {2}],
        [{4}, {2, 3}],
    ]
    assert found.seconds.tolist() == [[START + 20, START + 95], [START + 7, START + 80]]


def test_a_basket_without_a_second_has_no_time():
    found = baskets(timed_baskets(("u", "a", 3, "s1")), encoder(), length=3, width=1)
    assert found.seconds.tolist() == [[START + 3, 0, 0]]
