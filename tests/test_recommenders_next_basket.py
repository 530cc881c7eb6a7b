"""Batches, loop and reference of next-basket recommendation: NumPy alone."""

import subprocess
import sys

import numpy as np
import pytest

from companion.recommenders.next_basket import (
    NextBasketBatch,
    NextBasketConfig,
    batches,
    check_batch,
    fit,
    initial_weights,
    next_basket_loss_reference,
    score_all,
    start_at_popularity,
    weight_shapes,
)


def users(count, places=3, size=2, items=9):
    rng = np.random.default_rng(0)
    baskets = rng.integers(2, items, (count, places, size)).astype(np.int32)
    features = np.arange(count, dtype=np.float32)[:, None]
    return NextBasketBatch(baskets, features, np.roll(baskets, -1, axis=1))


class Recorder:
    """A learner that learns nothing and remembers what it was given."""

    def __init__(self, losses=()):
        self.seen, self._losses = [], iter(losses)

    def update(self, batch):
        self.seen.append(batch)
        return next(self._losses, 1.0)

    def scores(self, batch):
        self.seen.append(batch)
        return np.repeat(batch.features, 4, axis=1)

    def get_weights(self):
        return {}

    def set_weights(self, weights):
        pass


def test_the_loss_by_hand():
    logits = np.log([[[0.1, 0.1, 0.2, 0.6], [0.25, 0.25, 0.25, 0.25]]])
    one = next_basket_loss_reference(logits, np.array([[[3, 0], [0, 0]]]))
    assert one == pytest.approx(-np.log(0.6))
    both = next_basket_loss_reference(logits, np.array([[[3, 2], [2, 0]]]))
    assert both == pytest.approx((-(np.log(0.6) + np.log(0.2)) / 2 + np.log(4)) / 2)


def test_padding_unknown_items_and_empty_targets_do_not_count():
    logits = np.random.default_rng(0).normal(size=(1, 2, 5)) * 1e3
    full = next_basket_loss_reference(logits, np.array([[[3, 0], [0, 0]]]))
    assert full == next_basket_loss_reference(logits, np.array([[[3, 1], [1, 0]]]))
    assert next_basket_loss_reference(logits, np.zeros((1, 2, 2), int)) == 0.0


def test_batches_have_one_size_and_hold_every_user_once():
    data = users(7)
    found = list(batches(data, 3, np.random.default_rng(0)))
    assert [b.baskets.shape for b in found] == [(3, 3, 2)] * 3
    assert [b.baskets.dtype for b in found] == [np.int32] * 3
    seen = np.concatenate([b.features for b in found])[:7, 0]
    assert sorted(seen) == list(range(7))
    assert list(seen) != list(range(7))
    assert not found[-1].baskets[1:].any()
    assert not found[-1].targets[1:].any()
    row = int(found[0].features[0, 0])
    np.testing.assert_array_equal(found[0].baskets[0], data.baskets[row])
    np.testing.assert_array_equal(found[0].targets[0], data.targets[row])


def test_without_a_generator_the_order_stays():
    assert [int(b.features[0, 0]) for b in batches(users(5), 2)] == [0, 2, 4]


def test_no_user_is_an_error():
    with pytest.raises(ValueError, match="no user"):
        list(batches(users(0), 2))


def test_fit_repeats_itself_and_reports_each_epoch():
    config, data = NextBasketConfig(epochs=2, batch_size=3), users(7)
    runs, told = [Recorder(), Recorder()], []
    for learner in runs:
        rng = np.random.default_rng(1)
        history = fit(learner, data, config, rng, on_epoch=lambda *at: told.append(at))
        assert history == [1.0, 1.0]
    assert told == [(1, 1.0), (2, 1.0)] * 2
    for one, other in zip(runs[0].seen, runs[1].seen, strict=True):
        np.testing.assert_array_equal(one.features, other.features)
    assert (runs[0].seen[0].features != runs[0].seen[3].features).any()  # shuffled anew


def test_the_epoch_loss_weighs_batches_by_what_there_is_to_predict():
    config = NextBasketConfig(epochs=1, batch_size=3)
    learner = Recorder([1.0, 1.0, 8.0])  # three, three and one user
    assert fit(learner, users(7), config, np.random.default_rng(0)) == [pytest.approx(2.0)]


def test_a_loss_that_is_no_number_names_epoch_and_batch():
    learner = Recorder([1.0] * 4 + [float("nan")])
    config = NextBasketConfig(epochs=2, batch_size=3)
    with pytest.raises(FloatingPointError, match="epoch 2, batch 2"):
        fit(learner, users(7), config, np.random.default_rng(0))


