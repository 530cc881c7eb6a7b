"""What is drawn to train collaborative filtering: pairs, negatives, and how likely an item was.

Letters: N pairs of a user and an item that the user had, U users, I items, B pairs of a batch, K
negatives of a pair.

The log-Q correction. Where the B - 1 other pairs of a batch lend their items as negatives, popular
items are negatives more often: an item q (B - 1) times on average, if q is its share of the pairs.
Divided by that, its part in the sum of the softmax is on average what it is among all items:

    sum over the others j of  exp(s_j) / ((B - 1) q_j)   is on average   sum over all i of exp(s_i)
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import sparse

from companion.recommenders.interactions import Interactions
from companion.recommenders.sparse_rows import row_of_each

CORRECTIONS = ("none", "all", "negatives")


class Positives(NamedTuple):
    """Each user and item that stand together in the log, once."""

    users: np.ndarray  # [N] int64, in order
    items: np.ndarray  # [N] int64
    seen: sparse.csr_array  # [U, I], items of a user in order
    share: np.ndarray  # [I] float64, of an item among the pairs: its chance to be drawn, q


class PairBatch(NamedTuple):
    """Pairs, and for each some items that the user did not have."""

    users: np.ndarray  # [B] int64
    items: np.ndarray  # [B] int64
    negatives: np.ndarray  # [B, K] int64


class TowerBatch(NamedTuple):
    """Pairs, of which each has the items of the others as negatives."""

    users: np.ndarray  # [B] int64
    items: np.ndarray  # [B] int64
    log_q: np.ndarray  # [B, B] float32, what is taken off the score of each user and item
    hidden: np.ndarray  # [B, B] bool, true where an item of another pair is no negative


def positives_of(log: Interactions) -> Positives:
    """The pairs of a log; how often and when a user had an item does not matter."""
    seen = log.seen()
    seen.sort_indices()
    items = seen.indices.astype(np.int64)  # [N]
    share = np.bincount(items, minlength=log.shape[1]) / len(items)  # [I]
    return Positives(row_of_each(seen), items, seen, share)


def orders(size: int, batch_size: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Places of one epoch in random order, in batches of one fixed size. [B] each

    A fixed size lets a framework compile its step once. The last batch is filled from another
    random order, so each place comes at least once.
    """
    wanted = -(-size // batch_size) * batch_size
    order = np.concatenate([rng.permutation(size) for _ in range(-(-wanted // size))])
    yield from order[:wanted].reshape(-1, batch_size)


def draw_negatives(
    positives: Positives, users: np.ndarray, count: int, rng: np.random.Generator
) -> np.ndarray:
    """Items that a user did not have, each with the same chance. [B] -> [B, K]

    Of the free items of a user, the one with number r is r + the count of items had that lie in
    front of it. Item number j of those had, s_j, lies in front exactly if s_j - j <= r.

    Args:
        positives: of the log.
        users: [B].
        count: K; an item may come again.
        rng: of the draw.

    Raises:
        ValueError: count is below 1, or a user had every item.
    """
    if count < 1:
        raise ValueError(f"count must be 1 or more; got {count}")
    ends, size = positives.seen.indptr.astype(np.int64), positives.seen.shape[1]
    free = size - np.diff(ends)[users]  # [B]
    if (free == 0).any():
        raise ValueError(f"user {users[(free == 0).argmax()]} had every item: no negative is left")
    number = rng.integers(0, free[:, None], size=(len(users), count))  # [B, K], r
    place = np.arange(len(positives.items)) - ends[positives.users]  # [N], j
    # One search for all users: each has its own range of keys.
    keys = positives.users * (size + 1) + positives.items - place  # [N], in order
    found = np.searchsorted(keys, users[:, None] * (size + 1) + number, side="right")  # [B, K]
    return number + found - ends[users][:, None]


def pair_batches(
    positives: Positives, batch_size: int, rng: np.random.Generator, *, negatives: int
) -> Iterator[PairBatch]:
    """One epoch of pairs, with K negatives that are drawn anew for each.

    Raises:
        ValueError: as in `draw_negatives`.
    """
    for order in orders(len(positives.items), batch_size, rng):
        users, items = positives.users[order], positives.items[order]
        yield PairBatch(users, items, draw_negatives(positives, users, negatives, rng))


def tower_batches(
    positives: Positives, batch_size: int, rng: np.random.Generator, *, kind: str
) -> Iterator[TowerBatch]:
    """One epoch of pairs that are each other's negatives.

    An item that the user had, also the pair's own item in another pair, is no negative: it is
    hidden.
    """
    for order in orders(len(positives.items), batch_size, rng):
        users, items = positives.users[order], positives.items[order]
        hidden = positives.seen[users][:, items].toarray() > 0  # [B, B]
        np.fill_diagonal(hidden, False)
        log_q = log_q_of(positives.share[items], kind)
        yield TowerBatch(users, items, log_q.astype(np.float32), hidden)


def log_q_of(share: np.ndarray, kind: str) -> np.ndarray:
    """What is taken off the scores of a batch, so that a popular item is no more negative.

    "all" takes log q off every item, the pair's own too: Yi et al., "Sampling-bias-corrected
    neural modeling for large corpus item recommendations" (2019). That is right as long as other
    copies of the own item stay among the negatives. "negatives" takes log((B - 1) q) off the
    others and leaves the own item, which is there for certain. That is right where its copies are
    hidden: Khrylchenko et al., "Correcting the logQ correction" (2025).

    Args:
        share: [B] q of each pair's item, above 0.
        kind: "none", "all" or "negatives".

    Returns:
        [B, B], a row for each pair.

    Raises:
        ValueError: the kind is not known, or a share is not above 0.
    """
    if kind not in CORRECTIONS:
        raise ValueError(f"kind must be one of {CORRECTIONS}; got {kind!r}")
    if not (share > 0).all():
        raise ValueError(f"place {(~(share > 0)).argmax()}: the share must be above 0")
    pairs = len(share)
    found = np.tile(np.log(share), (pairs, 1)) if kind != "none" else np.zeros((pairs, pairs))
    if kind == "negatives":
        found += np.log(max(pairs - 1, 1))
        np.fill_diagonal(found, 0.0)
    return found


def check_batch(batch: PairBatch | TowerBatch, shape: tuple[int, int]) -> None:
    """Refuses what a framework would take without a word, or with an obscure one.

    Raises:
        ValueError: shapes that do not fit, a code outside the log, or a pair without its own item.
    """
    pairs = (len(batch.users),)
    if batch.users.shape != pairs or batch.items.shape != pairs:
        raise ValueError(f"users {batch.users.shape} and items {batch.items.shape} must be [B]")
    columns = [("user", batch.users, shape[0]), ("item", batch.items, shape[1])]
    if isinstance(batch, TowerBatch):
        if {batch.log_q.shape, batch.hidden.shape} != {pairs * 2}:
            raise ValueError(f"log_q and hidden must be {pairs * 2}, a row and a column a pair")
        if np.diag(batch.hidden).any():
            raise ValueError(f"row {np.diag(batch.hidden).argmax()} hides its own item")
    else:
        if batch.negatives.ndim != 2 or len(batch.negatives) != pairs[0]:
            raise ValueError(f"negatives {batch.negatives.shape} must be [{pairs[0]}, K]")
        columns.append(("negative", batch.negatives, shape[1]))
    for name, codes, size in columns:
        if codes.size and not (codes.min() >= 0 and codes.max() < size):
            row = int(np.argwhere((codes < 0) | (codes >= size))[0][0])
            raise ValueError(f"row {row} holds the {name} outside 0..{size - 1}")
