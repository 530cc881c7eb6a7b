"""The task "what is in the next basket?", built from an event log, with its protocol.

For each user, the first basket on or after a moment is the answer; all before the moment is the
question. The catalogue is the items bought at least `min_count` times in the training part, and
every item of it is a candidate: the ranking is full.
"""

from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import polars as pl
from scipy import sparse

from companion.core.frames import pandas_too
from companion.data.features import user_features
from companion.data.order import in_utc
from companion.data.sequences import baskets
from companion.data.transformers import FIRST_KNOWN, IdEncoder, number_pipeline
from companion.metrics import ranking
from companion.recommenders.next_basket import NextBasketBatch, NextBasketConfig
from companion.recommenders.simple import own_counts


@pandas_too
def catalogue(train: pl.DataFrame, min_count: int) -> IdEncoder:
    """An encoder of the items that the training part has at least `min_count` times.

    Raises:
        ValueError: no item is that frequent.
    """
    counts = train["item_id"].drop_nulls().value_counts(name="n")
    often = counts.filter(pl.col("n") >= min_count)["item_id"].cast(pl.String)
    if len(often) == 0:
        raise ValueError(f"no item was bought {min_count} times in the training part")
    column = train["item_id"].cast(pl.String)
    return IdEncoder().fit(column.filter(column.is_in(often.implode())))


class Question(NamedTuple):
    """What is known before a moment, and what was bought next.

    Attributes:
        users: [U] ids.
        history: [U, T, K] baskets before the moment, oldest first, padded.
        counts: [U, V] how often each user bought each item before it, sparse.
        relevant: [U, R] known items of the answer, padded with -1.
        repeated: [U, R] true where the user had bought the item before.
        sizes: [U] different items of each answer, in the catalogue or not.
        outside: how many items of the answers are not in the catalogue.
        asked: items of the answers in all.
    """

    users: np.ndarray
    history: np.ndarray
    counts: sparse.csr_array
    relevant: np.ndarray
    repeated: np.ndarray
    sizes: np.ndarray
    outside: int
    asked: int

    @property
    def counted(self) -> int:
        """Users whose answer has an item of the catalogue: the means are over these."""
        return int((self.relevant >= 0).any(axis=1).sum())

    @property
    def share_new(self) -> float:
        """Share of the answers' catalogue items that the user had never bought before."""
        return float((~self.repeated)[self.relevant >= 0].mean())


@pandas_too
def question(
    events: pl.DataFrame, encoder: IdEncoder, moment: datetime, config: NextBasketConfig
) -> Question:
    """Every user's first basket on or after the moment, asked from all that lies before it.

    Args:
        events: purchases with `session_id`, up to the end of the part that is asked about.
        encoder: the catalogue.
        moment: with time zone.
        config: `max_baskets` and `max_items` bound the history.

    Raises:
        ValueError: nobody bought anything on or after the moment, or a purchase has no session.
    """
    if events["session_id"].has_nulls():
        raise ValueError("a purchase has no session_id; call add_sessions first")
    events, moment = in_utc(events), moment.astimezone(UTC)
    past = events.filter(pl.col("timestamp") < moment)
    answers = _first_baskets(events, moment)
    if answers.height == 0:
        raise ValueError(f"nobody bought anything on or after {moment}")
    users = answers["user_id"].unique(maintain_order=True).to_numpy()
    known = encoder.transform(answers["item_id"])
    row = _rows(answers["user_id"], users)
    keep = known >= FIRST_KNOWN
    relevant = _padded(row[keep], known[keep], len(users))
    counts = _counts(past, encoder, users)
    repeated = np.zeros(relevant.shape, bool)
    place = np.nonzero(relevant >= 0)
    repeated[place] = counts[place[0], relevant[place]] > 0
    history = _history(past, encoder, users, config)
    sizes, outside = np.bincount(row, minlength=len(users)), int((~keep).sum())
    return Question(users, history, counts, relevant, repeated, sizes, outside, len(known))


