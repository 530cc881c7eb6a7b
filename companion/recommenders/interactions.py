"""A log as whole numbers, which every recommender without gradients is fitted on.

Letters: N rows of the log, U users, I items, S sessions.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from companion.core.codes import encode
from companion.core.frames import pandas_too
from companion.data.order import micros
from companion.data.transformers import FIRST_KNOWN, IdEncoder


class Interactions(NamedTuple):
    """Who had what, when, and how much it counts. From `interactions` or `interactions_of`.

    Attributes:
        users: [N] in [0, U).
        items: [N] in [0, I).
        seconds: [N] float64 time of each row since a moment of the caller's choice.
        weight: [N] float64, above 0: a rating, or what a kind of event is worth.
        sessions: [N] in [0, S).
        shape: (U, I).
    """

    users: np.ndarray
    items: np.ndarray
    seconds: np.ndarray
    weight: np.ndarray
    sessions: np.ndarray
    shape: tuple[int, int]

    def matrix(self, weight: np.ndarray | None = None) -> sparse.csr_array:
        """The rows of each user and item added up. [U, I] sparse

        Args:
            weight: [N] other weights than the log's own.
        """
        values = self.weight if weight is None else weight
        return sparse.csr_array((values, (self.users, self.items)), shape=self.shape)

    def seen(self) -> sparse.csr_array:
        """1 where a user had an item. [U, I] sparse"""
        return once((self.users, self.items), self.shape)


def once(places: tuple[np.ndarray, np.ndarray], shape: tuple[int, int]) -> sparse.csr_array:
    """1 at each of the places, also at one that is named twice. [M, I] sparse

    Args:
        places: rows [N] and columns [N].
        shape: (M, I).
    """
    table = sparse.csr_array((np.ones(len(places[0])), places), shape=shape)
    table.data[:] = 1.0  # equal places were added up
    return table


def interactions(
    users: npt.ArrayLike,
    items: npt.ArrayLike,
    shape: tuple[int, int],
    *,
    seconds: npt.ArrayLike | None = None,
    weight: npt.ArrayLike | None = None,
    sessions: npt.ArrayLike | None = None,
) -> Interactions:
    """A checked log.

    Args:
        users: [N] in [0, U).
        items: [N] in [0, I).
        shape: (U, I).
        seconds: [N] times; None where they do not matter: all are 0.
        weight: [N] above 0; None for 1 each.
        sessions: [N] from 0; None where a user's whole log is one session.

    Raises:
        ValueError: there is no row, the columns differ in length, a code is outside its range, a
            weight is not above 0, or a value is no finite number. The row is named.
    """
    user, item = _codes("user", users, shape[0]), _codes("item", items, shape[1])
    session = user if sessions is None else _codes("session", sessions, None)
    time = np.zeros(len(user)) if seconds is None else _finite("time", seconds)
    worth = np.ones(len(user)) if weight is None else _finite("weight", weight)
    columns = {"users": user, "items": item, "seconds": time, "weight": worth, "sessions": session}
    sizes = {name: len(column) for name, column in columns.items()}
    if len(set(sizes.values())) != 1:
        raise ValueError(f"the columns of a log must have one length; got {sizes}")
    if len(user) == 0:
        raise ValueError("the log has no row")
    if (worth <= 0).any():
        row = int((worth <= 0).argmax())
        raise ValueError(f"row {row}: the weight must be above 0; got {worth[row]}")
    return Interactions(user, item, time, worth, session, (int(shape[0]), int(shape[1])))


def _codes(name: str, values: npt.ArrayLike, size: int | None) -> np.ndarray:
    """Whole numbers from 0, below the size where there is one. [N] int64"""
    codes = np.asarray(values)
    if codes.ndim != 1 or (codes.size and codes.dtype.kind not in "iu"):
        raise ValueError(f"{name} codes must be whole numbers in one row; got {codes.dtype}")
    wrong = (codes < 0) | (codes >= (np.inf if size is None else size))
    if wrong.any():
        row = int(wrong.argmax())
        wish = "0 or more" if size is None else f"from 0 to {size - 1}"
        raise ValueError(f"row {row}: the {name} must be {wish}; got {codes[row]}")
    return codes.astype(np.int64)


def _finite(name: str, values: npt.ArrayLike) -> np.ndarray:
    numbers = np.asarray(values, np.float64)
    if not np.isfinite(numbers).all():
        row = int((~np.isfinite(numbers)).argmax())
        raise ValueError(f"row {row}: the {name} must be a finite number; got {numbers[row]}")
    return numbers


@pandas_too
def interactions_of(
    events: pl.DataFrame,
    encoder: IdEncoder,
    users: Sequence[str] | np.ndarray,
    *,
    worth: Mapping[str, float] | None = None,
) -> Interactions:
    """The events of a log's known items, for the users of a question and all others.

    Rows 0 to len(users) - 1 are the users asked about, in their order, with or without events; the
    other users of the log follow. So a recommender that is fitted on it answers `task.question`:
    `model.scores(np.arange(len(asked.users)))` is [U, V], as `evaluation.evaluate` wants it.

    Args:
        events: in the schema, all of them before the moment that is asked about. Sessions are the
            `session_id`, and the users where there is none.
        encoder: the catalogue; I is its size, with padding and the unknown item, which stay empty.
        users: [U'] ids that are asked about.
        worth: kind of event to what it counts; None for 1 each.

    Raises:
        ValueError: a user is asked about twice, a kind of event has no worth, or no row is left.
    """
    asked = pl.Series(list(users), dtype=pl.String)
    if asked.is_duplicated().any():
        raise ValueError(f"user {asked.filter(asked.is_duplicated())[0]!r} is asked about twice")
    item = encoder.transform(events["item_id"])
    events, item = events.filter(pl.Series(item >= FIRST_KNOWN)), item[item >= FIRST_KNOWN]
    codes, known = encode(pl.concat([asked, events["user_id"].cast(pl.String)]))
    sessions = None
    if "session_id" in events.columns:
        sessions = encode(_sessions(events)).codes
    return interactions(
        codes[len(asked) :],
        item,
        (len(known), encoder.size_),
        seconds=micros(events) / 1e6,
        weight=_worth(events, worth),
        sessions=sessions,
    )


def _sessions(events: pl.DataFrame) -> pl.Series:
    """A session of each user: two users never share one, whatever it is called."""
    if events["session_id"].has_nulls():
        raise ValueError("an event has no session_id; call add_sessions first")
    user, session = (encode(events[name]).codes for name in ("user_id", "session_id"))
    return pl.DataFrame({"u": user, "s": session}).select(
        pl.concat_str(pl.col("u"), pl.col("s"), separator=" ")
    )["u"]


def _worth(events: pl.DataFrame, worth: Mapping[str, float] | None) -> np.ndarray | None:
    if worth is None:
        return None
    kind = events["event"].cast(pl.String)
    missing = sorted(set(kind.unique()) - set(worth))
    if missing:
        raise ValueError(f"worth has no {missing[0]!r}, which is an event of the log")
    return kind.replace_strict(dict(worth), return_dtype=pl.Float64).to_numpy()
