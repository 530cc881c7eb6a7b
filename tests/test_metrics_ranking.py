import numpy as np
import pytest
from sklearn.metrics import average_precision_score, ndcg_score

from companion.core.seeding import generator
from companion.metrics import ranking
from companion.metrics.ranking import (
    NOTHING,
    average_precision,
    hit_rate,
    hits,
    ndcg,
    precision,
    recall,
    reciprocal_rank,
    top_k,
    truncated_precision,
)


def test_equal_scores_are_ordered_at_random():
    scores = np.full((1, 100), 0.5)
    found = [hits(top_k(scores, 10, seed=s), [[0]]) for s in range(3_000)]
    assert np.mean([f.at.any() for f in found]) == pytest.approx(0.10, abs=0.02)
    assert np.mean([ndcg(f)[0] for f in found]) == pytest.approx(0.045436, abs=0.01)


def test_ties_at_the_edge_and_order_by_score():
    scores = np.array([[3.0, 1.0, 1.0, 1.0, 2.0]])
    tops = {tuple(top_k(scores, 3, seed=s)[0]) for s in range(50)}
    assert tops == {(0, 4, 1), (0, 4, 2), (0, 4, 3)}


@pytest.mark.parametrize("k", [0, -1, 6])
def test_k_outside_the_catalogue_is_an_error(k):
    with pytest.raises(ValueError, match="from 1 to the 5 items"):
        top_k(np.zeros((2, 5)), k)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_score_that_is_no_number_is_named(bad):
    scores = np.zeros((2, 3))
    scores[1, 2] = bad
    with pytest.raises(ValueError, match="user 1, item 2"):
        top_k(scores, 2)


def test_fewer_candidates_than_places():
    top = top_k(np.array([[-np.inf, 1.0, -np.inf, 2.0]]), 3)
    assert top.tolist() == [[3, 1, NOTHING]]
    assert precision(hits(np.array([[0, 1, -1, -1, -1]]), [[0, 1]])).tolist() == [0.4]


def test_users_with_nothing_to_find_are_not_counted_and_users_with_nothing_shown_are():
    found = hits([[0, 1], [0, 1], [NOTHING, NOTHING]], [[0], [NOTHING], [3]])
    assert ndcg(found)[[0, 2]].tolist() == [1.0, 0.0]
    assert np.isnan(ndcg(found)[1])
    assert np.nanmean(recall(found)) == 0.5


def test_figures_by_hand():
    found = hits([[5, 6, 7]], [[5, 8, 9]])
    assert recall(found)[0] == pytest.approx(1 / 3)
    assert ndcg(found)[0] == pytest.approx(0.469279, abs=1e-6)
    assert ndcg(hits([[5]], [[5, 8, 9]]))[0] == 1.0  # it may fall as k grows
    assert precision(hits([[1, 2]], [[1, 2]]))[0] == 1.0


def test_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(20, 30))
    truth = rng.random((20, 30)) < 0.2
    truth[:, 0] = True
    relevant = np.where(truth, np.arange(30), NOTHING)
    ours = ndcg(hits(top_k(scores, 7), relevant))
    theirs = [ndcg_score(t[None], s[None], k=7) for t, s in zip(truth, scores, strict=True)]
    np.testing.assert_allclose(ours, theirs)


def test_every_metric_lies_between_zero_and_one():
    rng = np.random.default_rng(1)
    relevant = np.stack([rng.permutation(50)[:8] for _ in range(40)])
    found = hits(top_k(rng.normal(size=(40, 50)), 10), relevant)
    for metric in ranking.ALL_METRICS.values():
        assert ((metric(found) >= 0) & (metric(found) <= 1)).all()


def test_inputs_that_do_not_fit():
    with pytest.raises(ValueError, match="2 rankings and 1 users"):
        hits([[1], [2]], [[1]])
    with pytest.raises(ValueError, match="user 0 has a relevant item twice"):
        hits([[1]], [[1, 1]])


@pytest.mark.parametrize(
    ("scores", "dtype", "expected"),
    [
        ([0, 200, 3, 255], np.uint8, [3, 1, 2, 0]),
        ([0, 65_535, 3, 9], np.uint16, [1, 3, 2, 0]),
        ([-128, 5, 127, -127], np.int8, [2, 1, 3, 0]),
        ([-(2**31), 5, 2**31 - 1, 0], np.int32, [2, 1, 3, 0]),
        ([0.5, -1.0, 2.0, 1.0], np.float16, [2, 3, 0, 1]),
    ],
)
def test_scores_of_every_kind_of_number_are_ordered(scores, dtype, expected):
    table = np.array([scores], dtype)
    for k in range(1, 5):
        assert top_k(table, k).tolist() == [expected[:k]]


