"""The simulated log: the schema, what it keeps of the shop, and the way through the pipeline."""

import contextlib
import itertools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_shop import PLAIN, tiny_world

from companion import cli
from companion.data import features, sequences, sources, split
from companion.data.prepare import purchases
from companion.data.schema import validate
from companion.envs.commands import POLICIES, behaviour
from companion.envs.policies import Choice, RandomPolicy, ScorePolicy
from companion.envs.shop import ShopConfig, ShopEnv, ShopVectorEnv, load_world
from companion.envs.shop_clock import SILENCE, Clock
from companion.envs.shop_log import simulate
from companion.envs.shop_queries import mistyped, query, words
from companion.envs.shopper import ShopperConfig
from companion.recommenders import task

BUSY = ShopperConfig(no_click=0.5, cart=1.0, purchase=1.0, patience=3.0, search=0.5)


def shop(shopper=BUSY, **settings):
    return ShopVectorEnv(1, tiny_world(), shopper=shopper, **{"slate_size": 3, **settings})


@pytest.fixture(scope="module")
def log():
    return simulate(shop(), RandomPolicy(3), shoppers=400, seed=0)


def of(log, *events):
    return log.events.filter(pl.col("event").is_in(events))


def test_it_is_a_log_in_the_schema(log):
    validate(log.events)
    kinds = set(log.events["event"])
    assert kinds == {"impression", "click", "cart", "purchase", "search"}
    assert log.events["user_id"].n_unique() == 400
    for column in ("user_id", "item_id", "session_id"):
        assert log.events[column].drop_nulls().str.starts_with("sim_").all()
    assert log.events["timestamp"].is_sorted()
    assert log.events["line"].to_list() == list(range(1, log.events.height + 1))
    assert "simulated" in log.about
    assert "'random'" in log.about
    assert "by hand" in log.about


def test_ids_that_begin_with_sim_get_no_second_one():
    found = simulate(ShopVectorEnv(1, load_world("sample")), RandomPolicy(10), shoppers=3, seed=0)
    assert set(found.events["item_id"].drop_nulls()) <= set(load_world("sample").item_ids)


def test_the_same_seed_gives_the_same_log_and_another_does_not(log):
    again = simulate(shop(), RandomPolicy(3), shoppers=400, seed=0)
    assert again.events.equals(log.events)
    assert again.users.equals(log.users)
    assert not simulate(shop(), RandomPolicy(3), shoppers=400, seed=1).events.equals(log.events)


def test_the_environment_that_is_given_is_not_stepped():
    env = shop()
    obs, info = env.reset(seed=3)
    simulate(env, RandomPolicy(3), shoppers=5, seed=0)
    np.testing.assert_array_equal(env.floor.see(np.arange(1)), obs)


def test_an_environment_of_one_and_settings_will_do():
    single = ShopEnv(tiny_world(), shopper=BUSY, slate_size=3)
    together = simulate(single, RandomPolicy(3), shoppers=20, seed=0)
    assert together.events.equals(simulate(shop(), RandomPolicy(3), shoppers=20, seed=0).events)
    settings = ShopConfig(slate_size=2, horizon=3, visits=1)
    found = simulate(settings, RandomPolicy(2), shoppers=4, seed=0).events
    assert found["position"].max() == 2
    assert found["page"].max() <= 3


def test_every_shopper_has_one_whole_episode(log):
    """None is cut short: each one's pages end with the horizon, or with her leaving."""
    config = replace(PLAIN, patience=2.5, no_click=60.0, returning=math.inf)
    found = simulate(shop(config, visits=2, horizon=50), RandomPolicy(3), shoppers=1_100, seed=0)
    pages = of(found, "impression").group_by("user_id").len()
    assert pages["len"].to_list() == [2 * 3 * 3] * 1_100
    cut = simulate(shop(config, visits=2, horizon=4), RandomPolicy(3), shoppers=30, seed=0)
    assert of(cut, "impression").group_by("user_id").len()["len"].to_list() == [4 * 3] * 30


def test_nothing_is_logged_of_a_shopper_who_has_left():
    config = replace(PLAIN, patience=4.0, patience_spread=1.0, no_click=60.0)
    found = simulate(shop(config, visits=1, horizon=500), RandomPolicy(3), shoppers=500, seed=0)
    pages = of(found, "impression").group_by("user_id").agg(pl.col("page").max())["page"]
    assert pages.median() == pytest.approx(4.5, abs=0.6)  # the median of ceil(patience) is 4 to 5
    assert pages.max() > 20


def test_each_page_shows_each_place_once(log):
    pages = (
        of(log, "impression")
        .group_by("session_id", "page")
        .agg(pl.col("position").sort(), "item_id")
    )
    assert pages["position"].to_list() == [[1, 2, 3]] * pages.height
    assert (pages["item_id"].list.n_unique() == 3).all()


