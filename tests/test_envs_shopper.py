"""Each mechanism of the simulated shopper against a number worked out by hand, and its switch."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from tiny_shop import PLAIN, tiny_world

from companion.envs import shop_luck, shopper
from companion.envs.shop import ShopVectorEnv
from companion.envs.shop_state import utilities
from companion.envs.shop_visits import guests, normals, wanted_kinds
from companion.envs.shopper import ShopperConfig, rules


def shop(config=PLAIN, copies=1, world=None, **settings):
    """A shop after its reset, slates of 3 and no horizon to speak of."""
    settings = {"slate_size": 3, "horizon": 10_000, "visits": 1} | settings
    env = ShopVectorEnv(copies, world or tiny_world(), shopper=config, **settings)
    env.reset(seed=0)
    return env


def click_on(env, item, times=1):
    """Makes every shopper click this item, with probability as good as 1."""
    known = env.floor.facts.appeal[item]
    env.floor.facts.appeal[item] = 200.0
    others = [n for n in range(env.floor.world.num_items) if n != item][
        : env.floor.config.slate_size - 1
    ]
    for _ in range(times):
        assert env.step(np.tile([item, *others], (env.num_envs, 1)))[4]["position"].max() == 0
    env.floor.facts.appeal[item] = known


def worth(env, item):
    """The item's utility to the first shopper."""
    return float(env.utilities()[0, item])


def frequencies(env, slate, pages=1):
    """Share of the copies that click each place, over pages that change nothing."""
    found = [env.step(np.tile(slate, (env.num_envs, 1)))[4]["click"] for _ in range(pages)]
    return np.mean(found, axis=(0, 1))


# Choice


def test_the_shares_of_a_page_by_hand():
    given = rules(replace(PLAIN, no_click=math.log(2), place=0.5))
    weight = np.array([1.0, 3 * 0.5, 4 * 0.25])
    found = shopper.page_shares(np.log([1.0, 3.0, 4.0]), given)
    np.testing.assert_allclose(found, weight / (2 + weight.sum()), rtol=1e-12)
    assert shopper.page_shares(np.array([800.0, 0.0]), given).tolist() == [1.0, 0.0]


def test_clicks_have_the_shares_of_the_multinomial_logit():
    config = replace(PLAIN, no_click=1.0, popularity=0.8, place=0.7, interest=1.0, repeat=0.4)
    env = shop(config, copies=40_000, world=tiny_world(users=1))
    slate = [5, 0, 7]
    expected = shopper.page_shares(env.utilities()[0, slate], env.floor.rules)
    error = np.sqrt(expected * (1 - expected) / 40_000)
    assert (np.abs(frequencies(env, slate) - expected) < 4.5 * error).all()
    assert expected.sum() < 0.9


def test_equal_items_are_clicked_equally_at_every_place_without_a_position_effect():
    env = shop(copies=40_000)
    np.testing.assert_allclose(frequencies(env, [1, 2, 3]), 0.25, atol=0.01)


def test_the_place_takes_its_share():
    env = shop(replace(PLAIN, place=0.5), copies=40_000)
    np.testing.assert_allclose(
        frequencies(env, [1, 2, 3]), np.array([1, 0.5, 0.25]) / 2.75, atol=0.01
    )


# Interest, boredom, drift


def test_relevance_is_the_logarithm_of_the_interest_against_the_mean():
    assert shopper.relevance(0.5, 1.0, 4, 0.0) == pytest.approx(math.log(2))
    assert shopper.relevance(0.0, 1.0, 4, 0.05) == pytest.approx(math.log(0.05))
    assert shopper.relevance(0.5, 0.25, 4, 0.1) == pytest.approx(math.log(0.6))


def test_without_position_and_floor_clicks_follow_interest():
    config = replace(PLAIN, interest=1.0, interest_floor=1e-9, no_click=-40.0)
    world = tiny_world(users=1)
    env = shop(config, copies=40_000, world=world)
    np.testing.assert_allclose(frequencies(env, [0, 1, 2]), world.taste[0], atol=0.01)


