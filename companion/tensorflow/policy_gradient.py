"""Policy gradients in TensorFlow. Twin: companion/pytorch/policy_gradient.py."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.core.checkpoint import joined, load, part_of, save, unflatten
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
from companion.tensorflow._flat import FlatAdam, assign, flatten, named, views
from companion.tensorflow.slate_policy import entropy, masked_logits, slate_log_probability


class PolicyNetwork(keras.Model):
    """An observation -> a logit for each action, and its value: [..., D] -> [..., A] and [...].

    Two networks without a common layer, tanh after each hidden one: a value loss of any size leaves
    the policy's features alone. Without a baseline there is no value network, and values are 0.
    """

    def __init__(self, config: PolicyGradientConfig, obs_size: int, num_actions: int):
        super().__init__()
        dense = keras.layers.Dense
        self.policy = [dense(n, "tanh") for n in config.hidden_sizes] + [dense(num_actions)]
        valued = config.baseline == "value"
        self.value = [dense(n, "tanh") for n in config.hidden_sizes] + [dense(1)] if valued else []
        self(tf.zeros((1, obs_size)))  # makes the weights

    def call(self, obs: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of all actions, and the values."""
        logits, value = obs, obs if self.value else tf.zeros_like(obs[..., :1])
        for layer in self.policy:
            logits = layer(logits)
        for layer in self.value:
            value = layer(value)
        return logits, value[..., 0]


def policy_loss(log_prob: Tensor, batch: PolicyBatch[Tensor], clip_ratio: float | None) -> Tensor:
    """-mean of A log pi(a | s); with a clip ratio -mean of min(ratio A, clip(ratio) A).

    The first is REINFORCE's loss and the actor-critic's, the second PPO's. The advantage has no
    gradient: it is a number that the environment gave.
    """
    if clip_ratio is None:
        return -tf.reduce_mean(batch.advantage * log_prob)
    ratio = tf.exp(log_prob - batch.log_prob)  # [B]
    clipped = tf.clip_by_value(ratio, 1 - clip_ratio, 1 + clip_ratio)  # [B]
    return -tf.reduce_mean(tf.minimum(ratio * batch.advantage, clipped * batch.advantage))


def value_loss(value: Tensor, target: Tensor) -> Tensor:
    """The mean of (target - V)^2. [B], [B]."""
    return tf.reduce_mean(tf.square(target - value))


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
    spread = tf.reduce_mean(entropy(logits))
    loss, squared = policy - config.entropy_coef * spread, tf.zeros_like(policy)
    if config.baseline == "value":
        squared = value_loss(value, batch.target)
        loss = loss + config.value_coef * squared
    change = log_prob - batch.log_prob  # [B]
    clip = np.inf if config.clip_ratio is None else config.clip_ratio
    kl = tf.reduce_mean(tf.exp(change) - 1 - change)
    outside = tf.reduce_mean(tf.cast(tf.abs(tf.exp(change) - 1) > clip, tf.float32))
    return loss, tf.stop_gradient(tf.stack([loss, policy, squared, spread, kl, outside]))


Loss = Callable[..., tuple[Tensor, Tensor]]


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
        self.network = PolicyNetwork(config, obs_size, num_actions)
        self._variables = [v.value for v in self.network.trainable_variables]
        self._adam = FlatAdam(self._variables, config)
        self._on_cpu = not tf.config.get_visible_devices("GPU")
        # Rollouts differ in length where environments only reset: one graph for all lengths.
        self._compiled_steps = tf.function(self._steps, autograph=False, reduce_retracing=True)
        self.set_weights(initial_weights(self._shapes, seed))

    def logits(self, obs: np.ndarray) -> np.ndarray:
        """The policy before any mask: [N, D] -> [N, A] float32."""
        if self._on_cpu:  # ten rows take less time in NumPy than a call into TensorFlow
            return network_output(self._acting, "policy", obs)
        return self.network(tf.convert_to_tensor(obs))[0].numpy()

    def values(self, obs: np.ndarray) -> np.ndarray:
        """What the baseline expects: [N, D] -> [N] float32; zeros without a baseline."""
        if self._on_cpu:
            return network_output(self._acting, "value", obs)[:, 0]
        return self.network(tf.convert_to_tensor(obs))[1].numpy()

    def probabilities(self, obs: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
        """Of each action, or of each item for the first place: [N, D], [N, A] -> [N, A] float64."""
        return probabilities(self.logits(obs), mask)

    def update(self, batch: PolicyBatch[np.ndarray]) -> Diagnostics:
        """J updates from [J, B, ...] steps, one after the other; [J] numbers of each kind."""
        found, weights = self._compiled_steps(batch.each(tf.convert_to_tensor))
        self._acting = unflatten(weights.numpy(), self._shapes)
        return Diagnostics(*found.numpy().T)

    def gradients(self, batch: PolicyBatch[np.ndarray]) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight from [B, ...] steps, before any clipping."""
        weights = flatten(self._variables)
        gradient, _ = self._backward(batch.each(tf.convert_to_tensor), weights)
        return unflatten(gradient.numpy(), self._shapes)

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights by name, kernels [in, out]."""
        return named(self._variables, self._shapes)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights; the optimiser keeps its state.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        assign(self._variables, weights, self._shapes)
        self._acting = self.get_weights()

    def state(self) -> dict[str, np.ndarray]:
        """Weights and optimiser, as arrays by name: all that a run goes on from."""
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

    def _steps(self, batch: PolicyBatch[Tensor]) -> tuple[Tensor, Tensor]:
        """J updates in one graph: a call costs more than a small update does."""

        def backward(j: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
            return self._backward(batch.each(lambda column: column[j]), weights)

        return self._adam.updates(tf.shape(batch.action)[0], backward)

    def _backward(self, batch: PolicyBatch[Tensor], weights: Tensor) -> tuple[Tensor, Tensor]:
        """The loss's gradient by all weights, [W], and the diagnostics, [6]."""

        def network(obs: Tensor) -> tuple[Tensor, Tensor]:
            found, _ = self.network.stateless_call(views(weights, self._variables), [], obs)
            return found

        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss, found = self._loss(network, batch, self.config)
        return tape.gradient(loss, weights), found

    def _parts(self) -> dict[str, list[tf.Variable]]:
        return {"network": self._variables, **self._adam.moments}
