"""Next-basket recommendation, all that needs no gradient: data, loop, reference.

Letters: B users, T baskets of a user, K items of a basket, V items with padding, F features of a
user, D size of an item vector, H size of a state. Item 0 is padding, item 1 stands for every
unknown item, real items start at 2.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import NamedTuple, Protocol

import numpy as np

from companion.core.seeding import generator

PADDING, UNKNOWN, FIRST_ITEM = 0, 1, 2
NEVER = -1e9  # the logit of what must not be recommended: padding and the unknown item


@dataclass(frozen=True)
class NextBasketConfig:
    """Settings that mean the same in both frameworks."""

    embedding_size: int = 64  # D
    hidden_size: int = 64  # H
    max_baskets: int = 50  # T
    max_items: int = 20  # K
    batch_size: int = 32  # B
    epochs: int = 10
    learning_rate: float = 1e-3
    adam_epsilon: float = 1e-10  # so small that it does not matter where a framework adds it

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) <= 0:
                raise ValueError(f"{field.name} must be above 0; got {getattr(self, field.name)}")


class NextBasketBatch(NamedTuple):
    """Users, one a row. Basket t and the target at t lie one step apart."""

    baskets: np.ndarray  # [B, T, K] int32, 0 = padding, on the right of T
    features: np.ndarray  # [B, F] float32
    targets: np.ndarray  # [B, T, K] int32, the basket after each; all 0 where there is none


class NextBasketLearner(Protocol):
    """All that a deep-learning framework has to provide."""

    def update(self, batch: NextBasketBatch) -> float:
        """One step of training; the loss before it."""

    def scores(self, batch: NextBasketBatch) -> np.ndarray:
        """A logit for each item to be in the basket after the last, [B, V] float32."""

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights, by the names of `weight_shapes`."""

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights."""


def next_basket_loss_reference(logits: np.ndarray, targets: np.ndarray) -> float:
    """The loss in NumPy, which both frameworks must match.

        loss = mean over (b, t) of  mean over i in basket(b, t) of  -log softmax(logits[b, t])[i]

    Places without a real item to predict count neither above nor below; padding and unknown items
    are not predicted. A softmax over all items as in Hidasi et al., "Session-based recommendations
    with recurrent neural networks" (2016), with a basket in the place of a click.

    Args:
        logits: [..., V].
        targets: [..., K], 0 = padding.
    """
    logits = logits.astype(np.float64)
    peak = logits.max(-1, keepdims=True)
    log_total = np.log(np.exp(logits - peak).sum(-1, keepdims=True)) + peak  # [..., 1]
    surprise = log_total - np.take_along_axis(logits, targets, -1)  # [..., K]
    real = targets >= FIRST_ITEM  # [..., K]
    count = real.sum(-1)  # [...]
    per_basket = np.where(real, surprise, 0).sum(-1) / np.maximum(count, 1)  # [...]
    return float(per_basket.sum() / max((count > 0).sum(), 1))


def weight_shapes(
    config: NextBasketConfig, num_items: int, num_features: int
) -> dict[str, tuple[int, ...]]:
    """The shape of each weight of the model, by its name in a checkpoint.

    Raises:
        ValueError: there is no real item, or no feature.
    """
    if num_items <= FIRST_ITEM:
        raise ValueError(f"num_items must be above {FIRST_ITEM}; got {num_items}")
    if num_features < 1:  # a product over no column at all stops some builds of TensorFlow
        raise ValueError("num_features must be 1 or more: without any, give a column of zeros")
    size, hidden = config.embedding_size, config.hidden_size
    return {
        "embedding/table": (num_items, size),
        "gru/kernel": (size, 3 * hidden),
        "gru/recurrent_kernel": (hidden, 3 * hidden),
        "gru/bias": (2, 3 * hidden),
        "features/kernel": (num_features, hidden),
        "features/bias": (hidden,),
        "projection/kernel": (hidden, size),
        "projection/bias": (size,),
        "output/bias": (num_items,),
    }


def initial_weights(
    shapes: dict[str, tuple[int, ...]], seed: int, item_vectors: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    """Starting weights, float32: one seed starts both frameworks from the same numbers.

    Kernels are uniform within 1 / sqrt(in), item vectors normal with a length near 1, biases 0.

    Args:
        shapes: from `weight_shapes`.
        seed: a whole number, 0 or more.
        item_vectors: [V, D], such as encoded texts; row 0 counts as zero. None: random.

    Raises:
        ValueError: the item vectors have another shape than the table.
    """
    weights = {}
    for name, shape in shapes.items():
        rng, width = generator(seed, "weights", name), 1 / np.sqrt(max(shape[0], 1))
        weights[name] = rng.uniform(-width, width, shape) if "kernel" in name else np.zeros(shape)
    table = shapes["embedding/table"]
    if item_vectors is None:
        item_vectors = generator(seed, "weights", "embedding/table").normal(size=table)
        item_vectors = item_vectors / np.sqrt(table[1])
    if item_vectors.shape != table:
        raise ValueError(f"item_vectors have shape {item_vectors.shape}; the model needs {table}")
    weights["embedding/table"][1:] = item_vectors[1:]
    return {name: value.astype(np.float32) for name, value in weights.items()}


def start_at_popularity(learner: NextBasketLearner, counts: np.ndarray) -> None:
    """Sets the output's bias to log((count + 1) / total): what is left to learn is what differs.

    Args:
        learner: before its first update.
        counts: [V] how often each item was bought in the training part.
    """
    weights = learner.get_weights()
    share = (counts + 1) / (counts + 1).sum()
    learner.set_weights({**weights, "output/bias": np.log(share).astype(np.float32)})


def check_batch(batch: NextBasketBatch, num_items: int, num_features: int) -> None:
    """Refuses what a framework would take without a word, or with an obscure one.

    Raises:
        ValueError: wrong shapes, an item outside the table, or a gap between a user's baskets.
    """
    baskets, features, targets = batch
    if baskets.ndim != 3 or baskets.shape != targets.shape:
        raise ValueError(f"baskets {baskets.shape} and targets {targets.shape} must be [B, T, K]")
    if features.shape != (len(baskets), num_features):
        raise ValueError(f"features {features.shape} must be {(len(baskets), num_features)}")
    for name, items in (("baskets", baskets), ("targets", targets)):
        if items.size and not (items.min() >= 0 and items.max() < num_items):
            raise ValueError(f"{name} hold an item outside 0..{num_items - 1}")
    present = (baskets != PADDING).any(-1)  # [B, T]
    if (present[:, 1:] > present[:, :-1]).any():
        row = int((present[:, 1:] > present[:, :-1]).any(1).argmax())
        raise ValueError(f"row {row} has an empty basket before a full one: pad on the right")


def batches(
    data: NextBasketBatch, batch_size: int, rng: np.random.Generator | None = None
) -> Iterator[NextBasketBatch]:
    """Batches of one fixed size; the last is filled with empty users.

    A fixed size lets a framework compile its step once.

    Args:
        data: N users.
        batch_size: B.
        rng: shuffles the users; None keeps their order.

    Raises:
        ValueError: there is no user.
    """
    num_users = len(data.baskets)
    if num_users == 0:
        raise ValueError("there is no user in the data")
    order = np.arange(num_users) if rng is None else rng.permutation(num_users)
    for start in range(0, num_users, batch_size):
        rows = order[start : start + batch_size]
        yield NextBasketBatch(*(_filled(column[rows], batch_size) for column in data))


def _filled(column: np.ndarray, size: int) -> np.ndarray:
    return np.pad(column, [(0, size - len(column))] + [(0, 0)] * (column.ndim - 1))


def fit(
    learner: NextBasketLearner,
    data: NextBasketBatch,
    config: NextBasketConfig,
    rng: np.random.Generator,
    *,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Trains in place and returns the mean loss of each epoch, in nats for each basket.

    Args:
        learner: of either framework.
        data: N users.
        config: `epochs` and `batch_size` are used.
        rng: orders the users.
        on_epoch: called with the epoch's number, from 1, and its loss.

    Raises:
        ValueError: nothing in the data can be predicted.
        FloatingPointError: the loss is not a finite number; epoch and batch are named.
    """
    if not (data.targets >= FIRST_ITEM).any():
        raise ValueError("no user has a basket to predict: every target is empty or unknown")
    history = []
    for epoch in range(1, config.epochs + 1):
        history.append(_train_once(learner, batches(data, config.batch_size, rng), epoch))
        if on_epoch is not None:
            on_epoch(epoch, history[-1])
    return history


def _train_once(learner: NextBasketLearner, epoch: Iterator[NextBasketBatch], number: int) -> float:
    total, count = 0.0, 0
    for step, batch in enumerate(epoch, start=1):
        loss = learner.update(batch)
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} in epoch {number}, batch {step}")
        baskets = int((batch.targets >= FIRST_ITEM).any(-1).sum())
        total, count = total + loss * baskets, count + baskets
    return total / count


def score_all(learner: NextBasketLearner, data: NextBasketBatch, batch_size: int) -> np.ndarray:
    """Scores of all N users in their order, [N, V] float32."""
    parts = [learner.scores(batch) for batch in batches(data, batch_size)]
    return np.concatenate(parts)[: len(data.baskets)]