def test_nothing_to_predict_is_an_error():
    data = users(4)._replace(targets=np.ones((4, 3, 2), np.int32))
    with pytest.raises(ValueError, match="no user has a basket to predict"):
        fit(Recorder(), data, NextBasketConfig(), np.random.default_rng(0))


def test_score_all_keeps_the_order_and_drops_the_filling():
    scores = score_all(Recorder(), users(5), batch_size=2)
    np.testing.assert_array_equal(scores[:, 0], np.arange(5))
    assert scores.shape == (5, 4)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"baskets": np.full((2, 3, 2), 9, np.int32)}, "outside 0..8"),
        ({"targets": np.full((2, 3, 2), -1, np.int32)}, "outside 0..8"),
        ({"targets": np.zeros((2, 3, 1), np.int32)}, r"must be \[B, T, K\]"),
        ({"features": np.zeros((2, 4), np.float32)}, r"must be \(2, 1\)"),
        ({"baskets": np.array([[[2], [0], [0]], [[2], [0], [2]]] * 1).repeat(2, 2)}, "row 1 "),
    ],
)
def test_a_batch_that_cannot_be_meant_is_refused(change, sentence):
    check_batch(users(2), num_items=9, num_features=1)
    with pytest.raises(ValueError, match=sentence):
        check_batch(users(2)._replace(**change), num_items=9, num_features=1)


def test_settings_must_be_positive():
    with pytest.raises(ValueError, match="hidden_size must be above 0; got 0"):
        NextBasketConfig(hidden_size=0)


@pytest.mark.parametrize(("items", "features", "name"), [(2, 1, "num_items"), (3, 0, "num_fea")])
def test_sizes_that_leave_nothing_are_refused(items, features, name):
    with pytest.raises(ValueError, match=name):
        weight_shapes(NextBasketConfig(), items, features)


def test_starting_weights_depend_on_the_seed_alone():
    shapes = weight_shapes(NextBasketConfig(embedding_size=4, hidden_size=3), 9, 2)
    one, two, other = (initial_weights(shapes, seed) for seed in (0, 0, 1))
    assert {name: value.shape for name, value in one.items()} == shapes
    for name in shapes:
        np.testing.assert_array_equal(one[name], two[name])
        assert one[name].dtype == np.float32
    assert not one["embedding/table"][0].any()
    assert (one["gru/kernel"] != other["gru/kernel"]).all()


def test_item_vectors_start_the_table():
    shapes = weight_shapes(NextBasketConfig(embedding_size=4), 9, 1)
    vectors = np.random.default_rng(0).normal(size=(9, 4))
    table = initial_weights(shapes, 0, vectors)["embedding/table"]
    np.testing.assert_array_equal(table[1:], vectors[1:].astype(np.float32))
    assert not table[0].any()
    with pytest.raises(ValueError, match="item_vectors have shape"):
        initial_weights(shapes, 0, vectors[:, :3])


def test_no_framework_is_imported():
    code = (
        "import sys, companion.recommenders.next_basket, companion.core.checkpoint;"
        "assert not {'torch', 'tensorflow', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_bias_can_start_at_the_popularity():
    class Holder:
        def __init__(self):
            self.weights = {"output/bias": np.zeros(4, np.float32), "x": np.ones(1, np.float32)}

        def get_weights(self):
            return dict(self.weights)

        def set_weights(self, weights):
            self.weights = weights

    learner = Holder()
    start_at_popularity(learner, np.array([0.0, 0.0, 3.0, 13.0]))
    np.testing.assert_allclose(np.exp(learner.weights["output/bias"]), [0.05, 0.05, 0.2, 0.7])
    assert learner.weights["x"] == [1.0]


def test_starting_weights_have_the_size_that_is_promised():
    shapes = weight_shapes(NextBasketConfig(embedding_size=48, hidden_size=80), 2_000, 7)
    weights = initial_weights(shapes, 0)
    lengths = np.linalg.norm(weights["embedding/table"][1:], axis=1)
    assert lengths.mean() == pytest.approx(1, abs=0.02)
    assert lengths.std() > 0.05  # normal, not scaled to one
    kernels = [name for name in shapes if "kernel" in name]
    assert len(kernels) == 4
    for name in kernels:
        limit = 1 / np.sqrt(shapes[name][0])
        assert np.abs(weights[name]).max() <= limit * (1 + 1e-6)
        assert np.abs(weights[name]).max() > 0.95 * limit
        assert weights[name].std() == pytest.approx(limit / np.sqrt(3), rel=0.06)
    for name in shapes:
        if "bias" in name:
            assert not weights[name].any()
