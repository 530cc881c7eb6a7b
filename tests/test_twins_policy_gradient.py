"""The policy gradients of both frameworks compute the same numbers, and the right ones."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from parity import FRAMEWORKS, array, assert_same, assert_slopes, load, tensor
from test_rl_policy_gradient import LOGITS, Shelf, enumerated, exact_gradient, layers
from worlds import Identity

from companion.core import checkpoint
from companion.rl.on_policy import slate_envs
from companion.rl.policy_gradient import (
    PolicyBatch,
    actor_critic,
    initial_weights,
    network_output,
    ppo,
    reinforce,
    weight_shapes,
)
from companion.rl.policy_gradient_training import PolicyTraining
from companion.rl.policy_targets import loss_reference
from companion.rl.rollout import evaluate
from companion.rl.slate_policy import (
    entropy,
    greedy_act,
    log_softmax,
    probabilities,
    slate_log_probability,
)

D, A, B = 5, 4, 16
SMALL = {"hidden_sizes": (7, 6), "learning_rate": 0.01}
KINDS = {
    "reinforce": reinforce(**SMALL),
    "actor-critic": actor_critic(**SMALL, entropy_coef=0.1),
    "ppo": ppo(**SMALL, entropy_coef=0.1, value_coef=0.7),
    "slates": ppo(**SMALL, entropy_coef=0.1, slate_size=3),
    "slates of all": reinforce(**SMALL, slate_size=A),
    "no hidden layer": actor_critic(hidden_sizes=()),
}
kinds = pytest.mark.parametrize("config", KINDS.values(), ids=KINDS)


@pytest.fixture(params=FRAMEWORKS)
def module(request):
    """One framework's policy gradients after the other's."""
    return load(request.param, ".policy_gradient")


@pytest.fixture
def modules():
    return [load(framework, ".policy_gradient") for framework in FRAMEWORKS]


def native(module, value):
    """An array as the framework's own."""
    return tensor(load(module.__name__.split(".")[1]), value)


def learner(module, config=KINDS["ppo"], seed=0, **more):
    return module.PolicyGradientLearner(config, obs_size=D, num_actions=A, seed=seed, **more)


def busy(each, seed=3):
    """Weights of which none is zero or small."""
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(each.config, D, A)
    weights = {name: rng.normal(0, 0.6, s).astype(np.float32) for name, s in shapes.items()}
    each.set_weights(weights)
    return weights


def make_batch(config, seed=0, lead=(B,), masked=False):
    """Slates and masks that fit; the old policy differs from any new one."""
    rng, k = np.random.default_rng(seed), config.slate_size
    action = rng.permuted(np.broadcast_to(np.arange(A), (*lead, A)), axis=-1)[..., :k]
    mask = rng.random((*lead, A)) < 0.4
    np.put_along_axis(mask, action, True, -1)  # in some rows nothing else is allowed
    return PolicyBatch(
        obs=rng.normal(size=(*lead, D)).astype(np.float32),
        action=action,
        log_prob=rng.normal(-1.5 * k, 0.4, lead).astype(np.float32),
        advantage=rng.normal(size=lead).astype(np.float32),
        target=rng.normal(0, 2, lead).astype(np.float32),
        mask=mask if masked else None,
    )


masks = pytest.mark.parametrize("masked", [False, True], ids=["free", "masked"])


# --- the same numbers ----------------------------------------------------------------------------


@kinds
def test_one_seed_gives_the_same_starting_weights(modules, config):
    one, other = (learner(m, config).get_weights() for m in modules)
    assert_same(one, other, atol=0)
    assert_same(one, initial_weights(weight_shapes(config, D, A), 0), atol=0)
    last = f"policy/{len(config.hidden_sizes)}/kernel"
    inputs = (D, *config.hidden_sizes)[-1]
    assert 0.004 < np.abs(one[last]).max() * inputs**0.5 <= 0.01
    if config.hidden_sizes:
        assert 0.5 < np.abs(one["policy/0/kernel"]).max() * D**0.5 <= 1
    assert (one[last] != learner(modules[0], config, seed=1).get_weights()[last]).all()