def test_scores_of_true_and_false_are_ordered():
    assert top_k(np.array([[False, True, False]]), 1).tolist() == [[1]]
    assert top_k(np.array([[True, False, True]]), 3)[0, 2] == 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("k", [17, 60, 300, 500])
def test_equal_scores_stand_in_the_order_of_the_shuffle(seed, k):
    scores = np.zeros(500)
    chosen = np.random.default_rng(seed).permutation(500)
    scores[chosen[:17]], scores[chosen[17:60]], scores[chosen[60:300]] = 3.0, 2.0, 1.0
    shuffle = generator(seed, "ties").permutation(500).tolist()
    expected = sorted(range(500), key=lambda item: (-scores[item], shuffle.index(item)))
    assert top_k(scores, k, seed=seed).tolist() == [expected[:k]]


def test_an_empty_place_is_no_hit_of_an_empty_answer():
    found = hits([[0, NOTHING], [NOTHING, NOTHING]], [[0, NOTHING], [NOTHING, NOTHING]])
    assert found.at.tolist() == [[True, False], [False, False]]
    assert recall(found)[0] == 1.0
    assert precision(found)[0] == 0.5


def test_the_hit_rate_by_hand():
    top = [[0, 1], [0, 1], [5, 6], [0, 1], [NOTHING, NOTHING]]
    relevant = [[0, 9], [0, 1], [0, 1], [NOTHING, NOTHING], [3, NOTHING]]
    found = hit_rate(hits(top, relevant))
    assert found[[0, 1, 2, 4]].tolist() == [1.0, 1.0, 0.0, 0.0]
    assert np.isnan(found[3])


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_ties_at_the_edge_fall_by_one_order_for_all_users(kind):
    rng = np.random.default_rng(3)
    for case in range(60):
        size = int(rng.choice([1, 2, 7, 300, 1_500]))
        k = int(rng.integers(1, min(size, 40) + 1))
        scores = rng.integers(rng.choice([1, 2, 5, 60]), size=(4, size)).astype(kind)
        scores[rng.random(scores.shape) < rng.choice([0, 0.4, 0.99])] = -np.inf
        place = np.argsort(generator(case, "ties").permutation(size))
        top = top_k(scores, k, seed=case)
        for user in range(4):
            there = np.flatnonzero(scores[user] > -np.inf)
            expected = sorted(there, key=lambda i, u=user: (-scores[u, i], place[i]))[:k]
            assert top[user].tolist() == expected + [NOTHING] * (k - len(expected))


def test_the_first_wrong_score_is_named_by_user_and_then_by_item():
    scores = np.zeros((5, 2_000))
    scores[3, [1_999, 7, 1_000]], scores[4, 0] = np.nan, np.inf
    for seed in range(5):
        with pytest.raises(ValueError, match="user 3, item 7: the score is nan"):
            top_k(scores, 3, seed=seed)


def test_an_item_that_is_shown_twice_is_an_error():
    with pytest.raises(ValueError, match="user 1 is shown an item twice"):
        hits([[1, 2], [4, 4]], [[1], [4]])


def test_average_precision_and_reciprocal_rank_by_hand():
    found = hits([[9, 0, 8, 1], [5, 6, 7, 8], [0, 1, 2, 3]], [[0, 1], [0, 1], [NOTHING, NOTHING]])
    for denominator in ("min(R, k)", "R", "hits"):
        values = average_precision(found, denominator=denominator)
        assert values[:2].tolist() == [0.5, 0.0]  # (1/2 + 2/4) / 2
        assert np.isnan(values[2])
    assert reciprocal_rank(found)[:2].tolist() == [0.5, 0.0]
    assert np.isnan(reciprocal_rank(found)[2])
    many = hits([[0, 1]], [[0, 1, 2, 3]])
    values = [average_precision(many, denominator=d)[0] for d in ("min(R, k)", "R", "hits")]
    assert values == [1.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="one of 'min\\(R, k\\)', 'R', 'hits'; got 'k'"):
        average_precision(found, denominator="k")


def test_average_precision_over_all_places_agrees_with_scikit_learn():
    rng = np.random.default_rng(5)
    scores, truth = rng.normal(size=(30, 25)), rng.random((30, 25)) < 0.3
    truth[:, 3] = True
    found = hits(top_k(scores, 25), np.where(truth, np.arange(25), NOTHING))
    theirs = [average_precision_score(t, s) for t, s in zip(truth, scores, strict=True)]
    np.testing.assert_allclose(average_precision(found, denominator="R"), theirs)


def test_truncated_precision_by_hand():
    found = hits([[0, 1, 2], [0, 7, 8], [7, 8, 9]], [[0, 1, 2, 3], [0, 1, -1, -1], [-1] * 4])
    assert truncated_precision(found)[:2].tolist() == [1.0, 0.5]
    assert np.isnan(truncated_precision(found)[2])
