"""The update rules of tables, a few lines each. Book chapters 6, 7, 8 and 12.

Plain functions of arrays: they run on NumPy as they are, and `companion.rl.loops` compiles the
same functions. A table q is [S, A]; the value -inf marks an action that is not allowed. The row
of a terminal state is never read: nothing follows the end, so its value is 0 by definition.
"""

from typing import NamedTuple

import numpy as np

from companion.rl.explore import epsilon_greedy_value, highest


class Step(NamedTuple):
    """One step of an agent, with what it does next."""

    state: int
    action: int
    reward: float
    next_state: int
    next_action: int  # A', chosen by the same policy; -1 where the loop has not chosen it yet
    terminated: bool  # next_state ended the episode; being cut off by a time limit is not that


class Rates(NamedTuple):
    """The numbers that a rule needs, those of the present episode."""

    alpha: float  # step size
    gamma: float  # discount of one step
    epsilon: float  # of the policy that acts
    trace_decay: float = 0.0  # lambda
    replacing: bool = False  # replacing traces rather than accumulating ones


def q_learning(q: np.ndarray, step: Step, rates: Rates) -> float:
    """The new value of Q(S, A): the best next action counts, whatever is done. Book section 6.5.

    Q(S, A) <- Q(S, A) + alpha [R + gamma max_a Q(S', a) - Q(S, A)]
    """
    target = step.reward
    if not step.terminated:
        target += rates.gamma * highest(q[step.next_state])
    return q[step.state, step.action] + rates.alpha * (target - q[step.state, step.action])


def sarsa(q: np.ndarray, step: Step, rates: Rates) -> float:
    """The new value of Q(S, A): the next action that is really taken counts. Book section 6.4.

    Q(S, A) <- Q(S, A) + alpha [R + gamma Q(S', A') - Q(S, A)]
    """
    target = step.reward
    if not step.terminated:
        target += rates.gamma * q[step.next_state, step.next_action]
    return q[step.state, step.action] + rates.alpha * (target - q[step.state, step.action])


def expected_sarsa(q: np.ndarray, step: Step, rates: Rates) -> float:
    """The new value of Q(S, A): the mean over the next actions counts. Book section 6.6.

    Q(S, A) <- Q(S, A) + alpha [R + gamma sum_a pi(a | S') Q(S', a) - Q(S, A)]
    """
    target = step.reward
    if not step.terminated:
        target += rates.gamma * epsilon_greedy_value(q[step.next_state], rates.epsilon)
    return q[step.state, step.action] + rates.alpha * (target - q[step.state, step.action])


def double_q_learning(q: np.ndarray, other: np.ndarray, step: Step, rates: Rates) -> float:
    """The new value of Q1(S, A): Q1 chooses the next action, Q2 values it. Book section 6.7.

    Q1(S, A) <- Q1(S, A) + alpha [R + gamma Q2(S', argmax_a Q1(S', a)) - Q1(S, A)]

    Args:
        q: [S, A] the table to be changed; a fair coin says before each step which of the two.
        other: [S, A] the other one.
        step: what happened.
        rates: alpha and gamma count.
    """
    target = step.reward
    if not step.terminated:
        best = np.argmax(q[step.next_state])
        target += rates.gamma * other[step.next_state, best]
    return q[step.state, step.action] + rates.alpha * (target - q[step.state, step.action])


def n_step_return(rewards: np.ndarray, bootstrap: float, gamma: float) -> float:
    """R1 + gamma R2 + ... + gamma^(n-1) Rn + gamma^n bootstrap. Book equation 7.4.

    Args:
        rewards: [n] in the order of time.
        bootstrap: Q of the state and action after the last reward; 0 after the end.
        gamma: discount of one step.
    """
    total = bootstrap
    for reward in rewards[::-1]:
        total = reward + gamma * total
    return total


def sarsa_lambda(q: np.ndarray, trace: np.ndarray, step: Step, rates: Rates) -> None:
    """Moves every pair in proportion to its trace, then lets the traces fade. Book section 12.7.

    delta = R + gamma Q(S', A') - Q(S, A);  Q <- Q + alpha delta E;  E <- gamma lambda E

    Args:
        q: [S, A], changed in place.
        trace: [S, A] eligibility E, changed in place; zeros when an episode begins.
        step: what happened.
        rates: all but epsilon count.
    """
    target = step.reward
    if not step.terminated:
        target += rates.gamma * q[step.next_state, step.next_action]
    delta = target - q[step.state, step.action]
    mark(trace, step, rates)
    q += rates.alpha * delta * trace
    trace *= rates.gamma * rates.trace_decay


def watkins_q_lambda(q: np.ndarray, trace: np.ndarray, step: Step, rates: Rates) -> None:
    """`sarsa_lambda` with the best next action; an exploring A' cuts the traces. Section 12.10.

    delta = R + gamma max_a Q(S', a) - Q(S, A);  Q <- Q + alpha delta E;
    E <- gamma lambda E where Q(S', A') is the maximum, otherwise E <- 0
    """
    target, greedy = step.reward, False
    if not step.terminated:
        best = highest(q[step.next_state])
        greedy = q[step.next_state, step.next_action] == best
        target += rates.gamma * best
    delta = target - q[step.state, step.action]
    mark(trace, step, rates)
    q += rates.alpha * delta * trace
    trace *= rates.gamma * rates.trace_decay if greedy else 0.0


def mark(trace: np.ndarray, step: Step, rates: Rates) -> None:
    """A visit adds 1 to the trace of the pair, or sets it to 1 where traces replace."""
    if rates.replacing:
        trace[step.state, step.action] = 1.0
    else:
        trace[step.state, step.action] += 1.0


def td_prediction(v: np.ndarray, step: Step, rates: Rates) -> float:
    """The new value of V(S) under the policy that acts, TD(0). Book equation 6.2.

    V(S) <- V(S) + alpha [R + gamma V(S') - V(S)]
    """
    target = step.reward
    if not step.terminated:
        target += rates.gamma * v[step.next_state]
    return v[step.state] + rates.alpha * (target - v[step.state])


def monte_carlo(v: np.ndarray, state: int, outcome: float, alpha: float) -> float:
    """The new value of V(S) from the return G that followed it. Book equation 6.1.

    V(S) <- V(S) + alpha [G - V(S)]
    """
    return v[state] + alpha * (outcome - v[state])
