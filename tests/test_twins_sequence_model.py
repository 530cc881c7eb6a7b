"""From a user's items to scores of the next: the same numbers in both, and the right ones."""

import numpy as np
import pytest
from encoders import (
    busy,
    call,
    compiled,
    gru_reference,
    lstm_reference,
    of,
    part,
    transformer_reference,
)
from parity import array, assert_same, tensor
from test_twins import input_gradient

from companion.core.seeding import generator
from companion.recommenders.encoder_config import (
    SequenceConfig,
    bert4rec,
    sasrec,
    starting_weights,
)
from companion.recommenders.sequence_losses import (
    draw_negatives,
    hide_items,
    mask_at_end,
    masked_item_loss_reference,
    next_item_loss_reference,
    next_items,
    sampled_loss_reference,
)

V, H, T, K = 9, 6, 5, 3
MASK = V
SMALL = {"size": H, "heads": 2, "feed_forward": 7, "max_length": T, "dropout": 0.0}
CONFIGS = {
    "gru": SequenceConfig(H, "gru"),
    "lstm": SequenceConfig(H, "lstm", head="dense"),
    "sasrec": SequenceConfig(H, transformer=sasrec(**SMALL)),
    "dense": SequenceConfig(H, transformer=sasrec(**SMALL), head="dense"),
    "bert4rec": SequenceConfig(H, transformer=bert4rec(**SMALL)),
    "bert4rec dense": SequenceConfig(H, transformer=bert4rec(**SMALL), head="dense"),
}
CAUSAL = ["gru", "lstm", "sasrec", "dense"]
ITEMS = np.array([[2, 8, 3, 3, 7], [5, 1, 4, 0, 0], [6, 0, 0, 0, 0], [0] * 5], np.int32)
LENGTHS = np.array([5, 3, 1, 0])


def model(twin, kind):
    made = of(twin, "sequence_model").SequenceModel(CONFIGS[kind], V)
    return made, busy(twin, made)


def losses(twin):
    return of(twin, "sequence_losses")


def whole_histories():
    """[B, T + 1]: what is read, and one item after it."""
    return np.concatenate([ITEMS, np.int32([[4], [0], [0], [0]])], 1)


def loss_of(twin, made, name, seed=0):
    """One of the losses, on a batch that is drawn in NumPy, as a function of no argument."""
    own, (inputs, targets) = losses(twin), next_items(whole_histories())
    if name == "masked":
        inputs, hidden = hide_items(ITEMS, 0.4, MASK, generator(seed, "hide"))
        given = [tensor(twin, each) for each in (inputs, ITEMS, hidden)]
        return lambda: own.masked_item_loss(made.logits(made(given[0])), *given[1:])
    negatives = draw_negatives(whole_histories(), V, K, generator(seed, "negatives"))
    x, y, n = (tensor(twin, np.ascontiguousarray(a)) for a in (inputs, targets, negatives))
    if name == "next":
        return lambda: own.next_item_loss(made.logits(made(x)), y)

    def sampled():
        states = made(x)
        positive = made.scores_of(states, y[..., None])[..., 0]
        return own.sampled_loss(positive, made.scores_of(states, n), y)

    return sampled


# --- the model -----------------------------------------------------------------------------------


def states_reference(items, weights, config):
    """The states of one user, by the references of the encoders: [T'] -> [T', H]."""
    x = weights["embedding/table"][items].astype(np.float64)
    if config.encoder == "gru":
        return gru_reference(x, part(weights, "encoder/gru"))
    if config.encoder == "lstm":
        return lstm_reference(x, part(weights, "encoder/lstm"))
    return transformer_reference(x, part(weights, "encoder"), config.transformer)[0]


def logits_reference(states, weights):
    rows = weights["embedding/table"][:V].T
    found = states @ weights.get("head/kernel", rows) + weights["head/bias"]
    found[..., :2] = -1e9
    return found


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_the_model_equals_its_numpy_reference(twin, kind):
    made, weights = model(twin, kind)
    states, scores = call(twin, made, ITEMS), call(twin, made.after_last, ITEMS)
    logits = call(twin, made.logits, states)
    assert logits.shape == (4, T, V)
    for row, n in enumerate(LENGTHS):
        expected = states_reference(ITEMS[row, :n], weights, CONFIGS[kind])
        np.testing.assert_allclose(states[row, :n], expected, atol=1e-5)
        assert (states[row, n:] == 0).all()
        expected = logits_reference(expected, weights)
        np.testing.assert_allclose(logits[row, :n, 2:], expected[:, 2:], atol=2e-5)
        last = expected[-1] if n else weights["head/bias"]
        np.testing.assert_allclose(scores[row, 2:], last[2:], atol=2e-5)
    assert (logits[..., :2] < -9e8).all()
    assert (scores[:, :2] < -9e8).all()


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_scores_of_some_items_are_those_of_all(twin, kind):
    made, _ = model(twin, kind)
    states = call(twin, made, ITEMS)
    items = np.random.default_rng(0).integers(2, V, (4, T, K))
    expected = np.take_along_axis(call(twin, made.logits, states), items, -1)
    np.testing.assert_allclose(call(twin, made.scores_of, states, items), expected, atol=1e-5)


