import numpy as np
import pytest

from companion.metrics.groups import from_rows
from companion.metrics.ranking import ndcg, precision, top_k
from companion.metrics.relevance import hits_of


def test_rows_of_a_session_need_not_stand_together():
    found = from_rows(["t", "s", "t", "s", "t"], [1, 2, 3, 4, 5], [0, 1, 2, 0, 1], k=2)
    assert found.ids.tolist() == ["s", "t"]
    assert found.scores.tolist() == [[2, 4, -np.inf], [1, 3, 5]]
    assert found.relevant.toarray().tolist() == [[1, 0, 0], [0, 2, 1]]


def test_fewer_candidates_than_places():
    found = from_rows([1, 2, 2], [0.3, 0.1, 0.2], [1, 1, 0], k=5)
    assert found.scores.shape == (2, 5)
    at = hits_of(top_k(found.scores, 5), found.relevant)
    assert ndcg(at) == pytest.approx([1.0, 1 / np.log2(3)])
    assert precision(at).tolist() == [0.2, 0.2]


@pytest.mark.parametrize(
    ("sessions", "scores", "grades", "k", "sentence"),
    [
        (["s", "t"], [1, np.nan], [0, 1], 2, "row 1, session t: the score is nan"),
        (["s", "t"], [-np.inf, 1], [0, 1], 2, "row 0, session s: the score is -inf"),
        (["s", "t"], [1, 2], [0, -1], 2, "row 1, session t: the grade is -1"),
        (["s", "t"], [1, 2], [np.inf, 0], 2, "row 0, session s: the grade is inf"),
        (["s", "t"], [1, 2], [1], 2, r"must be \[N\]; got \(2,\), \(2,\) and \(1,\)"),
        (["s"], [1], [1], 0, "k must be 1 or more; got 0"),
    ],
)
def test_rows_that_are_wrong(sessions, scores, grades, k, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_rows(sessions, scores, grades, k=k)
