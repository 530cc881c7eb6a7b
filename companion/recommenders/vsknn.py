"""VSKNN, vector multiplication session-kNN: what stood in past sessions that are like this one.

    sim(s, n) = sum over i in s and n of  w(p_i, L) / |s|
    score(j)  = sum over neighbours n with j of  sim(s, n) d(r_sn) (1 + c idf(j))

s is the current session: |s| different items, at places 1 to L, the last is the latest; p_i is the
latest place of item i. w weighs late places more. The neighbours are the k most similar of the m
latest sessions that share an item with s. r_sn counts back from the end of s to the latest item
that n shares, 1 for the last place. idf(j) = log(S / sessions with j).

    w(p, L):  same 1, linear p / L, quadratic (p / L)^2, log 1 / log10(L - p + 1.7)
    d(r):     same 1, inverse 1 / r, inverse square 1 / r^2, log 1 / log10(r + 1.7)

Source: Ludewig and Jannach (2018), "Evaluation of session-based recommendation algorithms", UMUAI
28, arXiv:1803.09587; idf and d as in Ludewig et al. (2020), arXiv:1910.12781.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from companion.recommenders.interactions import Interactions, once
from companion.recommenders.scoring import checked_users, hide, in_blocks
from companion.recommenders.sparse_rows import largest_per_row, row_of_each

PLACES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {  # of p and L
    "same": lambda place, length: np.ones(len(place)),
    "linear": lambda place, length: place / length,
    "quadratic": lambda place, length: (place / length) ** 2,
    "log": lambda place, length: 1 / np.log10(length - place + 1.7),
}
STEPS: dict[str, Callable[[np.ndarray], np.ndarray]] = {  # of r
    "same": lambda step: np.ones(len(step)),
    "inverse": lambda step: 1 / step,
    "inverse square": lambda step: 1 / step**2,
    "log": lambda step: 1 / np.log10(step + 1.7),
}
BLOCK = 128  # sessions at a time: each meets k neighbours with all their items


@dataclass(frozen=True)
class VsknnConfig:
    """Settings of VSKNN.

    Attributes:
        neighbours: k.
        sample: m, the latest sessions among which neighbours are looked for.
        places: w, a name of `PLACES`.
        steps: d, a name of `STEPS`.
        idf: c, 0 or more.
        length: of a user's log, only the last so many moments are the current session; None: all.
    """

    neighbours: int = 100
    sample: int = 1_000
    places: str = "linear"
    steps: str = "inverse"
    idf: float = 0.0
    length: int | None = None

    def __post_init__(self) -> None:
        for name in ("neighbours", "sample", "length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be 1 or more; got {value}")
        for name, table in (("places", PLACES), ("steps", STEPS)):
            if getattr(self, name) not in table:
                known = ", ".join(table)
                raise ValueError(f"{name} must be one of {known}; got {getattr(self, name)!r}")
        if not 0 <= self.idf < np.inf:
            raise ValueError(f"idf must be 0 or more and finite; got {self.idf}")


@dataclass(frozen=True)
class SessionModel:
    """Past sessions, and the current session of each user.

    Attributes:
        config: settings.
        sessions: [S, I] sparse, 1 where an item stood in a session; the latest session first.
        holders: [I, S] the same the other way round.
        idf: [I]; 0 for an item that no session has.
        places: [U, I] sparse, p of each item in a user's current session.
        lengths: [U] L.
        seen: [U, I] sparse, stored where a user had an item.
    """

    config: VsknnConfig
    sessions: sparse.csr_array
    holders: sparse.csr_array
    idf: np.ndarray
    places: sparse.csr_array
    lengths: np.ndarray
    seen: sparse.csr_array

    @property
    def shape(self) -> tuple[int, int]:
        """(U, I)."""
        users, items = self.seen.shape
        return users, items

    def scores(self, users: npt.ArrayLike, *, remove_seen: bool = False) -> np.ndarray:
        """As in `Recommender`; a user's current session is the end of the user's log. [B, I]"""
        rows = checked_users(users, self.shape[0])
        found = self._scores(self.places[rows], self.lengths[rows])
        return hide(found, self.seen, rows) if remove_seen else found

    def scores_of(self, sessions: npt.ArrayLike) -> np.ndarray:
        """Scores for current sessions of anybody. [B, I]

        Args:
            sessions: [B, L] items, oldest first, padded with -1 on the right.

        Raises:
            ValueError: an item is outside the catalogue, or a row has a gap.
        """
        table = np.asarray(sessions)
        real = table >= 0  # [B, L]
        if (real[:, 1:] > real[:, :-1]).any():
            row = int((real[:, 1:] > real[:, :-1]).any(axis=1).argmax())
            raise ValueError(f"row {row} has an item after a gap: pad on the right")
        if table.max(initial=0) >= self.shape[1] or table.min(initial=0) < -1:
            raise ValueError(f"items must be from 0 to {self.shape[1] - 1}, or -1 for padding")
        rows, place = np.nonzero(real)
        places = _latest((rows, table[rows, place]), place + 1.0, (len(table), self.shape[1]))
        return self._scores(places, real.sum(axis=1))

    def _scores(self, places: sparse.csr_array, lengths: np.ndarray) -> np.ndarray:
        parts = [np.zeros((0, self.shape[1]))]
        for rows in in_blocks(np.arange(len(lengths)), BLOCK):
            near = self._neighbours(places[rows], lengths[rows])
            near.data *= self._closeness(near, places[rows], lengths[rows])
            parts.append((near @ self.sessions).toarray() * (1 + self.config.idf * self.idf))
        return np.concatenate(parts)

    def _neighbours(self, places: sparse.csr_array, lengths: np.ndarray) -> sparse.csr_array:
        """sim of the k most similar among the m latest sessions that share an item. [B, S]"""
        row, weight = row_of_each(places), places.copy()
        weight.data = PLACES[self.config.places](places.data, lengths[row])
        weight.data /= np.diff(places.indptr)[row]  # |s|
        alike = sparse.csr_array(weight @ self.holders)
        alike.data = np.round(alike.data, 12)  # sums in another order are equal all the same
        latest = alike.copy()
        latest.data = -alike.indices.astype(np.float64)  # the latest session stands first
        latest = once_like(largest_per_row(latest, self.config.sample))
        return largest_per_row(sparse.csr_array(alike * latest), self.config.neighbours)

    def _closeness(
        self, near: sparse.csr_array, places: sparse.csr_array, lengths: np.ndarray
    ) -> np.ndarray:
        """d(r) of each stored pair of a current session and a neighbour. [nnz of near]"""
        if near.nnz == 0:
            return np.ones(0)
        row, held = row_of_each(near), self.sessions[near.indices]  # [pairs, I]
        place = places.toarray()[row[row_of_each(held)], held.indices]  # 0 where it is not shared
        latest = np.maximum.reduceat(place, held.indptr[:-1])  # no session is empty
        return STEPS[self.config.steps](lengths[row] - latest + 1)


def once_like(matrix: sparse.csr_array) -> sparse.csr_array:
    """1 wherever the matrix stores a value, 0 included. [M, N]"""
    return sparse.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), matrix.shape)


def fit_vsknn(log: Interactions, config: VsknnConfig | None = None) -> SessionModel:
    """Lays out the sessions of a log, the latest first.

    A user's current session is the user's own log in order of time. Its places are moments: what
    was had at one time shares a place, for a basket has no order. A user's own past sessions are
    neighbours like any other.

    Args:
        log: `sessions` and `seconds` are used, weights are not.
        config: None for the defaults.
    """
    config = config or VsknnConfig()
    names, code = np.unique(log.sessions, return_inverse=True)
    last = np.full(len(names), -np.inf)
    np.maximum.at(last, code, log.seconds)
    order = np.argsort(-last, kind="stable")
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    sessions = once((rank[code], log.items), (len(names), log.shape[1]))
    holders = sparse.csr_array(sessions.T)
    many = np.diff(holders.indptr)  # [I] sessions with each item
    idf = np.where(many > 0, np.log(len(names) / np.maximum(many, 1)), 0.0)
    places, lengths = _current(log, config.length)
    return SessionModel(config, sessions, holders, idf, places, lengths, log.seen())


def _current(log: Interactions, length: int | None) -> tuple[sparse.csr_array, np.ndarray]:
    """Place of each item in the last moments of its user, [U, I], and how many these are. [U]"""
    moment = np.unique(log.seconds, return_inverse=True)[1]
    pairs, which = np.unique(np.stack((log.users, moment)), axis=1, return_inverse=True)
    total = np.bincount(pairs[0], minlength=log.shape[0])  # [U] moments
    place = np.arange(pairs.shape[1]) - (np.cumsum(total) - total)[pairs[0]] + 1.0
    kept = total if length is None else np.minimum(total, length)
    place -= (total - kept)[pairs[0]]
    place = place[which.ravel()]
    use = place >= 1
    return _latest((log.users[use], log.items[use]), place[use], log.shape), kept


def _latest(
    at: tuple[np.ndarray, np.ndarray], place: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    """The largest place of each row and item. [B, I] sparse"""
    row, item = at
    order = np.lexsort((place, item, row))
    row, item, place = row[order], item[order], place[order]
    final = np.append((np.diff(row) != 0) | (np.diff(item) != 0), True)[: len(row)]
    return sparse.csr_array((place[final], (row[final], item[final])), shape=shape)
