"""Candidates: a few items of each topic, and of what was searched for, out of a whole catalogue.

A catalogue is too large for an agent that learns a value for each item. A candidate's number, 0 to
M - 1, always means the same thing, such as "the second best item of topic 7 for this household".
With C topics, the numbers below C * per_topic are the best items of each topic in turn; those after
them are the best of the kind searched for. Which items are best is said by a score that does not
change within an episode.
"""

from typing import NamedTuple, Protocol

import numpy as np

from companion.envs.policies import Info, mask_of
from companion.envs.shop_page import compiled


class Catalogue(Protocol):
    """What candidates need to know of a world."""

    @property
    def num_items(self) -> int:
        """I."""

    @property
    def num_topics(self) -> int:
        """C."""

    @property
    def topic(self) -> np.ndarray:
        """[I] of each item, 0 to C - 1."""

    @property
    def kind(self) -> np.ndarray:
        """[I] of each item, from 0; what a shopper may search for."""


class Found(NamedTuple):
    """The candidates of N shoppers."""

    items: np.ndarray  # [N, M] int64; means nothing where the mask is false
    mask: np.ndarray  # [N, M] bool, whether there is such a candidate; no item is there twice


class _Ranking(NamedTuple):
    """The items of each group, the best first."""

    order: np.ndarray  # [H, I] int64, group by group
    start: np.ndarray  # [G + 1] where each group begins in a row of `order`


class _Tables(NamedTuple):
    topics: _Ranking
    kinds: _Ranking
    topic: np.ndarray  # [I]


class _Told(NamedTuple):
    """What an info tells of N shoppers."""

    row: np.ndarray  # [N] of the rankings
    search: np.ndarray  # [N] kind, or -1
    allowed: np.ndarray  # [N, I] bool


class Candidates:
    """Finds the candidates of N shoppers.

    Args:
        world: a catalogue.
        scores: how good an item is for a household whatever the page, [H, I], or [I] for all.
        per_topic: candidates of each topic, 1 or more.
        per_search: candidates of the kind searched for, 0 or more. They are masked off without a
            search, and where they are among their topic's candidates already.

    Attributes:
        size: M = C * per_topic + per_search.

    Raises:
        ValueError: a number is out of range, or the scores do not fit the catalogue.
    """

    def __init__(
        self, world: Catalogue, scores: np.ndarray, *, per_topic: int = 2, per_search: int = 2
    ):
        if per_topic < 1 or per_search < 0:
            given = f"{per_topic} and {per_search}"
            raise ValueError(f"per_topic must be 1 or more and per_search 0 or more; got {given}")
        table = np.atleast_2d(_checked(scores, world.num_items))  # [H or 1, I]
        topic, kind = np.array(world.topic, np.int64), np.array(world.kind, np.int64)
        self._tables = _Tables(
            _ranked(table, topic, world.num_topics),
            _ranked(table, kind, int(kind.max()) + 1),
            topic,
        )
        self._one_row = np.ndim(scores) == 1
        self.per_topic, self.per_search = per_topic, per_search
        self.size = world.num_topics * per_topic + per_search

    def __call__(self, info: Info) -> Found:
        """The candidates at one moment.

        Args:
            info: of N shoppers, "action_mask" [N, I], "user" [N] and "search" [N], as the shop
                gives it. Other items than those of the mask are not found.

        Raises:
            ValueError: the info lacks one of them, or it is of another shop.
        """
        return Found(*_find(self._read(info), self._tables, self.per_topic, self.per_search))

    def _read(self, info: Info) -> _Told:
        missing = [name for name in ("user", "search") if name not in info]
        if missing:
            raise ValueError(f"info must hold {missing[0]!r}; it holds {sorted(info)}")
        allowed = np.ascontiguousarray(mask_of(info))
        households, items = self._tables.topics.order.shape
        if allowed.shape[1:] != (items,):
            got = list(allowed.shape)
            raise ValueError(f"action_mask must have the shape [N, {items}]; got {got}")
        row, search = (np.array(info[name], np.int64) for name in ("user", "search"))
        if self._one_row:
            row[:] = 0
        if row.shape != allowed.shape[:1] or search.shape != row.shape:
            raise ValueError(f"user and search must be of {len(allowed)} shoppers, as the mask is")
        wrong = (row < 0) | (row >= households)
        if wrong.any():
            shopper = int(wrong.argmax())
            wish = f"user must be from 0 to {households - 1}"
            raise ValueError(f"shopper {shopper}: {wish}; got {row[shopper]}")
        return _Told(row, search, allowed)


def _checked(scores: np.ndarray, items: int) -> np.ndarray:
    """The scores as float64, if they are a table for this many items."""
    table = np.asarray(scores, np.float64)
    if table.ndim not in (1, 2) or table.shape[-1] != items:
        wish = f"[H, {items}] or [{items}]"
        raise ValueError(f"scores must have the shape {wish}; got {list(table.shape)}")
    if np.isnan(table).any():
        place = np.argwhere(np.isnan(table))[0]
        raise ValueError(f"the score of item {place[-1]} is NaN, in row {place[0]}")
    return table


def _ranked(table: np.ndarray, group: np.ndarray, groups: int) -> _Ranking:
    """Items in order of group, then of score; of equals the one with the lower number first."""
    order = np.lexsort((-table, np.broadcast_to(group, table.shape)), axis=-1)
    return _Ranking(order, np.searchsorted(np.sort(group), np.arange(groups + 1)))


@compiled
def _best(told: _Told, n: int, ranking: _Ranking, group: int, into: np.ndarray) -> int:
    """Writes the best allowed items of a group for shopper n into `into`; gives back how many."""
    found = 0
    for place in range(ranking.start[group], ranking.start[group + 1]):
        if found == len(into):
            break
        item = ranking.order[told.row[n], place]
        if told.allowed[n, item]:
            into[found] = item
            found += 1
    return found


@compiled
def _find(
    told: _Told, tables: _Tables, per_topic: int, per_search: int
) -> tuple[np.ndarray, np.ndarray]:
    topics, kinds = len(tables.topics.start) - 1, len(tables.kinds.start) - 1
    shape = len(told.row), topics * per_topic + per_search
    items, mask = np.zeros(shape, np.int64), np.zeros(shape, np.bool_)
    for n in range(len(told.row)):
        for topic in range(topics):
            first = topic * per_topic
            here = items[n, first : first + per_topic]
            mask[n, first : first + _best(told, n, tables.topics, topic, here)] = True
        if 0 <= told.search[n] < kinds:
            first = topics * per_topic
            found = _best(told, n, tables.kinds, told.search[n], items[n, first:])
            for place in range(first, first + found):
                begin = tables.topic[items[n, place]] * per_topic
                mask[n, place] = True
                for other in range(begin, begin + per_topic):
                    if mask[n, other] and items[n, other] == items[n, place]:
                        mask[n, place] = False
    return items, mask
