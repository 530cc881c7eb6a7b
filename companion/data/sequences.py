"""Histories as arrays: padded on the right, with a mask, ready for an encoder."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from companion.core.codes import encode
from companion.core.frames import pandas_too
from companion.core.seeding import generator
from companion.data.order import in_order, micros, new_user, packed, stable_argsort
from companion.data.transformers import PADDING, IdEncoder


class Histories(NamedTuple):
    """The last T items of each user.

    Attributes:
        users: [U] ids.
        items: [U, T] int32 indices of an `IdEncoder`, oldest first, then padding (0).
        mask: [U, T] true where there is an item.
        seconds: [U, T] float64 time of each event since 1970; 0 at padding.
        cold: how many of the users have no history: their rows are all padding. Score them by a
            policy for the cold start, such as popularity.
    """

    users: np.ndarray
    items: np.ndarray
    mask: np.ndarray
    seconds: np.ndarray
    cold: int


@pandas_too
def histories(
    events: pl.DataFrame, encoder: IdEncoder, length: int, users: Sequence[str] | None = None
) -> Histories:
    """The last `length` items of each user, in order of time, ties in log order.

    Args:
        events: [N] in the schema; events without an item are passed over.
        encoder: fitted on the training part.
        length: T.
        users: [U] whose histories are wanted, in this order; all in order of appearance if None.

    Raises:
        ValueError: length is below 1, or a user is wanted twice.
    """
    if length < 1:
        raise ValueError(f"length must be 1 or more; got {length}")
    events = in_order(events.filter(pl.col("item_id").is_not_null()))
    first = new_user(events)
    code, known = np.cumsum(first) - 1, events["user_id"].filter(pl.Series(first)).cast(pl.String)
    wanted = known if users is None else pl.Series(list(users), dtype=pl.String)
    if wanted.is_duplicated().any():
        raise ValueError(f"user {wanted.filter(wanted.is_duplicated())[0]!r} is wanted twice")
    row_of = _places(known, wanted)[code] if len(code) else np.zeros(0, np.int64)
    starts, lengths = _runs(code, len(known))
    from_end = np.repeat(starts + lengths, lengths) - 1 - np.arange(len(code))
    use = (from_end < length) & (row_of >= 0)
    column = np.minimum(np.repeat(lengths, lengths), length) - 1 - from_end
    items = np.full((len(wanted), length), PADDING, np.int32)
    seconds = np.zeros((len(wanted), length))
    kept = events.filter(pl.Series(use))
    items[row_of[use], column[use]] = encoder.transform(kept["item_id"])
    seconds[row_of[use], column[use]] = micros(kept) / 1e6
    mask = items != PADDING
    return Histories(wanted.to_numpy(), items, mask, seconds, int((~mask.any(axis=1)).sum()))


def _places(known: pl.Series, wanted: pl.Series) -> np.ndarray:
    """Row of each known user among the wanted, or -1. [known]"""
    table = pl.DataFrame({"user": wanted, "row": np.arange(len(wanted))})
    rows = pl.DataFrame({"user": known}).join(table, on="user", how="left", maintain_order="left")
    return rows["row"].fill_null(-1).to_numpy()


def _runs(code: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Start and length of each run of a code, for codes in order 0, 1, 2, ..."""
    lengths = np.bincount(code, minlength=count) if len(code) else np.zeros(count, np.int64)
    return np.cumsum(lengths) - lengths, lengths


class Baskets(NamedTuple):
    """The baskets of each user: sets of items bought in one session.

    Attributes:
        users: [U] ids.
        items: [U, T, K] int32 indices, then padding (0); T counts baskets, oldest first, K items.
        seconds: [U, T] float64 time of each basket since 1970; 0 at padding.
    """

    users: np.ndarray
    items: np.ndarray
    seconds: np.ndarray


@pandas_too
def baskets(
    events: pl.DataFrame, encoder: IdEncoder, *, length: int, width: int, seed: int = 0
) -> Baskets:
    """The last `length` baskets of each user, each with at most `width` different known items.

    A basket is a set: the order of its lines is how the till sorted them, not how the shopper
    chose. Of a larger basket, `width` items are drawn at random by the seed. Items that the
    encoder does not know are left out; so are baskets of such items alone.

    Args:
        events: [N] with `session_id`, which is the basket.
        encoder: fitted on the training part.
        length: T.
        width: K.
        seed: of the draw.

    Raises:
        ValueError: length or width is below 1, or there is no session_id.
    """
    if length < 1 or width < 1:
        raise ValueError(f"length and width must be 1 or more; got {length} and {width}")
    if "session_id" not in events.columns:
        raise ValueError("there is no session_id; call add_sessions first")
    lines = _basket_lines(events, encoder)
    user, basket, item = (lines[name].to_numpy() for name in ("user", "basket", "item"))
    rank = _random_rank(basket, generator(seed, "basket"))
    place, total = _basket_places(user, basket)
    column = place - np.maximum(total - length, 0)[user]
    use = (rank < width) & (column >= 0)
    shape = (len(total), length, width)
    items = np.zeros(shape, np.int32)
    items[user[use], column[use], rank[use]] = item[use]
    seconds = np.zeros(shape[:2])
    seconds[user[use], column[use]] = lines["seconds"].to_numpy()[use]
    return Baskets(lines["user_id"].unique(maintain_order=True).to_numpy(), items, seconds)


def _basket_lines(events: pl.DataFrame, encoder: IdEncoder) -> pl.DataFrame:
    """One row per user, basket and different known item, users and baskets in order."""
    lines = events.select(
        "user_id",
        "session_id",
        pl.col("timestamp").dt.epoch("us").alias("seconds") / 1e6,
        item=pl.Series(encoder.transform(events["item_id"])),
    ).filter(pl.col("item") > 1)
    lines = lines.with_columns(
        user=encode(lines["user_id"]).codes, session=encode(lines["session_id"]).codes
    )
    start = lines.group_by("user", "session").agg(pl.col("seconds").min().alias("start"))
    start = start.sort("user", "start", "session").with_row_index("basket")
    lines = lines.unique(["user", "session", "item"], keep="first", maintain_order=True)
    lines = lines.join(start, on=["user", "session"], how="left", maintain_order="left")
    return lines.with_columns(seconds="start").sort("basket", maintain_order=True)


def _random_rank(group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Place of each row within its group in a random order, from 0, for groups in order. [N]"""
    if len(group) == 0:
        return np.zeros(0, np.int64)
    key = packed(group, rng.integers(2**31, size=len(group)))
    order = np.argsort(group, kind="stable") if key is None else stable_argsort(key)
    starts, lengths = _runs(group, int(group.max()) + 1)
    rank = np.empty(len(group), np.int64)
    rank[order] = np.arange(len(group)) - np.repeat(starts, lengths)
    return rank


def _basket_places(user: np.ndarray, basket: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Place of each line's basket among its user's, from 0 [N]; baskets of each user [U]."""
    if len(user) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = np.unique(basket, return_index=True)[1]
    owner = user[first]
    starts, total = _runs(owner, int(user.max()) + 1)
    return basket - starts[user], total
