"""Policy gradients in TensorFlow. Twin: companion/pytorch/policy_gradient.py."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tensorflow import Tensor

from companion.core.checkpoint import check_weights, load, save
from companion.rl.dqn import unflatten
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
from companion.tensorflow.slate_policy import entropy, masked_logits, slate_log_probability


class PolicyNetwork(keras.Model):
    """An observation -> a logit for each action, and its value: [..., D] -> [..., A] and [...].

    Two networks without a common layer, tanh after each hidden one: a value loss of any size leaves
    the policy's features alone. Without a baseline there is no value network, and values are 0.
    """

    def __init__(self, config: PolicyGradientConfig, obs_size: int, num_actions: int):
        super().__init__()
        sizes, dense = (obs_size, *config.hidden_sizes), keras.layers.Dense
        self.policy = [dense(n, "tanh") for n in config.hidden_sizes] + [dense(num_actions)]
        valued = config.baseline == "value"
        self.value = [dense(n, "tanh") for n in config.hidden_sizes] + [dense(1)] if valued else []
        for layers in (self.policy, self.value):
            for layer, size in zip(layers, sizes, strict=False):
                layer.build((None, size))

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
        self.network = PolicyNetwork(config, obs_size, num_actions)
        self._variables = [v.value for v in self.network.trainable_variables]
        self._adam = keras.optimizers.Adam(
            config.learning_rate,
            epsilon=config.adam_epsilon,
            global_clipnorm=config.max_gradient_norm,
        )
        self._adam.build(self.network.trainable_variables)
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
        gradients, _ = self._backward(batch.each(tf.convert_to_tensor))
        return {k: np.array(g) for k, g in zip(self._shapes, gradients, strict=True)}

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights by name, kernels [in, out]."""
        return self._by_name(self._variables)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights; the optimiser keeps its state.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        self._assign(self._variables, weights)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and optimiser, as arrays by name: all that a run goes on from."""
        parts = self._parts().items()
        arrays = {f"{p}/{k}": v for p, part in parts for k, v in self._by_name(part).items()}
        return {**arrays, "adam_steps": np.array(self._adam.iterations.numpy(), np.float32)}

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Takes over what `state` gave, in either framework.

        Raises:
            ValueError: a name or a shape does not fit; it is named.
        """
        for part, variables in self._parts().items():
            own = {k[len(part) + 1 :]: v for k, v in state.items() if k.startswith(f"{part}/")}
            self._assign(variables, own)
        self._adam.iterations.assign(int(state["adam_steps"]))

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
        updates = tf.shape(batch.action)[0]

        def one(j: Tensor, rows: tf.TensorArray) -> tuple[Tensor, tf.TensorArray]:
            gradients, found = self._backward(batch.each(lambda column: column[j]))
            self._adam.apply(gradients, self.network.trainable_variables)
            return j + 1, rows.write(j, found)

        start = tf.constant(0), tf.TensorArray(tf.float32, updates)
        _, rows = tf.while_loop(lambda j, _: j < updates, one, start, parallel_iterations=1)
        return rows.stack(), tf.concat([tf.reshape(v, [-1]) for v in self._variables], 0)

    def _backward(self, batch: PolicyBatch[Tensor]) -> tuple[list[Tensor], Tensor]:
        with tf.GradientTape() as tape:
            loss, found = self._loss(self.network, batch, self.config)
        return tape.gradient(loss, self._variables), found

    def _parts(self) -> dict[str, list[tf.Variable]]:
        names = [v.path.split("/")[-1] for v in self._adam.variables]
        kinds = {"first": "momentum", "second": "velocity"}
        named = list(zip(names, (v.value for v in self._adam.variables), strict=True))
        moments = {k: [v for n, v in named if n.endswith(end)] for k, end in kinds.items()}
        return {"network": self._variables, **moments}

    def _by_name(self, variables: list[tf.Variable]) -> dict[str, np.ndarray]:
        return {k: v.numpy() for k, v in zip(self._shapes, variables, strict=True)}

    def _assign(self, variables: list[tf.Variable], weights: dict[str, np.ndarray]) -> None:
        check_weights(weights, self._shapes)
        for name, variable in zip(self._shapes, variables, strict=True):
            variable.assign(weights[name])
        self._acting = self.get_weights()
