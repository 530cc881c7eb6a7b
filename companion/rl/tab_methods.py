"""The kinds of tabular learning: which episode, which update, and what is kept between episodes."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from companion.envs.finite import FiniteMDP
from companion.rl import tab_episodes, tab_prediction, tabular
from companion.rl.tab_compile import reads

Rule = Callable[..., Any]


def _nothing(mdp: FiniteMDP, max_steps: int) -> tuple[np.ndarray, ...]:
    return ()


@dataclass(frozen=True)
class Method:
    """A way to learn from episodes. The functions below make the usual ones."""

    name: str
    episode: Callable[..., tab_episodes.Result]  # (mdp, q, turn, update)
    update: Rule
    table: str = "q"  # "q" [S, A], "two q" [2, S, A] or "v" [S]
    n: int = 1  # n of an n-step method, or the planning steps of Dyna-Q
    trace_decay: float = 0.0  # lambda
    replacing: bool = False
    memory: Callable[[FiniteMDP, int], tuple[np.ndarray, ...]] = _nothing  # (mdp, max_steps)


def one_step(update: Rule, *, on_policy: bool | None = None) -> Method:
    """Learning from one step at a time, by a rule `update(q, step, rates) -> new Q(S, A)`.

    Args:
        update: `q_learning`, `sarsa`, `expected_sarsa`, or one of your own.
        on_policy: whether A' is chosen before the update and then taken. None: where the rule,
            or a function that it calls, mentions `next_action`.

    Raises:
        ValueError: the rule does not take three arguments.
    """
    _check_arguments(update, 3, "(q, step, rates)")
    ahead = reads(update, "next_action") if on_policy is None else on_policy
    episode = tab_episodes.on_policy_episode if ahead else tab_episodes.off_policy_episode
    return Method(update.__name__, episode, update)


def double(update: Rule = tabular.double_q_learning) -> Method:
    """Double Q-learning, by a rule `update(q, other, step, rates) -> new value in q`."""

    def memory(mdp: FiniteMDP, max_steps: int) -> tuple[np.ndarray, ...]:
        return (np.zeros(mdp.allowed.shape[1]),)

    _check_arguments(update, 4, "(q, other, step, rates)")
    return Method(update.__name__, tab_episodes.double_episode, update, "two q", memory=memory)


def n_step(n: int, update: Rule = tabular.n_step_return) -> Method:
    """n-step Sarsa, by a return `update(rewards, bootstrap, gamma)`. n = 1 is Sarsa.

    With n at least as large as each episode it is every-visit Monte Carlo control.

    Raises:
        ValueError: n is below 1.
    """

    def memory(mdp: FiniteMDP, max_steps: int) -> tuple[np.ndarray, ...]:
        places = max_steps + 1
        return np.zeros(places, np.int64), np.zeros(places, np.int64), np.zeros(places)

    if n < 1:
        raise ValueError(f"n must be 1 or more; got {n}")
    _check_arguments(update, 3, "(rewards, bootstrap, gamma)")
    name = f"{n}-step Sarsa"
    return Method(name, tab_episodes.n_step_episode, update, n=n, memory=memory)


def traces(
    trace_decay: float, *, replacing: bool = False, update: Rule = tabular.sarsa_lambda
) -> Method:
    """Sarsa(lambda) or Q(lambda), by a rule `update(q, trace, step, rates)` that changes both.

    Args:
        trace_decay: lambda, from 0 (one step) to 1 (Monte Carlo).
        replacing: a visit sets a trace to 1 rather than adding 1.
        update: `sarsa_lambda`, `watkins_q_lambda` or one of your own.

    Raises:
        ValueError: trace_decay is outside 0 to 1.
    """

    def memory(mdp: FiniteMDP, max_steps: int) -> tuple[np.ndarray, ...]:
        return (np.zeros(mdp.allowed.shape),)

    if not 0 <= trace_decay <= 1:
        raise ValueError(f"trace_decay must be from 0 to 1; got {trace_decay}")
    _check_arguments(update, 4, "(q, trace, step, rates)")
    settings: dict[str, Any] = {"trace_decay": trace_decay, "replacing": replacing}
    return Method(update.__name__, tab_episodes.trace_episode, update, memory=memory, **settings)


def dyna(planning: int, update: Rule = tabular.q_learning) -> Method:
    """Dyna-Q: replay for tables. Each real step is followed by `planning` steps from a model.

    Raises:
        ValueError: planning is negative, or the rule reads `next_action`, which no model knows.
    """

    def memory(mdp: FiniteMDP, max_steps: int) -> tuple[np.ndarray, ...]:
        shape, pairs = mdp.allowed.shape, mdp.allowed.size
        counts = np.zeros(1, np.int64), np.zeros(pairs, np.int64), np.zeros(shape, np.int64)
        return *counts, np.zeros(shape), np.zeros(shape, bool), np.zeros(shape, bool)

    if planning < 0:
        raise ValueError(f"planning must be 0 or more; got {planning}")
    _check_arguments(update, 3, "(q, step, rates)")
    if reads(update, "next_action"):
        raise ValueError(f"update must not read next_action in planning; got {update.__name__}")
    name = f"Dyna-Q, {planning} steps of planning"
    return Method(name, tab_episodes.dyna_episode, update, n=planning, memory=memory)


def _policy(mdp: FiniteMDP) -> np.ndarray:
    return np.where(mdp.allowed, 0.0, -np.inf)


def td(update: Rule = tabular.td_prediction) -> Method:
    """TD(0) prediction of the equiprobable policy, by a rule `update(v, step, rates)`."""

    def memory(mdp: FiniteMDP, max_steps: int) -> tuple[np.ndarray, ...]:
        return (_policy(mdp),)

    _check_arguments(update, 3, "(v, step, rates)")
    return Method(update.__name__, tab_prediction.td_episode, update, "v", memory=memory)


def monte_carlo(update: Rule = tabular.monte_carlo) -> Method:
    """Every-visit Monte Carlo prediction, by a rule `update(v, state, outcome, alpha)`."""

    def memory(mdp: FiniteMDP, max_steps: int) -> tuple[np.ndarray, ...]:
        return _policy(mdp), np.zeros(max_steps, np.int64), np.zeros(max_steps)

    _check_arguments(update, 4, "(v, state, outcome, alpha)")
    return Method(update.__name__, tab_prediction.monte_carlo_episode, update, "v", memory=memory)


def _check_arguments(update: Rule, number: int, form: str) -> None:
    """A rule of another kind is found here, not in the middle of a compilation."""
    found = len(inspect.signature(update).parameters)
    if found != number:
        name = getattr(update, "__name__", repr(update))
        raise ValueError(f"update must take {form} here; {name} takes {found} arguments")