def test_a_purchase_follows_a_cart_and_a_click_and_an_impression(log):
    key = ["session_id", "item_id", "page"]
    stages = [
        of(log, event).select(*key, "timestamp")
        for event in ("impression", "click", "cart", "purchase")
    ]
    for before, after in itertools.pairwise(stages):
        both = after.join(before, on=key, suffix="_before")
        assert both.height == after.height > 50
        assert (both["timestamp"] > both["timestamp_before"]).all()
    place = ["session_id", "page", "item_id", "position"]
    shown = of(log, "impression").select(place)
    assert of(log, "click").join(shown, on=place, how="semi").height == of(log, "click").height


def test_purchases_of_a_visit_are_one_basket_at_its_end(log):
    bought = (
        of(log, "purchase")
        .group_by("session_id")
        .agg(pl.col("timestamp").n_unique().alias("n"), pl.col("timestamp").max())
    )
    assert (bought["n"] == 1).all()
    rest = (
        log.events.filter(pl.col("event") != "purchase")
        .group_by("session_id")
        .agg(pl.col("timestamp").max().alias("last"))
    )
    both = bought.join(rest, on="session_id")
    assert (both["timestamp"] > both["last"]).all()


def test_visits_are_sessions_to_the_pipeline_too(log):
    """Half an hour of silence finds the same sessions as the log's own."""
    found = features.add_sessions(log.events.drop("session_id"))
    pairs = found.select("user_id", "timestamp", "session_id", "visit").unique()
    assert (
        pairs.group_by("user_id", "visit").agg(pl.col("session_id").n_unique())["session_id"] == 1
    ).all()
    assert pairs["session_id"].n_unique() == log.events["session_id"].n_unique()


def test_prices_are_those_of_the_items(log):
    both = of(log, "impression", "purchase").join(log.items, on="item_id", suffix="_of_item")
    assert (both["price"] == both["price_of_item"]).all()
    assert log.items.height == 12
    assert log.items["name"][0] == "thing 0"
    assert log.users.height == 400
    assert set(log.users["household"]) == {"u0", "u1", "u2", "u3"}


def test_propensities_of_the_random_policy_are_exact(log):
    """Of 12 items, less those in the cart, one after another."""
    first = of(log, "impression").filter((pl.col("visit") == 1) & (pl.col("page") == 1))
    for place, expected in ((1, 1 / 12), (2, 1 / 11), (3, 1 / 10)):
        assert first.filter(pl.col("position") == place)["propensity"].unique().to_list() == [
            expected
        ]
    assert of(log, "click", "cart", "purchase", "search")["propensity"].is_null().all()


def test_inverse_propensities_estimate_the_random_policy_from_another_log():
    """The first place's clicks of a popularity log, weighed, are those of a random log."""
    config = replace(BUSY, search=0.0, cart=-50.0, popularity=2.0)
    env = shop(config, visits=1, horizon=1, slate_size=1)
    skewed = ScorePolicy(
        "popularity",
        lambda obs, info: np.log(env.floor.world.popularity),
        Choice(1, temperature=1.0),
    )
    found = simulate(env, skewed, shoppers=6_000, seed=1)
    clicks = of(found, "click").select("session_id", clicked=1)
    shown = of(found, "impression").join(clicks, on="session_id", how="left").fill_null(0)
    terms = (shown["clicked"] / 12 / shown["propensity"]).to_numpy()
    plain = simulate(env, RandomPolicy(1), shoppers=6_000, seed=2)
    rate = of(plain, "click").height / 6_000
    error = math.sqrt(terms.var() / 6_000 + rate * (1 - rate) / 6_000)
    assert abs(terms.mean() - rate) < 4 * error
    assert abs(shown["clicked"].mean() - rate) > 2 * error  # unweighed it is another number


def test_queries_stand_where_a_visit_began_with_a_search(log):
    searches = of(log, "search")
    assert searches["item_id"].is_null().all()
    assert searches["query"].is_not_null().all()
    assert searches["session_id"].is_unique().all()
    share = searches.height / log.events["session_id"].n_unique()
    assert share == pytest.approx(0.5, abs=0.08)
    shown = of(log, "impression").join(
        searches.select("session_id", q="query"), on="session_id", how="left"
    )
    assert (shown["query"].is_null() == shown["q"].is_null()).all()
    assert (shown.drop_nulls("q")["query"] == shown.drop_nulls("q")["q"]).all()
    assert of(log, "click", "cart", "purchase")["query"].is_null().all()


