"""The softmax policy in PyTorch. Twin: companion/tensorflow/slate_policy.py."""

import torch
from torch import Tensor

from companion.rl.slate_policy import FORBIDDEN, places


def masked_logits(logits: Tensor, mask: Tensor) -> Tensor:
    """The logits with -1e9 where an action is not allowed: probability and gradient exactly 0."""
    return torch.where(mask, logits, FORBIDDEN)


def entropy(logits: Tensor) -> Tensor:
    """-sum over a of pi(a) log pi(a), in nats: [B, A] -> [B]."""
    log_prob = logits.log_softmax(-1)  # [B, A]
    return -(log_prob.exp() * log_prob).sum(-1)


def slate_log_probability(logits: Tensor, action: Tensor) -> Tensor:
    """log pi(slate): the sum over places k of l_k - log(sum of exp(l_j) over what was left then).

    Left are the item itself, those below it and all that is not in the slate. [B, A], [B, K] -> [B]
    """
    chosen = logits.gather(-1, action)  # [B, K]
    others = logits.scatter(-1, action, FORBIDDEN).logsumexp(-1, keepdim=True)  # [B, 1]
    below = torch.as_tensor(places(action.shape[-1]), device=logits.device)  # [K, K + 1]
    ends = torch.cat([chosen, others], -1)[:, None, :]  # [B, 1, K + 1]
    left = torch.where(below, ends, FORBIDDEN).logsumexp(-1)  # [B, K]
    return (chosen - left).sum(-1)
