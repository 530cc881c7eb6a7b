"""The page of the largest expected value, among all pages of K of M items, exactly.

A page is chosen from by a multinomial logit with a no-click option (McFadden 1974): item j at place
k is clicked with p(k) = e^{u_j} f_k / (1 + sum over the page of e^u f). A click on j is worth v_j,
no click v_0, so a page is worth (v_0 + sum of e^u f v) / (1 + sum of e^u f): a ratio of two sums.
Dinkelbach (1967), doi:10.1287/mnsc.13.7.492: of all pages, the one with the largest sum of
e^u f (v - r) is worth more than r if any page is. It holds the K largest e^u (v - r), the largest
where f is largest. Begin with any r, and go on with what the page found is worth, until that rises
no more.

Letters: N shoppers, M items, K places.
"""

from typing import NamedTuple

import numpy as np

from companion.envs.shop_page import compiled
from companion.envs.slate_checks import free_items


def best_slate(
    utility: np.ndarray,
    value: np.ndarray,
    no_click_value: np.ndarray | float,
    mask: np.ndarray,
    k: int,
    *,
    place: float | np.ndarray = 1.0,
) -> np.ndarray:
    """The page of the largest expected value for each shopper. Every place is filled.

    Args:
        utility: [N, M] log-odds of a click on an item against no click, where f = 1.
        value: [N, M] of a click.
        no_click_value: [N], or one for all.
        mask: [N, M] true where an item may be shown.
        k: K.
        place: f, as in `place_factors`.

    Returns:
        [N, K] int64, the first place first. Of items that are worth the same, the one with the
        lower number comes first. Odds below e^-700 of a shopper's largest count as that.

    Raises:
        ValueError: a shape is wrong, K is not from 1 to M, fewer than K items may be shown to a
            shopper, or a number of an item that may be shown is not finite; the shopper is named.
            Or a factor is out of range.
    """
    mask, factor = free_items(mask, k), place_factors(place, k)
    none = np.array(np.broadcast_to(no_click_value, len(mask)), np.float64)  # [N]
    odds = _odds(utility, value, none, mask)
    slots = np.argsort(-factor, kind="stable")  # the place of the best item, of the second, ...
    return _search(odds, _Places(factor[slots], slots), none)


def page_value(
    utility: np.ndarray,
    value: np.ndarray,
    no_click_value: np.ndarray | float,
    *,
    place: float | np.ndarray = 1.0,
) -> np.ndarray:
    """What a page is worth: sum over its places of p(k) v_k, and the rest of the chance times v_0.

    Args:
        utility: [..., K] of the items in the order of the page.
        value: [..., K] of a click on each.
        no_click_value: [...], or one for all.
        place: f, as in `place_factors`.

    Returns:
        [...].
    """
    factor = place_factors(place, np.shape(utility)[-1])
    top = np.maximum(np.max(utility, axis=-1, keepdims=True), 0.0)  # no overflow
    weight = np.exp(utility - top) * factor  # [..., K]
    one = np.exp(-top[..., 0])  # [...]
    total = (weight * value).sum(-1) + one * no_click_value  # [...]
    worth: np.ndarray = total / (weight.sum(-1) + one)
    return worth


def place_factors(place: float | np.ndarray, k: int) -> np.ndarray:
    """How the odds of a click depend on the place. [K]

    Args:
        place: the factor from one place to the next, the first place having 1; or all factors.
        k: K.

    Raises:
        ValueError: there are not K factors, or one is not finite and above 0.
    """
    factor = np.asarray(place, np.float64)
    if factor.ndim == 0:
        factor = factor ** np.arange(k)
    if factor.shape != (k,):
        raise ValueError(f"place must be one factor or {k}; got the shape {list(factor.shape)}")
    fine = np.isfinite(factor) & (factor > 0)
    if not fine.all():
        raise ValueError(f"a factor of place must be finite and above 0; got {factor[~fine][0]}")
    return factor


_LEAST = -700.0  # logarithm of the least odds beside the largest: a page of zeros has no value


class _Odds(NamedTuple):
    """A logit, each row scaled so that its largest odds are 1 at most: no overflow."""

    weight: np.ndarray  # [N, M] odds of a click on each item where f = 1
    value: np.ndarray  # [N, M] the same, times the value of a click
    mask: np.ndarray  # [N, M] bool
    one: np.ndarray  # [N] odds of no click
    none: np.ndarray  # [N] the same, times the value of no click


def _odds(
    utility: np.ndarray, value: np.ndarray, no_click_value: np.ndarray, mask: np.ndarray
) -> _Odds:
    for name, given in (("utility", utility), ("value", value)):
        if np.shape(given) != np.shape(mask):
            raise ValueError(f"{name} must be {list(np.shape(mask))}; got {list(np.shape(given))}")
    utility, value = (np.where(mask, given, 0.0).astype(np.float64) for given in (utility, value))
    numbers = {"utility": utility, "value": value, "no_click_value": no_click_value}
    for name, given in numbers.items():
        if not np.isfinite(given).all():
            row = np.argwhere(~np.isfinite(given))[0][0]
            raise ValueError(f"shopper {row}: {name} must be finite; got {given[row]}")
    top = np.maximum(utility.max(axis=1), 0.0)  # [N]
    weight, one = (np.exp(np.maximum(u, _LEAST)) for u in (utility - top[:, None], -top))
    return _Odds(weight, weight * value, mask, one, one * no_click_value)


@compiled
def _fill(odds: _Odds, n: int, ratio: float, gains: np.ndarray, items: np.ndarray) -> None:
    """The K items of largest odds x (value - ratio) into `items`, these into `gains`, in order."""
    found, last = 0, len(items) - 1
    for item in range(odds.weight.shape[1]):
        gain = odds.value[n, item] - ratio * odds.weight[n, item]
        if odds.mask[n, item] and (found <= last or gain > gains[last]):
            place = min(found, last)
            while place > 0 and gain > gains[place - 1]:
                gains[place], items[place] = gains[place - 1], items[place - 1]
                place -= 1
            gains[place], items[place] = gain, item
            found += 1


class _Places(NamedTuple):
    """Those of a page, the one with the largest factor first."""

    factor: np.ndarray  # [K]
    slot: np.ndarray  # [K] where on the page


@compiled
def _search(odds: _Odds, places: _Places, start: np.ndarray) -> np.ndarray:
    """Dinkelbach's rounds for each row, from the ratio `start`, [N]. Pages [N, K]."""
    pages = np.empty((len(start), len(places.slot)), np.int64)
    gains, items = np.empty(pages.shape[1]), np.empty(pages.shape[1], np.int64)
    for n in range(len(start)):
        worth, ratio = -np.inf, start[n]
        while True:  # what the page is worth rises each time, so this ends
            _fill(odds, n, ratio, gains, items)
            total, all_odds = odds.none[n], odds.one[n]
            for place in range(len(items)):
                total += places.factor[place] * odds.value[n, items[place]]
                all_odds += places.factor[place] * odds.weight[n, items[place]]
            ratio = total / all_odds
            if not ratio > worth:
                break
            worth = ratio
            pages[n, places.slot] = items
    return pages
