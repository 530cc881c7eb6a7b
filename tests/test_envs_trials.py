"""Trials: whole episodes of the same shoppers, and what sets policies apart."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from scipy import stats
from tiny_shop import PLAIN, small_world, tiny_world

from companion.core.seeding import generator
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy
from companion.envs.shop import ShopEnv, ShopVectorEnv
from companion.envs.shopper import ShopperConfig
from companion.envs.trials import (
    FIGURES,
    Episodes,
    crossed_mean,
    episodes,
    paired,
    stacked,
    trial_table,
)
from companion.metrics.uplift import bootstrap_mean, verdict

WORLD = small_world(items=14, topics=3)
LIVELY = ShopperConfig(no_click=0.5, cart=0.5, purchase=0.0, patience=2.0)
POPULAR = ScorePolicy("popular", lambda obs, info: WORLD.popularity, Choice(3))


def shop(copies, **settings):
    return ShopVectorEnv(copies, WORLD, shopper=LIVELY, **{"slate_size": 3, **settings})


def alone(seed, shoppers, **settings):
    """Each shopper in an environment of her own, up to the end of her first episode."""
    rows = []
    for own in generator(seed, "shoppers").integers(2**31, size=shoppers).tolist():
        env = ShopEnv(WORLD, shopper=LIVELY, **{"slate_size": 3, **settings})
        _, info = env.reset(seed=own)
        sums, ended = np.zeros(5), False
        while not ended:
            allowed = np.flatnonzero(info["action_mask"])
            best = allowed[np.argsort(-WORLD.popularity[allowed], kind="stable")][:3]
            _, reward, terminated, truncated, info = env.step(best)
            events = (info["click"].sum(), info["cart"].sum(), info["purchase"].sum())
            sums += (reward, *events, 1)
            ended = terminated or truncated
        rows.append(sums)
    return Episodes(*np.array(rows).T)


def assert_same(found, other):
    for ours, theirs in zip(found, other, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_each_shopper_counts_with_one_whole_episode():
    found = episodes(POPULAR, shop(40, horizon=15), shoppers=40, seed=3)
    assert_same(found, alone(3, 40, horizon=15))
    assert len(np.unique(found.pages)) > 5
    assert found.pages.max() == 15  # some were cut off by the horizon
    assert found.clicks.sum() > found.carts.sum() > found.purchases.sum() > 0
    weights = 0.2 * found.clicks + found.purchases
    np.testing.assert_allclose(found.returns, weights)
    np.testing.assert_allclose(found.click_rate, found.clicks / found.pages)


@pytest.mark.parametrize("copies", [1, 7, 12, 30])
def test_the_number_of_copies_changes_no_shopper(copies):
    assert_same(episodes(POPULAR, shop(copies), shoppers=12, seed=5), alone(5, 12))


def test_gymnasiums_own_copies_give_the_same():
    made = [lambda: ShopEnv(WORLD, shopper=LIVELY, slate_size=3)] * 5
    envs = SyncVectorEnv(made, autoreset_mode=AutoresetMode.SAME_STEP)
    assert_same(episodes(POPULAR, envs, shoppers=9, seed=2), alone(2, 9))


def test_one_item_a_page_is_shown_as_an_item():
    policy = ScorePolicy("popular", lambda obs, info: WORLD.popularity, Choice(1))
    found = episodes(policy, shop(6, slate_size=1, horizon=4), shoppers=6, seed=0)
    assert found.pages.shape == (6,)
    assert (found.pages <= 4).all()


def test_a_seed_fixes_shoppers_and_choices_and_another_seed_does_not():
    policy = RandomPolicy(3)
    first, again, other = (episodes(policy, shop(20), shoppers=20, seed=n) for n in (1, 1, 2))
    assert_same(first, again)
    assert not np.array_equal(first.returns, other.returns)


def test_the_choices_of_a_policy_follow_the_seed_too():
    def first_slates(seed):
        shown = []

        class Watched(RandomPolicy):
            def act(self, obs, info, rng):
                slate = super().act(obs, info, rng)
                shown.append(slate.items)
                return slate

        episodes(Watched(3), shop(20), shoppers=20, seed=seed)
        return shown[0]

    assert np.array_equal(first_slates(1), first_slates(1))
    assert not np.array_equal(first_slates(1), first_slates(2))


def test_who_stays_long_does_not_count_more_often():
    # Patience of 1, 2 or 20 pages without a click, and nobody clicks: pages are the patience.
    lasting = replace(PLAIN, no_click=60.0, patience=1.5, patience_spread=1.0)
    envs = ShopVectorEnv(200, tiny_world(), shopper=lasting, slate_size=2, horizon=40)
    found = episodes(RandomPolicy(2), envs, shoppers=2_000, seed=0)
    # P(pages = 1) = P(patience <= 1) = Phi(-log 1.5) = 0.3426
    assert np.mean(found.pages == 1) == pytest.approx(0.3426, abs=0.04)
    assert found.clicks.sum() == 0


def test_a_policy_does_not_learn_in_a_trial():
    class Curious(RandomPolicy):
        def learn(self, obs, slate, info):
            raise AssertionError("it was asked to learn")

    assert episodes(Curious(3), shop(4), shoppers=4, seed=0).pages.min() >= 1


def test_what_cannot_be_played_is_refused():
    with pytest.raises(ValueError, match="shoppers must be 1 or more; got 0"):
        episodes(POPULAR, shop(3), shoppers=0, seed=0)
    made = [lambda: ShopEnv(WORLD, slate_size=3)] * 2
    with pytest.raises(ValueError, match=r"same step; its mode is .*NEXT_STEP"):
        episodes(POPULAR, SyncVectorEnv(made), shoppers=2, seed=0)


# --- agents and shoppers --------------------------------------------------------------------------


def crossed(rng, agents, shoppers, of_agents, of_shoppers, rest):
    return (
        of_agents * rng.standard_normal((agents, 1))
        + of_shoppers * rng.standard_normal((1, shoppers))
        + rest * rng.standard_normal((agents, shoppers))
    )


@pytest.mark.parametrize("spread", [(1.0, 0.5, 1.0), (0.1, 2.0, 1.0)])
def test_the_interval_covers_other_agents_and_other_shoppers(spread):
    rng, inside, narrow, rounds = np.random.default_rng(0), 0, 0, 400
    for n in range(rounds):
        table = crossed(rng, 5, 40, *spread)
        found = crossed_mean(table, seed=n)
        inside += found.low <= 0 <= found.high
        fixed = bootstrap_mean(table.mean(axis=0), seed=n, samples=200)
        narrow += fixed.low <= 0 <= fixed.high
    assert 0.925 <= inside / rounds <= 0.99
    if spread[0] > 0.5:  # an interval over shoppers alone forgets that agents differ
        assert narrow / rounds < 0.7


def test_one_agent_has_the_interval_over_shoppers():
    values = np.random.default_rng(1).exponential(size=50)
    assert crossed_mean(values, seed=4) == bootstrap_mean(values, seed=4)
    assert crossed_mean(values[None], seed=4) == bootstrap_mean(values, seed=4)


def test_the_mean_and_the_level_are_those_asked_for():
    table = crossed(np.random.default_rng(2), 10, 60, 1.0, 1.0, 1.0)
    wide, narrow = (crossed_mean(table, seed=0, level=level) for level in (0.95, 0.5))
    assert wide.mean == narrow.mean == pytest.approx(table.mean())
    assert wide.low < narrow.low < wide.mean < narrow.high < wide.high
    assert (wide.level, wide.users) == (0.95, 60)


def test_three_agents_by_hand():
    # Agents' means 1, 2, 3: V_r = 1 / 3. Shoppers' means 1, 2, 2, 3: V_c = (2 / 3) / 4 = 1 / 6.
    table = np.array([[0.0, 1, 1, 2], [1, 2, 2, 3], [2, 3, 3, 4]])
    found = crossed_mean(table, seed=0)
    freedom = 0.5**2 / ((1 / 3) ** 2 / 2 + (1 / 6) ** 2 / 3)  # 3.857
    half = stats.t.ppf(0.975, freedom) * np.sqrt(0.5)
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 - half, 2 + half))
    equal = crossed_mean(np.full((3, 4), 7.0), seed=0)
    assert equal[:3] == (7, 7, 7)


def test_the_same_luck_cancels_in_a_paired_difference():
    rng = np.random.default_rng(3)
    theirs = crossed(rng, 6, 80, 0.0, 5.0, 0.0)
    ours = theirs + 0.1 + 0.02 * rng.standard_normal((6, 80))
    gap = paired(ours, theirs, seed=0)
    assert gap.mean == pytest.approx(0.1, abs=0.01)
    assert gap.excludes_zero
    assert not crossed_mean(ours - theirs[:, ::-1], seed=0).excludes_zero  # not the same shoppers


def test_one_agent_is_compared_with_each_of_the_others():
    rng = np.random.default_rng(4)
    ours, theirs = rng.standard_normal((3, 20)), rng.standard_normal(20)
    assert paired(ours, theirs, seed=0) == crossed_mean(ours - theirs, seed=0)
    assert paired(theirs, ours, seed=0).mean == pytest.approx(-paired(ours, theirs, seed=0).mean)


def test_what_does_not_fit_is_refused():
    table = np.zeros((3, 8))
    with pytest.raises(ValueError, match=r"same shoppers are needed; got \(3, 8\) and \(3, 7\)"):
        paired(table, table[:, :7], seed=0)
    with pytest.raises(ValueError, match="3 agents cannot be compared with 2 one by one"):
        paired(table, table[:2], seed=0)
    with pytest.raises(ValueError, match=r"\[S, N\] or \[N\]; got the shape \(1, 3, 8\)"):
        crossed_mean(table[None], seed=0)
    table[1, 5] = np.nan
    with pytest.raises(ValueError, match="agent 1, shopper 5: nan"):
        crossed_mean(table, seed=0)
    with pytest.raises(ValueError, match="needs two shoppers or more; got 1"):
        crossed_mean(np.zeros((3, 1)), seed=0)
    with pytest.raises(ValueError, match=r"level must lie in \(0, 1\); got 1.0"):
        crossed_mean(np.zeros((3, 4)), seed=0, level=1.0)


def test_agents_are_stacked_in_their_order():
    first, second = (episodes(RandomPolicy(3), shop(6), shoppers=6, seed=n) for n in (0, 1))
    both = stacked([first, second])
    assert both.returns.shape == both.click_rate.shape == (2, 6)
    assert_same(Episodes(*(row[1] for row in both)), second)
    with pytest.raises(ValueError, match=r"same shoppers .* got \[\(4,\), \(6,\)\]"):
        stacked([first, episodes(RandomPolicy(3), shop(4), shoppers=4, seed=0)])
    with pytest.raises(ValueError, match=r"got \[\]"):
        stacked([])


def test_a_table_has_means_and_differences_of_the_figure_that_was_asked_for():
    rng = np.random.default_rng(5)
    pages = rng.integers(1, 9, 30).astype(float)
    base = Episodes(*(rng.poisson(2, 30).astype(float) for _ in range(4)), pages)
    better = stacked([base._replace(clicks=base.clicks + n * pages) for n in (1, 2, 3)])
    found = trial_table({"base": base, "better": better}, "base", seed=0, figure="click_rate")
    assert list(found.index) == ["base", "better"]
    assert found["agents"].tolist() == [1, 3]
    assert found.loc["base", "difference":].tolist() == [0, 0, 0]
    assert found.loc["better", "difference"] == pytest.approx(2.0)
    assert found.loc["base", "mean"] == pytest.approx(base.click_rate.mean())
    assert found.loc["better", "mean"] == pytest.approx(base.click_rate.mean() + 2)
    assert "cannot be told apart" in verdict(found, "better", "base")  # three agents: 1, 2 and 3
    same = trial_table({"base": base, "better": better}, "base", seed=0, figure="purchases")
    assert same.loc["better", "difference"] == 0
    for figure in FIGURES:
        assert trial_table({"base": base}, "base", seed=0, figure=figure).notna().all(axis=None)


def test_a_table_needs_the_incumbent_and_a_known_figure():
    base = Episodes(*np.ones((5, 3)))
    with pytest.raises(ValueError, match="'other' is not among the policies: base"):
        trial_table({"base": base}, "other", seed=0)
    with pytest.raises(ValueError, match=r"figure must be one of returns, .*; got 'profit'"):
        trial_table({"base": base}, "base", seed=0, figure="profit")
