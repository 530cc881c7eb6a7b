from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from conftest import OTHER_TIMES, make_events, other_moments
from scipy import sparse

from companion.core.frames import compact
from companion.data import item_vectors
from companion.recommenders import evaluation, simple, task
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
    found = evaluation.evaluate(scores, asked, encoder().size_ - 2)
    assert found["recall"][[0, 2]].tolist() == [1.0, 1.0]
    assert np.isnan(found["recall"][1])
    assert scores[0, 0] == 99.0  # the caller's scores stay as they are


def test_repeated_and_new_items_apart():
    asked = task.question(log(), encoder(), at(10), CONFIG)
    assert evaluation.only(asked, repeated=True).relevant.max(axis=1).tolist()[1:] == [-1, -1]
    assert evaluation.only(asked, repeated=False).relevant[0].tolist() == [-1]
    popular = np.ones((3, encoder().size_))
    table = evaluation.recall_by_part({"one": popular, "two": popular}, asked, 2)
    assert table.loc["one", "bought before"] == 1.0
    assert "New to a user: one has the highest figure, 100.0%" in evaluation.reading(table)


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
    weight, recalls = evaluation.best_weight(wrong, asked, (0.0, 5.0, 9.0), 1)
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
    rows = [[2, 3, 4]] * 20 + [[5, 6, 7]] * 20 + [[2, 5, 0], [8, 0, 0]]
    table = task.basket_table(np.array(rows), 9)
    assert table.toarray()[0].tolist() == [0, 0, 1, 1, 1, 0, 0, 0, 0]
    vectors = item_vectors.copurchase_vectors(table, 2)
    alike = vectors @ vectors.T
    for one, other in ((2, 3), (3, 4), (5, 6), (6, 7)):
        assert alike[one, other] > 0.9
    assert np.abs(alike[np.ix_([2, 3, 4], [5, 6, 7])]).max() < 0.2
    np.testing.assert_allclose(np.linalg.norm(vectors[2:8], axis=1), 1, rtol=1e-5)
    assert not vectors[[0, 1, 8]].any()  # never beside another item


def test_a_padded_basket_table():
    assert task.basket_table(
        np.array([[[2, 0], [0, 0]], [[3, 2], [1, 3]]]), 4
    ).toarray().tolist() == [
        [0, 0, 1, 0],
        [0, 0, 0, 0],
        [0, 0, 1, 1],
        [0, 0, 0, 1],
    ]


@pytest.fixture
def tables(monkeypatch):
    """The tables that would be reduced to vectors, as they are."""
    seen = []

    def keep(table, size, seed):
        seen.append(table.toarray())
        return np.zeros((table.shape[0], size), np.float32)

    monkeypatch.setattr(item_vectors, "_reduced", keep)
    return seen


def test_mutual_information_by_hand(tables):
    rows = [[2, 3]] * 6 + [[3, 4]] * 1 + [[2, 4]] * 4 + [[2, 0]] * 9 + [[4, 0]] * 5
    item_vectors.copurchase_vectors(task.basket_table(np.array(rows), 5), 2)
    # of 22 pairs, counted from both ends, 10 hold the item 2, 7 the item 3 and 5 the item 4
    high, middle, low = 6 * 22 / (10 * 7), 4 * 22 / (10 * 5), 1 * 22 / (7 * 5)
    assert high > 1 > low
    expected = np.zeros((5, 5))
    expected[2, 3] = expected[3, 2] = np.log(high)
    expected[2, 4] = expected[4, 2] = np.log(middle)
    np.testing.assert_allclose(tables[0], expected)


def many_baskets():
    return sparse.csr_array((np.random.default_rng(0).random((300, 120)) < 0.03).astype(np.float32))


WORDS = [f"w{n % 37} w{n % 41} w{n % 43} w{n % 47}" for n in range(120)]


@pytest.mark.parametrize(
    "vectors",
    [
        lambda seed: item_vectors.copurchase_vectors(many_baskets(), 8, seed=seed),
        lambda seed: item_vectors.text_vectors(WORDS, 8, seed=seed),
        lambda seed: item_vectors.starting_vectors(many_baskets(), WORDS, 16, seed=seed)[:, :8],
        lambda seed: item_vectors.starting_vectors(many_baskets(), WORDS, 16, seed=seed)[:, 8:],
        lambda seed: item_vectors.starting_vectors(many_baskets(), None, 8, seed=seed),
    ],
)
def test_vectors_depend_on_the_seed_and_on_nothing_else(vectors):
    np.testing.assert_array_equal(vectors(3), vectors(3))
    assert (vectors(3) != vectors(4)).any()


