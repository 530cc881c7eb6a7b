import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from companion.metrics import ranking
from companion.metrics.blocks import (
    BLOCK_SIZE,
    Scores,
    Vectors,
    blocks,
    evaluate_in_blocks,
    top_k_in_blocks,
)
from companion.metrics.ranking import ALL_METRICS, METRICS, NOTHING, hits, top_k
from companion.metrics.results import FullRanking, compare


def whole_vectors(users=23, items=60, seed=0):
    """Whole numbers: products are exact in float32, and many are equal."""
    rng = np.random.default_rng(seed)
    return Vectors(
        rng.integers(-1, 2, (users, 5)).astype(np.float32),
        rng.integers(-1, 2, (items, 5)).astype(np.float32),
    )


def answers(users=23, items=60, width=6, seed=1):
    rng = np.random.default_rng(seed)
    table = rng.random((users, items)).argsort(axis=1)[:, :width]
    table[rng.random(table.shape) < 0.3] = NOTHING
    table[4] = NOTHING
    return table


@pytest.mark.parametrize("block", [1, 4, 23, 100, None])
@pytest.mark.parametrize("k", [1, 7, 60])
def test_blocks_give_what_the_whole_table_gives(block, k):
    vectors, relevant = whole_vectors(), answers()
    scores = vectors.users @ vectors.items.T
    top = top_k(scores, k, seed=3)
    np.testing.assert_array_equal(top_k_in_blocks(vectors, k, block=block, seed=3), top)
    by_function = Scores(lambda rows: scores[rows], *scores.shape)
    np.testing.assert_array_equal(top_k_in_blocks(by_function, k, block=block, seed=3), top)
    found = evaluate_in_blocks(vectors, relevant, k=k, block=block, seed=3, metrics=ALL_METRICS)
    for name, metric in ALL_METRICS.items():
        np.testing.assert_array_equal(found.values[name], metric(hits(top, relevant)), name)


def test_seen_items_are_no_candidates_padded_or_sparse():
    vectors, seen = whole_vectors(), answers(width=58, seed=2)
    scores = vectors.users @ vectors.items.T
    for user, items in enumerate(seen):
        scores[user, items[items != NOTHING]] = -np.inf
    expected = top_k(scores, 20, seed=5)
    assert (expected == NOTHING).any()
    table = np.isneginf(scores).astype(float)
    for form in (seen, sparse.csr_array(table), sparse.csr_matrix(table)):
        found = top_k_in_blocks(vectors, 20, seen=form, block=5, seed=5)
        np.testing.assert_array_equal(found, expected)


def test_a_relevant_item_that_was_seen_counts_as_missed_and_is_told():
    vectors = Vectors(np.ones((2, 1)), np.array([[3.0], [2.0], [1.0]]))
    found = evaluate_in_blocks(vectors, [[0, 1], [2, NOTHING]], k=2, seen=[[0], [0]])
    assert found.values["recall"].tolist() == [0.5, 1.0]
    assert found.unreachable == 1
    assert str(found).endswith("; 1 relevant items were excluded")


def test_ties_do_not_depend_on_the_order_of_the_items():
    constant = Vectors(np.ones((200, 1)), np.ones((50, 1)))
    relevant = np.zeros((200, 1), int)  # the first of the catalogue
    found = [evaluate_in_blocks(constant, relevant, k=5, seed=s) for s in range(400)]
    assert np.mean([f.mean("recall") for f in found]) == pytest.approx(0.1, abs=0.06)
    assert {f.mean("recall") for f in found} == {0.0, 1.0}  # one order for all users


def test_scores_of_a_function_are_not_written_into():
    table = np.arange(12).reshape(3, 4)
    kept = table.copy()
    source = Scores(lambda rows: table[rows], 3, 4)
    assert top_k_in_blocks(source, 2, seen=[[3], [0], [NOTHING]]).tolist() == [
        [2, 1],
        [3, 2],
        [3, 2],
    ]
    np.testing.assert_array_equal(table, kept)


def test_the_line_says_figures_users_and_protocol():
    vectors = Vectors(np.ones((2, 1)), np.array([[3.0], [2.0], [1.0]]))
    found = evaluate_in_blocks(vectors, [[0], [NOTHING]], k=1, metrics={"MRR": METRICS["recall"]})
    assert str(found) == "MRR@1 1.0000; 1 of 2 users evaluated; full ranking among 3 items"
    nobody = evaluate_in_blocks(vectors, [[NOTHING], [NOTHING]], k=1)
    assert str(nobody) == "0 of 2 users evaluated; full ranking among 3 items"
    with pytest.raises(ValueError, match="no user has a relevant item: 'recall' has no mean"):
        nobody.mean("recall")
    with pytest.raises(ValueError, match="'AUC' is not among the metrics: recall, precision"):
        nobody.mean("AUC")


