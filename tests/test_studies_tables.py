"""What the table of the comparison is read as."""

import numpy as np
import pandas as pd
import pytest

from companion.metrics.uplift import Interval
from companion.studies.shop_tables import compared, grid, in_each_market, verdict

LUCK = (1.0, 5.0, 3.0)  # of a seed, the same for all policies


def rows(policy, returns, market="calibrated", framework="pytorch", seconds=1.0):
    return [
        {"market": market, "policy": policy, "framework": framework, "seed": seed}
        | {"returns": value, "purchases": value / 2, "seconds": seconds * (1 + seed)}
        for seed, value in enumerate(returns)
    ]


TABLE = pd.DataFrame(
    [
        *rows("base", LUCK),
        *rows("up", np.add(LUCK, (0.2, 0.3, 0.4)), seconds=2.0),
        *rows("down", np.subtract(LUCK, (0.2, 0.3, 0.4))),
        *rows("wild", np.add(LUCK, (0.9, -0.8, 0.5))),
        *rows("once", (9.0,)),
        *rows("up", (0.0, 0.0, 0.0), framework="tensorflow"),
        *rows("base", (1.0, 2.0), market="other"),
        *rows("up", (0.9, 1.8), market="other"),
        *rows("base", (1.0, 2.0), market="lonely"),
        *rows("up", (1.0,), market="lonely"),
    ]
)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "better"),
        (-0.3, -0.1, "worse"),
        (-0.1, 0.3, "not told apart"),
        (0.0, 0.2, "not told apart"),
    ],
)
def test_a_verdict_says_what_the_interval_allows(low, high, said):
    assert verdict(Interval((low + high) / 2, low, high, 0.95, 10)) == said


def test_policies_are_compared_seed_by_seed_and_ranked():
    found = compared(TABLE, "base")
    assert list(found.index) == ["up", "wild", "base", "down"]  # "once" has a single seed
    assert found["verdict"].tolist() == ["better", "not told apart", "", "worse"]
    half = 4.3027 * 0.1 / np.sqrt(3)  # Student's t with 2 degrees of freedom; s = 0.1
    wanted = (3.3, 0.3, 0.3 - half, 0.3 + half)
    assert found.loc["up", ["return", "difference", "low", "high"]].tolist() == pytest.approx(
        wanted, rel=1e-4
    )
    rest = found.loc["up", ["purchases", "seconds", "seeds"]]
    assert rest.tolist() == pytest.approx([1.65, 4, 3])
    assert found.loc["base", ["difference", "low", "high"]].tolist() == [0, 0, 0]


def test_an_incumbent_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match="two seeds or more"):
        compared(TABLE, "nobody")


def test_a_market_counts_where_both_have_two_seeds():
    found = in_each_market(TABLE, "up", "base")
    assert list(found.index) == ["calibrated", "other"]
    assert found["difference"].tolist() == pytest.approx([0.3, -0.15])
    assert found["verdict"].tolist() == ["better", "not told apart"]
    assert in_each_market(TABLE, "up", "base", framework="tensorflow").empty
    half = in_each_market(TABLE, "up", "base", figure="purchases")
    assert half["difference"].tolist() == pytest.approx([0.15, -0.075])


def test_a_grid_shows_each_difference_with_its_interval_and_blanks_where_there_is_none():
    found = {
        "up": in_each_market(TABLE, "up", "base"),
        "down": in_each_market(TABLE, "down", "base"),
        "nothing": in_each_market(TABLE, "nobody", "base"),
    }
    shown = grid(found)
    half = 4.3027 * 0.1 / np.sqrt(3)
    assert list(shown.index) == ["calibrated", "other"]
    assert shown.loc["calibrated", "up"] == f"+0.30 [{0.3 - half:+.2f}, {0.3 + half:+.2f}]"
    assert shown.loc["calibrated", "down"] == f"-0.30 [{-0.3 - half:+.2f}, {-0.3 + half:+.2f}]"
    assert shown.loc["other", "down"] == ""
    assert shown["nothing"].tolist() == ["", ""]
