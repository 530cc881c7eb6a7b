"""The comparison of policies: one budget, rows that repeat, intervals over seeds."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tiny_shop import small_world

from companion.data import sources
from companion.envs.calibration import CALIBRATED
from companion.envs.policies import StepResult, after_step
from companion.envs.shop import ShopConfig
from companion.studies import shop_study
from companion.studies.bench import Bench, Budget, OnCandidates
from companion.studies.markets import MARKETS, SARDINE, SHOP_ONLY, market, shop_market, shoppers
from companion.studies.recipes import RECIPES
from companion.studies.shop_study import Cell, Terms, difference, load, mean_of, run, study, terms

TINY = Budget(pages=2_400, first_pages=800, shops=20)
LIVELY = shop_market(
    "lively",
    replace(CALIBRATED, no_click=1.0, cart=0.0),
    world=small_world(),
    config=ShopConfig(slate_size=3),
)
FIXED = ("random", "popularity", "own frequency", "myopic oracle")
CALIBRATED_CELL = {"market": "calibrated", "framework": "pytorch"}
IN_COMPLETE_JOURNEY = pytest.mark.skipif(
    not sources.is_present("complete-journey"), reason="Complete Journey is not installed"
)


class Counting:
    """Opens shops that count the pages which they show."""

    def __init__(self, market):
        self.market, self.pages = market, 0

    def open(self, copies, places):
        envs = self.market.shop(copies, places)
        step = envs.step

        def counted(actions):
            self.pages += copies
            return step(actions)

        envs.step = counted
        return envs


@pytest.mark.parametrize("name", RECIPES)
def test_every_policy_is_made_within_the_budget_and_serves_whole_pages(name):
    counting = Counting(LIVELY)
    bench = Bench(LIVELY._replace(shop=counting.open), 0, TINY, "pytorch")
    served = RECIPES[name](bench, 6)
    rollout = 2 * 2 * LIVELY.config.horizon if name == "REINFORCE" else TINY.shops * 10
    assert counting.pages <= TINY.pages + rollout  # the last rollout is made whole
    if name in FIXED:
        assert counting.pages == 0
    elif name == "choice model":
        assert counting.pages == TINY.first_pages
    else:
        assert counting.pages >= TINY.pages
    obs, info = served.shop.reset(seed=3)
    slate = served.policy.act(obs, info, np.random.default_rng(0))
    assert slate.items.shape == (6, 3)
    result = StepResult(*served.shop.step(slate.items))
    assert after_step(info, result)["reward"].shape == (6,)


@pytest.mark.parametrize("name", ["SlateQ", "PPO", "offline CQL", "DQN, top-K"])
def test_policies_are_made_in_the_other_framework_too(name):
    served = RECIPES[name](Bench(LIVELY, 0, TINY, "tensorflow"), 6)
    obs, info = served.shop.reset(seed=3)
    assert served.policy.act(obs, info, np.random.default_rng(0)).items.shape == (6, 3)


def test_features_of_candidates_are_those_of_their_items():
    bench = Bench(LIVELY, 0, TINY, "pytorch")
    shop = bench.shop(5)
    obs, info = shop.reset(seed=1)
    pairs, numbers = OnCandidates(bench.pairs), np.tile([4, 0], (5, 1))
    known = {**info, "action_mask": None}
    every = bench.pairs(obs, known)  # [N, I, d]
    items = info["candidates"]
    rows = np.arange(5)[:, None]
    np.testing.assert_array_equal(pairs(obs, info), every[rows, items])
    np.testing.assert_array_equal(pairs(obs, info, numbers), every[rows, items[:, [4, 0]]])


@pytest.mark.parametrize("given", [(10, 10, 5), (10, 5, 6), (10, 5, 0)])
def test_a_budget_that_cannot_be_is_refused(given):
    pages, first, shops = given
    with pytest.raises(ValueError, match=f"must hold; got {shops}, {first} and {pages}"):
        Budget(pages=pages, first_pages=first, shops=shops)


def test_what_does_not_exist_is_refused_by_name():
    with pytest.raises(ValueError, match=r"policy must be one of random, .*; got 'luck'"):
        run(Cell("calibrated", "luck", "pytorch", 0))
    with pytest.raises(ValueError, match="framework must be pytorch or tensorflow; got 'jax'"):
        run(Cell("calibrated", "PPO", "jax", 0))
    with pytest.raises(ValueError, match=r"market must be one of calibrated, .*; got 'bazaar'"):
        market("bazaar")


def test_markets_differ_in_what_their_names_say():
    known = shoppers()
    assert set(MARKETS) == {*known, SARDINE}
    assert known["calibrated"] == CALIBRATED
    assert replace(known["boredom doubled"], boredom=1.0) == CALIBRATED
    assert known["boredom off"].boredom == 0
    assert known["no memory"].drift == known["no memory"].boredom == 0


@pytest.fixture
def tiny_study(monkeypatch):
    monkeypatch.setattr(shop_study, "_market", lambda name: LIVELY._replace(name=name))
    monkeypatch.setattr(shop_study, "terms", lambda name: Terms(TINY, 40))


def test_a_row_is_what_the_policy_did_and_repeats(tiny_study):
    row = run(Cell("lively", "PPO", "pytorch", 3))
    again = run(Cell("lively", "PPO", "pytorch", 3))
    assert {**row, "seconds": 0} == {**again, "seconds": 0}
    assert row["returns"] != run(Cell("lively", "PPO", "pytorch", 4))["returns"]


def test_a_study_goes_on_where_it_stopped(tiny_study, tmp_path, monkeypatch):
    made = []
    monkeypatch.setattr(shop_study, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(shop_study, "run", lambda cell: made.append(cell) or row_of(cell, 1.0))
    path = tmp_path / "table.csv"
    first = [Cell("lively", "random", "pytorch", seed) for seed in range(2)]
    assert len(study(first, path)) == 2
    more = [Cell("lively", "random", "pytorch", seed) for seed in range(3)]
    table = study(more, path)
    assert made == more  # the third alone was made anew
    assert load(path).equals(table)
    assert list(table["seed"]) == [0, 1, 2]


class Here:
    """A pool that works in this process."""

    def __init__(self, *given, **more):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *given):
        return False

    def submit(self, function, *given):
        from concurrent.futures import Future

        future = Future()
        future.set_result(function(*given))
        return future


def row_of(cell, returns):
    figures = {"returns": returns, "click_rate": 0.5, "purchases": 0.1, "pages": 9.0}
    return {**cell._asdict(), **figures, "seconds": 0.1}


def test_intervals_are_student_s_over_seeds_and_differences_are_paired():
    ours, theirs = [1.0, 2.0, 4.0, 3.0], [0.5, 1.0, 3.5, 2.5]
    rows = [row_of(Cell("m", "a", "pytorch", seed), value) for seed, value in enumerate(ours)]
    rows += [row_of(Cell("m", "b", "pytorch", seed), value) for seed, value in enumerate(theirs)]
    rows.append(row_of(Cell("m", "b", "pytorch", 9), 100.0))  # without a partner
    table = pd.DataFrame(rows)
    a, b = {"market": "m", "policy": "a"}, {"market": "m", "policy": "b"}
    found = mean_of(table, a)
    known = stats.ttest_1samp(ours, 0).confidence_interval()
    assert found[:3] == pytest.approx((2.5, known.low, known.high))
    gap = difference(table, a, b)
    known = stats.ttest_rel(ours, theirs).confidence_interval()
    assert gap[:3] == pytest.approx((0.625, known.low, known.high))
    with pytest.raises(ValueError, match="two seeds or more; got 0"):
        mean_of(table, {"market": "nowhere"})


# The table that is kept


def test_the_kept_table_has_ten_seeds_of_all_that_it_has():
    table = load()
    assert not table.duplicated(shop_study.KEY).any()
    counts = table.groupby(["market", "policy", "framework"])["seed"].nunique()
    assert (counts >= 10).all(), counts[counts < 10]
    for where in MARKETS:
        here = table[(table["market"] == where) & (table["framework"] == "pytorch")]
        assert set(here["policy"]) == set(shop_study.KEPT[where])
    assert table[["returns", "click_rate", "pages"]].gt(0).all(axis=None)


@IN_COMPLETE_JOURNEY
@pytest.mark.parametrize(
    ("where", "policy"),
    [
        ("calibrated", "own frequency"),
        ("no memory", "own frequency"),
        ("calibrated", "choice model"),
        ("calibrated", "SlateQ"),
    ],
)
def test_a_row_of_the_kept_table_comes_out_again(where, policy):
    table, cell = load(), Cell(where, policy, "pytorch", 0)
    known = table[np.logical_and.reduce([table[n] == v for n, v in cell._asdict().items()])]
    found = run(cell)
    # Other processors add in another order: a network then goes another way, but not far. What
    # other policies have with this seed lies further off.
    within = 0.04 if policy == "SlateQ" else 0.002
    assert found["returns"] == pytest.approx(float(known["returns"].iloc[0]), abs=within)
    assert terms(where).judges == 2_000


def test_what_sardine_lacks_is_refused():
    pytest.importorskip("sardine")
    for policy in SHOP_ONLY:
        with pytest.raises(ValueError, match=f"'{policy}' cannot be made in the market 'sardine'"):
            run(Cell(SARDINE, policy, "pytorch", 0))


def test_sardine_is_served_by_the_same_recipes():
    pytest.importorskip("sardine")
    few = Terms(Budget(pages=120, first_pages=60, shops=6), 4)
    for policy in ("SlateQ", "DQN, top-K"):
        row = run(Cell(SARDINE, policy, "pytorch", 0), few)
        assert row["pages"] == 100
        assert 0 < row["returns"] < 200
