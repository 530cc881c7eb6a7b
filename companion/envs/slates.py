"""Slates: K distinct items on a page, and how probable it was that they stand where they stand.

A propensity here is conditional: the probability that this item stands at this place, given the
items above it. The product over a prefix of the slate is the probability of that prefix, so that
everything else follows from it. It is not the probability that the item stands at this place
whatever stands above, which is what the Open Bandit Dataset logs; the two agree at the first
place. See Saito et al. (2020), arXiv:2008.07146, and McInerney et al. (2020), arXiv:2007.12986.

Letters: N shoppers, I items, K places. A score of -inf means "not allowed", as a mask does.
"""

from typing import NamedTuple

import numpy as np

from companion.envs.slate_checks import allowed_scores, check_epsilon, check_items, free_items
from companion.envs.slate_draws import any_of, best_of, highest


class Slate(NamedTuple):
    """What N shoppers are shown."""

    items: np.ndarray  # [N, K] int64, distinct in a row, the first place first
    propensity: np.ndarray  # [N, K] float64, in (0, 1], given the items above


def top_k(scores: np.ndarray, mask: np.ndarray, k: int) -> Slate:
    """The K best items, the best first; of equal items the one with the lower number.

    Nothing is left to chance, so each propensity is 1.

    Args:
        scores: [N, I], or [I] for all shoppers.
        mask: [N, I] true where an item may be shown.
        k: K.

    Raises:
        ValueError: a shape is wrong, K is not from 1 to I, fewer than K items may be shown to a
            shopper, or a score is NaN; the shopper is named.
    """
    items = highest(allowed_scores(scores, mask, k), k)
    return Slate(items, np.ones(items.shape))


def uniform(mask: np.ndarray, k: int, rng: np.random.Generator) -> Slate:
    """K of the allowed items at random: each place 1 / (allowed items that are left).

    Args:
        mask: [N, I] true where an item may be shown.
        k: K.
        rng: of the draws.

    Raises:
        ValueError: a shape is wrong, K is not from 1 to I, or fewer than K items may be shown to
            a shopper, who is named.
    """
    free = free_items(mask, k)
    items = np.empty((len(free), k), np.int64)
    rows = np.arange(len(free))
    for place in range(k):
        items[:, place] = drawn = any_of(free, rng)
        free[rows, drawn] = False
    return Slate(items, uniform_propensity(mask, items))


def uniform_propensity(mask: np.ndarray, items: np.ndarray) -> np.ndarray:
    """The propensities of a slate under `uniform`. [N, K], 0 where it could not have been shown.

    Args:
        mask: [N, I] true where an item may be shown.
        items: [N, K].

    Raises:
        ValueError: a shape is wrong, an item is not in the catalogue or stands twice in a slate,
            or fewer than K items may be shown to a shopper.
    """
    free_items(mask, np.shape(items)[-1])
    check_items(items, mask)
    count = np.count_nonzero(mask, axis=1)[:, None]  # [N, 1]
    shown = np.take_along_axis(mask, items, axis=1)  # [N, K]
    taken = np.cumsum(shown, axis=1) - shown
    share: np.ndarray = shown / np.maximum(count - taken, 1)
    return share


def epsilon_greedy_slate(
    scores: np.ndarray, mask: np.ndarray, k: int, *, epsilon: float, rng: np.random.Generator
) -> Slate:
    """At each place, with probability epsilon any item that is left, otherwise one of the best.

    Each place throws its own coin. Equal items are decided at random.

    Args:
        scores: [N, I], or [I] for all shoppers.
        mask: [N, I] true where an item may be shown.
        k: K.
        epsilon: probability of exploring, from 0 to 1.
        rng: of the draws.

    Returns:
        A slate; its propensities are those of `epsilon_greedy_propensity`.

    Raises:
        ValueError: epsilon is outside 0 to 1, or as in `top_k`.
    """
    check_epsilon(epsilon)
    left = allowed_scores(scores, mask, k)
    count = np.count_nonzero(left > -np.inf, axis=1)  # [N]
    items, propensity = np.empty((len(left), k), np.int64), np.empty((len(left), k))
    rows = np.arange(len(left))
    for place in range(k):
        chosen, best, ties = best_of(left)
        tied = np.flatnonzero(ties > 1)
        if len(tied):
            chosen[tied] = any_of(left[tied] == best[tied, None], rng)
        explore = np.flatnonzero(rng.random(len(left)) < epsilon)
        if len(explore):
            chosen[explore] = any_of(left[explore] > -np.inf, rng)
        greedy = np.where(left[rows, chosen] == best, (1 - epsilon) / ties, 0.0)
        propensity[:, place] = greedy + epsilon / (count - place)
        items[:, place] = chosen
        left[rows, chosen] = -np.inf
    return Slate(items, propensity)


