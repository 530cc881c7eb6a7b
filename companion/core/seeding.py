"""Independent random generators by name. There is no global seed."""

import zlib

import numpy as np


def generator(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on the seed and on what it is for.

    Two names give independent streams, so that one more draw in one place changes nothing in
    another.

    Args:
        seed: a whole number, 0 or more.
        names: what the numbers are for, such as "bootstrap".

    Raises:
        ValueError: the seed is negative.
    """
    if seed < 0:
        raise ValueError(f"seed must be 0 or more; got {seed}")
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])
