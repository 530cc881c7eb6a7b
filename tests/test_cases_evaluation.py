"""Every case of the area evaluation from public bug reports, with its input written out.

The last test reads the list of cases and is skipped where the folder is absent.
"""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from conftest import make_events
from scipy import sparse
from scipy.stats import hypergeom

from companion.data import split
from companion.metrics import groups, ranking
from companion.metrics.blocks import Scores, evaluate_in_blocks
from companion.metrics.graded import exponential_gain, graded_ndcg, linear_gain
from companion.metrics.ranking import NOTHING, average_precision, hits, top_k
from companion.metrics.relevance import as_matrix, graded_hits, hits_of
from companion.metrics.results import compare
from companion.metrics.sampled import evaluate_sampled


def as_source(scores):
    scores = np.array(scores, float)
    return Scores(lambda rows: scores[rows].copy(), *scores.shape)


def test_eval_01_a_user_without_relevant_items_is_not_counted():
    scores = as_source([[4, 1, 3, 2], [1, 2, 3, 4]])
    found = evaluate_in_blocks(scores, [[0, 2], [NOTHING, NOTHING]], k=4)
    assert found.mean("NDCG") == 1.0
    assert "1 of 2 users evaluated" in str(found)


def test_eval_03_a_user_with_an_empty_list_counts_as_nothing_found():
    found = hits([[1], [NOTHING]], [[1], [2]])
    assert ranking.ndcg(found).tolist() == [1.0, 0.0]
    nothing = as_source([[0, 1, 0], [-np.inf, -np.inf, -np.inf]])
    assert evaluate_in_blocks(nothing, [[1], [2]], k=1).mean("NDCG") == 0.5


@pytest.mark.parametrize("gain", [linear_gain, exponential_gain])
def test_eval_05_both_sums_of_ndcg_end_at_k(gain):
    grades = np.array([[0.0, 3.0, 5.0, 4.0]])  # of items 1, 2 and 3
    found = graded_hits([[2, 3]], as_matrix(sparse.csr_array(grades), 4))
    assert graded_ndcg(found, gain=gain).tolist() == [1.0]


def test_eval_06_precision_is_at_most_one():
    for found in (hits([[4, 7]], [[7, 4]]), hits_of([[4, 7]], as_matrix([[7, 4]], 8))):
        assert found.at.shape == (1, 2)
        assert ranking.precision(found).tolist() == [1.0]
        assert {metric(found)[0] for metric in ranking.ALL_METRICS.values()} == {1.0}


def test_eval_07_a_constant_scorer_is_as_good_as_chance():
    scores = np.full((1, 100), 0.5)
    found = [hits(top_k(scores, 10, seed=seed), [[0]]) for seed in range(2_000)]
    assert np.mean([ranking.hit_rate(f) for f in found]) == pytest.approx(0.10, abs=0.02)
    assert np.mean([ranking.ndcg(f) for f in found]) == pytest.approx(0.045436, abs=0.01)
    first = [top_k(scores, 1, seed=seed)[0, 0] == 0 for seed in range(2_000)]
    assert 0 < np.mean(first) < 0.02


def test_eval_09_a_sampled_ranking_is_labelled_and_never_compared_with_a_full_one():
    users = 500
    scores = as_source(np.tile(-np.arange(1_000.0), (users, 1)))
    relevant = np.full((users, 1), 50)  # rank 51
    full = evaluate_in_blocks(scores, relevant, k=10)
    sampled = evaluate_sampled(scores, relevant, k=10, negatives=99, seed=1)
    expected = hypergeom(999, 50, 99).cdf(9)  # at most nine of the fifty better ones are drawn
    assert expected == pytest.approx(0.979805, abs=1e-6)
    assert full.mean("hit rate") == 0.0
    assert sampled.mean("sampled hit rate") == pytest.approx(expected, abs=0.025)  # 4 deviations
    assert "full ranking among 1,000 items" in str(full)
    assert "sampled ranking among 99 negatives" in str(sampled)
    with pytest.raises(ValueError, match=r"cannot be compared: sampled .* against full"):
        compare({"full": full, "sampled": sampled}, "hit rate", "full", seed=0)


def test_eval_11_a_split_by_user_lets_the_future_through_and_a_cut_in_time_does_not():
    rows = [("u1", "a", 1), ("u1", "b", 10), ("u2", "a", 50), ("u2", "b", 90), ("u2", "c", 100)]
    events = make_events(rows)
    at = [datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=row[2]) for row in rows]
    last = events["timestamp"].is_in([at[1], at[4]])
    found = split.leaks(events.filter(~last), events.filter(last))
    assert (found.latest_train, found.earliest_test, found.future) == (at[3], at[1], 2)
    cut = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=60)
    parts = split.by_time(events, cut, cut)
    assert parts.train["timestamp"].to_list() == at[:3]
    assert parts.test["timestamp"].to_list() == at[3:]
    assert split.leaks(parts.train, parts.test).future == 0


