"""Prioritised replay: who is drawn how often, and what the weights take back."""

import numpy as np
import pytest
from test_rl_replay import A, D, filled, numbered, stored

from companion.core.seeding import generator
from companion.rl.prioritized import PrioritizedReplay, SumTree


def replay_of(priorities, capacity=None, beta=1.0):
    """A replay with these priorities, alpha 1."""
    replay = PrioritizedReplay(capacity or len(priorities), D, A, alpha=1.0, epsilon=1e-12)
    replay.add(numbered(*range(len(priorities))))
    replay.update(np.arange(len(priorities)), np.array(priorities, np.float64))
    replay.beta = beta
    return replay


# --- the tree of sums ----------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [1, 2, 3, 5, 8, 100])
def test_the_tree_finds_what_a_running_sum_finds(capacity):
    rng, tree = np.random.default_rng(capacity), SumTree(capacity)
    for _ in range(20):
        rows = rng.integers(capacity, size=7)
        tree[rows] = rng.integers(1, 9, 7).astype(float)
    values = tree[:capacity]
    assert tree.total == values.sum()
    sums = np.arange(0, tree.total, 0.5)
    expected = np.searchsorted(np.cumsum(values), sums, side="right")
    assert tree.find(sums).tolist() == expected.tolist()
    tree.clear()
    assert tree.total == 0


def test_a_million_small_priorities_are_added_up_and_found():
    """float32 in sequence gives 105,891.84 (RL-21)."""
    count = 2**20
    tree = SumTree(count)
    tree[np.arange(count)] = np.full(count, np.float32(0.1))
    assert tree.total == pytest.approx(104_857.6, rel=1e-6)
    for _ in range(3):  # a little at a time gives no drift either
        tree[np.arange(0, count, 3)] = 0.7
        tree[np.arange(0, count, 3)] = 0.1
    assert tree.total == pytest.approx(104_857.6, rel=1e-6)
    big = SumTree(2)
    big[np.array([0])] = 2.0**24
    big[np.array([1])] = 1.0
    assert big.total == 2**24 + 1


@pytest.mark.parametrize("capacity", [2**20, 700_000])
def test_no_draw_lands_outside_the_filled_part(capacity):
    tree, filled_part = SumTree(capacity), capacity - 12_345
    tree[np.arange(filled_part)] = 0.1
    rng = generator(0, "draws")
    sums = np.concatenate([rng.random(50_000), 1 - rng.random(50_000) * 1e-9, [0, 1]])
    rows = tree.find(sums * tree.total)  # the last is the total itself, by rounding
    assert rows.min() == 0
    assert rows.max() == filled_part - 1


def test_a_leaf_without_priority_is_never_found():
    tree = SumTree(6)
    tree[np.array([1, 3])] = np.array([0.1, 0.2])
    assert set(tree.find(np.linspace(0, tree.total, 1_001))) == {1, 3}


# --- draws ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_rows_are_drawn_in_proportion_to_their_priority(alpha):
    """P(i) = p_i^alpha / sum, within five standard deviations of 60,000 draws."""
    errors = np.array([0.5, -1, 2, 4, -8])
    replay = PrioritizedReplay(7, D, A, alpha=alpha, epsilon=1e-6)
    replay.add(numbered(*range(5)))
    replay.update(np.arange(5), errors)
    expected = np.abs(errors) ** alpha / (np.abs(errors) ** alpha).sum()
    batch, rows = replay.sample((60_000, 1), generator(2, "draws"))
    found = np.bincount(rows.ravel(), minlength=5) / rows.size
    assert len(found) == 5
    assert (np.abs(found - expected) < 5 * np.sqrt(expected / rows.size)).all()
    np.testing.assert_array_equal(batch.reward[:, 0] / 10, rows[:, 0])


def test_a_batch_has_one_of_each_equal_part():
    """With equal priorities and B = N, stratified draws take each row once."""
    replay = replay_of([1.0] * 8)
    _, rows = replay.sample((5, 8), generator(0, "draws"))
    assert (rows == np.arange(8)).all()
    _, rows = replay_of([1, 1, 2, 4]).sample((3, 8), generator(0, "draws"))
    assert (rows == [0, 1, 2, 2, 3, 3, 3, 3]).all()


def test_the_same_seed_draws_the_same():
    replay = replay_of(range(1, 60))
    one, two, other = (replay.sample((9,), generator(s, "d"))[1].tolist() for s in (0, 0, 1))
    assert one == two != other


# --- weights -------------------------------------------------------------------------------------


