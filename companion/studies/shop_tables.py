"""What the comparison's table says: differences with intervals over seeds, and a verdict each."""

import pandas as pd

from companion.metrics.uplift import Interval
from companion.studies.shop_study import difference, mean_of

BETTER, WORSE, ALIKE = "better", "worse", "not told apart"
COLUMNS = ["return", "difference", "low", "high", "verdict", "seconds", "seeds"]


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
        `verdict` (empty for the incumbent), the mean `seconds` of training, and the number of
        `seeds`. Policies that share fewer than two seeds with the incumbent are left out.

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
        rows[policy] = (*figures, mine["seconds"].mean(), mine["seed"].nunique())
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS)
    return frame.rename_axis("policy").sort_values("return", ascending=False, kind="stable")


def in_each_market(
    table: pd.DataFrame, ours: str, theirs: str, *, framework: str = "pytorch"
) -> pd.DataFrame:
    """One policy less another in every market where two seeds or more have both.

    Args:
        table: from `shop_study.load`.
        ours: policy.
        theirs: policy.
        framework: the column's value.

    Returns:
        Indexed by market, in the table's order: `difference`, `low`, `high`, `verdict`.
    """
    rows = {}
    for market in table["market"].unique():
        here = table[(table["market"] == market) & (table["framework"] == framework)]
        if ours in _with_seeds_of(here, theirs):
            where = {"market": market, "framework": framework}
            gap = difference(table, {**where, "policy": ours}, {**where, "policy": theirs})
            rows[market] = (*gap[:3], verdict(gap))
    frame = pd.DataFrame.from_dict(rows, orient="index", columns=COLUMNS[1:5])
    return frame.rename_axis("market")


def _with_seeds_of(here: pd.DataFrame, incumbent: str) -> list[str]:
    """The policies that share two seeds or more with one of them."""
    seeds = here.groupby("policy", sort=False)["seed"].agg(set)
    theirs = seeds.get(incumbent, set())
    return [str(policy) for policy, mine in seeds.items() if len(mine & theirs) > 1]