def test_interest_today_is_the_taste_where_the_mood_is_even():
    env = shop(copies=50)
    seen = env.hidden()
    np.testing.assert_allclose(seen.interest, env.floor.world.taste[seen.user], rtol=1e-12)


def test_the_mood_has_the_spread_that_is_asked_for():
    env = shop(replace(PLAIN, mood=0.5), copies=20_000)
    seen = env.hidden()
    moved = np.log(seen.interest / env.floor.world.taste[seen.user])
    contrast = moved[:, 0] - moved[:, 1]  # the sum to 1 cancels
    assert contrast.std() == pytest.approx(0.5 * math.sqrt(2), rel=0.03)
    assert abs(contrast.mean()) < 0.02


def test_drift_moves_interest_to_the_clicked_topic_and_to_no_other():
    env = shop(replace(PLAIN, drift=0.05))
    before = env.hidden().interest[0]
    click_on(env, item=4)  # of topic 1
    after = env.hidden().interest[0]
    np.testing.assert_allclose(after, 0.95 * before + [0, 0.05, 0], rtol=1e-12)
    assert after.sum() == pytest.approx(1)


def test_a_page_without_a_click_moves_no_interest():
    env = shop(replace(PLAIN, drift=0.05, no_click=60.0))
    before = env.hidden().interest.copy()
    env.step(np.array([[0, 1, 2]]))
    np.testing.assert_array_equal(env.hidden().interest, before)


def test_drift_off():
    env = shop(replace(PLAIN, drift=0.0))
    before = env.hidden().interest.copy()
    click_on(env, item=4, times=5)
    np.testing.assert_allclose(env.hidden().interest, before, rtol=1e-12)


def test_boredom_takes_all_interest_after_five_clicks_in_a_row_and_gives_it_back():
    config = replace(PLAIN, interest=1.0, boredom=1.0)
    env = shop(config)
    fresh = worth(env, 4)
    click_on(env, 4)
    assert env.hidden().satiation[0].tolist() == pytest.approx([0, 0.8, 0])
    full = sum(0.8**n for n in range(1, 6))
    left = 1 - 0.8 / full
    share = env.hidden().interest[0, 1]
    assert worth(env, 4) == pytest.approx(math.log(3 * share * left + 0.05))
    click_on(env, 4, times=4)
    assert worth(env, 4) == pytest.approx(math.log(0.05))
    assert worth(env, 3) == pytest.approx(math.log(3 * env.hidden().interest[0, 0] + 0.05))
    env.floor.facts.appeal[:] = -99.0
    for _ in range(60):
        env.step(np.array([[0, 1, 2]]))
    assert worth(env, 4) + 99 == pytest.approx(fresh, abs=1e-4)


@pytest.mark.parametrize(("boredom", "clicks"), [(0.0, None), (1.0, 5), (2.0, 2)])
def test_boredom_off_published_and_doubled(boredom, clicks):
    name = {0.0: "off", 1.0: "published", 2.0: "doubled"}[boredom]
    config = shopper.boredom_presets(replace(PLAIN, interest=1.0))[name]
    assert config.boredom == boredom
    env, nothing_left = shop(config), math.log(0.05)
    found = None
    for n in range(1, 12):
        click_on(env, 4)
        if found is None and worth(env, 4) < nothing_left + 0.2:
            found = n
    assert found == clicks


def test_boredom_fades_between_visits():
    config = replace(
        PLAIN, boredom=1.0, patience=1.5, patience_click=0.0, returning=math.inf, boredom_days=2.0
    )
    env = shop(config, visits=5)
    click_on(env, 4)
    click_on(env, 4)  # the visit is over after the second page
    seen, days = env.hidden(), env.floor.state.away[0]
    assert days == pytest.approx(env.floor.world.gap[seen.user[0]])
    assert seen.satiation[0, 1] == pytest.approx((0.64 + 0.8) * math.exp(-days / 2))


