"""What a Q-network is trained towards, on numbers that fit on paper."""

import numpy as np
import pytest

from companion.rl.replay import Batch
from companion.rl.targets import (
    best_allowed,
    huber_reference,
    squared_reference,
    td_loss_reference,
    td_target_reference,
)


def batch_of(**columns):
    """One transition with reward 1 and discount 0.9, unless said otherwise."""
    usual = {
        "obs": np.zeros((1, 1)),
        "action": np.array([0]),
        "reward": np.array([1.0]),
        "next_obs": np.zeros((1, 1)),
        "terminated": np.array([False]),
        "discount": np.array([0.9]),
        "next_mask": None,
        "weight": None,
    }
    return Batch(**{**usual, **columns})


def test_the_target_adds_the_discounted_best_value():
    assert td_target_reference(batch_of(), np.array([[2.0, 5.0]])) == pytest.approx([5.5])


def test_the_end_wins_over_the_time_limit():
    """Terminated in the step that is also truncated: the target is 1, not 5.5 (RL-02)."""
    ends = batch_of(terminated=np.array([True]))
    assert td_target_reference(ends, np.array([[2.0, 5.0]])).tolist() == [1.0]


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_whatever_lies_after_the_end_counts_nothing(value):
    """0 times infinity is not a number (RL-05)."""
    ends = batch_of(terminated=np.array([True]))
    assert td_target_reference(ends, np.full((1, 3), value)).tolist() == [1.0]
    nothing = batch_of(next_mask=np.zeros((1, 3), bool))
    found = td_target_reference(nothing, np.full((1, 3), value), np.full((1, 3), value))
    assert found.tolist() == [1.0]
    assert td_loss_reference(nothing, np.array([[3.0, 0, 0]]), found, huber=False) == 4.0


def test_only_allowed_actions_are_candidates():
    q = np.array([[9.0, 2.0, 5.0]])
    masked = batch_of(next_mask=np.array([[False, True, True]]))
    assert td_target_reference(masked, q) == pytest.approx([1 + 0.9 * 5])
    online = np.array([[9.0, 8.0, 1.0]])
    assert td_target_reference(masked, q, online) == pytest.approx([1 + 0.9 * 2])


def test_double_dqn_values_the_online_choice_with_the_target_network():
    target, online = np.array([[1.0, 4.0]]), np.array([[7.0, 3.0]])
    assert td_target_reference(batch_of(), target) == pytest.approx([4.6])
    assert td_target_reference(batch_of(), target, online) == pytest.approx([1.9])


def test_leading_axes_are_free():
    rng = np.random.default_rng(0)
    q, online, mask = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3, 4)), rng.random((2, 3, 4))
    columns = {
        "reward": rng.normal(size=(2, 3)),
        "discount": rng.random((2, 3)),
        "terminated": rng.random((2, 3)) < 0.5,
        "next_mask": mask < 0.6,
    }
    whole = td_target_reference(batch_of(**columns), q, online)
    assert whole.shape == (2, 3)
    for k in range(2):
        part = batch_of(**{name: column[k] for name, column in columns.items()})
        np.testing.assert_array_equal(whole[k], td_target_reference(part, q[k], online[k]))


def test_the_best_allowed_action():
    q = np.array([[1.0, 3.0, 3.0], [5.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    assert best_allowed(q).tolist() == [1, 0, 2]
    mask = np.array([[True, False, True], [False, True, True], [False, False, False]])
    assert best_allowed(q, mask).tolist() == [2, 2, 0]
    assert best_allowed(-q - 10, mask).tolist() == [0, 1, 0]  # negative ones are allowed too


def test_huber_is_quadratic_up_to_1_and_straight_after():
    error = np.array([-3.0, -1, -0.5, 0, 0.5, 1, 1.5])
    assert huber_reference(error).tolist() == [2.5, 0.5, 0.125, 0, 0.125, 0.5, 1.0]
    assert squared_reference(error).tolist() == [9, 1, 0.25, 0, 0.25, 1, 2.25]


def test_the_error_belongs_to_the_action_taken():
    """Q(s) = [1, 2, 3], action 1, target 5: 9, not a third of 1 + 9 + 9 (RL-24)."""
    one, q = batch_of(action=np.array([1])), np.array([[1.0, 2.0, 3.0]])
    assert td_loss_reference(one, q, np.array([5.0]), huber=False) == 9.0
    assert td_loss_reference(one, q, np.array([5.0]), huber=True) == 2.5
    for other in (0, 2):  # their slope is zero
        moved = q.copy()
        moved[0, other] += 1
        assert td_loss_reference(one, moved, np.array([5.0]), huber=False) == 9.0


def test_the_loss_is_the_mean_of_weight_times_loss():
    two = batch_of(action=np.array([0, 1]), weight=np.array([0.5, 2.0]))
    q, target = np.array([[1.0, 9.0], [9.0, 0.0]]), np.array([3.0, 1.0])
    assert td_loss_reference(two, q, target, huber=False) == (0.5 * 4 + 2 * 1) / 2
    plain = two._replace(weight=None)
    assert td_loss_reference(plain, q, target, huber=False) == (4 + 1) / 2
    assert td_loss_reference(plain, q, target, huber=True) == (1.5 + 0.5) / 2
