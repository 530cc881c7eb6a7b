"""Recommending the next basket, in PyTorch. Twin: companion/tensorflow/recommend.py."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.pytorch.checkpoint import from_native, load_into, weights_of
from companion.pytorch.encoders import GRUEncoder, ItemEmbedding, last_state, masked_mean
from companion.pytorch.runtime import chosen_device
from companion.recommenders.next_basket import (
    FIRST_ITEM,
    NEVER,
    PADDING,
    NextBasketBatch,
    NextBasketConfig,
    check_batch,
    initial_weights,
    weight_shapes,
)


class NextBasketModel(nn.Module):
    """Baskets so far and user features -> a logit for each item to be in the next basket.

    A basket is the mean of its items' vectors. The same table reads the baskets and names the
    recommendation: Press and Wolf, "Using the output embedding to improve language models" (2017).
    """

    def __init__(self, config: NextBasketConfig, num_items: int, num_features: int):
        super().__init__()
        self.embedding = ItemEmbedding(num_items, config.embedding_size)
        self.encoder = GRUEncoder(config.embedding_size, config.hidden_size)
        self.features = nn.Linear(num_features, config.hidden_size)
        self.projection = nn.Linear(config.hidden_size, config.embedding_size)
        self.bias = nn.Parameter(torch.zeros(num_items))

    def encode(self, baskets: Tensor) -> tuple[Tensor, Tensor]:
        """[B, T, K] -> states [B, T, H], and the mask [B, T] of the baskets that are there."""
        present = baskets != PADDING  # [B, T, K]
        vectors = masked_mean(self.embedding(baskets), present)  # [B, T, D]
        mask = present.any(-1)  # [B, T]
        return self.encoder(vectors, mask), mask

    def logits(self, states: Tensor) -> Tensor:
        """[..., H] -> [..., V]; padding and the unknown item are never recommended."""
        blocked = NEVER * (torch.arange(len(self.bias), device=states.device) < FIRST_ITEM)  # [V]
        scores = self.projection(states) @ self.embedding.table().T  # [..., V]
        return scores + (self.bias + blocked)

    def forward(self, baskets: Tensor, features: Tensor) -> Tensor:
        """After each basket: [B, T, K], [B, F] -> [B, T, V]."""
        states, _ = self.encode(baskets)  # [B, T, H]
        return self.logits(states + self.features(features)[:, None])

    def after_last(self, baskets: Tensor, features: Tensor) -> Tensor:
        """After the last basket: [B, T, K], [B, F] -> [B, V]. Without one, features and bias."""
        state = last_state(*self.encode(baskets))  # [B, H]
        return self.logits(state + self.features(features))


def next_basket_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean over the baskets to predict of the mean over their items of -log softmax.

    Args:
        logits: [..., V].
        targets: [..., K], 0 = padding. A basket without a real item does not count.

    Returns:
        One number, in nats; 0 where there is no basket to predict.
    """
    real = targets >= FIRST_ITEM  # [..., K]
    count = real.sum(-1)  # [...]
    log_p = F.log_softmax(logits, -1).gather(-1, targets.long())  # [..., K]
    per_basket = -torch.where(real, log_p, 0.0).sum(-1) / count.clamp(min=1)  # [...]
    return per_basket.sum() / (count > 0).sum().clamp(min=1)


class NextBasketLearner:
    """A model with its loss and its optimiser; NumPy in, NumPy out.

    Args:
        config: sizes and step size.
        item_vectors: [V, D] to start the item table from, or None.
        num_items: V, padding and the unknown item counted.
        num_features: F, 1 or more.
        seed: of the starting weights, which are the same in both frameworks.
        loss: (logits [..., V], targets [..., K]) -> one number.
    """

    def __init__(
        self,
        config: NextBasketConfig,
        item_vectors: np.ndarray | None = None,
        *,
        num_items: int,
        num_features: int,
        seed: int,
        loss: Callable[[Tensor, Tensor], Tensor] = next_basket_loss,
    ):
        self.config = config
        self.device = chosen_device()
        self.model = NextBasketModel(config, num_items, num_features).to(self.device)
        shapes = weight_shapes(config, num_items, num_features)
        self.set_weights(initial_weights(shapes, seed, item_vectors))
        self._loss = loss
        self._sizes = num_items, num_features
        self._optimizer = torch.optim.Adam(
            self.model.parameters(), config.learning_rate, eps=config.adam_epsilon
        )

    def update(self, batch: NextBasketBatch) -> float:
        """One step of Adam; the loss before it."""
        loss = self._backward(batch)
        self._optimizer.step()
        return loss

    def gradients(self, batch: NextBasketBatch) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight, by the names of `get_weights`."""
        self._backward(batch)
        parameters = self.model.named_parameters()
        return from_native({name: p.grad for name, p in parameters if p.grad is not None})

    @torch.no_grad()
    def scores(self, batch: NextBasketBatch) -> np.ndarray:
        """Logits of the basket after the last, [B, V] float32."""
        baskets, features, _ = self._tensors(batch)
        return self.model.after_last(baskets, features).cpu().numpy()

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights, by their names in a checkpoint."""
        return weights_of(self.model)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights; the optimiser keeps its own state."""
        load_into(self.model, weights)

    def _backward(self, batch: NextBasketBatch) -> float:
        baskets, features, targets = self._tensors(batch)
        states, _ = self.model.encode(baskets)  # [B, T, H]
        states = states + self.model.features(features)[:, None]
        # Logits only where there is a basket to predict: they are most of the work.
        kept = (targets >= FIRST_ITEM).any(-1)  # [B, T]
        loss = self._loss(self.model.logits(states[kept]), targets[kept])
        self._optimizer.zero_grad()
        loss.backward()
        return loss.item()

    def _tensors(self, batch: NextBasketBatch) -> tuple[Tensor, ...]:
        check_batch(batch, *self._sizes)
        return tuple(torch.as_tensor(column, device=self.device) for column in batch)
