"""The choice model: what it is fitted on, what comes back, and the page that it thinks best."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from scipy.special import expit
from tiny_shop import small_world

from companion.core.seeding import generator
from companion.envs.policies import RandomPolicy, play
from companion.envs.shop import ShopConfig, ShopVectorEnv, layout, load_world
from companion.envs.shop_candidates import Candidates, CandidateShop
from companion.envs.shopper import ShopperConfig
from companion.recommenders.choice_model import (
    ChoiceModel,
    ClickReward,
    PageExamples,
    collect_pages,
    fit_choice_model,
    fitted_utility,
    myopic_policy,
    static_scores,
)
from companion.recommenders.click_model import Examples, fit_click_model
from companion.recommenders.shop_features import NAMES, PairFeatures

W, U = np.array([0.0, 1.2, -0.7]), np.array([0.5, 0.0])
PLACE = np.array([0.0, -0.4, -1.2])
REWARD = ClickReward(0.2, 1.2, -1.0, np.array([0.0, 0.8, 0.0]))
TRUE = ChoiceModel(0.3, W, U, PLACE, REWARD)


def chances(model, pairs, obs):
    """P(click) at each place and, last, of no click, by the formula as it stands. [M, K + 1]"""
    rows = []
    for x, seen in zip(pairs, obs, strict=True):
        odds = [
            np.exp(model.intercept + item @ model.pairs + seen @ model.obs + model.place[k])
            for k, item in enumerate(x)
        ]
        rows.append(np.array([*odds, 1.0]) / (1 + sum(odds)))
    return np.array(rows)


def made_log(m, seed=0, pairs=None):
    """Clicks and rewards of the known model; a constant feature, and other scales."""
    rng = generator(seed, "log")
    if pairs is None:
        pairs = rng.standard_normal((m, 3, 3)) * [0, 1, 2] + [1, 0, 1]
    obs = rng.standard_normal((m, 2)) * [1, 2] + [-1, 1]
    below = np.cumsum(chances(TRUE, pairs, obs)[:, :3], axis=1)
    position = (rng.random(m)[:, None] > below).sum(axis=1)
    position[position == 3] = -1
    bought = rng.random(m) < expit(-1.0 + 0.8 * pairs[np.arange(m), position, 1])
    reward = np.where(position >= 0, 0.2 + bought, 0.0)
    return PageExamples(pairs, obs, position, reward)


@pytest.fixture(scope="module")
def log():
    return made_log(60_000)


@pytest.fixture(scope="module")
def fitted(log):
    return fit_choice_model(log)


# --- the fit --------------------------------------------------------------------------------------


def test_the_weights_of_a_known_model_come_back(fitted):
    """Five standard errors of 60,000 pages are at most 0.09."""
    np.testing.assert_allclose(fitted.pairs, W, atol=0.06)
    np.testing.assert_allclose(fitted.obs, U, atol=0.06)
    np.testing.assert_allclose(fitted.place, PLACE, atol=0.09)
    assert fitted.intercept == pytest.approx(0.3, abs=0.09)
    assert fitted.place[0] == 0


def test_the_reward_of_a_click_comes_back(fitted):
    low, high, intercept, weights = fitted.reward
    assert (low, high) == (pytest.approx(0.2), pytest.approx(1.2))
    assert intercept == pytest.approx(-1.0, abs=0.09)
    np.testing.assert_allclose(weights, [0.0, 0.8, 0.0], atol=0.09)


def test_rewards_between_the_least_and_the_most_count_in_proportion():
    """A cart brings 0.5: clicks, carts and purchases on two kinds of item, in known shares."""
    rng = generator(0, "carts")
    kind = np.arange(40_000) % 2
    pairs = kind[:, None, None].astype(float)
    position = np.where(rng.random(40_000) < 0.9, 0, -1)
    chance = np.array([[0.6, 0.3, 0.1], [0.2, 0.4, 0.4]])[kind]
    stage = (rng.random(40_000)[:, None] > np.cumsum(chance, axis=1)).sum(axis=1)
    reward = np.where(position == 0, np.array([0.2, 0.5, 1.5, 1.5])[stage], 0.0)
    model = fit_choice_model(PageExamples(pairs, np.zeros((40_000, 1)), position, reward))
    found = model.value(np.array([[0.0], [1.0]]))
    np.testing.assert_allclose(found, [0.12 + 0.15 + 0.15, 0.04 + 0.2 + 0.6], atol=0.025)


def test_clicks_that_all_bring_the_same_are_worth_that(log):
    clicked = np.where(log.position >= 0, 0.2, 0.0)
    model = fit_choice_model(log._replace(reward=clicked))
    np.testing.assert_array_equal(model.value(log.pairs[:5]), np.full((5, 3), 0.2))


def penalised(model, log, penalty):
    """Minus log likelihood and the penalty on features of deviation 1, by their definition."""
    chance = chances(model, log.pairs, log.obs)[np.arange(len(log.obs)), log.position]
    deviation = log.pairs.reshape(-1, 3).std(axis=0), log.obs.std(axis=0)
    scaled = model.pairs * deviation[0], model.obs * deviation[1], model.place
    return -np.log(chance).sum() + penalty / 2 * sum((part**2).sum() for part in scaled)


@pytest.mark.parametrize("penalty", [0.5, 200.0])
def test_no_other_weights_are_more_likely_under_the_penalty(penalty):
    log = made_log(800)
    found = fit_choice_model(log, penalty=penalty)
    least = penalised(found, log, penalty)
    mean = log.pairs.reshape(-1, 3).mean(axis=0)
    for step in (-0.02, 0.02):
        others = [found._replace(intercept=found.intercept + step)]
        for n in (1, 2):  # turned about the mean, which the intercept makes good
            weights = found.pairs + step * np.eye(3)[n]
            base = found.intercept - step * mean[n]
            others.append(found._replace(pairs=weights, intercept=base))
            others.append(found._replace(place=found.place + step * np.eye(3)[n]))
        others += [found._replace(obs=found.obs + step * np.eye(2)[n]) for n in (0, 1)]
        for other in others:
            assert penalised(other, log, penalty) > least


def test_a_strong_penalty_leaves_the_click_rate_alone(log):
    found = fit_choice_model(log, penalty=1e9)
    assert max(abs(found.pairs).max(), abs(found.obs).max(), abs(found.place).max()) < 1e-3
    chance = found.probability(log.pairs, log.obs)
    assert chance.sum(axis=1).mean() == pytest.approx((log.position >= 0).mean(), abs=1e-3)


def test_what_a_good_neighbour_takes_is_not_put_down_to_the_item():
    """Feature 2 says nothing of an item, but stands beside items that are liked much."""
    rng = generator(3, "neighbours")
    pairs = np.zeros((60_000, 3, 3))
    pairs[..., 1] = rng.standard_normal((60_000, 3))
    beside = rng.random(60_000) < 0.5
    pairs[beside, 0, 1] += 3.0
    pairs[beside, 1:, 2] = 1.0
    none = TRUE._replace(pairs=np.array([0.0, 1.2, 0.0]), obs=np.zeros(2), place=np.zeros(3))
    below = np.cumsum(chances(none, pairs, np.zeros((60_000, 2)))[:, :3], axis=1)
    position = (rng.random(60_000)[:, None] > below).sum(axis=1)
    position[position == 3] = -1
    log = PageExamples(pairs, np.zeros((60_000, 2)), position, 1.0 * (position >= 0))
    assert fit_choice_model(log).pairs[2] == pytest.approx(0.0, abs=0.12)
    each = Examples(
        pairs.reshape(-1, 3), np.zeros((180_000, 2)), np.tile(np.arange(3), 60_000),
        (position[:, None] == np.arange(3)).ravel(),
    )  # fmt: skip
    assert fit_click_model(each).pairs[2] < -0.5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"position": np.array([0, 3, 1, -1])}, "page 1: position must be from -1 to 2; got 3"),
        ({"position": np.array([0, 1, -2, -1])}, "page 2: position must be from -1 to 2; got -2"),
        ({"position": np.full(4, -1)}, "a log needs clicks and others; 0 of 4 pages have one"),
        ({"position": np.zeros(4, int)}, "a log needs clicks and others; 4 of 4 pages have one"),
        ({"obs": np.zeros((3, 2))}, r"all tables of M pages; got pairs \[4, 3, 3\], obs \[3, 2\]"),
        ({"pairs": np.zeros((4, 3))}, r"pairs must be \[M, K, d\].*got pairs \[4, 3\]"),
    ],
)
def test_a_log_that_is_none_is_refused(change, says):
    good = PageExamples(np.zeros((4, 3, 3)), np.zeros((4, 2)), np.array([0, 1, 2, -1]), np.ones(4))
    with pytest.raises(ValueError, match=says):
        fit_choice_model(good._replace(**change))


@pytest.mark.parametrize("penalty", [0, -1, np.inf, np.nan])
def test_a_penalty_that_is_none_is_refused(penalty, log):
    with pytest.raises(ValueError, match=f"penalty must be above 0 and finite; got {penalty}"):
        fit_choice_model(log, penalty=penalty)


# --- the model ------------------------------------------------------------------------------------


def test_probabilities_and_utilities_are_those_of_the_formula():
    rng = generator(1, "pages")
    pairs, obs = rng.standard_normal((6, 3, 3)), rng.standard_normal((6, 2))
    np.testing.assert_allclose(TRUE.probability(pairs, obs), chances(TRUE, pairs, obs)[:, :3])
    np.testing.assert_allclose(
        TRUE.probability(pairs[:, :2], obs), chances(TRUE, pairs[:, :2], obs)[:, :2]
    )
    utility = TRUE.utility(pairs, obs)
    for n in range(6):
        for m in range(3):
            assert utility[n, m] == pytest.approx(0.3 + pairs[n, m] @ W + obs[n] @ U)
    np.testing.assert_allclose(TRUE.utility(pairs[:, 0], obs), utility[:, 0])
    alone = TRUE.probability(pairs[:, :1], obs)[:, 0]
    np.testing.assert_allclose(np.log(alone / (1 - alone)), utility[:, 0])
    np.testing.assert_allclose(TRUE.value(pairs), 0.2 + expit(-1.0 + 0.8 * pairs[..., 1]))


def test_very_large_utilities_give_no_overflow():
    pairs = np.array([[[0.0, 800.0, 0.0], [0.0, 800.0, 0.0]], [[0.0, -900.0, 0.0]] * 2])
    with np.errstate(all="raise", under="ignore"):
        found = TRUE.probability(pairs, np.zeros((2, 2)))
    np.testing.assert_allclose(found[0], np.exp([0, -0.4]) / np.exp([0, -0.4]).sum())
    np.testing.assert_array_equal(found[1], [0, 0])


@pytest.mark.parametrize("places", [0, 4])
def test_a_page_of_other_places_is_refused(places):
    with pytest.raises(ValueError, match=f"the model knows 3 places; got {places}"):
        TRUE.probability(np.zeros((2, places, 3)), np.zeros((2, 2)))


# --- in the shop ----------------------------------------------------------------------------------

PLAINLY = ShopperConfig(  # nothing that the features do not say
    no_click=2.0, interest=0.0, mood=0.0, drift=0.0, boredom=0.0, need=0.0, popularity=0.6,
    repeat=0.8, price=0.5, intent=1.5, search=0.5, fatigue=0.4, patience=8.0, cart=-0.5,
    cart_fit=1.5, purchase=0.5, purchase_fit=0.0,
)  # fmt: skip


def shop(copies=50, k=3, shopper=PLAINLY, world=None):
    config, world = ShopConfig(slate_size=k), world or small_world(items=30, households=40)
    envs = ShopVectorEnv(copies, world, config, shopper)
    return envs, PairFeatures(world, layout(config, world)), world


@pytest.fixture(scope="module")
def plainly():
    """A model of the plain shop from a random log of 60,000 pages."""
    envs, pairs, _ = shop(copies=500)
    return fit_choice_model(collect_pages(envs, RandomPolicy(3), pairs, steps=120, seed=0))


def test_the_examples_are_the_pages_that_were_shown():
    envs, pairs, _ = shop(copies=20)
    pages = []

    def watch(obs, slate, info):
        pages.append((obs.copy(), slate, info))

    play(envs, RandomPolicy(3), steps=25, seed=4, learn=False, watch=watch)
    found = collect_pages(envs, RandomPolicy(3), pairs, steps=25, seed=4)
    assert found.pairs.shape == (25 * 20, 3, 12)
    assert any((info["terminated"] | info["truncated"]).any() for _, _, info in pages)
    row = 0
    for obs, slate, info in pages:
        whole = pairs(obs, info["before"])  # [N, I, d] of all items, before the page
        for n in range(20):
            np.testing.assert_array_equal(found.pairs[row], whole[n, slate.items[n]])
            np.testing.assert_array_equal(found.obs[row], obs[n])
            place = np.flatnonzero(info["click"][n])
            assert found.position[row] == (place[0] if len(place) else -1)
            assert found.reward[row] == info["reward"][n]
            row += 1
    assert 0 < (found.position >= 0).mean() < 1


def test_the_shop_s_own_weights_come_back_from_a_random_log(plainly):
    found, parts = dict(zip(NAMES, plainly.pairs, strict=True)), layout(ShopConfig(), small_world())
    assert found["popularity"] == pytest.approx(0.6, abs=0.06)
    assert found["bought before"] == pytest.approx(0.8, abs=0.1)
    assert found["dear"] == pytest.approx(-0.5, abs=0.1)
    assert found["searched kind"] == pytest.approx(1.5, abs=0.15)
    for name in ("likes the topic", "taste", "shown", "searched topic"):
        assert found[name] == pytest.approx(0.0, abs=0.35), name
    np.testing.assert_allclose(plainly.place, np.log(0.85) * np.arange(3), atol=0.08)
    tired = plainly.obs[parts["page"].start]  # the part is log(1 + page) / log(1 + horizon)
    assert tired == pytest.approx(-0.4 * np.log(51), abs=0.3)


def test_the_reward_of_a_click_is_that_of_the_funnel(plainly):
    """P(purchase | click) of an item bought n times: two logistic steps, from cart to purchase."""
    assert (plainly.reward.low, plainly.reward.high) == (pytest.approx(0.2), pytest.approx(1.2))
    mean = np.zeros((2, 12))
    mean[:, 0], mean[1, 2] = 1.0, np.log(4.0)
    carts = expit(-0.5 + 1.5 * 0.8 * np.log([1.0, 4.0]))
    np.testing.assert_allclose(plainly.value(mean), 0.2 + carts * expit(0.5), atol=0.09)


def test_the_calibrated_shop_s_weights_come_back_within_bands():
    """Not exactly: interest and boredom are hidden, and the features can but follow them."""
    envs, pairs, _ = shop(copies=1_000, k=10, shopper=ShopperConfig(), world=load_world("sample"))
    model = fit_choice_model(collect_pages(envs, RandomPolicy(10), pairs, steps=30, seed=0))
    found = dict(zip(NAMES, model.pairs, strict=True))
    assert found["popularity"] == pytest.approx(0.139, abs=0.06)
    assert found["bought before"] == pytest.approx(0.311, abs=0.12)
    assert found["likes the topic"] > 0.4
    assert found["searched kind"] == pytest.approx(1.0, abs=0.25)
    np.testing.assert_allclose(model.place, np.log(0.85) * np.arange(10), atol=0.25)


def test_static_scores_are_the_utilities_before_anything_happens(plainly):
    envs, pairs, world = shop(copies=300)
    scores = static_scores(plainly, world)
    assert scores.shape == (40, 30)
    obs, info = envs.reset(seed=0)
    assert (info["search"] >= 0).any()
    users = set()
    for row in np.flatnonzero(info["search"] < 0):
        one = {name: value[row : row + 1] for name, value in info.items()}
        wanted = pairs(obs[row : row + 1], one)[0] @ plainly.pairs
        np.testing.assert_allclose(scores[info["user"][row]], wanted, rtol=1e-6)
        users.add(info["user"][row])
    assert len(users) > 30


def test_static_scores_of_many_households_are_those_of_each(plainly):
    """They are made some hundred at a time."""
    world = small_world(items=30, households=600)
    rows = np.arange(250, 600)
    own = ("user_ids", "taste", "bought", "weight", "gap", "price_level")
    some = world._replace(**{name: getattr(world, name)[rows] for name in own})
    np.testing.assert_array_equal(static_scores(plainly, world)[rows], static_scores(plainly, some))


def test_the_utilities_of_candidates_are_the_model_s(plainly):
    envs, pairs, world = shop(copies=8)
    candidates = Candidates(world, static_scores(plainly, world))
    env = CandidateShop(envs, candidates, fitted_utility(plainly, pairs))
    seen, info = env.reset(seed=0)
    obs = seen[:, env.parts["shop"]]
    wanted = plainly.utility(pairs(obs, info, info["candidates"]), obs)
    assert (abs(wanted) < 10).all()
    np.testing.assert_allclose(
        seen[:, env.parts["utility"]], np.where(info["action_mask"], wanted, -10), rtol=1e-5
    )


def expected(model, x, obs, slate):
    """The expected reward of one page by the model, by hand."""
    chance = chances(model, x[None, slate], obs[None])[0, :-1]
    return sum(p * model.value(x[i]) for p, i in zip(chance, slate, strict=True))


# Clicks that differ much in what they bring, so that the most clicked page is not the best.
UNEQUAL = ClickReward(0.0, 1.0, -2.0, np.array([0, -1.0, -1.0, 0, 0, 2.0, 0, 0, 0, 0, 0, -1.5]))


@pytest.mark.parametrize("among", ["all", "candidates"])
def test_the_policy_shows_the_page_of_the_largest_expected_reward(plainly, among):
    envs, pairs, world = shop(copies=12, world=small_world(items=9, households=40))
    model = plainly._replace(reward=UNEQUAL, intercept=1.0)
    candidates = Candidates(world, static_scores(model, world)) if among != "all" else None
    policy = myopic_policy(model, pairs, 3, candidates=candidates)
    obs, info = envs.reset(seed=2)
    info = {**info, "action_mask": info["action_mask"] & (np.arange(9) != 4)}
    slate = policy.act(obs, info, generator(0, "act"))
    x, differ = pairs(obs, info), 0
    for n in range(12):
        free = np.flatnonzero(info["action_mask"][n])
        if candidates is not None:
            found = candidates(info)
            free = found.items[n, found.mask[n]]
        assert set(slate.items[n]) <= set(free.tolist())
        values = {s: expected(model, x[n], obs[n], list(s)) for s in permutations(free, 3)}
        best = expected(model, x[n], obs[n], slate.items[n])
        assert best == pytest.approx(max(values.values()), rel=1e-9)
        clicks = np.argsort(-model.utility(x[n : n + 1], obs[n : n + 1])[0, free])[:3]
        differ += set(free[clicks]) != set(slate.items[n].tolist())
    assert differ > 3
    assert (slate.propensity == 1).all()


def test_numbers_without_a_candidate_are_not_shown(plainly):
    """They hold item 0, which is liked most here and stands on the page once, or not at all."""
    world = small_world(items=9, households=40)
    world = world._replace(popularity=np.arange(9.0, 0.0, -1.0) / 45)
    envs, pairs, _ = shop(copies=30, world=world)
    same = plainly.reward._replace(high=plainly.reward.low)
    liked = plainly._replace(pairs=5.0 * (np.array(NAMES) == "popularity"), reward=same)
    candidates = Candidates(world, static_scores(liked, world))
    policy = myopic_policy(liked, pairs, 3, candidates=candidates)
    obs, info = envs.reset(seed=2)
    assert not candidates(info).mask.all()
    shown = policy.act(obs, info, generator(0, "act")).items
    np.testing.assert_array_equal(np.sort(shown, axis=1), [[0, 1, 2]] * 30)
    gone = {**info, "action_mask": info["action_mask"] & (np.arange(9) > 0)}
    shown = policy.act(obs, gone, generator(0, "act")).items
    np.testing.assert_array_equal(np.sort(shown, axis=1), [[1, 2, 3]] * 30)


def test_the_policy_earns_more_than_random_pages_and_than_clicks_alone():
    """Known items are bought, popular ones clicked: the best page is not the most clicked one."""
    shopper = replace(PLAINLY, popularity=1.2, repeat=0.5, cart=-3.0, cart_fit=6.0)
    envs, pairs, _ = shop(copies=500, shopper=shopper)
    model = fit_choice_model(collect_pages(envs, RandomPolicy(3), pairs, steps=80, seed=0))
    same = model._replace(reward=model.reward._replace(high=model.reward.low))
    policies = myopic_policy(model, pairs, 3), myopic_policy(same, pairs, 3, name="clicks")
    assert [each.name for each in policies] == ["choice model", "clicks"]
    reward, click, chance = (
        play(envs, each, steps=60, seed=2) for each in (*policies, RandomPolicy(3))
    )
    assert reward.reward.mean() > 1.05 * click.reward.mean()
    assert click.click.mean() > 1.05 * reward.click.mean()
    assert click.reward.mean() > 1.5 * chance.reward.mean()


def test_a_model_of_other_features_or_fewer_places_is_refused(plainly):
    _, pairs, world = shop()
    for use in (
        lambda: myopic_policy(TRUE, pairs, 3),
        lambda: fitted_utility(TRUE, pairs),
    ):
        with pytest.raises(ValueError, match="pairs must have 3 features; got 12"):
            use()
    with pytest.raises(ValueError, match="pairs must have 3 features; got 12"):
        static_scores(TRUE, world)
    with pytest.raises(ValueError, match="the model knows 3 places; got 5"):
        myopic_policy(plainly, pairs, 5)
