import itertools

import numpy as np
import pytest
from scipy import stats

from companion.core.seeding import generator
from companion.envs.slates import (
    epsilon_greedy_propensity,
    epsilon_greedy_slate,
    plackett_luce,
    plackett_luce_propensity,
    top_k,
    uniform,
    uniform_propensity,
)

SCORES = np.array([[2.0, -0.5, 2.0, -1.0, 1.0], [0.0, 0.0, 0.0, 0.0, 3.0]])
MASK = np.array([[True, True, True, False, True], [True, True, False, True, True]])
WAYS = {
    "uniform": (
        lambda s, m, k, rng: uniform(m, k, rng),
        lambda s, m, items: uniform_propensity(m, items),
    ),
    "epsilon-greedy": (
        lambda s, m, k, rng: epsilon_greedy_slate(s, m, k, epsilon=0.3, rng=rng),
        lambda s, m, items: epsilon_greedy_propensity(s, m, items, epsilon=0.3),
    ),
    "Plackett-Luce": (
        lambda s, m, k, rng: plackett_luce(s, m, k, temperature=0.7, rng=rng),
        lambda s, m, items: plackett_luce_propensity(s, m, items, temperature=0.7),
    ),
}


def slates_of(row, k, items=5):
    """Every slate of the catalogue, allowed or not, with the row's scores and mask for each."""
    every = np.array(list(itertools.permutations(range(items), k)))
    repeat = (len(every), 1)
    return every, np.tile(SCORES[row], repeat), np.tile(MASK[row], repeat)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_probabilities_of_all_slates_sum_to_one(way, row, k):
    every, scores, mask = slates_of(row, k)
    chance = WAYS[way][1](scores, mask, every)
    allowed = np.take_along_axis(mask, every, axis=1)
    assert chance.prod(axis=1).sum() == pytest.approx(1.0, abs=1e-12)
    assert (chance[~allowed] == 0).all()
    assert (chance.prod(axis=1)[allowed.all(axis=1)] > 0).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", [0, 1])
def test_the_items_at_a_place_share_all_probability_given_those_above(way, row):
    every, scores, mask = slates_of(row, 3)
    chance = WAYS[way][1](scores, mask, every)
    for above in itertools.permutations(np.flatnonzero(MASK[row]), 2):
        here = (every[:, :2] == above).all(axis=1)
        assert here.sum() == 3
        assert chance[here, 2].sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("row", [0, 1])
def test_slates_are_drawn_as_often_as_their_propensities_say(way, row):
    draw, propensity = WAYS[way]
    every, scores, mask = slates_of(row, 3)
    expected = propensity(scores, mask, every).prod(axis=1)
    n = 40_000
    many = np.tile(SCORES[row], (n, 1)), np.tile(MASK[row], (n, 1))
    found = draw(*many, 3, generator(3, way))
    code = {tuple(slate): i for i, slate in enumerate(every.tolist())}
    counts = np.bincount([code[tuple(s)] for s in found.items.tolist()], minlength=len(every))
    possible = expected > 0
    assert counts[~possible].sum() == 0
    assert stats.chisquare(counts[possible], n * expected[possible]).pvalue > 1e-3


@pytest.mark.parametrize("way", WAYS)
def test_a_drawn_slate_carries_the_propensities_of_that_slate(way):
    draw, propensity = WAYS[way]
    rng = generator(0, "drawn")
    scores, mask = rng.integers(0, 4, (200, 12)).astype(float), rng.random((200, 12)) < 0.8
    mask[:, :5] = True
    found = draw(scores, mask, 5, rng)
    np.testing.assert_allclose(found.propensity, propensity(scores, mask, found.items), rtol=1e-12)
    assert np.take_along_axis(mask, found.items, axis=1).all()
    assert all(len(set(row)) == 5 for row in found.items.tolist())
    assert found.items.dtype == np.int64
    assert found.propensity.dtype == np.float64
    assert ((found.propensity > 0) & (found.propensity <= 1)).all()


def test_propensities_by_hand():
    """Row 0: items 0, 1, 2 and 4 may be shown; 0 and 2 are the best, then 4, then 1."""
    row = SCORES[:1], MASK[:1]
    assert uniform_propensity(MASK[:1], np.array([[2, 1, 0]]))[0] == pytest.approx(
        [1 / 4, 1 / 3, 1 / 2]
    )
    greedy = epsilon_greedy_propensity(*row, np.array([[2, 1, 0]]), epsilon=0.2)[0]
    assert greedy == pytest.approx([0.05 + 0.4, 0.2 / 3, 0.1 + 0.8])
    soft = plackett_luce_propensity(*row, np.array([[2, 1, 0]]), temperature=2.0)[0]
    w = np.exp([1.0, -0.25, 1.0, 0.5])  # of 0, 1, 2, 4
    first, second, third = w[2] / w.sum(), w[1] / (w.sum() - w[2]), w[0] / (w[0] + w[3])
    assert soft == pytest.approx([first, second, third])


