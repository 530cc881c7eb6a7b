"""The peers of `dqn.py` and `dqn_agreement.py`, all with one set of settings.

Stable-Baselines3 has Huber's loss built in. With these settings it learns nothing in 100,000 steps,
so the squared loss takes its place: it is the only change, and it costs no time.
"""

import random
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np

TASK = "CartPole-v1"


def settings(steps: int, **changes: Any) -> dict[str, Any]:
    """The settings of a run of so many steps, under the names of `DQNConfig`."""
    return {
        "gamma": 0.99,
        "hidden_sizes": (120, 84),
        "learning_rate": 2.5e-4,
        "max_gradient_norm": 10.0,
        "batch_size": 128,
        "capacity": 10_000,
        "warmup": min(10_000, steps // 4),
        "train_every": 10,
        "sync_every": 500,
        "epsilon_start": 1.0,
        "epsilon_end": 0.05,
        "epsilon_steps": max(steps // 2, 1),
        **changes,
    }


def stable_baselines(given: dict[str, Any], env: Any, steps: int, seed: int) -> Any:
    """Its DQN with the squared loss. `steps` are those that `learn` will be asked for."""
    from stable_baselines3 import DQN
    from stable_baselines3.dqn import dqn as module
    from torch.nn import functional as F

    module.F = SimpleNamespace(smooth_l1_loss=F.mse_loss)  # all that the module uses of it
    return DQN(
        "MlpPolicy",
        env,
        learning_rate=given["learning_rate"],
        buffer_size=given["capacity"],
        learning_starts=given["warmup"],
        batch_size=given["batch_size"],
        gamma=given["gamma"],
        train_freq=given["train_every"],
        target_update_interval=given["sync_every"],
        exploration_fraction=given["epsilon_steps"] / steps,
        exploration_initial_eps=given["epsilon_start"],
        exploration_final_eps=given["epsilon_end"],
        max_grad_norm=given["max_gradient_norm"],
        policy_kwargs={"net_arch": list(given["hidden_sizes"])},
        seed=seed,
        device="cpu",
    )


class PlainScript:
    """A script of one page in the manner of CleanRL: one environment, every step by hand."""

    def __init__(self, given: dict[str, Any], env: Any, seed: int):
        import torch

        torch.manual_seed(seed)
        random.seed(seed)
        self.given, self.env, self.updates = given, env, 0
        self.rng = np.random.default_rng(seed)
        self.online, self.target = self.network(), self.network()
        self.target.load_state_dict(self.online.state_dict())
        self.adam = torch.optim.Adam(self.online.parameters(), lr=given["learning_rate"])
        size, width = given["capacity"], env.observation_space.shape[0]
        self.obs = np.zeros((size, width), np.float32)
        self.next_obs = np.zeros((size, width), np.float32)
        self.action = np.zeros((size, 1), np.int64)
        self.reward = np.zeros(size, np.float32)
        self.terminated = np.zeros(size, np.float32)

    def network(self) -> Any:
        from torch import nn

        sizes = [self.env.observation_space.shape[0], *self.given["hidden_sizes"]]
        layers: list[nn.Module] = []
        for rows, columns in pairwise(sizes):
            layers += [nn.Linear(rows, columns), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], int(self.env.action_space.n)))

    def run(self, steps: int, seed: int) -> None:
        import torch

        given, obs = self.given, self.env.reset(seed=seed)[0]
        self.env.action_space.seed(seed)
        for step in range(1, steps + 1):
            share = min(step / given["epsilon_steps"], 1.0)
            epsilon = (1 - share) * given["epsilon_start"] + share * given["epsilon_end"]
            if random.random() < epsilon:
                action = int(self.env.action_space.sample())
            else:
                action = int(self.online(torch.tensor(obs)).argmax())
            next_obs, reward, terminated, truncated, _ = self.env.step(action)
            self.store((step - 1) % given["capacity"], obs, action, reward, next_obs, terminated)
            obs = self.env.reset()[0] if terminated or truncated else next_obs
            if step > given["warmup"] and step % given["train_every"] == 0:
                self.update(
                    self.rng.integers(min(step, given["capacity"]), size=given["batch_size"])
                )
            if step % given["sync_every"] == 0:
                self.target.load_state_dict(self.online.state_dict())

    def store(self, row: int, obs: Any, *rest: Any) -> None:
        self.obs[row] = obs
        self.action[row], self.reward[row], self.next_obs[row], self.terminated[row] = rest

    def update(self, rows: np.ndarray) -> None:
        import torch
        from torch import nn
        from torch.nn import functional as F

        with torch.no_grad():
            best = self.target(torch.tensor(self.next_obs[rows])).max(dim=1).values
            going_on = 1 - torch.tensor(self.terminated[rows])
            y = torch.tensor(self.reward[rows]) + self.given["gamma"] * best * going_on
        q = self.online(torch.tensor(self.obs[rows])).gather(1, torch.tensor(self.action[rows]))
        loss = F.mse_loss(q.squeeze(1), y)
        self.adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.online.parameters(), self.given["max_gradient_norm"])
        self.adam.step()
        self.updates += 1


