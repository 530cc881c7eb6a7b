"""Collaborative filtering by gradients, in PyTorch. Twin: companion/tensorflow/collaborative.py.

What needs no gradient: companion/recommenders/collaborative.py. Letters: U users, I items, B pairs
of a batch, K negatives of a pair, D size of a vector, F features, H width of a layer.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.metrics.blocks import Vectors
from companion.pytorch import named_weights
from companion.pytorch.runtime import chosen_device
from companion.pytorch.two_tower import TwoTower, _denses, _table
from companion.recommenders.collaborative_batches import PairBatch, TowerBatch, check_batch
from companion.recommenders.collaborative_config import (
    NO_FEATURES,
    Config,
    FactorConfig,
    Features,
    NeuMFConfig,
    TwoTowerConfig,
    check_features,
    initial_weights,
)
from companion.recommenders.interactions import Interactions


def bpr_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean of -log sigmoid(x_ui - x_uj) = softplus(x_uj - x_ui), which never overflows.

    Rendle et al., "BPR: Bayesian personalized ranking from implicit feedback" (2009).

    Args:
        positive: [B] scores of items that the users had.
        negative: [B, K] scores of items that they did not have.

    Returns:
        One number, in nats.
    """
    return F.softplus(negative - positive[:, None]).mean()


def binary_loss(positive: Tensor, negative: Tensor) -> Tensor:
    """Mean over positives and negatives of the binary cross-entropy.

    He et al., "Neural collaborative filtering" (2017), equation 7, divided by the pairs.

    Args:
        positive: [B] logits of items that the users had.
        negative: [B, K] logits of items that they did not have.

    Returns:
        One number, in nats.
    """
    surprise = F.softplus(-positive).sum() + F.softplus(negative).sum()
    return surprise / (positive.numel() + negative.numel())


class MatrixFactorization(nn.Module):
    """score(u, i) = x_u . y_i + b_i: [...] users, [...] items -> [...].

    Args:
        config: settings.
        shape: (U, I).
    """

    def __init__(self, config: FactorConfig, shape: tuple[int, int]):
        super().__init__()
        self.penalty = config.penalty
        self.users = _table(shape[0], config.size)
        self.items = _table(shape[1], config.size)
        self.item_bias = nn.Parameter(torch.zeros(shape[1]))

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs."""
        x, y = F.embedding(users, self.users), F.embedding(items, self.items)  # [..., D]
        return (x * y).sum(-1) + self.item_bias[items]

    def batch_loss(self, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        """BPR + penalty * mean of |x_u|^2 + |y_i|^2 + b_i^2 + |y_j|^2 + b_j^2: [B], [B], [B, K]."""
        loss = bpr_loss(self(users, items), self(users[:, None], negatives))
        x = F.embedding(users, self.users).square().sum(-1).mean()
        return loss + self.penalty * (x + self._squares(items) + self._squares(negatives))

    def vectors(self) -> tuple[Tensor, Tensor]:
        """(x_u, 1) and (y_i, b_i), whose inner products are the scores: [U, D + 1], [I, D + 1]."""
        one = torch.ones_like(self.users[:, :1])  # [U, 1]
        bias = self.item_bias[:, None]  # [I, 1]
        return torch.cat([self.users, one], 1), torch.cat([self.items, bias], 1)

    def _squares(self, items: Tensor) -> Tensor:
        y = F.embedding(items, self.items).square().sum(-1)  # [...]
        return (y + self.item_bias[items].square()).mean()


class NeuMF(nn.Module):
    """score(u, i) = h . [p_u * q_i, MLP(p'_u, q'_i)] + b: [...] users, [...] items -> [...].

    The product of the first vectors is a matrix factorisation with weights (GMF). The other two go
    through layers with ReLU. He et al., "Neural collaborative filtering" (2017), equation 12.

    Args:
        config: settings.
        shape: (U, I).
    """

    def __init__(self, config: NeuMFConfig, shape: tuple[int, int]):
        super().__init__()
        self.gmf_users, self.mlp_users = (_table(shape[0], config.size) for _ in range(2))
        self.gmf_items, self.mlp_items = (_table(shape[1], config.size) for _ in range(2))
        self.hidden = _denses((2 * config.size, *config.hidden))
        self.head = nn.Linear(config.size + config.hidden[-1], 1)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Logits of pairs; users and items are broadcast against each other."""
        users, items = users + torch.zeros_like(items), items + torch.zeros_like(users)
        gmf = F.embedding(users, self.gmf_users) * F.embedding(items, self.gmf_items)  # [..., D]
        both = F.embedding(users, self.mlp_users), F.embedding(items, self.mlp_items)
        x = torch.cat(both, -1)  # [..., 2 D]
        for layer in self.hidden:
            x = F.relu(layer(x))  # [..., H]
        return self.head(torch.cat([gmf, x], -1))[..., 0]

    def batch_loss(self, users: Tensor, items: Tensor, negatives: Tensor) -> Tensor:
        """Binary cross-entropy: [B], [B], [B, K] -> one number."""
        return binary_loss(self(users, items), self(users[:, None], negatives))

    def vectors(self) -> None:
        """None: the score is no inner product."""