def test_wrong_scores_are_named_by_user_and_item_in_any_block():
    table = np.zeros((7, 9))
    table[6, 2] = np.nan
    source = Scores(lambda rows: table[rows], 7, 9)
    with pytest.raises(ValueError, match="user 6, item 2: the score is nan"):
        top_k_in_blocks(source, 3, block=2)
    seen = np.full((7, 1), NOTHING)
    seen[6] = 2
    assert top_k_in_blocks(source, 9, seen=seen)[6, 8] == NOTHING  # no candidate, no error


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"relevant": np.zeros((5, 1), int)}, "relevant has 5 users; the scores have 23"),
        ({"seen": np.zeros((2, 1), int)}, "seen has 2 users; the scores have 23"),
        ({"block": 0}, "block must be 1 or more users; got 0"),
        ({"k": 61}, "k must be from 1 to the 60 items; got 61"),
        ({"relevant": np.full((23, 1), 60)}, "user 0: item 60 is not in the catalogue of 60"),
    ],
)
def test_what_does_not_fit(arguments, sentence):
    given = {"relevant": answers(), "k": 3, **arguments}
    with pytest.raises(ValueError, match=sentence):
        evaluate_in_blocks(whole_vectors(), given.pop("relevant"), **given)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e300])
def test_a_vector_that_is_not_finite_is_named(bad):
    for name, row in (("user", 17), ("item", 3)):
        given = whole_vectors()
        vectors = Vectors(given.users.astype(float), given.items.astype(float))
        getattr(vectors, f"{name}s")[row, 2] = bad
        with pytest.raises(ValueError, match=f"the vector of {name} {row} is not finite"):
            top_k_in_blocks(vectors, 3, block=5)


def test_shapes_that_do_not_fit():
    with pytest.raises(ValueError, match=r"items \[V, d\]; got \(2, 3\)"):
        Vectors(np.ones((2, 3)), np.ones((4, 2)))
    source = Scores(lambda rows: np.zeros((1, 4)), 3, 4)
    with pytest.raises(ValueError, match=r"must be \(3, 4\); got \(1, 4\)"):
        top_k_in_blocks(source, 1)


def test_blocks_cover_every_user_once():
    for users, items, block in ((10, 7, 3), (10, 7, None), (0, 5, None), (5, BLOCK_SIZE * 2, None)):
        rows = [row for part in blocks(users, items, block) for row in range(users)[part]]
        assert rows == list(range(users))
    assert [p.stop - p.start for p in blocks(5, BLOCK_SIZE * 2)] == [1] * 5


def test_memory_does_not_grow_with_the_table_of_scores():
    users, items = 20_000, 2_000  # 160 MB of scores
    rng = np.random.default_rng(0)
    vectors = Vectors(
        rng.standard_normal((users, 4), dtype=np.float32),
        rng.standard_normal((items, 4), dtype=np.float32),
    )
    tracemalloc.start()
    evaluate_in_blocks(vectors, np.zeros((users, 1), int), k=5)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 60e6


def result(recall, k=5, items=9):
    return FullRanking(k, items, {"recall": np.array(recall)})


def test_a_comparison_says_its_protocol():
    found = {"a": result([0.0, 0.5, 1.0, np.nan]), "b": result([0.5, 1.0, 1.0, np.nan])}
    table = compare(found, "recall", "a", seed=0)
    assert table.index.name == "recall, full ranking among 9 items, k = 5"
    assert table.loc["b", "difference"] == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (result([0.0, 1.0], k=6), "k = 6, against full ranking among 9 items, k = 5"),
        (result([0.0, 1.0], items=8), "full ranking among 8 items, k = 5, against"),
        (result([np.nan, 1.0]), "were not evaluated on the same users"),
        (FullRanking(5, 9, {"NDCG": np.zeros(2)}), "'other' has no 'recall'; it has NDCG"),
    ],
)
def test_what_cannot_be_compared(other, sentence):
    with pytest.raises(ValueError, match=sentence):
        compare({"one": result([0.0, 1.0]), "other": other}, "recall", "one", seed=0)
    with pytest.raises(ValueError, match="'three' is not among the methods"):
        compare({"one": result([0.0, 1.0])}, "recall", "three", seed=0)


def test_the_metrics_of_chapter_13_stay_as_they_are():
    assert list(METRICS) == ["recall", "precision", "hit rate", "NDCG"]
    assert set(METRICS) < set(ranking.ALL_METRICS)
