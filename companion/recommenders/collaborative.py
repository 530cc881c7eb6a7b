"""Collaborative filtering by gradients, all that needs none: references, loop, recommender.

Letters: N pairs of a user and an item that the user had, U users, I items, B pairs of a batch, K
negatives of a pair. Settings: `collaborative_config`. What is drawn: `collaborative_batches`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.metrics.blocks import Vectors
from companion.recommenders.als import FactorModel
from companion.recommenders.collaborative_batches import (
    PairBatch,
    Positives,
    TowerBatch,
    pair_batches,
    positives_of,
    tower_batches,
)
from companion.recommenders.collaborative_config import Config, TwoTowerConfig
from companion.recommenders.interactions import Interactions
from companion.recommenders.scoring import Recommender, checked_users, hide, in_blocks

PAIRS_AT_ONCE = 2**17  # pairs that a model scores at once where the score is no inner product


class Learner(Protocol):
    """All that a deep-learning framework has to provide."""

    def update(self, batch: PairBatch | TowerBatch) -> float:
        """One step of training; the loss before it."""

    def scores(self, users: np.ndarray) -> np.ndarray:
        """How well each item suits each user: [B] -> [B, I] float32."""

    def vectors(self) -> Vectors | None:
        """Vectors whose inner products are the scores; None where the scores are none."""


def bpr_loss_reference(positive: np.ndarray, negative: np.ndarray) -> float:
    """Mean of -log sigmoid(x_ui - x_uj) in NumPy, which both frameworks must match. [B], [B, K]"""
    difference = positive.astype(np.float64)[:, None] - negative  # [B, K]
    return float(np.logaddexp(0, -difference).mean())


def binary_loss_reference(positive: np.ndarray, negative: np.ndarray) -> float:
    """Mean of -log sigmoid(p) and all -log(1 - sigmoid(n)), in NumPy. [B], [B, K]"""
    logits = np.append(positive, -negative).astype(np.float64)  # [B (1 + K)]
    return float(np.logaddexp(0, -logits).mean())


def in_batch_loss_reference(scores: np.ndarray, log_q: np.ndarray, hidden: np.ndarray) -> float:
    """Mean of -log softmax(s - log q)[own item] over what is not hidden, in NumPy. [B, B] each"""
    logits = np.where(hidden, -np.inf, scores.astype(np.float64) - log_q)  # [B, B]
    return float((np.logaddexp.reduce(logits, axis=1) - np.diag(logits)).mean())


def fit(
    learner: Learner,
    log: Interactions,
    config: Config,
    rng: np.random.Generator,
    *,
    on_epoch: Callable[[int, float], None] | None = None,
) -> list[float]:
    """Trains in place and returns the mean loss of each epoch, in nats.

    Args:
        learner: of either framework.
        log: each user and item that stand together count once; times and weights do not matter.
        config: the learner's.
        rng: orders the pairs and draws the negatives.
        on_epoch: called with the epoch's number, from 1, and its loss.

    Raises:
        ValueError: a user who had every item leaves no negative to draw.
        FloatingPointError: the loss is not a finite number; epoch and batch are named.
    """
    positives, history = positives_of(log), []
    for epoch in range(1, config.epochs + 1):
        history.append(_train_once(learner, batches(positives, config, rng), epoch))
        if on_epoch is not None:
            on_epoch(epoch, history[-1])
    return history


def batches(
    positives: Positives, config: Config, rng: np.random.Generator
) -> Iterator[PairBatch | TowerBatch]:
    """One epoch of what a model of these settings learns from."""
    if isinstance(config, TwoTowerConfig):
        yield from tower_batches(positives, config.batch_size, rng, kind=config.correction)
    else:
        yield from pair_batches(positives, config.batch_size, rng, negatives=config.negatives)


def _train_once(learner: Learner, epoch: Iterator[PairBatch | TowerBatch], number: int) -> float:
    losses = []
    for step, batch in enumerate(epoch, start=1):
        losses.append(learner.update(batch))
        if not np.isfinite(losses[-1]):
            raise FloatingPointError(f"the loss is {losses[-1]} in epoch {number}, batch {step}")
    return float(np.mean(losses))


@dataclass(frozen=True)
class LearntModel:
    """Scores by a learner, some pairs at a time; further training changes them.

    Attributes:
        learner: of either framework.
        seen: [U, I] sparse, stored where a user had an item.
    """

    learner: Learner
    seen: sparse.csr_array

    @property
    def shape(self) -> tuple[int, int]:
        """(U, I)."""
        users, items = self.seen.shape
        return users, items

    def scores(self, users: npt.ArrayLike, *, remove_seen: bool = False) -> np.ndarray:
        """As in `Recommender`. [B, I]"""
        rows, items = checked_users(users, self.shape[0]), self.shape[1]
        parts = [np.zeros((0, items), np.float32)]
        for block in in_blocks(rows, max(1, PAIRS_AT_ONCE // items)):
            parts.append(self.learner.scores(block))
        found = np.concatenate(parts).astype(np.float64)
        return hide(found, self.seen, rows) if remove_seen else found


def recommender(learner: Learner, log: Interactions) -> Recommender:
    """A learner behind the interface of all recommenders.

    Where the score is an inner product, it is a `FactorModel`: its `users` and `items` are the
    vectors, as `metrics.blocks.Vectors` takes them.

    Args:
        learner: fitted.
        log: that it was fitted on; says what each user had.
    """
    vectors = learner.vectors()
    if vectors is None:
        return LearntModel(learner, log.seen())
    return FactorModel(vectors.users, vectors.items, log.seen())
