"""The two frameworks offer the same names, and compute the same numbers."""

import importlib
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest
from parity import FRAMEWORKS, array, assert_same, load, tensor

import companion
from companion.core import checkpoint as core_checkpoint
from companion.recommenders.next_basket import (
    NextBasketBatch,
    NextBasketConfig,
    fit,
    next_basket_loss_reference,
)

PACKAGE = Path(companion.__file__).parent


def modules(framework):
    """What a learner may look for in both: all but a framework's own helpers."""
    names = {path.stem for path in (PACKAGE / framework).glob("*.py")}
    return sorted(name for name in names if name[0] != "_")


V, F, D, H, T, K = 11, 3, 5, 4, 6, 3
CONFIG = NextBasketConfig(embedding_size=D, hidden_size=H, max_baskets=T, max_items=K)
NAMES = {"forward": "call"}  # what each framework calls when a model is called


def input_gradient(twin, function, value):
    """The gradient of the sum of squares of function(value) by value."""
    if twin.__name__.endswith("pytorch"):
        x = tensor(twin, value).requires_grad_()
        (function(x) ** 2).sum().backward()
        return x.grad.numpy()
    tf = importlib.import_module("tensorflow")
    x = tf.constant(value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(function(x) ** 2)
    return np.asarray(tf.convert_to_tensor(tape.gradient(total, x)))


def learner(twin, seed=0, config=CONFIG, **more):
    return twin.NextBasketLearner(config, num_items=V, num_features=F, seed=seed, **more)


def make_batch(seed=0, users=7):
    """Users with 0, 1, 2, ... baskets of 1 to K items; the unknown item is among them."""
    rng = np.random.default_rng(seed)
    baskets = rng.integers(1, V, (users, T + 1, K)).astype(np.int32)
    baskets[np.arange(K) >= rng.integers(1, K + 1, (users, T + 1))[..., None]] = 0
    baskets[np.arange(T + 1) >= np.arange(users)[:, None]] = 0
    features = rng.normal(size=(users, F)).astype(np.float32)
    return NextBasketBatch(baskets[:, :T], features, baskets[:, 1:])


@pytest.fixture
def batch():
    return make_batch()


def busy_weights(seed=3):
    """Weights without a zero bias, so that each of them matters."""
    from companion.recommenders.next_basket import weight_shapes

    rng = np.random.default_rng(seed)
    shapes = weight_shapes(CONFIG, V, F)
    weights = {name: rng.normal(0, 0.5, s).astype(np.float32) for name, s in shapes.items()}
    weights["embedding/table"][0] = 0
    return weights


# --- the same names ------------------------------------------------------------------------------


def parameters(function):
    def word(annotation):  # without the module: a tensor is each framework's own
        return re.sub(r"\w+\.", "", getattr(annotation, "__name__", str(annotation)))

    signature = inspect.signature(function)
    found = [(p.name, p.kind, word(p.annotation)) for p in signature.parameters.values()]
    defaults = [p.default for p in signature.parameters.values() if not callable(p.default)]
    return found, defaults, word(signature.return_annotation)


def methods(kind):
    own = {name: value for name, value in vars(kind).items() if inspect.isfunction(value)}
    public = {NAMES.get(n, n): v for n, v in own.items() if n == "__init__" or n[0] != "_"}
    return {name: parameters(public[name]) for name in sorted(public)}


def test_same_public_names_and_signatures(twins):
    torch_, tf_ = twins
    assert torch_.__all__ == tf_.__all__
    for name in torch_.__all__:
        one, other = getattr(torch_, name), getattr(tf_, name)
        if inspect.isclass(one):
            assert methods(one) == methods(other), name
        else:
            assert parameters(one) == parameters(other), name


def test_the_page_of_a_twin_names_its_twin():
    assert modules("pytorch") == modules("tensorflow")
    for module in modules("pytorch"):
        for mine, other in (FRAMEWORKS, FRAMEWORKS[::-1]):
            page = load(mine, f".{module}").__doc__
            assert f"Twin: companion/{other}/{module}.py" in page


def test_docstrings_do_not_drift_apart(twins):
    for name in twins[0].__all__:
        one, other = (getattr(twin, name).__doc__ for twin in twins)
        if name in ("NextBasketLearner", "setup"):  # what their frameworks add
            continue
        assert one == other, name


# --- the same numbers ----------------------------------------------------------------------------


def test_one_seed_gives_the_same_starting_weights(twins):
    one, other = (learner(twin).get_weights() for twin in twins)
    assert_same(one, other, atol=0)
    assert (one["gru/kernel"] != learner(twins[0], seed=1).get_weights()["gru/kernel"]).all()


def test_item_vectors_start_both(twins):
    vectors = np.random.default_rng(0).normal(size=(V, D))
    for twin in twins:
        table = learner(twin, item_vectors=vectors).get_weights()["embedding/table"]
        np.testing.assert_array_equal(table[1:], vectors[1:].astype(np.float32))


def pair(twins, weights=None):
    learners = [learner(twin) for twin in twins]
    for each in learners:
        each.set_weights(weights or busy_weights())
    return learners


def logits_of(twin, each, batch):
    return each.model(*(tensor(twin, column) for column in batch[:2]))


def test_same_weights_give_the_same_scores(twins, batch):
    one, other = (each.scores(batch) for each in pair(twins))
    assert one.dtype == other.dtype == np.float32
    assert one.shape == (7, V)
    np.testing.assert_allclose(one[:, 2:], other[:, 2:], atol=1e-5)
    assert (one[:, :2] == -1e9).all()
    assert (other[:, :2] == -1e9).all()


def test_same_weights_give_the_same_loss_and_gradients(twins, batch):
    learners = pair(twins)
    assert_same(*(each.gradients(batch) for each in learners))
    losses = [
        array(twin.next_basket_loss(logits_of(twin, each, batch), tensor(twin, batch.targets)))
        for twin, each in zip(twins, learners, strict=True)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_one_step_of_sgd_gives_the_same_weights(twins, batch):
    stepped = []
    for each in pair(twins):
        weights, gradients = each.get_weights(), each.gradients(batch)
        each.set_weights({name: weights[name] - 0.5 * gradients[name] for name in weights})
        stepped.append(each.get_weights())
    assert_same(*stepped)
    assert (stepped[0]["gru/bias"] != busy_weights()["gru/bias"]).all()


@pytest.mark.parametrize("name", ["gru/bias", "gru/kernel", "gru/recurrent_kernel"])
def test_a_wrong_order_of_gates_would_be_found(twins, batch, name):
    """The checks above can fail: gates in the other order change scores and gradients."""
    one, other = pair(twins)
    weights = busy_weights()
    z, r, n = np.split(weights[name], 3, -1)
    other.set_weights(weights | {name: np.concatenate([r, z, n], -1)})
    assert np.abs(one.scores(batch) - other.scores(batch)).max() > 1e-3
    with pytest.raises(AssertionError):
        assert_same(one.gradients(batch), other.gradients(batch))


def test_exchanged_biases_would_be_found(twins, batch):
    one, other = pair(twins)
    weights = busy_weights()
    other.set_weights(weights | {"gru/bias": weights["gru/bias"][::-1]})
    assert np.abs(one.scores(batch) - other.scores(batch)).max() > 1e-3


def test_a_wrong_signature_would_be_found():
    def right(states: int, mask: int) -> int: ...
    def wrong_name(states: int, padding: int) -> int: ...
    def wrong_kind(states: int, *, mask: int) -> int: ...

    assert parameters(right) != parameters(wrong_name)
    assert parameters(right) != parameters(wrong_kind)


# --- against plain NumPy -------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_reference(x, weights):
    """[T, D] -> [T, H], event by event."""
    state, states = np.zeros(H), []
    for event in x:
        a = np.split(event @ weights["gru/kernel"] + weights["gru/bias"][0], 3)
        b = np.split(state @ weights["gru/recurrent_kernel"] + weights["gru/bias"][1], 3)
        z, r = sigmoid(a[0] + b[0]), sigmoid(a[1] + b[1])
        state = (1 - z) * np.tanh(a[2] + r * b[2]) + z * state
        states.append(state)
    return np.array(states)


def model_reference(weights, baskets, features):
    """Logits after each basket of one user: [T, K], [F] -> [T', V]."""
    baskets = baskets[(baskets != 0).any(-1)]
    means = [weights["embedding/table"][b[b != 0]].mean(0) for b in baskets]
    states = gru_reference(np.array(means), weights)
    states = states + features @ weights["features/kernel"] + weights["features/bias"]
    out = states @ weights["projection/kernel"] + weights["projection/bias"]
    logits = out @ weights["embedding/table"].T + weights["output/bias"]
    logits[:, :2] = -1e9
    return logits


def test_the_model_equals_its_numpy_reference(twin, batch):
    each, weights = pair([twin])[0], busy_weights()
    logits = array(logits_of(twin, each, batch))
    scores = each.scores(batch)
    for user in range(1, 7):  # user 0 has no basket
        expected = model_reference(weights, batch.baskets[user], batch.features[user])
        np.testing.assert_allclose(logits[user, : len(expected)], expected, atol=1e-5)
        np.testing.assert_allclose(scores[user], expected[-1], atol=1e-5)


def test_a_user_without_a_basket_is_scored_by_features_and_bias(twin, batch):
    each, weights = pair([twin])[0], busy_weights()
    state = batch.features[0] @ weights["features/kernel"] + weights["features/bias"]
    out = state @ weights["projection/kernel"] + weights["projection/bias"]
    expected = out @ weights["embedding/table"].T + weights["output/bias"]
    np.testing.assert_allclose(each.scores(batch)[0, 2:], expected[2:], atol=1e-5)


def test_the_loss_equals_its_numpy_reference(twin, batch):
    logits = np.random.default_rng(0).normal(size=(7, T, V)).astype(np.float32) * 5
    found = float(twin.next_basket_loss(tensor(twin, logits), tensor(twin, batch.targets)))
    assert found == pytest.approx(next_basket_loss_reference(logits, batch.targets), abs=1e-5)


def test_the_update_reports_the_loss_before_it(twin, batch):
    each = pair([twin])[0]
    expected = next_basket_loss_reference(array(logits_of(twin, each, batch)), batch.targets)
    empty = batch._replace(targets=np.zeros_like(batch.targets))
    assert all((g == 0).all() for g in each.gradients(empty).values())
    assert each.update(empty) == 0.0  # a batch without a target changes nothing
    assert_same(each.get_weights(), busy_weights(), atol=0)
    assert each.update(batch) == pytest.approx(expected, abs=1e-5)
    after = each.get_weights()
    assert all((after[n][2:] != w[2:]).any() for n, w in busy_weights().items() if len(w) > 2)
    assert not after["embedding/table"][0].any()


def test_padded_users_change_nothing(twin, batch):
    each = pair([twin])[0]
    longer = NextBasketBatch(*(np.concatenate([c, np.zeros_like(c[:3])]) for c in batch))
    assert_same(each.gradients(batch), each.gradients(longer), atol=1e-6)


def test_the_mean_leaves_out_padding(twin):
    """The table [5, 1, 3] and the sequence 1, 2, 0, 0: the mean is 2, not 3.5 (TF-04)."""
    vectors = np.array([[[1.0], [3], [5], [5]]], np.float32)
    mask = np.array([[True, True, False, False]])
    assert array(twin.masked_mean(tensor(twin, vectors), tensor(twin, mask))) == 2.0


def test_the_mean_of_nothing_is_zero_with_a_finite_gradient(twin):
    vectors = np.random.default_rng(0).normal(size=(2, 4, 3, D)).astype(np.float32)
    mask = np.random.default_rng(1).random((2, 4, 3)) < 0.5
    mask[0, 0] = False
    vectors[~mask] = np.nan  # whatever stands there has no influence
    mean = array(twin.masked_mean(tensor(twin, vectors), tensor(twin, mask)))
    rows = zip(vectors.reshape(-1, 3, D), mask.reshape(-1, 3), strict=True)
    expected = [v[m].mean(0) if m.any() else np.zeros(D) for v, m in rows]
    np.testing.assert_allclose(mean.reshape(-1, D), expected, atol=1e-6)
    by = input_gradient(twin, lambda x: twin.masked_mean(x, tensor(twin, mask)), vectors)
    assert np.isfinite(by).all()
    assert (by[~mask] == 0).all()


def encoder(twin):
    return pair([twin])[0].model.encoder


def sequences():
    x = np.random.default_rng(0).normal(size=(4, T, D)).astype(np.float32)
    mask = np.arange(T) < np.array([T, 3, 1, 0])[:, None]  # the last is all padding (TF-03)
    return x, mask


def test_the_encoder_equals_its_numpy_reference(twin):
    x, mask = sequences()
    states = array(encoder(twin)(tensor(twin, x), tensor(twin, mask)))
    for row, length in enumerate([T, 3, 1, 0]):
        expected = gru_reference(x[row, :length], busy_weights())
        np.testing.assert_allclose(states[row, :length], expected.reshape(-1, H), atol=1e-5)
        assert (states[row, length:] == 0).all()
    last = array(twin.last_state(tensor(twin, states), tensor(twin, mask)))
    expected = np.stack([states[0, T - 1], states[1, 2], states[2, 0], np.zeros(H)])
    np.testing.assert_array_equal(last, expected)


def test_what_stands_in_padding_has_no_influence(twin):
    x, mask = sequences()
    other = np.where(mask[..., None], x, np.nan).astype(np.float32)
    call = encoder(twin)
    one, two = (array(call(tensor(twin, v), tensor(twin, mask))) for v in (x, other))
    np.testing.assert_array_equal(one, two)
    by = input_gradient(twin, lambda v: call(v, tensor(twin, mask)), other)
    assert np.isfinite(by).all()
    assert (by[~mask] == 0).all()


def test_step_by_step_equals_all_at_once(twin):
    x, mask = sequences()
    call = encoder(twin)
    states = array(call(tensor(twin, x), tensor(twin, np.ones_like(mask))))
    state = tensor(twin, np.zeros((4, H), np.float32))
    for t in range(T):
        state = call.step(state, tensor(twin, x[:, t]))
        np.testing.assert_allclose(array(state), states[:, t], atol=1e-6)


def test_the_vector_of_padding_is_zero_and_stays_so(twin):
    initial = np.ones((V, D), np.float32)
    embedding = twin.ItemEmbedding(V, D, initial)
    assert array(embedding(tensor(twin, [[0, 1]]))).sum(-1).tolist() == [[0.0, D]]
    with pytest.raises(ValueError, match="initial has shape"):
        twin.ItemEmbedding(V, D + 1, initial)
    each = pair([twin])[0]
    assert not each.gradients(make_batch())["embedding/table"][0].any()


# --- checkpoints ---------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", [(0, 1), (1, 0)])
def test_a_checkpoint_of_one_twin_loads_in_the_other(twins, batch, direction, tmp_path):
    writer, reader = (twins[i] for i in direction)
    one, other = learner(writer, seed=1), learner(reader, seed=2)
    one.set_weights(busy_weights())
    settings = {"epochs": np.int64(3), "loss": np.float32(0.5), "nested": [{"at": np.arange(2)}]}
    writer.save(tmp_path / "model", writer.weights_of(one.model), settings)
    weights, found = reader.load(tmp_path / "model")
    reader.load_into(other.model, weights)
    np.testing.assert_allclose(one.scores(batch), other.scores(batch), rtol=0, atol=1e-5)
    assert_same(one.get_weights(), other.get_weights(), atol=0)
    assert found == {"epochs": 3, "loss": 0.5, "nested": [{"at": [0, 1]}]}
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_weights_are_copies(twin):
    each = learner(twin)
    before = each.get_weights()
    each.get_weights()["gru/bias"][:] = 7
    given = each.get_weights()
    each.set_weights(given)
    given["gru/bias"][:] = 7
    assert_same(before, each.get_weights(), atol=0)


def test_weights_that_do_not_fit_are_named(twin):
    each, weights = learner(twin), busy_weights()
    weights["gru/cernel"] = weights.pop("gru/kernel")
    weights["features/bias"] = weights["features/bias"][:2]
    with pytest.raises(ValueError, match="do not fit") as error:
        each.set_weights(weights)
    for part in (
        "gru/kernel is missing",
        "gru/cernel is not known",
        "features/bias has shape (2,)",
    ):
        assert part in str(error.value)


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path):
    from safetensors.numpy import save_file

    with pytest.raises(FileNotFoundError, match="no checkpoint at"):
        core_checkpoint.load(tmp_path / "none")
    for content in (b"", b"\x80\x04K\x01.", json.dumps({"a": 1}).encode()):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(ValueError, match="is not a checkpoint"):
            core_checkpoint.load(tmp_path / "other")
    save_file({"a": np.zeros(1)}, tmp_path / "arrays")
    with pytest.raises(ValueError, match="not a checkpoint of the form"):
        core_checkpoint.load(tmp_path / "arrays")


def test_a_failed_save_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model"
    core_checkpoint.save(path, {"a": np.zeros(1)}, {})
    with pytest.raises(TypeError):
        core_checkpoint.save(path, {"a": np.ones(1)}, {"loss": object()})

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        core_checkpoint.save(path, {"a": np.ones(1)}, {})
    assert core_checkpoint.load(path)[0]["a"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "value", [np.arange(6.0).reshape(2, 3).T, np.array(3.0), np.zeros((0, 2))], ids=str
)
def test_arrays_of_every_layout_and_shape_come_back(tmp_path, value):
    core_checkpoint.save(tmp_path / "model", {"a": value}, {})
    found = core_checkpoint.load(tmp_path / "model")[0]["a"]
    assert found.shape == value.shape
    np.testing.assert_array_equal(found, value)


# --- learning ------------------------------------------------------------------------------------


def rule(users=24):
    """The next basket is the same item plus one, in a circle over the items from 2."""
    start = np.arange(users)[:, None] % (V - 2) + np.arange(T + 1)  # [B, T + 1]
    items = (start % (V - 2) + 2)[..., None].astype(np.int32)  # [B, T + 1, 1]
    return NextBasketBatch(items[:, :T], np.zeros((users, F), np.float32), items[:, 1:])


TOY = NextBasketConfig(
    embedding_size=16, hidden_size=16, batch_size=12, epochs=40, learning_rate=0.02
)


@pytest.fixture(scope="module")
def trained():
    """A learner of each framework after the rule, and its losses; each is made once."""
    made = {}

    def make(twin, run=0):
        if (twin, run) not in made:
            each = learner(twin, config=TOY)
            made[twin, run] = each, fit(each, rule(), TOY, np.random.default_rng(0))
        return made[twin, run]

    return make


def test_a_learner_learns_the_rule(twin, trained):
    each, history = trained(twin)
    assert history[0] > 1.5
    assert history[-1] < 0.05
    last, found = rule().baskets[:, -1, 0], each.scores(rule()).argmax(1)
    np.testing.assert_array_equal(found, (last - 2 + 1) % (V - 2) + 2)


def test_the_same_seed_gives_the_same_losses(twin, trained):
    assert trained(twin)[1] == trained(twin, run=1)[1]


def test_the_twins_learn_alike(twins, trained):
    """Not so with every epsilon of Adam: the frameworks add it at different places."""
    one, other = (trained(twin)[1] for twin in twins)
    np.testing.assert_allclose(one[:5], other[:5], rtol=1e-3)


def test_a_loss_of_ones_own_is_used(twin, batch):
    def twice(logits, targets):
        return 2 * twin.next_basket_loss(logits, targets)

    each = learner(twin, loss=twice)
    expected = next_basket_loss_reference(array(logits_of(twin, each, batch)), batch.targets)
    assert each.update(batch) == pytest.approx(2 * expected, rel=1e-5)


def test_an_item_outside_the_table_is_refused(twin, batch):
    wrong = batch._replace(baskets=batch.baskets + V)
    for call in (learner(twin).update, learner(twin).scores):
        with pytest.raises(ValueError, match="outside 0"):
            call(wrong)


def test_tensorflow_traces_a_step_once(batch):
    """Python numbers in a compiled step would trace it again for each value (TF-02)."""
    each = learner(load("tensorflow"))
    for seed in range(5):
        each.update(make_batch(seed))
        each.scores(make_batch(seed))
    assert each._compiled_step.experimental_get_tracing_count() == 1
    assert each._compiled_scores.experimental_get_tracing_count() == 1
