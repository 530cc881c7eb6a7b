"""What the comparison's table says: differences with intervals over seeds, and a verdict each."""

from collections.abc import Mapping

import pandas as pd

from companion.metrics.uplift import Interval
from companion.studies.shop_study import difference, mean_of

BETTER, WORSE, ALIKE = "better", "worse", "not told apart"
COLUMNS = ["return", "difference", "low", "high", "verdict", "purchases", "seconds", "seeds"]


def verdict(gap: Interval) -> str:
    """What a difference allows to say: "better", "worse" or "not told apart".

    Args:
        gap: ours less theirs.
    """
    if not gap.excludes_zero:
        return ALIKE
    return BETTER if gap.mean > 0 else WORSE


def compared(
    table: pd.DataFrame,
    incumbent: str,
    *,
    market: str = "calibrated",
    framework: str = "pytorch",
) -> pd.DataFrame:
    """Every policy of a market beside one of them, the one of the largest return first.

    Args:
        table: from `shop_study.load`.
        incumbent: the policy that the others are compared with.
        market: the column's value.
        framework: likewise.

    Returns:
        Indexed by policy: the mean `return` of an episode, its `difference` to the incumbent's,
        `low` and `high` end of the difference's 95 % interval (Student's, paired by seed),
        `verdict` (empty for the incumbent), mean `purchases` of an episode, mean `seconds` of
        training, and the number of `seeds`. Policies that share fewer than two seeds with the
        incumbent are left out.

    Raises:
        ValueError: fewer than two seeds of the incumbent are there.
    """
    where = {"market": market, "framework": framework}
    theirs = {**where, "policy": incumbent}
    here = table[(table["market"] == market) & (table["framework"] == framework)]
    mean_of(table, theirs)  # raises where the incumbent is missing
    rows = {}
    for policy in _with_seeds_of(here, incumbent):
        ours, mine = {**where, "policy": policy}, here[here["policy"] == policy]
        gap = difference(table, ours, theirs)
        said = "" if policy == incumbent else verdict(gap)
        figures = (mean_of(table, ours).mean, *gap[:3], said)
        means = mine[["purchases", "seconds"]].mean()
        rows[policy] = (*figures, *means, mine["seed"].nunique())
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
    return frame.rename_axis("policy").sort_values("return", ascending=False, kind="stable")


def in_each_market(
    table: pd.DataFrame,
    ours: str,
    theirs: str,
    *,
    framework: str = "pytorch",
    figure: str = "returns",
) -> pd.DataFrame:
    """One policy less another in every market where two seeds or more have both.

    Args:
        table: from `shop_study.load`.
        ours: policy.
        theirs: policy.
        framework: the column's value.
        figure: a column of numbers, such as "purchases".

    Returns:
        Indexed by market, in the table's order: `difference`, `low`, `high`, `verdict`.
    """
    rows = {}
    for market in table["market"].unique():
        here = table[(table["market"] == market) & (table["framework"] == framework)]
        if ours in _with_seeds_of(here, theirs):
            where = {"market": market, "framework": framework}
            one, two = {**where, "policy": ours}, {**where, "policy": theirs}
            gap = difference(table, one, two, figure)
            rows[market] = (*gap[:3], verdict(gap))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS[1:5])
    return frame.rename_axis("market")


def grid(found: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Several differences beside each other, as texts such as "-0.10 [-0.15, -0.05]".

    Args:
        found: from `in_each_market`, by what is compared.

    Returns:
        Indexed by market, in the order in which they first come; one column for each comparison,
        empty where the market lacks it.
    """
    columns = {
        name: pd.Series(
            {row.Index: f"{row.difference:+.2f} [{row.low:+.2f}, {row.high:+.2f}]" for row in rows},
            dtype=object,
        )
        for name, rows in ((name, frame.itertuples()) for name, frame in found.items())
    }
    order = list(dict.fromkeys(market for frame in found.values() for market in frame.index))
    return pd.DataFrame(columns).reindex(order).fillna("").rename_axis("market")


def _with_seeds_of(here: pd.DataFrame, incumbent: str) -> list[str]:
    """The policies that share two seeds or more with one of them."""
    seeds = here.groupby("policy", sort=False)["seed"].agg(set)
    theirs = seeds.get(incumbent, set())
    return [str(policy) for policy, mine in seeds.items() if len(mine & theirs) > 1]
