"""Checkers of chapter 13."""

import math
from typing import Any

import numpy as np

from companion.course.answers import Mistake, NotYet, exercise
from companion.course.exercises import same


@exercise("13.1")
def household_recall(attempt: Any) -> None:
    """Recall of one household."""
    shown, bought = ["a", "b", "c", "d"], ["b", "x", "b", "d"]
    found = attempt(shown, bought)
    if same(found, 0.5):
        raise Mistake(
            "That divides by the number shown: it is precision. Recall divides by bought."
        )
    if same(found, 0.75):
        raise Mistake("A product that was bought twice counts once: look at different products.")
    if same(found, 1.0):
        raise Mistake("That asks whether anything was hit: it is the hit rate, not recall.")
    if not same(found, 2 / 3):
        raise NotYet(f"For shown {shown} and bought {bought} it gave {found}.")
    if not same(attempt(["a"], ["z"]), 0.0):
        raise NotYet("Nothing was hit for shown ['a'] and bought ['z']: recall is 0.")


@exercise("13.2")
def paired(attempt: Any) -> None:
    """Mean difference and its standard error."""
    ours, theirs = np.array([0.2, 0.5, 0.9, 0.4]), np.array([0.1, 0.5, 0.6, 0.4])
    found = attempt(ours, theirs)
    if not isinstance(found, tuple | list | np.ndarray) or len(found) != 2:
        raise NotYet("Return two numbers: the mean difference and its standard error.")
    mean, error = found
    gap = ours - theirs
    if same(mean, -gap.mean()):
        raise Mistake("The sign is turned: ours minus theirs.")
    if same(mean, ours.mean() / theirs.mean() - 1):
        raise Mistake("That is the relative lift; the difference is asked.")
    if not same(mean, gap.mean()):
        raise NotYet(f"The mean difference of {ours} and {theirs} is not {mean}.")
    if same(error, math.sqrt(ours.var(ddof=1) / 4 + theirs.var(ddof=1) / 4)):
        raise Mistake("That takes the two groups for different households; here they are the same.")
    if same(error, gap.std(ddof=1)):
        raise Mistake(
            "That is the spread of one difference; the mean's error is smaller by sqrt(N)."
        )
    if same(error, gap.std() / 2):
        raise Mistake("Nearly: divide the squares by N - 1 (ddof=1), since the mean was estimated.")
    if not same(error, gap.std(ddof=1) / 2):
        raise NotYet(f"The standard error of the differences {gap.round(2)} is not {error}.")
