"""Collaborative filtering without gradients: settings, draws, the log-Q correction, the loop."""

import subprocess
import sys
from math import lgamma

import numpy as np
import pytest

from companion.core.seeding import generator
from companion.metrics.blocks import Vectors
from companion.recommenders import collaborative
from companion.recommenders.als import FactorModel
from companion.recommenders.collaborative import (
    LearntModel,
    batches,
    binary_loss_reference,
    bpr_loss_reference,
    fit,
    in_batch_loss_reference,
    recommender,
)
from companion.recommenders.collaborative_batches import (
    PairBatch,
    TowerBatch,
    check_batch,
    draw_negatives,
    log_q_of,
    orders,
    positives_of,
    tower_batches,
)
from companion.recommenders.collaborative_config import (
    FactorConfig,
    Features,
    NeuMFConfig,
    TwoTowerConfig,
    check_features,
    initial_weights,
)
from companion.recommenders.interactions import interactions

# User 0 had items 0, 1, 3 (1 twice), user 1 had 3, user 2 nothing, user 3 had 0 and 4.
LOG = interactions([0, 0, 3, 1, 0, 3, 0], [3, 1, 4, 3, 1, 0, 0], (4, 6))
HAD = [{0, 1, 3}, {3}, set(), {0, 4}]


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FactorConfig, NeuMFConfig, TwoTowerConfig])
def test_settings_out_of_range_are_named(kind):
    for name in ("size", "batch_size", "epochs", "learning_rate", "adam_epsilon"):
        for wrong in (0, -1, np.inf, np.nan):
            with pytest.raises(ValueError, match=f"{name} must be above 0 and finite; got {wrong}"):
                kind(**{name: wrong})


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        (FactorConfig, {"penalty": -0.1}, "penalty must be 0 or more and finite; got -0.1"),
        (FactorConfig, {"negatives": 0}, "negatives must be above 0 and finite; got 0"),
        (NeuMFConfig, {"negatives": 0}, "negatives must be above 0 and finite; got 0"),
        (NeuMFConfig, {"hidden": ()}, "hidden must name one layer or more"),
        (NeuMFConfig, {"hidden": (4, 0)}, "hidden must be above 0 and finite; got 0"),
        (TwoTowerConfig, {"temperature": 0}, "temperature must be above 0 and finite; got 0"),
        (TwoTowerConfig, {"correction": "yes"}, "correction must be one of .*; got 'yes'"),
        (TwoTowerConfig, {"batch_size": 1}, "batch_size must be 2 or more"),
    ],
)
def test_settings_of_one_model_are_checked(kind, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        kind(**settings)
    assert FactorConfig(penalty=0).penalty == 0


# --- what is drawn -------------------------------------------------------------------------------


def test_a_pair_counts_once():
    found = positives_of(LOG)
    assert list(zip(found.users, found.items, strict=True)) == [
        (0, 0), (0, 1), (0, 3), (1, 3), (3, 0), (3, 4),
    ]  # fmt: skip
    np.testing.assert_allclose(found.share, np.array([2, 1, 0, 2, 1, 0]) / 6)


@pytest.mark.parametrize(("size", "batch_size"), [(10, 4), (8, 4), (3, 8), (1, 5), (5, 1)])
def test_an_epoch_has_each_place_and_batches_of_one_size(size, batch_size):
    found = list(orders(size, batch_size, np.random.default_rng(0)))
    assert {len(order) for order in found} == {batch_size}
    assert len(found) == -(-size // batch_size)
    flat = np.concatenate(found)
    assert sorted(flat[:size]) == list(range(size))
    assert flat.max() < size
    counts = np.bincount(flat, minlength=size)
    assert counts.max() - counts.min() <= 1


def test_the_last_batch_is_filled_from_another_order():
    flat = np.array([np.ravel(list(orders(10, 8, generator(seed, "o")))) for seed in range(40)])
    again = (flat[:, 10:] == flat[:, :6]).mean()
    assert 0.02 < again < 0.25  # by chance one in ten


class Numbers:
    """Draws the numbers that it is given, and remembers the limits."""

    def __init__(self, numbers):
        self.numbers = numbers

    def integers(self, low, high, size):
        self.limits = low, high
        return np.broadcast_to(self.numbers, size)


@pytest.mark.parametrize("user", range(4))
def test_a_number_means_the_item_in_the_list_of_free_ones(user):
    free = [item for item in range(6) if item not in HAD[user]]
    rng = Numbers(np.arange(len(free)))
    found = draw_negatives(positives_of(LOG), np.array([user]), len(free), rng)
    assert rng.limits[0] == 0
    assert rng.limits[1].tolist() == [[len(free)]]
    assert found.tolist() == [free]


def test_negatives_are_free_and_equally_likely():
    rng = generator(0, "log")
    log = interactions(rng.integers(0, 30, 300), rng.integers(0, 21, 300), (30, 21))
    seen, users = log.seen().toarray() > 0, rng.integers(0, 30, 500)
    found = draw_negatives(positives_of(log), users, 40, rng)
    assert found.shape == (500, 40)
    assert not seen[users[:, None], found].any()
    counts = np.zeros((30, 21))
    np.add.at(counts, (users[:, None], found), 1)
    expected = counts.sum(1, keepdims=True) / (~seen).sum(1, keepdims=True)
    spread = ((counts - expected) / np.sqrt(expected))[~seen]
    assert np.abs(spread).max() < 4.5
    assert np.square(spread).mean() == pytest.approx(1, abs=0.2)


def test_a_draw_that_cannot_be_is_refused():
    log = interactions([0, 1, 1, 1], [0, 0, 1, 2], (2, 3))
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="user 1 had every item: no negative is left"):
        draw_negatives(positives_of(log), np.array([0, 1]), 2, rng)
    with pytest.raises(ValueError, match="count must be 1 or more; got 0"):
        draw_negatives(positives_of(log), np.array([0]), 0, rng)


def test_an_item_that_the_user_had_is_no_negative():
    positives = positives_of(LOG)
    for batch in tower_batches(positives, 4, np.random.default_rng(0), kind="all"):
        assert all(i in HAD[u] for u, i in zip(batch.users, batch.items, strict=True))
        for row, user in enumerate(batch.users):
            for column, item in enumerate(batch.items):
                assert batch.hidden[row, column] == (row != column and item in HAD[user])
        np.testing.assert_allclose(
            batch.log_q, np.tile(np.log(positives.share[batch.items]), (4, 1)), rtol=1e-6
        )
        check_batch(batch, LOG.shape)


def test_batches_are_of_the_model_and_repeat_with_the_seed():
    for config in (FactorConfig(negatives=2, batch_size=4), TwoTowerConfig(batch_size=4)):
        runs = [list(batches(positives_of(LOG), config, generator(seed, "b"))) for seed in (0, 0)]
        assert len(runs[0]) == 2
        for one, other in zip(*runs, strict=True):
            for left, right in zip(one, other, strict=True):
                np.testing.assert_array_equal(left, right)
    kinds = [FactorConfig(negatives=2), NeuMFConfig(negatives=3), TwoTowerConfig()]
    first = [next(batches(positives_of(LOG), kind, generator(0, "b"))) for kind in kinds]
    assert [type(batch) for batch in first] == [PairBatch, PairBatch, TowerBatch]
    assert first[0].negatives.shape == (1_024, 2)
    assert first[1].negatives.shape == (1_024, 3)


# --- the references, by hand ---------------------------------------------------------------------


def test_bpr_by_hand():
    """sigmoid(log 3) = 3/4, sigmoid(0) = 1/2."""
    found = bpr_loss_reference(np.array([1 + np.log(3), 2]), np.array([[1.0], [2.0]]))
    assert found == pytest.approx((np.log(4 / 3) + np.log(2)) / 2)
    assert bpr_loss_reference(np.zeros(1), np.array([[1e4]])) == pytest.approx(1e4)


def test_binary_cross_entropy_by_hand():
    """A positive of probability 3/4, negatives of 1/2 and 1/5."""
    found = binary_loss_reference(np.array([np.log(3)]), np.array([[0.0, -np.log(4)]]))
    assert found == pytest.approx((np.log(4 / 3) + np.log(2) + np.log(5 / 4)) / 3)


def test_the_softmax_in_a_batch_by_hand():
    scores = np.log(np.array([[1.0, 2, 4], [3, 1, 5], [1, 1, 6]]))
    none, hidden = np.zeros((3, 3)), np.zeros((3, 3), bool)
    expected = np.log([7, 9, 8 / 6]).mean()
    assert in_batch_loss_reference(scores, none, hidden) == pytest.approx(expected)
    hidden[0, 2] = True
    expected = np.log([3, 9, 8 / 6]).mean()
    assert in_batch_loss_reference(scores, none, hidden) == pytest.approx(expected)
    half = np.log([[1, 0.5, 1], [1, 1, 1], [1, 1, 2]])  # 2 / 0.5 = 4, 6 / 2 = 3
    expected = np.log([5, 9, 5 / 3]).mean()
    assert in_batch_loss_reference(scores, half, hidden) == pytest.approx(expected)


# --- the log-Q correction ------------------------------------------------------------------------


def test_corrections_by_hand():
    share = np.array([0.5, 0.25, 0.125])
    assert not log_q_of(share, "none").any()
    np.testing.assert_allclose(np.exp(log_q_of(share, "all")), np.tile(share, (3, 1)))
    np.testing.assert_allclose(  # two others: drawn 2 q times; the own item is there for certain
        np.exp(log_q_of(share, "negatives")), [[1, 0.5, 0.25], [1, 1, 0.25], [1, 0.5, 1]]
    )
    with pytest.raises(ValueError, match=r"kind must be one of .*; got 'some'"):
        log_q_of(share, "some")
    with pytest.raises(ValueError, match="place 1: the share must be above 0"):
        log_q_of(np.array([0.5, 0.0]), "all")


SHARE = np.array([0.7, 0.2, 0.1])  # popularity is skewed
SCORES = np.array([0.3, -0.4, 0.9])  # of each item, the same for every user


def compositions(size):
    """Every batch of items up to its order, and its probability when items are drawn by SHARE."""
    for first in range(size + 1):
        for second in range(size + 1 - first):
            counts = np.array([first, second, size - first - second])
            ways = lgamma(size + 1) - sum(lgamma(n + 1) for n in counts)
            yield np.repeat(range(3), counts), np.exp(ways + counts @ np.log(SHARE))


def mean_gradient(size, kind, hide):
    """By each item's score, of the loss of a batch, over all batches there can be. [3]"""
    total = np.zeros(3)
    for items, chance in compositions(size):
        same = items[:, None] == items
        hidden = same & ~np.eye(size, dtype=bool) if hide else np.zeros_like(same)
        log_q = log_q_of(SHARE[items], kind)
        for item in range(3):
            ends = []
            for step in (1e-4, -1e-4):
                moved = SCORES + step * (np.arange(3) == item)
                ends.append(
                    in_batch_loss_reference(np.tile(moved[items], (size, 1)), log_q, hidden)
                )
            total[item] += chance * (ends[0] - ends[1]) / 2e-4
    return total


def distance(size, kind, hide):
    """To the gradient of the softmax over all items, where the own items are drawn by SHARE."""
    full = np.exp(SCORES) / np.exp(SCORES).sum() - SHARE
    return np.abs(mean_gradient(size, kind, hide) - full).max()


def test_the_chances_of_all_batches_add_up():
    assert sum(chance for _, chance in compositions(6)) == pytest.approx(1)


@pytest.mark.parametrize(("kind", "hide"), [("negatives", True), ("all", False)])
def test_a_corrected_softmax_of_a_batch_tends_to_that_of_all_items(kind, hide):
    """The error falls like one over the batch: three times the batch, a third of the error."""
    errors = [distance(size, kind, hide) for size in (4, 12, 36)]
    assert errors[1] < errors[0] / 1.7
    assert errors[2] < errors[1] / 2.4
    assert errors[2] < 0.04


def limit(kind, hide):
    """What `distance` tends to in large batches, where every item comes as often as expected."""
    part = np.exp(SCORES) * (SHARE if kind == "none" else 1.0)  # of the negatives' sum
    full = np.exp(SCORES) / np.exp(SCORES).sum()
    found = np.zeros(3)
    for own in range(3):
        left = np.where(hide & (np.arange(3) == own), 0, part)
        found += SHARE[own] * left / left.sum()
    return np.abs(found - full).max()


@pytest.mark.parametrize(("kind", "hide"), [("none", True), ("none", False), ("all", True)])
def test_without_the_right_correction_it_tends_elsewhere(kind, hide):
    """Also where log q is taken off the own item although its copies are hidden."""
    assert limit(kind, hide) > 0.1
    assert distance(36, kind, hide) == pytest.approx(limit(kind, hide), abs=0.01)


@pytest.mark.parametrize("own", range(3))
def test_the_sum_under_the_corrected_softmax_is_right_on_average(own):
    """Exactly, whatever the batch: with the own item's copies hidden, and others by their share."""
    total = 0.0
    for others, chance in compositions(3):
        items = np.append(own, others)
        parts = np.exp(SCORES[items] - log_q_of(SHARE[items], "negatives")[0])
        total += chance * parts[np.append(True, others != own)].sum()
    assert total == pytest.approx(np.exp(SCORES).sum())


# --- weights, features, batches ------------------------------------------------------------------


def test_starting_weights():
    shapes = {"gmf_users": (4, 3), "item_tower/ids": (6, 3), "head/kernel": (8, 2), "b/bias": (2,)}
    one, two, other = (initial_weights(shapes, seed, LOG) for seed in (0, 0, 1))
    assert {name: value.shape for name, value in one.items()} == shapes
    for name, value in one.items():
        np.testing.assert_array_equal(value, two[name])
        assert value.dtype == np.float32
    assert (one["head/kernel"] != other["head/kernel"]).all()
    assert (one["gmf_users"][0] != other["gmf_users"][0]).all()
    assert one["gmf_users"].any(1).tolist() == [True, True, False, True]
    assert one["item_tower/ids"].any(1).tolist() == [True, True, False, True, True, False]
    assert not one["b/bias"].any()


def test_starting_vectors_have_a_length_near_one():
    log = interactions(np.arange(500), np.zeros(500, int), (500, 1))
    lengths = np.linalg.norm(initial_weights({"users": (500, 40)}, 0, log)["users"], axis=1)
    assert lengths.mean() == pytest.approx(1, abs=0.03)
    assert lengths.std() > 0.05


@pytest.mark.parametrize(
    ("features", "sentence"),
    [
        (Features(users=np.ones((3, 2))), r"users must be \[4, 1 or more\]; got \(3, 2\)"),
        (Features(items=np.ones((6, 0))), r"items must be \[6, 1 or more\]; got \(6, 0\)"),
        (Features(items=np.ones(6)), r"items must be \[6, 1 or more\]; got \(6,\)"),
        (Features(users=np.diag([1, 1, np.nan, 1])), "users: row 2 has a value that is not fin"),
    ],
)
def test_features_that_do_not_fit_are_named(features, sentence):
    check_features(Features(np.ones((4, 2)), np.ones((6, 1))), (4, 6))
    with pytest.raises(ValueError, match=sentence):
        check_features(features, (4, 6))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"users": np.array([0, 4])}, r"row 1 holds the user outside 0\.\.3"),
        ({"items": np.array([-1, 5])}, r"row 0 holds the item outside 0\.\.5"),
        ({"negatives": np.array([[0, 1], [2, 6]])}, r"row 1 holds the negative outside 0\.\.5"),
        ({"negatives": np.array([0, 1])}, r"negatives \(2,\) must be \[2, K\]"),
        ({"negatives": np.array([[0, 1]])}, r"negatives \(1, 2\) must be \[2, K\]"),
        ({"items": np.array([1])}, r"users \(2,\) and items \(1,\) must be \[B\]"),
    ],
)
def test_a_batch_of_pairs_that_cannot_be_meant_is_refused(change, sentence):
    batch = PairBatch(np.array([0, 3]), np.array([0, 5]), np.array([[1, 2], [3, 4]]))
    check_batch(batch, (4, 6))
    with pytest.raises(ValueError, match=sentence):
        check_batch(batch._replace(**change), (4, 6))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"users": np.array([0, 4])}, r"row 1 holds the user outside 0\.\.3"),
        ({"hidden": np.eye(2) > 0}, "row 0 hides its own item"),
        ({"hidden": np.zeros((2, 3), bool)}, r"must be \(2, 2\)"),
        ({"log_q": np.zeros(2)}, r"must be \(2, 2\)"),
    ],
)
def test_a_batch_of_towers_that_cannot_be_meant_is_refused(change, sentence):
    batch = TowerBatch(np.array([0, 3]), np.array([0, 5]), np.zeros((2, 2)), np.zeros((2, 2), bool))
    check_batch(batch, (4, 6))
    with pytest.raises(ValueError, match=sentence):
        check_batch(batch._replace(**change), (4, 6))


