"""The comparison of policies with many seeds, and its table.

    python -m companion.studies.shop_study --workers 2

runs what the table beside the code (`RESULTS`) lacks of `KEPT`: all policies with the calibrated
shopper and with her boredom off or doubled, all but `SHOP_ONLY` in SARDINE, fewer elsewhere. A
policy and its trial take 3 to 20 processor seconds, in SARDINE about a minute. With one seed, every
policy meets the same shoppers with the same luck; another seed brings other shoppers, other
training and other luck, so the seeds are what an interval is made of.
"""

import argparse
import os
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from companion.envs.trials import episodes
from companion.metrics.uplift import Interval
from companion.studies.bench import Bench, Budget
from companion.studies.markets import MARKETS, SARDINE, SHOP_ONLY, Market, market
from companion.studies.recipes import RECIPES

RESULTS = Path(__file__).parent / "shop_results.csv"
COPIES = 1_000  # shoppers who judge a policy at a time
KEY = ["market", "policy", "framework", "seed"]
EVERYWHERE = ["own frequency", "choice model", "SlateQ, gamma 0", "SlateQ", "myopic oracle"]
PLANNERS = ["LinUCB", "DQN, top-K, gamma 0", "DQN, top-K", "PPO"]  # and a bandit beside them
WHOLE = ("calibrated", "boredom off", "boredom doubled")  # where all are compared
KEPT = {name: list(RECIPES) if name in WHOLE else EVERYWHERE for name in MARKETS} | {
    "no memory": EVERYWHERE + PLANNERS,
    SARDINE: [name for name in RECIPES if name not in SHOP_ONLY],
}
FIGURES = ["returns", "click_rate", "purchases", "pages"]


class Terms(NamedTuple):
    """The same for all policies of a market."""

    budget: Budget
    judges: int  # shoppers of the trial


def terms(market: str) -> Terms:
    """Of a market by name. SARDINE takes 50 times as long for a page, so there it is less."""
    if market == SARDINE:
        return Terms(Budget(pages=50_000, first_pages=10_000, shops=125), 125)
    return Terms(Budget(), 2_000)


class Cell(NamedTuple):
    """One training and its trial."""

    market: str
    policy: str
    framework: str
    seed: int


def run(cell: Cell, given: Terms | None = None) -> dict[str, object]:
    """Makes a policy and tries it.

    Args:
        cell: which.
        given: budget and judges; None for those of the comparison.

    Returns:
        A row of the table: the cell, the mean of each figure over the shoppers, and the processor's
        seconds for making the policy. In the kept table not every row has them.

    Raises:
        ValueError: there is no such market, policy or framework.
    """
    if cell.policy not in RECIPES:
        raise ValueError(f"policy must be one of {', '.join(RECIPES)}; got {cell.policy!r}")
    if cell.framework not in ("pytorch", "tensorflow"):
        raise ValueError(f"framework must be pytorch or tensorflow; got {cell.framework!r}")
    if cell.policy in _market(cell.market).without:
        raise ValueError(f"{cell.policy!r} cannot be made in the market {cell.market!r}")
    budget, judges = given or terms(cell.market)
    start = time.process_time()  # the choice model is fitted anew, and is part of the price
    bench = Bench(_market(cell.market), cell.seed, budget, cell.framework)
    served = RECIPES[cell.policy](bench, min(COPIES, judges))
    seconds = time.process_time() - start
    found = episodes(served.policy, served.shop, shoppers=judges, seed=cell.seed)
    means = {name: float(np.mean(getattr(found, name))) for name in FIGURES}
    return {**cell._asdict(), **means, "seconds": round(seconds, 1)}


@lru_cache(maxsize=1)
def _market(name: str) -> Market:
    return market(name)


def load(path: Path = RESULTS) -> pd.DataFrame:
    """The table that a study left, a row for each cell; empty if there is none yet."""
    if not path.exists():
        return pd.DataFrame(columns=[*KEY, *FIGURES, "seconds"])
    return pd.read_csv(path)


def study(cells: Iterable[Cell], path: Path, *, workers: int = 1) -> pd.DataFrame:
    """Runs the cells that the table lacks, and writes each as soon as it is there.

    Args:
        cells: which.
        path: of the table, which is made if it is not there.
        workers: processes side by side.
    """
    table = load(path)
    known = set(table[KEY].itertuples(index=False, name=None))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        runs = [pool.submit(run, cell) for cell in cells if tuple(cell) not in known]
        for made in as_completed(runs):
            row = pd.DataFrame([made.result()])
            table = row if table.empty else pd.concat([table, row])
            table = table.sort_values(KEY, kind="stable")
            half = path.with_suffix(".part")
            table.to_csv(half, index=False, float_format="%.6g")
            half.replace(path)  # a table is there whole or not at all
            print(f"{len(table):5d} rows; {', '.join(map(str, row.iloc[0]))}", flush=True)
    return load(path)


def mean_of(table: pd.DataFrame, cell: dict[str, str], figure: str = "returns") -> Interval:
    """The mean over seeds, with Student's interval.

    Args:
        table: from `load`.
        cell: column to value: market, policy, framework.
        figure: a column.

    Raises:
        ValueError: fewer than two seeds are there.
    """
    return _interval(_by_seed(table, cell, figure))


def difference(
    table: pd.DataFrame, ours: dict[str, str], theirs: dict[str, str], figure: str = "returns"
) -> Interval:
    """The mean over seeds of ours less theirs, paired by seed, with Student's interval.

    Args:
        table: from `load`.
        ours: column to value: market, policy, framework.
        theirs: likewise.
        figure: a column.

    Raises:
        ValueError: fewer than two seeds have both.
    """
    gap = _by_seed(table, ours, figure) - _by_seed(table, theirs, figure)
    return _interval(gap.dropna())


def _by_seed(table: pd.DataFrame, cell: dict[str, str], figure: str) -> pd.Series:
    chosen = np.logical_and.reduce([table[name] == value for name, value in cell.items()])
    return table[chosen].set_index("seed")[figure]


def _interval(values: pd.Series, level: float = 0.95) -> Interval:
    if len(values) < 2:
        raise ValueError(f"an interval needs two seeds or more; got {len(values)}")
    mean, error = float(values.mean()), float(stats.sem(values))
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * error
    return Interval(mean, mean - half, mean + half, level, len(values))


def main(argv: Sequence[str] | None = None) -> None:
    """Runs what the table lacks."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("--markets", nargs="+", default=MARKETS, help="which (all)")
    parser.add_argument("--policies", nargs="+", help="which (those of the kept table)")
    parser.add_argument("--framework", default="pytorch", choices=["pytorch", "tensorflow"])
    parser.add_argument("--seeds", type=int, default=10, help="how many, from 0 (%(default)s)")
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the table (%(default)s)")
    options = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # of each worker, which inherits it
    cells = [
        Cell(where, policy, options.framework, seed)
        for where in options.markets
        for seed in range(options.seeds)
        for policy in options.policies or KEPT[where]
    ]
    study(cells, options.out, workers=options.workers)


if __name__ == "__main__":
    main()
