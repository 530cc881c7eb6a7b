"""Policies over slates, advantages, rollouts and the loop of policy gradients, without a framework.

`LinearActorCritic` is a softmax policy and a value, both linear in the observation, with gradients
written out by hand: with one-hot observations it is a table.
"""

import itertools
from dataclasses import replace

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from hypothesis import given
from hypothesis import strategies as st
from test_rl_training import Walk, walks

from companion.core import checkpoint
from companion.core.seeding import generator
from companion.envs.exact import policy_q, state_values
from companion.envs.finite import Outcome, from_outcomes
from companion.envs.vector import TableVectorEnv
from companion.envs.world import World
from companion.rl import on_policy
from companion.rl.on_policy import SlateEnvs, collect, minibatches, slate_envs, to_batch
from companion.rl.policy_gradient import (
    Diagnostics,
    PolicyBatch,
    PolicyGradientConfig,
    actor_critic,
    ppo,
    reinforce,
    weight_shapes,
)
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.policy_targets import (
    Path,
    discounted_returns,
    gae,
    normalized,
    policy_loss_reference,
    value_loss_reference,
)
from companion.rl.rollout import Stepper, as_vector, evaluate
from companion.rl.slate_policy import (
    Chosen,
    best_slates,
    draw_slates,
    entropy,
    greedy_act,
    log_softmax,
    probabilities,
    sampling_act,
    slate_log_probability,
)


class LinearActorCritic:
    """Logits s W and values s v, by gradient descent; it writes down what it is given."""

    def __init__(self, config, obs_size=5, num_actions=3):
        self.config, self.batches = config, []
        self.policy, self.value = np.zeros((obs_size, num_actions)), np.zeros(obs_size)

    def logits(self, obs):
        return (obs @ self.policy).astype(np.float32)

    def values(self, obs):
        return (obs @ self.value).astype(np.float32)

    def gradient(self, batch):
        """Of the policy's loss, by the logit of each state: [D, A]. One item at a time."""
        p = probabilities(self.logits(batch.obs), batch.mask)
        taken = np.eye(p.shape[1])[batch.action[:, 0]]
        ratio, used = np.exp(self.log_prob(batch) - batch.log_prob), np.ones(len(p), bool)
        if self.config.clip_ratio is None:
            ratio = np.ones(len(p))
        else:
            beyond = np.where(batch.advantage > 0, ratio - 1, 1 - ratio)
            used = beyond <= self.config.clip_ratio
        slope = -(batch.advantage * ratio * used)[:, None] * (taken - p)
        return batch.obs.T @ slope / len(p)

    def log_prob(self, batch):
        return slate_log_probability(self.logits(batch.obs), batch.action, batch.mask).sum(-1)

    def update(self, batch):
        self.batches.append(batch)
        one = [self._one(batch.each(lambda c, j=j: c[j])) for j in range(len(batch.action))]
        return Diagnostics(*np.array(one).T)

    def _one(self, batch):
        change = self.log_prob(batch) - batch.log_prob
        loss = policy_loss_reference(self.log_prob(batch), batch, self.config.clip_ratio)
        error = batch.target - self.values(batch.obs)
        self.policy = self.policy - self.config.learning_rate * self.gradient(batch)
        if self.config.baseline == "value":
            rate = self.config.learning_rate * self.config.value_coef
            self.value = self.value + rate * 2 * batch.obs.T @ error / len(error)
        kl = np.mean(np.exp(change) - 1 - change)
        return loss, loss, np.mean(error**2), 0.0, kl, 0.0

    def state(self):
        return {"policy": self.policy.copy(), "value": self.value.copy()}

    def restore(self, state):
        self.policy, self.value = state["policy"].copy(), state["value"].copy()


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gamma", 1.01),
        ("gae_lambda", -0.1),
        ("hidden_sizes", (8, 0)),
        ("learning_rate", 0.0),
        ("adam_epsilon", np.nan),
        ("max_gradient_norm", 0.0),
        ("rollout_length", 0),
        ("epochs", 1.5),
        ("minibatch_size", 0),
        ("clip_ratio", -0.2),
        ("target_kl", 0.0),
        ("value_coef", -1.0),
        ("entropy_coef", np.inf),
        ("baseline", "mean"),
        ("slate_size", 0),
    ],
)
def test_a_setting_out_of_range_is_named(name, value):
    with pytest.raises(ValueError, match=f"{name} is out of range: "):
        PolicyGradientConfig(**{name: value})


def test_settings_that_do_not_go_together_are_refused():
    with pytest.raises(ValueError, match=r'must be 1 with baseline "none"; got 0\.9'):
        reinforce(gae_lambda=0.9)
    with pytest.raises(ValueError, match="epochs must be 1 where clip_ratio is None; got 3"):
        actor_critic(epochs=3)
    with pytest.raises(ValueError, match="a slate of 4 needs as many actions; got 3"):
        weight_shapes(ppo(slate_size=4), 2, 3)


def test_the_presets_are_three_methods():
    assert (reinforce().baseline, reinforce().gae_lambda, reinforce().clip_ratio) == (
        "none",
        1,
        None,
    )
    assert (actor_critic().baseline, actor_critic().gae_lambda) == ("value", 0.95)
    assert (actor_critic().clip_ratio, actor_critic().epochs) == (None, 1)
    assert (ppo().clip_ratio, ppo().epochs, ppo()) == (0.2, 10, PolicyGradientConfig())
    assert reinforce(gamma=0.5, baseline="value").gamma == 0.5
    assert ppo(hidden_sizes=[3]).hidden_sizes == (3,)


