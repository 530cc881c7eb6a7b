"""Policy gradients in PyTorch. Twin: companion/tensorflow/policy_gradient.py."""

from collections.abc import Callable
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from companion.core.checkpoint import joined, load, part_of, save
from companion.pytorch._flat import FlatAdam, assign, flatten, named, named_views
from companion.pytorch.runtime import chosen_device
from companion.pytorch.slate_policy import entropy, masked_logits, slate_log_probability
from companion.rl.policy_gradient import (
    Diagnostics,
    PolicyBatch,
    PolicyGradientConfig,
    agent_settings,
    initial_weights,
    network_output,
    read_settings,
    weight_shapes,
)
from companion.rl.slate_policy import probabilities


class PolicyNetwork(nn.Module):
    """An observation -> a logit for each action, and its value: [..., D] -> [..., A] and [...].

    Two networks without a common layer, tanh after each hidden one: a value loss of any size leaves
    the policy's features alone. Without a baseline there is no value network, and values are 0.
    """

    def __init__(self, config: PolicyGradientConfig, obs_size: int, num_actions: int):
        super().__init__()
        sizes = (obs_size, *config.hidden_sizes)
        self.policy = nn.ModuleList(nn.Linear(*pair) for pair in pairwise((*sizes, num_actions)))
        valued = config.baseline == "value"
        self.value = nn.ModuleList(nn.Linear(*pair) for pair in pairwise((*sizes, 1)) if valued)

    def forward(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of all actions, and the values."""
        logits, value = self.policy[0](obs), torch.zeros_like(obs[..., :1])
        for layer in self.policy[1:]:
            logits = layer(torch.tanh(logits))
        for number, layer in enumerate(self.value):
            value = layer(torch.tanh(value) if number else obs)
        return logits, value[..., 0]


def policy_loss(log_prob: Tensor, batch: PolicyBatch[Tensor], clip_ratio: float | None) -> Tensor:
    """-mean of A log pi(a | s); with a clip ratio -mean of min(ratio A, clip(ratio) A).

    The first is REINFORCE's loss and the actor-critic's, the second PPO's. The advantage has no
    gradient: it is a number that the environment gave.
    """
    if clip_ratio is None:
        return -(batch.advantage * log_prob).mean()
    ratio = (log_prob - batch.log_prob).exp()  # [B]
    clipped = ratio.clamp(1 - clip_ratio, 1 + clip_ratio)  # [B]
    return -torch.minimum(ratio * batch.advantage, clipped * batch.advantage).mean()


def value_loss(value: Tensor, target: Tensor) -> Tensor:
    """The mean of (target - V)^2. [B], [B]."""
    return (target - value).square().mean()


def policy_gradient_loss(
    network: PolicyNetwork, batch: PolicyBatch[Tensor], config: PolicyGradientConfig
) -> tuple[Tensor, Tensor]:
    """policy_loss + value_coef value_loss - entropy_coef entropy; and `Diagnostics` of it, [6].

    The entropy of a slate is that of its first place.
    """
    logits, value = network(batch.obs)  # [B, A], [B]
    if batch.mask is not None:
        logits = masked_logits(logits, batch.mask)
    log_prob = slate_log_probability(logits, batch.action)  # [B]
    policy = policy_loss(log_prob, batch, config.clip_ratio)
    spread = entropy(logits).mean()
    loss, squared = policy - config.entropy_coef * spread, torch.zeros_like(policy)
    if config.baseline == "value":
        squared = value_loss(value, batch.target)
        loss = loss + config.value_coef * squared
    change = (log_prob - batch.log_prob).detach()  # [B]
    clip = torch.inf if config.clip_ratio is None else config.clip_ratio
    kl = (change.exp() - 1 - change).mean()
    outside = ((change.exp() - 1).abs() > clip).float().mean()
    return loss, torch.stack([loss, policy, squared, spread, kl, outside]).detach()


Loss = Callable[[PolicyNetwork, PolicyBatch[Tensor], PolicyGradientConfig], tuple[Tensor, Tensor]]


class PolicyGradientLearner:
    """Policy and value network with their loss and optimiser; NumPy in, NumPy out.

    Args:
        config: settings.
        obs_size: D.
        num_actions: A.
        seed: of the starting weights, which are the same in both frameworks.
        loss: (network, batch, config) -> the loss, and the diagnostics [6].

    Raises:
        ValueError: the slate is longer than there are actions.
    """

    def __init__(
        self,
        config: PolicyGradientConfig,
        *,
        obs_size: int,
        num_actions: int,
        seed: int,
        loss: Loss = policy_gradient_loss,
    ):
        self._shapes = weight_shapes(config, obs_size, num_actions)
        self.config, self._sizes, self._loss = config, (obs_size, num_actions), loss
        self.device = chosen_device()
        self.network = PolicyNetwork(config, obs_size, num_actions).to(self.device)
        self._weights, self._gradients = flatten(self.network)
        self._adam = FlatAdam(
            self._weights,
            self._gradients,
            learning_rate=config.learning_rate,
            epsilon=config.adam_epsilon,
            max_norm=config.max_gradient_norm,
        )
        on_cpu = self.device.type == "cpu"
        acting = named_views(self._weights.numpy(), self._shapes) if on_cpu else None
        self._acting = acting  # the same memory
        self.set_weights(initial_weights(self._shapes, seed))

    @torch.no_grad()
    def logits(self, obs: np.ndarray) -> np.ndarray:
        """The policy before any mask: [N, D] -> [N, A] float32."""
        if self._acting is not None:  # ten rows take less time in NumPy than a call into PyTorch
            return network_output(self._acting, "policy", obs)
        return self.network(torch.from_numpy(obs).to(self.device))[0].cpu().numpy()

    @torch.no_grad()
    def values(self, obs: np.ndarray) -> np.ndarray:
        """What the baseline expects: [N, D] -> [N] float32; zeros without a baseline."""
        if self._acting is not None:
            return network_output(self._acting, "value", obs)[:, 0]
        return self.network(torch.from_numpy(obs).to(self.device))[1].cpu().numpy()

    def probabilities(self, obs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Of each action, or of each item for the first place: [N, D], [N, A] -> [N, A] float64."""
        return probabilities(self.logits(obs), mask)

    def update(self, batch: PolicyBatch[np.ndarray]) -> Diagnostics:
        """J updates from [J, B, ...] steps, one after the other; [J] numbers of each kind."""
        found = []
        for j in range(len(batch.action)):
            found.append(self._backward(batch.each(itemgetter(j))))
            self._adam.step()
        return Diagnostics(*torch.stack(found, -1).cpu().numpy())

    def gradients(self, batch: PolicyBatch[np.ndarray]) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight from [B, ...] steps, before any clipping."""
        self._backward(batch)
        return named(self._gradients, self._shapes)

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights by name, kernels [in, out]."""
        return named(self._weights, self._shapes)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights; the optimiser keeps its state.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        assign(self._weights, weights, self._shapes)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and optimiser, as arrays by name: all that a run goes on from."""
        parts = {part: named(flat, self._shapes) for part, flat in self._parts().items()}
        return {**joined(parts), "adam_steps": self._adam.steps.cpu().numpy().copy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave, in either framework.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        for part, flat in self._parts().items():
            assign(flat, part_of(state, part), self._shapes)
        self._adam.steps.copy_(torch.tensor(state["adam_steps"]))

    def save(self, path: str | Path) -> None:
        """Writes the agent, weights and settings, for use in either framework."""
        save(path, self.get_weights(), agent_settings(self.config, *self._sizes))

    @classmethod
    def load(cls, path: str | Path) -> "PolicyGradientLearner":
        """An agent that either framework has saved.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds no policy-gradient agent.
        """
        weights, settings = load(path)
        config, obs_size, num_actions = read_settings(settings)
        learner = cls(config, obs_size=obs_size, num_actions=num_actions, seed=0)
        learner.set_weights(weights)
        return learner

    def _backward(self, batch: PolicyBatch[np.ndarray]) -> Tensor:
        tensors = batch.each(lambda column: torch.from_numpy(column).to(self.device))
        loss, found = self._loss(self.network, tensors, self.config)
        self._gradients.zero_()
        loss.backward()
        return found

    def _parts(self) -> dict[str, Tensor]:
        return {"network": self._weights, **self._adam.moments}
