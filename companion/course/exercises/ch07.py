"""Checkers of chapter 7."""

from typing import Any

import numpy as np

from companion.course.answers import Mistake, NotYet, exercise
from companion.course.exercises import same


@exercise("07.1")
def new_value(attempt: Any) -> None:
    """One update of Q-Learning, at the end of an episode too."""
    row = np.array([3.0, 2.0, -4.0])
    found = attempt(2.0, 1.0, row, False, 0.25, 0.8)
    if same(found, 1 + 0.8 * 3):
        raise Mistake("That is the target: the new value moves only by alpha towards it.")
    if same(found, 2 + 0.25 * (1 + 0.8 * 3)):
        raise Mistake("The old value is not taken away: the step is alpha (target - old).")
    if same(found, 0.25 * (1 + 0.8 * 3)):
        raise Mistake("The old value is gone: old + alpha (target - old).")
    if same(found, 2 + 0.25 * (1 + 3 - 2)):
        raise Mistake("The discount gamma is missing.")
    if same(found, 2 + 0.25 * (0.8 * (1 + 3) - 2)):
        raise Mistake("gamma belongs to what comes after the reward, not to the reward.")
    if same(found, 2 + 0.25 * (1 + 0.8 * row.mean() - 2)):
        raise Mistake("That is the mean of the next row: Q-Learning takes the best.")
    if not same(found, 2.35):
        raise NotYet(f"For old 2, reward 1, row {row}, alpha 0.25, gamma 0.8 it gave {found}.")
    ended = attempt(2.0, 1.0, row, True, 0.25, 0.8)
    if same(ended, 2.35):
        raise Mistake("The episode has ended: nothing follows, whatever the row holds.")
    if same(ended, 2 + 0.25 * (0 - 2)) or same(ended, 2):
        raise Mistake("The last reward still counts; only what would follow it is 0.")
    if same(ended, 1):
        raise Mistake("At the end too, the value moves only by alpha towards the reward.")
    if not same(ended, 1.75):
        raise NotYet(f"For a step that ends the episode it gave {ended}, where old is 2.")
    if not same(attempt(2.0, 1.0, row - 5, False, 0.25, 0.8), 1.35):
        raise NotYet(f"For the row {row - 5}, where all is below 0, it gave another number.")
    if not same(attempt(2.0, 1.0, np.full(3, np.nan), True, 0.25, 0.8), 1.75):
        raise Mistake("After the end the row may hold anything, NaN too: do not read it.")


@exercise("07.2")
def probabilities(attempt: Any) -> None:
    """What epsilon-greedy does, with one best action and with several."""
    row = np.array([1.0, 3.0, 0.0, 2.0])
    found = attempt(row, 0.2)
    if same(found, [0.2, 0.2, 0.2, 0.4]) or same(found, [0.2, 0.4, 0.2, 0.2]):
        raise Mistake("epsilon is upside down: it is the probability of exploring.")
    if same(found, [0.2 / 3, 0.8, 0.2 / 3, 0.2 / 3]):
        raise Mistake("Exploring may pick the best action too: each of all four gets epsilon / 4.")
    if same(found, [0.05, 0.8, 0.05, 0.05]):
        raise Mistake("They do not sum to 1: the best action also gets its share of exploring.")
    if same(found, [0, 1, 0, 0]):
        raise Mistake("That is greedy: nothing is left for exploring.")
    if not same(found, [0.05, 0.85, 0.05, 0.05]):
        raise NotYet(f"For {row} and epsilon 0.2 it gave {found}.")
    tied = np.array([3.0, 1.0, 3.0, 3.0])
    found = attempt(tied, 0.2)
    if same(found, [0.85, 0.05, 0.05, 0.05]) or same(found, [0.05, 0.05, 0.05, 0.85]):
        raise Mistake("Three actions are best, and one of them got it all: they share alike.")
    if same(found, [0.85, 0.05, 0.85, 0.85]):
        raise Mistake("Three actions are best, and each got all of 1 - epsilon: they share it.")
    if not same(found, [0.05 + 0.8 / 3, 0.05, 0.05 + 0.8 / 3, 0.05 + 0.8 / 3]):
        raise NotYet(f"For the tied row {tied} and epsilon 0.2 it gave {found}.")
    if not same(attempt(tied[:2], 1.0), [0.5, 0.5]):
        raise NotYet("With two actions and epsilon 1 both have one half.")


@exercise("07.3")
def double_target(attempt: Any) -> None:
    """The target of Double Q-Learning: one table chooses, the other values."""
    q = np.array([[9.0, 9.0, 9.0], [3.0, 6.0, 5.0]])
    other = np.array([[7.0, 7.0, 7.0], [10.0, 2.0, 3.0]])
    found = attempt(q, other, 1.0, 1, False, 0.5)
    if same(found, 1 + 0.5 * 6):
        raise Mistake("That is Q-Learning: one table chooses the best and values it, too.")
    if same(found, 1 + 0.5 * 10):
        raise Mistake("That is the best of the other table: q must choose, the other value it.")
    if same(found, 1 + 0.5 * 3):
        raise Mistake("The tables have changed places: q chooses, the other one values.")
    if same(found, 1 + 0.5 * 1):
        raise Mistake("That takes the place of the best action for its value.")
    if same(found, 1 + 2):
        raise Mistake("The discount gamma is missing.")
    if not same(found, 2):
        raise NotYet(f"For the rows {q[1]} and {other[1]}, reward 1, gamma 0.5 it gave {found}.")
    ended = attempt(q, other, 1.0, 1, True, 0.5)
    if same(ended, 2):
        raise Mistake("The episode has ended: nothing follows, whatever the tables hold.")
    if not same(ended, 1):
        raise NotYet(f"For a step that ends the episode with reward 1 it gave {ended}.")
    if not same(attempt(other, q, 1.0, 1, False, 0.5), 1 + 0.5 * 3):
        raise NotYet("With the two tables exchanged it gave something else than 2.5.")
