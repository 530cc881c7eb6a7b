"""The committed sample is what its generator writes, and it has what the course needs of it."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from companion.core.paths import sample_folder
from companion.data.sample import generate, write
from companion.data.schema import validate
from companion.data.sources import load


@pytest.fixture(scope="module")
def fresh(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write(folder)
    return folder


@pytest.fixture(scope="module")
def sample():
    return load("sample")


def bought(events: pl.DataFrame) -> pl.DataFrame:
    return events.filter(pl.col("event") == "purchase")


@pytest.mark.parametrize("name", ["events.csv.gz", "items.csv", "users.csv"])
def test_committed_files_are_what_the_generator_writes(fresh, name):
    new, old = (pl.read_csv(place / name) for place in (fresh, sample_folder()))
    assert_frame_equal(new, old, abs_tol=1e-9)


def test_another_seed_gives_another_log(sample):
    other = generate(1).events
    shared = other.join(sample.events, on=["user_id", "item_id", "timestamp"], how="semi")
    assert 90_000 < other.height < 130_000
    assert shared.height < 0.01 * other.height


def test_small_enough_for_the_repository():
    assert sum(path.stat().st_size for path in sample_folder().iterdir()) < 1.5e6


def test_in_the_schema_and_nothing_rejected(sample):
    validate(sample.events)
    assert sample.rejected.height == 0
    assert "simulated" in sample.about
    assert sample.name == "sample"
    assert sample.events["user_id"].str.starts_with("sim_").all()
    assert sample.events["item_id"].drop_nulls().str.starts_with("sim_").all()
    assert sample.events["session_id"].str.starts_with("sim_").all()
    assert sample.events["timestamp"].is_sorted()


def test_tables_fit_together(sample):
    assert sample.items.height == 600
    assert sample.users.height == 300
    assert sample.items["item_id"].is_unique().all()
    assert set(sample.events["item_id"].drop_nulls()) <= set(sample.items["item_id"])
    assert set(sample.events["user_id"]) <= set(sample.users["user_id"])
    assert (
        sample.items.group_by("category")
        .agg(pl.col("department").n_unique())["department"]
        .to_list()
        == [1] * 40
    )


def test_every_kind_of_event(sample):
    counts = dict(sample.events["event"].value_counts().iter_rows())
    assert set(counts) == {"search", "view", "click", "cart", "purchase"}
    assert counts["view"] > counts["click"] > counts["cart"] > counts["purchase"] > 10_000
    assert 0.15 < counts["purchase"] / counts["view"] < 0.25
    searches = sample.events.filter(pl.col("event") == "search")
    assert searches["query"].null_count() == 0
    assert searches["item_id"].null_count() == searches.height
    assert sample.events.filter(pl.col("event") != "search")["price"].min() > 0


@pytest.mark.parametrize(
    ("later", "earlier"), [("purchase", "cart"), ("cart", "click"), ("click", "view")]
)
def test_each_step_follows_the_one_before_it(sample, later, earlier):
    key = ["session_id", "item_id"]
    first = (
        sample.events.filter(pl.col("event") == earlier)
        .group_by(key)
        .agg(before=pl.col("line").min())
    )
    steps = sample.events.filter(pl.col("event") == later).join(first, on=key, how="left")
    assert (steps["before"] < steps["line"]).fill_null(False).all()


def test_sessions_are_short_and_of_one_shopper(sample):
    sessions = sample.events.group_by("session_id").agg(
        users=pl.col("user_id").n_unique(),
        length=pl.col("timestamp").max() - pl.col("timestamp").min(),
        silence=pl.col("timestamp").diff().max(),
    )
    assert sessions["users"].max() == 1
    assert sessions["length"].max().total_seconds() < 3600
    assert sessions["silence"].max().total_seconds() < 1800


def test_half_a_year_in_the_rhythm_of_the_week(sample):
    days = bought(sample.events)["timestamp"].dt.weekday().value_counts().sort("timestamp")
    share = dict(days.iter_rows())
    assert share[6] > 1.5 * share[1]
    span = sample.events["timestamp"].max() - sample.events["timestamp"].min()
    assert span.days == 26 * 7 - 1


def test_popularity_is_skewed(sample):
    counts = bought(sample.events).group_by("item_id").len()["len"].to_numpy()
    counts = np.sort(np.concatenate([counts, np.zeros(600 - len(counts))]))
    rank = np.arange(1, 601)
    gini = (2 * rank - 601) @ counts / (600 * counts.sum())
    assert 0.6 < gini < 0.8


def test_favourites_are_bought_again(sample):
    lines = bought(sample.events)
    again = lines.select(~pl.struct("user_id", "item_id").is_first_distinct()).to_series().mean()
    assert 0.35 < again < 0.6


def test_promotions_lower_the_price(sample):
    both = bought(sample.events).join(sample.items, on="item_id", suffix="_regular")
    cut = both["price"] / both["price_regular"]
    assert set(cut.round(1)) == {0.8, 1.0}
    assert 0.08 < (cut < 0.9).mean() < 0.4


def test_own_frequency_beats_popularity_for_the_next_basket(sample):
    lines = bought(sample.events)
    last = lines.group_by("user_id").agg(last=pl.col("session_id").last())
    lines = lines.join(last, on="user_id").with_columns(test=pl.col("session_id") == pl.col("last"))
    past, future = lines.filter(~pl.col("test")), lines.filter(pl.col("test"))

    def top(table: pl.DataFrame) -> set[str]:
        counts = (
            table["item_id"].value_counts().sort(["count", "item_id"], descending=[True, False])
        )
        return set(counts["item_id"].head(10))

    popular = top(past)
    own_recall, popular_recall = [], []
    for (user,), basket in future.group_by("user_id"):
        own = past.filter(pl.col("user_id") == user)
        if own.height == 0:
            continue
        target = set(basket["item_id"])
        own_recall.append(len(target & top(own)) / len(target))
        popular_recall.append(len(target & popular) / len(target))
    assert len(own_recall) > 250
    assert np.mean(own_recall) > np.mean(popular_recall) + 0.1 > 0.15
    assert np.mean(own_recall) < 0.6  # there is something left to predict
