import polars as pl
import pytest
from conftest import OTHER_TIMES, make_events

from companion.data import prepare
from companion.data.schema import Dataset, nothing_rejected

COLUMNS = ("user_id", "item_id", "event", "timestamp")
ROWS = [
    ("u", "a", "view", 1),
    ("u", "a", "purchase", 2),
    ("u", "b", "purchase", 3),
    ("v", "a", "cart", 9),
]


def dataset(rows=ROWS, name="shop", items=None, **columns):
    events = make_events(rows, COLUMNS).with_columns(**columns)
    return Dataset(name, events, items, None, nothing_rejected(), "", "")


def test_the_event_to_predict_is_the_purchase_or_the_nearest_thing():
    assert prepare.wanted_event(dataset().events) == "purchase"
    assert prepare.wanted_event(dataset(ROWS[:1]).events) == "view"
    assert prepare.wanted_event(dataset([ROWS[0], ROWS[3]]).events) == "cart"
    with pytest.raises(ValueError, match="it has search"):
        prepare.wanted_event(dataset([("u", None, "search", 1)]).events)


def test_every_row_is_used_or_set_aside_and_sessions_are_there():
    price = pl.Series([1.0, 2.0, 0.0, 3.0])
    found = prepare.purchases(dataset(price=price))
    assert found.events["item_id"].cast(pl.String).to_list() == ["a"]
    assert found.events["session_id"].to_list() == ["u#1"]
    assert found.events.height + found.rejected.height == 4
    assert set(found.rejected["reason"]) == {"not a purchase", "price 0.0 is below 0.01"}
    assert found.receipt().loc["remove exact duplicates", "rows after"] == "2"


def test_sessions_that_the_log_has_are_kept_if_all_are_there():
    whole = prepare.purchases(dataset(session_id=pl.lit("s")))
    assert whole.events["session_id"].cast(pl.String).unique().to_list() == ["s"]
    holes = prepare.purchases(dataset(session_id=pl.Series(["s", "s", None, None])))
    assert holes.events["session_id"].unique().to_list() == ["u#1"]


def test_petrol_is_no_basket_of_a_thousand():
    quantity = pl.Series([1.0, 5.0, 500.0, 1.0])
    kept = prepare.purchases(dataset(name="complete-journey", quantity=quantity)).events
    assert kept["quantity"].to_list() == [5.0]
    assert prepare.purchases(dataset(quantity=quantity)).events.height == 2  # another shop may


def test_nothing_left_is_an_error():
    with pytest.raises(ValueError, match="no row is left"):
        prepare.purchases(dataset(price=pl.lit(0.0)))


def test_the_example_shows_the_busiest_user_with_words():
    items = pl.DataFrame({"item_id": ["a"], "name": ["apple"], "type": ["fruit"], "price": [9.0]})
    few = prepare.example(dataset(items=items, price=pl.lit(1.0)), rows=2)
    assert few["name"].to_list() == ["apple", "apple"]
    assert few["price"].to_list() == [1.0, 1.0]
    assert few.columns == ["timestamp", "event", "item_id", "name", "price"]
    assert few["timestamp"][0] == "01 Jan 2024 00:00"


@pytest.mark.parametrize("other", [name for name in OTHER_TIMES if "pandas" not in name])
def test_the_purchases_do_not_depend_on_the_unit_or_the_zone_of_the_times(other):
    rows = [("u", "b", "purchase", 1_801), ("u", "a", "purchase", 0), ("u", "a", "purchase", 3_601)]
    log = dataset(rows)
    found = prepare.purchases(log._replace(events=OTHER_TIMES[other](log.events))).events
    assert found["item_id"].cast(pl.String).to_list() == ["a", "b", "a"]
    assert found["session_id"].to_list() == ["u#1", "u#2", "u#2"]


@pytest.mark.parametrize("column", ["price", "quantity"])
def test_a_number_that_is_none_is_not_outside_the_limits(column):
    values = pl.Series([1.0, float("nan"), None, 1.0])
    found = prepare.purchases(dataset(**{column: values}))
    assert found.events.height == 2
    assert set(found.rejected["reason"]) == {"not a purchase"}
