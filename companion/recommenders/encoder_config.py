"""User encoders without a framework: settings, starting weights, and checks of what they read.

Letters: B users, T places of a history, V items with padding, H size of a vector, M heads of
attention, S = H / M size of a head, L blocks. Item 0 is padding and stands on the right, item 1 is
every unknown item, real items start at 2.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from companion.core.seeding import generator
from companion.recommenders.next_basket import FIRST_ITEM, PADDING

ACTIVATIONS = ("relu", "gelu")
ENCODERS = ("gru", "lstm", "transformer")
HEADS = ("dot", "dense")


@dataclass(frozen=True)
class TransformerConfig:
    """Settings that mean the same in both frameworks. The defaults are those of `sasrec()`.

    Raises:
        ValueError: a setting is out of its range, or two do not go together; they are named.
    """

    size: int = 64  # H, of the vectors that go in and come out
    heads: int = 1  # M
    layers: int = 2  # L
    feed_forward: int = 64  # size of the layer between two of size H
    max_length: int = 50  # T, places that have a position
    causal: bool = True  # a place sees what came before it; False: the whole history
    norm_first: bool = True  # normalise before attention and feed-forward; False: after them
    activation: str = "relu"  # or "gelu", x Phi(x), with the exact normal distribution
    norm_epsilon: float = 1e-6  # added to the variance
    dropout: float = 0.0  # share of numbers set to zero while training

    def __post_init__(self) -> None:
        _check_counts(self, "size", "heads", "layers", "feed_forward", "max_length")
        _check_dropout(self.dropout)
        if self.size % self.heads:
            raise ValueError(f"size {self.size} must be a multiple of heads {self.heads}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {ACTIVATIONS}; got {self.activation!r}")
        if not 0 < self.norm_epsilon < np.inf:
            raise ValueError(f"norm_epsilon must be above 0; got {self.norm_epsilon}")


def sasrec(**changes: Any) -> TransformerConfig:
    """Causal attention and learned positions: the next item from those before it.

    Kang and McAuley, "Self-attentive sequential recommendation" (2018), with their one head, two
    blocks and dropout of 0.2. Their formula normalises all that attention reads, as here; their
    program the queries alone.
    """
    usual = {"feed_forward": changes.get("size", TransformerConfig.size), "dropout": 0.2}
    return TransformerConfig(**{**usual, **changes})


def bert4rec(**changes: Any) -> TransformerConfig:
    """Attention in both directions: a masked item from those on either side.

    Sun et al., "BERT4Rec: sequential recommendation with bidirectional encoder representations
    from Transformer" (2019), with their two heads and two blocks. Norms stand behind each part and
    behind the embedding, as in BERT.
    """
    width = 4 * changes.get("size", TransformerConfig.size)
    usual = {"heads": 2, "feed_forward": width, "causal": False, "norm_first": False}
    rest = {"activation": "gelu", "norm_epsilon": 1e-12, "dropout": 0.1}
    return TransformerConfig(**{**usual, **rest, **changes})


@dataclass(frozen=True)
class TextCNNConfig:
    """Settings of an encoder of texts.

    Raises:
        ValueError: a setting is out of its range; it is named.
    """

    num_tokens: int  # V, padding counted
    embedding_size: int = 64  # D
    widths: tuple[int, ...] = (3, 4, 5)  # tokens that a filter sees
    filters: int = 100  # F, of each width
    hidden_size: int = 64  # H, of the vector that comes out
    dropout: float = 0.0  # of what the maxima give; Kim (2014) takes 0.5

    def __post_init__(self) -> None:
        object.__setattr__(self, "widths", tuple(self.widths))
        _check_counts(self, "embedding_size", "filters", "hidden_size")
        _check_dropout(self.dropout)
        if self.num_tokens < 2:
            raise ValueError(f"num_tokens must be 2 or more; got {self.num_tokens}")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths must be one or more numbers from 1; got {self.widths}")


@dataclass(frozen=True)
class SequenceConfig:
    """A model of a user's items: which encoder reads them, and which head names the next.

    Raises:
        ValueError: a setting is not known, or the sizes do not fit; they are named.
    """

    size: int = 64  # H, of an item's vector and of a user's
    encoder: str = "transformer"  # or "gru", "lstm"
    head: str = "dot"  # the item's own vector tells its score; "dense": other weights
    transformer: TransformerConfig | None = None  # None: the defaults, of this size

    def __post_init__(self) -> None:
        _check_counts(self, "size")
        for name, known in (("encoder", ENCODERS), ("head", HEADS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} must be one of {known}; got {getattr(self, name)!r}")
        if self.encoder != "transformer":
            if self.transformer is not None:
                raise ValueError(f"transformer must be None with encoder {self.encoder!r}")
        elif self.transformer is None:
            object.__setattr__(self, "transformer", TransformerConfig(size=self.size))
        elif self.transformer.size != self.size:
            raise ValueError(f"size is {self.size}, but transformer.size {self.transformer.size}")

    @property
    def masks(self) -> bool:
        """Whether the item table has one row more, the last, for a masked item."""
        return self.transformer is not None and not self.transformer.causal


def starting_weights(
    shapes: Mapping[str, tuple[int, ...]], seed: int, tables: Mapping[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Starting weights, float32: one seed starts both frameworks from the same numbers.

    Kernels are uniform within 1 / sqrt(in), tables normal with rows of a length near 1, gammas 1,
    the rest 0. An LSTM's forget gate starts at a bias of 1: Jozefowicz et al., "An empirical
    exploration of recurrent network architectures" (2015).

    Args:
        shapes: by name, such as those of `get_weights(model)`.
        seed: a whole number, 0 or more.
        tables: arrays to start from in the place of these, such as encoded texts of items.

    Raises:
        ValueError: a table has another shape, or a name that is not known.
    """
    weights = {name: _start(name, shape, seed) for name, shape in shapes.items()}
    for name, table in (tables or {}).items():
        if name not in shapes or table.shape != shapes[name]:
            raise ValueError(f"{name} has shape {table.shape}; the model has {shapes.get(name)}")
        weights[name] = table.astype(np.float32)
    for name, value in weights.items():
        if name.rpartition("/")[2] == "table":
            value[0] = 0.0
    return weights