def test_the_first_policy_takes_each_action_almost_equally_often(module):
    obs = make_batch(KINDS["ppo"]).obs
    found = learner(module).probabilities(obs)
    np.testing.assert_allclose(found, 1 / A, atol=0.01)


@kinds
def test_network_and_learner_give_the_numbers_of_the_numpy_network(module, config):
    each = learner(module, config)
    weights, batch = busy(each), make_batch(config, masked=True)
    logits, value = network_output(weights, "policy", batch.obs), each.values(batch.obs)
    np.testing.assert_allclose(each.logits(batch.obs), logits, atol=1e-5)
    found = each.network(native(module, batch.obs))
    np.testing.assert_allclose(array(found[0]), logits, atol=1e-5)
    np.testing.assert_allclose(array(found[1]), value, atol=1e-5)
    expected = network_output(weights, "value", batch.obs)[:, 0]
    np.testing.assert_allclose(value, expected, atol=1e-5)
    assert (value == 0).all() == (config.baseline == "none")
    assert each.logits(batch.obs).dtype == value.dtype == np.float32
    found = each.probabilities(batch.obs, batch.mask)
    assert (found[~batch.mask] == 0).all()
    np.testing.assert_allclose(found, probabilities(logits, batch.mask), atol=1e-5)
    np.testing.assert_allclose(found.sum(1), 1, atol=1e-12)


def test_both_networks_are_their_own(module):
    """No weight of the one changes what the other says."""
    each, obs = learner(module), make_batch(KINDS["ppo"]).obs
    weights = busy(each)
    logits, value = each.logits(obs).copy(), each.values(obs).copy()
    each.set_weights({k: v + (0.5 if k.startswith("value") else 0) for k, v in weights.items()})
    np.testing.assert_array_equal(each.logits(obs), logits)
    assert (each.values(obs) != value).all()


@masks
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_the_softmax_policy_is_that_of_numpy(module, masked, k):
    batch = make_batch(replace(KINDS["ppo"], slate_size=k), masked=masked)
    logits = (3 * np.random.default_rng(1).normal(size=(B, A))).astype(np.float32)
    own = native(module, logits)
    own = module.masked_logits(own, native(module, batch.mask)) if masked else own
    found = module.slate_log_probability(own, native(module, batch.action))
    expected = slate_log_probability(logits.astype(float), batch.action, batch.mask).sum(-1)
    np.testing.assert_allclose(array(found), expected, atol=1e-5)
    np.testing.assert_allclose(
        array(module.entropy(own)), entropy(logits.astype(float), batch.mask), atol=1e-5
    )


@kinds
@masks
def test_loss_and_diagnostics_equal_the_numpy_reference(module, config, masked):
    each, batch = learner(module, config), make_batch(config, masked=masked)
    weights = busy(each)
    expected = loss_reference(weights, batch, config)
    loss, found = module.policy_gradient_loss(
        each.network, batch.each(lambda column: native(module, column)), config
    )
    assert float(array(loss)) == pytest.approx(expected["loss"], abs=1e-5)
    np.testing.assert_allclose(array(found), list(expected.values()), rtol=1e-5, atol=1e-5)
    if config.clip_ratio is not None:
        assert 0 < expected["clip_fraction"] < 1
    assert (expected["value_loss"] > 0) == (config.baseline == "value")


@kinds
@masks
def test_the_gradients_of_the_twins_are_equal(modules, config, masked):
    found = []
    for module in modules:
        each = learner(module, config)
        busy(each)
        found.append(each.gradients(make_batch(config, masked=masked)))
    assert_same(*found)


@kinds
@masks
def test_the_gradients_are_the_slopes_of_the_numpy_loss(module, config, masked):
    """By differences, in float64; at three places of each array."""
    each, batch = learner(module, config), make_batch(config, masked=masked)
    weights = busy(each)

    def loss(weights):
        return loss_reference(weights, batch, config)["loss"]

    assert_slopes(each.gradients(batch), weights, loss, places=3, step=1e-6, atol=1e-5)


