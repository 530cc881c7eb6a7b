"""The simulators that `shop.py` measures, each in its own step loop. A step is one page of a user.

What is chosen is drawn before the clock starts, so that only the simulators are measured. The work
of a step differs:

- ours: N shoppers, slates of 10 of 500; choice with no click, cart and purchase, boredom, drift,
  need, patience, return visits, observations of 106 numbers, masks of 500, checks of every slate.
- SARDINE SlateTopK-BoredInf: one user, slates of 10 of 1,000; independent clicks by place,
  boredom, drift; observations of 10 + 10 + 10 numbers; episodes of 100 pages.
- RecSim interest evolution: one user, slates of 5 of 500 documents; multinomial choice, watch time
  and budget; documents drawn anew at each step. Needs TensorFlow 2.15 and gym.
- RecoGym 1: one user, one of 500 products at a step; organic and bandit sessions.
"""

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

SLATES = 64  # drawn before the clock starts, used in turn


def timed(play: Callable[[int], Any], steps: int, users: int = 1) -> dict[str, float]:
    """User-steps a second of `play(rounds)`, after a tenth of the rounds to warm up."""
    rounds = max(steps // users, 1)
    play(max(rounds // 10, 1))
    wall, cpu = time.perf_counter(), time.process_time()
    play(rounds)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"steps per second": rounds * users / wall, "steps per CPU second": rounds * users / cpu}


def slates(rng: np.random.Generator, users: int, items: int, places: int) -> list[np.ndarray]:
    """`SLATES` arrays [users, places] of distinct items."""
    return [
        rng.random((users, items)).argsort(axis=1)[:, :places].astype(np.int64)
        for _ in range(SLATES)
    ]


def ours(steps: int, users: int) -> dict[str, float]:
    from companion.envs.shop import ShopVectorEnv, load_world

    world = load_world("sample", num_items=500)
    env = ShopVectorEnv(users, world, slate_size=10)
    drawn = slates(np.random.default_rng(0), users, 500, 10)
    mask = env.reset(seed=0)[1]["action_mask"]

    def play(rounds: int) -> None:
        nonlocal mask
        for turn in range(rounds):
            slate = drawn[turn % SLATES]
            taken = ~np.take_along_axis(mask, slate, axis=1).all(axis=1)  # something in the cart
            if taken.any():
                slate = slate.copy()
                free = mask[taken]
                slate[taken] = free.argpartition(490, axis=1)[:, 490:]
            mask = env.step(slate)[4]["action_mask"]

    return timed(play, steps, users)


def sardine(steps: int) -> dict[str, float]:
    import gymnasium

    warnings.filterwarnings("ignore")
    import sardine  # noqa: F401 - registers its environments

    env = gymnasium.make("sardine/SlateTopK-BoredInf-v0").unwrapped
    drawn = slates(np.random.default_rng(0), 1, 1_000, 10)
    env.reset(seed=0)

    def play(rounds: int) -> None:
        for turn in range(rounds):
            _, _, terminated, truncated, _ = env.step(drawn[turn % SLATES][0])
            if terminated or truncated:
                env.reset()

    return timed(play, steps)


def recsim(steps: int) -> dict[str, float]:
    from recsim.environments import interest_evolution

    config = {"num_candidates": 500, "slate_size": 5, "resample_documents": True, "seed": 0}
    env = interest_evolution.create_environment(config)
    drawn = slates(np.random.default_rng(0), 1, 500, 5)
    env.reset()

    def play(rounds: int) -> None:
        for turn in range(rounds):
            if env.step(drawn[turn % SLATES][0])[2]:
                env.reset()

    return timed(play, steps)


def recogym(steps: int) -> dict[str, float]:
    import gym
    import scipy

    scipy.rand = np.random.rand  # it asks for a name that SciPy has dropped
    from recogym import env_1_args

    env = gym.make("reco-gym-v1", disable_env_checker=True).unwrapped
    env.init_gym({**env_1_args, "random_seed": 0, "num_products": 500})
    drawn = slates(np.random.default_rng(0), 1, 500, 1)
    env.reset()
    env.step(None)

    def play(rounds: int) -> None:
        for turn in range(rounds):
            if env.step(int(drawn[turn % SLATES][0, 0]))[2]:
                env.reset()
                env.step(None)

    return timed(play, steps)
