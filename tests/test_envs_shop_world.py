"""The catalogue and the households, from a log."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from tiny_shop import tiny_world

from companion.data import sources
from companion.envs.shop_tables import check, topic_counts, topic_prices, with_newcomers
from companion.envs.shop_world import load_world, world_from_events

START = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = [  # user, item, day, price, session
    ("ann", "milk", 0, 1.0, "a1"),
    ("ann", "bread", 0, 2.0, "a1"),
    ("ann", "milk", 2, 1.2, "a2"),
    ("ann", "beer", 8, 4.0, "a3"),
    ("bob", "milk", 1, 0.9, "b1"),
    ("bob", "bread", 1, 2.2, "b1"),
    ("bob", "petrol", 1, 30.0, "b1"),
    ("bob", "rare", 3, 5.0, "b2"),
    ("cat", "beer", 40, 4.4, "c1"),  # in the last of 6 weeks
]
ITEMS = pl.DataFrame(
    [
        ("milk", "GROCERY", "DAIRY", "MILK"),
        ("bread", "GROCERY", "BAKERY", "LOAF"),
        ("beer", "DRINKS", "BEER", "LAGER"),
        ("petrol", "FUEL", "FUEL", "FUEL"),
        ("rare", "GROCERY", "SPICE", None),
    ],
    schema=["item_id", "department", "category", "type"],
    orient="row",
)


def events(rows=ROWS):
    table = pl.DataFrame(
        rows, schema=["user_id", "item_id", "day", "price", "session_id"], orient="row"
    )
    at = pl.lit(START) + pl.duration(days=pl.col("day"))
    return table.with_columns(timestamp=at.cast(pl.Datetime("us", "UTC")), event=pl.lit("purchase"))


def small(**settings):
    settings = {"num_items": 3, "num_topics": 3, "size": 2} | settings
    return world_from_events(events(), ITEMS, **settings)


def test_the_items_bought_most_in_the_first_weeks_without_petrol():
    world = small()
    assert world.item_ids.tolist() == ["milk", "bread", "beer"]
    assert world.bought.tolist() == [[2, 1, 1], [1, 1, 0]]  # ann, bob; cat came too late
    assert world.user_ids.tolist() == ["ann", "bob"]
    np.testing.assert_allclose(world.popularity, [3 / 6, 2 / 6, 1 / 6])


def test_topics_are_the_largest_categories_and_kinds_the_types():
    world = small()
    assert np.array(world.topics)[world.topic].tolist() == ["DAIRY", "BAKERY", "BEER"]
    assert np.array(world.kinds)[world.kind].tolist() == ["MILK", "LOAF", "LAGER"]
    few = small(num_items=4, num_topics=3)
    assert few.item_ids.tolist() == ["milk", "bread", "beer", "rare"]
    names = np.array(few.topics)[few.topic].tolist()
    assert names == ["DAIRY", "GROCERY, other", "DRINKS", "GROCERY, other"]
    assert small(num_topics=1).topics == ("all",)
    assert len(small(num_topics=2).topics) == 2


def test_tastes_are_smoothed_shares():
    world = small()
    mix = np.array([3, 2, 1]) / 6
    order = [world.topics.index(name) for name in ("DAIRY", "BAKERY", "BEER")]
    expected = (np.array([2, 1, 1]) + 5 * mix) / 9
    np.testing.assert_allclose(world.taste[0][order], expected)


def test_prices_levels_gaps_and_weights_by_hand():
    world = small()
    np.testing.assert_allclose(world.price, [1.0, 2.1, 4.0])
    level = np.log([1.0, 2.0 / 2.1, 1.2, 1.0]).sum() / (4 + 5)
    assert world.price_level[0] == pytest.approx(np.exp(level))
    assert world.gap.tolist() == [4.0, 2.0]  # ann: 2 and 6 days; bob: 2, by a basket of "rare"
    np.testing.assert_allclose(world.weight, [3 / 5, 2 / 5])


def test_a_log_without_items_or_prices_will_do():
    world = world_from_events(events().drop("price"), None, num_items=3, num_topics=2, size=2)
    assert world.num_topics == 2
    assert world.topics[0].startswith("group")
    assert world.price.tolist() == [1, 1, 1]
    assert world.price_level.tolist() == [1, 1]
    assert world.names.tolist() == ["item milk", "item bread", "item beer"]


def test_vectors_bring_together_what_is_bought_together():
    rng, rows = np.random.default_rng(0), []
    for n in range(200):
        group = ("abcd", "efgh")[n % 2]
        basket = [*rng.choice([*group], 3, replace=False), rng.choice([*"abcdefgh"])]
        rows += [(f"u{n % 7}", item, n % 35, 1.0, f"s{n}") for item in {*basket}]
    world = world_from_events(events(rows), None, num_items=8, num_topics=2, size=4)
    row = {name: world.vectors[n] for n, name in enumerate(world.item_ids)}
    assert row["a"] @ row["b"] > row["a"] @ row["e"] + 0.5
    assert row["g"] @ row["h"] > row["g"] @ row["b"] + 0.5
    groups = {name: world.topic[n] for n, name in enumerate(world.item_ids)}
    assert len({groups[name] for name in "abcd"}) == len({groups[name] for name in "efgh"}) == 1
    np.testing.assert_allclose(np.linalg.norm(world.vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"num_items": 1}, "num_items must be 2 or more"),
        ({"num_topics": 0}, "num_topics 1 or more"),
        ({"train_share": 0.0}, r"train_share in \(0, 1\]"),
        ({"num_items": 9}, "num_items is 9, but only 4 items were bought"),
    ],
)
def test_arguments_that_cannot_be(settings, says):
    with pytest.raises(ValueError, match=says):
        small(**settings)


def test_a_log_without_purchases():
    with pytest.raises(ValueError, match="the log has no purchases"):
        world_from_events(events().head(0), ITEMS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"price": np.full(12, -1.0)}, "row 0: price must be above 0; got -1.0"),
        ({"price": np.full(12, np.nan)}, "row 0: price must be a finite number"),
        ({"gap": np.array([1.0, 0.0, 1.0, 1.0])}, "row 1: gap must be above 0"),
        ({"topic": np.full(12, 3)}, "row 0: topic must be from 0 to 2; got 3"),
        ({"popularity": np.full(12, 0.5)}, "row 0: sum of popularity must be 1; got 6.0"),
        ({"taste": np.full((4, 3), 0.5)}, "row 0: sum of taste must be 1; got 1.5"),
        ({"bought": np.full((4, 12), -1, np.float32)}, "row 0: bought must be 0 or more"),
        ({"weight": np.ones(3)}, r"weight must be \[4\] of float64; got \[3\] float64"),
        ({"bought": np.ones((4, 12))}, r"bought must be \[4, 12\] of float32"),
        ({"item_ids": np.array(["only"])}, "a catalogue needs 2 items or more; got 1"),
        ({"user_ids": np.array([])}, "a shop needs 1 household or more; got 0"),
    ],
)
def test_a_world_that_cannot_be(change, says):
    with pytest.raises(ValueError, match=says):
        check(tiny_world()._replace(**change))


def test_counts_and_prices_by_topic():
    world = tiny_world()
    for topic in range(3):
        rows = world.topic == topic
        np.testing.assert_allclose(topic_counts(world)[:, topic], world.bought[:, rows].sum(axis=1))
        assert topic_prices(world)[topic] == np.median(world.price[rows])


def test_newcomers_have_a_share_and_no_history():
    world = with_newcomers(tiny_world(), 0.2)
    assert world.weight[-1] == pytest.approx(0.2)
    assert world.weight.sum() == pytest.approx(1)
    assert world.user_ids[-1] == "newcomer"
    assert not world.bought[-1].any()
    with pytest.raises(ValueError, match="share must be between 0 and 1; got 1"):
        with_newcomers(tiny_world(), 1)


def test_the_sample_s_world():
    world = load_world("sample")
    assert (world.num_items, world.num_topics, world.num_users) == (500, 20, 300)
    assert world is load_world("sample")
    assert not world.price.flags.writeable
    log = sources.load("sample")
    bought = log.events.filter(pl.col("event") == "purchase")
    first = bought["timestamp"].min()
    weeks = bought.filter(pl.col("timestamp") < first + timedelta(weeks=21))  # of 26
    expected = weeks["item_id"].value_counts(sort=True)["count"][:500].sum()
    assert abs(int(world.bought.sum()) - expected) <= 0.01 * expected  # cleaning drops a few


@pytest.mark.skipif(
    not sources.is_present("complete-journey"), reason="Complete Journey is not installed"
)
def test_complete_journey_s_world():
    world = load_world()
    assert world.source == "complete-journey"
    assert (world.num_items, world.num_topics) == (500, 20)
    assert world.num_users > 2_000
    assert (
        world.topics[int(np.argmax(np.bincount(world.topic, world.popularity)))] == "GROCERY, other"
    )