def test_one_step_of_sgd_gives_the_same_weights(modules):
    stepped = []
    for module in modules:
        each = learner(module)
        weights = busy(each)
        gradients = each.gradients(make_batch(each.config, masked=True))
        each.set_weights({name: weights[name] - 0.5 * gradients[name] for name in weights})
        stepped.append(each.get_weights())
    assert_same(*stepped)
    for name, value in weights.items():
        assert (stepped[0][name] != value).any(), name


@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
def test_several_steps_of_adam_lead_both_twins_to_the_same_weights(modules, epsilon):
    """A large epsilon tells where it is added: PyTorch's place, after the correction."""
    config = ppo(**SMALL, adam_epsilon=epsilon, max_gradient_norm=0.5)
    both = [learner(module, config) for module in modules]
    for each in both:
        busy(each)
        each.update(make_batch(config, lead=(5, B), masked=True))
    one, other = (each.state() for each in both)
    assert_same(one, other)
    assert one["adam_steps"] == other["adam_steps"] == 5


# --- what goes wrong elsewhere -------------------------------------------------------------------


@kinds
def test_a_forbidden_action_has_no_probability_and_no_gradient(module, config):
    """Action 0 is forbidden everywhere, whatever its logit; in row 1 the slate alone is allowed."""
    k = min(config.slate_size, A - 1)
    config = replace(config, slate_size=k)
    each, batch = learner(module, config), make_batch(config)
    weights = busy(each)
    last = f"policy/{len(config.hidden_sizes)}/bias"
    batch.action[:] = np.arange(1, k + 1)
    mask = np.ones((B, A), bool)
    mask[:, 0] = False
    mask[1] = np.isin(np.arange(A), batch.action[1])
    batch = batch._replace(mask=mask)
    for logit in (0.0, 80.0, 1e4):
        weights[last][0] = logit
        each.set_weights(weights)
        assert (each.probabilities(batch.obs, mask)[~mask] == 0).all()
        found = each.gradients(batch)
        assert all(np.isfinite(g).all() for g in found.values())
        assert found[last][0] == 0
    if k < A - 1 or config.entropy_coef:
        assert (found[last][1:] != 0).any()


def test_the_only_allowed_action_teaches_nothing(module):
    config = reinforce(**SMALL, entropy_coef=0.1)
    each, batch = learner(module, config), make_batch(config)
    busy(each)
    mask = np.zeros((B, A), bool)
    mask[np.arange(B), batch.action[:, 0]] = True
    found = each.gradients(batch._replace(mask=mask))
    for name, gradient in found.items():
        np.testing.assert_allclose(gradient, 0, atol=1e-7, err_msg=name)


def test_a_policy_that_is_certain_still_has_numbers(module):
    """Logits of 1e4 and -1e4: log-probabilities of 0 and -2e4, no infinity."""
    config = actor_critic(**SMALL, entropy_coef=0.1)
    each, batch = learner(module, config), make_batch(config, masked=True)
    weights = busy(each)
    weights["policy/2/bias"][:] = 1e4, -1e4, 0, 1e4
    each.set_weights(weights)
    assert all(np.isfinite(g).all() for g in each.gradients(batch).values())
    batch = batch._replace(log_prob=log_softmax(each.logits(batch.obs))[np.arange(B), 0])
    found = each.update(batch.each(lambda column: column[None]))
    assert np.isfinite(found.loss).all()


def now(each, batch):
    """The batch as if the learner's own policy had chosen its slates."""
    log_prob = slate_log_probability(each.logits(batch.obs), batch.action, batch.mask).sum(-1)
    return batch._replace(log_prob=log_prob.astype(np.float32))


@pytest.mark.parametrize("k", [1, 3])
@masks
def test_ppo_starts_with_the_gradient_of_the_actor_critic(module, k, masked):
    """At ratio 1 nothing is clipped, and the slope of the ratio is that of log pi."""
    one = learner(module, ppo(**SMALL, slate_size=k))
    other = learner(module, actor_critic(**SMALL, slate_size=k))
    busy(one)
    busy(other)
    batch = now(one, make_batch(one.config, masked=masked))
    assert_same(one.gradients(batch), other.gradients(batch))
    far = batch._replace(log_prob=batch.log_prob - 1)
    assert np.abs(one.gradients(far)["policy/0/bias"]).max() > 0
    with pytest.raises(AssertionError):
        assert_same(one.gradients(far), other.gradients(far))