def test_the_log_goes_through_the_project_s_own_pipeline():
    env = ShopVectorEnv(1, load_world("sample"), shopper=replace(BUSY, returning=3.0), visits=6)
    log = simulate(env, behaviour("popularity", env), shoppers=300, seed=0)
    cleaned = purchases(log)
    assert cleaned.events.height > 0.9 * of(log, "purchase").height > 500
    parts = split.by_share(cleaned.events)
    assert min(part.height for part in parts) > 20
    assert split.leaks(parts.train, parts.test).future == 0
    encoder = task.catalogue(parts.train, 2)
    found = sequences.baskets(parts.train, encoder, length=4, width=8)
    assert found.items.shape[1:] == (4, 8)
    assert (found.items > 0).sum() > 200
    from companion.recommenders.next_basket import NextBasketConfig

    users, batch = task.training_data(parts.train, encoder, NextBasketConfig())
    assert len(users) > 30
    assert batch.targets.any()
    table = features.user_features(parts.train, parts.train["timestamp"].max())
    assert table.height == parts.train["user_id"].n_unique()


def test_a_slate_of_the_wrong_size_is_refused():
    with pytest.raises(ValueError, match="shoppers must be 1 or more; got 0"):
        simulate(shop(), RandomPolicy(3), shoppers=0, seed=0)
    with pytest.raises(ValueError, match=r"slates of 3 places; the policy 'random' gives 2"):
        simulate(shop(), RandomPolicy(2), shoppers=2, seed=0)


# The clock


def test_the_clock_goes_on_within_a_visit_and_waits_between_visits():
    clock = Clock(500, np.random.default_rng(0))
    visit, day = np.zeros(500, np.int64), np.zeros(500)
    first, second = clock.page(visit, day), clock.page(visit, day)
    assert ((second - first >= 12) & (second - first <= 600)).all()
    hour = first % 86_400 / 3_600
    assert hour.min() > 8
    assert hour.max() < 22
    assert first.max() < 28 * 86_400
    day[:250], day[250:] = 3.0, 1e-6
    third = clock.page(visit + 1, day)
    np.testing.assert_allclose(third[:250], first[:250] + 3 * 86_400)
    assert (third[250:] - second[250:] >= SILENCE).all()


# Words


def test_words_of_shelf_labels():
    assert words("SFT DRNK 2 LITER BTL CARB INCL") == ["soft", "drink", "liter", "bottle", "fizzy"]
    assert words("FLUID MILK WHITE ONLY") == ["fluid", "milk", "white"]
    assert words("12 OZ") == ["12 oz"]


def test_queries_are_short_words_of_the_type_or_its_other_name():
    rng = np.random.default_rng(0)
    found = [query("FLUID MILK WHITE ONLY", rng) for _ in range(2_000)]
    right = {"fluid", "fluid milk", "milk"}
    assert right <= set(found)
    wrong = np.mean([text not in right for text in found])
    assert wrong == pytest.approx(0.08, abs=0.03)  # the slips
    assert all(text.strip() == text and text for text in found)


def test_slips_are_one_edit_away():
    rng = np.random.default_rng(0)
    found = {mistyped("bread", rng) for _ in range(500)}
    assert "bread" not in found or len(found) > 1
    assert all(abs(len(text) - 5) <= 1 and text[0] == "b" for text in found)
    assert mistyped("ab", rng) == "ab"


# The command


def test_the_command_writes_a_log_that_can_be_read_again(tmp_path, capsys):
    out = tmp_path / "new" / "log.parquet"
    line = ["data", "simulate", "--out", str(out), "--policy", "bestsellers", "--shoppers", "20"]
    assert cli.main([*line, "--source", "sample", "--places", "4", "--seed", "3"]) == 0
    said = capsys.readouterr().out
    assert "simulated" in said
    assert f"written: {out}" in said
    found = sources.load(out).events
    assert found["position"].max() == 4
    assert (found.filter(pl.col("event") == "impression")["propensity"] > 0).all()
    csv = tmp_path / "log.csv"
    assert (
        cli.main(["data", "simulate", "--out", str(csv), "--shoppers", "5", "--source", "sample"])
        == 0
    )
    assert validate(sources.load(csv).events).height > 50


def test_writing_that_fails_leaves_the_log_that_was_there(tmp_path, monkeypatch):
    out = tmp_path / "log.parquet"
    out.write_text("kept")

    def fail(table, path):
        Path(path).write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", fail)
    line = ["data", "simulate", "--out", str(out), "--shoppers", "3", "--source", "sample"]
    with contextlib.suppress(OSError):
        assert cli.main(line) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["log.parquet"]
    assert out.read_text() == "kept"


def test_an_ending_that_is_not_known(tmp_path, capsys):
    out = str(tmp_path / "log.txt")
    assert cli.main(["data", "simulate", "--out", out, "--source", "sample"]) == 1
    assert "the ending must be .parquet or .csv" in capsys.readouterr().err


@pytest.mark.parametrize("name", [*POLICIES])
def test_each_behaviour_policy_shows_every_item_sooner_or_later(name):
    env = shop()
    found = simulate(env, behaviour(name, env), shoppers=150, seed=0).events
    assert found["item_id"].drop_nulls().n_unique() == 12
    with pytest.raises(ValueError, match="policy must be one of random, popularity, bestsellers"):
        behaviour("best", env)
