"""Worlds to act in. Importing this package registers its environments with Gymnasium."""

from typing import Any

import gymnasium

from companion.core.seeding import generator
from companion.envs.tables import TableEnv
from companion.envs.testbed import TestbedEnv
from companion.envs.vector import TableVectorEnv

__all__ = ["TableEnv", "TableVectorEnv", "TestbedEnv", "seeded"]

_IDS = {
    "companion/Cliff-v0": "cliff",
    "companion/Windy-v0": "windy",
    "companion/RandomWalk-v0": "random_walk",
    "companion/DynaMaze-v0": "dyna_maze",
    "companion/MaximisationBias-v0": "maximisation_bias",
}
# The book sets no time limit; this one stops a policy that walks for ever. A learner needs far
# less. A policy that stays random does not: it takes 6,453 steps on the cliff in the mean.
_MAX_STEPS = 10_000
_TESTBED_STEPS = 1_000  # book section 2.3


def _register() -> None:
    """Registers each environment once, so that a second import gives no warning."""
    for name, world in _IDS.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                name,
                entry_point="companion.envs.tables:TableEnv",
                vector_entry_point="companion.envs.vector:TableVectorEnv",
                max_episode_steps=_MAX_STEPS,
                kwargs={"world": world},
            )
    if "companion/Testbed-v0" not in gymnasium.registry:
        gymnasium.register(
            "companion/Testbed-v0",
            entry_point="companion.envs.testbed:TestbedEnv",
            max_episode_steps=_TESTBED_STEPS,
        )
    if "companion/Shop-v0" not in gymnasium.registry:  # it sets its own limit, the horizon
        gymnasium.register(
            "companion/Shop-v0",
            entry_point="companion.envs.shop:ShopEnv",
            vector_entry_point="companion.envs.shop:ShopVectorEnv",
        )


def seeded(
    env: gymnasium.Env[Any, Any] | gymnasium.vector.VectorEnv[Any, Any, Any], seed: int
) -> tuple[Any, dict[str, Any]]:
    """Resets with a seed, and seeds `action_space.sample()` too, which reset leaves random.

    The action space gets a stream of its own. With the environment's own number both would draw
    the same numbers, and actions would tell what the world does next.

    Args:
        env: an environment, or a vector environment.
        seed: a whole number, 0 or more.

    Returns:
        obs and info of the first episode, the same as `env.reset(seed=seed)` gives.

    Raises:
        ValueError: the seed is negative.
    """
    env.action_space.seed(int(generator(seed, "action space").integers(2**31)))
    return env.reset(seed=seed)


_register()
