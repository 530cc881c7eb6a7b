"""SARDINE behind the same interface as the shop: a second world that this project did not make.

SARDINE is a published simulator (Deffayet et al., 2024, arXiv:2311.16586; package `sardine-rec`).
An agent that learns something of this shop's making only will fail there, and one that has to be
changed to work there has not been tested. Its user model is its own and is run as it stands: clicks
of each place on their own, so that a page may have several; boredom that takes all interest for
some pages; users who are drawn anew in each episode and of whom nothing is known. There is no cart
and nobody buys.

Known of version 1.0.8: clicks pull every user's interest to the same direction, since the mean over
clicked items is taken over topics too (see `companion.envs.shopper`).
"""

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from companion.envs.shop_page import FAULTS, MEMORY, NO_CLICK, first_fault
from companion.envs.shop_vector import Info, final_infos, refuse_render, seeds_of, slates_of
from companion.envs.shop_view import action_spaces
from companion.envs.tables import NEEDS_RESET

DEFAULT = "sardine/SlateTopK-BoredInf-v0"
OWN = ("slate", "clicks", "hist")  # parts of SARDINE's own observations


class SardineWorld(NamedTuple):
    """What `Candidates` and simple policies need to know of SARDINE's items."""

    topic: np.ndarray  # [I] int64, the largest of the item's components
    kind: np.ndarray  # [I] the same: nobody searches
    vectors: np.ndarray  # [I, C] float32, share of each topic; rows of length 1

    @property
    def num_items(self) -> int:
        """I."""
        return len(self.topic)

    @property
    def num_topics(self) -> int:
        """C."""
        return self.vectors.shape[1]


def layout(topics: int) -> dict[str, slice]:
    """Which numbers of an observation are what. D = 3 C + 1.

    `recent`: SARDINE's own, clicks of the last pages by topic / the clicks that bore, at most 1.
    `clicked` and `shown`: the share of the last pages' places that were clicked and that were shown
    by topic, fading by a fifth a page as in the shop. `page`: pages of the episode / all it has.
    """
    names = ("recent", "clicked", "shown")
    parts = {name: slice(n * topics, (n + 1) * topics) for n, name in enumerate(names)}
    return parts | {"page": slice(3 * topics, 3 * topics + 1)}


class SardineVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N users of SARDINE, one simulator each, in the form of `ShopVectorEnv`.

    A copy whose episode ends is reset in the same step. SARDINE begins an episode with a random
    page; its clicks are part of the first observation, and of no reward. An episode is terminated
    after a fixed number of pages, as SARDINE has it, and `page` tells how many are left.

    Action space, observations: as in the shop, with `layout`. Reward: clicks of the page * `click`.
    `info` has what the shop's has: user, page, visit, day, search (-1) and action_mask (all true),
    and after a step click, cart, purchase ([N, K]; the last two always false), position of the
    first click or -1, and revenue (0).

    Args:
        num_envs: N, 1 or more.
        name: of one of SARDINE's registered environments with topics, "sardine/...".
        click: reward of a click.

    Attributes:
        world: what is known of the items.

    Raises:
        ValueError: num_envs is below 1, click is no finite number, or there is no such environment.
        ImportError: sardine-rec is not installed.
    """

    metadata = {  # noqa: RUF012 - declared so by Gymnasium
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        name: str = DEFAULT,
        *,
        click: float = 0.2,
        render_mode: str | None = None,
    ) -> None:
        refuse_render(render_mode)
        if num_envs < 1:
            raise ValueError(f"num_envs must be 1 or more; got {num_envs}")
        if not np.isfinite(click):
            raise ValueError(f"click must be a finite number; got {click}")
        self._copies, self.num_envs, self.render_mode = _made(name, num_envs), num_envs, render_mode
        one = self._copies[0]
        topic = np.asarray(one.item_comp, np.int64)
        self.world = SardineWorld(topic, topic.copy(), np.asarray(one.item_embedd, np.float32))
        self.slate_size, self.horizon, self._click = int(one.slate_size), int(one.H), click
        items, topics, places = self.world.num_items, self.world.num_topics, self.slate_size
        self.parts, self._on = layout(topics), False
        self.single_observation_space = gymnasium.spaces.Box(0, 1, (3 * topics + 1,), np.float32)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.single_action_space, self.action_space = action_spaces(items, places, num_envs)
        self._every, self._allowed = np.ones(num_envs, bool), np.ones((num_envs, items), bool)
        self._obs = np.zeros((num_envs, 3 * topics + 1), np.float64)
        self._page = np.zeros(num_envs, np.int64)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Begins an episode in every copy.

        Args:
            seed: a number s, and copy n gets s + n; or N numbers; or None: streams go on.
            options: not used.

        Raises:
            ValueError: not N seeds.
        """
        seeds = seeds_of(seed, self.num_envs, options)
        super().reset(seed=seeds[0] if seeds else None)
        if not seeds and not self._on:
            seeds = self.np_random.integers(2**31, size=self.num_envs).tolist()
        self._begin(np.arange(self.num_envs), seeds or [None] * self.num_envs)
        self._on = True
        return self._obs.astype(np.float32), self._marked(self._known())

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Shows every user a page.

        Args:
            actions: [N, K] distinct items; [N] is taken too where K is 1.

        Returns:
            obs [N, D] float32, reward [N] float64, terminated [N], truncated [N], info.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            ValueError: the actions have another shape, or an item cannot be shown.
        """
        if not self._on:
            raise ResetNeeded(NEEDS_RESET)
        slates = slates_of(actions, self.num_envs, self.slate_size)
        row, place, fault = first_fault(slates, self._allowed)
        if fault:
            raise ValueError(f"shopper {row}: item {slates[row, place]} {FAULTS[fault]}")
        found = [one.step(slate) for one, slate in zip(self._copies, slates, strict=True)]
        ended = np.array([terminated for _, _, terminated, _, _ in found])
        self._page += 1
        self._remember(np.arange(self.num_envs), [seen for seen, *_ in found])
        clicked = np.array([seen["clicks"] for seen, *_ in found], bool)
        obs, events = self._obs.astype(np.float32), _events(clicked)
        info = self._marked(events)
        if ended.any():
            info |= final_infos(obs, self._known() | events, ended)
            self._begin(np.flatnonzero(ended), [None] * int(ended.sum()))
            obs = self._obs.astype(np.float32)
        reward = self._click * clicked.sum(axis=1)
        truncated = np.zeros(self.num_envs, bool)
        return obs, reward, ended, truncated, info | self._marked(self._known())

    def relevance(self) -> np.ndarray:
        """How attractive each item is now, [N, I], 0 to 1: for oracles, never for a policy."""
        found = np.empty(self._allowed.shape)
        for copy, one in enumerate(self._copies):
            score = one.item_embedd @ one.cur_user_embedd / one.max_score
            found[copy] = 1 / (1 + np.exp(-(score - one.offset) * one.slope))
        return found

    def _begin(self, rows: np.ndarray, seeds: Sequence[int | None]) -> None:
        pairs = zip(rows, seeds, strict=True)
        found = [self._copies[copy].reset(seed=own)[0] for copy, own in pairs]
        self._obs[rows], self._page[rows] = 0, 0
        self._remember(rows, found)

    def _remember(self, rows: np.ndarray, seen: list[dict[str, np.ndarray]]) -> None:
        """Observations of some copies, a page later; `seen` is SARDINE's own."""
        slates, clicks, recent = (np.stack([one[name] for one in seen]) for name in OWN)
        obs, topic = self._obs[rows], self.world.topic[slates]  # [M, D], [M, K]
        every = np.arange(len(rows))[:, None]
        for name, counted in (("clicked", clicks), ("shown", np.ones_like(clicks))):
            part = obs[:, self.parts[name]]
            part *= MEMORY
            np.add.at(part, (every, topic), (1 - MEMORY) * counted / self.slate_size)
        obs[:, self.parts["recent"]] = recent
        obs[:, self.parts["page"].start] = self._page[rows] / self.horizon
        self._obs[rows] = obs

    def _known(self) -> Info:
        """What the shop's info tells before a page."""
        nothing = np.zeros(self.num_envs, np.int64)
        told = {"user": nothing, "visit": nothing.copy(), "search": nothing - 1}
        day = {"day": np.zeros(self.num_envs), "page": self._page.copy()}
        return told | day | {"action_mask": self._allowed.copy()}

    def _marked(self, info: Info) -> Info:
        return info | {f"_{name}": self._every.copy() for name in info}


def _made(name: str, copies: int) -> list[Any]:
    """SARDINE's own environments."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module("sardine")  # registers them
    except ImportError as error:
        says = "SARDINE is not installed: pip install sardine-rec==1.0.8"
        raise ImportError(says) from error
    known = sorted(one for one in gymnasium.registry if one.startswith("sardine/"))
    if name not in known:
        raise ValueError(f"name must be one of {', '.join(known)}; got {name!r}")
    return [gymnasium.make(name, disable_env_checker=True).unwrapped for _ in range(copies)]


def _events(clicked: np.ndarray) -> Info:
    """What happened on the pages, [N, K], in the shop's words."""
    first = np.where(clicked.any(axis=1), clicked.argmax(axis=1), NO_CLICK)
    never = np.zeros_like(clicked)
    told = {"click": clicked, "cart": never, "purchase": never.copy(), "position": first}
    return told | {"revenue": np.zeros(len(clicked))}
