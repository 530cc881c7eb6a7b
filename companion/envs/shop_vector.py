"""N shoppers of the simulated shop, stepped together."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from companion.envs import shop_luck
from companion.envs.shop_floor import Floor
from companion.envs.shop_state import Hidden, hidden, utilities
from companion.envs.shop_view import ShopConfig
from companion.envs.shop_world import ShopWorld
from companion.envs.shopper import ShopperConfig
from companion.envs.tables import NEEDS_RESET

Info = dict[str, Any]


class ShopVectorEnv(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """N shoppers, stepped together; each is the shopper that a `ShopEnv` with her seed would have.

    A copy whose episode ends is reset in the same step, as the metadata declare: its last
    observation is then in `info["final_obs"]` and its last info in `info["final_info"]`, in the
    form that Gymnasium's own vector environments give. What happened on the page just shown (click,
    cart, purchase, position, revenue) is in `info` for all N copies.

    Args:
        num_envs: N, 1 or more.
        world: as in `ShopEnv`, and so are config, shopper and settings.

    Raises:
        ValueError: an argument is out of range.
    """

    metadata = {  # noqa: RUF012 - declared so by Gymnasium
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        world: ShopWorld | None = None,
        config: ShopConfig | None = None,
        shopper: ShopperConfig | None = None,
        *,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        refuse_render(render_mode)
        if num_envs < 1:
            raise ValueError(f"num_envs must be 1 or more; got {num_envs}")
        self.floor = Floor(world, config, shopper, settings)
        self.num_envs, self.render_mode = num_envs, render_mode
        seen, self.single_action_space, self.action_space = self.floor.spaces(num_envs)
        self.single_observation_space = seen
        self.observation_space = batch_space(seen, num_envs)
        self._rows, self._on = np.arange(num_envs), False
        self._every = np.ones(num_envs, bool)

    def reset(
        self, *, seed: int | Sequence[int] | None = None, options: Info | None = None
    ) -> tuple[np.ndarray, Info]:
        """Begins an episode in every copy.

        Args:
            seed: a number s, and copy n gets s + n; or N numbers; or None: streams go on.
            options: not used.

        Raises:
            ValueError: not N seeds, or a negative one.
        """
        seeds = seeds_of(seed, self.num_envs, options)
        super().reset(seed=seeds[0] if seeds else None)
        if seeds:
            self.floor.open(shop_luck.first_keys(seeds))
        elif not self._on:
            self.floor.open(self.np_random.integers(2**64, size=self.num_envs, dtype=np.uint64))
        else:
            self.floor.begin(self._rows)
        self._on = True
        return self.floor.see(self._rows), self._marked(self.floor.facts_of(self._rows))

    def step(
        self, actions: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, Info]:
        """Shows every shopper a page.

        Args:
            actions: [N, K] items; [N] is taken too where K is 1.

        Returns:
            obs [N, D] float32, reward [N] float64, terminated [N], truncated [N], info.

        Raises:
            ResetNeeded: before the first reset.
            ValueError: the actions have another shape, or an item cannot be shown.
        """
        if not self._on:
            raise ResetNeeded(NEEDS_RESET)
        found = self.floor.show(slates_of(actions, self.num_envs, self.floor.config.slate_size))
        obs, ended = self.floor.see(self._rows), found.terminated | found.truncated
        info = self._marked(found.info)
        if ended.any():
            last, rows = self.floor.facts_of(self._rows) | found.info, np.flatnonzero(ended)
            info |= final_infos(obs, last, ended)
            self.floor.begin(rows)
            obs[rows] = self.floor.see(rows)
        info |= self._marked(self.floor.facts_of(self._rows))
        return obs, found.reward, found.terminated, found.truncated, info

    def hidden(self) -> Hidden:
        """What no log shows: for oracles, never for a policy."""
        return hidden(self.floor.state)

    def utilities(self) -> np.ndarray:
        """What each item is worth on the next page, [N, I]: for oracles, never for a policy."""
        return utilities(self.floor.facts, self.floor.rules, self.hidden())

    def _marked(self, info: Info) -> Info:
        return info | {f"_{name}": self._every.copy() for name in info}


def refuse_render(render_mode: str | None) -> None:
    """Refuses every mode but None."""
    if render_mode is not None:
        raise ValueError(f"render_mode must be None: the shop draws nothing; got {render_mode!r}")


def seeds_of(
    seed: int | Sequence[int] | None, copies: int, options: Info | None
) -> list[int] | None:
    """A seed for each of N copies, or None where their streams go on.

    Args:
        seed: a number s, and copy n gets s + n; or N numbers; or None.
        copies: N.
        options: of the reset.

    Raises:
        ValueError: not N seeds, or the options name copies to reset.
    """
    if options is not None and "reset_mask" in options:
        raise ValueError("reset_mask is not taken: a copy resets itself when its episode ends")
    if seed is None:
        return None
    numbers = range(seed, seed + copies) if isinstance(seed, int) else seed
    seeds = [int(one) for one in numbers]
    if len(seeds) != copies:
        raise ValueError(f"there must be {copies} seeds; got {len(seeds)}")
    return seeds


def slates_of(action: Any, copies: int, places: int, *shapes: tuple[int, ...]) -> np.ndarray:
    """Actions as [N, K] int64 in one piece.

    Args:
        action: of N shoppers.
        copies: N.
        places: K.
        shapes: that are taken; without any [N, K], and [N] too where K is 1.

    Raises:
        ValueError: it has another shape, or does not hold whole numbers.
    """
    if not shapes:
        shapes = ((copies, places), (copies,))[: 2 if places == 1 else 1]
    found = np.asarray(action)
    if found.shape not in shapes or found.dtype.kind not in "iu":
        wish = " or ".join(str(list(shape)) for shape in shapes)
        got = f"{found.dtype} of shape {list(found.shape)}"
        raise ValueError(f"the action must be whole numbers of shape {wish}; got {got}")
    return np.ascontiguousarray(found.reshape(copies, places), dtype=np.int64)


def final_infos(obs: np.ndarray, info: Info, ended: np.ndarray) -> Info:
    """What the copies that ended last saw; None or 0 for the others."""
    seen = np.full(len(ended), None, dtype=object)
    rows = np.flatnonzero(ended)
    for row in rows:
        seen[row] = obs[row].copy()
    final: Info = {}
    for name, table in info.items():
        final[name] = np.zeros_like(table)
        final[name][rows] = table[rows]
        final[f"_{name}"] = ended.copy()
    marks = {"_final_obs": ended.copy(), "_final_info": ended.copy()}
    return {"final_obs": seen, "final_info": final} | marks
