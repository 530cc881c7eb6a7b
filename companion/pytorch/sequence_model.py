"""A user's items in, scores of the next one out, in PyTorch.

Twin: companion/tensorflow/sequence_model.py.
"""

from typing import Any

import torch
from torch import Tensor, nn

from companion.pytorch.encoders import GRUEncoder, ItemEmbedding, last_state
from companion.pytorch.sequence_encoders import LSTMEncoder
from companion.pytorch.transformer import TransformerEncoder
from companion.recommenders.encoder_config import SequenceConfig, check_num_items
from companion.recommenders.next_basket import FIRST_ITEM, NEVER, PADDING


class PredictionHead(nn.Module):
    """A user's state -> a logit for each item: [..., H] -> [..., V].

    With "dot" an item's score is the product of the state with the vector that reads the item,
    and a bias: Press and Wolf, "Using the output embedding to improve language models" (2017).
    With "dense" each item has other weights.

    Args:
        size: H.
        num_items: V, padding and the unknown item counted.
        kind: "dot" or "dense".
    """

    def __init__(self, size: int, num_items: int, kind: str):
        super().__init__()
        self.num_items = num_items
        self.bias = nn.Parameter(torch.zeros(num_items))
        kernel = torch.randn(size, num_items) / size**0.5  # [H, V]
        self.kernel = nn.Parameter(kernel) if kind == "dense" else None

    def forward(self, states: Tensor, table: Tensor) -> Tensor:
        """[..., H], [V or more, H] -> [..., V]; padding and the unknown item are never named."""
        place = torch.arange(self.num_items, device=states.device)  # [V]
        blocked = NEVER * (place < FIRST_ITEM)  # [V]
        return states @ self._rows(table).T + (self.bias + blocked)

    def scores_of(self, states: Tensor, items: Tensor, table: Tensor) -> Tensor:
        """Logits of some items alone, cheaper than of all: [..., H], [..., K] -> [..., K].

        Nothing is blocked: a loss leaves out the places that do not count.
        """
        rows = self._rows(table)[items.long()]  # [..., K, H]
        return (states[..., None, :] * rows).sum(-1) + self.bias[items.long()]

    def _rows(self, table: Tensor) -> Tensor:
        return table[: self.num_items] if self.kernel is None else self.kernel.T  # [V, H]


class SequenceModel(nn.Module):
    """A user's items so far -> a state at each place, and from it a logit for each item.

    Item 0 is padding, on the right; item 1 is every unknown one. A model that learns from masked
    items has one row more in its table: item `num_items` is the mask.

    Args:
        config: settings.
        num_items: V, padding and the unknown item counted.

    Raises:
        ValueError: there is no real item.
    """

    def __init__(self, config: SequenceConfig, num_items: int):
        super().__init__()
        check_num_items(num_items)
        self.config = config
        self.embedding = ItemEmbedding(num_items + config.masks, config.size)
        if config.transformer is not None:
            self.encoder: Any = TransformerEncoder(config.transformer)
        else:
            kind = GRUEncoder if config.encoder == "gru" else LSTMEncoder
            self.encoder = kind(config.size, config.size)
        self.head = PredictionHead(config.size, num_items, config.head)

    def forward(self, items: Tensor) -> Tensor:
        """The state at each place, zeros at padding: [B, T] -> [B, T, H]."""
        return self.encoder(self.embedding(items), items != PADDING)

    def logits(self, states: Tensor) -> Tensor:
        """[..., H] -> [..., V]."""
        return self.head(states, self.embedding.table())

    def scores_of(self, states: Tensor, items: Tensor) -> Tensor:
        """Logits of some items alone: [..., H], [..., K] -> [..., K]."""
        return self.head.scores_of(states, items, self.embedding.table())

    def after_last(self, items: Tensor) -> Tensor:
        """Logits after the last item: [B, T] -> [B, V]. For a user without any, the biases."""
        return self.logits(last_state(self(items), items != PADDING))

    def start(self, batch_size: int) -> Any:
        """The state of users without any event; arrays with one row for each user."""
        if self.config.encoder == "gru":
            return self.head.bias.new_zeros(batch_size, self.config.size)
        return self.encoder.start(batch_size)

    def step(self, state: Any, items: Tensor) -> tuple[Tensor, Any]:
        """One event more: items [B] -> the users' vectors [B, H], and their states after it.

        The vectors are those that all events at once give. A user with padding in the place of
        an item has no event now: a vector of zeros, and the state of before.
        """
        x, there = self.embedding(items), items != PADDING  # [B, H], [B]
        if self.config.encoder == "gru":
            vector = following = self.encoder.step(state, x)  # [B, H]
        else:
            vector, following = self.encoder.step(state, x)
        return torch.where(there[:, None], vector, 0.0), _chosen(there, following, state)


def _chosen(there: Tensor, new: Any, old: Any) -> Any:
    """The new rows of those who had an event, the old ones of the others."""
    if isinstance(new, Tensor):
        return torch.where(there.reshape(-1, *[1] * (new.ndim - 1)), new, old)
    parts = [_chosen(there, *pair) for pair in zip(new, old, strict=True)]
    return type(new)(*parts) if hasattr(new, "_fields") else tuple(parts)