# --- the loop and the recommender ----------------------------------------------------------------


class Recorder:
    """Learns nothing; its losses are given, its scores are 10 u + i."""

    def __init__(self, losses=(), vectors=None):
        self.losses, self.batches, self.asked = list(losses), [], []
        self.found = vectors

    def update(self, batch):
        self.batches.append(batch)
        return self.losses[len(self.batches) - 1]

    def scores(self, users):
        self.asked.append(len(users))
        return (10 * users[:, None] + np.arange(6)).astype(np.float32)

    def vectors(self):
        return self.found


def test_fit_returns_the_mean_loss_of_each_epoch():
    learner, told = Recorder([1, 2, 3, 5, 4, 6]), []
    config = FactorConfig(epochs=3, batch_size=4)
    history = fit(learner, LOG, config, generator(0, "b"), on_epoch=lambda *args: told.append(args))
    assert history == [1.5, 4, 5]
    assert told == [(1, 1.5), (2, 4.0), (3, 5.0)]
    assert all(len(batch.users) == 4 for batch in learner.batches)
    for start in (0, 2, 4):
        pairs = [
            (u, i) for b in learner.batches[start : start + 2]
            for u, i in zip(b.users, b.items, strict=True)
        ]  # fmt: skip
        assert set(pairs) == {(u, i) for u in range(4) for i in HAD[u]}


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_a_loss_that_is_no_number_stops_at_once(wrong):
    learner = Recorder([1, 1, 1, wrong])
    with pytest.raises(FloatingPointError, match=r"the loss is .* in epoch 2, batch 2"):
        fit(learner, LOG, FactorConfig(epochs=9, batch_size=4), generator(0, "b"))
    assert len(learner.batches) == 4


