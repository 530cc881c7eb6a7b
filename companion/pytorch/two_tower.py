"""Two-tower retrieval with a sampled softmax, in PyTorch. Twin: companion/tensorflow/two_tower.py.

What needs no gradient: companion/recommenders/collaborative.py. Letters: U users, I items, B pairs
of a batch, D size of a vector, F features, H width of a layer.
"""

from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from companion.recommenders.collaborative_config import NO_FEATURES, Features, TwoTowerConfig
from companion.recommenders.next_basket import NEVER


def in_batch_loss(scores: Tensor, log_q: Tensor, hidden: Tensor) -> Tensor:
    """Mean over the pairs of -log softmax(scores - log_q)[own item].

    Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations"
    (2019). What log_q may be: `collaborative_batches.log_q_of`.

    Args:
        scores: [B, B] of each pair's user with each pair's item, divided by the temperature.
        log_q: [B, B].
        hidden: [B, B] true where the item of another pair is no negative.

    Returns:
        One number, in nats.
    """
    logits = torch.where(hidden, NEVER, scores - log_q)  # [B, B]
    return -F.log_softmax(logits, -1).diagonal().mean()


class Tower(nn.Module):
    """A vector for each user, or for each item: [...] ids -> [..., D].

    x = table[id] + W features[id] + b; then layers with ReLU, and a last one without.

    Args:
        config: settings.
        count: U, or I.
        features: [U, F], or [I, F], float32; None where there are none.
    """

    def __init__(self, config: TwoTowerConfig, count: int, features: np.ndarray | None = None):
        super().__init__()
        self.unit_length = config.unit_length
        self.ids = _table(count, config.size)
        self.features = None
        if features is not None:
            self.features = nn.Linear(features.shape[1], config.size)
            self.register_buffer("_given", torch.tensor(features, dtype=torch.float32))
        widths = (config.size, *config.hidden, config.size)
        self.hidden = _denses(widths if config.hidden else ())

    def forward(self, ids: Tensor) -> Tensor:
        """The vectors; of length 1 where the settings say so."""
        x = F.embedding(ids, self.ids)  # [..., D]
        if self.features is not None:
            x = x + self.features(F.embedding(ids, self.get_buffer("_given")))
        for number, layer in enumerate(self.hidden, start=1):
            x = layer(x) if number == len(self.hidden) else F.relu(layer(x))
        if not self.unit_length:
            return x
        return x * (x.square().sum(-1, keepdim=True) + 1e-12).rsqrt()  # 0 where x is 0

    def every(self) -> Tensor:
        """The vectors of all ids: [U, D], or [I, D]."""
        return self(torch.arange(len(self.ids), device=self.ids.device))


class TwoTower(nn.Module):
    """score(u, i) = user tower(u) . item tower(i): [...] users, [...] items -> [...].

    Args:
        config: settings.
        shape: (U, I).
        features: of users, of items, of both or of neither.
    """

    def __init__(
        self, config: TwoTowerConfig, shape: tuple[int, int], features: Features = NO_FEATURES
    ):
        super().__init__()
        self.temperature = config.temperature
        self.user_tower = Tower(config, shape[0], features.users)
        self.item_tower = Tower(config, shape[1], features.items)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Scores of pairs."""
        return (self.user_tower(users) * self.item_tower(items)).sum(-1)

    def batch_loss(self, users: Tensor, items: Tensor, log_q: Tensor, hidden: Tensor) -> Tensor:
        """The sampled softmax: [B], [B], [B, B], [B, B] -> one number."""
        scores = self.user_tower(users) @ self.item_tower(items).T  # [B, B]
        return in_batch_loss(scores / self.temperature, log_q, hidden)

    def vectors(self) -> tuple[Tensor, Tensor]:
        """What the towers say of all users and all items: [U, D], [I, D]."""
        return self.user_tower.every(), self.item_tower.every()


def _table(count: int, size: int) -> nn.Parameter:
    """A vector for each id, with a length near 1: [count, size]."""
    return nn.Parameter(torch.randn(count, size) / size**0.5)


def _denses(widths: tuple[int, ...]) -> nn.ModuleList:
    """Layers from each width to the next."""
    return nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