def test_a_part_of_a_click_counts_as_a_part():
    given = rules(replace(PLAIN, boredom_clicks=1.5))
    assert given.full == pytest.approx(0.8 + 0.5 * 0.64)


# Terms of the logit


def test_popularity_repeats_and_price_by_hand():
    world = tiny_world()
    config = replace(PLAIN, popularity=0.4, repeat=0.7, price=0.5)
    env = shop(config, world=world)
    user = env.hidden().user[0]
    middle = np.median(world.price[world.topic == 1])
    expected = 0.4 * math.log(world.popularity[4] * 12)
    expected += 0.7 * math.log1p(world.bought[user, 4])
    expected -= 0.5 * math.log(world.price[4] / middle / world.price_level[user])
    assert worth(env, 4) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", ["popularity", "repeat", "price"])
def test_each_term_alone_and_off(name):
    on = shop(replace(PLAIN, **{name: 1.0})).utilities()[0]
    assert np.ptp(on) > 0.5
    assert np.ptp(shop(PLAIN).utilities()) == 0


def test_fatigue_is_a_power_of_the_page():
    env = shop(replace(PLAIN, fatigue=0.6, no_click=60.0))
    for page in range(4):
        assert worth(env, 0) == pytest.approx(-0.6 * math.log(1 + page))
        env.step(np.array([[0, 1, 2]]))
    assert pytest.approx(math.exp(worth(env, 0)) * (5 / 4) ** 0.6) == 4**-0.6


def test_a_search_lifts_the_items_of_its_kind():
    env = shop(replace(PLAIN, search=1.0, intent=1.5), copies=200)
    kinds = env.hidden().searched
    assert (kinds >= 0).all()
    value = env.utilities()
    np.testing.assert_array_equal(value[np.arange(200), kinds], 1.5)
    assert value.sum() == pytest.approx(200 * 1.5)
    assert (shop(replace(PLAIN, search=0.0), copies=200).hidden().searched == -1).all()


def test_searches_follow_interest_and_popularity():
    world = tiny_world()
    those = guests(world, PLAIN, 1, 3)
    interest = np.array([[0.2, 0.5, 0.3]])
    grid = (np.arange(300) + 0.5) / 300
    first, second = (table.ravel() for table in np.meshgrid(grid, grid))
    kinds = wanted_kinds(np.repeat(interest, len(first), 0), first, second, those)
    share = np.bincount(kinds, minlength=12) / len(kinds)
    within = np.array([world.popularity[world.topic == c].sum() for c in range(3)])
    expected = interest[0][world.topic] * world.popularity / within[world.topic]
    np.testing.assert_allclose(share, expected, atol=0.005)


def test_a_topic_without_items_is_never_searched_for():
    world = tiny_world(topics=3)
    world = world._replace(topic=np.where(world.topic == 1, 2, world.topic))
    those = guests(world, PLAIN, 1, 3)
    draws = np.linspace(0, 0.999, 50)
    kinds = wanted_kinds(np.tile([0.1, 0.8, 0.1], (50, 1)), draws, draws[::-1], those)
    share = np.bincount(world.topic[kinds], minlength=3) / 50
    np.testing.assert_allclose(share, [0.5, 0, 0.5], atol=0.02)


def test_a_purchase_satisfies_the_need_until_it_fades():
    config = replace(PLAIN, need=3.0, need_days=7.0, cart=50.0, purchase=50.0, returning=math.inf)
    env = shop(replace(config, patience=2.5), visits=3)
    assert worth(env, 4) == 0
    click_on(env, 4)
    assert worth(env, 4) == pytest.approx(-3.0)
    assert worth(env, 5) == 0
    click_on(env, 5)
    click_on(env, 6)
    days = env.floor.state.away[0]
    assert days > 0
    assert worth(env, 4) == pytest.approx(-3.0 * math.exp(-days / 7))


def test_a_need_counts_from_the_day_of_the_purchase():
    config = replace(PLAIN, need=3.0, cart=50.0, purchase=50.0, returning=math.inf, patience=1.5)
    env = shop(config, visits=9)
    for item in (11, 10, 9):  # the second visit begins after the second page
        click_on(env, item)
    assert env.hidden().day[0] > 0
    assert worth(env, 9) == pytest.approx(-3.0)