def test_without_a_baseline_there_are_no_weights_of_values():
    both, alone = (weight_shapes(config, 2, 3) for config in (ppo(), reinforce()))
    assert {name for name in both if name.startswith("policy")} == set(alone)
    assert both["value/2/kernel"] == (64, 1)
    assert alone["policy/2/kernel"] == (64, 3)


# --- the policy ----------------------------------------------------------------------------------


def test_probabilities_by_hand():
    logits = np.log([[1.0, 2.0, 5.0]])
    np.testing.assert_allclose(probabilities(logits), [[0.125, 0.25, 0.625]])
    mask = np.array([[True, False, True]])
    found = probabilities(logits, mask)
    np.testing.assert_allclose(found, [[1 / 6, 0, 5 / 6]])
    assert found[0, 1] == 0
    assert entropy(logits, mask)[0] == pytest.approx(np.log(6) / 6 + 5 / 6 * np.log(6 / 5))
    assert entropy(np.zeros((1, 4)))[0] == pytest.approx(np.log(4))


def test_a_slate_by_hand():
    """Weights 1, 2, 5: item 2 first 5/8, then item 0 of the two left 1/3, then item 1 alone."""
    logits, items = np.log([[1.0, 2.0, 5.0]]), np.array([[2, 0, 1]])
    found = np.exp(slate_log_probability(logits, items))
    np.testing.assert_allclose(found, [[5 / 8, 1 / 3, 1.0]])
    mask = np.array([[True, False, True]])
    found = np.exp(slate_log_probability(logits, items[:, :2], mask))
    np.testing.assert_allclose(found, [[5 / 6, 1.0]])


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_probabilities_of_all_slates_sum_to_one(k):
    rng = np.random.default_rng(0)
    logits, mask = 2 * rng.normal(size=(1, 6)), np.array([[1, 1, 0, 1, 1, 0]], bool)
    slates = np.array(list(itertools.permutations(np.flatnonzero(mask[0]), k)))[:, None, :]
    each = [np.exp(slate_log_probability(logits, s, mask).sum()) for s in slates]
    assert sum(each) == pytest.approx(1, abs=1e-12)
    # The same product, place by place with the items above masked.
    for slate, found in zip(slates, each, strict=True):
        left, expected = mask.copy(), 1.0
        for item in slate[0]:
            expected *= probabilities(logits, left)[0, item]
            left[0, item] = False
        assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("k", [1, 2])
def test_slates_are_drawn_as_often_as_their_probability_says(k):
    draws, mask = 40_000, np.array([True, True, False, True, True])
    logits = np.tile([0.0, 1.0, 9.0, -1.0, 0.5], (draws, 1))
    found = draw_slates(logits, np.tile(mask, (draws, 1)), k, generator(0))
    codes = found.items @ 10 ** np.arange(k)
    for slate in itertools.permutations([0, 1, 3, 4], k):
        p = np.exp(slate_log_probability(logits[:1], np.array([slate]), mask[None]).sum())
        share = (codes == np.array(slate) @ 10 ** np.arange(k)).mean()
        assert share == pytest.approx(p, abs=4 * np.sqrt(p * (1 - p) / draws))
    expected = slate_log_probability(logits, found.items, np.tile(mask, (draws, 1)))
    np.testing.assert_allclose(found.log_prob, expected, atol=1e-12)


@given(st.integers(1, 6), st.integers(0, 2**16), st.sampled_from([1.0, 50.0, 1e4]))
def test_a_drawn_slate_is_allowed_has_no_item_twice_and_a_finite_probability(k, seed, width):
    rng = np.random.default_rng(seed)
    logits = (width * rng.normal(size=(4, 8))).astype(np.float32)
    mask = rng.random((4, 8)) < 0.4
    mask[:, rng.permutation(8)[:k]] = True
    found = draw_slates(logits, mask, k, rng)
    assert found.items.shape == found.log_prob.shape == (4, k)
    assert np.take_along_axis(mask, found.items, 1).all()
    assert all(len(set(row)) == k for row in found.items.tolist())
    assert np.isfinite(found.log_prob).all()
    assert (found.log_prob <= 0).all()
    alone = mask.sum(1) == k  # the last place of all that is allowed leaves no choice
    assert (found.log_prob[alone, -1] == 0).all()


def test_the_best_slate_holds_the_highest_and_of_equals_the_first():
    logits = np.array([[1.0, 3.0, 3.0, 2.0, 3.0], [0.0, 0.0, 0.0, 0.0, 0.0]])
    assert best_slates(logits, None, 3).tolist() == [[1, 2, 4], [0, 1, 2]]
    assert best_slates(logits, None, 1).tolist() == [[1], [0]]
    mask = np.array([[1, 0, 1, 1, 0], [0, 1, 0, 1, 1]], bool)
    assert best_slates(logits, mask, 2).tolist() == [[2, 3], [1, 3]]
    assert greedy_act(lambda obs: obs, 2)(logits, mask).tolist() == [[2, 3], [1, 3]]
    assert greedy_act(lambda obs: obs)(logits, mask).tolist() == [2, 1]


def test_sampling_draws_by_the_policy():
    act = sampling_act(lambda obs: obs, generator(0))
    logits = np.tile(np.log([1.0, 3.0]), (10_000, 1))
    assert act(logits, np.ones((10_000, 2), bool)).mean() == pytest.approx(0.75, abs=0.018)


