"""Attention over a user's history, in PyTorch. Twin: companion/tensorflow/transformer.py."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.pytorch.encoders import last_state
from companion.recommenders.encoder_config import TransformerConfig
from companion.recommenders.next_basket import NEVER


def attend(
    query: Tensor, key: Tensor, value: Tensor, allowed: Tensor, *, dropout: nn.Module | None = None
) -> tuple[Tensor, Tensor]:
    """softmax(Q K' / sqrt(S)) V over the allowed places: Vaswani et al. (2017), equation 1.

    A query that may look nowhere gets zeros: a softmax over nothing would be NaN.

    Args:
        query: [..., T, S].
        key: [..., U, S].
        value: [..., U, S].
        allowed: [..., T, U], or what broadcasts to it; true where a query may look.
        dropout: of the weights.

    Returns:
        The means [..., T, S] and the weights [..., T, U], which are the attention map.
    """
    scores = query @ key.transpose(-1, -2) / key.shape[-1] ** 0.5  # [..., T, U]
    weights = torch.where(allowed, scores, NEVER).softmax(-1)  # [..., T, U]
    weights = torch.where(allowed, weights, 0.0)
    kept = weights if dropout is None else dropout(weights)
    return kept @ value, weights


class MultiHeadAttention(nn.Module):
    """M heads, each with its own look at the same vectors. Vaswani et al. (2017), section 3.2.2.

    Args:
        size: H.
        heads: M; each has size S = H / M.
        dropout: share of the weights that are set to zero while training.
    """

    def __init__(self, size: int, heads: int, dropout: float):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(size, size)
        self.key = nn.Linear(size, size)
        self.value = nn.Linear(size, size)
        self.out = nn.Linear(size, size)
        self.dropout = nn.Dropout(dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of all heads: [B, T, H] -> [B, M, T, S] each."""
        places = x.shape[1]
        shape = (-1, places, self.heads, x.shape[2] // self.heads)  # [B, T, M, S]
        query, key, value = self.query(x), self.key(x), self.value(x)  # [B, T, H] each
        return (
            query.reshape(shape).transpose(1, 2),
            key.reshape(shape).transpose(1, 2),
            value.reshape(shape).transpose(1, 2),
        )

    def forward(
        self, query: Tensor, key: Tensor, value: Tensor, allowed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[B, M, T, S], [B, M, U, S] twice, [B, 1, T, U] -> [B, T, H] and maps [B, M, T, U]."""
        heads, weights = attend(query, key, value, allowed, dropout=self.dropout)  # [B, M, T, S]
        joined = heads.transpose(1, 2).flatten(2)  # [B, T, H]
        return self.out(joined), weights


class TransformerBlock(nn.Module):
    """Attention, then two layers at each place; what goes in is added to what comes out of either.

    The norms stand before the two parts (Xiong et al., "On layer normalization in the Transformer
    architecture", 2020) or, as in the first Transformer and in BERT, behind the sums.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        size, epsilon = config.size, config.norm_epsilon
        self.norm_first, self.activation = config.norm_first, config.activation
        self.attention = MultiHeadAttention(size, config.heads, config.dropout)
        self.attention_norm = nn.LayerNorm(size, epsilon)
        self.wide = nn.Linear(size, config.feed_forward)
        self.narrow = nn.Linear(config.feed_forward, size)
        self.feed_norm = nn.LayerNorm(size, epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of what goes in: [B, T, H] -> [B, M, T, S] each."""
        return self.attention.project(self.attention_norm(x) if self.norm_first else x)

    def feed(self, x: Tensor) -> Tensor:
        """The two layers of each place: [B, T, H] -> [B, T, H]."""
        act = F.gelu if self.activation == "gelu" else F.relu
        return self.dropout(self.narrow(act(self.wide(x))))

    def forward(
        self, x: Tensor, projected: tuple[Tensor, Tensor, Tensor], allowed: Tensor
    ) -> tuple[Tensor, Tensor]:
        """[B, T, H], what `project` gave, [B, 1, T, U] -> [B, T, H] and maps [B, M, T, U]."""
        found, weights = self.attention(*projected, allowed)  # [B, T, H]
        x = x + self.dropout(found)
        if self.norm_first:
            return x + self.feed(self.feed_norm(x)), weights
        x = self.attention_norm(x)
        return self.feed_norm(x + self.feed(x)), weights


class TransformerState(NamedTuple):
    """What the next event needs of those before it: a key/value cache. One row for each user."""

    keys: Tensor  # [B, L, M, T, S], zeros from `length` on
    values: Tensor  # [B, L, M, T, S]
    length: Tensor  # [B] whole numbers: events so far


class TransformerEncoder(nn.Module):
    """Reads a user's events in order: [B, T, H], mask [B, T] -> states [B, T, H].

    Causal with learned positions: Kang and McAuley, "Self-attentive sequential recommendation"
    (2018). Without the causal mask: the encoder of Sun et al., "BERT4Rec" (2019), and of BERT,
    whose token type, where there is one only, is added to the positions. Position 0 is the oldest
    event. Sequences are padded on the right; states at padded places are zero.
    """

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.config = config
        self.position = nn.Parameter(torch.randn(config.max_length, config.size) * 0.02)
        blocks = (TransformerBlock(config) for _ in range(config.layers))
        self.blocks: Any = nn.ModuleList(blocks)  # of TransformerBlock
        self.norm = nn.LayerNorm(config.size, config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """The states at each place, [B, T, H]."""
        return self._run(x, mask)[0]

    def attention_maps(self, x: Tensor, mask: Tensor) -> Tensor:
        """Where each place looks, by block and head: [L, B, M, T, T].

        A row's sum is 1, or 0 where there is nowhere to look: a user without any event.
        """
        return torch.stack(self._run(x, mask)[1])

    def start(self, batch_size: int) -> TransformerState:
        """The state of users without any event.

        Raises:
            ValueError: the encoder is not causal: an event changes what was said of earlier ones.
        """
        config, device = self.config, self.position.device
        if not config.causal:
            raise ValueError("only a causal encoder can go on event by event")
        head = config.size // config.heads
        shape = (batch_size, config.layers, config.heads, config.max_length, head)
        empty = torch.zeros(shape, device=device)
        return TransformerState(
            empty, empty, torch.zeros(batch_size, dtype=torch.int64, device=device)
        )

    def prefill(self, x: Tensor, mask: Tensor) -> tuple[Tensor, TransformerState]:
        """The last state [B, H] of each history, and the state from which `step` goes on."""
        start = self.start(len(x))
        states, _, projected = self._run(x, mask)
        room = (0, 0, 0, self.config.max_length - x.shape[1])
        there = mask[:, None, None, :, None]  # [B, 1, 1, T, 1]
        keys, values = (
            F.pad(torch.where(there, torch.stack([p[i] for p in projected], 1), 0.0), room)
            for i in (1, 2)
        )  # [B, L, M, T, S]
        return last_state(states, mask), TransformerState(keys, values, start.length + mask.sum(1))

    def step(self, state: TransformerState, x: Tensor) -> tuple[Tensor, TransformerState]:
        """One event more: x [B, H] -> the state at its place [B, H], and what comes next needs.

        Raises:
            ValueError: a user has `max_length` events already; begin anew from the latest ones.
        """
        self._check_room(state.length)
        places = torch.arange(self.config.max_length, device=x.device)  # [T]
        here = (places == state.length[:, None])[:, None, :, None]  # [B, 1, T, 1]
        allowed = (places <= state.length[:, None])[:, None, None]  # [B, 1, 1, T]
        x = self._enter((x + self.position[state.length])[:, None])  # [B, 1, H]
        keys, values = [], []
        for index, block in enumerate(self.blocks):
            query, key, value = block.project(x)  # [B, M, 1, S]
            keys.append(torch.where(here, key, state.keys[:, index]))  # [B, M, T, S]
            values.append(torch.where(here, value, state.values[:, index]))
            x, _ = block(x, (query, keys[-1], values[-1]), allowed)
        following = TransformerState(torch.stack(keys, 1), torch.stack(values, 1), state.length + 1)
        return self._leave(x)[:, 0], following

    def _run(
        self, x: Tensor, mask: Tensor
    ) -> tuple[Tensor, list[Tensor], list[tuple[Tensor, Tensor, Tensor]]]:
        """States, and of each block its map and what it projected."""
        places = x.shape[1]
        if places > self.config.max_length:
            raise ValueError(f"max_length is {self.config.max_length}; got {places} places")
        there = mask[..., None]  # [B, T, 1]
        x = self._enter(torch.where(there, x, 0.0) + self.position[:places])  # [B, T, H]
        allowed = mask[:, None, None, :]  # [B, 1, 1, T]
        if self.config.causal:
            ones = torch.ones(places, places, dtype=torch.bool, device=x.device)
            allowed = allowed & ones.tril()  # [B, 1, T, T]
        maps, projected = [], []
        for block in self.blocks:
            projected.append(block.project(x))
            x, weights = block(x, projected[-1], allowed)
            maps.append(weights)
        return torch.where(there, self._leave(x), 0.0), maps, projected

    def _enter(self, x: Tensor) -> Tensor:
        return self.dropout(x if self.config.norm_first else self.norm(x))

    def _leave(self, x: Tensor) -> Tensor:
        return self.norm(x) if self.config.norm_first else x

    def _check_room(self, length: Tensor) -> None:
        full = length >= self.config.max_length  # [B]
        if full.any():
            row, most = int(full.int().argmax()), self.config.max_length
            raise ValueError(f"row {row} has {most} events already, which is max_length")