def test_a_need_that_is_off_is_never_satisfied():
    env = shop(replace(PLAIN, cart=50.0, purchase=50.0))
    click_on(env, 4)
    assert worth(env, 4) == 0


# Funnel


def test_the_funnel_has_the_shares_of_its_utilities():
    config = replace(PLAIN, no_click=-40.0, cart=-1.0, purchase=0.5)
    env = shop(config, copies=40_000, slate_size=1)
    info = env.step(np.full(40_000, 4))[4]
    assert info["click"].all()
    cart, purchase = info["cart"].mean(), info["purchase"].sum() / info["cart"].sum()
    assert cart == pytest.approx(1 / (1 + math.e), abs=0.01)
    assert purchase == pytest.approx(1 / (1 + math.exp(-0.5)), abs=0.02)


def test_conviction_moves_cart_and_purchase_by_its_share():
    world = tiny_world(users=1)
    config = replace(PLAIN, no_click=-60.0, repeat=1.0, cart=-1.0, cart_fit=0.5, purchase=0.0)
    env = shop(replace(config, purchase_fit=-0.5), copies=40_000, slate_size=1, world=world)
    fit = math.log1p(world.bought[0, 4])
    assert fit > 0.5
    info = env.step(np.full(40_000, 4))[4]
    cart, purchase = info["cart"].mean(), info["purchase"].sum() / info["cart"].sum()
    assert cart == pytest.approx(1 / (1 + math.exp(1 - 0.5 * fit)), abs=0.01)
    assert purchase == pytest.approx(1 / (1 + math.exp(0.5 * fit)), abs=0.015)


def test_price_and_need_speak_in_the_funnel_too():
    world = tiny_world(users=1)
    config = replace(PLAIN, no_click=-60.0, price=1.0, cart=0.0, cart_fit=1.0)
    env = shop(config, copies=40_000, slate_size=1, world=world)
    cart = env.step(np.full(40_000, 4))[4]["cart"].mean()
    value = env.utilities()[0, 4]
    assert abs(value) > 0.1
    assert cart == pytest.approx(1 / (1 + math.exp(-value)), abs=0.01)


def test_the_logistic_function_cannot_overflow():
    assert shopper.chance(-1e6) == 0
    assert shopper.chance(np.array([0.0, 1e6])).tolist() == [0.5, 1.0]
    assert shopper.chance(1.0) == pytest.approx(1 / (1 + math.exp(-1)))


# Patience, leaving and coming back


def test_a_page_without_a_click_costs_one_and_a_click_saves_its_share():
    env = shop(replace(PLAIN, patience=10.0, patience_click=0.75, no_click=60.0))
    env.step(np.array([[0, 1, 2]]))
    assert env.hidden().patience[0] == pytest.approx(9.0)
    click_on(env, 0)
    assert env.hidden().patience[0] == pytest.approx(8.75)


def test_the_shopper_leaves_when_her_patience_is_used_up():
    env = shop(replace(PLAIN, patience=2.5, no_click=60.0))
    ended = [bool(env.step(np.array([[0, 1, 2]]))[2][0]) for _ in range(3)]
    assert ended == [False, False, True]


def test_the_published_spread_gives_the_published_visits():
    """Median 4 and mean 7.8 pages, p90 18, p99 62: Virtual-Taobao's, where no click saves any."""
    pages = np.ceil(np.exp(1.16 * normals(np.linspace(0, 0.9999, 99_991))) * 4)
    assert np.median(pages) == pytest.approx(4, abs=1)
    assert pages.mean() == pytest.approx(8.3, abs=0.5)
    assert np.quantile(pages, 0.9) == pytest.approx(18, abs=1)
    assert np.quantile(pages, 0.99) == pytest.approx(62, abs=4)


