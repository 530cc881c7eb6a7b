"""The myopic oracle: the page that is worth most now, by what no log shows."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from tiny_shop import PLAIN, small_world, tiny_world

from companion.core.seeding import generator
from companion.envs.calibration_walk import expected
from companion.envs.oracle import MyopicOracle, click_values
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy
from companion.envs.shop import ShopVectorEnv
from companion.envs.shopper import ShopperConfig
from companion.envs.trials import episodes, paired

WORLD = small_world(items=7, topics=3)
LIVELY = ShopperConfig(
    no_click=0.3, cart=0.5, purchase=0.0, patience=6.0, repeat=1.0, price=1.0, place=0.7
)


def moved_on(shop, pages=3):
    """Each shopper after some random pages, so that boredom, needs and carts differ."""
    obs, info = shop.reset(seed=4)
    for n in range(pages):
        slate = RandomPolicy(shop.floor.config.slate_size).act(obs, info, generator(n))
        obs, *_, info = shop.step(slate.items)
    return obs, info


def reward_now(floor, slates):
    """Expected reward of the next page, [N], by the chances of each stage at each place."""
    weights, found = floor.config, expected(floor, slates)
    parts = zip((weights.click, weights.cart, weights.purchase), found, strict=True)
    return sum(weight * chances.sum(axis=1) for weight, chances in parts)


@pytest.mark.parametrize(
    "weights", [{}, {"cart": 0.7, "purchase": 3.0}, {"purchase": 0.0}, {"click": 0.0}]
)
def test_no_other_page_is_worth_more(weights):
    shop = ShopVectorEnv(25, WORLD, shopper=LIVELY, slate_size=3, **weights)
    obs, info = moved_on(shop)
    assert not info["action_mask"].all()  # something lies in a cart
    shown = MyopicOracle(shop).act(obs, info, generator(0)).items
    best = np.full(25, -np.inf)
    for slate in permutations(range(7), 3):
        pages = np.tile(slate, (25, 1))
        possible = np.take_along_axis(info["action_mask"], pages, axis=1).all(axis=1)
        best = np.where(possible, np.maximum(best, reward_now(shop.floor, pages)), best)
    np.testing.assert_allclose(reward_now(shop.floor, shown), best, rtol=1e-12)


def test_a_page_of_one_item_shows_the_best():
    shop = ShopVectorEnv(25, WORLD, shopper=LIVELY, slate_size=1)
    obs, info = moved_on(shop)
    shown = MyopicOracle(shop).act(obs, info, generator(0)).items
    worth = [reward_now(shop.floor, np.full((25, 1), item)) for item in range(7)]
    best = np.where(info["action_mask"], np.stack(worth, axis=1), -np.inf)
    np.testing.assert_array_equal(shown[:, 0], best.argmax(axis=1))


def test_the_value_of_a_click_is_its_reward_by_stages():
    shop = ShopVectorEnv(10, WORLD, shopper=LIVELY, slate_size=1, cart=0.3, purchase=2.0)
    moved_on(shop)
    value = click_values(shop.floor)
    assert value.shape == (10, 7)
    for item in range(7):
        click, cart, purchase = expected(shop.floor, np.full((10, 1), item))
        reward = 0.2 + 0.3 * cart / click + 2.0 * purchase / click
        np.testing.assert_allclose(value[:, item], reward[:, 0])
    assert np.ptp(value, axis=0).max() > 0.05  # it differs between shoppers
    assert np.ptp(value, axis=1).max() > 0.05  # and between items


def test_it_follows_the_shoppers_who_change():
    bored = replace(PLAIN, no_click=-30.0, interest=1.0, boredom=1.0, boredom_clicks=1.0)
    shop = ShopVectorEnv(3, tiny_world(topics=3), shopper=bored, slate_size=1, horizon=9)
    obs, info = shop.reset(seed=0)
    topics = []
    for _ in range(3):  # each page is clicked, and one click takes all interest in its topic
        items = MyopicOracle(shop).act(obs, info, generator(0)).items
        topics.append(shop.floor.world.topic[items[:, 0]])
        obs, *_, info = shop.step(items)
    assert (np.sort(np.stack(topics, axis=1), axis=1) == [0, 1, 2]).all()


def test_it_earns_more_than_policies_that_see_less():
    shop = ShopVectorEnv(200, WORLD, shopper=LIVELY, slate_size=2, horizon=12)
    popular = ScorePolicy("popular", lambda obs, info: WORLD.popularity, Choice(2))
    found = {
        one.name: episodes(one, shop, shoppers=200, seed=1).returns
        for one in (MyopicOracle(shop), popular, RandomPolicy(2))
    }
    for name in ("popular", "random"):
        assert paired(found["myopic oracle"], found[name], seed=0).low > 0


def test_it_serves_its_own_shop_alone():
    shop, other = (ShopVectorEnv(n, WORLD, slate_size=2) for n in (3, 4))
    shop.reset(seed=0)
    with pytest.raises(ValueError, match="the oracle's shop has 3 shoppers, not 4"):
        MyopicOracle(shop).act(*other.reset(seed=0), generator(0))
