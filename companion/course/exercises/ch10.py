"""Checkers of chapter 10."""

from typing import Any

import numpy as np

from companion.course.answers import Mistake, NotYet, exercise
from companion.course.exercises import same


@exercise("10.1")
def price_of_myopia(attempt: Any) -> None:
    """The best of two pages less what greedy earns."""
    first = np.array([0.5, 0.4, 0.1])
    second = np.array([[0.2, 0.3, 0.1], [0.6, 0.2, 0.1], [0.5, 0.65, 0.1]])
    found = attempt(first, second)
    if same(found, 1.0):
        raise Mistake("That is the return of the best policy: take off what greedy earns.")
    if same(found, -0.2):
        raise Mistake("The price is the best less the greedy return, not the other way round.")
    if same(found, 0.3):
        raise Mistake("Greedy is greedy on page 2 as well: there it takes the best for that page.")
    if same(found, 0.35):
        raise Mistake("The best of page 1 and the best of page 2 need not go together.")
    if not same(found, 0.2):
        raise NotYet(f"For {first.tolist()} and {second.tolist()} it gave {found}.")
    if not same(attempt(np.array([0.2, 0.1]), np.array([[0.3, 0.1], [0.3, 0.1]])), 0.0):
        raise NotYet("Where page 1 changes nothing, the price is 0.")


@exercise("10.2")
def advantages(attempt: Any) -> None:
    """Generalised advantage estimates of an episode that ended."""
    reward, value = np.array([0.0, 1.0, 1.0]), np.array([0.5, 0.4, 0.2])
    found = attempt(reward, value, 0.5, 0.5)
    # TD errors by hand: -0.3, 0.7, 0.8.
    if same(found, [-0.3, 0.7, 0.8]):
        raise Mistake("Those are the TD errors: lambda has no part in them yet.")
    if same(found, [0.25, 1.1, 0.8]):
        raise Mistake(
            "What follows is discounted by gamma times lambda; one of the two is missing."
        )
    if same(found, [-0.3, 0.625, 0.95625]):
        raise Mistake("The wrong way round: the advantage of t needs that of t + 1.")
    if same(found, [-0.06875, 0.925, 0.9]):
        raise Mistake("The episode has terminated: V after its last step is 0.")
    if same(found, [0.5375, 1.35, 1.0]):
        raise Mistake("The value of the state itself is missing: delta is r + gamma V' - V.")
    if not same(found, [-0.075, 0.9, 0.8]):
        raise NotYet(f"For rewards 0, 1, 1, values 0.5, 0.4, 0.2 and 0.5, 0.5 it gave {found}.")
    if not same(attempt(reward, value, 1.0, 1.0), [1.5, 1.6, 0.8]):
        raise NotYet("With gamma and lambda 1 it is the return less the value: 1.5, 1.6, 0.8.")


@exercise("10.3")
def verdict(attempt: Any) -> None:
    """What a paired comparison allows to say."""
    words = ("better", "worse", "not told apart")
    luck = np.array([1.0, 5.0, 9.0, 3.0])  # of the seeds, the same for both policies
    gains = np.array([0.22, 0.18, 0.2, 0.2])
    if attempt(luck + gains, luck, 3.18) not in words:
        raise NotYet('Answer with one of the texts "better", "worse", "not told apart".')
    if attempt(luck + gains, luck, 3.18) == "not told apart":
        raise Mistake("The seeds' luck is the same for both: take the differences seed by seed.")
    if attempt(luck + gains, luck, 3.18) == "worse" or attempt(luck - gains, luck, 3.18) != "worse":
        raise Mistake("Ours less theirs: above zero is better, below is worse.")
    wide, narrow = np.array([0.5, -0.1, 0.3, 0.1]), np.array([1.0, -0.4, 0.6, 0.4])
    # wide: mean 0.2, s = 0.258, half = 0.41. narrow: mean 0.4, s = 0.589, half = 0.43 at t = 1.45.
    if attempt(luck + wide, luck, 3.18) != "not told apart":
        raise Mistake("Zero is in the interval: the mean alone says nothing.")
    if attempt(luck + narrow, luck, 1.45) != "not told apart":
        raise Mistake("s divides by S - 1 (ddof=1): with few seeds the other one is too small.")
    if attempt(luck + wide, luck, 1.3) != "better":
        raise Mistake("The mean of S seeds varies less than one of them: divide by the root of S.")