def test_eval_13_precision_divides_by_k_and_its_variant_has_another_name():
    top = np.tile(np.arange(10), (2, 1))
    found = hits(top, [[3], [99]])
    assert ranking.precision(found).tolist() == [0.1, 0.0]
    assert ranking.precision(found).mean() == pytest.approx(0.05)
    assert ranking.truncated_precision(found).mean() == 0.5


def test_eval_15_the_denominator_of_map_is_named():
    found = hits([[0, 9, 1]], [[0, 1, 2, 3, 4]])
    assert average_precision(found, denominator="min(R, k)")[0] == pytest.approx(0.555556, abs=1e-6)
    assert average_precision(found, denominator="R")[0] == pytest.approx(1 / 3)
    assert average_precision(found, denominator="hits")[0] == pytest.approx(0.833333, abs=1e-6)
    with pytest.raises(TypeError, match="denominator"):
        average_precision(found)


@pytest.mark.parametrize("k", [20, 0, -1])
def test_eval_17_more_places_than_items_is_an_error_everywhere(k):
    scores = np.zeros((1, 5))
    with pytest.raises(ValueError, match=f"from 1 to the 5 items; got {k}"):
        top_k(scores, k)
    with pytest.raises(ValueError, match=f"from 1 to the 5 items; got {k}"):
        evaluate_in_blocks(as_source(scores), [[0]], k=k)
    with pytest.raises(ValueError, match=f"from 1 to the 4 candidates; got {k}"):
        evaluate_sampled(as_source(scores), [[0]], k=k, negatives=3)


def test_eval_18_ndcg_may_fall_as_k_grows_and_recall_and_hit_rate_may_not():
    one, three = hits([[0]], [[0, 1, 2]]), hits([[0, 8, 9]], [[0, 1, 2]])
    assert ranking.ndcg(one)[0] == 1.0
    assert ranking.ndcg(three)[0] == pytest.approx(0.46927872602275644)
    assert ranking.recall(one)[0] == ranking.recall(three)[0] == pytest.approx(1 / 3)
    rng = np.random.default_rng(0)
    scores, relevant = rng.integers(9, size=(30, 20)), rng.random((30, 20)).argsort(axis=1)
    for metric in (ranking.recall, ranking.hit_rate):
        curve = [metric(hits(top_k(scores, k), relevant[:, :4])) for k in range(1, 21)]
        assert all((after >= before).all() for before, after in pairwise(curve))


def test_eval_19_an_empty_place_is_a_miss():
    scores = [[5.0, 4.0, *[-np.inf] * 8]]
    found = hits(top_k(scores, 5), [[0, 1, 2]])
    assert ranking.precision(found).tolist() == [0.4]


def test_eval_20_a_session_with_one_candidate():
    found = groups.from_rows(["s", "t"], [0.3, 0.9], [1, 0], k=5)
    at = hits_of(top_k(found.scores, 5), found.relevant)
    ndcg = dict(zip(found.ids, ranking.ndcg(at), strict=True))
    assert ndcg["s"] == 1.0
    assert np.isnan(ndcg["t"])


def test_eval_21_a_score_that_is_no_number_is_named():
    scores = np.array([[0.2, np.nan, 0.9]])
    for evaluate in (
        lambda: top_k(scores, 2),
        lambda: evaluate_in_blocks(as_source(scores), [[0]], k=2),
        lambda: evaluate_sampled(as_source(scores), [[0]], k=2, negatives=2),
    ):
        with pytest.raises(ValueError, match="user 0, item 1: the score is nan"):
            evaluate()
    excluded = evaluate_in_blocks(as_source(scores), [[0]], k=2, seen=[[1]])
    assert excluded.mean("recall") == 1.0  # no candidate, no error: 0.9, then 0.2


def test_every_case_of_the_list_has_a_test(shared):
    lines = (shared / "cases" / "cases.jsonl").read_text("utf-8").splitlines()
    listed = [entry["id"] for entry in map(json.loads, lines) if entry["area"] == "evaluation"]
    assert listed
    for name in listed:
        start = f"test_{name.lower().replace('-', '_')}_"
        assert any(known.startswith(start) for known in globals()), name
