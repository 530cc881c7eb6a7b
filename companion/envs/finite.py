"""A finite decision process as tables, for exact solutions and for loops that Numba compiles."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class FiniteMDP(NamedTuple):
    """States 0..S-1, actions 0..A-1, and up to K outcomes of each pair. Book chapter 3.

    A plain named tuple of arrays, which Numba takes as it is.
    """

    start: int  # the state in which each episode begins
    next_state: np.ndarray  # [S, A, K] int64
    reward: np.ndarray  # [S, A, K] float64, the mean
    noise: np.ndarray  # [S, A, K] float64, standard deviation of the normal noise on the reward
    probability: np.ndarray  # [S, A, K] float64, sums to 1 over K; unused outcomes have 0
    allowed: np.ndarray  # [S, A] bool; in each state at least one action is allowed
    terminal: np.ndarray  # [S] bool; entering such a state ends the episode


class Outcome(NamedTuple):
    """One thing that may follow an action."""

    probability: float
    next_state: int
    reward: float  # the mean
    noise: float = 0.0  # standard deviation


def from_outcomes(
    outcomes: Mapping[tuple[int, int], Sequence[Outcome]],
    *,
    states: int,
    start: int,
    terminal: Sequence[int],
) -> FiniteMDP:
    """Tables from a list of outcomes for each pair (state, action).

    A pair that is not listed is not allowed. A terminal state needs no pairs: its rows lead to
    itself with reward 0, so that its value is 0 by the same equations.

    Args:
        outcomes: what may follow each allowed pair.
        states: S.
        start: the state in which each episode begins.
        terminal: the states that end an episode.

    Raises:
        ValueError: a pair lies outside the tables, or the tables are wrong (see `check`).
    """
    actions = 1 + max((action for _, action in outcomes), default=0)
    width = max((len(row) for row in outcomes.values()), default=1)
    shape = (states, actions, width)
    next_state = np.broadcast_to(np.arange(states)[:, None, None], shape).astype(np.int64)
    reward, noise, probability = np.zeros(shape), np.zeros(shape), np.zeros(shape)
    probability[..., 0] = 1.0
    ends = np.isin(np.arange(states), terminal)
    allowed = np.repeat(ends[:, None], actions, axis=1)
    for (state, action), row in outcomes.items():
        if not (0 <= state < states and action >= 0) or ends[state]:
            raise ValueError(f"state {state}, action {action}: no such pair can be acted from")
        allowed[state, action] = True
        probability[state, action] = 0.0
        for k, outcome in enumerate(row):
            probability[state, action, k] = outcome.probability
            next_state[state, action, k] = outcome.next_state
            reward[state, action, k] = outcome.reward
            noise[state, action, k] = outcome.noise
    return check(FiniteMDP(start, next_state, reward, noise, probability, allowed, ends))


def _check_form(mdp: FiniteMDP) -> None:
    """Shapes, types and layout, which a compiled loop does not check."""
    if mdp.next_state.ndim != 3 or 0 in mdp.next_state.shape:
        raise ValueError(f"next_state must have the shape [S, A, K]; got {mdp.next_state.shape}")
    shape = mdp.next_state.shape
    forms = [("next_state", shape, np.int64), ("allowed", shape[:2], np.bool_)]
    forms += [(name, shape, np.float64) for name in ("reward", "noise", "probability")]
    forms += [("terminal", shape[:1], np.bool_)]
    for name, wanted, dtype in forms:
        array = getattr(mdp, name)
        if array.shape != wanted or array.dtype != dtype:
            wish = f"{list(wanted)} and the type {np.dtype(dtype)}"
            got = f"{list(array.shape)} and {array.dtype}"
            raise ValueError(f"{name} must have the shape {wish}; got {got}")
        if not array.flags.c_contiguous:
            raise ValueError(f"{name} must be contiguous; copy it with numpy.ascontiguousarray")


def _refuse(wrong: np.ndarray, values: np.ndarray, says: str) -> None:
    """Names the first wrong entry of a table of outcomes. Both arrays are [S, A, K]."""
    if wrong.any():
        state, action, k = np.argwhere(wrong)[0]
        value = values[state, action, k]
        raise ValueError(f"state {state}, action {action}: {says}; got {value}")


def check(mdp: FiniteMDP) -> FiniteMDP:
    """Returns the process as it is, if it is one.

    Raises:
        ValueError: a table has the wrong shape, type or layout; probabilities are negative or
            do not sum to 1; a next state does not exist; a reward or noise is no finite number;
            a state has no allowed action; the start does not exist or is terminal. The sentence
            names state and action.
    """
    _check_form(mdp)
    states = len(mdp.terminal)
    if not 0 <= mdp.start < states or mdp.terminal[mdp.start]:
        raise ValueError(f"start must be a state that is not terminal; got {mdp.start}")
    outside = (mdp.next_state < 0) | (mdp.next_state >= states)
    _refuse(outside, mdp.next_state, f"next_state must be from 0 to {states - 1}")
    _refuse(~np.isfinite(mdp.reward), mdp.reward, "reward must be a finite number")
    _refuse(~(np.isfinite(mdp.noise) & (mdp.noise >= 0)), mdp.noise, "noise must be 0 or more")
    _refuse(~(mdp.probability >= 0), mdp.probability, "probability must be 0 or more")
    total = mdp.probability.sum(axis=2)  # [S, A]
    wrong = mdp.allowed & (np.abs(total - 1) > 1e-9)
    _refuse(wrong[..., None], total[..., None], "probability must sum to 1 over the outcomes")
    stuck = np.flatnonzero(~mdp.allowed.any(axis=1))
    if len(stuck):
        raise ValueError(f"state {stuck[0]}: at least one action must be allowed")
    return mdp
