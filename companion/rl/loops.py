"""Runs tabular learning for many seeds, plainly or compiled, with the same numbers either way."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from companion.core.seeding import generator
from companion.envs.finite import FiniteMDP, check
from companion.rl.explore import epsilon_greedy
from companion.rl.tab_compile import compiled as compile_rule
from companion.rl.tab_config import TabularConfig
from companion.rl.tab_episodes import Result, Turn, certain_move, move
from companion.rl.tab_methods import Method, Rule, one_step
from companion.rl.tabular import Rates


@dataclass(frozen=True, eq=False)
class TabularRun:
    """What came of N seeds with E episodes each."""

    returns: np.ndarray  # [N, E] sum of the rewards of each episode, not discounted
    lengths: np.ndarray  # [N, E] steps
    truncated: np.ndarray  # [N, E] true where max_steps cut the episode off before its end
    first_actions: np.ndarray  # [N, E] the action in the state where episodes begin
    q: np.ndarray  # [N, S, A] the learnt table; the mean of the two of double Q-learning; V: [N, S]
    tables: np.ndarray  # as learnt: [N, 2, S, A] of double Q-learning, otherwise `q`
    history: np.ndarray  # [N, E, ...] the table after each episode; [N, 0, ...] if not kept


class Plan(NamedTuple):
    """The inputs and outputs of one seed."""

    mdp: FiniteMDP
    rng: np.random.Generator
    alpha: np.ndarray  # [E]
    gamma: float
    epsilon: np.ndarray  # [E]
    trace_decay: float
    replacing: bool
    max_steps: int
    n: int
    memory: tuple[np.ndarray, ...]
    returns: np.ndarray  # [E]
    lengths: np.ndarray  # [E]
    truncated: np.ndarray  # [E]
    first_actions: np.ndarray  # [E]
    history: np.ndarray  # [E, cells of the table] or [0, cells]


def train(q: np.ndarray, plan: Plan, episode: Callable[..., Result], update: Rule) -> None:
    """All episodes of one seed. Numba compiles it together with the episode and its update."""
    cells = q.ravel()  # a view: compiling a copy of numbers takes less than that of an array
    for e in range(len(plan.alpha)):
        rates = Rates(plan.alpha[e], plan.gamma, plan.epsilon[e], plan.trace_decay, plan.replacing)
        turn = Turn(plan.rng, rates, plan.max_steps, plan.n, plan.memory)
        result = episode(plan.mdp, q, turn, update)
        plan.returns[e], plan.lengths[e] = result.total, result.length
        plan.truncated[e] = not result.terminated
        plan.first_actions[e] = result.first_action
        if len(plan.history):
            for i in range(len(cells)):
                plan.history[e, i] = cells[i]


def run(
    mdp: FiniteMDP,
    method: Method | Rule,
    config: TabularConfig,
    seeds: int | Sequence[int] = 0,
    *,
    compiled: bool = True,
    threads: int = 1,
) -> TabularRun:
    """Learns a table once for each seed. Seeds never influence each other.

    Args:
        mdp: the world.
        method: of `companion.rl.tab_methods`, or a rule (q, step, rates) for one-step learning.
        config: the settings.
        seeds: one or several; each has a generator of its own.
        compiled: by Numba, or as plain Python, which is slower and gives exactly the same.
        threads: seeds that learn at the same time; useful when compiled.

    Raises:
        ValueError: there is no seed, threads is below 1, or the world is wrong.
    """
    check(mdp)
    method = method if isinstance(method, Method) else one_step(method)
    names = _seeds(seeds)
    if threads < 1:
        raise ValueError(f"threads must be 1 or more; got {threads}")
    tables = _tables(mdp, method, config, len(names))
    results = _results(tables, config)
    learn, *rules = _functions(mdp, method, compiled)

    def one(n: int) -> None:
        outputs = [result[n] for result in results]
        plan = _plan(mdp, method, config, generator(names[n], "tabular"))
        learn(tables[n], Plan(*plan, *outputs), *rules)

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(one, range(len(names))))
    q = tables.mean(axis=1) if method.table == "two q" else tables
    returns, lengths, truncated, first_actions, history = results
    history = history.reshape(*history.shape[:2], *tables.shape[1:])
    return TabularRun(returns, lengths, truncated, first_actions, q, tables, history)


def _seeds(seeds: int | Sequence[int]) -> list[int]:
    """A list of one seed or more."""
    names = [int(seeds)] if isinstance(seeds, int | np.integer) else list(seeds)
    if not names:
        raise ValueError("seeds must hold at least one seed; got none")
    return names


def _tables(mdp: FiniteMDP, method: Method, config: TabularConfig, seeds: int) -> np.ndarray:
    """The tables before learning, with a leading axis for the seeds."""
    if method.table == "v":
        blank = np.broadcast_to(np.asarray(config.initial_q, float), mdp.terminal.shape)
    else:
        initial = np.broadcast_to(np.asarray(config.initial_q, float), mdp.allowed.shape)
        blank = np.where(mdp.allowed, initial, -np.inf)
    copies = (seeds, 2) if method.table == "two q" else (seeds,)
    return np.broadcast_to(blank, copies + blank.shape).copy()


def _results(tables: np.ndarray, config: TabularConfig) -> list[np.ndarray]:
    """Empty arrays for what is reported of each episode, in the order of `Plan`."""
    shape = (len(tables), config.episodes)
    kept = (len(tables), config.episodes if config.keep_history else 0, tables[0].size)
    dtypes = (np.float64, np.int64, np.bool_, np.int64)
    return [*(np.zeros(shape, dtype) for dtype in dtypes), np.zeros(kept)]


def _plan(
    mdp: FiniteMDP, method: Method, config: TabularConfig, rng: np.random.Generator
) -> tuple[Any, ...]:
    """The inputs of `Plan`, with a memory of its own for the seed."""
    rates = config.per_episode("alpha"), float(config.gamma), config.per_episode("epsilon")
    own = method.trace_decay, method.replacing, config.max_steps, method.n
    memory = method.memory(mdp, config.max_steps)
    return mdp, rng, *rates, float(own[0]), *own[1:], memory


def _functions(mdp: FiniteMDP, method: Method, compiled: bool) -> tuple[Callable[..., Any], ...]:
    """The loop, the episode and the update: as they are, or compiled."""
    if not compiled:
        return train, method.episode, method.update
    certain = mdp.next_state.shape[2] == 1 and not mdp.noise.any()
    instead = {"move": certain_move} if certain else {}
    return (
        compile_rule(train),
        compile_rule(method.episode, **instead),
        compile_rule(method.update),
    )


class Rollout(NamedTuple):
    """One episode of a policy."""

    total: float  # sum of the rewards, each discounted by gamma for every step before it
    length: int
    terminated: bool  # false where the steps ran out: a greedy policy may walk in a circle


def greedy_return(
    mdp: FiniteMDP, q: np.ndarray, *, gamma: float = 1.0, max_steps: int = 1_000, seed: int = 0
) -> Rollout:
    """One episode that takes an action of the highest value in each state; ties at random.

    Args:
        mdp: the world.
        q: [S, A].
        gamma: discount of one step.
        max_steps: the episode is cut off after so many.
        seed: of the ties and of the world.
    """
    rng = generator(seed, "greedy")
    state, total, length, terminated = mdp.start, 0.0, 0, False
    while length < max_steps and not terminated:
        action = epsilon_greedy(q[state], 0.0, rng)
        state, reward, terminated = move(mdp, state, action, rng)
        total, length = total + gamma**length * reward, length + 1
    return Rollout(float(total), length, bool(terminated))
