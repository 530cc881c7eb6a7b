import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import roc_auc_score

from companion.metrics.auc import auc, click_auc, click_auc_by_user
from companion.metrics.ranking import NOTHING


def test_auc_by_hand():
    scores = [[4.0, 3.0, 2.0, 1.0]]
    assert auc(scores, [[0, 2]]).tolist() == [0.75]
    assert auc(scores, [[3, NOTHING]]).tolist() == [0.0]
    assert auc([[1.0, 1.0, 1.0]], [[1]]).tolist() == [0.5]  # ties count half
    assert auc([[2.0, 2.0, 1.0]], [[0]]).tolist() == [0.75]


def test_auc_of_users_agrees_with_scikit_learn():
    rng = np.random.default_rng(0)
    scores = rng.integers(8, size=(40, 30)).astype(float)  # many ties
    truth = rng.random((40, 30)) < 0.3
    truth[:, 0], truth[:, 1] = True, False
    theirs = [roc_auc_score(t, s) for t, s in zip(truth, scores, strict=True)]
    np.testing.assert_allclose(auc(scores, np.where(truth, np.arange(30), NOTHING)), theirs)
    np.testing.assert_allclose(auc(scores, sparse.csr_array(truth.astype(float))), theirs)


def test_an_item_that_is_no_candidate_is_no_rival():
    rng = np.random.default_rng(1)
    scores, truth = rng.integers(5, size=(20, 15)).astype(float), rng.random((20, 15)) < 0.4
    truth[:, 0], truth[:, 1] = True, False
    hidden = (rng.random((20, 15)) < 0.5) & ~truth
    hidden[:, 1] = False
    relevant = np.where(truth, np.arange(15), NOTHING)
    theirs = [roc_auc_score(t[~h], s[~h]) for t, s, h in zip(truth, scores, hidden, strict=True)]
    np.testing.assert_allclose(auc(np.where(hidden, -np.inf, scores), relevant), theirs)


def test_a_relevant_item_that_is_no_candidate_was_not_found():
    assert auc([[-np.inf, 2.0, 1.0, -np.inf]], [[0, 1]]).tolist() == [0.5]
    assert auc([[-np.inf, 2.0, 1.0]], [[0]]).tolist() == [0.0]


def test_users_without_an_answer_or_without_rivals_have_none():
    found = auc([[1.0, 2.0], [1.0, 2.0], [1.0, -np.inf]], [[NOTHING, NOTHING], [0, 1], [0, -1]])
    assert np.isnan(found).all()


def test_scores_that_cannot_be_ordered():
    with pytest.raises(ValueError, match="user 1, item 0: the score is nan"):
        auc([[1.0, 2.0], [np.nan, 0.0]], [[0], [1]])
    with pytest.raises(ValueError, match="2 rankings and 1 users"):
        auc(np.zeros((2, 3)), [[0]])


def test_clicks_together_and_by_user():
    users = ["b", "a", "b", "a", "c", "b"]
    clicks = [1, 0, 0, 1, 1, 1]
    scores = [0.2, 0.3, 0.1, 0.9, 0.5, 0.1]
    assert click_auc(clicks, scores) == roc_auc_score(clicks, scores)
    found = click_auc_by_user(clicks, scores, users)
    assert found.index.tolist() == ["a", "b", "c"]
    assert found[["a", "b"]].tolist() == [1.0, 0.75]
    assert np.isnan(found["c"])


def test_auc_by_user_agrees_with_scikit_learn():
    rng = np.random.default_rng(2)
    users, clicks = rng.integers(30, size=900), rng.integers(2, size=900)
    scores = rng.integers(6, size=900)
    found = click_auc_by_user(clicks, scores, users)
    theirs = [roc_auc_score(clicks[users == u], scores[users == u]) for u in found.index]
    np.testing.assert_allclose(found, theirs)


def test_users_who_click_much_raise_the_common_auc_alone():
    users, clicks = np.repeat([0, 1], 4), [1, 1, 1, 0, 0, 0, 0, 1]
    scores = np.repeat([0.9, 0.1], 4)  # knows the users, not the items
    assert click_auc(clicks, scores) == 0.75
    assert click_auc_by_user(clicks, scores, users).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("clicks", "scores", "users", "sentence"),
    [
        ([0, 2], [1, 1], [0, 0], "row 1: a click is 0 or 1; got 2"),
        ([0, np.nan], [1, 1], [0, 0], "row 1: a click is 0 or 1; got nan"),
        ([0, 1], [np.inf, 1], [0, 0], "row 0: a score must be finite; got inf"),
        ([0, 1], [1], [0, 0], r"must be \[N\]; got \(2,\) and \(1,\)"),
        ([], [], [], "there is no impression"),
        ([0, 1], [1, 1], [0], r"2 rows need as many users; got the shape \(1,\)"),
        ([0, 1], [1, 1], ["a", None], "row 1 has no user"),
    ],
)
def test_rows_that_are_wrong(clicks, scores, users, sentence):
    with pytest.raises(ValueError, match=sentence):
        click_auc_by_user(clicks, scores, users)


@pytest.mark.parametrize(("click", "what"), [(0, "no click"), (1, "a click")])
def test_impressions_that_are_all_alike(click, what):
    with pytest.raises(ValueError, match=f"every impression has {what}"):
        click_auc([click] * 3, [0.1, 0.2, 0.3])
