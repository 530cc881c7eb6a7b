"""SlateQ's loss is the same in both frameworks, and the right one; and it finds exact values."""

import numpy as np
import pytest
from parity import FRAMEWORKS, array, assert_same, assert_slopes, load, tensor
from test_rl_slate_q import MASK, MODEL, Booth, all_observations, booths, exact
from test_rl_training import all_of

from companion.core.seeding import generator
from companion.envs.best_slate import best_slate, page_value
from companion.rl.dqn import DQNConfig, q_values, weight_shapes
from companion.rl.on_policy import slate_envs
from companion.rl.replay import Batch
from companion.rl.rollout import evaluate
from companion.rl.slate_q import PageModel, best_page, slate_act, slate_target_reference
from companion.rl.slate_training import SlateTraining
from companion.rl.targets import td_loss_reference

M, K, FIRST, B = 6, 3, 2, 24
D = FIRST + M + 1  # one number stands behind the utilities
PAGES = {
    "equal places": PageModel(M, K, FIRST),
    "falling": PageModel(M, K, FIRST, 0.6),
    "any order": PageModel(M, K, FIRST, (0.5, 1.2, 0.8)),
    "one place": PageModel(M, 1, FIRST),
    "every item": PageModel(M, M, FIRST, 0.9),
}
KINDS = [{}, {"double": True}, {"huber": True}, {"double": True, "huber": True, "dueling": True}]
pages = pytest.mark.parametrize("model", PAGES.values(), ids=PAGES)
kinds = pytest.mark.parametrize("kind", KINDS, ids=str)


@pytest.fixture(params=FRAMEWORKS)
def twin(request):
    return request.param


def module(twin):
    return load(twin, ".slate_q")


def learner(twin, model, seed=0, **more):
    config = DQNConfig(**{"hidden_sizes": (7, 6), "learning_rate": 0.01, **more})
    made = load(twin, ".dqn").DQNLearner
    loss = module(twin).slate_td_loss(model)
    return made(config, obs_size=D, num_actions=M + 1, seed=seed, loss=loss)


def busy(each, seed=3):
    """Online and target weights that differ, none of them zero."""
    rng = np.random.default_rng(seed)
    shapes = weight_shapes(each.config, D, M + 1)
    online, target = (
        {name: rng.normal(0, 0.6, shape).astype(np.float32) for name, shape in shapes.items()}
        for _ in range(2)
    )
    each.set_weights(target)  # the target network takes them over
    each.restore({**each.state(), **{f"online/{k}": v for k, v in online.items()}})
    return online, target


def make_batch(seed=0, lead=(B,), masked=False, weighted=False):
    rng = np.random.default_rng(seed)
    mask = np.ones((*lead, M + 1), bool)
    if masked:
        mask[..., :M] = rng.random((*lead, M)) < 0.6
        mask[..., 0, :M] = False  # a page that stays empty
        mask[..., 1, 1:M] = False  # a page with one item
    return Batch(
        obs=rng.normal(size=(*lead, D)).astype(np.float32),
        action=rng.integers(M + 1, size=lead),
        reward=rng.normal(0, 2, lead).astype(np.float32),
        next_obs=rng.normal(0, 1.5, size=(*lead, D)).astype(np.float32),
        terminated=rng.random(lead) < 0.2,
        discount=rng.choice([0.9, 0.81], lead).astype(np.float32),
        next_mask=mask if masked else None,
        weight=rng.random(lead).astype(np.float32) if weighted else None,
    )


def tensors(twin, batch):
    package = load(twin)
    return batch.each(lambda column: tensor(package, column))


def reference(config, weights, batch, model):
    """The targets and the loss in NumPy."""
    online, target = weights
    chooser = q_values(online, batch.next_obs) if config.double else None
    y = slate_target_reference(batch, q_values(target, batch.next_obs), model, chooser)
    return y, td_loss_reference(batch, q_values(online, batch.obs), y, config.huber)


# --- the same numbers


@pages
@kinds
@pytest.mark.parametrize("extras", [{}, {"masked": True, "weighted": True}], ids=str)
def test_target_loss_and_errors_equal_the_numpy_reference(twin, model, kind, extras):
    each, batch = learner(twin, model, **kind), make_batch(**extras)
    weights = busy(each)
    y, expected = reference(each.config, weights, batch, model)
    native, double = tensors(twin, batch), each.config.double
    found = module(twin).slate_target(each.online, each.target, native, double, model=model)
    np.testing.assert_allclose(array(found), y, atol=1e-5)
    loss, errors = module(twin).slate_td_loss(model)(each.online, each.target, native, each.config)
    assert float(array(loss)) == pytest.approx(expected, abs=1e-5)
    chosen = q_values(weights[0], batch.obs)[np.arange(B), batch.action]
    np.testing.assert_allclose(array(errors), y - chosen, atol=1e-5)