def test_endless_patience_never_leaves():
    env = shop(replace(PLAIN, no_click=60.0), copies=5)
    for _ in range(200):
        assert not env.step(np.tile([0, 1, 2], (5, 1)))[2].any()


def test_coming_back_depends_on_the_clicks_of_the_visit():
    base = replace(PLAIN, patience=0.5, returning=-1.0, returning_clicks=3.0)
    for no_click, expected in ((60.0, -1.0), (-60.0, 2.0)):
        env = shop(replace(base, no_click=no_click), copies=20_000, visits=9)
        gone = env.step(np.tile([0, 1, 2], (20_000, 1)))[2]
        assert 1 - gone.mean() == pytest.approx(1 / (1 + math.exp(-expected)), abs=0.012)


def test_the_gap_is_the_household_s_and_shorter_after_clicks():
    base = replace(PLAIN, patience=0.5, returning=math.inf, gap_clicks=0.5)
    for no_click, factor in ((60.0, 1.0), (-60.0, math.exp(-0.5))):
        env = shop(replace(base, no_click=no_click), copies=50, visits=9)
        env.step(np.tile([0, 1, 2], (50, 1)))
        state = env.floor.state
        np.testing.assert_allclose(state.away, env.floor.world.gap[state.user] * factor)
        np.testing.assert_allclose(state.day, state.away)


def test_gaps_have_the_spread_that_is_asked_for():
    config = replace(PLAIN, patience=0.5, returning=math.inf, gap_spread=0.8, no_click=60.0)
    env = shop(config, copies=20_000, visits=9)
    env.step(np.tile([0, 1, 2], (20_000, 1)))
    spread = np.log(env.floor.state.away / env.floor.world.gap[env.floor.state.user])
    assert spread.std() == pytest.approx(0.8, rel=0.03)
    assert abs(np.median(spread)) < 0.03


# Settings


def test_without_memory_the_page_of_today_changes_nothing_tomorrow():
    config = shopper.without_memory(replace(ShopperConfig(), no_click=-60.0, cart=-50.0))
    env = shop(replace(config, patience=math.inf))
    before = env.utilities()
    for page in ([0, 1, 2], [3, 4, 5]):
        env.step(np.array([page]))
    np.testing.assert_array_equal(env.utilities(), before)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("no_click", math.nan, "no_click must be a number; got nan"),
        ("repeat", math.inf, "repeat must be a number; got inf"),
        ("patience", 0.0, "patience must be above 0"),
        ("need_days", -1.0, "need_days must be above 0"),
        ("interest_floor", 0.0, "interest_floor must be above 0"),
        ("boredom", -1.0, "boredom must be 0 or more"),
        ("mood", -0.1, "mood must be 0 or more"),
        ("drift", 1.1, "drift must be from 0 to 1"),
        ("search", -0.1, "search must be from 0 to 1"),
        ("patience_click", 2.0, "patience_click must be from 0 to 1"),
        ("place", 0.0, "place must be above 0 and at most 1"),
        ("boredom_window", 0.5, "boredom_window must be 1 or more"),
    ],
)
def test_settings_that_cannot_be(name, value, says):
    with pytest.raises(ValueError, match=says):
        ShopperConfig(**{name: value})


def test_a_window_of_one_page_keeps_nothing():
    env = shop(replace(PLAIN, interest=1.0, boredom=1.0, boredom_window=1.0))
    before = worth(env, 4)
    click_on(env, 4)
    assert worth(env, 4) == pytest.approx(before)


# The compiled loop


PLAY = """
import json, sys
sys.path.insert(0, {tests!r})
import numpy as np
from tiny_shop import tiny_world
from companion.envs.shop import ShopVectorEnv
from companion.envs.shopper import ShopperConfig
env = ShopVectorEnv(7, tiny_world(), shopper=ShopperConfig(no_click=1.0, cart=0.0), slate_size=3)
obs, info = env.reset(seed=3)
rng, out = np.random.default_rng(0), []
for _ in range(60):
    order = np.where(info["action_mask"], rng.random((7, 12)), 9.0)
    obs, reward, terminated, truncated, info = env.step(order.argsort(axis=1)[:, :3])
    out.append([reward.tolist(), terminated.tolist(), info["position"].tolist(), obs.sum().item()])
out.append(env.hidden().interest.tolist())
out.append(env.hidden().satiation.tolist())
print(json.dumps(out))
"""


