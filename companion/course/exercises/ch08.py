"""Checkers of chapter 8."""

from typing import Any

import numpy as np

from companion.course.answers import Mistake, NotYet, exercise
from companion.course.exercises import same


@exercise("08.1")
def target(attempt: Any) -> None:
    """The target of SARSA, at the end of an episode too."""
    row = np.array([3.0, 2.0, -4.0])
    found = attempt(1.0, row, 1, 0.9, False)
    if same(found, 1 + 0.9 * 3):
        raise Mistake("That is Q-Learning's target: the best next action, not the one taken.")
    if same(found, 1 + 0.9 - 2):
        raise Mistake("gamma is a factor of Q(S', A'), not something to take it away from.")
    if same(found, 1 + 2):
        raise Mistake("The discount gamma is missing.")
    if not same(found, 2.8):
        raise NotYet(f"For reward 1, row {row}, next action 1 and gamma 0.9 it gave {found}.")
    ended = attempt(1.0, row, 1, 0.9, True)
    if same(ended, 2.8):
        raise Mistake("The episode has ended: nothing follows, whatever the table holds there.")
    if same(ended, 0):
        raise Mistake("The last reward still counts; only what would follow it is 0.")
    if not same(ended, 1):
        raise NotYet(f"For a step that ends the episode with reward 1 it gave {ended}.")


@exercise("08.2")
def expected_target(attempt: Any) -> None:
    """The target of Expected SARSA under an epsilon-greedy policy, with ties."""
    row = np.array([2.0, 0.0, 0.0, -2.0])
    found = attempt(1.0, row, 0.4, 0.5, False)
    if same(found, 1 + 0.5 * 2):
        raise Mistake("That is the best next action alone: the policy explores in 4 of 10 steps.")
    if same(found, 1 + 0.5 * (0.6 * 2 + 0.4 * -2 / 3)):
        raise Mistake("Exploring may also pick the best action: each of all four gets epsilon / 4.")
    if same(found, 1 + 0.5 * (0.4 * 2)):
        raise Mistake("epsilon is upside down: it is the probability of exploring.")
    if not same(found, 1.6):
        raise NotYet(f"For row {row}, epsilon 0.4, gamma 0.5 and reward 1 it gave {found}.")
    tied = np.array([2.0, 2.0, 0.0, 0.0])
    found = attempt(1.0, tied, 0.4, 0.5, False)
    if same(found, 1 + 0.5 * (0.4 * 1 + 0.6 * 4)):
        raise Mistake("Two actions are best, and each got all of 1 - epsilon: they share it.")
    if not same(found, 1.8):
        raise NotYet(f"For the tied row {tied} it gave {found}.")
    if not same(attempt(1.0, tied, 0.4, 0.5, True), 1):
        raise Mistake("The episode has ended: the target is the reward alone.")


def _chain(steps: int) -> tuple[Any, Any, list[int]]:
    """A walk of so many steps, and draws that number themselves: each is told from the others."""
    drawn: list[int] = []

    def choose(state: int) -> int:
        drawn.append(state)
        if len(drawn) > 50:
            raise RuntimeError("choose was called more than 50 times; the episode has 3 steps")
        return len(drawn) - 1

    def step(state: int, action: int) -> tuple[int, float, bool]:
        return state + 1, -1.0, state + 1 == steps

    return choose, step, drawn


def _rows(found: Any) -> list[tuple[Any, ...]] | None:
    try:
        return [tuple(row) for row in found]
    except TypeError:
        return None


@exercise("08.3")
def episode(attempt: Any) -> None:
    """The quintuples of one episode, with each next action carried over."""
    choose, step, drawn = _chain(3)
    rows = _rows(attempt(0, choose, step))
    if rows is None or any(len(row) != 5 for row in rows):
        raise NotYet("Return a list of (state, action, reward, next_state, next_action).")
    if len(rows) == 2:
        raise Mistake("The step that ends the episode is missing: its reward would be lost.")
    if len(rows) != 3:
        raise NotYet(f"The episode has 3 steps; it gave {len(rows)}.")
    if 3 in drawn:
        raise Mistake("An action was chosen in the state that ended the episode.")
    actions = [(row[1], row[4]) for row in rows]
    if actions == [(0, 1), (2, 3), (4, None)]:
        raise Mistake("A' was drawn, learnt from, and then drawn anew: carry it over instead.")
    if all(next_action is None for _, next_action in actions):
        raise Mistake("There is no A': it must be chosen before the update.")
    expected = [(0, 0, -1.0, 1, 1), (1, 1, -1.0, 2, 2), (2, 2, -1.0, 3, None)]
    if rows != expected:
        raise NotYet(f"For the draws 0, 1, 2 in a walk of 3 steps it gave {rows}.")