@pages
@kinds
def test_the_gradients_of_the_twins_are_equal(model, kind):
    found = []
    for twin in FRAMEWORKS:
        each = learner(twin, model, **kind)
        busy(each)
        found.append(each.gradients(make_batch(masked=True, weighted=True)))
    assert_same(*found)
    assert max(np.abs(value).max() for value in found[0].values()) > 0.1


@kinds
def test_the_gradients_are_the_slopes_of_the_numpy_loss(twin, kind):
    """By differences, in float64, with the targets held still: they have no slope."""
    model = PAGES["falling"]
    each, batch = learner(twin, model, **kind), make_batch(masked=True, weighted=True)
    weights = busy(each)
    y, _ = reference(each.config, weights, batch, model)

    def loss(weights):
        return td_loss_reference(batch, q_values(weights, batch.obs), y, each.config.huber)

    assert_slopes(each.gradients(batch), weights[0], loss)


def test_the_best_pages_are_those_of_the_exact_search(twin):
    rng, rows = generator(0, "pages"), 400
    model = PageModel(20, 5, 0, 0.85)
    utility = rng.normal(-2, 1, (rows, 20)).astype(np.float32)
    q = rng.normal(0, 1, (rows, 21)).astype(np.float32)
    mask = rng.random((rows, 20)) < 0.7
    mask[:, :5] = True
    native = [tensor(load(twin), x) for x in (q, utility, mask)]
    slate_q = module(twin)
    odds = slate_q.page_odds(*native[1:])
    found = array(slate_q.best_pages(native[0], odds, native[2], model))
    expected = best_slate(utility, q[:, :-1], q[:, -1], mask, 5, place=0.85)
    assert (found == expected).all(1).mean() > 0.99  # float32 may swap what is worth the same
    worth = [
        page_value(*(np.take_along_axis(x, page, 1) for x in (utility, q)), q[:, -1], place=0.85)
        for page in (found, expected)
    ]
    np.testing.assert_allclose(*worth, atol=1e-5)


def test_more_rounds_never_find_a_worse_page(twin):
    """Nearly every page is clicked here, which takes the most rounds."""
    rng, rows = generator(1, "pages"), 300
    utility = rng.normal(0, 3, (rows, 30)).astype(np.float32)
    q, mask = rng.normal(0, 1, (rows, 31)).astype(np.float32), np.ones((rows, 30), bool)
    native = [tensor(load(twin), x) for x in (q, utility, mask)]
    slate_q = module(twin)
    odds = slate_q.page_odds(*native[1:])

    def after(rounds):
        model = PageModel(30, 5, 0, rounds=rounds)
        page = array(slate_q.best_pages(native[0], odds, native[2], model))
        shown = (np.take_along_axis(x, page, 1) for x in (utility, q))
        return page_value(*shown, q[:, -1])

    worth = np.stack([after(rounds) for rounds in range(1, 7)])
    assert (np.diff(worth, axis=0) > -1e-5).all()
    assert (worth[-1] > worth[0] + 0.01).any()
    best = best_slate(utility, q[:, :-1], q[:, -1], mask, 5)
    shown = (np.take_along_axis(x, best, 1) for x in (utility, q))
    np.testing.assert_allclose(worth[-1], page_value(*shown, q[:, -1]), atol=1e-4)


# --- what goes wrong elsewhere


def test_the_end_of_an_episode_is_worth_its_reward(twin):
    """Whatever the network says there, infinity included."""
    model = PAGES["falling"]
    each, batch = learner(twin, model), make_batch(masked=True)
    busy(each)
    ends = batch.terminated
    assert 1 < ends.sum() < B
    batch.next_obs[ends] = np.inf
    native = tensors(twin, batch)
    found = array(module(twin).slate_target(each.online, each.target, native, False, model=model))
    np.testing.assert_array_equal(found[ends], batch.reward[ends])
    assert (found[~ends] != batch.reward[~ends]).all()
    assert all(np.isfinite(g).all() for g in each.gradients(batch).values())


@pytest.mark.parametrize("shift", [100, -100])
def test_large_utilities_give_the_right_target(twin, shift):
    model = PAGES["falling"]
    each, batch = learner(twin, model), make_batch()
    weights = busy(each)
    weights[1]["hidden0/kernel"][FIRST : FIRST + M] = 0  # the network does not see them
    each.set_weights(weights[1])
    batch.next_obs[:, FIRST : FIRST + M] += shift  # e^100 is infinite in float32
    y, _ = reference(each.config, (weights[1],) * 2, batch, model)
    native = tensors(twin, batch)
    found = array(module(twin).slate_target(each.online, each.target, native, False, model=model))
    np.testing.assert_allclose(found, y, atol=1e-5)


def test_utilities_far_apart_stay_finite(twin):
    """A page whose odds are all 0 beside the largest would have no value."""
    model = PAGES["falling"]
    each, batch = learner(twin, model), make_batch(masked=True)
    busy(each)
    batch.next_obs[:, FIRST : FIRST + M] *= 300
    native = tensors(twin, batch)
    found = array(module(twin).slate_target(each.online, each.target, native, False, model=model))
    assert np.isfinite(found).all()