def test_ppo_gives_no_slope_to_a_ratio_that_went_too_far(module):
    config = ppo(**SMALL, value_coef=0.0)
    each, batch = learner(module, config), make_batch(config)
    busy(each)
    batch = now(each, batch)
    far = 0.5 * np.sign(batch.advantage)  # each ratio has gone where its advantage wants it
    clipped = batch._replace(log_prob=(batch.log_prob - far).astype(np.float32))
    for name, gradient in each.gradients(clipped).items():
        np.testing.assert_array_equal(gradient, 0, err_msg=name)
    back = batch._replace(log_prob=(batch.log_prob + far).astype(np.float32))
    assert np.abs(each.gradients(back)["policy/0/kernel"]).max() > 1e-3


def test_the_advantage_of_a_step_does_not_train_the_value_network(module):
    each = learner(module, actor_critic(**SMALL))
    busy(each)
    batch = make_batch(each.config)
    one = each.gradients(batch)
    other = each.gradients(batch._replace(advantage=batch.advantage + 5))
    for name in one:
        same = np.array_equal(one[name], other[name])
        assert same == name.startswith("value"), name


@pytest.mark.parametrize("config", [reinforce(), ppo()], ids=["reinforce", "ppo at ratio 1"])
def test_the_loss_over_all_trajectories_has_the_exact_policy_gradient(module, config):
    """A table as a network without hidden layers; the truth by differences of exact values."""
    mdp, config = layers().mdp, replace(config, hidden_sizes=(), value_coef=0.0)
    each = module.PolicyGradientLearner(config, obs_size=6, num_actions=2, seed=0)
    own = {"policy/0/kernel": LOGITS.astype(np.float32), "policy/0/bias": np.zeros(2, np.float32)}
    each.set_weights({**each.get_weights(), **own})
    found = each.gradients(enumerated(mdp, LOGITS))
    expected = exact_gradient(mdp, LOGITS)
    np.testing.assert_allclose(-found["policy/0/kernel"], expected, atol=1e-5)
    np.testing.assert_allclose(-found["policy/0/bias"], expected.sum(0), atol=1e-5)


# --- updates -------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 0.05, 1e6])
def test_the_optimiser_starts_from_the_clipped_gradient(module, limit):
    """After one step of Adam, m = 0.1 g and v = 0.001 g^2, g no longer than the limit."""
    each = learner(module, ppo(**SMALL, max_gradient_norm=limit))
    busy(each)
    batch = make_batch(each.config, lead=(1, B))
    gradients = each.gradients(batch.each(lambda column: column[0]))
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert norm > 0.1
    scale = 1 if limit is None else min(1, limit / norm)
    before = each.get_weights()
    each.update(batch)
    state = each.state()
    assert state["adam_steps"] == 1
    for name, g in gradients.items():
        np.testing.assert_allclose(state[f"first/{name}"], 0.1 * scale * g, rtol=1e-3, atol=1e-7)
        np.testing.assert_allclose(
            state[f"second/{name}"], 0.001 * (scale * g) ** 2, rtol=1e-3, atol=1e-9
        )
        moved = before[name] - each.get_weights()[name]
        large = np.abs(scale * g) > 1e-3  # the first step of Adam has the size of its rate
        assert large.any(), name
        np.testing.assert_allclose(moved[large], 0.01 * np.sign(g[large]), rtol=1e-3)


def test_j_updates_in_one_call_are_j_updates(module):
    together, alone = learner(module), learner(module)
    busy(together)
    busy(alone)
    batch = make_batch(together.config, lead=(4, B), masked=True)
    found = together.update(batch)
    assert {column.shape for column in found} == {(4,)}
    one_by_one = [alone.update(batch.each(lambda c, j=j: c[j : j + 1])) for j in range(4)]
    for column, rows in zip(found, zip(*one_by_one, strict=True), strict=True):
        np.testing.assert_allclose(column, np.concatenate(rows), atol=1e-5)
    assert_same(together.state(), alone.state())
    assert together.state()["adam_steps"] == 4


