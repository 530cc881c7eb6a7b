"""Checkers of chapter 9."""

from typing import Any

import numpy as np

from companion.course.answers import Mistake, NotYet, exercise
from companion.course.exercises import same


@exercise("09.1")
def double_target(attempt: Any) -> None:
    """The target of Double DQN."""
    reward, terminated = np.array([1.0, 1.0, 2.0]), np.array([False, True, False])
    online = np.array([[0.0, 9.0, 1.0], [5.0, 0.0, 0.0], [3.0, 0.0, 1.0]])
    target = np.array([[4.0, 2.0, 1.0], [7.0, 8.0, 9.0], [1.0, 6.0, 0.0]])
    found = attempt(reward, terminated, 0.5, online, target)
    if same(found, [3, 1, 5]):
        raise Mistake("The target network has chosen too; in Double DQN the online one chooses.")
    if same(found, [5.5, 1, 3.5]):
        raise Mistake("The online network has valued its own choice; the target one must value it.")
    if same(found, [2, 4.5, 2.5]):
        raise Mistake("The second transition has terminated: nothing comes after it.")
    if same(found, [1, 0, 0.5]):
        raise Mistake("The reward is missing: that is the discounted future alone.")
    if not same(found, [2, 1, 2.5]):
        raise NotYet(f"It gave {found}; by hand the three targets are 2, 1 and 2.5.")
    endless = np.full((1, 2), np.inf)
    if not same(attempt(np.ones(1), np.array([True]), 0.5, endless, endless), [1]):
        raise Mistake("0 times infinity is not a number: choose the reward, do not multiply.")


@exercise("09.2")
def n_step_target(attempt: Any) -> None:
    """The n-step target."""
    found = attempt([1.0, 1.0, 2.0], 10.0, False, 0.5)
    if same(found, 2 + 0.5 * 10):
        raise Mistake("The value lies three steps ahead: it is discounted three times.")
    if same(found, 4 + 1.25):
        raise Mistake("The rewards are discounted too: the second once, the third twice.")
    if same(found, 2 + 0.25 * 10):
        raise Mistake("gamma^n stands before the value, not gamma^(n - 1).")
    if not same(found, 3.25):
        raise NotYet(f"For rewards 1, 1, 2, a value of 10 and gamma 0.5 it gave {found}.")
    if same(attempt([1.0, 1.0], 10.0, True, 0.9), 1.9 + 8.1):
        raise Mistake("The episode has ended after these rewards: no value is added.")
    if not same(attempt([1.0, 1.0], 10.0, True, 0.9), 1.9):
        raise NotYet("For rewards 1, 1, then the end, and gamma 0.9 the target is 1.9.")
    if not same(attempt([1.0], 10.0, False, 0.9), 10):
        raise NotYet("For one reward of 1, a value of 10 and gamma 0.9 the target is 10.")


@exercise("09.3")
def probabilities_and_weights(attempt: Any) -> None:
    """Draw probabilities and importance weights."""
    found = attempt(np.array([4.0, 1.0]), 1.0, 0.4)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise NotYet("Return two arrays: probabilities and weights.")
    probabilities, weights = found
    if same(probabilities, [4, 1]):
        raise Mistake("Probabilities sum to 1: divide by the sum.")
    if not same(probabilities, [0.8, 0.2]):
        raise NotYet(f"For priorities 4 and 1 and alpha 1 the probabilities were {probabilities}.")
    if same(weights, np.array([1.6, 0.4]) ** -0.4):
        raise Mistake("The largest weight is not 1: divide by the maximum.")
    if same(weights, [1, 0.25**0.4]):
        raise Mistake("The exponent is -beta: what is drawn often counts less.")
    if not same(weights, [0.25**0.4, 1]):
        raise NotYet(f"For priorities 4 and 1, alpha 1 and beta 0.4 the weights were {weights}.")
    halved = attempt(np.array([4.0, 1.0]), 0.5, 1.0)
    if same(halved[0], [0.8, 0.2]):
        raise Mistake("alpha is missing: the priorities are raised to it before the sum.")
    if not (same(halved[0], [2 / 3, 1 / 3]) and same(halved[1], [0.5, 1])):
        raise NotYet(f"For priorities 4 and 1, alpha 0.5 and beta 1 it gave {halved}.")