def _first_baskets(events: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """`user_id`, `item_id` of each user's first basket that begins at the moment or later.

    The rest of a basket that was begun before is no answer: its start is in the question. Each item
    once, users in order of id.
    """
    events = events.with_columns(pl.col(pl.Categorical).cast(pl.String))
    start = events.group_by("user_id", "session_id").agg(pl.col("timestamp").min().alias("at"))
    later = start.filter(pl.col("at") >= moment).sort("user_id", "at", "session_id")
    first = later.unique("user_id", keep="first").select("user_id", "session_id")
    lines = events.join(first, on=["user_id", "session_id"])
    return lines.select("user_id", "item_id").unique().sort("user_id", "item_id")


def _rows(column: pl.Series, users: np.ndarray) -> np.ndarray:
    """Row of each value among the users, or -1."""
    table = pl.DataFrame({"user_id": users, "row": np.arange(len(users))})
    frame = pl.DataFrame({"user_id": column.cast(pl.String)})
    found = frame.join(table, on="user_id", how="left", maintain_order="left")["row"]
    return found.fill_null(-1).to_numpy()


def _padded(row: np.ndarray, item: np.ndarray, count: int) -> np.ndarray:
    """Items of each row side by side, padded with -1. Rows in order."""
    lengths = np.bincount(row, minlength=count)
    starts = np.cumsum(lengths) - lengths
    table = np.full((count, max(int(lengths.max(initial=0)), 1)), ranking.NOTHING)
    table[row, np.arange(len(row)) - starts[row]] = item
    return table


def _counts(past: pl.DataFrame, encoder: IdEncoder, users: np.ndarray) -> sparse.csr_array:
    """In how many baskets each user had each item, [U, V]."""
    lines = past.select("user_id", "session_id", "item_id").unique()
    item, row = encoder.transform(lines["item_id"]), _rows(lines["user_id"], users)
    use = (item >= FIRST_KNOWN) & (row >= 0)
    return own_counts(row[use], item[use], (len(users), encoder.size_))


def _history(
    past: pl.DataFrame, encoder: IdEncoder, users: np.ndarray, config: NextBasketConfig
) -> np.ndarray:
    found = baskets(past, encoder, length=config.max_baskets, width=config.max_items)
    history = np.zeros((len(users), config.max_baskets, config.max_items), np.int32)
    row = _rows(pl.Series(found.users, dtype=pl.String), users)
    history[row[row >= 0]] = found.items[row >= 0]
    return history


def item_texts(items: pl.DataFrame | None, encoder: IdEncoder) -> list[str] | None:
    """The words of each item of the catalogue, [V]; None where the log has no table of items.

    Args:
        items: `item_id` and columns of text.
        encoder: the catalogue.
    """
    words = [] if items is None else [c for c in items.columns if items.schema[c] == pl.String]
    words = [c for c in words if c != "item_id" and not c.endswith("_id")]
    if items is None or not words:
        return None
    text = pl.concat_str(words, separator=" ", ignore_nulls=True)
    table = items.select(pl.col("item_id").cast(pl.String), text.alias("text"))
    lookup = dict(table.unique("item_id", keep="first").rows())
    if not any(lookup.values()):
        return None
    return [""] * FIRST_KNOWN + [lookup.get(item) or "" for item in encoder.ids_]


def basket_table(items: np.ndarray, size: int) -> sparse.csr_array:
    """One row per basket, 1 where the item is in it. [M, V] sparse

    Args:
        items: [..., K] indices, padded with 0.
        size: V.
    """
    flat = items.reshape(-1, items.shape[-1])
    row, place = np.nonzero(flat >= FIRST_KNOWN)
    ones = np.ones(len(row), np.float32)
    return sparse.csr_array((ones, (row, flat[row, place])), shape=(len(flat), size))


@pandas_too
def training_data(
    train: pl.DataFrame, encoder: IdEncoder, config: NextBasketConfig
) -> tuple[np.ndarray, NextBasketBatch]:
    """Users [N] and, for each of their last baskets, the basket after it as the target.

    Features are left empty, [N, 0]; `with_features` adds them.

    Raises:
        ValueError: no user has two baskets.
    """
    found = baskets(train, encoder, length=config.max_baskets + 1, width=config.max_items)
    two = (found.items[:, 1] > 0).any(axis=1) if len(found.users) else np.zeros(0, bool)
    if not two.any():
        raise ValueError("no user has two baskets in the training part")
    items = found.items[two]
    targets = items[:, 1:].copy()
    inputs = np.where((targets > 0).any(axis=2, keepdims=True), items[:, :-1], 0)
    return found.users[two], NextBasketBatch(inputs, np.zeros((len(items), 0), np.float32), targets)


def _telling(table: pl.DataFrame) -> pl.DataFrame:
    """The columns that vary, each once: a constant or a copy tells a model nothing."""
    kept: list[str] = []
    for name in table.columns:
        copy = any(table[name].equals(table[other]) for other in kept)
        if table[name].drop_nulls().n_unique() > 1 and not copy:
            kept.append(name)
    return table.select(kept)


class Profiles(NamedTuple):
    """Features of users: ids [M], features [M, F] scaled so that 0 is the middle, names [F]."""

    ids: np.ndarray
    features: np.ndarray
    names: list[str]


@pandas_too
def profiles(train: pl.DataFrame, at: datetime) -> Profiles:
    """Each user as the log shows them before an early moment: counts, recency, gaps, spend.

    Sequences are then trained on what comes after the moment. Features of the whole training part
    would tell the first baskets of a sequence what its last will be.

    Args:
        train: the training part; fill and scale are fitted on it.
        at: with time zone.
    """
    table = user_features(train, at)
    numbers = table.drop("user_id")
    numbers = _telling(numbers)
    scaled = number_pipeline().fit_transform(np.log1p(numbers.to_numpy().astype(float)))
    return Profiles(table["user_id"].cast(pl.String).to_numpy(), scaled, numbers.columns)


def with_features(batch: NextBasketBatch, users: np.ndarray, table: Profiles) -> NextBasketBatch:
    """The batch with each user's features; a user who is not in the table gets zeros.

    Args:
        batch: of N users.
        users: [N] their ids.
        table: from `profiles`.
    """
    row = _rows(pl.Series(users, dtype=pl.String), table.ids)
    found = np.where((row >= 0)[:, None], table.features[np.maximum(row, 0)], 0.0)
    return batch._replace(features=found.astype(np.float32))


def ask(asked: Question) -> NextBasketBatch:
    """The question as a batch without features and targets."""
    nothing = np.zeros((len(asked.users), 0), np.float32)
    return NextBasketBatch(asked.history, nothing, np.zeros_like(asked.history))