def test_what_no_slate_can_be_drawn_from_is_named():
    logits, mask = np.zeros((3, 4)), np.ones((3, 4), bool)
    mask[1, :3] = False
    for choose in (best_slates, lambda *args: draw_slates(*args, generator(0))):
        with pytest.raises(ValueError, match="row 1: 1 actions are allowed; the slate needs 2"):
            choose(logits, mask, 2)
        with pytest.raises(ValueError, match="from 1 to 4 places, one an item; got 5"):
            choose(logits, None, 5)
        with pytest.raises(ValueError, match=r"scores must have the shape \(1, 4\) of mask"):
            choose(logits, mask[:1], 1)
        wrong = logits.copy()
        wrong[2, 0] = np.nan
        with pytest.raises(ValueError, match="row 2: a logit is not a finite number"):
            choose(wrong, None, 1)


# --- returns and advantages ----------------------------------------------------------------------


def column(*values):
    return np.array(values, float)[:, None]


def test_advantages_by_hand():
    """gamma 1/2, lambda 1/2. Step 1 is cut off, step 3 ends, step 4 is cut by the rollout's end."""
    path = Path(
        reward=column(1, 2, 3, 4, 5),
        value=column(10, 20, 30, 40, 50),
        next_value=column(20, 8, 40, 99, 60),
        terminated=column(0, 0, 0, 1, 0) > 0,
        truncated=column(0, 1, 0, 0, 0) > 0,
    )
    delta = [1 + 10 - 10, 2 + 4 - 20, 3 + 20 - 30, 4 - 40, 5 + 30 - 50]
    assert gae(path, 0.5, 0.0)[:, 0].tolist() == delta
    expected = [1 - 14 / 4, -14, -7 - 36 / 4, -36, -15]
    assert gae(path, 0.5, 0.5)[:, 0].tolist() == expected
    returns = [1 + 0.5 * 6, 6, 3 + 0.5 * 4, 4, 35]
    assert discounted_returns(path, 0.5)[:, 0].tolist() == returns


def random_path(seed, length=12, envs=3):
    rng = np.random.default_rng(seed)
    reward, value, next_value = rng.normal(size=(3, length, envs))
    terminated, truncated = rng.random((2, length, envs)) < 0.2
    next_value[:-1] = np.where((terminated | truncated)[:-1], next_value[:-1], value[1:])
    return Path(reward, value, next_value, terminated, truncated)


def monte_carlo(path, t, env, gamma):
    """The return from step t on, forwards."""
    total, discount = 0.0, 1.0
    for step in range(t, len(path.reward)):
        total += discount * path.reward[step, env]
        discount *= gamma
        if path.terminated[step, env]:
            return total
        if path.truncated[step, env] or step == len(path.reward) - 1:
            return total + discount * path.next_value[step, env]
    raise AssertionError


@given(st.integers(0, 1_000), st.floats(0, 1), st.floats(0, 1))
def test_advantages_are_the_weighted_sum_of_td_errors(seed, gamma, gae_lambda):
    path = random_path(seed)
    future = np.where(path.terminated, 0, path.next_value)
    delta, found = path.reward + gamma * future - path.value, gae(path, gamma, gae_lambda)
    np.testing.assert_allclose(gae(path, gamma, 0.0), delta)
    for t, env in np.ndindex(*delta.shape):
        total, weight = 0.0, 1.0
        for step in range(t, len(delta)):
            total += weight * delta[step, env]
            if path.terminated[step, env] or path.truncated[step, env]:
                break
            weight *= gamma * gae_lambda
        assert found[t, env] == pytest.approx(total, abs=1e-9)
        returns = monte_carlo(path, t, env, gamma)
        assert discounted_returns(path, gamma)[t, env] == pytest.approx(returns, abs=1e-9)
        whole = gae(path, gamma, 1.0)[t, env]
        assert whole == pytest.approx(returns - path.value[t, env], abs=1e-9)


def test_advantages_are_those_of_stable_baselines3():
    buffers = pytest.importorskip("stable_baselines3.common.buffers")
    torch = pytest.importorskip("torch")
    path, gamma, gae_lambda = random_path(0, length=40, envs=4), 0.9, 0.8
    box = spaces.Box(0, 1, (1,))
    other = buffers.RolloutBuffer(40, box, spaces.Discrete(2), "cpu", gae_lambda, gamma, 4)
    ended, starts = path.terminated | path.truncated, np.ones(4)
    for t in range(40):
        # It has one flag for both ends; its loop adds what follows a truncation to the reward.
        cut = path.truncated[t] & ~path.terminated[t]
        reward = path.reward[t] + gamma * np.where(cut, path.next_value[t], 0)
        value = torch.tensor(path.value[t])
        other.add(np.zeros((4, 1)), np.zeros((4, 1)), reward, starts, value, torch.zeros(4))
        starts = ended[t]
    other.compute_returns_and_advantage(torch.tensor(path.next_value[-1]), ended[-1])
    found = gae(path, gamma, gae_lambda)
    np.testing.assert_allclose(found, other.advantages, atol=1e-5)
    np.testing.assert_allclose(found + path.value, other.returns, atol=1e-5)


def test_a_column_of_another_shape_is_named():
    path = random_path(0)
    with pytest.raises(ValueError, match=r"next_value must have the shape \[T, N\] of reward"):
        gae(path._replace(next_value=path.next_value[:-1]), 0.9, 0.9)


