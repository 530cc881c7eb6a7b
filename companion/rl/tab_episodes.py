"""One episode of each kind of tabular learning. Plain functions that Numba compiles as they are.

Each takes (mdp, q, turn, update), changes q in place and returns a `Result`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from companion.envs.finite import FiniteMDP
from companion.rl.explore import epsilon_greedy
from companion.rl.tabular import Rates, Step

Rule = Callable[..., Any]  # of `companion.rl.tabular`, or a reader's own


class Turn(NamedTuple):
    """What an episode needs besides the world and the table."""

    rng: np.random.Generator
    rates: Rates
    max_steps: int  # the episode is cut off after so many
    n: int  # n of an n-step method, or the planning steps of Dyna-Q
    memory: tuple[Any, ...]  # arrays that a kind keeps from episode to episode


class Result(NamedTuple):
    """What happened in an episode."""

    total: float  # sum of the rewards, not discounted
    length: int  # steps
    terminated: bool
    first_action: int


def move(
    mdp: FiniteMDP, state: int, action: int, rng: np.random.Generator
) -> tuple[int, float, bool]:
    """One step of the world: next state, reward, and whether the episode has ended.

    No number is drawn where nothing is uncertain: one for an outcome among several, one for noise.
    """
    k = 0
    if mdp.next_state.shape[2] > 1:
        left = rng.random() - mdp.probability[state, action, 0]
        while left >= 0.0 and k + 1 < mdp.next_state.shape[2]:
            k += 1
            left -= mdp.probability[state, action, k]
    next_state, reward = mdp.next_state[state, action, k], mdp.reward[state, action, k]
    if mdp.noise[state, action, k] > 0.0:
        reward += mdp.noise[state, action, k] * rng.standard_normal()
    return next_state, reward, mdp.terminal[next_state]


def certain_move(
    mdp: FiniteMDP, state: int, action: int, rng: np.random.Generator
) -> tuple[int, float, bool]:
    """`move` in a world without chance, where each pair has one outcome and no noise.

    The same results, eight times as fast once compiled: a generator that may be used costs the
    compiled loop more than all the rest, even where it is not used.
    """
    next_state = mdp.next_state[state, action, 0]
    return next_state, mdp.reward[state, action, 0], mdp.terminal[next_state]


def off_policy_episode(mdp: FiniteMDP, q: np.ndarray, turn: Turn, update: Rule) -> Result:
    """Choose A, see R and S', update, and only then choose again. Book section 6.5."""
    state, total, length, first, terminated = mdp.start, 0.0, 0, -1, False
    while length < turn.max_steps and not terminated:
        action = epsilon_greedy(q[state], turn.rates.epsilon, turn.rng)
        next_state, reward, terminated = move(mdp, state, action, turn.rng)
        step = Step(state, action, reward, next_state, -1, terminated)
        q[state, action] = update(q, step, turn.rates)
        first = action if length == 0 else first
        state, total, length = next_state, total + reward, length + 1
    return Result(total, length, terminated, first)


def on_policy_episode(mdp: FiniteMDP, q: np.ndarray, turn: Turn, update: Rule) -> Result:
    """Choose A' before the update, learn from it, and then really take it. Book section 6.4."""
    state, total, length, terminated = mdp.start, 0.0, 0, False
    first = action = epsilon_greedy(q[state], turn.rates.epsilon, turn.rng)
    while length < turn.max_steps and not terminated:
        next_state, reward, terminated = move(mdp, state, action, turn.rng)
        next_action = -1
        if not terminated:
            next_action = epsilon_greedy(q[next_state], turn.rates.epsilon, turn.rng)
        step = Step(state, action, reward, next_state, next_action, terminated)
        q[state, action] = update(q, step, turn.rates)
        state, action = next_state, next_action
        total, length = total + reward, length + 1
    return Result(total, length, terminated, first)


