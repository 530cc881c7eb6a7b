from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from conftest import make_events
from scipy import sparse

from companion.core.frames import compact
from companion.recommenders import item_vectors, simple, task
from companion.recommenders.next_basket import NextBasketConfig

COLUMNS = ("user_id", "item_id", "timestamp", "session_id")
CONFIG = NextBasketConfig(max_baskets=3, max_items=2)


def at(seconds):
    return datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)


def log():
    return make_events(
        [
            ("u", "a", 1, "s1"),
            ("u", "b", 1, "s1"),
            ("u", "a", 2, "s2"),
            ("v", "b", 3, "s3"),
            ("u", "a", 10, "s4"),
            ("u", "c", 10, "s4"),
            ("u", "b", 11, "s5"),
            ("v", "z", 12, "s6"),
            ("w", "a", 13, "s7"),
        ],
        COLUMNS,
        event="purchase",
    )


def encoder():
    return task.catalogue(log().filter(pl.col("timestamp") < at(10)), 1)


def test_the_catalogue_is_what_training_has_often_enough():
    train = log().filter(pl.col("timestamp") < at(10))
    assert task.catalogue(train, 2).ids_.tolist() == ["a", "b"]
    with pytest.raises(ValueError, match="3 times"):
        task.catalogue(train, 3)


@pytest.mark.parametrize("prepare", [lambda e: e, compact, lambda e: e.reverse()])
def test_the_first_basket_is_asked_from_what_lies_before(prepare):
    found = task.question(prepare(log()), encoder(), at(10), CONFIG)
    a, b = encoder().transform(["a", "b"])
    assert found.users.tolist() == ["u", "v", "w"]
    assert found.relevant.tolist() == [[a], [-1], [a]]  # c and z are not in the catalogue
    assert found.repeated.tolist() == [[True], [False], [False]]
    assert (found.outside, found.asked) == (2, 4)
    assert found.counts.toarray()[0, [a, b]].tolist() == [2.0, 1.0]  # baskets, not lines
    assert [set(x) - {0} for x in found.history[0]] == [{a, b}, {a}, set()]
    assert not found.history[2].any()  # w is new


def test_nobody_to_ask_is_an_error():
    with pytest.raises(ValueError, match="nobody bought"):
        task.question(log(), encoder(), at(99), CONFIG)


def test_each_basket_is_followed_by_its_target():
    users, data = task.training_data(log(), task.catalogue(log(), 1), CONFIG)
    known = task.catalogue(log(), 1)
    a, b, c, z = known.transform(["a", "b", "c", "z"])
    assert users.tolist() == ["u", "v"]
    assert [set(x) - {0} for x in data.baskets[0]] == [{a, b}, {a}, {a, c}]
    assert [set(x) - {0} for x in data.targets[0]] == [{a}, {a, c}, {b}]
    assert [set(x) - {0} for x in data.targets[1]] == [{z}, set(), set()]
    assert not data.baskets[1, 1:].any()  # the last basket has no target, so it is no input
    with pytest.raises(ValueError, match="two baskets"):
        task.training_data(log()[:2], known, CONFIG)


def test_features_reach_their_users_and_new_users_get_the_middle():
    table = task.profiles(log(), at(10))
    assert table.features.shape == (2, len(table.names))
    assert np.isfinite(table.features).all()
    batch = task.ask(task.question(log(), encoder(), at(10), CONFIG))
    found = task.with_features(batch, np.array(["w", "v"]), table)
    assert not found.features[0].any()
    row = table.ids.tolist().index("v")
    np.testing.assert_allclose(found.features[1], table.features[row], rtol=1e-6)


def test_profiles_know_nothing_after_their_moment():
    before = task.profiles(log().filter(pl.col("timestamp") < at(10)), at(10))
    np.testing.assert_array_equal(task.profiles(log(), at(10)).features, before.features)


def test_padding_and_unknown_are_never_recommended():
    asked = task.question(log(), encoder(), at(10), CONFIG)
    scores = np.zeros((3, encoder().size_))
    scores[:, :2] = 99.0
    found = task.evaluate(scores, asked, encoder().size_ - 2)
    assert found["recall"][[0, 2]].tolist() == [1.0, 1.0]
    assert np.isnan(found["recall"][1])
    assert scores[0, 0] == 99.0  # the caller's scores stay as they are


