"""Collaborative filtering: the same numbers in both frameworks, the right ones, and it learns."""

import inspect

import numpy as np
import pytest
from encoders import busy, call, of
from parity import assert_same, assert_slopes, load, tensor
from test_twins import input_gradient, methods, parameters

from companion.core.seeding import generator
from companion.metrics.blocks import top_k_in_blocks
from companion.metrics.ranking import top_k
from companion.recommenders.collaborative import (
    batches,
    binary_loss_reference,
    bpr_loss_reference,
    fit,
    in_batch_loss_reference,
    recommender,
)
from companion.recommenders.collaborative_batches import log_q_of, positives_of
from companion.recommenders.collaborative_config import (
    FactorConfig,
    Features,
    NeuMFConfig,
    TwoTowerConfig,
)
from companion.recommenders.counting import fit_popularity
from companion.recommenders.interactions import interactions
from companion.recommenders.scoring import top_items

U, I, D = 7, 9, 3  # noqa: E741
MODULES = ["collaborative", "two_tower"]
CONFIGS = {
    "factors": FactorConfig(size=D, penalty=0.3, negatives=2, batch_size=6),
    "neumf": NeuMFConfig(size=D, hidden=(5, 4), negatives=2, batch_size=6),
    "towers": TwoTowerConfig(size=D, temperature=0.5, batch_size=6),
    "deep": TwoTowerConfig(size=D, hidden=(5,), unit_length=False, batch_size=6),
}
FEATURES = Features(
    np.random.default_rng(1).normal(size=(U, 2)).astype(np.float32),
    np.random.default_rng(2).normal(size=(I, 4)).astype(np.float32),
)
KINDS = list(CONFIGS)


def log():
    """The last user and the last item stand in no row."""
    rng = generator(0, "log")
    return interactions(rng.integers(0, U - 1, 20), rng.integers(0, I - 1, 20), (U, I))


def learner(twin, kind, seed=0):
    features = {"features": FEATURES} if kind == "deep" else {}
    made = of(twin, "collaborative").CollaborativeLearner(
        CONFIGS[kind], log(), seed=seed, **features
    )
    return made


def busy_learner(twin, kind):
    """Its weights have no zero among them, so that each of them matters."""
    made = learner(twin, kind)
    return made, busy(twin, made.model)


def batch_of(kind):
    return next(batches(positives_of(log()), CONFIGS[kind], generator(0, "batch")))


# --- the same names ------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODULES)
def test_same_names_signatures_and_docstrings(twins, module):
    one, other = (of(twin, module) for twin in twins)
    names = [public(page) for page in (one, other)]
    assert names[0] == names[1]
    assert len(names[0]) >= 3
    for name in names[0]:
        mine, yours = getattr(one, name), getattr(other, name)
        assert mine.__doc__ == yours.__doc__
        if not inspect.isclass(mine):
            assert parameters(mine) == parameters(yours), name
            continue
        assert methods(mine) == methods(yours), name
        for method, twin_method in zip(functions(mine), functions(yours), strict=True):
            assert method.__doc__ == twin_method.__doc__, method


def public(page):
    own = vars(page).items()
    return sorted(n for n, v in own if n[0] != "_" and getattr(v, "__module__", 0) == page.__name__)


def functions(kind):
    found = {n.replace("forward", "call"): v for n, v in vars(kind).items()}
    return [found[n] for n in sorted(found) if n[0] != "_" and inspect.isfunction(found[n])]


# --- losses --------------------------------------------------------------------------------------