def test_diagnostics_are_those_before_each_update(module):
    each = learner(module)
    weights, batch = busy(each), make_batch(each.config, lead=(1, B))
    first = batch.each(lambda column: column[0])
    for _ in range(2):
        expected = loss_reference(each.get_weights(), first, each.config)
        found = each.update(batch)
        for name, value in expected.items():
            assert getattr(found, name)[0] == pytest.approx(value, abs=1e-5), name
    assert np.abs(each.get_weights()["policy/0/bias"] - weights["policy/0/bias"]).max() > 1e-3


def test_acting_sees_each_update(module):
    each, obs = learner(module), make_batch(KINDS["ppo"]).obs
    before = each.logits(obs).copy(), each.values(obs).copy()
    each.update(make_batch(each.config, lead=(2, B)))
    truths = each.network(native(module, obs))
    for old, found, truth in zip(before, (each.logits(obs), each.values(obs)), truths, strict=True):
        assert (old != found).any()
        np.testing.assert_allclose(found, array(truth), atol=1e-6)


def test_a_loss_of_ones_own_is_used(module):
    def twice(network, batch, config):
        loss, found = module.policy_gradient_loss(network, batch, config)
        return 2 * loss, found

    own, usual = learner(module, loss=twice), learner(module)
    busy(own)
    busy(usual)
    batch = make_batch(own.config)
    doubled = {name: 2 * g for name, g in usual.gradients(batch).items()}
    assert_same(own.gradients(batch), doubled)


def test_tensorflow_makes_few_graphs_for_rollouts_of_many_lengths():
    each = learner(load("tensorflow", ".policy_gradient"), actor_critic(**SMALL))
    for size in range(10, 30):
        each.update(make_batch(each.config, lead=(1 + size % 3, size)))
    assert each._compiled_steps.experimental_get_tracing_count() <= 3


# --- saving --------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("direction", [(0, 1), (1, 0)])
def test_an_agent_of_one_twin_acts_in_the_other(modules, direction, config, tmp_path):
    writer, reader = (modules[i] for i in direction)
    one = learner(writer, config)
    busy(one)
    one.save(tmp_path / "agent")
    other = reader.PolicyGradientLearner.load(tmp_path / "agent")
    batch = make_batch(config, masked=True)
    found = other.probabilities(batch.obs, batch.mask)
    np.testing.assert_allclose(found, one.probabilities(batch.obs, batch.mask), atol=1e-5)
    assert other.config == config
    assert_same(one.get_weights(), other.get_weights(), atol=0)