def test_normalised_advantages_have_mean_0_and_deviation_1():
    found = normalized(np.array([1.0, 2.0, 6.0]) * 1e-6)
    assert (found.mean(), found.std()) == pytest.approx((0, 1))
    assert normalized(np.full(3, 0.1)).tolist() == pytest.approx([0, 0, 0], abs=1e-15)
    assert normalized(np.array([5.0])).tolist() == [0]


def test_the_losses_by_hand():
    """Ratios 2, 2, 1/2, 1/2 and 1.1; PPO with 0.2 stops those that went the right way too far."""
    log_prob = np.log([2.0, 2.0, 0.5, 0.5, 1.1])
    batch = PolicyBatch(
        obs=np.zeros((5, 1)),
        action=np.zeros((5, 1), int),
        log_prob=np.zeros(5),
        advantage=np.array([1.0, -1.0, 1.0, -1.0, 3.0]),
        target=np.zeros(5),
        mask=None,
    )
    found = policy_loss_reference(log_prob, batch, 0.2)
    assert found == pytest.approx(-(1.2 - 2 + 0.5 - 0.8 + 3.3) / 5)
    plain = np.log(2) * (1 - 1) + np.log(0.5) * (1 - 1) + 3 * np.log(1.1)
    assert policy_loss_reference(log_prob, batch, None) == pytest.approx(-plain / 5)
    assert value_loss_reference(np.array([1.0, 2.0]), np.array([1.0, 5.0])) == 4.5


# --- collecting ----------------------------------------------------------------------------------