def _start(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    rng, kind = generator(seed, "weights", name), name.rpartition("/")[2]
    value = np.zeros(shape)
    if kind.endswith("kernel"):
        width = 1 / math.sqrt(max(math.prod(shape[:-1]), 1))
        value = rng.uniform(-width, width, shape)
    elif kind in ("table", "position"):
        value = rng.normal(size=shape) / np.sqrt(shape[1])
    elif kind == "gamma":
        value = np.ones(shape)
    elif name.endswith("lstm/bias"):
        value[shape[0] // 4 : shape[0] // 2] = 1.0
    return value.astype(np.float32)


def check_histories(items: np.ndarray, num_items: int) -> None:
    """Refuses what a framework would take without a word, or with an obscure one.

    Args:
        items: [B, T], 0 = padding, on the right.
        num_items: V.

    Raises:
        ValueError: another number of axes, an item outside the table, or padding before an item.
    """
    if items.ndim != 2 or not np.issubdtype(items.dtype, np.integer):
        raise ValueError(f"items must be whole numbers [B, T]; got {items.dtype} {items.shape}")
    outside = (items < 0) | (items >= num_items)  # [B, T]
    if outside.any():
        row, place = np.argwhere(outside)[0]
        raise ValueError(f"row {row} holds item {items[row, place]}, outside 0..{num_items - 1}")
    gap = (items[:, 1:] != PADDING) & (items[:, :-1] == PADDING)  # [B, T - 1]
    if gap.any():
        raise ValueError(f"row {gap.any(1).argmax()} has padding before an item: pad on the right")


def check_num_items(num_items: int) -> None:
    """Raises ValueError where there is no real item."""
    if num_items <= FIRST_ITEM:
        raise ValueError(f"num_items must be above {FIRST_ITEM}; got {num_items}")


def _check_counts(config: object, *names: str) -> None:
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be 1 or more; got {getattr(config, name)}")


def _check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1); got {dropout}")