@pytest.mark.parametrize("direction", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_training_goes_on_from_a_state(modules, direction):
    one, other = (learner(modules[i], seed=5 * n) for n, i in enumerate(direction))
    busy(one)
    one.update(make_batch(one.config, lead=(3, B)))
    other.restore(one.state())
    assert_same(one.state(), other.state(), atol=0)
    for each in (one, other):
        each.update(make_batch(one.config, 1, lead=(3, B)))
    # Across frameworks Adam's epsilon stands at another place.
    assert_same(one.state(), other.state(), atol=0 if len(set(direction)) == 1 else 1e-3)
    obs = make_batch(one.config).obs
    np.testing.assert_allclose(one.logits(obs), other.logits(obs), atol=1e-2)


def test_a_state_is_a_copy(module):
    each = learner(module)
    state, weights = each.state(), each.get_weights()
    kept = {name: value.copy() for name, value in state.items()}
    each.update(make_batch(each.config, lead=(1, B)))
    assert_same(state, kept, atol=0)
    weights["policy/2/bias"][:] = 7
    assert (each.get_weights()["policy/2/bias"] != 7).all()


def test_what_does_not_fit_is_named(module, tmp_path):
    each = learner(module)
    weights = each.get_weights()
    weights["policy/2/bias"] = weights["policy/2/bias"][:2]
    with pytest.raises(ValueError, match=r"policy/2/bias has shape \(2,\)"):
        each.set_weights(weights)
    state = each.state()
    del state["second/value/0/kernel"]
    with pytest.raises(ValueError, match="value/0/kernel is missing"):
        each.restore(state)
    checkpoint.save(tmp_path / "other", {"a": np.zeros(1)}, {"agent": "dqn"})
    with pytest.raises(ValueError, match="holds no policy-gradient agent"):
        module.PolicyGradientLearner.load(tmp_path / "other")
    with pytest.raises(ValueError, match="a slate of 5 needs as many actions; got 4"):
        learner(module, ppo(slate_size=5))


# --- what is learnt ------------------------------------------------------------------------------


def identities(count, mode=AutoresetMode.SAME_STEP, masked=False):
    return SyncVectorEnv([lambda: Identity(masked)] * count, autoreset_mode=mode)


QUICK = {"gamma": 0.0, "hidden_sizes": (16,), "learning_rate": 0.05}
METHODS = {
    "reinforce": reinforce(**QUICK, rollout_length=20),
    "actor-critic": actor_critic(**QUICK, rollout_length=20, gae_lambda=0.5),
    "ppo": ppo(**{**QUICK, "learning_rate": 0.01}, rollout_length=20, minibatch_size=40, epochs=4),
}


@pytest.mark.parametrize(
    ("method", "masked"),
    [("reinforce", False), ("actor-critic", True), ("ppo", False)],
    ids=["reinforce", "actor-critic, masked", "ppo"],
)
def test_the_identity_task_is_learnt(module, method, masked):
    """A random action pays 5 in 20 steps; the policy's own draws pay more than 18 in the end."""
    each = module.PolicyGradientLearner(METHODS[method], obs_size=4, num_actions=4, seed=0)
    mode = AutoresetMode.NEXT_STEP if masked else AutoresetMode.SAME_STEP
    training = PolicyTraining(identities(8, mode, masked), each, seed=0).run(4_800)
    assert training.returns()[:8].mean() < 10
    assert training.returns()[-16:].mean() > 18
    found = evaluate(greedy_act(each.logits), identities(4, masked=masked), seed=1)
    assert found.tolist() == [20.0] * 4


def test_the_best_slate_is_learnt(module):
    """Item 3 before item 1, of 20 slates: 10 in an episode; a random slate pays 3.6."""
    config = ppo(slate_size=2, hidden_sizes=(16,), learning_rate=0.01, rollout_length=32)
    each = module.PolicyGradientLearner(config, obs_size=1, num_actions=5, seed=0)
    envs = SyncVectorEnv([Shelf] * 4, autoreset_mode=AutoresetMode.SAME_STEP)
    assert PolicyTraining(envs, each, seed=0).run(2_500).returns()[-20:].mean() > 8.5
    assert evaluate(greedy_act(each.logits, 2), slate_envs(Shelf(), 2), seed=1).tolist() == [10.0]


def test_one_seed_gives_one_run_bit_for_bit(module):
    runs = []
    for _ in range(2):
        each = module.PolicyGradientLearner(METHODS["ppo"], obs_size=4, num_actions=4, seed=3)
        runs.append(PolicyTraining(identities(3), each, seed=3).run(200))
    one, same = runs
    assert one.episodes == same.episodes
    assert one.history == same.history
    assert_same(one.learner.state(), same.learner.state(), atol=0)


def test_a_saved_run_of_a_framework_goes_on(module, tmp_path):
    def start():
        return module.PolicyGradientLearner(METHODS["ppo"], obs_size=4, num_actions=4, seed=0)

    whole = PolicyTraining(identities(3), start(), seed=0).run(300).run(300)
    PolicyTraining(identities(3), start(), seed=0).run(300).save(tmp_path / "run")
    again = PolicyTraining.resume(tmp_path / "run", identities(3), start()).run(300)
    assert again.episodes == whole.episodes
    assert again.history == whole.history
    assert_same(again.learner.state(), whole.learner.state(), atol=0)


@pytest.mark.slow
def test_ppo_balances_the_pole(module):
    """The best is 500 steps. Greedy episodes that training never saw; the default settings."""
    each = module.PolicyGradientLearner(ppo(), obs_size=4, num_actions=2, seed=0)
    envs = CartPoleVectorEnv(num_envs=8, max_episode_steps=500)
    PolicyTraining(envs, each, seed=0).run(60_000)
    test = CartPoleVectorEnv(num_envs=100, max_episode_steps=500)
    assert evaluate(greedy_act(each.logits), test, seed=1).mean() >= 475
