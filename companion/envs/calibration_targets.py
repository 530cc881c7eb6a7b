"""What the shop is held against: published figures, and those of the log's later weeks."""

import math
from dataclasses import dataclass

from companion.envs.calibration_log import Later

VIRTUAL_TAOBAO = "Virtual-Taobao (arXiv:1805.10000), 4,000 users sampled from its weights"
OPEN_BANDIT = "Open Bandit Data, whole (arXiv:2008.07146)"
BETWEEN = "between Open Bandit Data's highest and Virtual-Taobao's 2.0 -> 5.2 % of items shown"
RETAILROCKET = "RetailRocket, event counts of its log"
TAOBAO = "Taobao user behaviour, shares of its events as reported, not counted again here"
FIRST_PAGES = (0.14, 0.20, 0.13, 0.09, 0.06)  # Virtual-Taobao: share of visits of 1, 2, ... 5 pages
PROFILES = ("retailrocket", "open bandit", "taobao")


@dataclass(frozen=True)
class Target:
    """A figure, or a range of them, that the simulated one should lie in.

    Attributes:
        name: of the figure; `calibration_measure` computes the simulated one of the same name.
        low: of the range; the figure itself where it is one.
        high: of the range.
        tolerance: how far outside the range is still met, in the same unit.
        unit: of all three.
        source: where it is published.
    """

    name: str
    low: float
    high: float
    tolerance: float
    unit: str
    source: str

    def __post_init__(self) -> None:
        """Refuses what cannot be, by name and value."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise ValueError(
                f"{self.name}: low must not be above high; got {self.low}, {self.high}"
            )
        if not self.tolerance >= 0:
            raise ValueError(f"{self.name}: tolerance must be 0 or more; got {self.tolerance}")

    @property
    def middle(self) -> float:
        """Of the range: what is fitted for."""
        return (self.low + self.high) / 2

    def accepts(self, low: float, high: float) -> bool:
        """Whether an interval lies wholly in the range with its tolerance."""
        return self.low - self.tolerance <= low and high <= self.high + self.tolerance


def _figure(name: str, value: float, tolerance: float, unit: str, *, source: str) -> Target:
    return Target(name, value, value, tolerance, unit, source)


def _rates(profile: str) -> list[Target]:
    """Clicks and the funnel. Tolerance: a tenth of the figure, or the published range."""
    if profile not in PROFILES:
        raise ValueError(f"profile must be one of {', '.join(PROFILES)}; got {profile!r}")
    if profile == "open bandit":
        clicks = Target("click rate", 0.0035, 0.0051, 0.0, "per item shown", OPEN_BANDIT)
    else:
        clicks = _figure("click rate", 0.020, 0.002, "per item shown", source=VIRTUAL_TAOBAO)
    cart, bought, where = 0.0260, 0.3239, RETAILROCKET
    most = 5.2 / 2.0 - 1
    own = Target("uplift, own frequency", 0.43, most, 0.0, "share of random's", BETWEEN)
    if profile == "taobao":
        cart, bought, where = 5.5 / 89.6, 2.0 / 5.5, TAOBAO
        own = _figure("uplift, own frequency", most, most / 10, own.unit, source=VIRTUAL_TAOBAO)
    return [
        clicks,
        Target("uplift, bestsellers", 0.31, 0.43, 0.0, "share of random's", OPEN_BANDIT),
        own,
        _figure("carts per click", cart, cart / 10, "share", source=where),
        _figure("purchases per cart", bought, bought / 10, "share", source=where),
    ]


def _visits() -> list[Target]:
    """How long visits last, and how clicks fall from page to page."""
    length = [
        _figure("pages per visit, mean", 7.8, 0.78, "pages", source=VIRTUAL_TAOBAO),
        _figure("pages per visit, median", 4.0, 1.0, "pages", source=VIRTUAL_TAOBAO),
        _figure("pages per visit, 9 of 10", 18.0, 2.0, "pages", source=VIRTUAL_TAOBAO),
        _figure("visits of 1 to 5 pages", sum(FIRST_PAGES), 0.06, "share", source=VIRTUAL_TAOBAO),
    ]
    left = 1.0
    for page, share in enumerate(FIRST_PAGES, start=1):
        name = f"leaving after page {page}"
        length.append(_figure(name, share / left, 0.05, "share of visits", source=VIRTUAL_TAOBAO))
        left -= share
    return [
        *length,
        _figure(
            "fatigue, page 1 / page 4", 0.22 / 0.20, 0.1, "ratio of clicks", source=VIRTUAL_TAOBAO
        ),
        _figure(
            "fatigue, page 1 / page 11", 0.22 / 0.18, 0.1, "ratio of clicks", source=VIRTUAL_TAOBAO
        ),
        _figure(
            "list, page 1 / page 4", 1.31 / 0.59, 0.3, "ratio of clicks", source=VIRTUAL_TAOBAO
        ),
        _figure(
            "list, page 1 / page 11", 1.31 / 0.29, 0.6, "ratio of clicks", source=VIRTUAL_TAOBAO
        ),
    ]


def _purchases(later: Later, source: str) -> list[Target]:
    """What is bought, and when the household comes back."""
    log = f"later weeks of {source}"
    low, middle, high = later.gaps
    days = "days between visits"
    return [
        _figure("Gini of purchases", later.gini, 0.05, "of the items", source=log),
        _figure("repeat share", later.known, 0.05, "share of purchases", source=log),
        _figure("price", later.dear, 0.05, "log of price / usual price", source=log),
        _figure("taste", later.taste, 0.16, "share of topic / the shop's", source=log),
        _figure(f"{days}, lower quartile", low, 0.25 * low, "days", source=log),
        _figure(f"{days}, median", middle, 0.25 * middle, "days", source=log),
        _figure(f"{days}, upper quartile", high, 0.25 * high, "days", source=log),
    ]


def targets(profile: str, later: Later, source: str) -> list[Target]:
    """All targets of a profile.

    Args:
        profile: one of `PROFILES`.
        later: figures of the weeks after the world's.
        source: name of the log.

    Raises:
        ValueError: there is no such profile.
    """
    return [*_rates(profile), *_visits(), *_purchases(later, source)]