def epsilon_greedy_propensity(
    scores: np.ndarray, mask: np.ndarray, items: np.ndarray, *, epsilon: float
) -> np.ndarray:
    """The propensities of a slate under `epsilon_greedy_slate`. [N, K]

    With the items above taken away, an item has epsilon / |left|, and (1 - epsilon) / |best| more
    if it is one of the best that are left; 0 if it is not left.

    Args:
        scores: [N, I], or [I] for all shoppers.
        mask: [N, I] true where an item may be shown.
        items: [N, K].
        epsilon: probability of exploring, from 0 to 1.

    Raises:
        ValueError: as in `epsilon_greedy_slate`, or an item is not in the catalogue or twice there.
    """
    check_epsilon(epsilon)
    left = allowed_scores(scores, mask, np.shape(items)[-1])
    check_items(items, left)
    count = np.count_nonzero(left > -np.inf, axis=1)  # [N] how many are left
    propensity, rows = np.empty(items.shape), np.arange(len(left))
    for place, chosen in enumerate(items.T):
        _, best, ties = best_of(left)
        value = left[rows, chosen]
        greedy = np.where(value == best, (1 - epsilon) / ties, 0.0)
        possible = value > -np.inf
        propensity[:, place] = np.where(possible, greedy + epsilon / np.maximum(count, 1), 0.0)
        count -= possible
        left[rows, chosen] = -np.inf
    return propensity


def plackett_luce(
    scores: np.ndarray, mask: np.ndarray, k: int, *, temperature: float, rng: np.random.Generator
) -> Slate:
    """At each place an item in proportion to exp(score / temperature) among those that are left.

    The K largest of score / temperature + Gumbel noise are such a slate: Kool, van Hoof and
    Welling (2019), arXiv:1903.06059. Luce (1959), Plackett (1975).

    Args:
        scores: [N, I], or [I] for all shoppers.
        mask: [N, I] true where an item may be shown.
        k: K.
        temperature: above 0; towards 0 it is `top_k`.
        rng: of the draws.

    Returns:
        A slate; its propensities are those of `plackett_luce_propensity`.

    Raises:
        ValueError: the temperature is not above 0, an allowed score is infinite, or as in `top_k`.
    """
    logits = _logits(scores, mask, k, temperature)
    noise = rng.standard_exponential(logits.shape)
    np.log(np.maximum(noise, np.finfo(float).tiny, out=noise), out=noise)
    items = highest(np.subtract(logits, noise, out=noise), k)
    return Slate(items, _plackett_luce_share(logits, items))


def plackett_luce_propensity(
    scores: np.ndarray, mask: np.ndarray, items: np.ndarray, *, temperature: float
) -> np.ndarray:
    """The propensities of a slate under `plackett_luce`. [N, K]

    w(item) / sum of w over the items that are left, w = exp(score / temperature); 0 for an item
    that may not be shown.

    Args:
        scores: [N, I], or [I] for all shoppers.
        mask: [N, I] true where an item may be shown.
        items: [N, K].
        temperature: above 0.

    Raises:
        ValueError: as in `plackett_luce`, or an item is not in the catalogue or twice there.
    """
    logits = _logits(scores, mask, np.shape(items)[-1], temperature)
    check_items(items, logits)
    return _plackett_luce_share(logits, items)


def _plackett_luce_share(logits: np.ndarray, items: np.ndarray) -> np.ndarray:
    """In logarithms, from the last place to the first.

    Taking the shown items away from a total would leave nothing but round-off where they hold
    nearly all of the weight.
    """
    shown = np.take_along_axis(logits, items, axis=1)  # [N, K]
    rest = logits.copy()
    np.put_along_axis(rest, items, -np.inf, axis=1)
    best = np.maximum(rest.max(axis=1), np.finfo(float).min)  # finite also where nothing is left
    rest -= best[:, None]
    np.maximum(rest, -700.0, out=rest)  # 1e-304 of the best is nothing; exp(-inf) takes long
    below = np.log(np.exp(rest, out=rest).sum(axis=1)) + best  # [N] of what is not shown
    upwards = np.concatenate((below[:, None], shown[:, ::-1]), axis=1)  # [N, 1 + K]
    left = np.logaddexp.accumulate(upwards, axis=1)[:, :0:-1]  # [N, K] with the item itself
    share: np.ndarray = np.exp(shown - np.maximum(left, np.finfo(float).min))
    return share


def _logits(scores: np.ndarray, mask: np.ndarray, k: int, temperature: float) -> np.ndarray:
    """Scores / temperature, [N, I], -inf where an item may not be shown."""
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0; got {temperature}")
    left = allowed_scores(scores, mask, k)
    left /= temperature
    infinite = left.max(axis=1) == np.inf
    if infinite.any():
        row = int(infinite.argmax())
        raise ValueError(f"shopper {row}: a score divided by the temperature is infinite")
    return left
