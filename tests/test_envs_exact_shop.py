"""A small shop solved exactly, and what looking ahead is worth there."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from tiny_shop import PLAIN, small_world, tiny_world

from companion.core.seeding import generator
from companion.envs.exact_moments import HIDDEN, layers
from companion.envs.exact_shop import ExactShop, corner, myopia_table, visible
from companion.envs.oracle import MyopicOracle
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy
from companion.envs.shop import ShopConfig, ShopVectorEnv, load_world
from companion.envs.shop_floor import Floor
from companion.envs.shopper import ShopperConfig, boredom_presets, without_memory
from companion.envs.trials import episodes

WORLD = small_world(items=4, topics=2, households=3)
LIVELY = visible(ShopperConfig(no_click=0.0, cart=-0.5, purchase=0.5, patience=2.2))
SHORT = ShopConfig(slate_size=1, horizon=4, visits=1)


def three_topics(households=3):
    """One item of each topic, and households that like all three."""
    world = tiny_world(items=3, topics=3, users=households)
    taste = np.random.default_rng(1).dirichlet(np.full(3, 5.0), households)
    return world._replace(taste=taste)


# --- by hand --------------------------------------------------------------------------------------


def test_two_pages_by_hand():
    # Only the appeal counts. Item 0 has more of it, so all policies but the random one show it.
    plain = replace(PLAIN, popularity=1.0)
    exact = ExactShop(WORLD, plain, ShopConfig(slate_size=1, horizon=2, visits=1))
    odds = WORLD.popularity * WORLD.num_items
    chances = odds / (1 + odds)
    for name, click in (("optimum", max(chances)), ("myopic", max(chances))):
        assert exact.values[name] == pytest.approx((0.2 * 2 * click, 2 * click, 2))
    assert exact.values["random"].clicks == pytest.approx(2 * chances.mean())
    assert exact.moments[0] == 3


def test_patience_by_hand():
    # A page without a click costs 1 of 1.5, one with a click 0.5 of them; nothing else changes.
    plain = replace(PLAIN, patience=1.5, patience_click=0.5)
    exact = ExactShop(WORLD, plain, ShopConfig(slate_size=1, horizon=9, visits=1))
    p = 0.5  # of a click, whatever is shown
    # None, none or none, click or click, none ends after two pages; click, click leads to a third.
    assert exact.values["myopic"].pages == pytest.approx(2 + p * p)
    assert exact.values["myopic"].clicks == pytest.approx(2 * p + p**3)


def test_return_visits_by_hand():
    coming = replace(PLAIN, patience=1.0, returning=0.3, returning_clicks=0.0)
    exact = ExactShop(WORLD, coming, ShopConfig(slate_size=1, horizon=9, visits=3))
    back = 1 / (1 + np.exp(-0.3))
    assert exact.values["random"].pages == pytest.approx(1 + back + back**2)


def test_who_clicked_more_comes_back_more_often():
    # Two pages a visit; a click saves no patience, so that nothing else tells how many there were.
    coming = replace(PLAIN, patience=2.0, returning=-1.0, returning_clicks=3.0)
    exact = ExactShop(WORLD, coming, ShopConfig(slate_size=1, horizon=9, visits=2))
    back = [1 / (1 + np.exp(1 - 3 * share)) for share in (0, 0.5, 1)]
    mean = np.dot([0.25, 0.5, 0.25], back)
    assert exact.values["random"] == pytest.approx((0.2 * (1 + mean), 1 + mean, 2 + 2 * mean))


def test_visits_are_counted():
    # Each page without a click ends a visit, and the third such page the episode.
    coming = replace(PLAIN, patience=1.0, patience_click=1.0, returning=np.inf)
    exact = ExactShop(WORLD, coming, ShopConfig(slate_size=1, horizon=4, visits=3))
    assert exact.values["random"].pages == pytest.approx(4 - 1 / 8)


def test_looking_ahead_pays_where_a_click_saves_patience():
    # A click on item 1 goes into the cart and is worth 0.5, one on item 0 is worth 0.2 but surer.
    # Only who clicks sees the second page.
    world = tiny_world(items=2, topics=2, users=1)._replace(
        popularity=np.array([0.75, 0.25]), bought=np.array([[0, np.e - 1]], np.float32)
    )
    known = {"repeat": 0.001, "cart_fit": 1e5}
    plain = replace(PLAIN, popularity=1.0, patience=1.0, patience_click=1.0, **known)
    exact = ExactShop(world, plain, ShopConfig(slate_size=1, horizon=2, visits=1, cart=0.3))
    surer, dearer = 1.5 / 2.5, 1 / (1 + 2 * np.exp(-0.001))
    assert dearer * 0.5 > surer * 0.2  # so the myopic policy begins with item 1
    assert exact.values["myopic"].returns == pytest.approx(dearer * (0.5 + surer * 0.2))
    assert exact.values["optimum"].returns == pytest.approx(surer * (0.2 + dearer * 0.5))
    assert exact.values["optimum"].pages == pytest.approx(1 + surer)


def test_boredom_makes_the_optimum_change_topics():
    # One click takes all interest in a topic until the next page but one has gone by.
    bored = replace(PLAIN, interest=1.0, boredom=1.0, boredom_clicks=1.0, interest_floor=1e-6)
    config = ShopConfig(slate_size=1, horizon=2, visits=1)
    world = three_topics(1)
    exact = ExactShop(world, bored, config)
    best, second = np.sort(3 * world.taste[0])[::-1][:2]
    first, other = (odds / (1 + odds) for odds in (best, second))
    # After a click the second topic is shown, after none the best one again.
    assert exact.values["myopic"].clicks == pytest.approx(
        first + first * other + (1 - first) * first
    )


# --- against the package's own simulation ---------------------------------------------------------

SETTINGS = {
    "one item": (LIVELY, SHORT),
    "slates": (LIVELY, replace(SHORT, slate_size=2, cart=0.3)),
    "return visits": (LIVELY, replace(SHORT, visits=2, horizon=5)),
    "needs": (replace(LIVELY, need=5.0, cart=2.0, purchase=2.0), SHORT),
    "doubled boredom": (replace(LIVELY, boredom=2.0, boredom_clicks=2.0), SHORT),
    "endless patience": (replace(LIVELY, patience=np.inf), replace(SHORT, horizon=3)),
}


def assert_near(exact, found, name):
    """The simulated mean is within four standard errors of the exact expectation."""
    for expected, values in zip(exact, (found.returns, found.clicks, found.pages), strict=True):
        error = values.std() / np.sqrt(len(values)) + 1e-12
        assert abs(values.mean() - expected) < 4 * error, name


@pytest.mark.parametrize("setting", SETTINGS)
def test_exact_values_are_the_means_of_the_simulated_shop(setting):
    shopper, config = SETTINGS[setting]
    exact = ExactShop(WORLD, shopper, config)
    assert max(exact.moments) > 20
    shop = exact.shop(2_000)
    for name, value in exact.values.items():
        found = episodes(exact.policy(name, shop), shop, shoppers=10_000, seed=5)
        assert_near(value, found, name)


def test_policies_made_elsewhere_have_the_same_values():
    exact = ExactShop(WORLD, LIVELY, replace(SHORT, slate_size=2))
    shop = exact.shop(2_000)
    for name, policy in (("myopic", MyopicOracle(shop)), ("random", RandomPolicy(2))):
        assert_near(exact.values[name], episodes(policy, shop, shoppers=10_000, seed=1), name)


def test_no_fixed_order_of_pages_is_better_than_the_optimum():
    config = ShopConfig(slate_size=1, horizon=3, visits=1)
    world = three_topics()
    exact = ExactShop(world, visible(LIVELY, cart=False), config)
    found = {}
    for order in product(range(3), repeat=3):
        rows = [
            np.tile(np.eye(3)[order[page]], (count, 1)) for page, count in enumerate(exact.moments)
        ]
        found[order] = exact.value(rows).returns
    assert max(found.values()) < exact.values["optimum"].returns
    assert min(found.values()) < exact.values["myopic"].returns
    shop = exact.shop(2_000)
    order = max(found, key=found.get)
    fixed = ScorePolicy(
        "order", lambda obs, info: np.eye(3)[np.array(order)[shop.floor.state.pages]], Choice(1)
    )
    simulated = episodes(fixed, shop, shoppers=10_000, seed=2).returns
    error = simulated.std() / 100
    assert abs(simulated.mean() - found[order]) < 4 * error


@pytest.mark.parametrize("no_click", [0.0, -2.0])
def test_no_single_change_makes_the_optimum_better(no_click):
    # Then no change at all does: the one-shot deviation principle.
    bored = visible(ShopperConfig(no_click=no_click, boredom=2.0, drift=0.3), cart=False)
    exact = ExactShop(three_topics(1), bored, ShopConfig(slate_size=1, horizon=5, visits=1))
    best, worse = exact.values["optimum"].returns, 0
    assert best > exact.values["myopic"].returns + 1e-4
    for page, chances in enumerate(exact.policies["optimum"]):
        for moment, item in product(range(min(len(chances), 30)), range(3)):
            other = [np.array(one) for one in exact.policies["optimum"]]
            other[page][moment] = np.eye(3)[item]
            found = exact.value(other).returns
            assert found <= best + 1e-12
            worse += found < best - 1e-6
    assert worse > 15  # those in moments that the optimum comes to


def test_what_lies_in_the_cart_leads_nowhere():
    floor = Floor(WORLD, SHORT, LIVELY, {})
    found = layers(floor, 1_000_000)
    gone = 0
    for layer in found[:-1]:
        taken = ~layer.state.allowed
        events = layer.goes[:, 1:].reshape(*taken.shape, 3)
        assert (events[taken] == -1).all()
        assert (events[~taken] >= 0).any()
        gone += taken.sum()
    assert gone > 20


def test_a_policy_shows_what_its_table_says_with_these_chances():
    exact = ExactShop(WORLD, LIVELY, replace(SHORT, slate_size=2))
    shop = exact.shop(3_000)
    obs, info = shop.reset(seed=0)
    slate = exact.policy("random", shop).act(obs, info, generator(0))
    assert slate.propensity[:, 0] == pytest.approx(1 / 12)
    assert (slate.propensity[:, 1] == 1).all()
    _, counts = np.unique(slate.items, axis=0, return_counts=True)
    assert len(counts) == 12
    assert counts.min() > 180
    best = exact.policy("optimum", shop).act(obs, info, generator(0))
    assert len(np.unique(best.items[info["user"] == 0], axis=0)) == 1
    with pytest.raises(ValueError, match="must be one of optimum, myopic, random; got 'greedy'"):
        exact.policy("greedy", shop)


# --- the price of myopia --------------------------------------------------------------------------


def test_without_memory_planning_gains_nothing():
    world = three_topics()
    for places, no_click in product((1, 2), (3.5, 0.0, -2.0)):
        shopper = without_memory(ShopperConfig(no_click=no_click, patience=4.0))
        config = ShopConfig(slate_size=places, horizon=5, visits=1)
        exact = ExactShop(world, visible(shopper, cart=False), config)
        optimum, myopic, random = (exact.values[name] for name in exact.policies)
        assert optimum.returns == pytest.approx(myopic.returns, abs=1e-9)
        assert random.returns < myopic.returns - 1e-4
    # Return visits too, and items that go into the cart where enough others are left.
    shopper = without_memory(replace(LIVELY, patience=1.0, returning=1.0))
    exact = ExactShop(WORLD, shopper, replace(SHORT, visits=2, horizon=2))
    assert exact.values["optimum"].returns == pytest.approx(
        exact.values["myopic"].returns, abs=1e-9
    )


def test_a_small_shop_that_runs_out_of_items_rewards_a_trick():
    # The last item left is never taken away, so it pays to have the worse one put into the cart.
    shopper = without_memory(replace(LIVELY, no_click=-1.0, patience=5.0, cart=3.0))
    world = tiny_world(items=2, topics=1, users=1)
    for cart in (True, False):
        exact = ExactShop(world, visible(shopper, cart=cart), SHORT)
        price = exact.values["optimum"].returns - exact.values["myopic"].returns
        assert (price > 1e-3) if cart else (price == pytest.approx(0, abs=1e-9))


def test_the_price_of_myopia_grows_with_the_click_rate():
    config = ShopConfig(slate_size=1, horizon=6, visits=1)
    shoppers = {
        f"{no_click} {name}": shopper
        for no_click in (3.501, 1.0, -1.0)
        for name, shopper in boredom_presets(ShopperConfig(no_click=no_click)).items()
    }
    found = myopia_table(three_topics(), shoppers, config, cart=False)
    assert list(found.index) == list(shoppers)
    assert (found["price"] >= -1e-12).all()
    np.testing.assert_allclose(found["price"], found["optimum"] - found["myopic"], atol=1e-15)
    np.testing.assert_allclose(found["share"], found["price"] / found["optimum"])
    assert (found["optimum"] > found["random"]).all()
    clicks = found["click rate"] * found["pages"]
    np.testing.assert_allclose(found["optimum"], 0.2 * clicks)  # nothing is bought
    published = found.loc[[f"{no_click} published" for no_click in (3.501, 1.0, -1.0)]]
    assert published["click rate"].is_monotonic_increasing
    assert published["share"].is_monotonic_increasing
    assert published["share"].iloc[0] < 1e-5 < 1e-4 < published["share"].iloc[-1]
    # With boredom off, what is left (drift, fatigue, patience) is worth next to nothing here.
    assert found.loc["-1.0 off", "price"] < 0.1 * found.loc["-1.0 published", "price"]
    # Boredom makes a shop poorer for all.
    for policy in ("optimum", "myopic", "random"):
        assert found.loc["1.0 off", policy] > found.loc["1.0 published", policy]
        assert found.loc["1.0 published", policy] > found.loc["1.0 doubled", policy]


# --- what is asked for ----------------------------------------------------------------------------


def test_a_visible_shopper_hides_nothing_and_is_the_same_else():
    shopper = ShopperConfig()
    found = visible(shopper)
    assert all(getattr(found, name) == 0 for name in HIDDEN)
    assert replace(found, **{name: getattr(shopper, name) for name in HIDDEN}) == shopper
    eager = replace(LIVELY, cart=9.0)
    for cart in (True, False):
        shop = ShopVectorEnv(50, WORLD, shopper=visible(eager, cart=cart), slate_size=2)
        found = episodes(RandomPolicy(2), shop, shoppers=50, seed=0)
        assert found.clicks.sum() > 0
        assert (found.carts.sum() > 0) == cart


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_hidden_is_refused(name):
    with pytest.raises(ValueError, match=f"{name} must be 0 .*; got 0.25"):
        ExactShop(WORLD, replace(LIVELY, **{name: 0.25}), SHORT)


def test_too_large_a_shop_is_refused_before_it_is_tried():
    with pytest.raises(ValueError, match=r"page 0 has 300 moments, each with \d+ events"):
        ExactShop(load_world("sample"), LIVELY, ShopConfig())
    with pytest.raises(
        ValueError, match=r"page 2 has \d+ moments, each with 13 events.* more than 999 in"
    ):
        ExactShop(WORLD, LIVELY, SHORT, limit=999)


def test_a_corner_is_cut_out_of_a_large_shop():
    world = load_world("sample")
    found = corner(world, topics=3, per_topic=2, users=4)
    assert (found.num_items, found.num_topics, found.num_users) == (6, 3, 4)
    assert np.bincount(found.topic).tolist() == [2, 2, 2]
    sold = np.bincount(world.topic, world.popularity, minlength=world.num_topics)
    assert set(found.topics) == {world.topics[topic] for topic in np.argsort(-sold)[:3]}
    for item in range(6):
        whole = np.flatnonzero(world.item_ids == found.item_ids[item])[0]
        assert found.topics[found.topic[item]] == world.topics[world.topic[whole]]
        assert found.kinds[found.kind[item]] == world.kinds[world.kind[whole]]
        same = world.popularity[world.topic == world.topic[whole]]
        assert world.popularity[whole] >= np.sort(same)[-2]
        assert found.price[item] == world.price[whole]
        rows = [world.user_ids.tolist().index(user) for user in found.user_ids]
        np.testing.assert_array_equal(found.bought[:, item], world.bought[rows, whole])
    columns = [world.topics.index(topic) for topic in found.topics]
    parts = world.taste[rows][:, columns]
    np.testing.assert_allclose(found.taste, parts / parts.sum(axis=1, keepdims=True))
    assert corner(world, topics=1, per_topic=500, users=1).num_items == (
        np.count_nonzero(world.topic == world.topics.index(found.topics[0]))
    )


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"topics": 0}, "topics must be from 1 to 20; got 0"),
        ({"topics": 21}, "topics must be from 1 to 20; got 21"),
        ({"per_topic": 0}, "per_topic must be from 1 to 500; got 0"),
        ({"users": 301}, "users must be from 1 to 300; got 301"),
        ({"topics": 1, "per_topic": 1}, "a catalogue needs 2 items or more; got 1"),
    ],
)
def test_a_corner_that_is_not_there_is_refused(asked, says):
    with pytest.raises(ValueError, match=says):
        corner(load_world("sample"), **asked)
