"""A negative control: where there is nothing to plan for, planning gains nothing.

Boredom, drift and leaving are off, so that the page of today changes nothing tomorrow. The twin of
the test is the positive control of chapter 10, where the same agent must win.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from parity import FRAMEWORKS, load
from scipy import stats

from companion.envs import exact_shop, policies, shopper, trials
from companion.envs.calibration import CALIBRATED
from companion.envs.shop import ShopConfig, load_world
from companion.rl.dqn import DQNConfig
from companion.rl.training import Training

LIVELY = replace(CALIBRATED, no_click=0.0, repeat=0.7, popularity=1.0, interest=1.5)
CALM = replace(shopper.without_memory(LIVELY), patience=math.inf)
DQN = DQNConfig(
    learning_rate=1e-3,
    batch_size=256,
    double=True,
    epsilon_steps=8_000,
    train_every=50,
    updates_per_call=5,
    sync_every=1_000,
)
SEEDS = 10


@pytest.mark.slow
@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_without_boredom_drift_and_leaving_dqn_is_not_better_than_the_myopic_learner(framework):
    learners = load(framework, ".dqn")
    world = exact_shop.corner(load_world("sample"))
    shop = exact_shop.ExactShop(
        world, exact_shop.visible(CALM, cart=False), ShopConfig(slate_size=1, horizon=7, visits=1)
    )
    envs = shop.shop(500)

    def judged(policy):
        return trials.episodes(policy, envs, shoppers=500, seed=100).returns.mean()

    def learned(gamma, seed):
        config, own = replace(DQN, gamma=gamma), shop.shop(200)
        size = own.single_observation_space.shape[0]
        learner = learners.DQNLearner(config, obs_size=size, num_actions=4, seed=seed)
        Training(own, learner, seed=seed).run(24_000)
        scores = learner.q_values
        return policies.ScorePolicy("DQN", lambda obs, info: scores(obs), policies.Choice(1))

    far, near = (
        np.array([judged(learned(gamma, seed)) for seed in range(SEEDS)]) for gamma in (0.99, 0.0)
    )
    best, random = judged(shop.policy("optimum", envs)), judged(policies.RandomPolicy(1))
    gap = far - near
    half = stats.t.ppf(0.975, SEEDS - 1) * stats.sem(gap)
    assert gap.mean() - half <= 0  # the interval does not lie above zero
    assert abs(gap.mean()) < 0.05 * best
    for each in (far, near):  # and not because neither learns
        assert each.mean() > random + 0.8 * (best - random)