def test_only_what_was_clicked_has_a_gradient(twin):
    """Q(s) = 0 but for 2 on item 1: the reward is 5, the squared error 9."""
    each = learner(twin, PAGES["falling"])
    weights = {name: np.zeros_like(value) for name, value in each.get_weights().items()}
    weights["q/bias"][1] = 2
    each.set_weights(weights)
    one = make_batch(lead=(1,))._replace(
        action=np.array([1]), reward=np.float32([5]), terminated=np.array([True])
    )
    np.testing.assert_allclose(each.gradients(one)["q/bias"], [0, -6, 0, 0, 0, 0, 0])


# --- several updates in one call


def test_k_updates_in_one_call_are_k_updates(twin):
    batch = make_batch(lead=(4, B), weighted=True, masked=True)
    together, alone = learner(twin, PAGES["falling"]), learner(twin, PAGES["falling"])
    busy(together)
    busy(alone)
    errors = together.update(batch)
    one_by_one = [alone.update(batch.each(lambda column, k=k: column[k : k + 1])) for k in range(4)]
    np.testing.assert_allclose(errors, np.concatenate(one_by_one), atol=1e-5)
    assert_same(together.state(), alone.state())


@pytest.mark.slow
@pytest.mark.parametrize("kind", [{}, {"double": True, "dueling": True, "huber": True}], ids=str)
def test_compiled_updates_are_the_same_updates(twin, kind):
    model = PAGES["falling"]
    plain, compiled = (learner(twin, model, compiled=value, **kind) for value in (False, True))
    busy(plain)
    busy(compiled)
    for seed in range(3):
        batch = make_batch(seed, lead=(2, B), masked=True)
        np.testing.assert_allclose(plain.update(batch), compiled.update(batch), atol=1e-4)
        plain.sync_target(0.5)
        compiled.sync_target(0.5)
    assert_same(plain.state(), compiled.state(), atol=1e-4)


# --- what it comes to

SETTINGS = {
    "hidden_sizes": (),
    "learning_rate": 0.02,
    "capacity": 4000,
    "sync_every": 100,
    "train_every": 4,
    "updates_per_call": 4,
    "epsilon_end": 0.5,
}


def of_booths(twin, gamma=0.9, **more):
    made = load(twin, ".dqn").DQNLearner
    config = DQNConfig(gamma=gamma, **{**SETTINGS, **more})
    loss, size = module(twin).slate_td_loss(MODEL), all_observations().shape[1]
    return made(config, obs_size=size, num_actions=MODEL.num_actions, seed=0, loss=loss)


@pytest.mark.parametrize("gamma", [0.0, 0.9])
def test_the_exact_values_and_pages_are_learnt(twin, gamma):
    """A click pays and leads to a known place, so that a linear network can be exact."""
    each = of_booths(twin, gamma)
    SlateTraining(booths(8), each, seed=0, model=MODEL).run(12_000)
    q, best = exact(gamma)
    found, possible = each.q_values(all_observations()), np.ones(q.shape, bool)
    possible[:, :-1] = MASK
    np.testing.assert_allclose(found[possible], q[possible], atol=0.03)
    assert best_page(MODEL, found, all_observations(), MASK).tolist() == best


def test_a_hidden_layer_and_double_learn_pages_that_are_worth_as_much(twin):
    """The return of whole episodes beside that of the exact pages, with the same luck."""
    each = of_booths(twin, double=True, hidden_sizes=(32,), learning_rate=0.005)
    SlateTraining(booths(8), each, seed=0, model=MODEL).run(12_000)

    def mean(values):
        envs = slate_envs(booths(300, limit=200), MODEL.slate_size)
        return evaluate(slate_act(values, MODEL), envs, seed=1).mean()

    solve = [
        np.linalg.lstsq(all_observations(), exact(gamma)[0], rcond=None)[0] for gamma in (0.9, 0)
    ]
    far, near = (mean(lambda obs, w=w: obs @ w) for w in solve)
    assert near < far - 0.5
    assert mean(each.q_values) == pytest.approx(far, abs=0.15)


def test_a_resumed_run_is_the_run_that_never_stopped(twin, tmp_path):
    def start():
        return of_booths(twin, double=True, prioritized=True, warmup=100)

    whole = SlateTraining(booths(), start(), seed=2, model=MODEL).run(800)
    first = SlateTraining(booths(), start(), seed=2, model=MODEL).run(430)
    first.save(tmp_path / "run")
    resumed = SlateTraining.resume(tmp_path / "run", booths(), start()).run(370)
    assert whole.updates > 100
    one, other = all_of(whole), all_of(resumed)
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert np.array_equal(value, other[name]), name


def test_one_environment_will_do(twin):
    training = SlateTraining(Booth(), of_booths(twin, warmup=10), seed=0, model=MODEL).run(60)
    assert training.updates == 12
