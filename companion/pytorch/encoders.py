"""From items to baskets to a user's state, in PyTorch. Twin: companion/tensorflow/encoders.py."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ItemEmbedding(nn.Module):
    """A vector for each item: [...] whole numbers -> [..., D].

    Item 0 is padding. Its vector is zero and no parameter at all, so nothing can train it.

    Args:
        num_items: V, padding counted.
        size: D.
        initial: [V, D] to start from; row 0 counts as zero. None: normal, with a length near 1.

    Raises:
        ValueError: `initial` has another shape.
    """

    def __init__(self, num_items: int, size: int, initial: np.ndarray | None = None):
        super().__init__()
        if initial is not None and initial.shape != (num_items, size):
            raise ValueError(f"initial has shape {initial.shape}, not {(num_items, size)}")
        rows = torch.randn(num_items - 1, size) / size**0.5  # [V - 1, D]
        if initial is not None:
            rows = torch.tensor(initial[1:], dtype=torch.float32)
        self.rows = nn.Parameter(rows)

    def table(self) -> Tensor:
        """All vectors, [V, D]; row 0 is zero."""
        return F.pad(self.rows, (0, 0, 1, 0))

    def forward(self, items: Tensor) -> Tensor:
        """The vectors of `items`."""
        return F.embedding(items, self.table())


def masked_mean(vectors: Tensor, mask: Tensor) -> Tensor:
    """The mean over the places that are there; zeros where there is none.

    Args:
        vectors: [..., K, D]. What stands at places that are not there has no influence.
        mask: [..., K], True where there is something.

    Returns:
        [..., D].
    """
    total = torch.where(mask[..., None], vectors, 0.0).sum(-2)  # [..., D]
    count = mask.sum(-1, keepdim=True)  # [..., 1]
    return total / count.clamp(min=1)  # 0 / 1 rather than 0 / 0, whose gradient is NaN


class GRUEncoder(nn.Module):
    """Reads a user's baskets in order: [B, T, D], mask [B, T] -> states [B, T, H].

    The state at t knows the baskets 0..t. Sequences are padded on the right, so that padding
    comes after all that counts; states at padded places are zero.

        z = sigmoid(x Wz + h Uz + b),  r = sigmoid(x Wr + h Ur + b)
        n = tanh(x Wn + b + r * (h Un + b')),  h' = (1 - z) * n + z * h

    Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014), in the form
    that cuDNN computes, with the reset after the product.

    Args:
        input_size: D.
        hidden_size: H.
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, batch_first=True)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The states after each basket, [B, T, H]."""
        there = mask[..., None]  # [B, T, 1]
        states, _ = self.gru(torch.where(there, x, 0.0))  # [B, T, H]
        return torch.where(there, states, 0.0)

    def step(self, state: Tensor, x: Tensor) -> Tensor:
        """One basket more: state [B, H] (zeros at first), x [B, D] -> the next state [B, H]."""
        _, following = self.gru(x[:, None], state[None])  # [1, B, H]
        return torch.squeeze(following, 0)


def last_state(states: Tensor, mask: Tensor) -> Tensor:
    """The state after a user's last basket; zeros for a user without any.

    Args:
        states: [B, T, H].
        mask: [B, T], True where there is a basket.

    Returns:
        [B, H].
    """
    users, places = mask.shape
    place = torch.arange(1, places + 1, device=mask.device)  # [T]
    last = (mask * place).amax(1)  # [B], 0 for a user without a basket
    padded = F.pad(states, (0, 0, 1, 0))  # [B, 1 + T, H], zeros in front
    return padded[torch.arange(users, device=mask.device), last]
