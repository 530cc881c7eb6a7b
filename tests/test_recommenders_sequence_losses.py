"""Losses over a user's items in NumPy, and what is drawn for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import log_loss

from companion.recommenders.sequence_losses import (
    draw_negatives,
    hide_items,
    mask_at_end,
    masked_item_loss_reference,
    next_item_loss_reference,
    next_items,
    sampled_loss_reference,
)

ITEMS = np.array([[2, 8, 3, 3, 7], [5, 1, 4, 0, 0], [6, 0, 0, 0, 0], [0] * 5], np.int32)


def test_next_item_loss_by_hand():
    """Equal logits of four items: ln 4. A sure and right answer: 0. Padding does not count."""
    logits = np.array([[0.0, 0, 0, 0], [0, 0, 0, 100], [7, 1, 2, 3]])
    assert next_item_loss_reference(logits, np.array([2, 3, 0])) == pytest.approx(np.log(4) / 2)
    assert next_item_loss_reference(logits, np.array([2, 1, 0])) == pytest.approx(np.log(4))
    assert next_item_loss_reference(logits, np.array([0, 1, 0])) == 0


def test_next_item_loss_is_the_log_loss_of_scikit_learn():
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(50, 6)), rng.integers(2, 6, 50)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    expected = log_loss(targets, p, labels=range(6))
    assert next_item_loss_reference(logits, targets) == pytest.approx(expected)
    assert next_item_loss_reference(logits + 1e4, targets) == pytest.approx(expected)


def test_sampled_loss_by_hand():
    """Scores of 0: ln 2 for the item and for each of K negatives. Good scores cost little."""
    positive, negative = np.zeros(3), np.zeros((3, 2))
    assert sampled_loss_reference(positive, negative, np.array([2, 5, 0])) == pytest.approx(
        3 * np.log(2)
    )
    good = sampled_loss_reference(positive + 50, negative - 50, np.array([2, 5, 0]))
    assert good == pytest.approx(0, abs=1e-9)
    bad = sampled_loss_reference(positive - 1000, negative, np.array([2, 5, 0]))
    assert bad == pytest.approx(1000 + 2 * np.log(2))


def test_sampled_loss_is_the_binary_log_loss_of_scikit_learn():
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(size=30), rng.normal(size=(30, 1))
    scores = np.concatenate([positive, negative[:, 0]])
    mean = log_loss([1] * 30 + [0] * 30, 1 / (1 + np.exp(-scores)))
    found = sampled_loss_reference(positive, negative, np.full(30, 2))
    assert found == pytest.approx(2 * mean)


def test_masked_item_loss_counts_hidden_real_items_alone():
    logits = np.log([[0.1, 0.2, 0.3, 0.4], [0.25] * 4, [0.1, 0.1, 0.1, 0.7], [0.25] * 4])
    items, hidden = np.array([3, 2, 3, 0]), np.array([True, False, True, True])
    expected = -(np.log(0.4) + np.log(0.7)) / 2
    assert masked_item_loss_reference(logits, items, hidden) == pytest.approx(expected)
    assert masked_item_loss_reference(logits, items, ~hidden) == pytest.approx(np.log(4))


def test_next_items_are_one_place_on():
    inputs, targets = next_items(ITEMS)
    assert inputs.tolist()[:2] == [[2, 8, 3, 3], [5, 1, 4, 0]]
    assert targets.tolist()[:2] == [[8, 3, 3, 7], [1, 4, 0, 0]]
    with pytest.raises(ValueError, match=r"T from 1; got shape \(4, 1\)"):
        next_items(ITEMS[:, :1])


def test_negatives_are_items_that_the_user_did_not_have():
    drawn = draw_negatives(ITEMS, 9, 400, np.random.default_rng(0))
    assert drawn.shape == (4, 4, 400)
    assert drawn.dtype == ITEMS.dtype
    for row, had in enumerate(ITEMS):
        free = sorted(set(range(2, 9)) - set(had.tolist()))
        values, counts = np.unique(drawn[row], return_counts=True)
        assert values.tolist() == free
        expected = drawn[row].size / len(free)  # each with the same chance, within 5 deviations
        assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_negatives_come_again_by_the_seed():
    one, same, other = (
        draw_negatives(ITEMS, 9, 3, np.random.default_rng(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_negatives_that_cannot_be_drawn():
    with pytest.raises(ValueError, match="row 1 holds every item"):
        draw_negatives(
            np.array([[2, 3], [2, 4], [3, 4]])[:, [0, 1, 1]], 4 + 1, 1, _rng()
        ) if 0 else (draw_negatives(np.array([[2, 3, 0], [2, 4, 3]]), 5, 1, _rng()))
    with pytest.raises(ValueError, match="count must be 1 or more; got 0"):
        draw_negatives(ITEMS, 9, 0, _rng())
    with pytest.raises(ValueError, match=r"row 0 holds item 8, outside 0\.\.7"):
        draw_negatives(ITEMS, 8, 1, _rng())


def _rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("share", "counts"), [(0.4, [2, 1, 1, 0]), (1.0, [5, 2, 1, 0])])
def test_a_share_of_the_real_items_is_hidden(share, counts):
    found, hidden = hide_items(ITEMS, share, 9, _rng())
    assert hidden.sum(1).tolist() == counts  # item 1 is not known, and not to be guessed
    assert (found[hidden] == 9).all()
    np.testing.assert_array_equal(found[~hidden], ITEMS[~hidden])
    assert found.dtype == ITEMS.dtype


def test_each_place_is_hidden_as_often():
    items = np.full((6000, 5), 4)
    items[:, 4] = 0
    _, hidden = hide_items(items, 0.5, 9, _rng())
    np.testing.assert_allclose(hidden.mean(0), [0.5, 0.5, 0.5, 0.5, 0], atol=0.03)


@pytest.mark.parametrize("share", [0, 1.1, np.nan])
def test_a_share_out_of_range_is_refused(share):
    with pytest.raises(ValueError, match=r"share must be in \(0, 1\]; got"):
        hide_items(ITEMS, share, 9, _rng())


def test_the_mask_stands_behind_the_last_item():
    found = mask_at_end(ITEMS, 9)
    assert found.tolist() == [
        [8, 3, 3, 7, 9],  # full: the oldest leaves
        [5, 1, 4, 9, 0],
        [6, 9, 0, 0, 0],
        [9, 0, 0, 0, 0],
    ]
    assert ITEMS[1, 3] == 0


@given(arrays(np.float64, (4, 7), elements=st.floats(-80, 80)), st.integers(0, 3))
def test_a_loss_is_finite_and_never_below_zero(logits, shift):
    targets = np.arange(4) + shift
    found = next_item_loss_reference(logits, targets)
    assert np.isfinite(found)
    assert found >= -1e-9
    assert sampled_loss_reference(logits[:, 0], logits[:, 1:], targets) >= 0
