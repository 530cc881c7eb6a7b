"""The random split of each user's rows under published figures, number for number.

It is here so that a figure can be held against a published one. For anything else a cut in time is
right (`companion.data.split.by_time`): this one lets a model see what came later.
"""

import numpy as np
import numpy.typing as npt


def stratified(
    users: npt.ArrayLike, share: float = 0.75, *, seed: int = 42, restart: bool = False
) -> np.ndarray:
    """Which rows are for training: of a user with n rows, round(share * n), drawn at random. [N]

    Microsoft's library recommenders (`python_stratified_split`) has drawn them in two ways. In the
    newer, every row gets one uniform number in the order of the file, and a user's rows with the
    smallest numbers train. In that of 2020 and 2021 the generator starts again from the seed for
    each user (`restart`), so that users with as many rows are shuffled alike. Both need NumPy's
    legacy generator. A half is rounded to the even number.

    Args:
        users: [N] of each row, in the order of the file.
        share: above 0 and below 1.
        seed: of the legacy generator.
        restart: the older way.

    Raises:
        ValueError: share is not above 0 and below 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must be above 0 and below 1; got {share}")
    code = np.unique(np.asarray(users), return_inverse=True)[1]
    total = np.bincount(code)
    starts = np.cumsum(total) - total
    if restart:
        by_user = np.argsort(code, kind="stable")
        shuffles = [np.random.RandomState(seed).permutation(n) for n in total]
        order = by_user[np.concatenate([s + p for s, p in zip(starts, shuffles, strict=True)])]
    else:
        order = np.lexsort((np.random.RandomState(seed).random_sample(len(code)), code))
    rank = np.arange(len(code)) - starts[code[order]]  # [N] place within the user, from 0
    train = np.zeros(len(code), bool)
    train[order] = rank < np.round(share * total)[code[order]]
    return train