def tf_agents(given: dict[str, Any], steps: int, seed: int) -> tuple[Any, Any]:
    """TF-Agents' DQN in its usual form: a driver and a training step, each a TensorFlow function.

    Needs Python with tf-agents 0.19, TensorFlow 2.15 and NumPy 1.

    Returns:
        A function that runs all steps and gives the number of updates; and the weights' number.
    """
    import tensorflow as tf
    from tf_agents.agents.dqn import dqn_agent
    from tf_agents.drivers.dynamic_step_driver import DynamicStepDriver
    from tf_agents.environments import suite_gym, tf_py_environment
    from tf_agents.networks.q_network import QNetwork
    from tf_agents.policies.random_tf_policy import RandomTFPolicy
    from tf_agents.replay_buffers.tf_uniform_replay_buffer import TFUniformReplayBuffer
    from tf_agents.utils import common

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.random.set_seed(seed)
    env = tf_py_environment.TFPyEnvironment(suite_gym.load(TASK))
    network = QNetwork(
        env.observation_spec(), env.action_spec(), fc_layer_params=given["hidden_sizes"]
    )
    every, counter = given["train_every"], tf.Variable(0, dtype=tf.int64)
    falling = tf.keras.optimizers.schedules.PolynomialDecay(
        given["epsilon_start"], given["epsilon_steps"] // every, given["epsilon_end"]
    )
    agent = dqn_agent.DqnAgent(
        env.time_step_spec(),
        env.action_spec(),
        q_network=network,
        optimizer=tf.keras.optimizers.Adam(given["learning_rate"], epsilon=1e-8),
        epsilon_greedy=lambda: falling(counter + given["warmup"] // every),
        target_update_period=given["sync_every"] // every,
        td_errors_loss_fn=common.element_wise_squared_loss,
        gamma=given["gamma"],
        gradient_clipping=given["max_gradient_norm"],
        train_step_counter=counter,
    )
    agent.initialize()
    replay = TFUniformReplayBuffer(agent.collect_data_spec, 1, given["capacity"])
    sampled = replay.as_dataset(sample_batch_size=given["batch_size"], num_steps=2)
    train = common.function(agent.train)

    def driver(policy: Any, count: int) -> Any:
        made = DynamicStepDriver(env, policy, [replay.add_batch], num_steps=count)
        return common.function(made.run)

    def run() -> int:
        driver(RandomTFPolicy(env.time_step_spec(), env.action_spec()), given["warmup"])()
        collect, batches = driver(agent.collect_policy, every), iter(sampled)
        for _ in range((steps - given["warmup"]) // every):
            collect()
            train(next(batches)[0])
        return int(counter.numpy())

    return run, int(sum(np.prod(v.shape) for v in network.trainable_variables))