@pytest.mark.parametrize("size", [2, 7, 8])
def test_starting_vectors_have_length_one_where_both_halves_are_known(size):
    baskets = many_baskets()
    found = item_vectors.starting_vectors(baskets, [*WORDS[:-1], ""], size)
    assert found.shape == (120, size)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found[:-1], axis=1), 1, rtol=1e-5)
    assert np.linalg.norm(found[-1]) == pytest.approx(np.sqrt(0.5), rel=1e-5)
    half = size // 2
    np.testing.assert_allclose(
        found[:, :half] * np.sqrt(2), item_vectors.copurchase_vectors(baskets, half), rtol=1e-5
    )
    without = item_vectors.starting_vectors(baskets, None, size)
    np.testing.assert_array_equal(without, item_vectors.copurchase_vectors(baskets, size))


@pytest.mark.parametrize("words", [[None, None], ["", ""], [None, ""]])
def test_a_table_of_items_without_any_word_is_none(words):
    items = pl.DataFrame({"item_id": ["b", "a"], "name": pl.Series(words, dtype=pl.String)})
    assert task.item_texts(items, encoder()) is None
    start = item_vectors.starting_vectors(many_baskets(), task.item_texts(items, encoder()), 5)
    assert start.shape == (120, 5)


@pytest.mark.parametrize("top", [10, 999, 2**24, 2**25, 2**30])
def test_the_most_popular_item_does_not_reach_one_purchase(top):
    counts = sparse.csr_array(np.array([[1.0, 0.0, 0.0], [1.0, 0.0, 2.0]], np.float32))
    popular = np.array([0, top, 0], np.float32)
    scores = simple.own_frequency(counts, popular)
    assert scores[:, 0].min() > scores[:, 1].max()
    assert scores[0, 1] > scores[0, 2]


def asked_from(*rows):
    events = make_events(rows, COLUMNS, event="purchase")
    known = task.catalogue(events, 1)
    return task.question(events, known, at(10), CONFIG), known


def answers(asked, known):
    found = {}
    for user, row in zip(asked.users, asked.relevant, strict=True):
        found[user] = set(known.inverse_transform(row[row >= 0]))
    return found


def test_the_first_basket_is_first_in_time_whatever_it_is_called():
    asked, known = asked_from(
        ("u", "a", 1, "s5"),
        ("u", "b", 12, "s9"),
        ("u", "c", 13, "s1"),
        ("v", "c", 11, "s2"),
        ("v", "b", 10, "s3"),
        ("w", "a", 14, "s7"),
        ("w", "b", 15, "s8"),
    )
    assert answers(asked, known) == {"u": {"b"}, "v": {"b"}, "w": {"a"}}


def test_a_basket_that_was_begun_before_the_moment_is_no_answer():
    asked, known = asked_from(
        ("u", "a", 9, "s1"),
        ("u", "b", 11, "s1"),
        ("u", "c", 12, "s2"),
        ("v", "a", 9, "s3"),
        ("v", "c", 10, "s3"),
        ("w", "c", 10, "s4"),
    )
    assert answers(asked, known) == {"u": {"c"}, "w": {"c"}}
    a, b = known.transform(["a", "b"])
    assert asked.counts.toarray()[0, [a, b]].tolist() == [1.0, 0.0]  # b came after the moment


def test_only_rests_of_baskets_leave_nobody_to_ask():
    with pytest.raises(ValueError, match="nobody bought"):
        asked_from(("u", "a", 9, "s1"), ("u", "b", 11, "s1"))


@pytest.mark.parametrize("second", [1, 10, 20])
def test_a_purchase_without_a_session_is_refused(second):
    with pytest.raises(ValueError, match="no session_id; call add_sessions first"):
        asked_from(("u", "a", 2, "s1"), ("u", "b", second, None), ("u", "b", 15, "s2"))


