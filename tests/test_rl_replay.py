"""The ring of transitions: what goes in comes out, and nothing else."""

import numpy as np
import pytest

from companion.core.seeding import generator
from companion.rl.replay import Batch, Replay, Transitions

D, A = 2, 3


def numbered(*numbers, terminated=False, mask=None):
    """Transitions whose every column tells their number."""
    n = np.array(numbers, np.float64)
    return Transitions(
        obs=np.stack([n, -n], 1),
        action=n.astype(int) % A,
        reward=10 * n,
        next_obs=np.stack([n + 1, -n - 1], 1),
        terminated=np.full(len(n), terminated),
        discount=np.full(len(n), 0.9),
        next_mask=np.ones((len(n), A), bool) if mask is None else np.array(mask, bool),
    )


def filled(count, capacity, kind=Replay, **more):
    replay = kind(capacity, D, A, **more)
    for number in range(count):
        replay.add(numbered(number))
    return replay


def stored(replay):
    """The numbers in the ring, row by row."""
    return replay.take(np.arange(len(replay))).reward / 10


def test_what_comes_out_is_what_went_in():
    replay = Replay(8, D, A)
    rows = replay.add(numbered(1, 2, 3))
    replay.add(numbered(4, terminated=True))
    assert rows.tolist() == [0, 1, 2]
    batch = replay.take(np.array([[3, 0], [1, 1]]))
    assert batch.reward.tolist() == [[40, 10], [20, 20]]
    assert batch.action.tolist() == [[1, 1], [2, 2]]
    assert batch.obs[0].tolist() == [[4, -4], [1, -1]]
    assert batch.next_obs[0].tolist() == [[5, -5], [2, -2]]
    assert batch.terminated.tolist() == [[True, False], [False, False]]
    assert batch.discount == pytest.approx(0.9)
    assert batch.weight is None
    kinds = [column.dtype for column in batch[:6]]
    assert kinds == [np.float32, np.int64, np.float32, np.float32, bool, np.float32]


def test_an_environment_may_reuse_its_array():
    """Three steps written into one array are three observations (RL-15)."""
    replay, new = Replay(8, D, A), numbered(0)
    for value in (1, 2, 3):
        new.obs[:] = new.next_obs[:] = value
        new.action[:] = new.reward[:] = value - 1
        replay.add(new)
    batch = replay.take(np.arange(3))
    assert batch.obs[:, 0].tolist() == batch.next_obs[:, 1].tolist() == [1, 2, 3]
    assert batch.action.tolist() == batch.reward.tolist() == [0, 1, 2]


def test_float32_arrays_are_copied_too():
    replay, new = Replay(8, D, A), numbered(1)
    new = new._replace(obs=new.obs.astype(np.float32), reward=new.reward.astype(np.float32))
    replay.add(new)
    new.obs[:] = new.reward[:] = 7
    taken = replay.take(np.array([0]))
    assert (taken.obs.tolist(), taken.reward.tolist()) == ([[1, -1]], [10])
    taken.obs[:] = 5
    assert replay.take(np.array([0])).obs.tolist() == [[1, -1]]


def test_the_ring_says_when_it_is_full_and_forgets_the_oldest():
    """Capacity 300: 200, then 150 more; number 50 is the oldest kept (RL-17)."""
    replay = filled(200, 300)
    assert (len(replay), replay.full, replay.added) == (200, False, 200)
    batch, _ = replay.sample((5_000,), generator(0, "draws"))
    assert set(batch.reward / 10) == set(range(200))
    assert (batch.discount > 0).all()  # an unwritten row would hold 0
    for number in range(200, 350):
        replay.add(numbered(number))
    assert (len(replay), replay.full, replay.added) == (300, True, 350)
    assert sorted(stored(replay)) == list(range(50, 350))


def test_full_means_that_the_next_one_overwrites():
    assert not filled(2, 3).full
    assert filled(3, 3).full


@pytest.mark.parametrize("size", [1, 3, 4, 7])
def test_groups_go_round_the_end_of_the_ring(size):
    replay = Replay(7, D, A)
    for start in range(0, 40 * size, size):
        rows = replay.add(numbered(*range(start, start + size)))
        assert rows.tolist() == [number % 7 for number in range(start, start + size)]
        newest = range(max(0, start + size - 7), start + size)
        assert sorted(stored(replay)) == list(newest)
        assert (stored(replay)[rows] == range(start, start + size)).all()


def test_no_transitions_are_no_change():
    replay = filled(2, 3)
    assert replay.add(numbered()).tolist() == []
    assert len(replay) == 2


def test_draws_are_uniform_and_with_replacement():
    """50,000 draws of 10: each has 5,000 with a standard deviation of 67."""
    replay = filled(13, 10)
    batch, rows = replay.sample((50_000,), generator(1, "draws"))
    counts = np.bincount(rows, minlength=10)
    assert len(counts) == 10
    assert np.abs(counts - 5_000).max() < 5 * 67
    np.testing.assert_array_equal(batch.reward, replay.take(rows).reward)
    small, _ = replay.sample((4, 40), generator(1, "draws"))
    assert small.obs.shape == (4, 40, D)
    assert small.action.shape == (4, 40)