class Count(gym.Env):
    """0, 1, 2, ...: the number is also the reward; `ends` terminates, `limit` truncates."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Box(0, 100, (1,))

    def __init__(self, ends=4, limit=100):
        self.ends, self.limit = ends, limit

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.count = 0
        return np.float32([0]), {}

    def step(self, action):
        self.count += 1
        ended = self.count == self.ends, self.count == self.limit
        return np.float32([self.count]), float(self.count), *ended, {}


def first(obs, mask):
    """Always action 0."""
    return Chosen(np.zeros((len(obs), 1), np.int64), np.full((len(obs), 1), -0.5))


def counted(mode, ends=(4,), length=9, whole=False, limit=100):
    envs = SyncVectorEnv([lambda e=e: Count(e, limit) for e in ends], autoreset_mode=mode)
    stepper = Stepper(envs)
    stepper.reset(0)
    return collect(stepper, first, length, whole=whole, watch=lambda step: None)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_rollouts_hold_true_transitions_however_an_environment_resets_itself(mode):
    found = counted(mode)
    learn = found.learn[:, 0]
    obs, next_obs = found.obs[learn, 0, 0], found.next_obs[learn, 0, 0]
    expected = [0, 1, 2, 3, 0, 1, 2, 3] + ([] if mode is AutoresetMode.NEXT_STEP else [0])
    assert obs.tolist() == expected
    assert next_obs.tolist() == [o + 1 for o in expected]
    assert found.reward[learn, 0].tolist() == [o + 1 for o in expected]
    assert found.terminated[learn, 0].tolist() == [o == 3 for o in expected]
    assert not found.truncated[learn].any()
    assert (found.log_prob[learn] == -0.5).all()
    assert found.mask is None
    assert learn.sum() == 9 - (mode is AutoresetMode.NEXT_STEP)


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
@pytest.mark.parametrize("limit", [100, 4])
def test_values_reach_across_a_time_limit_and_stop_at_the_end(mode, limit):
    """V(s) = 10 s, gamma 1/2, lambda 0: what follows step 3 is 40 if cut off, 0 if ended."""
    learner = LinearActorCritic(actor_critic(gamma=0.5, gae_lambda=0.0), 1, 2)
    learner.config = replace(learner.config, normalize_advantage=False)
    learner.value[:] = 10
    ends = (100,) if limit == 4 else (4,)
    batch = to_batch(counted(mode, ends, limit=limit), learner)
    obs = batch.obs[:, 0]
    following = np.where((obs == 3) & (limit == 100), 0, 10 * (obs + 1))
    target = obs + 1 + 0.5 * following
    assert len(obs) >= 8
    assert batch.target.tolist() == target.tolist()
    assert batch.advantage.tolist() == (target - 10 * obs).tolist()


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_whole_returns_take_further_steps_that_are_not_learnt_from(mode):
    """Episodes of 4 and 6 steps, 4 to learn from: the second needs two more, the first none."""
    found = counted(mode, (4, 6), length=4, whole=True)
    assert found.reward.shape == (6, 2)
    assert found.learn.sum(0).tolist() == [4, 4]
    learner = LinearActorCritic(reinforce(gamma=1.0, normalize_advantage=False), 1, 2)
    batch = to_batch(found, learner)
    assert batch.advantage.reshape(4, 2).T.tolist() == [[10, 9, 7, 4], [21, 20, 18, 15]]
    assert batch.advantage.tolist() == batch.target.tolist()


@pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
def test_no_further_steps_where_all_episodes_have_ended(mode):
    assert counted(mode, (4, 4), length=4, whole=True).reward.shape == (4, 2)
    # NEXT_STEP spends its fifth step on the reset: nothing is open then.
    length = len(counted(mode, (4, 4), length=5, whole=True).reward)
    assert length == (5 if mode is AutoresetMode.NEXT_STEP else 8)
    assert counted(mode, (4, 4), length=6).reward.shape == (6, 2)


def test_an_episode_that_does_not_end_is_an_error_where_it_is_waited_for(monkeypatch):
    monkeypatch.setattr(on_policy, "MOST", 20)
    with pytest.raises(RuntimeError, match="1 episodes had not ended after 20 more steps"):
        counted(AutoresetMode.SAME_STEP, (4, 99), length=5, whole=True)


def test_masks_are_those_of_the_decision():
    """Place 2 forbids action 1; a rollout remembers it where the action was chosen."""
    stepper = Stepper(walks(4, AutoresetMode.SAME_STEP, masked=True))
    stepper.reset(0)
    learner = LinearActorCritic(actor_critic())
    rng = generator(0)
    found = collect(
        stepper,
        lambda obs, mask: draw_slates(learner.logits(obs), mask, 1, rng),
        60,
        whole=False,
        watch=lambda step: None,
    )
    place = found.obs.argmax(-1)
    np.testing.assert_array_equal(found.mask[..., 1], place != 2)
    assert found.mask[..., [0, 2]].all()
    assert 20 < (place == 2).sum() < 200
    assert np.take_along_axis(found.mask, found.items, -1).all()
    batch = to_batch(found, learner)
    np.testing.assert_array_equal(batch.mask[:, 1], batch.obs[:, 2] == 0)
    assert batch.log_prob == pytest.approx(-np.log(batch.mask.sum(1)), abs=1e-6)


class DeadEnd(Count):
    """Cut off after two steps, in a place that allows nothing."""

    def _info(self):
        return {"action_mask": np.array([self.count < 2] * 2)}

    def reset(self, *, seed=None, options=None):
        return super().reset(seed=seed)[0], self._info()

    def step(self, action):
        return *super().step(action)[:4], self._info()


def test_a_place_that_allows_nothing_is_worth_nothing():
    """As in `td_target`: V(s') would be 20 there, and infinite elsewhere (RL-05)."""
    stepper = Stepper(as_vector(DeadEnd(limit=2)))
    stepper.reset(0)
    learner = LinearActorCritic(actor_critic(gamma=1.0, normalize_advantage=False), 1, 2)
    learner.value[:] = 10
    found = collect(stepper, first, 2, whole=False, watch=lambda step: None)
    assert to_batch(found, learner).target.tolist()[1] == 2
    assert found.truncated[:, 0].tolist() == [False, True]


def test_a_number_that_is_not_finite_is_named():
    found, learner = counted(AutoresetMode.SAME_STEP), LinearActorCritic(reinforce(gamma=0.5), 1, 2)
    for wrong in (np.nan, np.inf, 1e39):
        found.reward[7, 0] = wrong
        with pytest.raises(ValueError, match="step 7 of environment 0: the reward is"):
            to_batch(found, learner)
    found, learner = counted(AutoresetMode.SAME_STEP), LinearActorCritic(actor_critic(), 1, 2)
    learner.value[:] = np.nan
    with pytest.raises(ValueError, match="step 0 of environment 0: the value is nan"):
        to_batch(found, learner)


def test_only_steps_that_are_learnt_from_are_normalised():
    learner = LinearActorCritic(actor_critic(), 1, 2)
    batch = to_batch(counted(AutoresetMode.NEXT_STEP), learner)
    assert (batch.advantage.mean(), batch.advantage.std()) == pytest.approx((0, 1), abs=1e-6)
    assert len(batch.advantage) == 8
    assert {c.dtype for c in batch if c is not None} == {np.dtype("f4"), np.dtype("i8")}


def test_minibatches_take_each_step_at_most_once():
    batch = to_batch(counted(AutoresetMode.SAME_STEP, length=23), LinearActorCritic(ppo(), 1, 2))
    batch = batch._replace(target=np.arange(23.0), log_prob=-np.arange(23.0))
    found = minibatches(batch, 5, generator(0))
    assert (found.obs.shape, found.action.shape) == ((4, 5, 1), (4, 5, 1))
    assert len(set(found.target.ravel())) == 20
    assert (found.log_prob == -found.target).all()
    assert (np.diff(found.target.ravel()) < 0).any()
    for size in (None, 23, 1_000):
        whole = minibatches(batch, size, generator(0))
        assert sorted(whole.target[0]) == list(range(23))
    left = [set(minibatches(batch, 5, generator(seed)).target.ravel()) for seed in range(20)]
    assert set.union(*left) == set(range(23))  # which are left over is decided by the draw


# --- slates --------------------------------------------------------------------------------------


class Shelf(gym.Env):
    """Shows 2 of 5 items; each of the items 3 and 1 pays, in the first place twice. 4 steps."""

    action_space = spaces.MultiDiscrete([5, 5])
    observation_space = spaces.Box(0, 1, (1,))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return np.float32([1]), {}

    def step(self, action):
        assert action.shape == (2,)
        assert action[0] != action[1]
        pays, self.time = {3: 1.0, 1: 0.5}, self.time + 1
        reward = 2 * pays.get(int(action[0]), 0) + pays.get(int(action[1]), 0)
        return np.float32([1]), reward, self.time == 4, False, {}


def test_slates_reach_the_environment_in_their_order():
    envs = slate_envs(Shelf(), 2)
    assert envs.single_action_space == spaces.Discrete(5)
    found = evaluate(lambda obs, mask: np.array([[3, 1]]), envs, seed=0)
    assert found.tolist() == [4 * 2.5]
    training = PolicyTraining(Shelf(), LinearActorCritic(ppo(slate_size=2), 1, 5), seed=0)
    assert training.run(128).learner.batches[0].action.shape == (2, 64, 2)
    assert training.learner.batches[0].log_prob == pytest.approx(-np.log(20), abs=1e-6)


@pytest.mark.parametrize(
    "space",
    [
        spaces.Discrete(5),
        spaces.MultiDiscrete([5, 5, 5]),
        spaces.MultiDiscrete([5, 4]),
        spaces.MultiDiscrete([5, 5], start=[1, 1]),
    ],
    ids=str,
)
def test_other_actions_than_slates_are_refused(space):
    env = Shelf()
    env.action_space = space
    with pytest.raises(ValueError, match="a slate of 2 needs the actions"):
        SlateEnvs(as_vector(env), 2)


# --- the gradient --------------------------------------------------------------------------------


def layers():
    """Three steps to the end, by chance through 1 or 2 and 3 or 4; 4 forbids action 0."""
    outcomes = {
        (0, 0): [Outcome(0.7, 1, 1.0), Outcome(0.3, 2, 0.0)],
        (0, 1): [Outcome(1.0, 2, 0.5)],
        (1, 0): [Outcome(1.0, 3, 0.0)],
        (1, 1): [Outcome(0.5, 3, 2.0), Outcome(0.5, 4, -1.0)],
        (2, 0): [Outcome(1.0, 4, 1.0)],
        (2, 1): [Outcome(1.0, 3, -2.0)],
        (3, 0): [Outcome(1.0, 5, 3.0)],
        (3, 1): [Outcome(1.0, 5, 0.0)],
        (4, 1): [Outcome(1.0, 5, 1.0)],
    }
    mdp = from_outcomes(outcomes, states=6, start=0, terminal=[5])
    return World("layers", mdp, (1, 6), ("left", "right"), ("SFFFFG",))


LOGITS = np.array([[0.3, -0.2], [0.0, 0.8], [-0.5, 0.1], [0.4, 0.4], [1.0, -1.0], [0.0, 0.0]])


def exact_gradient(mdp, logits):
    """Of the start's value by each logit, by differences of the exact solution."""

    def value(logits):
        policy = probabilities(logits, mdp.allowed)
        return state_values(policy_q(mdp, policy, 1.0), policy)[mdp.start]

    found = np.zeros_like(logits)
    for place in np.ndindex(*logits.shape):
        moved = [logits.copy(), logits.copy()]
        moved[0][place] += 1e-5
        moved[1][place] -= 1e-5
        found[place] = (value(moved[0]) - value(moved[1])) / 2e-5
    return found


def trajectories(mdp, policy, state=0, so_far=()):
    """All ways from a state to the end: (probability, ((state, action, reward), ...))."""
    if mdp.terminal[state]:
        yield 1.0, so_far
        return
    for action in np.flatnonzero(mdp.allowed[state]):
        for k, chance in enumerate(mdp.probability[state, action]):
            step = (state, action, mdp.reward[state, action, k])
            following = mdp.next_state[state, action, k]
            if chance > 0:
                rest = trajectories(mdp, policy, following, (*so_far, step))
                yield from ((policy[state, action] * chance * p, way) for p, way in rest)


def enumerated(mdp, logits):
    """Every step of every trajectory; its advantage is the return times the chance of it all."""
    rows = []
    for chance, way in trajectories(mdp, probabilities(logits, mdp.allowed)):
        rewards = np.array([reward for *_, reward in way])
        rows += [(s, a, chance * rewards[t:].sum()) for t, (s, a, _) in enumerate(way)]
    state, action, weighted = (np.array(c) for c in zip(*rows, strict=True))
    log_prob = log_softmax(logits, mdp.allowed)[state, action]
    advantage = weighted * len(rows)  # the loss takes a mean
    return PolicyBatch(
        obs=np.eye(6, dtype=np.float32)[state],
        action=action[:, None],
        log_prob=log_prob.astype(np.float32),
        advantage=advantage.astype(np.float32),
        target=advantage.astype(np.float32),
        mask=mdp.allowed[state],
    )


@pytest.mark.parametrize("config", [reinforce(), ppo()], ids=["reinforce", "ppo at ratio 1"])
def test_the_mean_loss_over_all_trajectories_has_the_exact_gradient(config):
    mdp, learner = layers().mdp, LinearActorCritic(config, 6, 2)
    learner.policy = LOGITS.copy()
    batch = enumerated(mdp, LOGITS)
    assert 10 < len(batch.action) < 100
    found, expected = -learner.gradient(batch), exact_gradient(mdp, LOGITS)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected[:4]).min() > 0.02
    assert np.abs(expected[4:]).max() < 1e-8  # one allowed action leaves nothing to learn


