"""Recommending in two stages: first candidates, then an agent that chooses among them.

An action is the number of a candidate; `companion.envs.candidates` says what a number means. What
changes from page to page is in the utilities that an observation ends with, one for each candidate.
Two stages of this kind are described by Covington et al. (2016), doi:10.1145/2959100.2959190.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space

from companion.envs.candidates import Candidates, Catalogue, Found
from companion.envs.policies import Choice, Info
from companion.envs.shop_vector import slates_of
from companion.envs.shop_view import action_spaces
from companion.envs.slates import Slate
from companion.envs.tables import NEEDS_RESET

__all__ = [
    "FLOOR",
    "CandidatePolicy",
    "CandidateShop",
    "Candidates",
    "Catalogue",
    "Found",
    "Utility",
    "with_utilities",
]

FLOOR = -10.0  # utility of a candidate that is masked off; all others lie in [FLOOR, -FLOOR]

Utility = Callable[[np.ndarray, Info, np.ndarray], np.ndarray]  # obs, info, items [N, M] -> [N, M]


def with_utilities(
    obs: np.ndarray, info: Info, candidates: Candidates, utility: Utility
) -> tuple[np.ndarray, Found]:
    """What an agent sees of N shoppers: observations that end with utilities, and the candidates.

    Args:
        obs: [N, D] of the shop.
        info: of the same moment.
        candidates: M of them.
        utility: of items for shoppers, as log-odds or the like.

    Returns:
        [N, D + M] float32, the utilities cut to [FLOOR, -FLOOR], FLOOR where the mask is false; and
        the candidates.

    Raises:
        ValueError: the utilities have another shape, or one of them is NaN.
    """
    found = candidates(info)
    value = np.asarray(utility(obs, info, found.items))
    if value.shape != found.items.shape:
        got = f"{list(value.shape)}, not {list(found.items.shape)}"
        raise ValueError(f"the utilities have the shape {got}")
    value = np.where(found.mask, value, FLOOR)
    if np.isnan(value).any():
        shopper, number = np.argwhere(np.isnan(value))[0]
        raise ValueError(f"shopper {shopper}: the utility of candidate {number} is NaN")
    seen = np.concatenate((obs, np.clip(value, FLOOR, -FLOOR)), axis=1, dtype=np.float32)
    return seen, found


class CandidateShop(VectorWrapper):
    """N shops whose actions are numbers of candidates, for agents that know no items.

    It steps as the shop does, with SAME_STEP autoreset. Observations are the shop's, [D], followed
    by M utilities. An action is a number, or K distinct numbers. `info["action_mask"]` is [N, M],
    and `info["candidates"]` [N, M] has the items; all else in info is the shop's own, so that a
    click's place on the page is also its place in the action.

    Args:
        shop: N shops with observations [D] and items as actions, one or a slate of them.
        candidates: M of them.
        utility: of items for shoppers, as a fitted model gives it: never the hidden one.

    Attributes:
        parts: of an observation, "shop" and "utility".

    Raises:
        ValueError: the shop resets itself in another way or has other spaces, or a page has more
            places than there are candidates.
    """

    def __init__(self, shop: VectorEnv[Any, Any, Any], candidates: Candidates, utility: Utility):
        super().__init__(shop)
        self._found: Found | None = None
        mode, base = shop.metadata.get("autoreset_mode"), shop.single_observation_space
        if mode is not AutoresetMode.SAME_STEP:
            raise ValueError(f"the shop must reset itself in the same step; its mode is {mode}")
        if not isinstance(base, Box) or len(base.shape) != 1:
            raise ValueError(f"observations must be a Box of one axis; got {base}")
        self.candidates, self.utility, self.slate_size = candidates, utility, _places(shop)
        width, size = base.shape[0], candidates.size
        if self.slate_size > size:
            raise ValueError(
                f"a page has {self.slate_size} places, but there are {size} candidates"
            )
        self.parts = {"shop": slice(0, width), "utility": slice(width, width + size)}
        ends = np.full(size, -FLOOR, np.float32)
        low, high = np.append(base.low, -ends), np.append(base.high, ends)
        self.single_observation_space = Box(low, high, dtype=np.float32)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        actions = action_spaces(size, self.slate_size, self.num_envs)
        self.single_action_space, self.action_space = actions

    def reset(
        self, *, seed: Any = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins an episode in every copy. Arguments are the shop's."""
        obs, info = self.env.reset(seed=seed, options=options)
        return self._look(obs, info)

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Shows every shopper a page.

        Args:
            actions: [N, K] numbers of candidates; [N] is taken too where K is 1.

        Raises:
            gymnasium.error.ResetNeeded: before the first reset.
            ValueError: the actions have another shape, or a candidate cannot be shown.
        """
        if self._found is None:
            raise ResetNeeded(NEEDS_RESET)
        items = _items_of(actions, self._found, self.slate_size)
        result = self.env.step(items[:, 0] if self.slate_size == 1 else items)
        obs, reward, terminated, truncated, info = result
        seen, more = self._look(obs, info)
        if "final_obs" in info:
            more |= self._last(info)
        return seen, reward, terminated, truncated, more

    def _look(self, obs: np.ndarray, info: Info) -> tuple[np.ndarray, dict[str, Any]]:
        seen, self._found = with_utilities(obs, info, self.candidates, self.utility)
        every = np.ones(self.num_envs, bool)
        return seen, {**info, **_named(self._found), "_candidates": every}

    def _last(self, info: Info) -> dict[str, Any]:
        """What the copies that ended last saw, in the form that the shop gives it."""
        ended = np.asarray(info["_final_obs"], bool)
        rows, last = np.flatnonzero(ended), info["final_info"]
        told = {name: np.asarray(value)[rows] for name, value in last.items() if name[0] != "_"}
        obs = np.stack(list(info["final_obs"][rows]))
        seen, found = with_utilities(obs, told, self.candidates, self.utility)
        final_obs, final_info = np.full(len(ended), None, dtype=object), {**last}
        for row, one in zip(rows, seen, strict=True):
            final_obs[row] = one
        for name, value in _named(found).items():
            final_info[name] = np.zeros((len(ended), *value.shape[1:]), value.dtype)
            final_info[name][rows] = value
        final_info["_candidates"] = ended.copy()
        return {"final_obs": final_obs, "final_info": final_info}


def _named(found: Found) -> dict[str, np.ndarray]:
    return {"action_mask": found.mask.copy(), "candidates": found.items.copy()}


def _places(shop: VectorEnv[Any, Any, Any]) -> int:
    """K."""
    space = shop.single_action_space
    if isinstance(space, Discrete):
        return 1
    if isinstance(space, MultiDiscrete) and len(space.shape) == 1:
        return space.shape[0]
    raise ValueError(f"actions must be an item or a slate of items; got {space}")


def _items_of(actions: np.ndarray, found: Found, places: int) -> np.ndarray:
    """The items that these numbers stand for. [N, K]

    Raises:
        ValueError: a number is none of a candidate that may be shown; the shopper is named.
    """
    copies, size = found.items.shape
    number = slates_of(actions, copies, places)
    outside = (number < 0) | (number >= size)
    wrong = outside | ~np.take_along_axis(found.mask, np.where(outside, 0, number), axis=1)
    if wrong.any():
        row, place = np.argwhere(wrong)[0]
        says = f"must be from 0 to {size - 1}" if outside[row, place] else "is masked off"
        raise ValueError(f"shopper {row}: candidate {number[row, place]} {says}")
    return np.take_along_axis(found.items, number, axis=1)


class CandidatePolicy:
    """Chooses among candidates and shows their items: a policy of the shop itself.

    Propensities are exact, since each candidate that may be shown is another item.

    Args:
        name: in tables and figures.
        scores: of candidates, from observations as `CandidateShop` gives them: [N, D + M] ->
            [N, M]. Q-values or logits of an agent that was trained there.
        candidates: as in training.
        utility: as in training.
        choice: how scores become a slate.
    """

    def __init__(
        self,
        name: str,
        scores: Callable[[np.ndarray], np.ndarray],
        candidates: Candidates,
        utility: Utility,
        choice: Choice,
    ):
        self.name, self.scores, self.choice = name, scores, choice
        self.candidates, self.utility = candidates, utility

    def act(self, obs: np.ndarray, info: Info, rng: np.random.Generator) -> Slate:
        """A slate for each shopper."""
        seen, found = with_utilities(obs, info, self.candidates, self.utility)
        chosen = self.choice(self.scores(seen), found.mask, rng)
        return Slate(np.take_along_axis(found.items, chosen.items, axis=1), chosen.propensity)

    def learn(self, obs: np.ndarray, slate: Slate, info: Info) -> None:
        """Nothing to learn."""
