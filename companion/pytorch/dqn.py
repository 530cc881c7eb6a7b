"""Deep Q-networks in PyTorch. Twin: companion/tensorflow/dqn.py."""

from collections.abc import Callable
from itertools import pairwise
from operator import itemgetter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.core.checkpoint import joined, load, part_of, save
from companion.pytorch._compiled import compiled_updates
from companion.pytorch._flat import FlatAdam, assign, flatten, named, named_views
from companion.pytorch.runtime import chosen_device
from companion.rl.dqn import (
    DQNConfig,
    agent_settings,
    initial_weights,
    q_values,
    read_settings,
    weight_shapes,
)
from companion.rl.replay import Batch


class QNetwork(nn.Module):
    """An observation -> a value for each action: [..., D] -> [..., A].

    With `dueling`, Q = V + A - mean A: Wang et al., "Dueling network architectures" (2016). Without
    the mean, any constant could move between V and A.
    """

    def __init__(self, config: DQNConfig, obs_size: int, num_actions: int):
        super().__init__()
        sizes = (obs_size, *config.hidden_sizes)
        self.hidden = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(sizes))
        self.dueling = config.dueling
        if self.dueling:
            self.value = nn.Linear(sizes[-1], 1)
            self.advantage = nn.Linear(sizes[-1], num_actions)
        else:
            self.q = nn.Linear(sizes[-1], num_actions)

    def forward(self, obs: Tensor) -> Tensor:
        """The values of all actions."""
        x = obs
        for layer in self.hidden:
            x = F.relu(layer(x))
        if not self.dueling:
            return self.q(x)
        advantage = self.advantage(x)  # [..., A]
        return self.value(x) + advantage - advantage.mean(-1, keepdim=True)


@torch.no_grad()
def td_target(online: QNetwork, target: QNetwork, batch: Batch[Tensor], double: bool) -> Tensor:
    """y = r + gamma^n Q_target(s', a*), and y = r where s' is terminal or allows no action.

    a* maximises Q_target (Mnih et al. 2015) or, with `double`, Q_online (van Hasselt et al. 2016).
    Returns [B] from a batch of tensors; it has no gradient.
    """
    q_next = target(batch.next_obs)  # [B, A]
    chooser = online(batch.next_obs) if double else q_next  # [B, A]
    ends = batch.terminated  # [B]
    if batch.next_mask is not None:
        chooser = torch.where(batch.next_mask, chooser, -torch.inf)
        ends = ends | ~batch.next_mask.any(-1)
    best = chooser.argmax(-1, keepdim=True)  # [B, 1]
    future = q_next.gather(-1, best).squeeze(-1)  # [B]
    return batch.reward + batch.discount * torch.where(ends, 0.0, future)


def td_loss(
    online: QNetwork,
    target: QNetwork,
    batch: Batch[Tensor],
    config: DQNConfig,
    aim: Callable[..., Tensor] = td_target,
) -> tuple[Tensor, Tensor]:
    """The weighted mean of (y - Q(s, a))^2, or of Huber's loss of it; and the errors, [B].

    `aim` gives y. Only the action that was taken has a gradient.
    """
    y = aim(online, target, batch, config.double)  # [B]
    q = online(batch.obs).gather(-1, batch.action[:, None]).squeeze(-1)  # [B]
    error = y - q  # [B]
    each = error.square()  # [B]
    if config.huber:
        each = F.huber_loss(q, y, reduction="none")  # [B]
    if batch.weight is not None:
        each = batch.weight * each
    return each.mean(), error.detach()


Loss = Callable[[QNetwork, QNetwork, Batch[Tensor], DQNConfig], tuple[Tensor, Tensor]]


