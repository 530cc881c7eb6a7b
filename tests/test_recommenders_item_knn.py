"""Item-kNN: by hand, and against scikit-learn's cosine."""

import numpy as np
import pytest
from sklearn.metrics.pairwise import cosine_similarity

from companion.core.seeding import generator
from companion.recommenders.interactions import interactions
from companion.recommenders.item_knn import ItemKnnConfig, fit_item_knn, neighbours_of

USERS, ITEMS = [0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 0]


def log(weight=None):
    return interactions(USERS, ITEMS, (3, 3), weight=weight)


def random_log(seed=0):
    rng = generator(seed, "item-kNN")
    return interactions(
        rng.integers(0, 40, 400),
        rng.integers(0, 30, 400),
        (40, 30),
        weight=rng.integers(1, 9, 400),
    )


def test_similarities_and_scores_by_hand():
    model = fit_item_knn(log(), ItemKnnConfig(neighbours=5, shrinkage=1.0))
    one, two, three = 2 / (6**0.5 + 1), 1 / (3**0.5 + 1), 1 / (2**0.5 + 1)
    np.testing.assert_allclose(
        model.similarity.toarray(), [[0, one, two], [one, 0, three], [two, three, 0]]
    )
    np.testing.assert_allclose(model.scores([0]), [[one, one, two + three]])


def test_each_item_keeps_its_own_nearest():
    """Of item 2, the nearest is 1; of 1 it is 0: row i holds the neighbours of i."""
    model = fit_item_knn(log(), ItemKnnConfig(neighbours=1, shrinkage=0.0))
    expected = np.zeros((3, 3))
    expected[0, 1] = expected[1, 0] = 2 / 6**0.5
    expected[2, 1] = 1 / 2**0.5
    np.testing.assert_allclose(model.similarity.toarray(), expected)


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("itself", [True, False])
def test_without_shrinkage_it_is_scikit_learn_s_cosine(binary, itself):
    data = random_log()
    config = ItemKnnConfig(neighbours=30, shrinkage=0.0, binary=binary, itself=itself)
    model = fit_item_knn(data, config)
    owned = data.matrix().toarray()
    owned = (owned > 0).astype(float) if binary else owned
    wanted = cosine_similarity(owned.T)
    if not itself:
        np.fill_diagonal(wanted, 0)
    np.testing.assert_allclose(model.similarity.toarray(), wanted, atol=1e-12)
    np.testing.assert_allclose(model.scores(np.arange(40)), owned @ wanted)


def test_k_neighbours_are_the_k_largest():
    data = random_log(1)
    every = neighbours_of(data.matrix(), ItemKnnConfig(neighbours=30)).toarray()
    few = neighbours_of(data.matrix(), ItemKnnConfig(neighbours=4)).toarray()
    for row, kept in zip(every, few, strict=True):
        best = np.argsort(-row, kind="stable")[:4]
        np.testing.assert_array_equal(np.flatnonzero(kept), np.sort(best))
        np.testing.assert_array_equal(kept[best], row[best])


def test_shrinkage_moves_rare_pairs_below_frequent_ones():
    """Items 0 and 1 share nine of ten users; 0 and 2 share their only common one of one."""
    users = [*range(10), *range(9), 10, 0]
    items = [0] * 10 + [1] * 9 + [1, 2]
    data = interactions(users, items, (11, 3))
    rare = fit_item_knn(interactions([*users, 11, 11], [*items, 3, 4], (12, 5)), ItemKnnConfig())
    assert rare.similarity[3, 4] == pytest.approx(1 / 11)
    assert rare.similarity[0, 1] == pytest.approx(9 / 20)
    bare = fit_item_knn(data, ItemKnnConfig(shrinkage=0.0)).similarity
    assert (bare[0, 1], bare[0, 2]) == (pytest.approx(0.9), pytest.approx(10**-0.5))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"neighbours": 0}, "neighbours must be 1 or more; got 0"),
        ({"shrinkage": -1.0}, "shrinkage must be 0 or more and finite; got -1.0"),
        ({"shrinkage": float("nan")}, "shrinkage must be 0 or more and finite; got nan"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        ItemKnnConfig(**change)
