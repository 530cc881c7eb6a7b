"""Policy gradients without a framework: settings, starting weights, and what a learner offers.

Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement
learning" (1992); Sutton et al., "Policy gradient methods for reinforcement learning with function
approximation" (2000); Schulman et al., "Proximal policy optimization algorithms" (2017).
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from numbers import Integral
from typing import Any, Generic, NamedTuple, Protocol

import numpy as np

from companion.core.seeding import generator
from companion.rl.replay import Array, Other

BASELINES = ("none", "value")
FRACTIONS = ("gamma", "gae_lambda")
COUNTS = ("rollout_length", "epochs", "slate_size")
NOT_NEGATIVE = ("value_coef", "entropy_coef")
ABOVE_ZERO = ("learning_rate", "adam_epsilon")
ABOVE_ZERO_OR_NONE = ("clip_ratio", "max_gradient_norm", "target_kl")
QUIET = 0.01  # of the last policy layer's starting weights: all actions begin almost alike


@dataclass(frozen=True)
class PolicyGradientConfig:
    """Settings that mean the same in both frameworks. The defaults are those of `ppo()`.

    Raises:
        ValueError: a setting is out of its range, or two do not go together; they are named.
    """

    gamma: float = 0.99  # discount of one step, in [0, 1]
    gae_lambda: float = 0.95  # 0: the TD error; 1: the whole return. Schulman et al. (2016)
    hidden_sizes: tuple[int, ...] = (64, 64)  # of the policy, and again of the value
    learning_rate: float = 3e-4  # of Adam
    adam_epsilon: float = 1e-8
    max_gradient_norm: float | None = 0.5  # of all gradients together; None: no clipping
    rollout_length: int = 128  # steps of each environment between two updates
    epochs: int = 10  # passes over a rollout
    minibatch_size: int | None = 64  # steps of one update; None: the whole rollout
    clip_ratio: float | None = 0.2  # PPO's epsilon; None: the plain policy gradient
    target_kl: float | None = None  # no more passes once the policy has moved so far
    value_coef: float = 0.5
    entropy_coef: float = 0.0
    normalize_advantage: bool = True
    baseline: str = "value"  # "none": the return alone, and no value network
    slate_size: int = 1  # K items at once, in their order, none twice

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden_sizes", tuple(self.hidden_sizes))
        for name, right in self._ranges().items():
            if not right:
                raise ValueError(f"{name} is out of range: {getattr(self, name)}")
        if self.baseline == "none" and self.gae_lambda != 1:
            raise ValueError(f'gae_lambda must be 1 with baseline "none"; got {self.gae_lambda}')
        if self.clip_ratio is None and self.epochs > 1:
            raise ValueError(
                f"epochs must be 1 where clip_ratio is None; got {self.epochs}: a second pass "
                "would take the data of an older policy for its own"
            )

    def _ranges(self) -> dict[str, bool]:
        value = {name: getattr(self, name) for name in self.__dataclass_fields__}
        right = {name: 0 <= value[name] <= 1 for name in FRACTIONS}
        right |= {name: _whole(value[name]) for name in COUNTS}
        right |= {name: 0 <= value[name] < np.inf for name in NOT_NEGATIVE}
        right |= {name: 0 < value[name] < np.inf for name in ABOVE_ZERO}
        right |= {name: value[name] is None or value[name] > 0 for name in ABOVE_ZERO_OR_NONE}
        right["minibatch_size"] = self.minibatch_size is None or _whole(self.minibatch_size)
        right["hidden_sizes"] = all(map(_whole, self.hidden_sizes))
        right["baseline"] = self.baseline in BASELINES
        return right


def _whole(value: object) -> bool:
    return isinstance(value, Integral) and int(value) >= 1


def reinforce(**changes: Any) -> PolicyGradientConfig:
    """REINFORCE: the return alone says how good an action was. Williams (1992).

    `baseline="value"` makes it REINFORCE with baseline: book section 13.4.
    """
    return replace(actor_critic(), **{"gae_lambda": 1.0, "baseline": "none", **changes})


def actor_critic(**changes: Any) -> PolicyGradientConfig:
    """Advantage actor-critic: one update from each rollout. Mnih et al. (2016), Schulman (2016)."""
    usual = {"learning_rate": 2e-3, "rollout_length": 32, "epochs": 1}
    return PolicyGradientConfig(**{**usual, "minibatch_size": None, "clip_ratio": None, **changes})


def ppo(**changes: Any) -> PolicyGradientConfig:
    """PPO with the clipped objective: several passes over each rollout. Schulman et al. (2017)."""
    return PolicyGradientConfig(**changes)


class PolicyBatch(NamedTuple, Generic[Array]):
    """Steps to learn from. The leading axes are free: [B, ...] or [J, B, ...]."""

    obs: Array  # [..., D] float32
    action: Array  # [..., K] int64, the items of the slate in their order
    log_prob: Array  # [...] float32, of the slate under the policy that chose it
    advantage: Array  # [...] float32
    target: Array  # [...] float32, what the value network should say
    mask: Array | None  # [..., A] bool, what was allowed; None: every action

    def each(self, change: Callable[[Array], Other]) -> "PolicyBatch[Other]":
        """The same function of every column that is there."""
        return PolicyBatch(*(None if column is None else change(column) for column in self))  # type: ignore[arg-type]


class Diagnostics(NamedTuple):
    """What an update says of itself, before its step: [J] each, or one mean each."""

    loss: Any  # policy_loss + value_coef value_loss - entropy_coef entropy
    policy_loss: Any
    value_loss: Any
    entropy: Any  # nats, of the slate's first place
    approx_kl: Any  # nats: mean of ratio - 1 - log ratio, from the acting policy to this one
    clip_fraction: Any  # share of steps whose ratio lies outside 1 +- clip_ratio


class ActorCritic(Protocol):
    """All that a framework has to provide for the training loop. NumPy in, NumPy out."""

    config: PolicyGradientConfig

    def logits(self, obs: np.ndarray) -> np.ndarray:
        """[N, D] -> [N, A] float32, before any mask."""

    def values(self, obs: np.ndarray) -> np.ndarray:
        """[N, D] -> [N] float32; zeros without a baseline."""

    def update(self, batch: PolicyBatch[np.ndarray]) -> Diagnostics:
        """J updates from [J, B, ...] steps, one after the other."""

    def state(self) -> dict[str, np.ndarray]:
        """Networks and optimiser, as arrays by name."""

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave."""


