"""Chance in the shop: each shopper has a stream of her own, for any number of shoppers at once.

NumPy's generators give one stream each, and a thousand of them are too slow to call at each step.
SplitMix64 (Steele, Lea and Flood, 2014, OOPSLA) is a function of a key and a counter, so arrays of
keys give arrays of numbers. Two things follow that a test of policies needs: a shopper behaves the
same alone and among others, and two policies that meet the same shopper have the same luck.
"""

import numpy as np

STEP = np.uint64(0x9E3779B97F4A7C15)
MANY = 1024  # counters of a page: more than any page draws


def mixed(number: np.ndarray) -> np.ndarray:
    """SplitMix64's finisher: 64 bits that look independent of their neighbours'. uint64 arrays."""
    number = (number ^ (number >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    number = (number ^ (number >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return number ^ (number >> np.uint64(31))


def first_keys(seeds: list[int]) -> np.ndarray:
    """A key for each seed, [N] uint64.

    Raises:
        ValueError: a seed is negative.
    """
    wrong = [seed for seed in seeds if seed < 0]
    if wrong:
        raise ValueError(f"seed must be 0 or more; got {wrong[0]}")
    states = [np.random.SeedSequence(seed).generate_state(1, np.uint64) for seed in seeds]
    return np.concatenate(states)


def episode_keys(keys: np.ndarray, episodes: np.ndarray) -> np.ndarray:
    """The key of each shopper's episode, [N] uint64.

    Args:
        keys: [N] from `first_keys`.
        episodes: [N] int64 number of the episode, from 0.
    """
    return mixed(mixed(keys) + episodes.astype(np.uint64) * STEP)


def uniforms(keys: np.ndarray, pages: np.ndarray, first: int, width: int) -> np.ndarray:
    """Numbers in [0, 1), [N, width].

    Args:
        keys: [N] from `episode_keys`.
        pages: [N] int64 page of the episode.
        first: number of the first draw on the page.
        width: draws; first + width is at most `MANY`.

    Raises:
        ValueError: more draws than a page has.
    """
    if first + width > MANY:
        raise ValueError(f"a page has {MANY} draws; asked for {first + width}")
    counter = pages[:, None] * MANY + np.arange(first + 1, first + width + 1)
    bits = mixed(keys[:, None] + counter.astype(np.uint64) * STEP)
    return (bits >> np.uint64(11)) * 2.0**-53
