from itertools import combinations

import numpy as np
import pytest
from scipy import sparse
from scipy.stats import chisquare

from companion.metrics.blocks import Scores, evaluate_in_blocks
from companion.metrics.ranking import ALL_METRICS, NOTHING, hits, top_k
from companion.metrics.results import SampledRanking, compare
from companion.metrics.sampled import evaluate_sampled, sample_negatives


def source(scores):
    return Scores(lambda rows: scores[rows], *scores.shape)


def test_negatives_are_different_items_neither_relevant_nor_seen():
    rng = np.random.default_rng(0)
    order = rng.random((200, 40)).argsort(axis=1)
    relevant, seen = order[:, :5], order[:, 3:12]  # they overlap
    drawn = sample_negatives(relevant, 40, 28, seed=1, seen=seen)  # all that is left
    for user in range(200):
        assert sorted(drawn[user]) == sorted(order[user, 12:])


def test_every_set_of_negatives_is_as_likely():
    users = 6_000
    relevant = np.tile([[1, 4]], (users, 1))
    drawn = np.sort(sample_negatives(relevant, 6, 2, seed=0), axis=1)
    sets, counts = np.unique(drawn, axis=0, return_counts=True)
    assert sets.tolist() == [list(pair) for pair in combinations([0, 2, 3, 5], 2)]
    assert chisquare(counts).pvalue > 0.001
    assert len({tuple(row) for row in drawn[:50]}) > 1  # not one draw for all users


def test_the_seed_decides_the_draws():
    relevant = np.zeros((9, 1), int)
    first, again, other = (sample_negatives(relevant, 50, 5, seed=s) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_only_the_relevant_and_the_drawn_are_ranked():
    rng = np.random.default_rng(2)
    scores = rng.integers(6, size=(30, 50)).astype(np.float32)
    relevant = rng.random((30, 50)).argsort(axis=1)[:, :3]
    relevant[7] = NOTHING
    seen = rng.random((30, 50)).argsort(axis=1)[:, :4]
    found = evaluate_sampled(
        source(scores), relevant, k=5, negatives=9, seen=seen, seed=4, metrics=ALL_METRICS
    )
    drawn = sample_negatives(relevant, 50, 9, seed=4, seen=seen)
    left = np.full(scores.shape, -np.inf, np.float32)
    for user in range(30):
        there = [*relevant[user][relevant[user] != NOTHING], *drawn[user]]
        left[user, there] = scores[user, there]
        left[user, seen[user]] = -np.inf
    expected = hits(top_k(left, 5, seed=4), relevant)
    for name, metric in ALL_METRICS.items():
        np.testing.assert_array_equal(found.values[f"sampled {name}"], metric(expected))
    assert found.unreachable == sum(
        len(set(r) & set(s)) for r, s in zip(relevant, seen, strict=True)
    )


def test_all_other_items_as_negatives_are_a_full_ranking():
    scores = np.random.default_rng(3).normal(size=(20, 12))
    relevant = np.random.default_rng(4).integers(12, size=(20, 1))
    sampled = evaluate_sampled(source(scores), relevant, k=4, negatives=11)
    full = evaluate_in_blocks(source(scores), relevant, k=4)
    for name, values in full.values.items():
        np.testing.assert_array_equal(sampled.values[f"sampled {name}"], values)


def test_a_sampled_result_says_that_it_is_one():
    scores = np.array([[3.0, 2.0, 1.0]])
    found = evaluate_sampled(source(scores), [[0]], k=1, negatives=2, seed=7)
    assert isinstance(found, SampledRanking)
    assert all(name.startswith("sampled ") for name in found.values)
    assert str(found).startswith("sampled recall@1 1.0000, ")
    assert str(found).endswith("1 of 1 users evaluated; sampled ranking among 2 negatives, seed 7")


def result(recall, negatives=99, seed=0):
    return SampledRanking(10, negatives, seed, {"sampled recall": np.array(recall)})


def test_samples_are_compared_with_the_same_sample_alone():
    found = {"a": result([0.0, 1.0]), "b": result([1.0, 1.0])}
    table = compare(found, "sampled recall", "a", seed=0)
    assert table.index.name.endswith("sampled ranking among 99 negatives, seed 0, k = 10")
    for other in (result([1.0, 1.0], negatives=100), result([1.0, 1.0], seed=1)):
        with pytest.raises(ValueError, match="'b' and 'a' cannot be compared"):
            compare(found | {"b": other}, "sampled recall", "a", seed=0)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"k": 4}, "k must be from 1 to the 3 candidates; got 4"),
        ({"k": 0}, "k must be from 1 to the 3 candidates; got 0"),
        ({"negatives": 0, "k": 1}, "negatives must be 1 or more; got 0"),
        ({"negatives": 9}, "user 1 has 8 items to draw from; 9 were asked for"),
        ({"relevant": [[0]]}, "relevant has 1 users; the scores have 2"),
    ],
)
def test_what_does_not_fit(arguments, sentence):
    given = {"relevant": [[0, NOTHING], [0, 1]], "k": 2, "negatives": 2, **arguments}
    with pytest.raises(ValueError, match=sentence):
        evaluate_sampled(source(np.zeros((2, 10))), given.pop("relevant"), **given)


def test_a_sparse_answer_is_as_good():
    table = sparse.csr_array(np.eye(4, 8))
    padded = np.arange(4)[:, None]
    np.testing.assert_array_equal(
        sample_negatives(table, 8, 3, seed=0), sample_negatives(padded, 8, 3, seed=0)
    )