Shapes = dict[str, tuple[int, ...]]


def weight_shapes(config: PolicyGradientConfig, obs_size: int, num_actions: int) -> Shapes:
    """The arrays of both networks by name, kernels [in, out]: "policy/0/kernel" is the first.

    Raises:
        ValueError: a slate has more items than there are actions.
    """
    if config.slate_size > num_actions:
        raise ValueError(f"a slate of {config.slate_size} needs as many actions; got {num_actions}")
    heads = {"policy": num_actions, "value": 1}
    if config.baseline == "none":
        del heads["value"]
    shapes: Shapes = {}
    for network, outputs in heads.items():
        for number, pair in enumerate(pairwise((obs_size, *config.hidden_sizes, outputs))):
            shapes[f"{network}/{number}/kernel"] = pair
            shapes[f"{network}/{number}/bias"] = pair[1:]
    return shapes


def initial_weights(shapes: Shapes, seed: int) -> dict[str, np.ndarray]:
    """Uniform within 1 / sqrt(inputs), the policy's last layer within a hundredth of it.

    So the first policy takes each action almost equally often, which learns faster: Andrychowicz
    et al., "What matters for on-policy deep actor-critic methods?" (2021). The same in both
    frameworks.
    """
    rng, weights, bound = generator(seed, "policy-network"), {}, 1.0
    last = f"policy/{sum(n.startswith('policy') for n in shapes) // 2 - 1}/"
    for name, shape in shapes.items():
        if len(shape) == 2:  # a bias follows the kernel of its layer
            bound = shape[0] ** -0.5
        size = bound * (QUIET if name.startswith(last) else 1.0)
        weights[name] = rng.uniform(-size, size, shape).astype(np.float32)
    return weights


def network_output(weights: dict[str, np.ndarray], network: str, obs: np.ndarray) -> np.ndarray:
    """One of the two networks in NumPy, tanh after each hidden layer: [..., D] -> [..., outputs].

    The reference of both twins, and what they act by on a CPU.

    Args:
        weights: by the names of `weight_shapes`.
        network: "policy" for logits [..., A], or "value" for [..., 1]; zeros where it is missing.
        obs: [..., D].
    """
    if f"{network}/0/kernel" not in weights:
        return np.zeros((*obs.shape[:-1], 1), np.float32)
    x, number = obs, 0
    while f"{network}/{number}/kernel" in weights:
        x = x if number == 0 else np.tanh(x)
        x = x @ weights[f"{network}/{number}/kernel"] + weights[f"{network}/{number}/bias"]
        number += 1
    return x


def agent_settings(config: PolicyGradientConfig, obs_size: int, num_actions: int) -> dict[str, Any]:
    """What an agent's file says beside the weights."""
    sizes = {"obs_size": obs_size, "num_actions": num_actions}
    return {"agent": "policy_gradient", "config": asdict(config), **sizes}


def read_settings(settings: dict[str, Any]) -> tuple[PolicyGradientConfig, int, int]:
    """The settings of an agent's file, back again.

    Raises:
        ValueError: the file holds something other than a policy-gradient agent.
    """
    if settings.get("agent") != "policy_gradient":
        raise ValueError(
            f"this file holds no policy-gradient agent; its settings are {sorted(settings)}"
        )
    config = PolicyGradientConfig(**settings["config"])
    return config, settings["obs_size"], settings["num_actions"]
