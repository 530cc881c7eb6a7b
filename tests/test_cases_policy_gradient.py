"""Faults that others reported, as policy gradients would have them; each is a test of ours."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.vector import SyncVectorEnv
from parity import load
from test_rl_policy_gradient import LinearActorCritic, column, first
from worlds import InPlace, ThreeSteps

from companion.rl.offline_log import collect_log
from companion.rl.on_policy import collect, to_batch
from companion.rl.policy_gradient import PolicyBatch, actor_critic, ppo, reinforce
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.policy_targets import Path, discounted_returns, gae
from companion.rl.rollout import Stepper, as_vector
from companion.rl.slate_policy import draw_slates, entropy, probabilities

CASES = {
    "RL-02": {"reward": 1.0, "gamma": 0.9, "next": 5.0, "target": 1.0, "trap": 5.5},
    "RL-25": {"calls": 8, "real": 6},
}


def one_step(next_value, terminated, truncated, reward=1.0):
    flags = column(terminated) > 0, column(truncated) > 0
    return Path(column(reward), column(0.0), column(next_value), *flags)


def test_rl_02_a_step_that_is_terminal_and_at_the_time_limit_is_terminal():
    case = CASES["RL-02"]
    for ends, expected in (((True, True), "target"), ((False, True), "trap")):
        path = one_step(case["next"], *ends, reward=case["reward"])
        for found in (gae(path, case["gamma"], 0.95), discounted_returns(path, case["gamma"])):
            assert found[0, 0] == pytest.approx(case[expected])


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_rl_05_an_infinite_value_behind_the_end_counts_nothing(value):
    path = one_step(value, terminated=True, truncated=False)
    assert gae(path, 0.9, 0.95).tolist() == [[1.0]]


def test_rl_05_where_nothing_is_allowed_nothing_becomes_nan(twin):
    """The draw says so; a loss that meets such a row, padding for example, stays finite."""
    mask, logits = np.array([[True, True, True], [False] * 3]), np.zeros((2, 3), np.float32)
    with pytest.raises(ValueError, match="row 1: 0 actions are allowed; the slate needs 1"):
        draw_slates(logits, mask, 1, np.random.default_rng(0))
    assert np.isfinite(entropy(logits, mask)).all()
    assert np.isfinite(probabilities(logits, mask)).all()
    module = load(twin.__name__.split(".")[1], ".policy_gradient")
    config = ppo(hidden_sizes=(4,), entropy_coef=0.1)
    each = module.PolicyGradientLearner(config, obs_size=2, num_actions=3, seed=0)
    numbers = {name: np.ones(2, np.float32) for name in ("log_prob", "advantage", "target")}
    batch = PolicyBatch(
        obs=np.ones((2, 2), np.float32), action=np.array([[0], [0]]), mask=mask, **numbers
    )
    assert all(np.isfinite(g).all() for g in each.gradients(batch).values())


class OneReward(SyncVectorEnv):
    """One array for all rewards and one for all ends."""

    def step(self, actions):
        obs, *columns, info = super().step(actions)
        self._kept = getattr(self, "_kept", None) or [np.array(c) for c in columns]
        for kept, new in zip(self._kept, columns, strict=True):
            kept[:] = new
        return obs, *self._kept, info


def test_rl_15_an_array_that_is_reused_is_stored_each_time():
    envs = OneReward([InPlace], autoreset_mode=gym.vector.AutoresetMode.DISABLED)
    for vector in (as_vector(InPlace()), envs):
        stepper = Stepper(vector)
        stepper.reset(0)
        found = collect(stepper, first, 6, whole=False, watch=lambda step: None)
        assert found.obs[:, 0, 0].tolist() == [1, 2, 3] * 2
        assert found.next_obs[:, 0, 0].tolist() == [2, 3, 4] * 2
        assert found.reward[:, 0].tolist() == [2, 3, 4] * 2
        assert found.terminated[:, 0].tolist() == [False, False, True] * 2


def test_rl_15_a_finished_log_keeps_what_each_step_gave():
    envs = OneReward([InPlace], autoreset_mode=gym.vector.AutoresetMode.DISABLED)
    log = collect_log(envs, lambda obs, mask: mask / mask.sum(1, keepdims=True), steps=6, seed=0)
    assert log.reward.tolist() == [2, 3, 4] * 2
    assert log.terminated.tolist() == [False, False, True] * 2


def test_rl_25_steps_that_only_reset_are_not_learnt_from():
    """Nor does anything pass from one episode to the next across them."""
    case = CASES["RL-25"]
    config = reinforce(rollout_length=case["calls"], gamma=0.5, normalize_advantage=False)
    training = PolicyTraining(SyncVectorEnv([ThreeSteps]), LinearActorCritic(config, 1, 2), seed=0)
    training.run(1)
    batch = training.learner.batches[0]
    assert training.step == batch.action.size == case["real"]
    steps = dict(zip(batch.obs[0, :, 0].tolist(), batch.advantage[0].tolist(), strict=True))
    assert steps == {0: 1.75, 1: 1.5, 2: 1.0}
    assert [(e.step, e.length) for e in training.episodes] == [(3, 3), (6, 3)]


def test_rl_27_one_seed_makes_two_runs_equal():
    runs = [
        PolicyTraining(as_vector(ThreeSteps()), LinearActorCritic(ppo(), 1, 2), seed=seed).run(128)
        for seed in (7, 7, 8)
    ]
    one, same, other = (run._log.done()["actions"].ravel().tolist() for run in runs)
    assert one == same
    assert one != other


def test_e18_a_constant_reward_is_worth_little_where_episodes_end():
    """Reward 1 for three steps: the value is 3, not 1 / (1 - gamma) = 100."""
    learner = LinearActorCritic(actor_critic(normalize_advantage=False), 1, 2)
    stepper = Stepper(as_vector(ThreeSteps()))
    stepper.reset(0)
    learner.value[:] = 100
    found = collect(stepper, first, 3, whole=False, watch=lambda step: None)
    assert to_batch(found, learner).target[2] == 1


def test_e26_gae_estimates_advantages_and_is_no_distribution():
    """It turns rewards and values into one number for each step; no random number is drawn."""
    path = Path(column(1, 2), column(3, 4), column(4, 9), column(0, 0) > 0, column(0, 0) > 0)
    assert gae(path, 1.0, 0.5).tolist() == [[2 + 7 / 2], [7]]