class DQNLearner:
    """Online and target network with their loss and optimiser; NumPy in, NumPy out.

    Args:
        config: settings.
        obs_size: D.
        num_actions: A.
        seed: of the starting weights, which are the same in both frameworks.
        loss: (online, target, batch, config) -> the loss, and the TD errors [B].
    """

    def __init__(
        self,
        config: DQNConfig,
        *,
        obs_size: int,
        num_actions: int,
        seed: int,
        loss: Loss = td_loss,
    ):
        self.config = config
        self.device = chosen_device()
        self.online = QNetwork(config, obs_size, num_actions).to(self.device)
        self.target = QNetwork(config, obs_size, num_actions).to(self.device)
        self._sizes, self._loss = (obs_size, num_actions), loss
        self._shapes = weight_shapes(config, obs_size, num_actions)
        self._weights, self._gradients = flatten(self.online)
        self._target_weights, _ = flatten(self.target)
        self._adam = FlatAdam(
            self._weights,
            self._gradients,
            learning_rate=config.learning_rate,
            epsilon=config.adam_epsilon,
            max_norm=config.max_gradient_norm,
        )
        self._updates: Callable[[list[Batch[Tensor]]], Tensor] = self._eager_updates
        if config.compiled:
            shapes = QNetwork(config, obs_size, num_actions)
            both = self._weights, self._target_weights
            self._updates = compiled_updates(shapes, both, self._adam, loss, config)
        on_cpu = self.device.type == "cpu"
        acting = named_views(self._weights.numpy(), self._shapes) if on_cpu else None
        self._acting = acting  # the same memory
        self.set_weights(initial_weights(self._shapes, seed))

    @torch.no_grad()
    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """The online network's values: [N, D] -> [N, A] float32."""
        if self._acting is not None:  # ten rows take 12 microseconds in NumPy, 30 in PyTorch
            return q_values(self._acting, obs)
        return self.online(torch.from_numpy(obs).to(self.device)).cpu().numpy()

    def update(self, batch: Batch[np.ndarray]) -> np.ndarray:
        """K updates from [K, B, ...] transitions; the TD errors before each, [K, B]."""
        updates = range(len(batch.action))
        batches = [self._tensors(batch.each(itemgetter(k))) for k in updates]
        return self._updates(batches).cpu().numpy()

    def sync_target(self, tau: float = 1.0) -> None:
        """target <- tau online + (1 - tau) target."""
        if tau == 1:
            self._target_weights.copy_(self._weights)
        else:
            self._target_weights.lerp_(self._weights, tau)

    def gradients(self, batch: Batch[np.ndarray]) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight from [B, ...] transitions, before any clipping."""
        self._backward(self._tensors(batch))
        return named(self._gradients, self._shapes)

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the online network's weights by name, kernels [in, out]."""
        return named(self._weights, self._shapes)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights, in the target network too; the optimiser keeps its state.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        assign(self._weights, weights, self._shapes)
        self.sync_target()

    def state(self) -> dict[str, np.ndarray]:
        """Both networks and the optimiser, as arrays by name: all that a run goes on from."""
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
    def load(cls, path: str | Path) -> "DQNLearner":
        """An agent that either framework has saved.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the file holds no DQN agent.
        """
        weights, settings = load(path)
        config, obs_size, num_actions = read_settings(settings)
        learner = cls(config, obs_size=obs_size, num_actions=num_actions, seed=0)
        learner.set_weights(weights)
        return learner

    def _eager_updates(self, batches: list[Batch[Tensor]]) -> Tensor:
        errors = []
        for batch in batches:
            errors.append(self._backward(batch))
            self._adam.step()
        return torch.stack(errors)

    def _backward(self, batch: Batch[Tensor]) -> Tensor:
        loss, error = self._loss(self.online, self.target, batch, self.config)
        self._gradients.zero_()
        loss.backward()
        return error

    def _tensors(self, batch: Batch[np.ndarray]) -> Batch[Tensor]:
        return batch.each(lambda column: torch.from_numpy(column).to(self.device))

    def _parts(self) -> dict[str, Tensor]:
        return {"online": self._weights, "target": self._target_weights, **self._adam.moments}
