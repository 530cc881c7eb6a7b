"""The Q-networks of both frameworks compute the same numbers, and the right ones."""

import numpy as np
import pytest
from parity import array, assert_same, assert_slopes, load, tensor

from companion.core import checkpoint
from companion.rl.dqn import DQNConfig, initial_weights, q_values, weight_shapes
from companion.rl.replay import Batch
from companion.rl.targets import td_loss_reference, td_target_reference

D, A, B = 5, 3, 16
SMALL = {"hidden_sizes": (7, 6), "learning_rate": 0.01}
KINDS = [
    {},
    {"double": True},
    {"huber": True},
    {"dueling": True},
    {"double": True, "huber": True, "dueling": True},
]


def learner(twin, seed=0, **more):
    loss = {"loss": more.pop("loss")} if "loss" in more else {}
    config = DQNConfig(**{**SMALL, **more})
    return twin.DQNLearner(config, obs_size=D, num_actions=A, seed=seed, **loss)


def busy(each, seed=3):
    """Online and target weights that differ, none of them zero."""
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(each.config, D, A)
    online, target = (
        {name: rng.normal(0, 0.6, shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(2)
    )
    each.set_weights(target)  # the target network takes them over
    state = each.state()
    each.restore({**state, **{f"online/{name}": value for name, value in online.items()}})
    return online, target


def make_batch(seed=0, lead=(B,), masked=False, weighted=False):
    rng = np.random.default_rng(seed)
    mask = rng.random((*lead, A)) < 0.6 if masked else None
    if masked:
        mask[..., 0, :] = False  # a state that allows nothing
    return Batch(
        obs=rng.normal(size=(*lead, D)).astype(np.float32),
        action=rng.integers(A, size=lead),
        reward=rng.normal(0, 2, lead).astype(np.float32),
        next_obs=rng.normal(size=(*lead, D)).astype(np.float32),
        terminated=rng.random(lead) < 0.3,
        discount=rng.choice([0.9, 0.81], lead).astype(np.float32),
        next_mask=mask,
        weight=rng.random(lead).astype(np.float32) if weighted else None,
    )


def tensors(twin, batch):
    return batch.each(lambda column: tensor(twin, column))


def reference(config, online, target, batch):
    """The targets and the loss in NumPy."""
    chooser = q_values(online, batch.next_obs) if config.double else None
    y = td_target_reference(batch, q_values(target, batch.next_obs), chooser)
    return y, td_loss_reference(batch, q_values(online, batch.obs), y, config.huber)


# --- the same numbers ----------------------------------------------------------------------------


@pytest.mark.parametrize("dueling", [False, True])
def test_one_seed_gives_the_same_starting_weights(twins, dueling):
    one, other = (learner(twin, dueling=dueling).get_weights() for twin in twins)
    assert_same(one, other, atol=0)
    expected = initial_weights(weight_shapes(DQNConfig(**SMALL, dueling=dueling), D, A), 0)
    assert_same(one, expected, atol=0)
    bound = {"hidden0": D**-0.5, "hidden1": 7**-0.5}
    for name, limit in bound.items():
        for part in ("kernel", "bias"):
            values = np.abs(one[f"{name}/{part}"])
            assert 0.5 * limit < values.max() <= limit
    assert (
        one["hidden0/kernel"] != learner(twins[0], seed=1).get_weights()["hidden0/kernel"]
    ).all()


@pytest.mark.parametrize("dueling", [False, True])
def test_network_and_learner_give_the_values_of_the_numpy_network(twin, dueling):
    each = learner(twin, dueling=dueling)
    online, target = busy(each)
    obs = make_batch().obs
    np.testing.assert_allclose(each.q_values(obs), q_values(online, obs), atol=1e-5)
    assert each.q_values(obs).dtype == np.float32
    for network, weights in ((each.online, online), (each.target, target)):
        found = array(network(tensor(twin, obs)))
        np.testing.assert_allclose(found, q_values(weights, obs), atol=1e-5)


def test_dueling_takes_the_mean_from_the_advantage(twin):
    """V = 10, A = (1, 2, 6): Q = V + A - 3, so that the mean of Q is V."""
    each = learner(twin, dueling=True)
    weights = {name: np.zeros_like(value) for name, value in each.get_weights().items()}
    weights["value/bias"][:] = 10
    weights["advantage/bias"][:] = 1, 2, 6
    each.set_weights(weights)
    np.testing.assert_allclose(each.q_values(make_batch().obs)[0], [8, 9, 13], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("extras", [{}, {"masked": True}, {"weighted": True}], ids=str)
def test_target_loss_and_errors_equal_the_numpy_reference(twin, kind, extras):
    each, batch = learner(twin, **kind), make_batch(**extras)
    online, target = busy(each)
    y, expected = reference(each.config, online, target, batch)
    native = tensors(twin, batch)
    found = twin.td_target(each.online, each.target, native, each.config.double)
    np.testing.assert_allclose(array(found), y, atol=1e-5)
    loss, errors = twin.td_loss(each.online, each.target, native, each.config)
    assert float(array(loss)) == pytest.approx(expected, abs=1e-5)
    chosen = q_values(online, batch.obs)[np.arange(B), batch.action]
    np.testing.assert_allclose(array(errors), y - chosen, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("extras", [{}, {"masked": True, "weighted": True}], ids=str)
def test_the_gradients_of_the_twins_are_equal(twins, kind, extras):
    found = []
    for twin in twins:
        each = learner(twin, **kind)
        busy(each)
        found.append(each.gradients(make_batch(**extras)))
    assert_same(*found)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_gradients_are_the_slopes_of_the_numpy_loss(twin, kind):
    """By differences, in float64, with the targets held still."""
    each, batch = learner(twin, **kind), make_batch(weighted=True)
    online, target = busy(each)
    y, _ = reference(each.config, online, target, batch)

    def loss(weights):
        return td_loss_reference(batch, q_values(weights, batch.obs), y, each.config.huber)

    assert_slopes(each.gradients(batch), online, loss)


def test_one_step_of_sgd_gives_the_same_weights(twins):
    stepped = []
    for twin in twins:
        each = learner(twin)
        weights, _ = busy(each)
        gradients = each.gradients(make_batch())
        each.set_weights({name: weights[name] - 0.5 * gradients[name] for name in weights})
        stepped.append(each.get_weights())
    assert_same(*stepped)
    assert (stepped[0]["hidden0/bias"] != weights["hidden0/bias"]).any()


# --- what goes wrong elsewhere -------------------------------------------------------------------


def test_actions_that_were_not_taken_are_left_alone(twin):
    """Q(s) = [1, 2, 3], action 1, target 5: squared error 9, no slope for 0 and 2 (RL-24)."""
    each = learner(twin)
    weights = {name: np.zeros_like(value) for name, value in each.get_weights().items()}
    weights["q/bias"][:] = 1, 2, 3
    each.set_weights(weights)
    one = make_batch(lead=(1,))._replace(
        action=np.array([1]), reward=np.float32([5]), terminated=np.array([True])
    )
    loss, errors = twin.td_loss(each.online, each.target, tensors(twin, one), each.config)
    assert (float(array(loss)), float(array(errors)[0])) == (9.0, 3.0)
    np.testing.assert_allclose(each.gradients(one)["q/bias"], [0, -6, 0])


def test_the_end_of_an_episode_is_worth_its_reward(twin):
    """Whatever the network says there, infinity included (RL-05)."""
    each, batch = learner(twin), make_batch(masked=True)
    busy(each)
    ends = batch.terminated | ~batch.next_mask.any(-1)
    assert 1 < ends.sum() < B
    batch.next_obs[ends] = np.inf
    found = array(twin.td_target(each.online, each.target, tensors(twin, batch), False))
    np.testing.assert_array_equal(found[ends], batch.reward[ends])
    assert np.isfinite(found).all()
    assert (found[~ends] != batch.reward[~ends]).all()
    assert all(np.isfinite(g).all() for g in each.gradients(batch).values())


def test_double_dqn_values_the_online_choice_with_the_target_network(twin):
    """Online prefers action 2, target values it at 1 and its own favourite at 4."""
    each = learner(twin)
    zeros = {name: np.zeros_like(value) for name, value in each.get_weights().items()}
    each.set_weights({**zeros, "q/bias": np.float32([4, 2, 1])})
    each.restore({**each.state(), "online/q/bias": np.float32([0, 1, 9])})
    one = make_batch(lead=(1,))._replace(
        reward=np.float32([1]), terminated=np.array([False]), discount=np.float32([0.5])
    )
    for double, expected in ((False, 3.0), (True, 1.5)):
        found = twin.td_target(each.online, each.target, tensors(twin, one), double)
        assert array(found).tolist() == [expected]


def test_the_target_has_no_gradient(twin):
    """A reward moved by a constant moves the slope; the next observation's values do not."""
    each, batch = learner(twin), make_batch()
    online, _ = busy(each)
    each.set_weights(online)  # both networks are equal, and still only Q(s, a) is moved
    y, _ = reference(each.config, online, online, batch)
    fixed = batch._replace(reward=y.astype(np.float32), terminated=np.ones(B, bool))
    assert_same(each.gradients(batch), each.gradients(fixed))


# --- the optimiser -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [None, 0.5, 1e6])
def test_the_optimiser_starts_from_the_clipped_gradient(twin, limit):
    """After one step of Adam, m = 0.1 g and v = 0.001 g^2, g no longer than the limit."""
    each, batch = learner(twin, max_gradient_norm=limit), make_batch(lead=(1, B))
    busy(each)
    gradients = each.gradients(batch.each(lambda column: column[0]))
    norm = np.sqrt(sum((g**2).sum() for g in gradients.values()))
    assert norm > 1
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
        np.testing.assert_allclose(moved[large], 0.01 * np.sign(g[large]), rtol=1e-3)


@pytest.mark.parametrize("epsilon", [1e-8, 0.1])
def test_several_steps_of_adam_lead_both_twins_to_the_same_weights(twins, epsilon):
    """A large epsilon tells where it is added: PyTorch's place, after the correction."""
    both = [learner(twin, adam_epsilon=epsilon, max_gradient_norm=5.0) for twin in twins]
    for each in both:
        busy(each)
        each.update(make_batch(lead=(5, B), weighted=True))
    one, other = (each.state() for each in both)
    assert_same(one, other)
    assert one["adam_steps"] == other["adam_steps"] == 5


def test_k_updates_in_one_call_are_k_updates(twin):
    batch = make_batch(lead=(4, B), weighted=True)
    together, alone = learner(twin), learner(twin)
    busy(together)
    busy(alone)
    errors = together.update(batch)
    assert errors.shape == (4, B)
    one_by_one = [alone.update(batch.each(lambda column, k=k: column[k : k + 1])) for k in range(4)]
    np.testing.assert_allclose(errors, np.concatenate(one_by_one), atol=1e-5)
    one, other = together.state(), alone.state()
    assert_same(one, other)
    assert one["adam_steps"] == 4


def test_the_errors_are_those_before_each_update(twin):
    each, batch = learner(twin), make_batch(lead=(1, B))
    online, target = busy(each)
    first = batch.each(lambda column: column[0])
    y, _ = reference(each.config, online, target, first)
    chosen = q_values(online, first.obs)[np.arange(B), first.action]
    np.testing.assert_allclose(each.update(batch)[0], y - chosen, atol=1e-5)
    assert np.abs(each.update(batch)[0] - (y - chosen)).max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, {"double": True, "dueling": True, "huber": True}], ids=str)
def test_compiled_updates_are_the_same_updates(twin, kind):
    plain, compiled = learner(twin, **kind), learner(twin, compiled=True, **kind)
    busy(plain)
    busy(compiled)
    for seed in range(3):
        batch = make_batch(seed, lead=(2, B))
        np.testing.assert_allclose(plain.update(batch), compiled.update(batch), atol=1e-4)
        plain.sync_target(0.5)
        compiled.sync_target(0.5)
    assert_same(plain.state(), compiled.state(), atol=1e-4)
    obs = make_batch().obs
    np.testing.assert_allclose(plain.q_values(obs), compiled.q_values(obs), atol=1e-4)


@pytest.mark.parametrize("tau", [1.0, 0.25])
def test_the_target_network_moves_by_tau(twin, tau):
    each = learner(twin)
    online, target = busy(each)
    each.sync_target(tau)
    state = each.state()
    for name in online:
        expected = tau * online[name] + (1 - tau) * target[name]
        np.testing.assert_allclose(state[f"target/{name}"], expected, atol=1e-6)
        np.testing.assert_array_equal(state[f"online/{name}"], online[name])
    each.update(make_batch(lead=(1, B)))
    assert_same(each.state() | {}, {**each.state(), "target/q/bias": state["target/q/bias"]}, 0)


def test_acting_sees_each_update(twin):
    each, obs = learner(twin), make_batch().obs
    before = each.q_values(obs)
    each.update(make_batch(lead=(2, B)))
    after = each.q_values(obs)
    assert (before != after).any()
    np.testing.assert_allclose(after, array(each.online(tensor(twin, obs))), atol=1e-6)


def test_a_loss_of_ones_own_is_used(twin):
    def twice(online, target, batch, config):
        loss, errors = twin.td_loss(online, target, batch, config)
        return 2 * loss, errors

    own, usual = learner(twin, loss=twice), learner(twin)
    busy(own)
    busy(usual)
    batch = make_batch()
    doubled = {name: 2 * g for name, g in usual.gradients(batch).items()}
    assert_same(own.gradients(batch), doubled)


# --- saving --------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [(0, 1), (1, 0)])
@pytest.mark.parametrize("kind", [{}, {"dueling": True, "n_step": 3, "max_gradient_norm": None}])
def test_an_agent_of_one_twin_acts_in_the_other(twins, direction, kind, tmp_path):
    writer, reader = (twins[i] for i in direction)
    one = learner(writer, **kind)
    busy(one)
    one.save(tmp_path / "agent")
    other = reader.DQNLearner.load(tmp_path / "agent")
    obs = make_batch().obs
    np.testing.assert_allclose(one.q_values(obs), other.q_values(obs), atol=1e-5)
    assert other.config == one.config
    assert_same(one.get_weights(), other.get_weights(), atol=0)


@pytest.mark.parametrize("direction", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_training_goes_on_from_a_state(twins, direction):
    one, other = learner(twins[direction[0]]), learner(twins[direction[1]], seed=5)
    busy(one)
    one.update(make_batch(lead=(3, B)))
    other.restore(one.state())
    assert_same(one.state(), other.state(), atol=0)
    for each in (one, other):
        each.update(make_batch(1, lead=(2, B)))
    # Across frameworks Adam's epsilon stands at another place.
    assert_same(one.state(), other.state(), atol=0 if len(set(direction)) == 1 else 1e-3)


def test_a_state_is_a_copy(twin):
    each = learner(twin)
    state, weights = each.state(), each.get_weights()
    kept = {name: value.copy() for name, value in state.items()}
    each.update(make_batch(lead=(1, B)))
    assert_same(state, kept, atol=0)
    weights["q/bias"][:] = 7
    assert (each.get_weights()["q/bias"] != 7).all()


def test_what_does_not_fit_is_named(twin, tmp_path):
    each = learner(twin)
    weights = each.get_weights()
    weights["q/bias"] = weights["q/bias"][:2]
    with pytest.raises(ValueError, match=r"q/bias has shape \(2,\)"):
        each.set_weights(weights)
    state = each.state()
    del state["second/hidden0/kernel"]
    with pytest.raises(ValueError, match="hidden0/kernel is missing"):
        each.restore(state)
    checkpoint.save(tmp_path / "other", {"a": np.zeros(1)}, {"epochs": 3})
    with pytest.raises(ValueError, match="holds no DQN agent"):
        twin.DQNLearner.load(tmp_path / "other")


def test_tensorflow_traces_an_update_once():
    each = learner(load("tensorflow"))
    for seed in range(4):
        each.update(make_batch(seed, lead=(2, B)))
        each.sync_target(0.5)
    assert each._compiled_steps.experimental_get_tracing_count() == 1


def test_weights_of_double_precision_are_taken(twins):
    for twin in twins:
        learner = twin.DQNLearner(DQNConfig(), obs_size=4, num_actions=3, seed=0)
        wide = {name: value.astype(np.float64) for name, value in learner.get_weights().items()}
        learner.set_weights({name: value + 0.5 for name, value in wide.items()})
        for name, value in learner.get_weights().items():
            np.testing.assert_allclose(value, wide[name] + 0.5, rtol=1e-6)