def test_losses_equal_their_references(twin):
    rng = np.random.default_rng(0)
    positive = rng.normal(0, 2, 5).astype(np.float32)
    negative = rng.normal(0, 2, (5, 3)).astype(np.float32)
    own, towers = of(twin, "collaborative"), of(twin, "two_tower")
    for name, reference in (("bpr", bpr_loss_reference), ("binary", binary_loss_reference)):
        found = call(twin, getattr(own, f"{name}_loss"), positive, negative)
        assert float(found) == pytest.approx(reference(positive, negative), abs=1e-6)
    scores = rng.normal(0, 3, (5, 5)).astype(np.float32)
    log_q = log_q_of(rng.random(5), "negatives").astype(np.float32)
    hidden = (rng.random((5, 5)) < 0.4) & ~np.eye(5, dtype=bool)
    found = call(twin, towers.in_batch_loss, scores, log_q, hidden)
    assert float(found) == pytest.approx(in_batch_loss_reference(scores, log_q, hidden), abs=1e-5)


def test_losses_stay_finite_far_out(twin):
    """-log(sigmoid(x)) as it is written is infinite from x = -104 in float32."""
    own, far = of(twin, "collaborative"), np.float32([1e4, -1e4])
    for loss, expected in ((own.bpr_loss, 1e4), (own.binary_loss, 5e3)):
        found = float(call(twin, loss, far, -far[:, None]))
        assert found == pytest.approx(expected, rel=1e-6)
        slope = input_gradient(twin, lambda x, f=loss: f(x, tensor(twin, -far[:, None])) / 1e4, far)
        assert np.isfinite(slope).all()
        assert slope[1] < 0
        assert slope[0] == 0


def test_what_is_hidden_has_no_influence(twin):
    own = of(twin, "two_tower")
    scores = np.random.default_rng(0).normal(size=(4, 4)).astype(np.float32)
    hidden = np.zeros((4, 4), bool)
    hidden[0, 1] = hidden[2, 3] = hidden[3, :3] = True
    log_q = np.zeros((4, 4), np.float32)

    def loss(x):
        return own.in_batch_loss(x, tensor(twin, log_q), tensor(twin, hidden))

    slope = input_gradient(twin, loss, scores)
    assert (slope[hidden] == 0).all()
    assert (slope[:3][~hidden[:3]] != 0).all()
    far = np.where(hidden, np.float32(1e6), scores)
    assert float(call(twin, loss, far)) == float(call(twin, loss, scores))


# --- models --------------------------------------------------------------------------------------


def tower_reference(weights, config, features):
    x = weights["ids"]
    if features is not None:
        x = x + features.astype(np.float64) @ weights["features/kernel"] + weights["features/bias"]
    for number in range(len(config.hidden) + 1 if config.hidden else 0):
        x = np.maximum(x, 0) if number else x
        x = x @ weights[f"hidden/{number}/kernel"] + weights[f"hidden/{number}/bias"]
    return x / np.linalg.norm(x, axis=1, keepdims=True) if config.unit_length else x


def scores_reference(weights, kind):
    """Of all users and items, [U, I], in float64."""
    w, config = {name: value.astype(np.float64) for name, value in weights.items()}, CONFIGS[kind]
    if kind == "factors":
        return w["users"] @ w["items"].T + w["item_bias"]
    if kind == "neumf":
        found = np.zeros((U, I))
        for u in range(U):
            for i in range(I):
                x = np.concatenate([w["mlp_users"][u], w["mlp_items"][i]])
                for number in range(2):
                    part = w[f"hidden/{number}/kernel"], w[f"hidden/{number}/bias"]
                    x = np.maximum(x @ part[0] + part[1], 0)
                both = np.concatenate([w["gmf_users"][u] * w["gmf_items"][i], x])
                found[u, i] = (both @ w["head/kernel"] + w["head/bias"])[0]
        return found
    given = FEATURES if kind == "deep" else Features()
    ends = []
    for tower, table in (("user_tower/", given.users), ("item_tower/", given.items)):
        own = {name[len(tower) :]: v for name, v in w.items() if name.startswith(tower)}
        ends.append(tower_reference(own, config, table))
    return ends[0] @ ends[1].T


