"""Deep Q-networks in TensorFlow. Twin: companion/pytorch/dqn.py."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.core.checkpoint import joined, load, part_of, save, unflatten
from companion.rl.dqn import (
    DQNConfig,
    agent_settings,
    initial_weights,
    q_values,
    read_settings,
    weight_shapes,
)
from companion.rl.replay import Batch
from companion.tensorflow._flat import FlatAdam, assign, flatten, named, views


class QNetwork(keras.Model):
    """An observation -> a value for each action: [..., D] -> [..., A].

    With `dueling`, Q = V + A - mean A: Wang et al., "Dueling network architectures" (2016). Without
    the mean, any constant could move between V and A.
    """

    def __init__(self, config: DQNConfig, obs_size: int, num_actions: int):
        super().__init__()
        self.hidden = [keras.layers.Dense(n, activation="relu") for n in config.hidden_sizes]
        self.dueling = config.dueling
        if self.dueling:
            self.value = keras.layers.Dense(1)
            self.advantage = keras.layers.Dense(num_actions)
        else:
            self.q = keras.layers.Dense(num_actions)
        self(tf.zeros((1, obs_size)))  # makes the weights

    def call(self, obs: Tensor) -> Tensor:
        """The values of all actions."""
        x = obs
        for layer in self.hidden:
            x = layer(x)
        if not self.dueling:
            return self.q(x)
        advantage = self.advantage(x)  # [..., A]
        return self.value(x) + advantage - tf.reduce_mean(advantage, -1, keepdims=True)


def td_target(online: QNetwork, target: QNetwork, batch: Batch[Tensor], double: bool) -> Tensor:
    """y = r + gamma^n Q_target(s', a*), and y = r where s' is terminal or allows no action.

    a* maximises Q_target (Mnih et al. 2015) or, with `double`, Q_online (van Hasselt et al. 2016).
    Returns [B] from a batch of tensors; it has no gradient.
    """
    q_next = target(batch.next_obs)  # [B, A]
    chooser = online(batch.next_obs) if double else q_next  # [B, A]
    ends = batch.terminated  # [B]
    if batch.next_mask is not None:
        chooser = tf.where(batch.next_mask, chooser, -np.inf)
        ends = ends | ~tf.reduce_any(batch.next_mask, -1)
    best = tf.argmax(chooser, -1)  # [B]
    future = tf.gather(q_next, best, batch_dims=1)  # [B]
    y = batch.reward + batch.discount * tf.where(ends, 0.0, future)
    return tf.stop_gradient(y)


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
    q = tf.gather(online(batch.obs), batch.action, batch_dims=1)  # [B]
    error = y - q  # [B]
    each = tf.square(error)  # [B]
    if config.huber:
        each = keras.losses.huber(y[:, None], q[:, None])  # [B]: the mean over a last axis of one
    if batch.weight is not None:
        each = batch.weight * each
    return tf.reduce_mean(each), error


Loss = Callable[..., tuple[Tensor, Tensor]]


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
        self.online = QNetwork(config, obs_size, num_actions)
        self.target = QNetwork(config, obs_size, num_actions)
        self._sizes, self._loss = (obs_size, num_actions), loss
        self._shapes = weight_shapes(config, obs_size, num_actions)
        self._variables = [v.value for v in self.online.trainable_variables]
        self._target_variables = [v.value for v in self.target.trainable_variables]
        self._adam = FlatAdam(self._variables, config)
        self._on_cpu = not tf.config.get_visible_devices("GPU")
        self._compiled_steps = tf.function(
            self._steps, autograph=False, jit_compile=config.compiled
        )
        self._graphs: dict[Any, Any] = {}  # tf.function takes 0.3 ms to find them at each call
        self._compiled_sync = tf.function(self._sync, autograph=False)
        self._compiled_network = tf.function(self.online, autograph=False)
        self.set_weights(initial_weights(self._shapes, seed))

    def q_values(self, obs: np.ndarray) -> np.ndarray:
        """The online network's values: [N, D] -> [N, A] float32."""
        if self._on_cpu:  # ten rows take 12 microseconds in NumPy, 240 in TensorFlow
            return q_values(self._acting, obs)
        return self._compiled_network(tf.convert_to_tensor(obs)).numpy()

    def update(self, batch: Batch[np.ndarray]) -> np.ndarray:
        """K updates from [K, B, ...] transitions; the TD errors before each, [K, B]."""
        shapes = tuple(None if column is None else column.shape for column in batch)
        tensors = batch.each(tf.convert_to_tensor)
        if shapes not in self._graphs:
            self._graphs[shapes] = self._compiled_steps.get_concrete_function(tensors)
        errors, weights = self._graphs[shapes](tensors)
        self._acting = unflatten(weights.numpy(), self._shapes)
        return errors.numpy()

    def sync_target(self, tau: float = 1.0) -> None:
        """target <- tau online + (1 - tau) target."""
        self._compiled_sync(tau)

    def gradients(self, batch: Batch[np.ndarray]) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight from [B, ...] transitions, before any clipping."""
        weights = flatten(self._variables)
        gradient, _ = self._backward(batch.each(tf.convert_to_tensor), weights)
        return unflatten(gradient.numpy(), self._shapes)

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the online network's weights by name, kernels [in, out]."""
        return named(self._variables, self._shapes)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights, in the target network too; the optimiser keeps its state.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        assign(self._variables, weights, self._shapes)
        self._acting = self.get_weights()
        self.sync_target()

    def state(self) -> dict[str, np.ndarray]:
        """Both networks and the optimiser, as arrays by name: all that a run goes on from."""
        parts = {part: named(own, self._shapes) for part, own in self._parts().items()}
        return {**joined(parts), "adam_steps": self._adam.steps.numpy()}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave, in either framework.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        for part, variables in self._parts().items():
            assign(variables, part_of(state, part), self._shapes)
        self._adam.steps.assign(state["adam_steps"])
        self._acting = self.get_weights()

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

    def _steps(self, batch: Batch[Tensor]) -> tuple[Tensor, Tensor]:
        """K updates in one graph: a call costs more than a small update does."""

        def backward(k: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            return self._backward(batch.each(lambda column: column[k]), weights)

        return self._adam.updates(batch.action.shape[0], backward)

    def _sync(self, tau: float) -> None:
        for target, online in zip(self._target_variables, self._variables, strict=True):
            target.assign(online if tau == 1 else target + tau * (online - target))

    def _backward(self, batch: Batch[Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
        """The loss's gradient by all weights, [W], and the TD errors, [B]."""

        def online(obs: Tensor) -> Tensor:
            values, _ = self.online.stateless_call(views(weights, self._variables), [], obs)
            return values

        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss, error = self._loss(online, self.target, batch, self.config)
        return tape.gradient(loss, weights), error

    def _parts(self) -> dict[str, list[tf.Variable]]:
        return {"online": self._variables, "target": self._target_variables, **self._adam.moments}
