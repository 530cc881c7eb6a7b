"""Losses over a user's items, all that needs no gradient: what is drawn, and the references.

Letters: B users, T places of a history, V items with padding, K negatives. Item 0 is padding and
stands on the right, item 1 is every unknown item, real items start at 2.
"""

import numpy as np

from companion.recommenders.encoder_config import check_histories
from companion.recommenders.next_basket import FIRST_ITEM, PADDING


def next_item_loss_reference(logits: np.ndarray, targets: np.ndarray) -> float:
    """The loss in NumPy, which both frameworks must match.

        loss = mean over places with a real target of  -log softmax(logits)[target]

    Hidasi et al., "Session-based recommendations with recurrent neural networks" (2016).

    Args:
        logits: [..., V].
        targets: [...] items; padding and the unknown item are not predicted.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    logits = logits.astype(np.float64)
    peak = logits.max(-1, keepdims=True)  # [..., 1]
    log_total = np.log(np.exp(logits - peak).sum(-1)) + peak[..., 0]  # [...]
    surprise = log_total - np.take_along_axis(logits, targets[..., None], -1)[..., 0]  # [...]
    return _mean_of_real(surprise, targets)


def sampled_loss_reference(
    positive: np.ndarray, negative: np.ndarray, targets: np.ndarray
) -> float:
    """The loss in NumPy, which both frameworks must match.

        loss = mean over places with a real target of
               -log sigmoid(positive) - sum over k of log(1 - sigmoid(negative[k]))

    Kang and McAuley, "Self-attentive sequential recommendation" (2018), with K = 1.

    Args:
        positive: [...] scores of the targets.
        negative: [..., K] scores of items that were drawn.
        targets: [...] items; padding and the unknown item are not predicted.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    positive, negative = positive.astype(np.float64), negative.astype(np.float64)
    surprise = np.logaddexp(0, -positive) + np.logaddexp(0, negative).sum(-1)  # [...]
    return _mean_of_real(surprise, targets)


def masked_item_loss_reference(logits: np.ndarray, items: np.ndarray, hidden: np.ndarray) -> float:
    """The loss in NumPy, which both frameworks must match.

        loss = mean over hidden places with a real item of  -log softmax(logits)[item]

    Sun et al., "BERT4Rec" (2019), equation 8.

    Args:
        logits: [..., V].
        items: [...] what stood there before it was hidden.
        hidden: [...] true where an item was hidden.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    return next_item_loss_reference(logits, np.where(hidden, items, PADDING))


def _mean_of_real(surprise: np.ndarray, targets: np.ndarray) -> float:
    real = targets >= FIRST_ITEM  # [...]
    return float(np.where(real, surprise, 0).sum() / max(real.sum(), 1))


def next_items(items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A history -> what goes in and, at the same place, the item after it. [B, T + 1] -> [B, T].

    The last item of a short history goes in too; the target at its place is padding.

    Raises:
        ValueError: there are fewer than two places.
    """
    if items.ndim != 2 or items.shape[1] < 2:
        raise ValueError(f"items must be [B, T + 1] with T from 1; got shape {items.shape}")
    return items[:, :-1], items[:, 1:]


def draw_negatives(
    items: np.ndarray, num_items: int, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Items that a user did not have, each with the same chance: [B, T + 1] -> [B, T, K].

    Args:
        items: [B, T + 1] whole histories, inputs and targets; 0 = padding.
        num_items: V.
        count: K, for each place; an item may come again.
        rng: of the draw.

    Raises:
        ValueError: count is below 1, an item is outside the table, or a user had every item.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more; got {count}")
    check_histories(items, num_items)
    users, places = items.shape
    free = np.ones((users, num_items), bool)  # [B, V]
    free[:, :FIRST_ITEM] = False
    free[np.arange(users)[:, None], items] = False
    left = free.sum(1)  # [B]
    if (left == 0).any():
        raise ValueError(f"row {(left == 0).argmax()} holds every item: none is left to draw")
    listed = np.nonzero(free)[1]  # the free items of all users, one user after the other
    start = np.cumsum(left) - left  # [B]
    shape = (users, places - 1, count)
    place = rng.integers(0, left[:, None, None], size=shape)  # [B, T, K]
    return listed[start[:, None, None] + place].astype(items.dtype)


def hide_items(
    items: np.ndarray, share: float, mask_item: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Puts the mask in the place of some real items of each user: the task of BERT4Rec.

    Of n real items max(1, round(share n)) are hidden; of a history without any, none.

    Args:
        items: [B, T], 0 = padding.
        share: of a user's items, in (0, 1].
        mask_item: what stands in their place: the last row of the item table.
        rng: of the choice.

    Returns:
        The items with masks among them, and where they are: [B, T] each.

    Raises:
        ValueError: the share is out of its range.
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must be in (0, 1]; got {share}")
    real = items >= FIRST_ITEM  # [B, T]
    order = np.where(real, rng.random(items.shape), 2.0)  # [B, T], real items first
    rank = order.argsort(1).argsort(1)  # [B, T]
    count = np.maximum(np.rint(share * real.sum(1)), 1)  # [B]
    hidden = real & (rank < count[:, None])
    return np.where(hidden, mask_item, items).astype(items.dtype), hidden


def mask_at_end(items: np.ndarray, mask_item: int) -> np.ndarray:
    """Appends the mask, whose place then stands for the next item. [B, T] -> [B, T].

    A full history loses its oldest item.
    """
    full = items[:, -1] != PADDING  # [B]
    shifted = np.pad(items[:, 1:], [(0, 0), (0, 1)])  # [B, T]
    found = np.where(full[:, None], shifted, items)
    length = (found != PADDING).sum(1)  # [B]
    found[np.arange(len(items)), length] = mask_item
    return found
