"""What `dqn_agreement.py` measures: how good an agent is at several points of its training."""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from _dqn_peers import stable_baselines
from _dqn_variants import one_thread

PEER = "Stable-Baselines3"
EPISODES = 100
Values = Callable[[np.ndarray], np.ndarray]  # observations [N, D] -> [N, A]


class Agent(NamedTuple):
    """Who learns: a framework of ours or the peer, from how many environments."""

    framework: str
    envs: int = 1
    updates_per_call: int = 1


AGENTS = {
    PEER: Agent("stable_baselines3"),
    "PyTorch, 1 environment": Agent("pytorch"),
    "PyTorch, 10 environments": Agent("pytorch", 10),
    "TensorFlow, 10 environments": Agent("tensorflow", 10),
    "TensorFlow, 10, 10 updates a call": Agent("tensorflow", 10, 10),
    "TensorFlow, 100, 10 updates a call": Agent("tensorflow", 100, 10),
}
WORLDS = {"companion/Cliff-v0": 13, "companion/DynaMaze-v0": 14}  # steps of the best path
LIMIT = 200  # steps of an episode there


def train(
    task: str, agent: Agent, given: dict[str, Any], plan: dict[str, int]
) -> list[list[float]]:
    """Scores at each point of one training: the returns' mean and the steps' mean. [P][2]"""
    points: list[list[float]] = []

    def look(q_values: Values) -> None:
        points.append(judge(q_values, task, plan["seed"] * 1_000 + len(points)))

    one_thread("tensorflow" if agent.framework == "tensorflow" else "pytorch")
    learn = train_peer if agent.framework == "stable_baselines3" else train_ours
    learn(task, agent, given, {**plan, "every": plan["steps"] // plan["points"]}, look)
    return points


def train_peer(task: str, agent: Agent, given: Any, plan: dict[str, int], look: Any) -> None:
    import gymnasium as gym
    import torch

    import companion.envs  # noqa: F401 - registers the worlds

    more = {"max_episode_steps": LIMIT} if task in WORLDS else {}
    model = stable_baselines(given, gym.make(task, **more), plan["steps"], plan["seed"])

    def q_values(obs: np.ndarray) -> np.ndarray:
        with torch.no_grad():  # the policy's own coding comes first; these are its vectors
            return model.q_net.q_net(torch.from_numpy(obs)).numpy()

    def each_step(*_: Any) -> bool:
        if model.num_timesteps % plan["every"] == 0:
            look(q_values)
        return True

    model.learn(plan["steps"], callback=each_step)


def train_ours(task: str, agent: Agent, given: Any, plan: dict[str, int], look: Any) -> None:
    from companion.rl.dqn import DQNConfig
    from companion.rl.training import Training

    learner_of = importlib.import_module(f"companion.{agent.framework}.dqn").DQNLearner
    config = DQNConfig(**given, updates_per_call=agent.updates_per_call)
    envs = make(task, agent.envs)
    sizes = sizes_of(envs)
    learner = learner_of(config, **sizes, seed=plan["seed"])
    training = Training(envs, learner, seed=plan["seed"])
    for point in range(1, plan["points"] + 1):
        training.run(max(point * plan["every"] - training.step, 0))
        look(learner.q_values)


def make(task: str, count: int) -> Any:
    import companion.envs  # noqa: F401 - registers the worlds
    from companion.rl.rollout import make_envs

    return make_envs(task, count, **({"max_episode_steps": LIMIT} if task in WORLDS else {}))


def sizes_of(envs: Any) -> dict[str, int]:
    from companion.rl.rollout import action_count, observation_size

    return {
        "obs_size": observation_size(envs.single_observation_space),
        "num_actions": action_count(envs.single_action_space),
    }


def judge(q_values: Values, task: str, seed: int) -> list[float]:
    """Mean return of whole greedy episodes; on the worlds, where all are alike, of one.

    On the worlds the second number is the length of the episode, the limit if it had no end.
    """
    from companion.rl.rollout import evaluate, greedy

    envs = make(task, 1 if task in WORLDS else EPISODES)
    lengths: list[int] = []

    def counted(obs: np.ndarray) -> np.ndarray:
        lengths.append(len(obs))
        return q_values(obs)

    returns = evaluate(greedy(counted), envs, seed=seed)
    return [float(returns.mean()), float(len(lengths))]
