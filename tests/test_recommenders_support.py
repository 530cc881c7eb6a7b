"""What a log says about another policy's click rate, and when a simulated one is not believed."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_shop import PLAIN, tiny_world

from companion.envs.calibration import targets
from companion.envs.calibration_log import Later
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy
from companion.envs.shop import ShopVectorEnv
from companion.metrics.uplift import Interval
from companion.recommenders.matched_log import (
    Matched,
    click_rate,
    effective_size,
    match,
    shown,
)
from companion.recommenders.shop_policies import ExploringPolicy, popularity_policy
from companion.recommenders.support import (
    BEYOND,
    FEW,
    LEADS,
    SUPPORTED,
    Support,
    published_range,
    support,
    support_table,
    verdict_of,
)

ITEMS, K = 12, 3
LIKES = replace(PLAIN, no_click=1.5, popularity=2.0)  # clicks depend on the item alone
WORLD = tiny_world()
BEST = popularity_policy(WORLD, Choice(K))


def shop(copies=200, shopper=LIKES, **more):
    return ShopVectorEnv(copies, WORLD, shopper=shopper, **{"slate_size": K, "horizon": 5, **more})


def pages(weight, click, shopper):
    return Matched(np.array(weight, float), np.array(click, bool), np.array(shopper))


def interval(low, high):
    return Interval((low + high) / 2, low, high, 0.95, 100)


def found(simulated=(0.030, 0.032), logged=(0.028, 0.034), published=(0.02, 0.05), effective=5e3):
    return Support(
        interval(*simulated), interval(*logged), effective, 6_000, 90_000, published, 1_000
    )


# --- reading a log -------------------------------------------------------------------------------


def test_an_impression_counts_where_the_policy_would_have_made_it():
    log = match(shop(), RandomPolicy(K), BEST, steps=50, seed=0)
    assert log.weight.shape == log.click.shape == (200 * 50, K)
    for place in range(K):  # 1 of the 12, 11, 10 that are left
        weights = log.weight[:, place]
        left = ITEMS - place
        np.testing.assert_allclose(weights[weights > 0], left)
        share = 1 / ITEMS  # the place's item is any of the 12 alike
        assert np.mean(weights > 0) == pytest.approx(share, abs=4 * np.sqrt(share / 10_000))


def test_a_log_of_the_policy_itself_matches_everywhere():
    log = match(shop(), BEST, BEST, steps=4, seed=0)
    assert (log.weight == 1).all()
    own = shown(shop(), BEST, steps=4, seed=0)
    assert (own.weight == 1).all()
    np.testing.assert_array_equal(log.click, own.click)
    assert click_rate(log, seed=0) == click_rate(own, seed=0)


def test_every_episode_is_a_shopper_of_its_own():
    log = shown(shop(7), BEST, steps=10, seed=0)
    numbers, count = np.unique(log.shopper, return_counts=True)
    assert numbers.tolist() == list(range(14))
    assert (count == 5).all()
    first = log.shopper.reshape(10, 7)
    np.testing.assert_array_equal(first[:5], np.tile(np.arange(7), (5, 1)))
    np.testing.assert_array_equal(first[5:], np.tile(np.arange(7, 14), (5, 1)))


@pytest.mark.parametrize("behaviour", ["random", "explores"])
def test_the_log_tells_the_click_rate_of_a_policy_that_did_not_write_it(behaviour):
    """All items of a page compete here, so that reading each place on its own is wrong."""
    worst = ScorePolicy("worst", lambda obs, info: -WORLD.popularity, Choice(K))
    writer = RandomPolicy(K) if behaviour == "random" else ExploringPolicy(worst, 0.7)
    truth = click_rate(shown(shop(), BEST, steps=500, seed=1), seed=0)
    log = match(shop(), writer, BEST, steps=1_000, seed=2)
    estimate = click_rate(log, seed=0, level=0.999)
    assert estimate.low < truth.mean < estimate.high
    assert estimate.high - estimate.low < 0.2 * truth.mean
    alone = click_rate(log, seed=0, assumption="independent", level=0.999)
    assert alone.low > 1.05 * truth.mean


@pytest.mark.parametrize("wished", [(0, 5, 11), (11, 5, 0)])
def test_places_whose_items_differ_are_read_one_by_one(wished):
    """Sums over all places together say .186 for .211 of such a page."""
    scores = np.zeros(ITEMS)
    scores[np.argsort(-WORLD.popularity)[list(wished)]] = 3, 2, 1
    fixed = ScorePolicy("fixed", lambda obs, info: scores, Choice(K))
    for writer, steps in ((RandomPolicy(K), 2_000), (ExploringPolicy(BEST, 0.5), 1_000)):
        truth = click_rate(shown(shop(), fixed, steps=500, seed=1), seed=0)
        estimate = click_rate(
            match(shop(), writer, fixed, steps=steps, seed=2), seed=0, level=0.999
        )
        assert estimate.low < truth.mean < estimate.high
        assert estimate.high - estimate.low < 0.25 * truth.mean


def test_a_policy_that_draws_is_read_as_well():
    drawn = ScorePolicy("drawn", lambda obs, info: 8 * WORLD.popularity, Choice(K, temperature=0.5))
    truth = click_rate(shown(shop(), drawn, steps=500, seed=1), seed=0)
    log = match(shop(), RandomPolicy(K), drawn, steps=1_000, seed=2)
    estimate = click_rate(log, seed=0, level=0.999)
    assert estimate.low < truth.mean < estimate.high
    best = click_rate(shown(shop(), BEST, steps=500, seed=1), seed=0)
    assert not estimate.low < best.mean < estimate.high


def test_one_item_at_a_time_needs_no_assumption():
    best = popularity_policy(WORLD, Choice(1))
    truth = click_rate(shown(shop(slate_size=1), best, steps=500, seed=1), seed=0)
    log = match(shop(slate_size=1), RandomPolicy(1), best, steps=500, seed=2)
    one, other = (click_rate(log, seed=0, assumption=name) for name in ("choice", "independent"))
    assert one == pytest.approx(other)
    weighted = (log.weight * log.click).sum() / log.weight.sum()
    assert one.mean == pytest.approx(weighted)
    assert one.low < truth.mean < one.high


def test_pages_of_another_length_are_refused():
    with pytest.raises(ValueError, match="'popularity' have 3 places; the log's have 2"):
        match(shop(slate_size=2), RandomPolicy(2), BEST, steps=3, seed=0)


# --- the estimate --------------------------------------------------------------------------------


def test_the_estimates_by_hand():
    """Four pages of two places: odds of 7 / 1 and 0 / 4; shares of 7 / 8 and 0 / 5."""
    log = pages(
        [[5, 0], [2, 1], [0, 4], [1, 0]], [[1, 0], [1, 0], [0, 0], [0, 0]], shopper=[0, 1, 2, 2]
    )
    choice, alone = (click_rate(log, seed=0, assumption=each) for each in ("choice", "independent"))
    assert choice.mean == pytest.approx(7 / 8 / 2)
    assert alone.mean == pytest.approx((7 / 8 + 0 / 5) / 2)
    assert choice.users == 3


def test_a_plain_rate_is_plain_under_both():
    log = pages(np.ones((4, 2)), [[1, 0], [0, 0], [0, 1], [0, 0]], [0, 1, 2, 3])
    for assumption in ("choice", "independent"):
        assert click_rate(log, seed=0, assumption=assumption).mean == pytest.approx(2 / 8)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    """200 logs of 300 shoppers with 1 to 9 pages each and a liking of their own: 95 % +- 4 se.

    The true rate is that of a log of 400,000 shoppers.
    """

    def one(seed, shoppers):
        rng = np.random.default_rng(seed)
        count = rng.integers(1, 10, shoppers)
        shopper = np.repeat(np.arange(shoppers), count)
        size = len(shopper)
        odds = np.repeat(rng.gamma(2, 0.1, shoppers), count)
        click = np.zeros((size, 2), bool)
        click[np.arange(size), rng.integers(2, size=size)] = rng.random(size) < odds / (1 + odds)
        weight = np.where(rng.random((size, 2)) < 0.4, rng.choice([1.0, 3.0], (size, 2)), 0.0)
        return Matched(weight, click, shopper)

    weight, click, _ = one(10**6, 400_000)
    top, none = (weight * click).sum(axis=0), weight[~click.any(axis=1)].sum(axis=0)
    odds = (top / none).sum()
    truths = {"choice": odds / (1 + odds) / 2, "independent": (top / weight.sum(axis=0)).mean()}
    for assumption, truth in truths.items():
        inside = []
        for seed in range(200):
            each = click_rate(one(seed, 300), seed=seed, assumption=assumption)
            inside.append(each.low < truth < each.high)
        assert np.mean(inside) == pytest.approx(0.945, abs=4 * np.sqrt(0.05 * 0.95 / 200))


def test_many_shoppers_are_drawn_in_blocks_with_the_same_interval():
    """20,000 shoppers of one page: the standard error of a share is known."""
    rng = np.random.default_rng(0)
    click = rng.random((20_000, 1)) < 0.3
    each = click_rate(pages(np.ones((20_000, 1)), click, np.arange(20_000)), seed=0)
    error = np.sqrt(0.3 * 0.7 / 20_000)
    assert each.mean == pytest.approx(click.mean())
    assert each.high - each.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert each.users == 20_000


def test_a_log_without_a_match_tells_nothing():
    log = pages(np.zeros((3, 2)), np.zeros((3, 2)), [0, 1, 2])
    assert np.isnan(click_rate(log, seed=0)[:3]).all()
    assert effective_size(log.weight) == 0


def test_effective_size_by_hand():
    assert effective_size(np.array([[7.0, 0], [7, 7]])) == pytest.approx(3)
    assert effective_size(np.array([3.0, 1.0])) == pytest.approx(16 / 10)


def test_an_estimate_refuses_what_cannot_be():
    log = pages(np.ones((3, 2)), [[0, 0], [1, 1], [0, 0]], [0, 1, 2])
    with pytest.raises(ValueError, match="page 1 has 2 clicks; 'choice' allows one at most"):
        click_rate(log, seed=0)
    assert click_rate(log, seed=0, assumption="independent").mean == pytest.approx(2 / 6)
    with pytest.raises(ValueError, match="assumption must be one of choice, independent; got 'x'"):
        click_rate(log, seed=0, assumption="x")
    with pytest.raises(ValueError, match="two users or more; got 1"):
        click_rate(pages([[1]] * 3, [[1], [0], [0]], [4, 4, 4]), seed=0)


# --- the verdict ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("each", "verdict"),
    [
        (found(), SUPPORTED),
        (found(simulated=(0.034, 0.036)), SUPPORTED),  # the ends meet
        (found(simulated=(0.0341, 0.036)), BEYOND),
        (found(simulated=(0.010, 0.011)), SUPPORTED),  # worse than the log says: no exploit
        (found(simulated=(0.0341, 0.036), effective=999), FEW),
        (found(simulated=(0.0341, 0.036), effective=1_000), BEYOND),
        (found(simulated=(0.051, 0.053), logged=(0.04, 0.06)), BEYOND),
        (found(simulated=(0.051, 0.053), logged=(0.04, 0.06), published=None), SUPPORTED),
        (found(simulated=(0.051, 0.053), effective=3), BEYOND),
        (found(simulated=(0.049, 0.053), effective=3), FEW),
        (found(logged=(np.nan, np.nan), effective=0), FEW),
    ],
)
def test_the_verdict(each, verdict):
    assert each.verdict == verdict
    assert str(each).startswith(verdict)


def test_a_policy_that_leads_its_shoppers_is_told_from_one_that_is_too_good_on_a_page():
    beyond, fine = found(simulated=(0.0341, 0.036)), found()
    unheard = found(simulated=(0.051, 0.053), logged=(0.04, 0.06))
    assert verdict_of(beyond, fine) == LEADS
    assert verdict_of(beyond, beyond) == BEYOND
    assert verdict_of(beyond, found(effective=3)) == BEYOND
    assert verdict_of(unheard, fine) == BEYOND
    assert verdict_of(fine, beyond) == SUPPORTED
    assert verdict_of(found(effective=3), fine) == FEW


def test_the_sentence_has_the_numbers():
    text = str(found())
    for part in ("0.0310 [0.0300, 0.0320] simulated", "0.0310 [0.0280, 0.0340] by the log"):
        assert part in text
    assert "6,000 of 90,000 impressions match, worth 5,000" in text
    assert "0.0200 to 0.0500 published" in text
    assert "none published" in str(found(published=None))


def test_an_honest_policy_is_supported_and_a_rosy_simulator_is_found():
    """The same policy, log and shop, but in one simulator shoppers like popular things more."""
    log = match(shop(), RandomPolicy(K), BEST, steps=500, seed=0)
    honest = shown(shop(), BEST, steps=200, seed=1)
    rosy = shown(shop(shopper=replace(LIKES, popularity=2.5)), BEST, steps=200, seed=1)
    whole = {
        name: support(each, log, (0.0, 0.3), seed=0)
        for name, each in (("honest", honest), ("rosy", rosy))
    }
    assert whole["honest"].verdict == SUPPORTED
    assert whole["rosy"].verdict == BEYOND
    assert whole["honest"].matched == np.count_nonzero(log.weight)
    assert whole["honest"].impressions == 200 * 500 * K
    assert whole["honest"].effective == pytest.approx(whole["honest"].matched, rel=0.02)
    assert support(rosy, log, (0.0, 0.3), seed=0, enough=1e6).verdict == FEW
    assert support(honest, log, (0.0, 0.01), seed=0).verdict == BEYOND
    narrow = support(honest, log, None, seed=0, level=0.5)
    assert narrow.logged.high < whole["honest"].logged.high

    table = support_table(whole, {"honest": whole["honest"], "rosy": whole["honest"]})
    assert table["verdict"].to_dict() == {"honest": SUPPORTED, "rosy": LEADS}
    assert table.loc["rosy", ["simulated", "low", "high"]].tolist() == list(
        whole["rosy"].simulated[:3]
    )
    assert table.loc["rosy", "log high"] == whole["rosy"].logged.high
    assert table.loc["rosy", "published high"] == 0.3
    assert support_table(whole)["verdict"].to_dict() == {"honest": SUPPORTED, "rosy": BEYOND}
    with pytest.raises(ValueError, match="'rosy' is missing on first pages"):
        support_table(whole, {"honest": whole["honest"]})


def test_a_policy_that_spares_its_shoppers_beats_the_log_only_by_leading_them():
    """Fatigue by page: whoever sees the first page alone gets what the log says of first pages."""
    tired = replace(LIKES, fatigue=1.5)
    log = match(shop(shopper=tired), RandomPolicy(K), BEST, steps=1_000, seed=0)
    fresh = shown(shop(shopper=tired, horizon=1), BEST, steps=300, seed=1)
    once = match(shop(shopper=tired, horizon=1), RandomPolicy(K), BEST, steps=1_000, seed=2)
    whole = support(fresh, log, None, seed=0)
    first = support(fresh, once, None, seed=0)
    assert (whole.verdict, first.verdict) == (BEYOND, SUPPORTED)
    assert verdict_of(whole, first) == LEADS


def test_the_published_range_is_that_of_the_targets():
    later = Later(0, 0.5, 0.5, 0.5, 0.5, (1.0, 2.0, 3.0))
    low, high = published_range(targets("retailrocket", later, "x"))
    assert (low, high) == (0.02, pytest.approx(0.052))  # Virtual-Taobao: 2.0 to 5.2 %
    low, high = published_range(targets("open bandit", later, "x"))
    assert (low, high) == (0.0035, pytest.approx(0.0051 * 2.6))
    with pytest.raises(ValueError, match="must hold a click rate and an uplift"):
        published_range(targets("taobao", later, "x")[:1])


def test_support_refuses_what_cannot_be():
    two = pages(np.ones((3, 2)), np.zeros((3, 2)), [0, 1, 2])
    one = pages(np.ones((3, 1)), np.zeros((3, 1)), [0, 1, 2])
    with pytest.raises(ValueError, match=r"published must be a range from 0; got \(0.3, 0.1\)"):
        support(two, two, (0.3, 0.1), seed=0)
    with pytest.raises(ValueError, match="enough must be above 0; got 0"):
        support(two, two, None, seed=0, enough=0)
    with pytest.raises(ValueError, match="the same number of places; got 2 and 1"):
        support(two, one, None, seed=0)
