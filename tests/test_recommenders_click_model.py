import numpy as np
import pytest
from scipy.special import expit, logit
from tiny_shop import small_world

from companion.core.seeding import generator
from companion.envs.policies import Choice, RandomPolicy, play
from companion.envs.shop import ShopConfig, ShopVectorEnv, layout
from companion.envs.shopper import ShopperConfig
from companion.recommenders.click_model import (
    ClickModel,
    Examples,
    click_policy,
    collect,
    fit_click_model,
)
from companion.recommenders.shop_features import PairFeatures

W, U = np.array([0.0, 1.2, -0.7]), np.array([0.5, 0.0])
PLACE = np.array([0.0, -0.4, -1.2])


def made_log(m, confounded=False, seed=0):
    """Clicks of a known logistic model. Confounded: good items were shown first."""
    rng = generator(seed, "log")
    pairs = rng.standard_normal((m, 3)) * [0, 1, 2] + [1, 0, 5]  # a constant, and other scales
    obs, place = rng.standard_normal((m, 2)), rng.integers(0, 3, m)
    if confounded:
        place = np.digitize(-pairs @ W, np.quantile(-pairs @ W, [1 / 3, 2 / 3]))
    chance = expit(2.0 + pairs @ W + obs @ U + PLACE[place])
    return Examples(pairs, obs, place, rng.random(m) < chance)


def test_the_weights_of_a_known_model_come_back():
    """Five standard errors of 200,000 examples are less than 0.05."""
    found = fit_click_model(made_log(200_000))
    np.testing.assert_allclose(found.pairs, W, atol=0.05)
    np.testing.assert_allclose(found.obs, U, atol=0.05)
    np.testing.assert_allclose(found.place, PLACE, atol=0.08)
    assert found.intercept == pytest.approx(2.0, abs=0.15)
    assert found.place[0] == 0


def test_items_that_always_stood_high_are_not_taken_for_liked():
    log = made_log(200_000, confounded=True)
    found = fit_click_model(log)
    np.testing.assert_allclose(found.pairs, W, atol=0.1)
    np.testing.assert_allclose(found.place, PLACE, atol=0.15)
    blind = fit_click_model(log._replace(place=np.zeros_like(log.place)))
    assert blind.pairs[1] > W[1] + 0.1  # the place's merit is put down to the item


def test_probabilities_are_those_of_the_formula_at_each_place():
    model = ClickModel(0.3, W, U, PLACE)
    rng = generator(1, "pages")
    pairs, obs = rng.standard_normal((4, 5, 3)), rng.standard_normal((4, 2))
    found = model.probability(pairs, obs)
    assert found.shape == (4, 5)
    for n in range(4):
        for i in range(5):
            assert logit(found[n, i]) == pytest.approx(0.3 + pairs[n, i] @ W + obs[n] @ U)
    third = model.probability(pairs, obs, 2)
    np.testing.assert_allclose(logit(third), logit(found) - 1.2)
    flat = model.probability(pairs[:, 0], obs, np.array([0, 1, 2, 0]))
    np.testing.assert_allclose(logit(flat), logit(found[:, 0]) + PLACE[[0, 1, 2, 0]])


def test_a_fitted_model_is_calibrated():
    log = made_log(50_000)
    found = fit_click_model(log)
    chance = found.probability(log.pairs, log.obs, log.place)
    assert chance.mean() == pytest.approx(log.click.mean(), abs=1e-3)
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.0)):
        here = (chance >= low) & (chance < high)
        error = np.sqrt(0.25 / here.sum())
        assert chance[here].mean() == pytest.approx(log.click[here].mean(), abs=5 * error)


def test_a_strong_penalty_shrinks_the_weights():
    log = made_log(5_000)
    weak, strong = fit_click_model(log), fit_click_model(log, penalty=1e4)
    assert abs(strong.pairs[1]) < 0.5 * abs(weak.pairs[1])


@pytest.mark.parametrize("clicks", [0, 20])
def test_a_log_of_one_kind_teaches_nothing(clicks):
    log = made_log(20)._replace(click=np.arange(20) < clicks)
    with pytest.raises(ValueError, match=f"a log needs clicks and others; {clicks} of 20 are"):
        fit_click_model(log)
    with pytest.raises(ValueError, match="penalty must be above 0 and finite; got 0"):
        fit_click_model(made_log(20), penalty=0)


def shop(copies=50, k=3):
    config, world = ShopConfig(slate_size=k), small_world(items=30)
    envs = ShopVectorEnv(copies, world, config, ShopperConfig(no_click=2.5))
    return envs, PairFeatures(world, layout(config, world)), world


def test_the_examples_are_the_pages_that_were_shown():
    envs, pairs, world = shop(copies=20)
    pages = []

    def watch(obs, slate, info):
        pages.append((obs.copy(), slate, info))

    play(envs, RandomPolicy(3), steps=12, seed=4, learn=False, watch=watch)
    found = collect(envs, RandomPolicy(3), pairs, steps=12, seed=4)
    assert len(found.click) == 12 * 20 * 3
    assert any((info["terminated"] | info["truncated"]).any() for _, _, info in pages)
    row = 0
    for obs, slate, info in pages:
        whole = pairs(obs, info["before"])  # [N, I, d] of all items, before the page
        for n in range(20):
            for k in range(3):
                np.testing.assert_array_equal(found.pairs[row], whole[n, slate.items[n, k]])
                np.testing.assert_array_equal(found.obs[row], obs[n])
                assert (found.place[row], found.click[row]) == (k, info["click"][n, k])
                row += 1


def test_the_policy_shows_what_is_clicked_most_probably_and_beats_a_random_one():
    envs, pairs, _ = shop()
    model = fit_click_model(collect(envs, RandomPolicy(3), pairs, steps=150, seed=0))
    policy = click_policy(model, pairs, Choice(3))
    obs, info = envs.reset(seed=1)
    slate = policy.act(obs, info, generator(0, "act"))
    chance = np.where(info["action_mask"], model.probability(pairs(obs, info), obs), -1)
    np.testing.assert_array_equal(slate.items, np.argsort(-chance, axis=1, kind="stable")[:, :3])
    assert (slate.propensity == 1).all()
    found = play(envs, policy, steps=60, seed=2).click.mean()
    assert found > 1.3 * play(envs, RandomPolicy(3), steps=60, seed=2).click.mean()
    assert model.place[2] < model.place[1] < 0  # the shop's own decay is 0.85 a place
    explore = click_policy(model, pairs, Choice(3, epsilon=0.3)).act(obs, info, generator(0, "x"))
    assert explore.propensity.max() < 1


def test_a_model_of_other_features_is_refused():
    _, pairs, _ = shop()
    with pytest.raises(ValueError, match="pairs must have 3 features; got 12"):
        click_policy(ClickModel(0.0, W, U, PLACE), pairs, Choice(3))
