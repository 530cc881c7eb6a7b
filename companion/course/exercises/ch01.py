"""Checkers of chapter 1."""

from typing import Any

import numpy as np

from companion.course.answers import Mistake, NotYet, exercise
from companion.course.exercises import same


@exercise("01.1")
def episode_return(attempt: Any) -> None:
    """The discounted sum of an episode's rewards."""
    rewards, gamma = [0.2, 0.0, 1.2, 0.2], 0.5
    found = attempt(rewards, gamma)
    if same(found, 1.6):
        raise Mistake("That is the plain sum: gamma is missing.")
    if same(found, 0.5 * 0.525):
        raise Mistake("The first reward is discounted too: its factor is gamma ** 0, which is 1.")
    if same(found, 0.2 * 0.125 + 1.2 * 0.5 + 0.2):
        raise Mistake("The wrong way round: it is the later rewards that count less.")
    if same(found, 0.2 + 0.5 * 1.4):
        raise Mistake("Every later reward got the same factor: one more gamma for each step.")
    if same(found, 0.2):
        raise Mistake("That is the first reward alone: it is a return, not a reward.")
    if not same(found, 0.525):
        raise NotYet(f"For {rewards} and gamma {gamma} it gave {found}.")
    if not same(attempt([3.0], 0.9), 3.0):
        raise NotYet("For one reward of 3 it gave something else than 3.")
    if not same(attempt(rewards, 0.0), 0.2) or not same(attempt(rewards, 1.0), 1.6):
        raise NotYet("With gamma 0 the first reward is left, with gamma 1 the sum.")


@exercise("01.2")
def worth(attempt: Any) -> None:
    """What a page is worth, at an end and at a cut."""
    found = attempt(1.2, 2.0, False, False, 0.5)
    if same(found, 1.2 + 2.0):
        raise Mistake("The discount gamma is missing.")
    if same(found, 0.5 * (1.2 + 2.0)):
        raise Mistake("gamma belongs to what follows, not to the reward.")
    if same(found, 1.2):
        raise Mistake("The episode goes on: what follows is worth something.")
    if not same(found, 2.2):
        raise NotYet(f"For reward 1.2, next value 2, gamma 0.5 in mid-episode it gave {found}.")
    cut, end = attempt(1.2, 2.0, False, True, 0.5), attempt(1.2, 2.0, True, False, 0.5)
    if same(cut, 1.2) and same(end, 2.2):
        raise Mistake("terminated and truncated have changed places.")
    if same(cut, 1.2):
        raise Mistake("A cut was taken for an end: she would have gone on.")
    if same(end, 2.2):
        raise Mistake("She has left for ever: nothing follows.")
    if same(end, 0.0):
        raise Mistake("The last reward still counts; only what would follow it is 0.")
    if not (same(cut, 2.2) and same(end, 1.2)):
        raise NotYet(f"At a cut it gave {cut}, at an end {end}.")
    if same(attempt(1.2, 2.0, True, True, 0.5), 2.2):
        raise Mistake("Where both happen at once she has left: nothing follows.")
    if not same(attempt(1.2, np.nan, True, False, 0.5), 1.2):
        raise Mistake("After an end the next value may be anything, NaN too: do not read it.")


@exercise("01.3")
def parameters(attempt: Any) -> None:
    """Parameters of a dense network."""
    sizes = [3, 5, 2]
    found = attempt(sizes)
    if same(found, 3 * 5 + 5 * 2):
        raise Mistake("The biases are missing: each output of a layer has one.")
    if same(found, 3 * 5 + 5 * 2 + 3 + 5 + 2):
        raise Mistake("The input has no bias: only what a layer puts out.")
    if same(found, 3 * 5 + 3 + 5 * 2 + 5):
        raise Mistake("A bias for each input: it is one for each output.")
    if same(found, 3 * 5 + 5):
        raise Mistake("The last layer is missing.")
    if same(found, 2 * (3 * 5 + 5 * 2)):
        raise Mistake("Those are operations: a weight is one parameter, and two operations.")
    if not same(found, 32):
        raise NotYet(f"For {sizes} it gave {found}.")
    if not same(attempt([86, 64, 64, 500]), 42_228):
        raise NotYet("For [86, 64, 64, 500] it gave something else than 42,228.")