@pytest.mark.parametrize("capacity", [2, 4])
def test_weights_are_normalised_by_the_largest_of_those_stored(capacity):
    """Priorities 4 and 1, beta 0.4: 0.574349 and 1, empty rows or not (RL-19)."""
    replay = replay_of([4, 1], capacity, beta=0.4)
    batch, rows = replay.sample((10,), generator(0, "draws"))
    assert set(rows) == {0, 1}
    assert batch.weight[rows == 0] == pytest.approx(0.574349, abs=1e-6)
    assert (batch.weight[rows == 1] == 1).all()
    assert batch.weight.dtype == np.float32


def test_the_largest_weight_belongs_to_the_replay_not_to_the_batch():
    replay = replay_of([1000, 1], beta=1.0)
    batch, rows = replay.sample((4,), generator(0, "draws"))
    assert (rows == 0).all()
    assert batch.weight == pytest.approx(0.001)


def test_with_beta_1_the_weighted_mean_is_the_uniform_mean():
    """sum w x / sum w over many draws is the mean of x over the rows."""
    priorities = np.array([1, 2, 5, 9, 3, 7.0])
    replay = replay_of(priorities)
    batch, rows = replay.sample((100, 1_000), generator(0, "draws"))
    x = np.array([3, -1, 4, 1, -5, 9.0])[rows]
    assert np.average(x, weights=batch.weight) == pytest.approx(11 / 6, abs=0.03)
    assert abs(x.mean() - 11 / 6) > 0.3  # without weights it is not
    replay.beta = 0.0
    assert (replay.sample((9,), generator(0))[0].weight == 1).all()


# --- priorities ----------------------------------------------------------------------------------


def test_new_transitions_get_the_highest_priority_so_far():
    replay = PrioritizedReplay(4, D, A, alpha=0.5, epsilon=1e-6)
    replay.add(numbered(0, 1))
    assert replay.state()["priority"].tolist() == [1, 1]
    replay.update(np.array([0, 1]), np.array([16.0, 0.25]))
    replay.update(np.array([0]), np.array([0.0]))  # the highest so far stays
    replay.add(numbered(2))
    found = replay.state()["priority"]
    assert found == pytest.approx([1e-3, 0.5, 4], abs=1e-5)
    assert (found > 0).all()


def test_a_new_transition_does_not_inherit_the_priority_of_the_one_it_replaces():
    replay = replay_of([0.001, 5, 1])
    replay.add(numbered(3))
    assert replay.state()["priority"] == pytest.approx([5, 5, 1])
    assert stored(replay).tolist() == [3, 1, 2]


def test_of_a_row_updated_twice_the_later_error_counts():
    replay = replay_of([1, 1, 1])
    replay.update(np.array([[2, 0], [2, 2]]), np.array([[9.0, 4.0], [8.0, 3.0]], np.float32))
    assert replay.state()["priority"] == pytest.approx([4, 1, 3])
    _, rows = replay.sample((8,), generator(0))
    assert rows.tolist() == [0, 0, 0, 0, 1, 2, 2, 2]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_error_that_is_not_finite_is_refused(value):
    replay = replay_of([1, 2])
    with pytest.raises(ValueError, match=f"a TD error is {value}: the values have diverged"):
        replay.update(np.array([0, 1]), np.array([1.0, value]))
    assert replay.state()["priority"] == pytest.approx([1, 2])


@pytest.mark.parametrize("count", [0, 3, 5, 13])
def test_a_state_goes_on_as_if_it_had_never_stopped(count):
    settings = {"kind": PrioritizedReplay, "alpha": 0.7, "epsilon": 1e-3}
    one, other = filled(count, 5, **settings), filled(5, 5, **settings)
    other.update(np.arange(5), np.full(5, 1e6))  # what a used replay holds must not stay
    if count:
        one.update(np.array([0, 1]), np.array([30.0, 0.2]))
    state = one.state()
    other.restore(state)
    for replay in (one, other):
        replay.add(numbered(200))
    for part in range(2):
        a, b = (replay.sample((40,), generator(0, "draws"))[part] for replay in (one, other))
        np.testing.assert_array_equal(getattr(a, "weight", a), getattr(b, "weight", b))
    assert one.state()["priority"].tolist() == other.state()["priority"].tolist()


def test_a_state_is_a_copy():
    replay = replay_of([1, 2])
    state = replay.state()
    replay.update(np.array([0]), np.array([9.0]))
    assert state["priority"] == pytest.approx([1, 2])


def test_wrong_settings_are_named():
    for settings in ({"alpha": -1, "epsilon": 1}, {"alpha": 1, "epsilon": 0}):
        with pytest.raises(ValueError, match="alpha must be >= 0 and epsilon > 0"):
            PrioritizedReplay(4, D, A, **settings)
    with pytest.raises(ValueError, match="replay is empty"):
        PrioritizedReplay(4, D, A, alpha=1, epsilon=1).sample((2,), generator(0))
