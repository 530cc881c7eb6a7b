"""What rankings and answers must be before anything is computed from them."""

import numpy as np

NOTHING = -1  # an empty place


def check_k(k: int, items: int) -> None:
    """Refuses a number of places that the catalogue cannot fill.

    Raises:
        ValueError: k is below 1 or above the number of items.
    """
    if not 1 <= k <= items:
        raise ValueError(f"k must be from 1 to the {items} items; got {k}")


def refuse_twice(items: np.ndarray, what: str) -> None:
    """Refuses an item that stands twice: it would be counted twice, for a recall above 1.

    Args:
        items: [B, K], `NOTHING` in empty places.
        what: the sentence, after "user 3".

    Raises:
        ValueError: an item stands twice in a row.
    """
    ordered = np.sort(items, axis=1)
    twice = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] != NOTHING)
    if twice.any():
        raise ValueError(f"user {np.argwhere(twice)[0][0]} {what}")


def refuse_outside(items: np.ndarray, size: int) -> None:
    """Refuses an item that is not of the catalogue.

    Args:
        items: [B, K], `NOTHING` in empty places.
        size: of the catalogue.

    Raises:
        ValueError: an item is not among them (user and item are named).
    """
    outside = (items < NOTHING) | (items >= size)
    if outside.any():
        user, place = np.argwhere(outside)[0]
        raise ValueError(
            f"user {user}: item {items[user, place]} is not in the catalogue of {size}"
        )


def refuse_scores(scores: np.ndarray, order: np.ndarray | None = None, first_user: int = 0) -> None:
    """Refuses scores that cannot be ordered, and names the first by user, then by item.

    Args:
        scores: [B, V].
        order: [V] the item of each column; the column itself, if None.
        first_user: index of the first row.

    Raises:
        ValueError: a score is NaN or +inf.
    """
    wrong = np.isnan(scores) | np.isposinf(scores)
    if not wrong.any():
        return
    items = np.arange(scores.shape[1]) if order is None else order
    row = int(np.flatnonzero(wrong.any(axis=1))[0])
    columns = np.flatnonzero(wrong[row])
    column = columns[np.argmin(items[columns])]
    user, score = first_user + row, scores[row, column]
    raise ValueError(f"user {user}, item {items[column]}: the score is {score}")