def test_tied_weights_read_and_name_an_item(twin):
    """One table with "dot"; with "dense" changing what names an item leaves what reads it."""
    assert "head/kernel" not in model(twin, "sasrec")[1]
    made, weights = model(twin, "dense")
    assert weights["head/kernel"].shape == (H, V)
    before = call(twin, made, ITEMS), call(twin, made.after_last, ITEMS)
    changed = weights | {"head/kernel": weights["head/kernel"] + 1}
    of(twin, "named_weights").set_weights(made, changed)
    np.testing.assert_array_equal(call(twin, made, ITEMS), before[0])
    assert (call(twin, made.after_last, ITEMS)[:3, 2:] != before[1][:3, 2:]).all()


def test_only_a_model_of_masked_items_has_a_row_for_the_mask(twin):
    rows = {kind: len(model(twin, kind)[1]["embedding/table"]) for kind in CONFIGS}
    assert rows == {kind: V + kind.startswith("bert4rec") for kind in CONFIGS}
    made, weights = model(twin, "bert4rec")
    asked = mask_at_end(ITEMS, MASK)
    assert call(twin, made.after_last, asked).shape == (4, V)
    other = weights["embedding/table"].copy()
    other[MASK] += np.arange(H)
    of(twin, "named_weights").set_weights(made, weights | {"embedding/table": other})
    changed = call(twin, made.after_last, asked)
    of(twin, "named_weights").set_weights(made, weights)
    assert np.abs(changed - call(twin, made.after_last, asked))[:, 2:].max(1).min() > 1e-3
    # Users without an item are asked too, from the mask alone.
    assert (call(twin, made.after_last, asked)[3, 2:] != weights["head/bias"][2:]).any()


# --- losses --------------------------------------------------------------------------------------

TASKS = [(kind, name) for kind in CAUSAL for name in ("next", "sampled")]
TASKS += [("bert4rec", "masked"), ("bert4rec dense", "masked")]


@pytest.mark.parametrize(("kind", "name"), TASKS)
def test_same_weights_give_the_same_loss_and_gradients(twins, kind, name):
    found, slopes = [], []
    for twin in twins:
        made, _ = model(twin, kind)
        loss = loss_of(twin, made, name)
        found.append(float(array(loss())))
        slopes.append(of(twin, "named_weights").gradients(made, loss))
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert found[0] > 0.1
    assert_same(*slopes)
    for weight, slope in slopes[0].items():
        assert np.isfinite(slope).all()
        if not weight.endswith("key/bias"):  # which a softmax takes away
            assert np.abs(slope).max() > 1e-5, f"{weight} has no part in the loss"


def busy_scores(seed=0):
    rng = np.random.default_rng(seed)
    logits = (rng.normal(size=(4, T, V)) * 5).astype(np.float32)
    positive, negative = ((rng.normal(size=s) * 3).astype(np.float32) for s in ((4, T), (4, T, K)))
    return logits, positive, negative


def test_each_loss_equals_its_numpy_reference(twin):
    logits, positive, negative = busy_scores()
    hidden = np.random.default_rng(1).random((4, T)) < 0.5
    found = (
        call(twin, losses(twin).next_item_loss, logits, ITEMS),
        call(twin, losses(twin).sampled_loss, positive, negative, ITEMS),
        call(twin, losses(twin).masked_item_loss, logits, ITEMS, hidden),
    )
    expected = (
        next_item_loss_reference(logits, ITEMS),
        sampled_loss_reference(positive, negative, ITEMS),
        masked_item_loss_reference(logits, ITEMS, hidden),
    )
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    assert len(set(np.round(expected, 2))) == 3


def test_losses_of_extreme_scores_are_finite(twin):
    """sigmoid(200) is 1 in float32, and log(1 - 1) is not finite: the loss must not go that way."""
    targets = np.array([2, 3])
    positive, negative = np.float32([-200, 200]), np.float32([[200], [-200]])
    found = call(twin, losses(twin).sampled_loss, positive, negative, targets)
    assert found == pytest.approx(200.0)
    logits = np.float32([[0, 0, -500, 500]] * 2)
    assert call(twin, losses(twin).next_item_loss, logits, targets) == pytest.approx(500.0)


def test_nothing_to_predict_costs_nothing(twin):
    logits, positive, negative = busy_scores()
    none = np.minimum(ITEMS, 1)  # padding, and items that are not known
    for loss in (
        lambda x: losses(twin).next_item_loss(x, tensor(twin, none)),
        lambda x: losses(twin).masked_item_loss(x, tensor(twin, ITEMS), tensor(twin, ITEMS < 0)),
    ):
        assert float(array(loss(tensor(twin, logits)))) == 0
        assert not input_gradient(twin, loss, logits).any()
    found = call(twin, losses(twin).sampled_loss, positive, negative, none)
    assert found == 0


