"""Checkers of chapter 3."""

from typing import Any

import numpy as np

from companion.course.answers import Mistake, NotYet, exercise
from companion.course.exercises import same


@exercise("03.1")
def sessions(attempt: Any) -> None:
    """Session numbers of one user."""
    seconds, silence = [0, 100, 130, 160, 400], 60
    found = attempt(seconds, silence)
    if same(found, [0, 1, 1, 1, 2]):
        raise Mistake("The first session is 1, not 0.")
    if same(found, [1, 2, 2, 2, 2]):
        raise Mistake("Only one new session was found: each long silence begins another.")
    if same(found, [False, True, False, False, True]) or same(found, [0, 1, 0, 0, 1]):
        raise Mistake("That marks where sessions begin; their running sum numbers them.")
    if not same(found, [1, 2, 2, 2, 3]):
        raise NotYet(f"For {seconds} and a silence of {silence} it gave {found}.")
    if same(attempt([0, 60, 120], 60), [1, 2, 3]):
        raise Mistake("A silence of exactly the limit does not end a session; only a longer one.")
    if not same(attempt([0, 60, 120], 60), [1, 1, 1]):
        raise NotYet("For [0, 60, 120] and a silence of 60 all three belong to session 1.")
    if not same(attempt([5], 60), [1]):
        raise NotYet("One event alone is session 1.")


@exercise("03.2")
def fill(attempt: Any) -> None:
    """Gaps filled with the training mean."""
    train, test = np.array([10.0, 20.0, np.nan]), np.array([1000.0, np.nan])
    found = attempt(train, test)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise NotYet("Return two arrays: train and test.")
    filled, other = found
    if np.isnan(np.asarray(filled, float)).any() or np.isnan(np.asarray(other, float)).any():
        raise NotYet("There is still a gap in one of the arrays.")
    if same(filled, [10, 20, 1030 / 3]):
        raise Mistake("The test part has leaked: the mean was taken over both parts.")
    if same(filled, [10, 20, 15]) and same(other, [1000, 1000]):
        raise Mistake("The test part was filled with its own mean: use what training has learned.")
    if same(filled, [10, 20, 0]):
        raise Mistake("Zero is a value like any other; a model cannot tell it from a real 0.")
    if not (same(filled, [10, 20, 15]) and same(other, [1000, 15])):
        raise NotYet(f"For train {train} and test {test} it gave {filled} and {other}.")


@exercise("03.3")
def indices(attempt: Any) -> None:
    """Ids to indices, with a place for the unknown."""
    train, test = ["b", "a", "b", "c"], ["a", "z", "c", "b"]
    found = attempt(train, test)
    if same(found, [3, 0, 4, 2]):
        raise Mistake("The unknown id got 0, which is padding: a mask would hide it.")
    if same(found, [3, -1, 4, 2]):
        raise Mistake("The unknown id got -1, which reads the last row of a table.")
    if same(found, [3, 5, 4, 2]):
        raise Mistake(
            "The unknown id got a row of its own: the list was learned from the test too."
        )
    if same(found, [2, 1, 4, 3]):
        raise Mistake("The ids are in the order of the alphabet; the order of appearance is asked.")
    if not same(found, [3, 1, 4, 2]):
        raise NotYet(f"For train {train} and test {test} it gave {found}.")