def n_step_episode(mdp: FiniteMDP, q: np.ndarray, turn: Turn, update: Rule) -> Result:
    """n-step Sarsa, where `update` is `n_step_return`. Book section 7.2.

    The last n - 1 pairs learn from the rewards that are left. Memory: states [T + 1], actions
    [T + 1] and rewards [T] of the episode, T = max_steps.
    """
    states, actions, rewards = turn.memory
    n, total, length, terminated = turn.n, 0.0, 0, False
    states[0], actions[0] = mdp.start, epsilon_greedy(q[mdp.start], turn.rates.epsilon, turn.rng)
    while length < turn.max_steps and not terminated:
        next_state, reward, terminated = move(mdp, states[length], actions[length], turn.rng)
        rewards[length] = reward
        total, length = total + reward, length + 1
        states[length], actions[length] = next_state, -1
        if not terminated:
            actions[length] = epsilon_greedy(q[next_state], turn.rates.epsilon, turn.rng)
        ended = length == turn.max_steps or terminated
        last = length if ended else length - n + 1  # all that is left, or the one that is n old
        for first in range(max(0, length - n), last):
            bootstrap = 0.0 if terminated else q[next_state, actions[length]]
            target = update(rewards[first:length], bootstrap, turn.rates.gamma)
            state, action = states[first], actions[first]
            q[state, action] += turn.rates.alpha * (target - q[state, action])
    return Result(total, length, terminated, actions[0])


def trace_episode(mdp: FiniteMDP, q: np.ndarray, turn: Turn, update: Rule) -> Result:
    """Sarsa(lambda) or Watkins's Q(lambda), as `update` says. Memory: the traces [S, A]."""
    trace = turn.memory[0]
    trace[:] = 0.0
    state, total, length, terminated = mdp.start, 0.0, 0, False
    first = action = epsilon_greedy(q[state], turn.rates.epsilon, turn.rng)
    while length < turn.max_steps and not terminated:
        next_state, reward, terminated = move(mdp, state, action, turn.rng)
        next_action = -1
        if not terminated:
            next_action = epsilon_greedy(q[next_state], turn.rates.epsilon, turn.rng)
        step = Step(state, action, reward, next_state, next_action, terminated)
        update(q, trace, step, turn.rates)
        state, action = next_state, next_action
        total, length = total + reward, length + 1
    return Result(total, length, terminated, first)


def double_episode(mdp: FiniteMDP, q: np.ndarray, turn: Turn, update: Rule) -> Result:
    """Double Q-learning: act on the sum of two tables, update one. q: [2, S, A]. Section 6.7."""
    both = turn.memory[0]  # [A]
    state, total, length, first, terminated = mdp.start, 0.0, 0, -1, False
    while length < turn.max_steps and not terminated:
        for a in range(len(both)):
            both[a] = q[0, state, a] + q[1, state, a]
        action = epsilon_greedy(both, turn.rates.epsilon, turn.rng)
        next_state, reward, terminated = move(mdp, state, action, turn.rng)
        step = Step(state, action, reward, next_state, -1, terminated)
        which = 1 if turn.rng.random() < 0.5 else 0  # a fair coin
        q[which, state, action] = update(q[which], q[1 - which], step, turn.rates)
        first = action if length == 0 else first
        state, total, length = next_state, total + reward, length + 1
    return Result(total, length, terminated, first)


def dyna_episode(mdp: FiniteMDP, q: np.ndarray, turn: Turn, update: Rule) -> Result:
    """Dyna-Q: after each real step, n steps from a model of what was seen. Book section 8.2.

    Memory: the number of pairs seen [1] and the pairs [S * A] in the order of their first visit,
    then what last followed each pair: next state, reward, end, and whether it was seen, [S, A].
    """
    seen, pairs, after, rewards, ends, known = turn.memory
    state, total, length, first, terminated = mdp.start, 0.0, 0, -1, False
    while length < turn.max_steps and not terminated:
        action = epsilon_greedy(q[state], turn.rates.epsilon, turn.rng)
        next_state, reward, terminated = move(mdp, state, action, turn.rng)
        step = Step(state, action, reward, next_state, -1, terminated)
        q[state, action] = update(q, step, turn.rates)
        if not known[state, action]:
            known[state, action], pairs[seen[0]] = True, state * q.shape[1] + action
            seen[0] += 1
        after[state, action], rewards[state, action] = next_state, reward
        ends[state, action] = terminated
        for _ in range(turn.n):
            s, a = divmod(pairs[int(turn.rng.random() * seen[0])], q.shape[1])
            q[s, a] = update(q, Step(s, a, rewards[s, a], after[s, a], -1, ends[s, a]), turn.rates)
        first = action if length == 0 else first
        state, total, length = next_state, total + reward, length + 1
    return Result(total, length, terminated, first)