def test_an_item_that_may_not_be_shown_takes_no_one_s_place():
    """After an impossible item the rest of the slate is as if it had not stood there."""
    slate = np.array([[3, 2, 1]])
    assert uniform_propensity(MASK[:1], slate)[0] == pytest.approx([0, 1 / 4, 1 / 3])
    found = epsilon_greedy_propensity(SCORES[:1], MASK[:1], slate, epsilon=0.2)[0]
    assert found == pytest.approx([0, 0.45, 0.2 / 3])
    found = plackett_luce_propensity(SCORES[:1], MASK[:1], slate, temperature=1.0)[0]
    w = np.exp([2.0, -0.5, 2.0, 1.0])
    assert found == pytest.approx([0, w[2] / w.sum(), w[1] / (w.sum() - w[2])])


@pytest.mark.parametrize("k", [1, 3, 40])
def test_the_best_items_stand_first_and_equals_in_the_order_of_the_catalogue(k):
    rng = generator(1, "scores")
    scores = rng.integers(0, 6, (50, 60)).astype(float)
    mask = rng.random((50, 60)) < 0.9
    mask[:, :40] = True
    before = scores.copy(), mask.copy()
    found = top_k(scores, mask, k)
    for row in range(50):
        allowed = [item for item in range(60) if mask[row, item]]
        best = sorted(allowed, key=lambda item: (-scores[row, item], item))[:k]
        assert found.items[row].tolist() == best
    assert (found.propensity == 1).all()
    np.testing.assert_array_equal(scores, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_one_row_of_scores_serves_all_shoppers():
    scores, mask = np.array([3.0, 1.0, 2.0]), np.array([[1, 1, 1], [0, 1, 1]], bool)
    assert top_k(scores, mask, 2).items.tolist() == [[0, 2], [2, 1]]
    slate = np.array([[0, 2], [2, 1]])
    chance = plackett_luce_propensity(scores, mask, slate, temperature=1.0)
    np.testing.assert_allclose(
        chance, plackett_luce_propensity(np.tile(scores, (2, 1)), mask, slate, temperature=1.0)
    )


def test_without_exploration_epsilon_greedy_shows_the_best_and_shares_ties():
    scores = np.array([[5.0, 4.0, 4.0, 4.0, 0.0]])
    many, mask = np.repeat(scores, 3_000, axis=0), np.ones((3_000, 5), bool)
    found = epsilon_greedy_slate(many, mask, 3, epsilon=0.0, rng=generator(0, "ties"))
    assert (found.items[:, 0] == 0).all()
    np.testing.assert_allclose(found.propensity, np.tile([1, 1 / 3, 1 / 2], (3_000, 1)))
    seconds = np.bincount(found.items[:, 1], minlength=5)
    assert seconds[[0, 4]].sum() == 0
    assert stats.chisquare(seconds[1:4]).pvalue > 1e-3


def test_with_epsilon_one_every_order_has_the_same_chance():
    every, scores, mask = slates_of(0, 3)
    chance = epsilon_greedy_propensity(scores, mask, every, epsilon=1.0)
    np.testing.assert_allclose(chance, uniform_propensity(mask, every))


def test_plackett_luce_keeps_its_precision_where_one_item_has_nearly_all_weight():
    """exp(-1200) is 0 in floating point; the second place must not become 0 / 0."""
    scores, mask = np.array([[1200.0, 0.0, -1.0, -2.0]]), np.ones((1, 4), bool)
    chance = plackett_luce_propensity(scores, mask, np.array([[0, 2, 1]]), temperature=1.0)[0]
    w = np.exp([0.0, -1.0, -2.0])
    assert chance == pytest.approx([1.0, w[1] / w.sum(), w[0] / (w[0] + w[2])], rel=1e-12)
    small = plackett_luce_propensity(scores - 5e5, mask, np.array([[0, 2, 1]]), temperature=1.0)[0]
    assert small == pytest.approx(chance, rel=1e-9)
    found = plackett_luce(np.tile(scores, (500, 1)), np.ones((500, 4), bool), 4, temperature=1.0,
                          rng=generator(0, "peak"))  # fmt: skip
    assert (found.items[:, 0] == 0).all()
    assert np.isfinite(found.propensity).all()
    assert len(np.unique(found.items, axis=0)) == 6


def test_a_low_temperature_shows_the_best_and_a_high_one_anything():
    rng, scores = generator(0, "heat"), np.tile([0.0, 2.0, 1.0, 3.0], (400, 1))
    mask = np.ones(scores.shape, bool)
    cold = plackett_luce(scores, mask, 2, temperature=0.01, rng=rng)
    assert (cold.items == [3, 1]).all()
    assert cold.propensity.min() > 0.999
    hot = plackett_luce(scores, mask, 1, temperature=1e6, rng=rng)
    assert hot.propensity == pytest.approx(0.25, abs=1e-5)


def test_few_allowed_items_are_drawn_evenly_too():
    """3 of 2,000 items are free: drawing blindly would miss them."""
    mask = np.zeros((6_000, 2_000), bool)
    mask[:, [5, 700, 1_999]] = True
    found = uniform(mask, 2, generator(2, "few"))
    assert set(np.unique(found.items)) == {5, 700, 1_999}
    np.testing.assert_allclose(found.propensity, np.tile([1 / 3, 1 / 2], (6_000, 1)))
    orders = np.unique(found.items, axis=0, return_counts=True)[1]
    assert len(orders) == 6
    assert stats.chisquare(orders).pvalue > 1e-3


@pytest.mark.parametrize("way", WAYS)
def test_the_same_seed_draws_the_same_slates(way):
    draw = WAYS[way][0]
    scores, mask = np.zeros((30, 9)), np.ones((30, 9), bool)
    one, two, other = (draw(scores, mask, 4, generator(seed, "again")) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.items, two.items)
    assert (one.items != other.items).any()


def test_a_shopper_with_too_few_items_is_named():
    mask = np.ones((4, 5), bool)
    mask[2, 1:] = False
    says = "shopper 2: 1 items may be shown; the slate has 2 places"
    rng = generator(0, "few")
    for draw in (
        lambda: uniform(mask, 2, rng),
        lambda: top_k(np.zeros(5), mask, 2),
        lambda: epsilon_greedy_slate(np.zeros(5), mask, 2, epsilon=0.5, rng=rng),
        lambda: plackett_luce(np.zeros(5), mask, 2, temperature=1.0, rng=rng),
        lambda: uniform_propensity(mask, np.tile([0, 1], (4, 1))),
        lambda: top_k(np.where(mask, 1.0, -np.inf), np.ones((4, 5), bool), 2),
    ):
        with pytest.raises(ValueError, match=says):
            draw()


@pytest.mark.parametrize("k", [0, 6])
def test_a_slate_that_is_longer_than_the_catalogue_is_refused(k):
    with pytest.raises(ValueError, match=f"from 1 to 5 places, one an item; got {k}"):
        top_k(SCORES, MASK, k)
    with pytest.raises(ValueError, match=f"from 1 to 5 places, one an item; got {k}"):
        uniform(MASK, k, generator(0, "long"))


def test_bad_numbers_are_named():
    rng, fine = generator(0, "bad"), np.ones((2, 3), bool)
    nan = np.array([[0.0, 1.0, 2.0], [0.0, np.nan, 2.0]])
    for draw in (top_k, lambda *a: epsilon_greedy_slate(*a, epsilon=0.1, rng=rng)):
        with pytest.raises(ValueError, match="shopper 1: a score is NaN"):
            draw(nan, fine, 1)
    with pytest.raises(ValueError, match="shopper 0: a score divided by the temperature is inf"):
        plackett_luce(np.array([[np.inf, 0, 0]] * 2), fine, 1, temperature=1.0, rng=rng)
    with pytest.raises(ValueError, match=r"epsilon must be from 0 to 1; got 1\.5"):
        epsilon_greedy_slate(np.zeros(3), fine, 1, epsilon=1.5, rng=rng)
    with pytest.raises(ValueError, match="temperature must be above 0; got 0"):
        plackett_luce(np.zeros(3), fine, 1, temperature=0.0, rng=rng)
    with pytest.raises(ValueError, match=r"scores must have the shape \(2, 3\)"):
        top_k(np.zeros(4), fine, 1)
    with pytest.raises(ValueError, match=r"mask must be \[N, I\] true or false; got int64"):
        top_k(np.zeros(3), fine.astype(int), 1)


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ([[0, 1], [2, 2]], "shopper 1: an item stands twice"),
        ([[0, 3], [0, 1]], "shopper 0: items must be from 0 to 2"),
        ([[0, -1], [0, 1]], "shopper 0: items must be from 0 to 2"),
        ([[0.0, 1.0], [0, 1]], r"items must be \[2, K\] whole numbers; got float64"),
        ([[0, 1]], r"items must be \[2, K\] whole numbers"),
    ],
)
def test_what_is_no_slate_has_no_propensity(items, says):
    mask, items = np.ones((2, 3), bool), np.array(items)
    for ask in (
        lambda: uniform_propensity(mask, items),
        lambda: epsilon_greedy_propensity(np.zeros(3), mask, items, epsilon=0.1),
        lambda: plackett_luce_propensity(np.zeros(3), mask, items, temperature=1.0),
    ):
        with pytest.raises(ValueError, match=says):
            ask()


def test_the_best_of_a_nan_that_may_not_be_shown_is_no_matter():
    scores = np.array([[np.nan, 1.0, 2.0]])
    assert top_k(scores, np.array([[False, True, True]]), 2).items.tolist() == [[2, 1]]


def test_scores_of_a_network_in_32_bits_give_propensities_in_64():
    scores = np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32)
    mask = np.ones((3, 5), bool)
    given = plackett_luce(scores, mask, 5, temperature=1.0, rng=np.random.default_rng(1))
    exact = plackett_luce_propensity(scores.astype(np.float64), mask, given.items, temperature=1.0)
    assert (given.propensity == exact).all()
    assert (given.propensity[:, -1] == 1).all()
