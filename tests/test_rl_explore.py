import numpy as np
import pytest

from companion.rl.explore import (
    epsilon_greedy,
    epsilon_greedy_batch,
    epsilon_greedy_probabilities,
    epsilon_greedy_value,
    highest,
    softmax,
    softmax_probabilities,
    ucb,
)
from companion.rl.schedules import Exponential, Linear, constant, linear_fraction
from companion.rl.tab_compile import compiled

INF = np.inf
ROWS = [
    [0.0, 0.0, 0.0, 0.0],
    [1.0, 3.0, 2.0, 3.0],
    [-INF, -5.0, -7.0, -5.0],
    [-INF, -INF, 2.0, 1.0],
    [5.0, -INF, -INF, -INF],
]


class Counting:
    """A generator that counts its draws."""

    def __init__(self, *draws):
        self.draws = list(draws)

    def random(self):
        return self.draws.pop(0)


def frequencies(choose, number=20_000):
    rng = np.random.default_rng(5)
    return np.bincount([choose(rng) for _ in range(number)], minlength=4) / number


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("epsilon", [0.0, 0.1, 0.6, 1.0])
def test_epsilon_greedy_is_as_frequent_as_its_probabilities(row, epsilon):
    row = np.array(row)
    expected = epsilon_greedy_probabilities(row, epsilon)
    found = frequencies(lambda rng: epsilon_greedy(row, epsilon, rng))
    assert expected.sum() == pytest.approx(1.0)
    assert (found[expected == 0] == 0).all()
    used = expected > 0
    chi = 20_000 * ((found[used] - expected[used]) ** 2 / expected[used]).sum()
    assert chi < 25  # at most three degrees of freedom: p < 2e-5


def test_probabilities_by_hand():
    assert epsilon_greedy_probabilities(np.array(ROWS[1]), 0.2).tolist() == pytest.approx(
        [0.05, 0.45, 0.05, 0.45]
    )
    assert epsilon_greedy_probabilities(np.array(ROWS[3]), 0.2).tolist() == pytest.approx(
        [0, 0, 0.9, 0.1]
    )
    assert epsilon_greedy_value(np.array(ROWS[3]), 0.2) == pytest.approx(1.9)
    assert epsilon_greedy_value(np.array(ROWS[1]), 0.5) == pytest.approx(0.5 * 2.25 + 1.5)
    assert highest(np.array(ROWS[2])) == -5.0


def test_one_draw_decides_all_and_a_low_draw_explores():
    row = np.array([1.0, 3.0, 2.0, 3.0])
    rng = Counting(0.0, 0.0999, 0.1, 0.549, 0.551, 0.9999999)
    assert [epsilon_greedy(row, 0.1, rng) for _ in range(6)] == [0, 3, 1, 1, 3, 3]
    assert rng.draws == []


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_many_rows_at_once_are_the_same_as_row_by_row_and_as_compiled(epsilon):
    q = np.array(ROWS * 40)
    rng = np.random.default_rng(3)
    single = [epsilon_greedy(row, epsilon, rng) for row in q]
    assert epsilon_greedy_batch(q, epsilon, np.random.default_rng(3)).tolist() == single
    fast, rng = compiled(epsilon_greedy), np.random.default_rng(3)
    assert [fast(row, epsilon, rng) for row in q] == single


def test_a_batch_takes_an_epsilon_per_row_and_a_mask():
    q = np.tile(np.float32([[3, 2, 1]]), (4_000, 1))
    mask = np.ones(q.shape, bool)
    mask[:2_000, 0] = False
    epsilon = np.repeat([0.0, 1.0], 2_000)
    actions = epsilon_greedy_batch(q, epsilon, np.random.default_rng(0), mask)
    assert actions.dtype == np.int64
    assert set(actions[:2_000]) == {1}
    assert np.bincount(actions[2_000:]) == pytest.approx([667, 667, 667], abs=90)
    explored = epsilon_greedy_batch(q, 1.0, np.random.default_rng(0), mask)
    assert set(explored[:2_000]) == {1, 2}


