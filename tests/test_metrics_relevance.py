import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import ndcg_score

from companion.metrics.graded import exponential_gain, graded_ndcg, linear_gain
from companion.metrics.ranking import ALL_METRICS, NOTHING, hits, ndcg, top_k
from companion.metrics.relevance import as_matrix, graded_hits, grades_at, hits_of


def random_grades(users=40, items=25, seed=0):
    rng = np.random.default_rng(seed)
    grades = rng.integers(1, 6, size=(users, items)) * (rng.random((users, items)) < 0.2)
    grades[:3] = 0
    return rng.normal(size=(users, items)), grades


def test_padded_and_sparse_answers_are_the_same():
    padded = as_matrix([[3, NOTHING, 0], [NOTHING, NOTHING, NOTHING], [1, 2, 4]], 5)
    expected = [[1, 0, 0, 1, 0], [0] * 5, [0, 1, 1, 0, 1]]
    assert padded.toarray().tolist() == expected
    assert as_matrix(sparse.csr_matrix(expected), 5).toarray().tolist() == expected
    assert np.diff(padded.indptr).tolist() == [2, 0, 3]


def test_a_stored_zero_is_not_relevant_and_the_input_stays():
    given = sparse.csr_array(np.array([[1.0, 2.0, 0.0]]))
    given.data[0] = 0
    assert as_matrix(given, 3).nnz == 1
    assert given.nnz == 2


def test_hits_in_a_sparse_answer_are_those_in_a_padded_one():
    scores, grades = random_grades()
    scores[5:8, 4:] = -np.inf
    top = top_k(scores, 7)
    ours = hits_of(top, as_matrix(sparse.csr_array(grades), 25))
    theirs = hits(top, np.where(grades > 0, np.arange(25), NOTHING))
    np.testing.assert_array_equal(ours.at, theirs.at)
    np.testing.assert_array_equal(ours.relevant, theirs.relevant)
    for metric in ALL_METRICS.values():
        np.testing.assert_array_equal(metric(ours), metric(theirs))


def test_an_empty_place_gains_nothing():
    relevant = as_matrix(sparse.csr_array(np.array([[0, 0, 3.0], [2.0, 0, 0]])), 3)
    assert grades_at([[2, NOTHING], [NOTHING, NOTHING]], relevant).tolist() == [[3, 0], [0, 0]]
    nothing = as_matrix(sparse.csr_array((2, 3)), 3)
    assert grades_at([[2, NOTHING], [0, 1]], nothing).tolist() == [[0, 0], [0, 0]]


def test_graded_ndcg_by_hand():
    relevant = as_matrix(sparse.csr_array(np.array([[3.0, 0, 1.0, 2.0]])), 4)
    found = graded_hits([[2, 0]], relevant)
    assert (found.at.tolist(), found.ideal.tolist()) == ([[1, 3]], [[3, 2]])
    half = 1 / np.log2(3)
    linear, exponential = (1 + 3 * half) / (3 + 2 * half), (1 + 7 * half) / (7 + 3 * half)
    assert graded_ndcg(found, gain=linear_gain)[0] == pytest.approx(linear)
    assert graded_ndcg(found, gain=exponential_gain)[0] == pytest.approx(exponential)


@pytest.mark.parametrize("gain", [linear_gain, exponential_gain])
@pytest.mark.parametrize("k", [1, 4, 25])
def test_graded_ndcg_agrees_with_scikit_learn(gain, k):
    scores, grades = random_grades(seed=k)
    ours = graded_ndcg(
        graded_hits(top_k(scores, k), as_matrix(sparse.csr_array(grades), 25)), gain=gain
    )
    some = grades.any(axis=1)
    assert np.isnan(ours[~some]).all()
    theirs = [
        ndcg_score(gain(g)[None], s[None], k=k)
        for g, s in zip(grades[some], scores[some], strict=True)
    ]
    np.testing.assert_allclose(ours[some], theirs)


@pytest.mark.parametrize("gain", [linear_gain, exponential_gain])
def test_grades_of_one_give_the_plain_ndcg(gain):
    scores, grades = random_grades()
    relevant = as_matrix(sparse.csr_array((grades > 0).astype(float)), 25)
    top = top_k(scores, 5)
    found = graded_ndcg(graded_hits(top, relevant), gain=gain)
    np.testing.assert_allclose(found, ndcg(hits_of(top, relevant)))


@pytest.mark.parametrize(
    ("relevant", "sentence"),
    [
        ([[0, 5]], "user 0: item 5 is not in the catalogue of 5"),
        ([[0, 1], [2, -2]], "user 1: item -2 is not in the catalogue of 5"),
        ([[0, 1], [2, 2]], "user 1 has a relevant item twice"),
        ([0, 1], r"must be \[U, R\]; got the shape \(2,\)"),
        (sparse.csr_array((1, 4)), "relevant has 4 columns; the catalogue has 5 items"),
        (sparse.csr_array([[0, 0, 0, 0, 0], [0, 0, 1, -1.0, 0]]), "user 1, item 3: a grade must"),
        (sparse.csr_array([[0, np.nan, 0, 0, 0]]), "user 0, item 1: a grade must be 0 or more"),
    ],
)
def test_answers_that_are_wrong(relevant, sentence):
    with pytest.raises(ValueError, match=sentence):
        as_matrix(relevant, 5)


@pytest.mark.parametrize(
    ("top", "sentence"),
    [
        ([[0]], "1 rankings and 2 users"),
        ([[0, 1], [4, 0]], "user 1: item 4 is not in the catalogue of 3"),
        ([[0, 1], [2, 2]], "user 1 is shown an item twice"),
    ],
)
def test_rankings_that_do_not_fit(top, sentence):
    with pytest.raises(ValueError, match=sentence):
        hits_of(top, as_matrix([[0], [1]], 3))


def test_a_grade_without_a_finite_gain():
    with pytest.raises(ValueError, match="needs grades below 1,024; got 2000"):
        exponential_gain([1, 2_000])
    assert exponential_gain([0, 1, 2, 5]).tolist() == [0, 1, 3, 31]