def test_repeated_and_new_items_apart():
    asked = task.question(log(), encoder(), at(10), CONFIG)
    assert task.only(asked, repeated=True).relevant.max(axis=1).tolist()[1:] == [-1, -1]
    assert task.only(asked, repeated=False).relevant[0].tolist() == [-1]
    popular = np.ones((3, encoder().size_))
    table = task.recall_by_part({"one": popular, "two": popular}, asked, 2)
    assert table.loc["one", "bought before"] == 1.0
    assert "Of what is new to a user, one finds most: 100.0%" in task.reading(table)


def test_own_frequency_by_hand():
    counts = simple.own_counts(np.array([0, 0, 0]), np.array([0, 0, 2]), (2, 3))
    scores = simple.own_frequency(counts, np.array([5.0, 3.0, 8.0]))
    np.testing.assert_allclose(
        scores, [[2 + 5 / 9, 3 / 9, 1 + 8 / 9], [5 / 9, 3 / 9, 8 / 9]], rtol=1e-6
    )


def test_popularity_never_overrules_a_habit():
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.integers(0, 3, (20, 30)).astype(np.float32))
    scores = simple.own_frequency(counts, rng.integers(0, 10**6, 30).astype(np.float32))
    dense = counts.toarray()
    for row, habit in zip(scores, dense, strict=True):
        order = np.argsort(-row)
        assert (np.diff(habit[order]) <= 0).all()


def test_popularity_counts_and_refuses_what_is_outside():
    assert simple.popularity(np.array([1, 1, 2]), 4).tolist() == [0, 2, 1, 0]
    for index in (-1, 4):
        with pytest.raises(ValueError, match=r"\[0, 3\]"):
            simple.popularity(np.array([index]), 4)


def test_the_weight_of_habits():
    counts = sparse.csr_array(np.array([[0.0, 3.0]], np.float32))
    np.testing.assert_allclose(
        simple.blend(np.array([[1.0, 0.0]]), counts, 2.0), [[1.0, 2 * np.log(4)]]
    )
    asked = task.question(log(), encoder(), at(10), CONFIG)
    wrong = np.zeros((3, encoder().size_), np.float32)
    wrong[:, encoder().transform(["b"])] = 1.0
    weight, recalls = task.best_weight(wrong, asked, (0.0, 5.0, 9.0), 1)
    assert weight == 5.0  # the habit of u decides; the first of equals wins
    assert recalls[5.0] > recalls[0.0]


def test_words_of_items_follow_the_catalogue():
    items = pl.DataFrame(
        {"item_id": ["b", "a"], "name": ["bread", None], "kind": ["x", "y"], "shop_id": ["1", "2"]}
    )
    texts = task.item_texts(items, encoder())
    assert texts[:2] == ["", ""]
    assert dict(zip(encoder().ids_, texts[2:], strict=True)) == {"a": "y", "b": "bread x"}
    assert task.item_texts(None, encoder()) is None
    assert task.item_texts(items.select("item_id"), encoder()) is None


def test_words_bring_like_products_together():
    texts = ["red apple", "green apple", "motor oil", ""]
    vectors = item_vectors.text_vectors(texts, 2)
    assert vectors.shape == (4, 2)
    assert vectors[0] @ vectors[1] > 0.9 > vectors[0] @ vectors[2]
    assert not vectors[3].any()
    with pytest.raises(ValueError, match="no words"):
        item_vectors.text_vectors(["", ""], 2)


def test_baskets_bring_companions_together():
    rows = [[2, 3]] * 20 + [[4, 5]] * 20 + [[2, 5]]
    table = task.basket_table(np.array(rows), 7)
    assert table.toarray()[0].tolist() == [0, 0, 1, 1, 0, 0, 0]
    vectors = item_vectors.copurchase_vectors(table, 4)
    # items 2 and 3 are not alike by what stands beside them, but 2's neighbours are 3's
    assert vectors.shape == (7, 4)
    assert not vectors[6].any()
    both = item_vectors.starting_vectors(table, ["x"] * 7, 4)
    assert np.linalg.norm(both, axis=1).max() <= 1 + 1e-6
    assert item_vectors.starting_vectors(table, None, 4).shape == (7, 4)


def test_a_padded_basket_table():
    assert task.basket_table(
        np.array([[[2, 0], [0, 0]], [[3, 2], [1, 3]]]), 4
    ).toarray().tolist() == [
        [0, 0, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 1],
    ]
