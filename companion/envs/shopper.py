"""The simulated shopper: each mechanism is a function of numbers or of arrays of N shoppers.

| mechanism | from | off |
|---|---|---|
| choice of one item or none | multinomial logit, as RecSim, arXiv:1909.04847 | |
| place on the page | SARDINE's decay of 0.85 a place, arXiv:2311.16586 | `place = 1` |
| interest in topics | Luce's choice: chances in proportion to interest | `interest = 0` |
| drift of interest | SARDINE: u <- (1 - drift) u + drift e(clicked) | `drift = 0` |
| boredom | SARDINE's 5 clicks of 5, graded as Leqi et al., arXiv:2011.06741 | `boredom = 0` |
| fatigue by page | a power of the page, fitted to the clicks of Virtual-Taobao | `fatigue = 0` |
| popularity, price, repeats, search | terms of the logit | their weight 0 |
| satisfied need | after a purchase, fading in `need_days` | `need = 0` |
| click, cart, purchase | ESM2's funnel, arXiv:1910.07099 | |
| patience, leaving | KuaiSim's, arXiv:2309.12645, drawn for each visit | `patience = inf` |
| return | more likely and sooner after a visit with clicks | `returning = -inf` |

SARDINE's own code averages the clicked items' vectors over both axes, so that every shopper drifts
to the same direction. Here the average is over the items alone; with one click a page, it is the
clicked item's topic.
"""

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np


@dataclass(frozen=True)
class ShopperConfig:
    """What moves a shopper. Weights are in units of the logit: + 0.7 doubles the odds.

    The defaults are fitted to published figures; `companion.envs.calibration` has the table. Those
    that no figure moves (mood, search and intent, need, patience_click, returning and gap_clicks)
    are set by hand, as are the published ones, whose papers are named.

    Attributes:
        no_click: utility of clicking nothing.
        interest: weight of log(interest in the item's topic / the mean interest). 1 is Luce's
            choice.
        interest_floor: interest that is always left, in units of the mean; above 0.
        mood: standard deviation of log(interest today / share of purchases): what no log shows.
        drift: share of the interest that a click moves to the clicked topic. SARDINE: 0.05.
        boredom: 0 off; 1 published: five clicks on five pages take all interest in a topic, until
            it comes back; 2 doubled: half of that does.
        boredom_clicks: clicks that take all interest. SARDINE: 5.
        boredom_window: pages that boredom lasts, as the mean of its decay. SARDINE: 5.
        boredom_days: days in which it fades between visits.
        popularity: weight of log(popularity / mean popularity).
        repeat: weight of log(1 + purchases of this item in the log).
        price: weight of log(price / the topic's median price / the household's level).
        place: factor of the odds from one place of the page to the next, in (0, 1]. SARDINE: 0.85.
        fatigue: weight of log(page), pages from 1. Virtual-Taobao: 0.08 where items are random.
        search: probability that a visit begins with a search.
        intent: weight of an item of the kind that was searched for.
        need: weight taken from a kind right after its purchase.
        need_days: days in which that fades.
        cart: utility of the cart after a click, for an item that is neither known nor dear.
        cart_fit: share of the terms repeat, price and need in the decision about the cart.
        purchase: utility of the purchase of what is in the cart.
        purchase_fit: share of the same terms in it.
        patience: pages without a click that the median visit lasts. Virtual-Taobao: 4.
        patience_spread: standard deviation of its logarithm. Virtual-Taobao: 1.16, from a mean of
            7.8 pages with a median of 4.
        patience_click: share of a page's patience that a click saves, 0 to 1.
        returning: utility of coming back after a visit without a click.
        returning_clicks: weight of the share of pages with a click in it.
        gap_spread: standard deviation of the logarithm of days between visits.
        gap_clicks: by how much a visit full of clicks shortens the logarithm of the gap.
    """

    no_click: float = 3.501
    interest: float = 0.753
    interest_floor: float = 0.05
    mood: float = 0.5
    drift: float = 0.05
    boredom: float = 1.0
    boredom_clicks: float = 5.0
    boredom_window: float = 5.0
    boredom_days: float = 1.0
    popularity: float = 0.139
    repeat: float = 0.311
    price: float = 0.014
    place: float = 0.85
    fatigue: float = 0.096
    search: float = 0.3
    intent: float = 1.0
    need: float = 3.0
    need_days: float = 7.0
    cart: float = -4.624
    cart_fit: float = 4.104
    purchase: float = -0.885
    purchase_fit: float = 0.3
    patience: float = 2.961
    patience_spread: float = 1.246
    patience_click: float = 0.5
    returning: float = 0.5
    returning_clicks: float = 2.0
    gap_spread: float = 1.037
    gap_clicks: float = 0.5

    def __post_init__(self) -> None:
        """Refuses what cannot be, by name and value."""
        for name, value in vars(self).items():
            endless = name in ("patience", "returning")
            if math.isnan(value) or (math.isinf(value) and not endless):
                raise ValueError(f"{name} must be a number; got {value}")
        for name in POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0; got {getattr(self, name)}")
        for name in NOT_NEGATIVE:
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must be 0 or more; got {getattr(self, name)}")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be from 0 to 1; got {getattr(self, name)}")
        if not 0 < self.place <= 1:
            raise ValueError(f"place must be above 0 and at most 1; got {self.place}")
        if self.boredom_window < 1:
            raise ValueError(f"boredom_window must be 1 or more; got {self.boredom_window}")