class CollaborativeLearner:
    """A model with its loss and its optimiser; NumPy in, NumPy out.

    Args:
        config: settings, whose class decides which model it is.
        log: that it will be fitted on: its shape, and who stands in it.
        features: of users and items; for two towers alone.
        seed: of the starting weights, which are the same in both frameworks.

    Raises:
        ValueError: features that do not fit the log, or that the model does not read.
    """

    def __init__(
        self, config: Config, log: Interactions, *, seed: int, features: Features = NO_FEATURES
    ):
        check_features(features, log.shape)
        self.config, self.shape, self.device = config, log.shape, chosen_device()
        self.model = _model(config, log.shape, features).to(self.device)
        shapes = {name: value.shape for name, value in self.get_weights().items()}
        self.set_weights(initial_weights(shapes, seed, log))
        self._optimizer = torch.optim.Adam(
            self.model.parameters(), config.learning_rate, eps=config.adam_epsilon
        )

    def update(self, batch: PairBatch | TowerBatch) -> float:
        """One step of Adam; the loss before it."""
        loss = self.model.batch_loss(*self._tensors(batch))
        self._optimizer.zero_grad()
        loss.backward()
        self._optimizer.step()
        return loss.item()

    def gradients(self, batch: PairBatch | TowerBatch) -> dict[str, np.ndarray]:
        """The loss's gradient by each weight, by the names of `get_weights`."""
        tensors = self._tensors(batch)
        return named_weights.gradients(self.model, lambda: self.model.batch_loss(*tensors))

    @torch.no_grad()
    def scores(self, users: np.ndarray) -> np.ndarray:
        """How well each item suits each user: [B] -> [B, I] float32."""
        rows, found = torch.as_tensor(users, device=self.device), self.model.vectors()  # [B]
        if found is not None:
            return (found[0][rows] @ found[1].T).cpu().numpy()
        items = torch.arange(self.shape[1], device=self.device)  # [I]
        return self.model(rows[:, None], items[None]).cpu().numpy()

    @torch.no_grad()
    def vectors(self) -> Vectors | None:
        """Vectors whose inner products are the scores; None where the scores are none."""
        found = self.model.vectors()
        return None if found is None else Vectors(*(part.cpu().numpy() for part in found))

    def get_weights(self) -> dict[str, np.ndarray]:
        """Copies of the weights, by their names in a checkpoint."""
        return named_weights.get_weights(self.model)

    def set_weights(self, weights: dict[str, np.ndarray]) -> None:
        """Takes over the weights; the optimiser keeps its own state."""
        named_weights.set_weights(self.model, weights)

    def _tensors(self, batch: PairBatch | TowerBatch) -> list[Tensor]:
        check_batch(batch, self.shape)
        return [torch.as_tensor(column, device=self.device) for column in batch]


def _model(config: Config, shape: tuple[int, int], features: Features) -> Any:
    if isinstance(config, TwoTowerConfig):
        return TwoTower(config, shape, features)
    if any(part is not None for part in features):
        raise ValueError("only two towers read features")
    if isinstance(config, NeuMFConfig):
        return NeuMF(config, shape)
    return MatrixFactorization(config, shape)