@pytest.mark.parametrize(
    "config",
    [
        reinforce(gamma=1.0, normalize_advantage=False, rollout_length=3),
        reinforce(gamma=1.0, normalize_advantage=False, rollout_length=3, baseline="value"),
        actor_critic(gamma=1.0, normalize_advantage=False, rollout_length=3, gae_lambda=0.5),
    ],
    ids=["reinforce", "with baseline", "actor-critic with exact values"],
)
def test_rollouts_have_the_exact_gradient_in_the_mean(config):
    """20 groups of 500 episodes; within 4 standard errors for each of the 8 logits that matter."""
    world, learner = layers(), LinearActorCritic(config, 6, 2)
    learner.policy, groups = LOGITS.copy(), []
    policy = probabilities(LOGITS, world.mdp.allowed)
    if config.baseline == "value":  # an exact value biases nothing, whatever lambda
        learner.value = state_values(policy_q(world.mdp, policy, 1.0), policy)
    stepper, rng = Stepper(TableVectorEnv(500, world)), generator(0)
    stepper.reset(0)
    for _ in range(20):
        act = lambda obs, mask: draw_slates(learner.logits(obs), mask, 1, rng)  # noqa: E731
        whole = config.baseline == "none"
        found = collect(stepper, act, 3, whole=whole, watch=lambda step: None)
        assert found.reward.shape == (3, 500)
        groups.append(-3 * learner.gradient(to_batch(found, learner)))  # 3 steps an episode
    mean, error = np.mean(groups, 0), np.std(groups, 0, ddof=1) / np.sqrt(20)
    expected = exact_gradient(world.mdp, LOGITS)
    assert (np.abs(mean - expected)[:4] <= 4 * error[:4]).all()
    assert error[:4].max() < 0.1 * np.abs(expected).max()
    np.testing.assert_allclose(mean[4:], 0, atol=1e-6)