def test_a_learner_without_vectors_scores_some_users_at_a_time(monkeypatch):
    learner = Recorder()
    model = recommender(learner, LOG)
    assert isinstance(model, LearntModel)
    assert model.shape == (4, 6)
    monkeypatch.setattr(collaborative, "PAIRS_AT_ONCE", 13)  # two users of six items
    found = model.scores([3, 0, 1])
    assert learner.asked == [2, 1]
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, 10 * np.array([[3], [0], [1]]) + np.arange(6))
    hidden = np.isneginf(model.scores([3, 0, 1, 2], remove_seen=True))
    assert [set(np.flatnonzero(row)) for row in hidden] == [HAD[u] for u in (3, 0, 1, 2)]
    assert model.scores(np.zeros(0, int)).shape == (0, 6)
    with pytest.raises(ValueError, match="user 4 is not in the log of 4 users"):
        model.scores([4])


def test_a_learner_with_vectors_becomes_a_factor_model():
    rng = np.random.default_rng(0)
    vectors = Vectors(*(rng.normal(size=(n, 3)).astype(np.float32) for n in (4, 6)))
    model = recommender(Recorder(vectors=vectors), LOG)
    assert isinstance(model, FactorModel)
    np.testing.assert_allclose(model.scores([2, 1]), vectors.users[[2, 1]] @ vectors.items.T)
    assert np.isneginf(model.scores([0], remove_seen=True))[0].tolist() == [
        item in HAD[0] for item in range(6)
    ]


def test_no_framework_is_imported():
    code = (
        "import sys, companion.recommenders.collaborative;"
        "assert not {'torch', 'tensorflow', 'keras', 'implicit'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