@pytest.mark.parametrize("kind", ["gru", "lstm", "sasrec", "bert4rec"])
def test_users_without_items_teach_nothing(twin, kind):
    made, _ = model(twin, kind)
    names, loss, slopes = of(twin, "named_weights"), losses(twin).next_item_loss, []
    for items in (ITEMS[:3], np.concatenate([ITEMS, np.zeros_like(ITEMS)])):
        x = tensor(twin, items)
        slopes.append(names.gradients(made, lambda x=x: loss(made.logits(made(x)), x)))
    assert_same(*slopes, atol=1e-6)


# --- event by event ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CAUSAL)
def test_item_by_item_equals_all_at_once(twin, kind):
    """Users whose history has ended wait: zeros, as at a padded place, and the state of before."""
    made, _ = model(twin, kind)
    states = call(twin, made, ITEMS)
    state = made.start(len(ITEMS))
    for place in range(T):
        vector, state = made.step(state, tensor(twin, ITEMS[:, place]))
        np.testing.assert_allclose(array(vector), states[:, place], rtol=0, atol=1e-5)
    # The user with three items goes on with a fourth, after two steps without any.
    longer = ITEMS.copy()
    longer[1, 3] = 6
    if kind in ("sasrec", "dense"):  # the first user's cache is full
        state = type(state)(*(each[1:2] for each in state))
    elif kind == "lstm":
        state = tuple(each[1:2] for each in state)
    else:
        state = state[1:2]
    vector, _ = made.step(state, tensor(twin, longer[1:2, 3]))
    expected = call(twin, made, longer)[1, 3]
    np.testing.assert_allclose(array(vector)[0], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["gru", "sasrec"])
def test_the_twins_go_on_alike(twins, kind):
    found = []
    for twin in twins:
        made, _ = model(twin, kind)
        state = made.start(4)
        for place in range(3):
            vector, state = made.step(state, tensor(twin, ITEMS[:, place]))
        found.append(array(vector))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["lstm", "sasrec"])
def test_a_compiled_step_equals_an_eager_one(twin, kind):
    made, _ = model(twin, kind)
    step = compiled(twin, made.step, whole=False)  # PyTorch looks at the length outside the graph
    state, slow = made.start(4), made.start(4)
    for place in range(T):
        event = tensor(twin, ITEMS[:, place])
        vector, state = step(state, event)
        expected, slow = made.step(slow, event)
        np.testing.assert_allclose(array(vector), array(expected), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("kind", "name"), [("sasrec", "sampled"), ("bert4rec", "masked")])
def test_a_compiled_loss_equals_an_eager_one(twin, kind, name):
    made, _ = model(twin, kind)
    loss = loss_of(twin, made, name)
    found = compiled(twin, loss)()
    assert float(array(found)) == pytest.approx(float(array(loss())), abs=1e-5)


# --- starting, learning, refusing ----------------------------------------------------------------


@pytest.mark.parametrize("kind", list(CONFIGS))
def test_one_seed_starts_both_from_the_same_numbers(twins, kind):
    names = [of(twin, "named_weights") for twin in twins]
    made = [model(twin, kind)[0] for twin in twins]
    shapes = [
        {n: v.shape for n, v in own.get_weights(each).items()}
        for own, each in zip(names, made, strict=True)
    ]
    assert shapes[0] == shapes[1]
    weights = starting_weights(shapes[0], 0)
    for own, each in zip(names, made, strict=True):
        own.set_weights(each, weights)
        assert_same(own.get_weights(each), weights, atol=0)


@pytest.mark.parametrize(("kind", "name"), [("gru", "next"), ("sasrec", "sampled")])
def test_the_loss_falls_along_its_gradient(twin, kind, name):
    made, _ = model(twin, kind)
    names, loss = of(twin, "named_weights"), loss_of(twin, made, name)
    start = {n: v.shape for n, v in names.get_weights(made).items()}
    names.set_weights(made, starting_weights(start, 0))
    before = float(array(loss()))
    for _ in range(30):
        weights, slopes = names.get_weights(made), names.gradients(made, loss)
        names.set_weights(made, {n: weights[n] - 0.3 * slopes[n] for n in weights})
    assert float(array(loss())) < before / 2


def test_bad_settings_are_refused(twin):
    kind = of(twin, "sequence_model").SequenceModel
    with pytest.raises(ValueError, match="num_items must be above 2; got 2"):
        kind(CONFIGS["gru"], 2)
    with pytest.raises(ValueError, match="only a causal encoder"):
        model(twin, "bert4rec")[0].start(1)
    long = np.ones((1, T + 1), np.int32)
    with pytest.raises(ValueError, match="max_length is 5; got 6 places"):
        call(twin, model(twin, "sasrec")[0], long)
