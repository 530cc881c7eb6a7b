"""The log as codes, and the interface that all recommenders share."""

from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
from conftest import make_events
from scipy import sparse

from companion.core.seeding import generator
from companion.data.transformers import FIRST_KNOWN
from companion.recommenders import evaluation, simple, task
from companion.recommenders.als import AlsConfig, fit_als
from companion.recommenders.counting import fit_own_frequency, fit_popularity
from companion.recommenders.interactions import interactions, interactions_of, once
from companion.recommenders.item_knn import fit_item_knn
from companion.recommenders.next_basket import NextBasketConfig
from companion.recommenders.sar import SarConfig, fit_sar
from companion.recommenders.scoring import hide, in_blocks, top_items
from companion.recommenders.sparse_rows import largest_per_row, row_of_each
from companion.recommenders.vsknn import fit_vsknn

COLUMNS = ("user_id", "item_id", "timestamp", "session_id")
needs_implicit = pytest.mark.skipif(find_spec("implicit") is None, reason="implicit is missing")
FITS = {
    "popularity": fit_popularity,
    "own frequency": fit_own_frequency,
    "SAR": fit_sar,
    "SAR, rescaled": lambda log: fit_sar(log, SarConfig(rescale=True)),
    "item-kNN": fit_item_knn,
    "VSKNN": fit_vsknn,
    "ALS": lambda log: fit_als(log, AlsConfig(factors=4), seed=0),
}
every_fit = pytest.mark.parametrize(
    "fit",
    [pytest.param(f, id=n, marks=[needs_implicit] if n == "ALS" else []) for n, f in FITS.items()],
)


def random_log(users=40, items=25, rows=300, seed=0):
    rng = generator(seed, "log")
    return interactions(
        rng.integers(0, users - 1, rows),  # the last user has no log
        rng.integers(0, items - 1, rows),  # nobody had the last item
        (users, items),
        seconds=rng.integers(0, 10**7, rows),
        weight=rng.integers(1, 6, rows),
    )


def test_rows_of_a_user_and_item_are_added_up_and_seen_once():
    log = interactions([1, 1, 0], [2, 2, 0], (3, 4), weight=[2.0, 3.0, 1.0])
    assert log.matrix().toarray().tolist() == [[1, 0, 0, 0], [0, 0, 5, 0], [0, 0, 0, 0]]
    assert log.matrix(np.array([1.0, 0.5, 4.0])).toarray()[1, 2] == 1.5
    assert log.seen().toarray().tolist() == [[1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    assert once((np.array([0, 0]), np.array([1, 1])), (1, 2)).toarray().tolist() == [[0, 1]]


def test_what_is_not_given_is_zero_one_and_the_user():
    log = interactions([1, 0], [0, 1], (2, 2))
    assert (log.seconds.tolist(), log.weight.tolist()) == ([0, 0], [1, 1])
    assert log.sessions.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"users": [0, 3]}, "row 1: the user must be from 0 to 2; got 3"),
        ({"users": [0, -1]}, "row 1: the user must be from 0 to 2; got -1"),
        ({"items": [4, 0]}, "row 0: the item must be from 0 to 3; got 4"),
        ({"items": [0.5, 0.0]}, "item codes must be whole numbers in one row; got float64"),
        ({"users": [[0, 1]]}, "user codes must be whole numbers in one row"),
        ({"sessions": [0, -2]}, "row 1: the session must be 0 or more; got -2"),
        ({"weight": [1, 0]}, "row 1: the weight must be above 0; got 0"),
        ({"weight": [np.nan, 1]}, "row 0: the weight must be a finite number; got nan"),
        ({"seconds": [1, np.inf]}, "row 1: the time must be a finite number; got inf"),
        ({"seconds": [1]}, "one length; got .*'seconds': 1"),
        ({"users": [], "items": []}, "the log has no row"),
    ],
)
def test_a_log_that_cannot_be_meant_is_refused(change, sentence):
    good = {"users": [0, 1], "items": [1, 2], "shape": (3, 4)}
    interactions(**good)
    with pytest.raises(ValueError, match=sentence):
        interactions(**{**good, **change})


def basket_log():
    return make_events(
        [
            ("v", "b", 1, "1"),
            ("u", "a", 2, "1"),
            ("u", "b", 2, "1"),
            ("u", "a", 3, "2"),
            ("v", "rare", 4, "3"),
        ],
        COLUMNS,
        event="purchase",
    )


def known_items():
    return task.catalogue(basket_log().filter(pl.col("item_id") != "rare"), 1)