@pytest.mark.parametrize("moment", other_moments(at(10)))
def test_a_question_is_the_same_in_every_zone(moment):
    found, expected = (task.question(log(), encoder(), m, CONFIG) for m in (moment, at(10)))
    assert found.users.tolist() == expected.users.tolist()
    assert found.relevant.tolist() == expected.relevant.tolist()
    np.testing.assert_array_equal(found.history, expected.history)
    np.testing.assert_array_equal(found.counts.toarray(), expected.counts.toarray())
    profiles = task.profiles(log(), moment)
    np.testing.assert_array_equal(profiles.features, task.profiles(log(), at(10)).features)


@pytest.mark.parametrize("other", ["ns", "ms", "pandas s", "pandas ms", "pandas ns"])
def test_a_question_does_not_depend_on_the_unit_of_the_times(other):
    found = task.question(OTHER_TIMES[other](log()), encoder(), at(10), CONFIG)
    expected = task.question(log(), encoder(), at(10), CONFIG)
    assert found.relevant.tolist() == expected.relevant.tolist()
    np.testing.assert_array_equal(found.history, expected.history)


def test_the_four_parts_of_recall_by_hand():
    first, _ = asked_from(*(("uvw"[n], "a", 10 + n, f"s{n}") for n in range(3)))
    counts = sparse.csr_array(
        np.array([[0, 0, 1, 0, 0, 0], [0, 0, 2, 0, 0, 0], [0, 0, 5, 0, 0, 0]])
    )
    asked = first._replace(
        counts=counts,
        relevant=np.array([[2, 3, -1, -1], [2, 3, -1, -1], [2, 3, 4, 5]]),
        repeated=np.array([[True, False, False, False]] * 3),
        sizes=np.array([2, 2, 4]),
    )
    scores = np.zeros((3, 6))
    scores[0, [2, 4]] = scores[1, [4, 5]] = scores[2, [2, 3]] = 1.0
    row = evaluation.recall_by_part({"model": scores}, asked, 2).loc["model"]
    assert row["bought before"] == pytest.approx(2 / 3)
    assert row["new to them"] == pytest.approx(1 / 9)
    assert row["short history"] == pytest.approx(1 / 4)  # the user in the middle belongs here
    assert row["long history"] == pytest.approx(1 / 2)


def test_profiles_have_no_column_that_is_the_same_for_all():
    table = task.profiles(log(), at(10))
    assert table.names
    assert not {"impressions", "views", "searches", "active_days", "gap_days"} & set(table.names)
    assert (np.ptp(table.features, axis=0) > 0).all()
    assert table.features.shape[1] == len(table.names)


def test_what_lies_outside_the_catalogue_lowers_the_recall_of_the_whole_basket():
    asked = task.question(log(), encoder(), at(10), CONFIG)
    assert asked.sizes.tolist() == [2, 1, 1]  # a and c; z; a
    assert asked.counted == 2
    assert asked.share_new == 0.5  # a is known to u and new to w
    found = evaluation.evaluate(np.zeros((3, encoder().size_)), asked, encoder().size_ - 2)
    assert found[evaluation.WHOLE].tolist() == [0.5, 0.0, 1.0]
    assert evaluation.whole_baskets({"one": found}).endswith("one 0.500")
    words = evaluation.describe(asked, encoder())
    assert "2 items; 50% of what was bought lies outside it" in words
    assert "2 of 3 users" in words


def test_the_weight_comes_from_the_tuning_question_alone():
    asked = task.question(log(), encoder(), at(10), CONFIG)
    wrong = np.zeros((3, encoder().size_), np.float32)
    wrong[:, encoder().transform(["b"])] = 1.0
    right = np.zeros_like(wrong)
    right[:, encoder().transform(["a"])] = 1.0
    # log(1 + 2) - log(1 + 1) = 0.41: four times that outweighs the wrong score of 1, twice does not
    for tuned, expected in ((wrong, 4.0), (right, 0.0)):
        blended, weight = evaluation.with_habits(tuned, wrong, asked, asked, 1)
        assert weight == expected
        np.testing.assert_allclose(blended, simple.blend(wrong, asked.counts, expected))


def test_a_feature_that_copies_another_tells_nothing():
    names = task.profiles(log(), at(10)).names
    assert "events" in names
    assert "purchases" not in names  # every event is one
    assert "views" not in names  # always 0