def test_the_same_seed_draws_the_same():
    replay = filled(50, 50)
    one, two, other = (replay.sample((9,), generator(s, "draws"))[1] for s in (0, 0, 1))
    assert one.tolist() == two.tolist() != other.tolist()


def test_masks_are_given_only_where_an_action_was_ever_forbidden():
    replay = filled(2, 4)
    assert replay.take(np.array([0])).next_mask is None
    replay.add(numbered(2, mask=[[True, False, True]]))
    assert replay.take(np.array([1, 2])).next_mask.tolist() == [[True] * 3, [True, False, True]]
    replay.add(numbered(3))  # and from then on always
    assert replay.take(np.array([2, 3])).next_mask.tolist() == [[True, False, True], [True] * 3]


def test_all_windows_of_a_full_ring():
    """Capacity 5, t0 to t6: the pairs t2-t3 to t5-t6, none across the newest (RL-18)."""
    replay = filled(7, 5)
    pairs = stored(replay)[replay.windows(2)]
    assert pairs.tolist() == [[2, 3], [3, 4], [4, 5], [5, 6]]
    assert stored(replay)[replay.windows(5)].tolist() == [[2, 3, 4, 5, 6]]
    assert replay.windows(6).shape == (0, 6)
    assert stored(replay)[replay.windows(1)].ravel().tolist() == [2, 3, 4, 5, 6]


def test_windows_of_a_ring_that_is_not_full():
    replay = filled(3, 5)
    assert replay.windows(2).tolist() == [[0, 1], [1, 2]]
    assert filled(0, 5).windows(1).shape == (0, 1)
    with pytest.raises(ValueError, match="length must be 1 or more; got 0"):
        replay.windows(0)


@pytest.mark.parametrize("column", ["obs", "reward", "next_obs"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_number_that_is_not_finite_is_named(column, value):
    """1e39 is infinite in float32."""
    replay, new = filled(4, 10), numbered(4, 5, 6)
    getattr(new, column)[1] = value
    with pytest.raises(ValueError, match=f"{column} of transition 5 is not finite"):
        replay.add(new)
    assert len(replay) == 4
    assert stored(replay).tolist() == [0, 1, 2, 3]


def test_large_numbers_are_numbers():
    replay, new = Replay(2, D, A), numbered(1, 2)
    new.obs[:] = 3e38
    replay.add(new)
    assert (replay.take(np.array([0, 1])).obs == np.float32(3e38)).all()


def test_whole_number_rewards_are_taken():
    replay = Replay(2, D, A)
    replay.add(numbered(1)._replace(reward=np.array([-100])))
    assert replay.take(np.array([0])).reward.tolist() == [-100]


def test_wrong_sizes_are_named():
    for place, name in enumerate(["capacity", "obs_size", "num_actions"]):
        sizes = [4, 4, 4]
        sizes[place] = 0
        with pytest.raises(ValueError, match=f"{name} must be 1 or more; got 0"):
            Replay(*sizes)
    with pytest.raises(ValueError, match="3 transitions do not fit a capacity of 2"):
        Replay(2, D, A).add(numbered(1, 2, 3))
    with pytest.raises(ValueError, match="replay is empty"):
        Replay(2, D, A).sample((1,), generator(0))


@pytest.mark.parametrize("count", [0, 3, 5, 12])
def test_a_state_goes_on_as_if_it_had_never_stopped(count):
    one, other = filled(count, 5), filled(4, 5)
    if count:
        one.add(numbered(99, mask=[[False, True, True]]))
    other.restore(one.state())
    for replay in (one, other):
        for number in range(3):
            replay.add(numbered(200 + number))
    assert (len(one), one.added) == (len(other), other.added)
    for a, b in zip(
        one.sample((50,), generator(0))[0], other.sample((50,), generator(0))[0], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert one.windows(2).tolist() == other.windows(2).tolist()


def test_a_state_is_a_copy():
    replay = filled(5, 5)
    state = replay.state()
    replay.add(numbered(77))
    assert state["reward"].tolist() == [0, 10, 20, 30, 40]


def test_a_state_of_other_sizes_is_refused():
    state = filled(3, 5).state()
    for sizes, name in (((5, D + 1, A), "obs"), ((5, D, A + 1), "next_mask"), ((2, D, A), "obs")):
        replay = Replay(*sizes)
        with pytest.raises(ValueError, match=f"^{name} has the shape"):
            replay.restore(state)
        assert len(replay) == 0


def test_a_function_of_every_column_leaves_out_what_is_not_there():
    batch = Batch(*[np.zeros(2)] * 6, None, None)
    moved = batch.each(lambda column: column + 1)
    assert moved.next_mask is None
    assert moved.weight is None
    assert all((column == 1).all() for column in moved[:6])