def test_the_users_asked_about_come_first_and_unknown_items_are_left_out():
    encoder = known_items()
    a, b = encoder.transform(["a", "b"])
    log = interactions_of(basket_log(), encoder, ["new", "u"])
    assert log.shape == (3, encoder.size_)  # new, u, v
    assert list(zip(log.users, log.items, strict=True)) == [(2, b), (1, a), (1, b), (1, a)]
    assert np.diff(log.seconds).tolist() == [1, 0, 1]
    # the session "1" of v is another than that of u
    assert log.sessions[1] == log.sessions[2]
    assert len(set(log.sessions[[0, 1, 3]])) == 3
    assert log.weight.tolist() == [1] * 4


def test_kinds_of_events_can_be_worth_more_or_less():
    events = basket_log().with_columns(event=pl.Series(["view", *["purchase"] * 4]))
    log = interactions_of(events, known_items(), ["u"], worth={"view": 0.5, "purchase": 3})
    assert log.weight.tolist() == [0.5, 3, 3, 3]
    with pytest.raises(ValueError, match="worth has no 'view'"):
        interactions_of(events, known_items(), ["u"], worth={"purchase": 3})


def test_pandas_gives_the_same_log_and_faults_are_named():
    ours = interactions_of(basket_log(), known_items(), ["u"])
    theirs = interactions_of(basket_log().to_pandas(), known_items(), ["u"])
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="user 'u' is asked about twice"):
        interactions_of(basket_log(), known_items(), ["u", "v", "u"])
    gap = basket_log().with_columns(session_id=pl.Series(["1", None, "1", "2", "3"]))
    with pytest.raises(ValueError, match="no session_id; call add_sessions first"):
        interactions_of(gap, known_items(), ["u"])
    whole = interactions_of(basket_log().drop("session_id"), known_items(), ["u"])
    assert whole.sessions.tolist() == whole.users.tolist()


@every_fit
def test_every_recommender_scores_all_items_for_any_users(fit):
    log = random_log()
    model = fit(log)
    assert model.shape == log.shape
    whole = model.scores(np.arange(40))
    assert (whole.shape, whole.dtype) == ((40, 25), np.float64)
    assert np.isfinite(whole).all()
    some = model.scores([7, 3, 7])
    np.testing.assert_allclose(some, whole[[7, 3, 7]], rtol=1e-6, atol=1e-9)
    assert model.scores([]).shape == (0, 25)


@every_fit
def test_what_was_seen_is_left_out_on_request_alone(fit):
    log = random_log()
    model, seen = fit(log), log.seen().toarray() > 0
    free, whole = model.scores(np.arange(40), remove_seen=True), model.scores(np.arange(40))
    np.testing.assert_array_equal(np.isneginf(free), seen)
    np.testing.assert_array_equal(free[~seen], whole[~seen])
    assert np.isfinite(model.scores(np.arange(40))).all()  # nothing stays hidden


