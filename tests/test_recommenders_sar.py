"""SAR: by hand, and against plain loops over sets of users."""

import numpy as np
import pytest
from scipy import sparse

from companion.core.seeding import generator
from companion.recommenders.interactions import interactions
from companion.recommenders.sar import (
    DAY,
    SIMILARITIES,
    SarConfig,
    cooccurrence,
    decay_of,
    fit_sar,
    similarity_of,
)

# Three users and three items: 0 has items 0 and 1, 1 has 0, 1 and 2, 2 has 0.
USERS, ITEMS = [0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 0]
NO_DECAY = SarConfig(half_life=None)


def counts():
    return cooccurrence(interactions(USERS, ITEMS, (3, 3)).seen())


def test_cooccurrence_by_hand():
    assert counts().toarray().tolist() == [[3, 2, 1], [2, 2, 1], [1, 1, 1]]
    twice = interactions([*USERS, 0, 0], [*ITEMS, 0, 0], (3, 3))
    np.testing.assert_array_equal(cooccurrence(twice.seen()).toarray(), counts().toarray())


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("co-occurrence", [[3, 2, 1], [2, 2, 1], [1, 1, 1]]),
        ("jaccard", [[1, 2 / 3, 1 / 3], [2 / 3, 1, 1 / 2], [1 / 3, 1 / 2, 1]]),
        ("lift", [[1 / 3, 1 / 3, 1 / 3], [1 / 3, 1 / 2, 1 / 2], [1 / 3, 1 / 2, 1]]),
        (
            "cosine",
            [[1, 2 / 6**0.5, 1 / 3**0.5], [2 / 6**0.5, 1, 0.5**0.5], [3**-0.5, 0.5**0.5, 1]],
        ),
        ("inclusion", [[1, 1, 1], [1, 1, 1], [1, 1, 1]]),
    ],
)
def test_each_similarity_by_hand(name, table):
    found = similarity_of(counts(), SarConfig(similarity=name))
    assert sparse.issparse(found)
    np.testing.assert_allclose(found.toarray(), table)


@pytest.mark.parametrize("name", SIMILARITIES)
def test_each_similarity_against_sets_of_users(name):
    rng = generator(0, "sets")
    had = rng.random((30, 12)) < rng.random(12)
    had[:, 3] = False  # nobody has it
    user, item = np.nonzero(had)
    log = interactions(user, item, (30, 12))
    found = similarity_of(cooccurrence(log.seen()), SarConfig(similarity=name, threshold=2))
    sets = [set(np.flatnonzero(had[:, i])) for i in range(12)]
    for i, one in enumerate(sets):
        for j, other in enumerate(sets):
            both = len(one & other)
            wanted = {
                "co-occurrence": both,
                "jaccard": both / max(len(one | other), 1),
                "lift": both / max(len(one) * len(other), 1),
                "cosine": both / max((len(one) * len(other)) ** 0.5, 1),
                "inclusion": both / max(min(len(one), len(other)), 1),
            }[name]
            assert found[i, j] == pytest.approx(wanted if both >= 2 else 0.0)


def test_a_pair_at_the_threshold_stays_and_denominators_do_not_change():
    found = similarity_of(counts(), SarConfig(threshold=2)).toarray()
    np.testing.assert_allclose(found, [[1, 2 / 3, 0], [2 / 3, 1, 0], [0, 0, 0]])


def test_affinity_halves_with_each_half_life():
    log = interactions(
        [0, 0, 1], [0, 0, 1], (2, 2), seconds=[0, 30 * DAY, 60 * DAY], weight=[4, 1, 5]
    )
    model = fit_sar(log, SarConfig(half_life=30))
    np.testing.assert_allclose(model.affinity.toarray(), [[4 / 4 + 1 / 2, 0], [0, 5]])
    np.testing.assert_allclose(decay_of(log, SarConfig(half_life=60)), [0.5, 0.5**0.5, 1])
    np.testing.assert_allclose(decay_of(log, SarConfig(half_life=30, now=0)), [1, 1, 1])
    late = SarConfig(half_life=30, now=90 * DAY)
    np.testing.assert_allclose(decay_of(log, late), [1 / 8, 1 / 4, 1 / 2])
    np.testing.assert_allclose(fit_sar(log, NO_DECAY).affinity.toarray(), [[5, 0], [0, 5]])


def test_scores_by_hand():
    log = interactions(USERS, ITEMS, (3, 3), weight=[5, 3, 1, 1, 1, 2])
    model = fit_sar(log, NO_DECAY)
    np.testing.assert_allclose(
        model.scores([0, 2]),
        [[5 + 3 * 2 / 3, 5 * 2 / 3 + 3, 5 / 3 + 3 / 2], [2, 4 / 3, 2 / 3]],
    )
    free = model.scores([0, 2], remove_seen=True)
    np.testing.assert_allclose(free, [[-np.inf, -np.inf, 19 / 6], [-np.inf, 4 / 3, 2 / 3]])


@pytest.mark.parametrize("threshold", [1, 15])
def test_scores_are_the_product_of_two_tables_whether_they_are_full_or_not(threshold):
    rng = generator(1, "full")
    users, items = rng.integers(0, 30, 400), rng.integers(0, 12, 400)
    log = interactions(users, items, (30, 12), weight=rng.integers(1, 6, 400))
    model = fit_sar(log, SarConfig(half_life=None, threshold=threshold))
    full = model.similarity.nnz / 144 > 2 / 3
    assert full == (threshold == 1)
    wanted = log.matrix().toarray() @ model.similarity.toarray()
    np.testing.assert_allclose(model.scores(np.arange(30)), wanted)


def test_rescaled_scores_lie_on_the_scale_of_the_weights():
    """User 0: unit scores 5/3, 5/3, 5/6; so the range is 5/6 to 25/3 on weights from 1 to 5."""
    log = interactions(USERS, ITEMS, (3, 3), weight=[5, 3, 1, 1, 1, 2])
    plain = fit_sar(log, NO_DECAY).scores([0])
    scaled = fit_sar(log, SarConfig(half_life=None, rescale=True)).scores([0])
    low, high = 5 / 6 * 1, 5 / 3 * 5
    np.testing.assert_allclose(scaled, 1 + (plain - low) / (high - low) * 4)


def test_rescaling_keeps_the_order_of_each_user():
    rng = generator(2, "order")
    log = interactions(
        rng.integers(0, 20, 200),
        rng.integers(0, 15, 200),
        (21, 15),
        seconds=rng.integers(0, 10**7, 200),
        weight=rng.integers(1, 6, 200),
    )
    plain, scaled = (fit_sar(log, SarConfig(rescale=r)).scores(np.arange(21)) for r in (0, 1))
    order = np.argsort(plain[:20], axis=1)
    assert (np.diff(np.take_along_axis(scaled[:20], order, axis=1), axis=1) >= -1e-12).all()
    assert np.ptp(scaled[20]) == 0  # a user without a log has no order, and no division by 0


def test_weights_that_are_all_the_same_are_no_scale():
    with pytest.raises(ValueError, match=r"no scale to bring scores to: all affinities are 1\.0"):
        fit_sar(interactions(USERS, ITEMS, (3, 3)), SarConfig(rescale=True))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"similarity": "Jaccard"}, "similarity must be one of co-occurrence, .*; got 'Jaccard'"),
        ({"half_life": 0}, "half_life must be above 0 and finite; got 0"),
        ({"half_life": float("inf")}, "half_life must be above 0 and finite; got inf"),
        ({"threshold": 0}, "threshold must be 1 or more; got 0"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        SarConfig(**change)
