from itertools import combinations

import numpy as np
import pytest
from scipy.spatial.distance import cosine

from companion.metrics.beyond import coverage, diversity, exposure_gini, novelty
from companion.metrics.ranking import NOTHING

SQUARE = np.array([[1.0, 0.0], [0.0, 3.0], [-2.0, 0.0], [5.0, 0.0]])


def test_diversity_by_hand():
    top = [[0, 3, NOTHING], [0, 1, NOTHING], [0, 2, NOTHING], [0, 1, 2]]
    assert diversity(top, SQUARE) == pytest.approx([0.0, 1.0, 2.0, 4 / 3])
    assert np.isnan(diversity([[1, NOTHING], [NOTHING, NOTHING]], SQUARE)).all()


def test_diversity_is_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(30, 4))
    top = rng.random((20, 30)).argsort(axis=1)[:, :6]
    top[rng.random(top.shape) < 0.2] = NOTHING
    expected = [
        np.mean([cosine(vectors[i], vectors[j]) for i, j in combinations(row[row >= 0], 2)])
        for row in top
    ]
    np.testing.assert_allclose(diversity(top, vectors), expected)


def test_novelty_by_hand():
    holders = [8, 4, 1, 0]  # of 8 users
    found = novelty([[0, 1], [2, NOTHING], [2, 3], [NOTHING, NOTHING]], holders, 8)
    assert found[:3].tolist() == [0.5, 3.0, 3.0]  # what nobody has counts as what one has
    assert np.isnan(found[3])


def test_coverage_and_gini_by_hand():
    top = [[0, 1], [0, NOTHING], [0, 1]]
    assert coverage(top, 8) == 0.25
    assert coverage([[NOTHING]], 8) == 0.0
    assert exposure_gini([[0, 1], [2, 3]], 4) == 0.0
    assert exposure_gini([[2], [2]], 4) == 0.75
    assert exposure_gini(top, 2) == pytest.approx(0.1)  # 3 and 2 times
    assert np.isnan(exposure_gini([[NOTHING]], 4))


def test_gini_is_the_mean_difference_of_two_items():
    rng = np.random.default_rng(1)
    top = np.minimum(rng.geometric(0.1, size=(50, 5)), 39)
    shown = np.bincount(top.ravel(), minlength=40)
    expected = np.abs(shown[:, None] - shown).mean() / (2 * shown.mean())
    assert exposure_gini(top, 40) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda: diversity([[0, 4]], SQUARE), "user 0: item 4 is not in the catalogue of 4"),
        (lambda: novelty([[0], [-2]], [1], 1), "user 1: item -2 is not in the catalogue of 1"),
        (lambda: coverage([[5]], 5), "user 0: item 5 is not in the catalogue of 5"),
        (lambda: exposure_gini([[5]], 5), "user 0: item 5 is not in the catalogue of 5"),
        (lambda: coverage([[NOTHING]], 0), "must have 1 item or more; got 0"),
        (lambda: novelty([[0]], [9], 8), "item 0: from 0 to 8 users can have it; got 9"),
        (lambda: novelty([[0]], [1, np.nan], 8), "item 1: from 0 to 8 users can have it; got nan"),
        (lambda: novelty([[0]], [1], 0), "users must be 1 or more; got 0"),
        (lambda: diversity([[0, 1]], SQUARE * [1, 0]), "item 1 has no direction: its length is 0"),
        (lambda: diversity([[0, 1]], SQUARE * [np.nan, 1]), "item 0 has no direction"),
    ],
)
def test_what_is_wrong_is_named(ask, sentence):
    with pytest.raises(ValueError, match=sentence):
        ask()


def test_an_item_without_a_direction_may_stay_unseen():
    assert diversity([[0, 3]], SQUARE * [1, 0]) == pytest.approx([0.0])
