"""Numbers that change while learning goes on, such as epsilon. Each is a function of the step.

A schedule counts whatever its caller counts: steps of a deep learner, episodes of a table.
"""

from collections.abc import Callable
from dataclasses import dataclass

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Constant:
    """Always the same value."""

    value: float

    def __call__(self, step: int) -> float:
        """The value at a step, which is 0 or more."""
        return self.value


@dataclass(frozen=True)
class Linear:
    """A straight line from `start` at step 0 to `end` at step `steps`; `end` from there on.

    Raises:
        ValueError: steps is below 1.
    """

    start: float
    end: float
    steps: int

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more; got {self.steps}")

    def __call__(self, step: int) -> float:
        """The value at a step, which is 0 or more."""
        if step >= self.steps:
            return self.end
        return self.start + (self.end - self.start) * step / self.steps


@dataclass(frozen=True)
class Exponential:
    """`start` times `decay` to the power of the step, but never below `end`.

    Raises:
        ValueError: decay is not above 0 and at most 1, or start is below end.
    """

    start: float
    end: float
    decay: float

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1:
            raise ValueError(f"decay must be above 0 and at most 1; got {self.decay}")
        if not self.start >= self.end:
            raise ValueError(f"start must not be below end = {self.end}; got {self.start}")

    def __call__(self, step: int) -> float:
        """The value at a step, which is 0 or more."""
        return max(self.end, self.start * self.decay**step)


def constant(value: float) -> Constant:
    """Always the same value."""
    return Constant(value)


def linear_fraction(start: float, end: float, fraction: float, total: int) -> Linear:
    """A straight line over the first part of a run; `end` after it.

    A run so short that the part has no whole step goes to `end` after its first step.

    Args:
        start: the value at step 0.
        end: the value after the part.
        fraction: the part of the run, from 0 to 1.
        total: steps of the run.

    Raises:
        ValueError: fraction is outside 0 to 1, or total is below 1.
    """
    if not 0 <= fraction <= 1:
        raise ValueError(f"fraction must be from 0 to 1; got {fraction}")
    if total < 1:
        raise ValueError(f"total must be 1 or more; got {total}")
    return Linear(start, end, max(1, round(fraction * total)))
