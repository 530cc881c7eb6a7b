"""Open Bandit Dataset, the small sample: what a fashion shop showed, with which probability, and
whether it was clicked.

Six files: two policies (uniformly random, and Bernoulli Thompson sampling, "bts") in three
campaigns. 10,000 impressions each, 38 to 69 clicks each: enough to learn about propensities,
clipping and intervals, far too few to train on or to claim an uplift from.
"""

from pathlib import Path

import polars as pl

from companion.data.fetch import open_member
from companion.data.ingest import ColumnMapping, to_events
from companion.data.schema import Dataset

NAME = "open-bandit"
WHEEL = "obp"
LICENCE = "package under Apache-2.0, which ships the sample; ZOZO, Inc. gives it for research use"
ABOUT = (
    "the small sample of the Open Bandit Dataset: real impressions and clicks in the fashion "
    "shop ZOZOTOWN, 24 to 30 November 2019, with the probability of each choice"
)
FILES = "the package obp 0.4.1: companion data fetch"
POLICIES = ("random", "bts")
CAMPAIGNS = ("all", "men", "women")
FEATURES = tuple(f"user_feature_{n}" for n in range(4))


def load(
    path: str | Path | None = None,
    policy: str = "random",
    campaign: str = "all",
    affinities: bool = False,
) -> Dataset:
    """One of the six files.

    Each row is an `impression`, with the column `click` (0 or 1); a click is a further event of
    the same line, right after its impression. The shoppers are not identified: `user_id` is
    `request_` and the number of the row, so it is no person and never comes again. The hashed
    `user_feature_0` to `3` are kept.

    Args:
        path: the wheel; None for the folder of raw data.
        policy: that chose the items: "random" or "bts".
        campaign: "all", "men" or "women".
        affinities: whether to keep the 34 to 80 columns `user-item_affinity_N`.

    Raises:
        ValueError: the policy or the campaign is none of these.
        companion.data.fetch.DataMissing: the package is not there or is damaged.
    """
    if policy not in POLICIES or campaign not in CAMPAIGNS:
        raise ValueError(
            f"policy must be one of {POLICIES} and campaign one of {CAMPAIGNS}; "
            f"got {policy!r}, {campaign!r}"
        )
    folder = f"obp/dataset/obd/{policy}/{campaign}"
    table = _read(f"{folder}/{campaign}.csv", path)
    more = tuple(name for name in table.columns if affinities and "affinity" in name)
    mapping = ColumnMapping(
        columns={"propensity": "propensity_score"},
        event="impression",
        keep=("click", *FEATURES, *more),
    )
    done = to_events(table, mapping)
    numbers = {"click": pl.Int64, **dict.fromkeys(more, pl.Float64)}
    events = _with_clicks(done.events.cast(numbers))
    items = _read(f"{folder}/item_context.csv", path).drop("user_id", "line")
    items = items.cast({"item_feature_0": pl.Float64})
    title = f"{NAME} ({policy}, {campaign})"
    return Dataset(title, events, items, None, done.rejected, LICENCE, ABOUT)


def _read(member: str, path: str | Path | None) -> pl.DataFrame:
    """A file of the package as text; its first column, the row number, becomes `user_id`."""
    table = pl.read_csv(open_member(WHEEL, member, path), infer_schema=False)
    line = pl.int_range(2, pl.len() + 2, dtype=pl.Int64)
    return table.rename({table.columns[0]: "user_id"}).with_columns(
        pl.format("request_{}", pl.col("user_id")), line=line
    )


def _with_clicks(shown: pl.DataFrame) -> pl.DataFrame:
    clicks = shown.filter(pl.col("click") == 1).with_columns(event=pl.lit("click"))
    return pl.concat([shown, clicks]).sort("line", maintain_order=True)
