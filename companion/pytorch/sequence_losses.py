"""Losses over a user's items, in PyTorch. Twin: companion/tensorflow/sequence_losses.py.

Their references in NumPy: companion/recommenders/sequence_losses.py.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from companion.recommenders.next_basket import FIRST_ITEM, PADDING


def next_item_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the places with a real target of -log softmax(logits)[target].

    Args:
        logits: [..., V].
        targets: [...] items; padding and the unknown item are not predicted.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    log_p = F.log_softmax(logits, -1).gather(-1, targets.long()[..., None])[..., 0]  # [...]
    return _mean_of_real(-log_p, targets)


def sampled_loss(positive: Tensor, negative: Tensor, targets: Tensor) -> Tensor:
    """Mean over the places with a real target of -log sigmoid(p) - sum log(1 - sigmoid(n)).

    Binary cross-entropy: Kang and McAuley, "Self-attentive sequential recommendation" (2018),
    with K = 1. It orders the items; its scores are no longer probabilities of the next item.

    Args:
        positive: [...] scores of the targets, p.
        negative: [..., K] scores of items that were drawn, n.
        targets: [...] items; padding and the unknown item are not predicted.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    surprise = F.softplus(-positive) + F.softplus(negative).sum(-1)  # [...]
    return _mean_of_real(surprise, targets)


def masked_item_loss(logits: Tensor, items: Tensor, hidden: Tensor) -> Tensor:
    """Mean over the hidden places of -log softmax(logits)[item that stood there].

    Sun et al., "BERT4Rec" (2019), equation 8.

    Args:
        logits: [..., V].
        items: [...] what stood there before it was hidden.
        hidden: [...] true where an item was hidden.

    Returns:
        One number, in nats; 0 where there is nothing to predict.
    """
    return next_item_loss(logits, torch.where(hidden, items, PADDING))


def _mean_of_real(surprise: Tensor, targets: Tensor) -> Tensor:
    real = targets >= FIRST_ITEM  # [...]
    return torch.where(real, surprise, 0.0).sum() / real.sum().clamp(min=1)
