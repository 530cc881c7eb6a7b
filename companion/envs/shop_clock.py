"""When the pages of a simulated log were seen."""

import numpy as np

DAY, SILENCE = 86_400.0, 1_860.0  # seconds; a new visit begins after more than 30 minutes
WEEKS = 4  # in which the shoppers come for the first time
OPEN, CLOSE = 8, 22  # hours of the day of a first visit
LEAST, MEAN, MOST = 12.0, 30.0, 600.0  # seconds on a page: at least, more in the mean, at most


class Clock:
    """The time of each of N shoppers, in seconds.

    Args:
        shoppers: N.
        rng: of first visits and of the time spent on pages.
    """

    def __init__(self, shoppers: int, rng: np.random.Generator):
        day = rng.integers(7 * WEEKS, size=shoppers)
        self._start = day * DAY + rng.uniform(OPEN, CLOSE, shoppers) * 3_600
        self._next, self._rng = self._start.copy(), rng
        self._visit = np.zeros(shoppers, np.int64)

    def page(self, visit: np.ndarray, day: np.ndarray) -> np.ndarray:
        """When each shopper's next page is shown, [N].

        A visit begins `day` days after the first one, and not before half an hour has passed since
        the last page of the visit before.

        Args:
            visit: [N] number of the visit.
            day: [N] days since the first visit began.
        """
        again = visit != self._visit
        back = np.maximum(self._start + day * DAY, self._next + SILENCE)
        now = np.where(again, back, self._next)
        spent = np.minimum(LEAST + self._rng.exponential(MEAN, len(now)), MOST)
        self._visit, self._next = visit.copy(), now + spent
        return now