@every_fit
@pytest.mark.parametrize(
    ("users", "sentence"),
    [
        ([0, 40], "user 40 is not in the log of 40 users"),
        ([-1], "user -1 is not in the log"),
        ([0.0], "users must be whole numbers in one row; got float64"),
        ([[0]], r"users must be whole numbers in one row; got int64 \(1, 1\)"),
    ],
)
def test_a_user_outside_the_log_is_refused(fit, users, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit(random_log()).scores(users)


@every_fit
def test_every_recommender_finds_the_other_half_of_the_items(fit):
    """Two camps of users have items of their own: a list of the camp's items is right."""
    rng = generator(3, "camps")
    rows = [(u, i + 10 * (u % 2)) for u in range(60) for i in rng.permutation(10)[:6]]
    users, items = np.array(rows).T
    model = fit(interactions(users, items, (60, 20), seconds=rng.integers(0, 10**6, 360)))
    top = top_items(model, np.arange(60), 4, remove_seen=True)
    right = (top // 10 == (np.arange(60) % 2)[:, None]).mean()
    if fit in (fit_popularity, fit_own_frequency):
        assert right < 0.9  # they know nothing of what goes together
    else:
        assert right == 1


def test_popularity_and_own_frequency_are_those_of_simple():
    log = random_log()
    popular = simple.popularity(log.items, 25)
    np.testing.assert_array_equal(fit_popularity(log).scores([3, 4]), [popular, popular])
    own = simple.own_frequency(log.matrix(), popular)
    np.testing.assert_array_equal(fit_own_frequency(log).scores(np.arange(40)), own)
    assert popular.sum() == len(log.users)  # rows, not weights


def test_lists_do_not_depend_on_how_many_users_are_scored_at_a_time():
    model, users = fit_sar(random_log()), np.arange(40)[::-1]
    whole = top_items(model, users, 5, remove_seen=True)
    np.testing.assert_array_equal(top_items(model, users, 5, remove_seen=True, block=7), whole)
    scores = model.scores(users, remove_seen=True)
    best = np.sort(scores, axis=1)[:, ::-1][:, :5]
    np.testing.assert_array_equal(np.take_along_axis(scores, whole, axis=1), best)
    assert top_items(model, [], 5).shape == (0, 5)
    with pytest.raises(ValueError, match="block must be 1 or more; got 0"):
        in_blocks(users, 0)


def test_items_that_are_no_candidates_are_never_shown():
    log = interactions([0, 1, 1], [2, 2, 3], (2, 4))
    model = fit_popularity(log)
    top = top_items(model, [0, 1], 3, never=(0, 2))
    assert top[:, 0].tolist() == [3, 3]
    assert set(top.ravel()) == {3, 1, -1}
    assert model.scores([0])[0, 2] == 2


def test_hidden_places_are_those_of_the_users_asked_about():
    seen = sparse.csr_array(np.array([[0, 1.0], [1.0, 0]]))
    assert hide(np.zeros((3, 2)), seen, np.array([1, 0, 1])).tolist() == [
        [-np.inf, 0],
        [0, -np.inf],
        [-np.inf, 0],
    ]


@pytest.mark.parametrize("k", [1, 2, 3, 30])
def test_the_largest_of_each_row_against_a_full_sort(k):
    rng = generator(k, "rows")
    dense = rng.integers(-4, 5, (30, 20)) * (rng.random((30, 20)) < 0.6)  # many equal values
    found = largest_per_row(sparse.csr_array(dense.astype(float)), k)
    wanted = np.zeros_like(dense)
    for row, values in enumerate(dense):
        stored = [i for i in np.argsort(-values, kind="stable") if values[i] != 0]
        wanted[row, stored[:k]] = values[stored[:k]]
    np.testing.assert_array_equal(found.toarray(), wanted)
    assert (np.diff(found.indptr) <= k).all()


def test_rows_out_of_order_are_ranked_all_the_same():
    wild = sparse.csr_array((np.array([5.0, 5.0, 1.0]), [2, 0, 1], [0, 0, 3]), shape=(2, 3))
    assert largest_per_row(wild, 1).toarray().tolist() == [[0, 0, 0], [5, 0, 0]]
    assert wild.indices.tolist() == [2, 0, 1]  # the caller's matrix stays as it is
    assert row_of_each(wild).tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="k must be 1 or more; got 0"):
        largest_per_row(wild, 0)


def at(seconds):
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


@every_fit
def test_every_recommender_answers_the_next_basket_question(fit):
    """Shoppers of two kinds; the next basket is of the same kind as those before."""
    rng, rows = generator(1, "shop"), []
    for user in range(40):
        for basket in range(5):
            for item in rng.choice(8, 3, replace=False) + 8 * (user % 2):
                name = f"s{user}-{basket}"
                rows.append((f"u{user}", f"i{item}", 100 * basket + user, name))
    events = make_events(rows, COLUMNS, event="purchase")
    past = events.filter(pl.col("timestamp") < at(400))
    encoder = task.catalogue(past, 1)
    asked = task.question(events, encoder, at(400), NextBasketConfig())
    log = interactions_of(past, encoder, asked.users)
    np.testing.assert_array_equal(log.matrix().toarray(), asked.counts.toarray())
    scores = fit(log).scores(np.arange(len(asked.users)))
    found = evaluation.evaluate(scores, asked, 8)["recall"].mean()
    chance = evaluation.evaluate(np.zeros((40, encoder.size_)), asked, 8)["recall"].mean()
    assert encoder.size_ == 16 + FIRST_KNOWN
    if fit is fit_popularity:
        assert found == pytest.approx(0.5, abs=0.15)
    else:
        floor = 0.8 if fit is fit_own_frequency else 0.95  # it knows but the user's own items
        assert found > floor > 0.7 > chance


def test_a_hundred_thousand_users_and_items_of_many_kinds():
    """A dense table of users and items would take 16 GB, and one of items 3 GB."""
    rng, users, items = generator(0, "large"), 100_000, 20_000
    who = np.repeat(np.arange(users), 5)
    what = (who // 50 * 10 + rng.integers(0, 10, len(who))) % items  # neighbours share ten items
    log = interactions(who, what, (users, items), seconds=rng.integers(0, 10**7, len(who)))
    for model in (fit_sar(log), fit_item_knn(log)):
        asked = np.arange(0, users, 1_000)
        top = top_items(model, asked, 3, block=50)
        np.testing.assert_array_equal(top // 10, np.tile((asked // 50 % 2_000)[:, None], 3))