def test_a_baseline_makes_the_gradient_quieter():
    """With 5 more for each step the process is the same, but not the variance of REINFORCE."""
    spread, mdp = {}, layers().mdp
    more = np.where(mdp.terminal[:, None, None], 0.0, mdp.reward + 5)
    world = replace(layers(), mdp=mdp._replace(reward=more))
    for baseline in ("none", "value"):
        config = reinforce(gamma=1.0, normalize_advantage=False, baseline=baseline)
        learner, policy = LinearActorCritic(config, 6, 2), probabilities(LOGITS, mdp.allowed)
        learner.policy = LOGITS.copy()
        if baseline == "value":
            learner.value = state_values(policy_q(world.mdp, policy, 1.0), policy)
        stepper, rng, found = Stepper(TableVectorEnv(100, world)), generator(0), []
        stepper.reset(0)
        for _ in range(30):
            act = lambda obs, mask: draw_slates(learner.logits(obs), mask, 1, rng)  # noqa: B023, E731
            steps = collect(stepper, act, 3, whole=False, watch=lambda step: None)
            found.append(learner.gradient(to_batch(steps, learner)))
        spread[baseline] = np.var(found, 0).sum()
    assert spread["value"] < 0.1 * spread["none"]


# --- the loop ------------------------------------------------------------------------------------

SMALL = {"rollout_length": 8, "minibatch_size": 6, "learning_rate": 0.1}
MODES = [AutoresetMode.NEXT_STEP, AutoresetMode.SAME_STEP, AutoresetMode.DISABLED]


def start(config=None, envs=None, seed=0):
    learner = LinearActorCritic(config or ppo(**SMALL, epochs=3))
    return PolicyTraining(envs or walks(3, AutoresetMode.SAME_STEP), learner, seed=seed)


def everything(training):
    words = (training.step, training.episodes, training.history, training._asked)
    states = training._draw.bit_generator.state, training._order.bit_generator.state
    done = training._log.done() | training.learner.state()
    return {**done, "words": str((words, states))}


def assert_equal(one, other):
    one, other = everything(one), everything(other)
    assert sorted(one) == sorted(other)
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_a_rollout_is_learnt_from_in_epochs_and_minibatches():
    """3 environments of 8 steps are 24 steps: 4 minibatches of 6, three times over."""
    training = start().run(24)
    shapes = [batch.obs.shape for batch in training.learner.batches]
    assert (training.step, shapes) == (24, [(4, 6, 5)] * 3)
    assert [(p.step, p.epochs) for p in training.history] == [(24, 3)]
    one, other = training.learner.batches[:2]
    assert sorted(one.log_prob.ravel()) == sorted(other.log_prob.ravel())
    assert (one.obs != other.obs).any()  # in another order
    training.run(1)
    assert (training.step, len(training.history)) == (48, 2)
    training.run(23)  # were made already
    assert training.step == 48


@pytest.mark.parametrize("baseline", ["none", "value"])
def test_without_a_baseline_a_run_waits_for_whole_returns(baseline):
    """Episodes of 6 steps, 4 to learn from. A value stands for the rest: here it says 0."""
    config = reinforce(baseline=baseline, rollout_length=4, gamma=1.0, normalize_advantage=False)
    training = PolicyTraining(Count(6), LinearActorCritic(config, 1, 2), seed=0).run(1)
    rest = 5 + 6 if baseline == "none" else 0
    expected = {0: 10 + rest, 1: 9 + rest, 2: 7 + rest, 3: 4 + rest}
    (batch,) = training.learner.batches
    found = zip(batch.obs[0, :, 0].tolist(), batch.advantage[0].tolist(), strict=True)
    assert dict(found) == expected
    assert training.step == (6 if baseline == "none" else 4)


def test_resets_are_no_steps():
    training = start(envs=walks(3, AutoresetMode.NEXT_STEP, limit=4)).run(100)
    made = training._log.done()["actions"].size
    assert training.step < made
    assert made - training.step == pytest.approx(len(training.episodes), abs=3)
    assert max(episode.length for episode in training.episodes) == 4


def test_episodes_are_counted_as_they_were():
    training = start(envs=as_vector(Walk(limit=3, slip=0.0))).run(64)
    for episode in training.episodes:
        finished = episode.reward > 0
        assert episode.reward == pytest.approx(1 - 0.125 * (episode.length - 1)) or not finished
        assert finished or episode.length == 3
    assert training.returns().tolist() == [episode.reward for episode in training.episodes]
    assert sum(e.length for e in training.episodes) <= training.step
    assert len(training.episodes) >= 64 // 3


