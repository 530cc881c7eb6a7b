"""Does a log support the click rate that a policy reaches in a simulator?

A simulator can be exploited: an agent finds what its equations reward, whether shoppers do or not.
Where the simulated rate lies beyond what a log of the shop supports (`matched_log`), or beyond what
was ever published, it must not be believed on the simulator's word.

Two comparisons belong together. In a shop with a horizon of one page, the log's pages are the
policy's pages, and only the pages themselves are compared. Over whole episodes a policy also gains
by where it leads its shoppers, to which a log of single pages has no answer: `verdict_of` tells the
two apart.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from companion.envs.calibration_targets import Target
from companion.metrics.uplift import Interval
from companion.recommenders.matched_log import (
    ASSUMPTIONS,
    Matched,
    click_rate,
    effective_size,
    match,
    shown,
)

__all__ = [
    "ASSUMPTIONS",
    "BEYOND",
    "FEW",
    "LEADS",
    "SUPPORTED",
    "Matched",
    "Support",
    "click_rate",
    "effective_size",
    "match",
    "published_range",
    "shown",
    "support",
    "support_table",
    "verdict_of",
]

SUPPORTED = "supported"
BEYOND = "beyond the log: exploits the simulator"
LEADS = "beyond the log: by where it leads its shoppers"
FEW = "too few matching impressions"


def published_range(wanted: Sequence[Target]) -> tuple[float, float]:
    """Clicks per item shown, from a random policy to the best gain that was published.

    The figures are of pages of ten items. They say nothing of a shop that shows one at a time.

    Args:
        wanted: from `companion.envs.calibration.targets`.

    Raises:
        ValueError: no click rate or no uplift is among the targets.
    """
    rates = [target for target in wanted if target.name == "click rate"]
    gains = [target.high for target in wanted if target.name.startswith("uplift")]
    if not (rates and gains):
        raise ValueError("the targets must hold a click rate and an uplift")
    return rates[0].low, rates[0].high * (1 + max(gains))


@dataclass(frozen=True)
class Support:
    """A policy's simulated click rate beside what is known.

    Attributes:
        simulated: clicks per item shown, in the simulator.
        logged: the log's estimate of it; NaN where nothing matches.
        effective: effective sample size of the matching impressions.
        matched: how many match.
        impressions: of the log.
        published: the range that was published; None where no figure applies.
        enough: the effective sample size from which on the log is asked.
    """

    simulated: Interval
    logged: Interval
    effective: float
    matched: int
    impressions: int
    published: tuple[float, float] | None
    enough: float

    @property
    def unheard_of(self) -> bool:
        """Whether the simulated interval lies above all that was published."""
        return self.published is not None and self.simulated.low > self.published[1]

    @property
    def verdict(self) -> str:
        """`BEYOND` if the simulated interval lies above the published range, or above the log's.

        The log's counts only where its effective sample size is enough; if not, it is `FEW`.
        """
        if self.unheard_of:
            return BEYOND
        if self.effective < self.enough:
            return FEW
        return BEYOND if self.simulated.low > self.logged.high else SUPPORTED

    def __str__(self) -> str:
        ends = self.published
        known = "none published" if ends is None else f"{ends[0]:.4f} to {ends[1]:.4f} published"
        return (
            f"{self.verdict}. Clicks per item shown: {self.simulated} simulated, {self.logged} by "
            f"the log ({self.matched:,} of {self.impressions:,} impressions match, worth "
            f"{self.effective:,.0f}), {known}."
        )


def support(
    simulated: Matched,
    log: Matched,
    published: tuple[float, float] | None,
    *,
    seed: int,
    assumption: str = "choice",
    level: float = 0.99,
    enough: float = 1_000,
) -> Support:
    """Holds a policy's simulated click rate against a log and against what was published.

    Args:
        simulated: from `shown`.
        log: from `match`, of the same policy.
        published: clicks per item shown, as from `published_range`; None where it does not apply.
        seed: of the two bootstraps.
        assumption: as in `click_rate`.
        level: of the intervals. At 0.95, about one table in five of ten honest policies would flag
            one of them.
        enough: effective sample size below which the log is not asked. With the published 2 clicks
            in 100 items, 1,000 impressions hold 20.

    Raises:
        ValueError: the published range is none, enough is not above 0, the two have pages of
            different length, or as in `click_rate`.
    """
    if published is not None and not 0 <= published[0] <= published[1]:
        raise ValueError(f"published must be a range from 0; got {published}")
    if not enough > 0:
        raise ValueError(f"enough must be above 0; got {enough}")
    if simulated.click.shape[1] != log.click.shape[1]:
        sizes = f"{simulated.click.shape[1]} and {log.click.shape[1]}"
        raise ValueError(f"pages must have the same number of places; got {sizes}")
    return Support(
        click_rate(simulated, seed=seed, assumption=assumption, level=level),
        click_rate(log, seed=seed, assumption=assumption, level=level),
        effective_size(log.weight),
        int(np.count_nonzero(log.weight)),
        log.weight.size,
        published,
        enough,
    )


def verdict_of(whole: Support, first: Support) -> str:
    """The verdict on whole episodes, in the light of that on first pages.

    `LEADS` where the log does not support the episodes but supports the pages: the gain comes from
    the simulator's memory of earlier pages, which a second world may not share. A click rate that
    was never published is `BEYOND` all the same.

    Args:
        whole: in a shop with whole episodes.
        first: of the same policy in a shop with a horizon of one page.
    """
    leads = whole.verdict == BEYOND and not whole.unheard_of and first.verdict == SUPPORTED
    return LEADS if leads else whole.verdict


def support_table(
    whole: Mapping[str, Support], first: Mapping[str, Support] | None = None
) -> pd.DataFrame:
    """A row for each policy.

    Args:
        whole: name of the policy to what was found over whole episodes.
        first: the same policies on first pages; None leaves `LEADS` out.

    Returns:
        Indexed by policy: `simulated`, `low`, `high`, `log`, `log low`, `log high`, `matched`,
        `effective`, `published high`, `verdict`; all but the verdict are of `whole`.

    Raises:
        ValueError: a policy is missing on first pages.
    """
    missing = [] if first is None else sorted(set(whole) - set(first))
    if missing:
        raise ValueError(f"{missing[0]!r} is missing on first pages")
    rows = {}
    for name, each in whole.items():
        verdict = each.verdict if first is None else verdict_of(each, first[name])
        most = np.nan if each.published is None else each.published[1]
        sizes = each.matched, each.effective
        rows[name] = (*each.simulated[:3], *each.logged[:3], *sizes, most, verdict)
    names = ["simulated", "low", "high", "log", "log low", "log high"]
    names += ["matched", "effective", "published high", "verdict"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)