def test_batches_that_cannot_be_decided_are_named():
    rng, q = np.random.default_rng(0), np.zeros((3, 2))
    mask = np.array([[True, True], [True, True], [False, False]])
    with pytest.raises(ValueError, match="row 2: no action is allowed"):
        epsilon_greedy_batch(q, 0.1, rng, mask)
    q[1, 0] = np.nan
    with pytest.raises(ValueError, match="row 1: a value is NaN"):
        epsilon_greedy_batch(q, 0.1, rng)
    with pytest.raises(ValueError, match=r"epsilon must be from 0 to 1; got 1\.5"):
        epsilon_greedy_batch(np.zeros((2, 2)), np.array([0.5, 1.5]), rng)
    with pytest.raises(ValueError, match="mask must have the shape"):
        epsilon_greedy_batch(np.zeros((2, 2)), 0.5, rng, np.ones(2, bool))


@pytest.mark.parametrize(
    ("row", "epsilon"), [([0.0, 1.0], 1.01), ([0.0, 1.0], -0.1), ([-INF, -INF], 0.1)]
)
def test_a_single_choice_refuses_what_it_cannot_do(row, epsilon):
    with pytest.raises(ValueError, match="epsilon must be from 0 to 1"):
        epsilon_greedy(np.array(row), epsilon, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"epsilon|no action"):
        epsilon_greedy_probabilities(np.array(row), epsilon)


def test_softmax_by_hand_and_as_frequent_as_said():
    row = np.array([0.0, np.log(2.0), -INF, np.log(5.0)])
    assert softmax_probabilities(row, 1.0) == pytest.approx([0.125, 0.25, 0, 0.625])
    assert softmax_probabilities(1_000 * row, 1.0) == pytest.approx([0, 0, 0, 1])
    found = frequencies(lambda rng: softmax(row, 1.0, rng))
    assert found == pytest.approx([0.125, 0.25, 0, 0.625], abs=0.015)
    assert found[2] == 0
    with pytest.raises(ValueError, match="temperature must be above 0; got 0"):
        softmax(row, 0, np.random.default_rng(0))


def test_upper_confidence_bounds_by_hand():
    rng = np.random.default_rng(0)
    row = np.array([1.0, 0.5, 0.9, -INF])
    tried = [ucb(row, np.array([9, 0, 0, 0]), 9, c=2.0, rng=rng) for _ in range(100)]
    assert set(tried) == {1, 2}  # the untried first, at random, but never the one not allowed
    counts = np.array([50, 4, 46, 0])
    assert ucb(row, counts, 100, c=2.0, rng=rng) == 1  # 0.5 + 2 sqrt(ln 100 / 4) = 2.65
    assert ucb(row, counts, 100, c=0.0, rng=rng) == 0
    # 1 + c sqrt(ln 100 / 50) against 0.5 + c sqrt(ln 100 / 4): equal at c = 0.6499
    assert ucb(row, counts, 100, c=0.64, rng=rng) == 0
    assert ucb(row, counts, 100, c=0.66, rng=rng) == 1
    # 0 + 2 sqrt(ln 5 / 1) = 2.54 against 1 + 2 sqrt(ln 5 / 4) = 2.27
    assert ucb(np.array([0.0, 1.0]), np.array([1, 4]), 5, c=2.0, rng=rng) == 0
    with pytest.raises(ValueError, match="t must be 1 or more; got 0"):
        ucb(row, counts, 0, c=1.0, rng=rng)
    with pytest.raises(ValueError, match="c = -1"):
        ucb(row, counts, 1, c=-1, rng=rng)


def test_schedules_by_hand():
    line = Linear(1.0, 0.2, 4)
    assert [line(step) for step in range(6)] == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.2])
    falling = Exponential(1.0, 0.1, 0.5)
    assert [falling(step) for step in range(5)] == [1.0, 0.5, 0.25, 0.125, 0.1]
    assert constant(0.3)(10**9) == 0.3
    assert linear_fraction(1.0, 0.0, 0.29, 100)(29) == 0.0
    assert linear_fraction(1.0, 0.0, 0.29, 100)(28) > 0.0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Linear(1, 0, 0), "steps must be 1 or more; got 0"),
        (lambda: Exponential(1, 0, 0.0), "decay"),
        (lambda: Exponential(1, 2, 0.5), "start must not be below end"),
        (lambda: linear_fraction(1, 0, 1.2, 10), r"fraction must be from 0 to 1; got 1\.2"),
        (lambda: linear_fraction(1, 0, 0.2, 0), "total must be 1 or more; got 0"),
    ],
)
def test_schedules_that_make_no_sense(make, says):
    with pytest.raises(ValueError, match=says):
        make()