def test_passes_end_once_the_policy_has_moved_far_enough():
    config = ppo(**{**SMALL, "learning_rate": 3.0}, epochs=10)
    far, near = (replace(config, target_kl=kl) for kl in (0.001, 1e9))
    assert [p.epochs for p in start(near).run(48).history] == [10, 10]
    found = start(far).run(480).history
    assert min(p.epochs for p in found) < 10
    for progress in found:
        assert progress.epochs == 10 or progress.diagnostics.approx_kl > 0.001


def test_progress_holds_means_of_the_last_pass():
    training = start()
    asked, update = [], training.learner.update
    training.learner.update = lambda batch: (asked.append(update(batch)), asked[-1])[1]
    training.run(24)
    expected = [float(np.mean(column)) for column in asked[2]]
    assert list(training.history[0].diagnostics) == expected
    assert len(asked[2].loss) == 4


@pytest.mark.parametrize("config", [None, reinforce(**SMALL)], ids=["ppo", "reinforce"])
def test_two_runs_are_one(config):
    one, other = start(config), start(config)
    one.run(200)
    for steps in (1, 80, 19, 100):
        other.run(steps)
    assert_equal(one, other)
    assert (everything(start(config, seed=1).run(200))["policy"] != one.learner.policy).any()


@pytest.mark.parametrize("mode", MODES, ids=lambda mode: mode.name)
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("method", ["ppo", "reinforce"])
def test_a_saved_run_goes_on_as_if_it_had_never_stopped(mode, masked, method, tmp_path):
    config = ppo(**SMALL, epochs=3) if method == "ppo" else reinforce(**SMALL)
    whole, part = (start(config, walks(3, mode, masked=masked)) for _ in range(2))
    whole.run(150).run(120)
    part.run(150).save(tmp_path / "run")
    envs = walks(3, mode, masked=masked)
    again = PolicyTraining.resume(tmp_path / "run", envs, LinearActorCritic(config))
    assert_equal(again, part)
    again.run(120)
    assert_equal(again, whole)
    assert len(whole.history) > 4


def test_a_run_with_slates_goes_on_too(tmp_path):
    config = reinforce(**SMALL, slate_size=2, baseline="value")
    learner = LinearActorCritic(config, 1, 5)
    learner.update = lambda batch: Diagnostics(*np.zeros((6, 1)))
    run = PolicyTraining(Shelf(), learner, seed=0).run(30)
    run.save(tmp_path / "run")
    again = PolicyTraining.resume(tmp_path / "run", Shelf(), LinearActorCritic(config, 1, 5))
    assert_equal(again, run)
    assert again._log.done()["actions"].shape == (32, 1, 2)


def test_a_run_resumes_with_its_own_kind_alone(tmp_path):
    config = ppo(**SMALL)
    path = tmp_path / "run"
    start(config).run(50).save(path)

    def resume(config=config, envs=None):
        envs = envs or walks(3, AutoresetMode.SAME_STEP)
        return PolicyTraining.resume(path, envs, LinearActorCritic(config))

    with pytest.raises(ValueError, match=r"was made with gamma=0.99, not 0.5"):
        resume(replace(config, gamma=0.5))
    with pytest.raises(ValueError, match=r"was made with num_envs=3, not 2"):
        resume(envs=walks(2, AutoresetMode.SAME_STEP))
    with pytest.raises(ValueError, match="do not repeat the run"):
        resume(envs=walks(3, AutoresetMode.SAME_STEP, slip=0.9))
    with pytest.raises(ValueError, match="an action is not allowed now"):
        resume(envs=walks(3, AutoresetMode.SAME_STEP, masked=True))
    checkpoint.save(tmp_path / "other", {}, {"training": "dqn"})
    with pytest.raises(ValueError, match="is not a saved run of a policy gradient"):
        PolicyTraining.resume(tmp_path / "other", Walk(), LinearActorCritic(config))


def test_a_learner_of_another_size_is_refused():
    with pytest.raises(ValueError, match=r"logits of the shape \(3, 2\), not \(3, 3\)"):
        PolicyTraining(walks(3), LinearActorCritic(ppo(), 5, 2), seed=0)


PRESETS = {
    "reinforce": reinforce(rollout_length=20, learning_rate=1.0),
    "actor-critic": actor_critic(rollout_length=20, learning_rate=1.0),
    "ppo": ppo(rollout_length=20, learning_rate=0.3, epochs=5),
}


@pytest.mark.parametrize("name", PRESETS)
def test_a_table_learns_the_walk(name):
    """Always right: from place 0, 1 or 2 to place 4, slips included, pays 0.6 in the mean."""
    envs = walks(8, AutoresetMode.SAME_STEP)
    learner = LinearActorCritic(replace(PRESETS[name], gamma=0.9))
    PolicyTraining(envs, learner, seed=0).run(12_000)
    assert learner.policy[:4].argmax(1).tolist() == [1, 1, 1, 1]
    found = evaluate(greedy_act(learner.logits), walks(200, AutoresetMode.SAME_STEP), seed=1)
    always = lambda obs, mask: np.ones(len(obs), np.int64)  # noqa: E731
    best = evaluate(always, walks(200, AutoresetMode.SAME_STEP), seed=1)
    assert found.tolist() == best.tolist()
