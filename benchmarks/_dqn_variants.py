"""What `dqn.py` measures: each variant prepares itself, then makes its steps."""

import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from _dqn_peers import TASK, PlainScript, settings, stable_baselines, tf_agents

Play = Callable[[int, int], Iterator[dict[str, Any]]]  # (steps, seed): prepares, then runs
ENVS, CALL = 10, 10  # environments of ours; updates in one call


def play_stable_baselines(steps: int, seed: int) -> Iterator[dict[str, Any]]:
    import gymnasium as gym

    one_thread("pytorch")
    model = stable_baselines(settings(steps), gym.make(TASK), steps, seed)
    yield {}
    model.learn(steps)
    yield {
        "updates": model._n_updates,
        "weights": sum(p.numel() for p in model.q_net.parameters()),
    }


def play_plain_script(steps: int, seed: int) -> Iterator[dict[str, Any]]:
    import gymnasium as gym

    one_thread("pytorch")
    script = PlainScript(settings(steps), gym.make(TASK), seed)
    yield {}
    script.run(steps, seed)
    yield {
        "updates": script.updates,
        "weights": sum(p.numel() for p in script.online.parameters()),
    }


def play_tf_agents(steps: int, seed: int) -> Iterator[dict[str, Any]]:
    run, weights = tf_agents(settings(steps), steps, seed)
    yield {}
    yield {"updates": run(), "weights": weights}


def ours(
    framework: str,
    change: Callable[[Any], None] | None = None,
    envs: int = ENVS,
    **settings_too: Any,
) -> Play:
    """A variant of the package's own: `change` alters the learner after it was built."""

    def play(steps: int, seed: int) -> Iterator[dict[str, Any]]:
        from companion.rl.dqn import DQNConfig
        from companion.rl.rollout import make_envs
        from companion.rl.training import Training

        one_thread(framework)
        learner_of = importlib.import_module(f"companion.{framework}.dqn").DQNLearner
        config = DQNConfig(**settings(steps), **settings_too)
        learner = learner_of(config, obs_size=4, num_actions=2, seed=seed)
        if change is not None:
            change(learner)
        training = Training(make_envs(TASK, envs), learner, seed=seed)
        found = {"compiler, s": first_calls(learner, config)}
        yield found
        training.run(steps)
        yield {
            "updates": training.updates,
            "weights": sum(w.size for w in learner.get_weights().values()),
        }

    return play


def first_calls(learner: Any, config: Any) -> float:
    """Two updates and a look at values before the clock starts; the learner is put back after."""
    from companion.rl.replay import Batch

    shape, state = (config.updates_per_call, config.batch_size), learner.state()
    zero = np.zeros(shape, np.float32)
    obs = np.zeros((*shape, 4), np.float32)
    batch = Batch(obs, zero.astype(np.int64), zero, obs, zero.astype(bool), zero, None, None)
    start = time.perf_counter()
    for _ in range(2):
        learner.update(batch)
    learner.q_values(obs[0, :ENVS])
    seconds = time.perf_counter() - start
    learner.restore(state)
    return seconds


def one_thread(framework: str) -> None:
    if framework == "pytorch":
        import torch

        torch.set_num_threads(1)
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def act_in_framework(learner: Any) -> None:
    """Values for acting from the framework rather than from NumPy."""
    learner._acting, learner._on_cpu = None, False


def adam_by_tensor(learner: Any) -> None:
    """Adam and the cutting of gradients as PyTorch does them by default: array by array."""
    import torch

    config, weights = learner.config, list(learner.online.parameters())
    adam = torch.optim.Adam(weights, config.learning_rate, eps=config.adam_epsilon)

    def step() -> None:
        torch.nn.utils.clip_grad_norm_(weights, config.max_gradient_norm)
        adam.step()

    learner._adam.step = step


VARIANTS: dict[str, Play] = {
    "Stable-Baselines3": play_stable_baselines,
    "plain PyTorch script": play_plain_script,
    "TF-Agents": play_tf_agents,
    "PyTorch": ours("pytorch"),
    "PyTorch, 10 updates a call": ours("pytorch", updates_per_call=CALL),
    "PyTorch, compiled": ours("pytorch", compiled=True, updates_per_call=CALL),
    "TensorFlow, 10 updates a call": ours("tensorflow", updates_per_call=CALL),
    "TensorFlow, 10 updates a call, XLA": ours("tensorflow", compiled=True, updates_per_call=CALL),
}
GAINS: dict[str, Play] = {
    "PyTorch": VARIANTS["PyTorch"],
    "PyTorch, one environment": ours("pytorch", envs=1),
    "PyTorch, acting in PyTorch": ours("pytorch", act_in_framework),
    "PyTorch, Adam array by array": ours("pytorch", adam_by_tensor),
    "PyTorch, 10 updates a call": VARIANTS["PyTorch, 10 updates a call"],
    "PyTorch, compiled, 1 update a call": ours("pytorch", compiled=True),
    "PyTorch, compiled, 10 updates a call": VARIANTS["PyTorch, compiled"],
    "TensorFlow, 1 update a call": ours("tensorflow"),
    "TensorFlow, 10 updates a call": VARIANTS["TensorFlow, 10 updates a call"],
    "TensorFlow, 20 updates a call": ours("tensorflow", updates_per_call=20),
    "TensorFlow, 10, one environment": ours("tensorflow", envs=1, updates_per_call=CALL),
    "TensorFlow, 10, acting in TensorFlow": ours(
        "tensorflow", act_in_framework, updates_per_call=CALL
    ),
    "TensorFlow, 1, XLA": ours("tensorflow", compiled=True),
    "TensorFlow, 10, XLA": VARIANTS["TensorFlow, 10 updates a call, XLA"],
}
