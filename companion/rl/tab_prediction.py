"""Episodes that value the equiprobable policy, without learning to act. Book sections 6.1 to 6.3.

The table is v [S]. The policy takes each allowed action with the same probability.
"""

import numpy as np

from companion.envs.finite import FiniteMDP
from companion.rl.explore import epsilon_greedy
from companion.rl.tab_episodes import Result, Rule, Turn, move
from companion.rl.tabular import Step


def td_episode(mdp: FiniteMDP, v: np.ndarray, turn: Turn, update: Rule) -> Result:
    """One-step temporal differences, TD(0). Memory: [S, A], -inf where not allowed, else 0."""
    policy = turn.memory[0]
    state, total, length, first, terminated = mdp.start, 0.0, 0, -1, False
    while length < turn.max_steps and not terminated:
        action = epsilon_greedy(policy[state], 1.0, turn.rng)
        next_state, reward, terminated = move(mdp, state, action, turn.rng)
        v[state] = update(v, Step(state, action, reward, next_state, -1, terminated), turn.rates)
        first = action if length == 0 else first
        state, total, length = next_state, total + reward, length + 1
    return Result(total, length, terminated, first)


def monte_carlo_episode(mdp: FiniteMDP, v: np.ndarray, turn: Turn, update: Rule) -> Result:
    """Every-visit Monte Carlo with a constant step size, from the last step to the first.

    An episode that was cut off teaches nothing: its return is not known. Memory: the policy as
    in `td_episode`, then the states [T] and rewards [T] of the episode, T = max_steps.
    """
    policy, states, rewards = turn.memory
    state, total, length, first, terminated = mdp.start, 0.0, 0, -1, False
    while length < turn.max_steps and not terminated:
        action = epsilon_greedy(policy[state], 1.0, turn.rng)
        next_state, reward, terminated = move(mdp, state, action, turn.rng)
        states[length], rewards[length] = state, reward
        first = action if length == 0 else first
        state, total, length = next_state, total + reward, length + 1
    outcome = 0.0
    for t in range(length - 1, -1 if terminated else length - 1, -1):
        outcome = rewards[t] + turn.rates.gamma * outcome
        v[states[t]] = update(v, states[t], outcome, turn.rates.alpha)
    return Result(total, length, terminated, first)
