"""Faults that others reported, about replay, targets and loops; each is a test of ours."""

import json

import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from parity import FRAMEWORKS, array, load, tensor
from test_rl_n_step import one_env, target
from test_rl_prioritized import replay_of
from test_rl_replay import filled, numbered, stored
from test_rl_training import LinearLearner, Walk
from worlds import InPlace, ThreeSteps

from companion.core.seeding import generator
from companion.rl.dqn import DQNConfig, epsilon_at
from companion.rl.prioritized import SumTree
from companion.rl.replay import Batch
from companion.rl.targets import td_loss_reference, td_target_reference
from companion.rl.training import Training

CASES = json.loads(
    """{
"RL-02": {"r": 1, "gamma": 0.9, "q_next": 5, "target": 1.0},
"RL-05": {"r": 1, "gamma": 0.9, "q_next": [3, 9, 4], "mask_next": [0, 0, 0], "target": 1.0},
"RL-14": {"fraction": 0.1, "start": 1.0, "end": 0.05, "checks": [
          {"total": 5, "step": 1, "eps": 0.05}, {"total": 1000, "step": 50, "eps": 0.525},
          {"total": 1000, "step": 400, "eps": 0.05}]},
"RL-18": {"capacity": 5, "added": 7, "window": 2, "valid": [[2, 3], [3, 4], [4, 5], [5, 6]]},
"RL-19": {"capacity": 4, "priorities": [4, 1], "beta": 0.4, "weights": [0.574349, 1.0]},
"RL-23": {"train_every": 3, "target_every": 500, "steps": 3000, "expected_updates": 6},
"RL-24": {"q": [1, 2, 3], "action": 1, "target": 5, "squared_error": 9.0},
"RL-25": {"episode_length": 3, "autoreset": "next_step", "calls": 8, "real_transitions": 6}
}"""
)


def one(**columns):
    """Reward 1, gamma 0.9, an action 0 of three."""
    usual = {
        "obs": np.zeros((1, 2), np.float32),
        "action": np.array([0]),
        "reward": np.float32([1]),
        "next_obs": np.zeros((1, 2), np.float32),
        "terminated": np.array([False]),
        "discount": np.float32([0.9]),
        "next_mask": None,
        "weight": None,
    }
    return Batch(**{**usual, **columns})


def learner_with(twin, bias):
    """Every observation has these values; an infinite one would make the loss infinite."""
    each = twin.DQNLearner(DQNConfig(hidden_sizes=(4,)), obs_size=2, num_actions=3, seed=0)
    weights = {name: np.zeros_like(value) for name, value in each.get_weights().items()}
    each.set_weights({**weights, "q/bias": np.float32(bias)})
    return each


def loss_of(twin, each, batch):
    native = batch.each(lambda column: tensor(twin, column))
    loss, errors = twin.td_loss(each.online, each.target, native, each.config)
    return float(array(loss)), array(errors)


@pytest.fixture(params=FRAMEWORKS)
def twin(request):
    found = load(request.param)
    if not hasattr(found, "DQNLearner"):
        pytest.skip("there is no DQNLearner")
    return found


def test_rl_02_the_end_wins_over_the_time_limit(twin):
    """Both at once: the target is 1.0, not 5.5."""
    case = CASES["RL-02"]

    class Both(Walk):
        def step(self, action):
            obs, _, _, _, info = super().step(action)
            return obs, 1.0, True, True, info

    training = Training(Both(), LinearLearner(gamma=case["gamma"]), seed=0).run(5)
    batch = training.replay.take(np.arange(5))
    assert batch.terminated.all()
    found = td_target_reference(batch, np.full((5, 3), float(case["q_next"])))
    assert found.tolist() == [case["target"]] * 5
    each, ends = learner_with(twin, [case["q_next"]] * 3), one(terminated=np.array([True]))
    assert loss_of(twin, each, ends)[1].tolist() == [case["target"] - case["q_next"]]
    assert loss_of(twin, each, one())[1] == pytest.approx([5.5 - case["q_next"]])


@pytest.mark.parametrize(
    "nothing",
    [{"next_mask": np.zeros((1, 3), bool)}, {"terminated": np.array([True])}],
    ids=["nothing is allowed", "terminal"],
)
def test_rl_05_infinite_values_after_the_end_do_not_spread(twin, nothing):
    batch = one(**nothing)
    case = CASES["RL-05"]
    for q_next in ([case["q_next"]], np.full((1, 3), -np.inf), np.full((1, 3), np.inf)):
        found = td_target_reference(batch, np.asarray(q_next, float))
        assert found.tolist() == [case["target"]]
    each = learner_with(twin, [0, 2, 3])
    far = batch._replace(next_obs=np.full((1, 2), np.inf, np.float32))  # makes infinite values
    loss, errors = loss_of(twin, each, far)
    assert (loss, errors.tolist()) == (1.0, [1.0])
    assert all(np.isfinite(value).all() for value in each.gradients(far).values())