def loss_reference(weights, kind, batch):
    scores, config = scores_reference(weights, kind), CONFIGS[kind]
    if isinstance(config, TwoTowerConfig):
        table = scores[batch.users][:, batch.items] / config.temperature
        return in_batch_loss_reference(table, batch.log_q, batch.hidden)
    positive = scores[batch.users, batch.items]
    negative = scores[batch.users[:, None], batch.negatives]
    if kind == "neumf":
        return binary_loss_reference(positive, negative)
    size = {name: (value.astype(np.float64) ** 2) for name, value in weights.items()}
    item = size["items"].sum(1) + size["item_bias"]
    squares = size["users"].sum(1)[batch.users] + item[batch.items]
    squares = squares + item[batch.negatives].mean(1)  # [B]
    return bpr_loss_reference(positive, negative) + config.penalty * squares.mean()


@pytest.mark.parametrize("kind", KINDS)
def test_scores_equal_their_numpy_reference(twin, kind):
    made, weights = busy_learner(twin, kind)
    expected, users = scores_reference(weights, kind), np.array([5, 0, 6, 0])
    found = made.scores(users)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[users], atol=1e-5)
    items = np.array([8, 0, 3, 3])
    pairs = call(twin, made.model, users, items)
    np.testing.assert_allclose(pairs, expected[users, items], atol=1e-5)
    model = recommender(made, log())
    np.testing.assert_allclose(model.scores(np.arange(U)), expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_give_the_scores_where_they_are_inner_products(twin, kind):
    made, weights = busy_learner(twin, kind)
    vectors = made.vectors()
    if kind == "neumf":
        assert vectors is None
        return
    expected = scores_reference(weights, kind)
    np.testing.assert_allclose(vectors.users @ vectors.items.T, expected, atol=1e-5)
    np.testing.assert_array_equal(top_k_in_blocks(vectors, 4), top_k(expected, 4))
    if kind == "towers":
        for each in (vectors.users, vectors.items):
            np.testing.assert_allclose(np.linalg.norm(each, axis=1), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_loss_and_gradients_equal_the_numpy_reference(twin, kind):
    made, weights = busy_learner(twin, kind)
    batch = batch_of(kind)
    found = call(twin, made.model.batch_loss, *batch)
    assert float(found) == pytest.approx(loss_reference(weights, kind, batch), abs=1e-5)
    assert_slopes(
        made.gradients(batch), weights, lambda w: loss_reference(w, kind, batch), places=4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_same_weights_give_the_same_scores_and_gradients(twins, kind):
    one, other = (busy_learner(twin, kind)[0] for twin in twins)
    assert_same(one.get_weights(), other.get_weights(), atol=0)
    users, batch = np.arange(U), batch_of(kind)
    np.testing.assert_allclose(one.scores(users), other.scores(users), rtol=0, atol=1e-5)
    assert_same(one.gradients(batch), other.gradients(batch))
    assert one.update(batch) == pytest.approx(other.update(batch), abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_starts_both_from_the_same_weights(twins, kind):
    one, other = (learner(twin, kind).get_weights() for twin in twins)
    assert_same(one, other, atol=0)
    name = next(name for name in one if name.endswith(("users", "ids")))
    assert not np.array_equal(one[name], learner(twins[0], kind, seed=1).get_weights()[name])
    assert not one[name][U - 1 if "user" in name else I - 1].any()


@pytest.mark.parametrize("kind", ["factors", "towers"])
def test_chance_ranks_nobody_without_a_row(twin, kind):
    """Such a user gets the biases, or nothing; an item in no batch of two towers scores 0."""
    made = learner(twin, kind)
    fit(made, log(), CONFIGS[kind], generator(0, "batches"))
    found = made.scores(np.array([U - 1, 0]))
    if kind == "factors":
        np.testing.assert_array_equal(found[0], made.get_weights()["item_bias"])
        assert found[0].any()
    else:
        assert not found[0].any()
        assert found[1, I - 1] == 0
        assert found[1, : I - 1].all()


def test_wrong_input_is_refused(twin):
    own = of(twin, "collaborative")
    for kind in ("factors", "neumf"):
        with pytest.raises(ValueError, match="only two towers read features"):
            own.CollaborativeLearner(CONFIGS[kind], log(), seed=0, features=FEATURES)
    wrong = Features(users=FEATURES.items)
    with pytest.raises(ValueError, match=r"features of users must be \[7"):
        own.CollaborativeLearner(CONFIGS["towers"], log(), seed=0, features=wrong)
    batch = batch_of("factors")
    with pytest.raises(ValueError, match="row 0 holds the item outside"):
        learner(twin, "factors").update(batch._replace(items=batch.items + I))


def test_tensorflow_traces_a_step_once():
    made = learner(load("tensorflow"), "neumf")
    fit(made, log(), CONFIGS["neumf"], generator(0, "batches"))
    assert made._compiled_step.experimental_get_tracing_count() == 1


# --- learning ------------------------------------------------------------------------------------

LEARNERS = {
    "factors": FactorConfig(size=8, penalty=0.01, batch_size=128, epochs=15, learning_rate=0.03),
    "neumf": NeuMFConfig(size=8, hidden=(16, 8), batch_size=64, epochs=10, learning_rate=0.01),
    "towers": TwoTowerConfig(size=8, temperature=0.5, batch_size=64, epochs=8, learning_rate=0.02),
}
SEEDS = (0, 1, 2)


def two_tastes(seed, users=120, items=40):
    """Half of the users like the first half of the items, the others the second; 3 of 10 are kept.

    Within a half, items differ in popularity; one item in about twenty is of the other half.

    Returns:
        The log, and the items kept back. [U, 3]
    """
    rng, half = generator(seed, "tastes"), items // 2
    popular = np.tile(np.arange(1, half + 1) ** -0.3, 2)
    log, held = [], []
    for user in range(users):
        chance = popular * np.where(np.arange(items) // half == user % 2, 1, 0.05)
        got = rng.choice(items, 10, replace=False, p=chance / chance.sum())
        held.append(got[:3])
        log += [(user, item) for item in got[3:]]
    return interactions(*np.array(log).T, (users, items)), np.array(held)


def recall(model, held, k=5):
    top = top_items(model, np.arange(len(held)), k, remove_seen=True)
    return np.mean([np.isin(kept, found).mean() for kept, found in zip(held, top, strict=True)])


@pytest.fixture(scope="module")
def trained():
    """Model and losses of each learner, kind and seed; each is made once."""
    made = {}

    def make(twin, kind, seed, run=0):
        key = twin.__name__, kind, seed, run
        if key not in made:
            log, config = two_tastes(seed)[0], LEARNERS[kind]
            learner = of(twin, "collaborative").CollaborativeLearner(config, log, seed=seed)
            losses = fit(learner, log, config, generator(seed, "batches"))
            made[key] = recommender(learner, log), losses
        return made[key]

    return make


@pytest.mark.parametrize("kind", list(LEARNERS))
def test_a_learner_finds_the_two_tastes(twin, trained, kind):
    """Popularity cannot know them: of 20 seeds, the worst was 0.069 above it, the mean 0.17."""
    gains = []
    for seed in SEEDS:
        log, held = two_tastes(seed)
        model, losses = trained(twin, kind, seed)
        assert losses[-1] < 0.9 * losses[0]
        gains.append(recall(model, held) - recall(fit_popularity(log), held))
    assert min(gains) > 0.03


@pytest.mark.parametrize("kind", list(LEARNERS))
def test_one_seed_gives_one_run_bit_for_bit(twin, trained, kind):
    one, other = (trained(twin, kind, 0, run) for run in (0, 1))
    assert one[1] == other[1]
    users = np.arange(120)
    np.testing.assert_array_equal(one[0].scores(users), other[0].scores(users))
    assert one[1] != trained(twin, kind, 1)[1]


@pytest.mark.parametrize("kind", list(LEARNERS))
def test_the_twins_learn_alike(twins, trained, kind):
    one, other = (trained(twin, kind, 0)[1] for twin in twins)
    np.testing.assert_allclose(one[:5], other[:5], rtol=1e-3)
