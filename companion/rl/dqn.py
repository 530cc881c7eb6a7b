"""Deep Q-networks without a framework: settings, starting weights, and what a learner offers.

Mnih et al., "Human-level control through deep reinforcement learning" (2015).
"""

from dataclasses import asdict, dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from companion.core.seeding import generator
from companion.rl.prioritized import PrioritizedReplay
from companion.rl.replay import Batch, Replay
from companion.rl.schedules import Linear

FRACTIONS = ("gamma", "epsilon_start", "epsilon_end", "tau", "priority_alpha", "priority_beta")
COUNTS = ("batch_size", "capacity", "train_every", "updates_per_call", "sync_every", "n_step")
STRETCHES = ("epsilon_steps", "beta_steps")
ABOVE_ZERO = ("learning_rate", "adam_epsilon", "priority_epsilon", "tau")


@dataclass(frozen=True)
class DQNConfig:
    """Settings that mean the same in both frameworks. Steps are steps of one environment.

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    gamma: float = 0.99  # discount of one step, in [0, 1]
    hidden_sizes: tuple[int, ...] = (64, 64)
    dueling: bool = False  # Q = V + A - mean A: Wang et al. (2016)
    double: bool = False  # the online network chooses, the target network values
    huber: bool = False  # Huber's loss rather than the squared one
    learning_rate: float = 2e-3  # of Adam
    adam_epsilon: float = 1e-8
    max_gradient_norm: float | None = 10.0  # of all gradients together; None: no clipping
    batch_size: int = 64
    capacity: int = 10_000  # transitions in the replay
    warmup: int = 500  # steps before the first update
    train_every: int = 5  # steps for each update
    updates_per_call: int = 1  # updates that the learner makes in one call
    sync_every: int = 250  # steps between two moves of the target network
    tau: float = 1.0  # how far it moves: 1 copies, less is Polyak averaging
    epsilon_start: float = 1.0
    epsilon_end: float = 0.05
    epsilon_steps: int = 5_000  # over which epsilon falls, in a straight line
    n_step: int = 1
    prioritized: bool = False
    priority_alpha: float = 0.6
    priority_beta: float = 0.4  # at the start; it rises to 1 over `beta_steps`
    beta_steps: int = 100_000
    priority_epsilon: float = 1e-6
    compiled: bool = False  # torch.compile or XLA; the first call then takes seconds

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_sizes", tuple(self.hidden_sizes))
        wrong = [name for name in FRACTIONS if not 0 <= getattr(self, name) <= 1]
        wrong += [name for name in (*COUNTS, *STRETCHES) if not _whole(getattr(self, name), 1)]
        wrong += [name for name in ABOVE_ZERO if not 0 < getattr(self, name) < np.inf]
        if not _whole(self.warmup, 0):
            wrong.append("warmup")
        if self.max_gradient_norm is not None and not self.max_gradient_norm > 0:
            wrong.append("max_gradient_norm")
        if not all(_whole(size, 1) for size in self.hidden_sizes):
            wrong.append("hidden_sizes")
        if wrong:
            raise ValueError(f"{wrong[0]} is out of range: {getattr(self, wrong[0])}")


def _whole(value: object, least: int) -> bool:
    return isinstance(value, Integral) and int(value) >= least


class QLearner(Protocol):
    """All that a framework has to provide for the training loop. NumPy in, NumPy out."""

    config: DQNConfig

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """[N, D] -> [N, A] float32."""

    def update(self, batch: Batch[np.ndarray]) -> np.ndarray:
        """K updates from [K, B, ...] transitions; the TD errors before each, [K, B]."""

    def sync_target(self, tau: float = 1.0) -> None:
        """target <- tau online + (1 - tau) target."""

    def state(self) -> dict[str, np.ndarray]:
        """Both networks and the optimiser, as arrays by name."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave."""


def epsilon_at(config: DQNConfig, step: int) -> float:
    """The share of random actions at a step: a straight line, then constant."""
    return Linear(config.epsilon_start, config.epsilon_end, config.epsilon_steps)(step)


def beta_at(config: DQNConfig, step: int) -> float:
    """How much of the priority the weights take back at a step: all of it in the end."""
    return Linear(config.priority_beta, 1.0, config.beta_steps)(step)


def make_replay(config: DQNConfig, obs_size: int, num_actions: int) -> Replay:
    """The replay that the settings ask for."""
    if not config.prioritized:
        return Replay(config.capacity, obs_size, num_actions)
    return PrioritizedReplay(
        config.capacity,
        obs_size,
        num_actions,
        alpha=config.priority_alpha,
        epsilon=config.priority_epsilon,
    )


def weight_shapes(config: DQNConfig, obs_size: int, num_actions: int) -> dict[str, tuple[int, ...]]:
    """The arrays of a Q-network by name, kernels [in, out]: hidden layers, then the heads."""
    sizes = (obs_size, *config.hidden_sizes)
    shapes: dict[str, tuple[int, ...]] = {}
    for number, (rows, columns) in enumerate(pairwise(sizes)):
        shapes[f"hidden{number}/kernel"] = (rows, columns)
        shapes[f"hidden{number}/bias"] = (columns,)
    heads = {"value": 1, "advantage": num_actions} if config.dueling else {"q": num_actions}
    for name, columns in heads.items():
        shapes[f"{name}/kernel"] = (sizes[-1], columns)
        shapes[f"{name}/bias"] = (columns,)
    return shapes


def initial_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
    """Uniform within 1 / sqrt(inputs), kernels and biases alike: the same in both frameworks."""
    rng, weights, bound = generator(seed, "q-network"), {}, 1.0
    for name, shape in shapes.items():
        if len(shape) == 2:  # a bias follows the kernel of its layer
            bound = shape[0] ** -0.5
        weights[name] = rng.uniform(-bound, bound, shape).astype(np.float32)
    return weights


def q_values(weights: dict[str, np.ndarray], obs: np.ndarray) -> np.ndarray:
    """The Q-network in NumPy: [N, D] -> [N, A]. ReLU after each hidden layer.

    The reference of both twins, and what they act by on a CPU: for ten rows a call into a
    framework takes longer than the arithmetic.
    """
    x, number = obs, 0
    while f"hidden{number}/kernel" in weights:
        x = x @ weights[f"hidden{number}/kernel"] + weights[f"hidden{number}/bias"]
        x, number = np.maximum(x, 0), number + 1
    if "q/kernel" in weights:
        return x @ weights["q/kernel"] + weights["q/bias"]
    advantage = x @ weights["advantage/kernel"] + weights["advantage/bias"]  # [N, A]
    value = x @ weights["value/kernel"] + weights["value/bias"]  # [N, 1]
    return value + advantage - advantage.mean(-1, keepdims=True)


def agent_settings(config: DQNConfig, obs_size: int, num_actions: int) -> dict[str, Any]:
    """What an agent's file says beside the weights."""
    return {
        "agent": "dqn",
        "config": asdict(config),
        "obs_size": obs_size,
        "num_actions": num_actions,
    }


def read_settings(settings: dict[str, Any]) -> tuple[DQNConfig, int, int]:
    """The settings of an agent's file, back again.

    Raises:
        ValueError: the file holds something other than a DQN agent.
    """
    if settings.get("agent") != "dqn":
        raise ValueError(f"this file holds no DQN agent; its settings are {sorted(settings)}")
    return DQNConfig(**settings["config"]), settings["obs_size"], settings["num_actions"]