def test_rl_14_a_short_run_has_a_schedule():
    case = CASES["RL-14"]
    for check in case["checks"]:
        steps = max(1, int(case["fraction"] * check["total"]))
        config = DQNConfig(
            epsilon_start=case["start"], epsilon_end=case["end"], epsilon_steps=steps
        )
        assert epsilon_at(config, check["step"]) == pytest.approx(check["eps"])
        assert epsilon_at(config, 0) == case["start"]


def test_rl_15_an_array_that_is_reused_is_stored_each_time():
    training = Training(InPlace(), LinearLearner(1, 2), seed=0).run(6)
    batch = training.replay.take(np.arange(6))
    assert batch.obs[:, 0].tolist() == [1, 2, 3] * 2
    assert batch.next_obs[:, 0].tolist() == [2, 3, 4] * 2


def test_rl_16_each_pair_is_stored_once():
    for n in (1, 3):
        assert [int(entry.obs[1]) for entry in one_env(n, [0] * 8, {3, 7})] == list(range(8))
    tail = one_env(3, [0, 0, 1, 1], {3})[2]
    assert target(tail, value=5.0) == pytest.approx(1.9)


def test_rl_17_the_ring_is_full_when_it_is():
    replay = filled(200, 300)
    assert (len(replay), replay.full) == (200, False)
    assert (replay.sample((999,), generator(0))[0].discount > 0).all()
    replay.add(numbered(*range(200, 350)))
    assert (len(replay), replay.full) == (300, True)
    assert stored(replay).min() == 50


def test_rl_18_no_window_crosses_the_write_head():
    case = CASES["RL-18"]
    replay = filled(case["added"], case["capacity"])
    assert stored(replay)[replay.windows(case["window"])].tolist() == case["valid"]


def test_rl_19_empty_rows_have_no_priority():
    case = CASES["RL-19"]
    replay = replay_of(case["priorities"], case["capacity"], case["beta"])
    batch, rows = replay.sample((10,), generator(0))
    assert set(rows) == {0, 1}
    assert batch.weight == pytest.approx(np.array(case["weights"])[rows], abs=1e-6)


def test_rl_21_sums_do_not_drift():
    tree = SumTree(2**20)
    tree[np.arange(2**20)] = np.float32(0.1)
    assert tree.total == pytest.approx(104_857.6, rel=1e-3)
    assert tree.find(np.array([0.0, tree.total])).tolist() == [0, 2**20 - 1]


def test_rl_23_the_target_network_has_its_own_count():
    case = CASES["RL-23"]
    every = {"train_every": case["train_every"], "sync_every": case["target_every"]}
    learner = LinearLearner(**every, warmup=0)
    Training(Walk(), learner, seed=0).run(case["steps"])
    assert len(learner.asked("sync")) == case["expected_updates"]


def test_rl_24_actions_not_taken_are_left_alone(twin):
    case = CASES["RL-24"]
    reward, action = np.float32([case["target"]]), np.array([case["action"]])
    batch = one(action=action, reward=reward, terminated=np.array([True]))
    found = td_loss_reference(batch, np.array([case["q"]], float), reward, huber=False)
    each = learner_with(twin, case["q"])
    assert found == loss_of(twin, each, batch)[0] == case["squared_error"]
    np.testing.assert_allclose(each.gradients(batch)["q/bias"], [0, -6, 0])


def test_rl_25_steps_that_only_reset_are_not_stored():
    """The loop makes its eighth call only to reset, for the seventh transition."""
    case = CASES["RL-25"]
    envs, calls = SyncVectorEnv([ThreeSteps]), []
    whole = envs.step
    envs.step = lambda actions: (calls.append(1), whole(actions))[1]
    training = Training(envs, LinearLearner(1, 2), seed=0).run(case["real_transitions"])
    assert len(calls) == case["calls"] - 1
    assert training.step == training.replay.added == case["real_transitions"]
    batch = training.replay.take(np.arange(6))
    assert batch.obs[:, 0].tolist() == [0, 1, 2] * 2
    assert batch.next_obs[:, 0].tolist() == [1, 2, 3] * 2
    assert (batch.reward == 1).all()
    assert [episode.step for episode in training.episodes] == [3, 6]
    training.run(1)
    assert len(calls) == case["calls"] + 1