POSITIVE = ("interest_floor", "boredom_clicks", "boredom_days", "need_days", "patience")
NOT_NEGATIVE = ("boredom", "mood", "patience_spread", "gap_spread")
SHARES = ("drift", "search", "patience_click")


def boredom_presets(config: ShopperConfig | None = None) -> dict[str, ShopperConfig]:
    """The same shopper with boredom "off", "published" and "doubled"."""
    config = config or ShopperConfig()
    levels = {"off": 0.0, "published": 1.0, "doubled": 2.0}
    return {name: replace(config, boredom=level) for name, level in levels.items()}


def without_memory(config: ShopperConfig | None = None) -> ShopperConfig:
    """The same shopper without what makes a page matter later.

    Boredom, drift, fatigue and satisfied needs are off, and a click saves no patience and brings
    nobody back: what is best now is best for ever, so that planning cannot gain anything. Only the
    cart is left: what is in it is not shown again.
    """
    off = {"boredom": 0.0, "drift": 0.0, "fatigue": 0.0, "need": 0.0}
    leaving = {"patience_click": 0.0, "returning_clicks": 0.0, "gap_clicks": 0.0}
    return replace(config or ShopperConfig(), **off, **leaving)


class Rules(NamedTuple):
    """The settings as the page needs them, for the compiled loop."""

    no_click: float
    interest: float
    interest_floor: float
    drift: float
    boredom: float
    retention: float  # share of satiation that is left a page later
    full: float  # satiation after `boredom_clicks` clicks in a row
    repeat: float
    price: float
    place: float  # logarithm of the decay
    fatigue: float
    intent: float
    need: float
    need_days: float
    cart: float
    cart_fit: float
    purchase: float
    purchase_fit: float
    patience_click: float


def rules(config: ShopperConfig) -> Rules:
    """The settings in the form that the page needs.

    Satiation keeps a share of 1 - 1 / `boredom_window` from page to page, so that it lasts
    `boredom_window` pages in the mean.
    """
    retention = 1 - 1 / config.boredom_window
    steps = np.arange(1, math.ceil(config.boredom_clicks) + 1)
    last = config.boredom_clicks - (len(steps) - 1)  # a part of a click, where it is not whole
    full = float((retention ** steps[:-1]).sum() + last * retention ** steps[-1])
    given = {name: float(value) for name, value in vars(config).items() if name in Rules._fields}
    given |= {"retention": retention, "full": full or 1.0, "place": math.log(config.place)}
    return Rules(**given)


def freshness(satiation: Any, boredom: float, full: float) -> Any:
    """What boredom leaves of the interest in a topic, 0 to 1: max(0, 1 - boredom * s / full)."""
    return np.maximum(0.0, 1.0 - boredom * satiation / full)


def satiated(satiation: Any, clicks: Any, retention: float) -> Any:
    """Satiation a page later: retention * (s + clicks). Leqi et al. (2021), equation 1."""
    return retention * (satiation + clicks)


def relevance(interest: Any, fresh: Any, topics: int, floor: float) -> Any:
    """Logarithm of the interest in a topic against the mean interest, log(C u fresh + floor)."""
    return np.log(topics * interest * fresh + floor)


def drifted(interest: Any, clicked: Any, drift: float) -> Any:
    """Interest after a click: (1 - drift) u + drift e. SARDINE, with e the clicked topic alone.

    Args:
        interest: [..., C] shares, or one topic's.
        clicked: 1 for the clicked topic, 0 for the others.
        drift: 0 to 1.
    """
    return (1.0 - drift) * interest + drift * clicked


def unneeded(days: Any, need_days: float) -> Any:
    """How far a need is still satisfied, 1 right after a purchase: exp(-days / need_days)."""
    return np.exp(-days / need_days)


def tiredness(page: Any) -> Any:
    """log(1 + page), pages from 0: with weight w the odds of a click fall as (1 + page) ** -w."""
    return np.log(1.0 + page)


def conviction(rules: Rules, familiar: Any, dear: Any, satisfied: Any) -> Any:
    """What repeats, price and need say of an item, at all three stages of the funnel.

    Args:
        rules: the weights.
        familiar: log(1 + purchases in the log).
        dear: log(price / median of the topic / level of the household).
        satisfied: from `unneeded`.
    """
    return rules.repeat * familiar - rules.price * dear - rules.need * satisfied


def chance(utility: Any) -> Any:
    """The logistic function, 1 / (1 + exp(-utility)), in a form that cannot overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * utility))


def page_shares(utilities: np.ndarray, rules: Rules) -> np.ndarray:
    """Probability of a click at each place of a page, [..., K]; the rest is no click.

    p(k) = exp(v_k + k log place) / (exp(no_click) + sum_j exp(v_j + j log place)), places from 0.

    Args:
        utilities: [..., K] of the items in the order of the page, without the place.
        rules: for `no_click` and `place`.
    """
    placed = utilities + rules.place * np.arange(utilities.shape[-1])
    highest = np.maximum(placed.max(axis=-1, keepdims=True), rules.no_click)
    weight = np.exp(placed - highest)
    return weight / (np.exp(rules.no_click - highest) + weight.sum(axis=-1, keepdims=True))