def test_the_compiled_loop_and_plain_python_give_the_same_numbers():
    code = PLAY.format(tests=os.path.dirname(__file__))
    found = []
    for off in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": off}
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        found.append(json.loads(done.stdout))
    compiled, plain = found
    events = [[step[:3] for step in one[:-2]] for one in found]
    assert events[0] == events[1]
    assert sum(map(sum, (step[0] for step in compiled[:-2]))) > 20
    for one, other in zip(compiled[-2:], plain[-2:], strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_the_loop_and_the_oracle_s_formula_agree_on_every_term():
    """A page of one item that is worth v is clicked with probability e^v / (e^v + e^0)."""
    config = replace(
        ShopperConfig(), no_click=0.0, place=1.0, cart=3.0, purchase=3.0, patience=math.inf
    )
    env = shop(config, copies=300, slate_size=1)
    rng = np.random.default_rng(0)
    for _ in range(12):  # a state with every term in it
        order = np.where(env.floor.state.allowed, rng.random((300, 12)), -1.0)
        item = order.argmax(axis=1)
        value = env.utilities()[np.arange(300), item]
        seen = utilities(env.floor.facts, env.floor.rules, env.hidden(), item[:, None])
        np.testing.assert_allclose(seen[:, 0], value)
        luck = shop_luck.uniforms(env.floor.state.luck, env.floor.state.pages, 0, 3)[:, 0]
        clicked = env.step(item)[4]["click"][:, 0]
        share = 1 / (1 + np.exp(-value))
        clear = np.abs(luck - share) > 1e-9
        np.testing.assert_array_equal(clicked[clear], (luck < share)[clear])


# Chance


def test_the_streams_are_uniform_and_independent():
    keys = shop_luck.episode_keys(shop_luck.first_keys(list(range(400))), np.zeros(400, np.int64))
    draws = shop_luck.uniforms(keys, np.zeros(400, np.int64), 0, 500)
    assert ((draws >= 0) & (draws < 1)).all()
    counts = np.histogram(draws, 20, (0, 1))[0]
    assert ((counts - 10_000) ** 2 / 10_000).sum() < 43.8  # chi-square of 19, p = 0.001
    assert len(np.unique(draws)) == draws.size
    across = np.corrcoef(draws[:-1].ravel(), draws[1:].ravel())[0, 1]
    along = np.corrcoef(draws[:, :-1].ravel(), draws[:, 1:].ravel())[0, 1]
    assert max(abs(across), abs(along)) < 0.01


def test_the_streams_are_splitmix64():
    """The first numbers of SplitMix64 from 0, as in the authors' own code."""
    step = np.arange(1, 4).astype(np.uint64) * shop_luck.STEP
    expected = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert shop_luck.mixed(step).tolist() == expected


def test_pages_and_draws_do_not_overlap():
    key = shop_luck.first_keys([1])
    with pytest.raises(ValueError, match="a page has 1024 draws; asked for 1025"):
        shop_luck.uniforms(key, np.zeros(1, np.int64), 1000, 25)
    pages = shop_luck.uniforms(np.repeat(key, 5), np.arange(5), 0, 1024)
    assert len(np.unique(pages)) == pages.size
    again = shop_luck.uniforms(key, np.full(1, 3), 7, 2)
    np.testing.assert_array_equal(again[0], pages[3, 7:9])


def test_seeds_below_zero():
    with pytest.raises(ValueError, match="seed must be 0 or more; got -1"):
        shop_luck.first_keys([3, -1])


def test_the_smallest_draw_has_a_finite_normal():
    assert np.isfinite(normals(np.array([0.0, 1 - 2.0**-53]))).all()
    assert normals(np.array([0.5]))[0] == 0
