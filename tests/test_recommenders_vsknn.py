"""VSKNN: by hand, and against plain loops over sessions as the paper tells them."""

from math import log, log10

import numpy as np
import pytest

from companion.core.seeding import generator
from companion.recommenders.interactions import interactions
from companion.recommenders.vsknn import PLACES, STEPS, VsknnConfig, fit_vsknn

# Sessions 0 to 3, from the oldest to the latest: items 0 1 2, then 1 3, then 0 3, then 4 5.
SESSIONS = [[0, 1, 2], [1, 3], [0, 3], [4, 5]]


def log_of(sessions, items, users=None):
    rows = [
        (s, item, 100 * s + n) for s, each in enumerate(sessions) for n, item in enumerate(each)
    ]
    session, item, time = np.array(rows).T
    user = session if users is None else np.array(users)[session]
    return interactions(user, item, (int(user.max()) + 1, items), seconds=time, sessions=session)


def reference(sessions, current, items, config):
    """One current session, in plain loops. Past sessions from the oldest to the latest."""
    place = {item: n for n, item in enumerate(current, 1)}  # the latest place wins
    length, near = len(current), []
    sharing = [n for n, each in enumerate(sessions) if set(each) & set(place)]
    for n in reversed(sharing[-config.sample :]):
        weights = {
            "same": lambda p: 1.0,
            "linear": lambda p: p / length,
            "quadratic": lambda p: (p / length) ** 2,
            "log": lambda p: 1 / log10(length - p + 1.7),
        }
        shared = set(sessions[n]) & set(place)
        alike = sum(weights[config.places](place[i]) for i in shared) / len(place)
        near.append((round(alike, 12), n))
    near.sort(key=lambda each: -each[0])  # of equals, the latest session stays in front
    scores = np.zeros(items)
    for alike, n in near[: config.neighbours]:
        back = next(r for r, item in enumerate(reversed(current), 1) if item in sessions[n])
        closeness = {
            "same": 1.0,
            "inverse": 1 / back,
            "inverse square": 1 / back**2,
            "log": 1 / log10(back + 1.7),
        }[config.steps]
        for item in set(sessions[n]):
            rare = log(len(sessions) / sum(item in each for each in sessions))
            scores[item] += alike * closeness * (1 + config.idf * rare)
    return scores


def test_scores_by_hand():
    """The current session is 2, then 0. Weights 1/2 and 1, over two items.

    Session 0 0 1 2 is alike by (1 + 1/2) / 2, session 0 3 by 1/2; both share the last item.
    """
    model = fit_vsknn(log_of(SESSIONS, 7))
    np.testing.assert_allclose(
        model.scores_of([[2, 0]]), [[3 / 4 + 1 / 2, 3 / 4, 3 / 4, 1 / 2, 0, 0, 0]]
    )


def test_a_neighbour_that_shares_an_early_item_alone_counts_less():
    """The current session is 0, then 4: session 4 5 shares the last place, the others place 1."""
    found = fit_vsknn(log_of(SESSIONS, 7)).scores_of([[0, 4, -1]])[0]
    assert found[5] == pytest.approx(1 / 2)
    assert found[2] == pytest.approx(1 / 4 * 1 / 2)


def test_the_latest_sessions_are_sampled_before_similarity_is_looked_at():
    model = fit_vsknn(log_of(SESSIONS, 7), VsknnConfig(sample=1))
    found = model.scores_of([[2, 0]])[0]
    assert np.flatnonzero(found).tolist() == [0, 3]  # of session 2 alone, though 0 is more alike
    model = fit_vsknn(log_of(SESSIONS, 7), VsknnConfig(neighbours=1))
    assert np.flatnonzero(model.scores_of([[2, 0]])[0]).tolist() == [0, 1, 2]


def test_the_latest_is_that_of_the_last_event_whatever_the_session_is_called():
    past = interactions(
        [0, 0, 1, 1], [0, 1, 0, 2], (2, 3), seconds=[1, 9, 5, 6], sessions=[7, 7, 3, 3]
    )
    found = fit_vsknn(past, VsknnConfig(sample=1)).scores_of([[0]])[0]
    assert np.flatnonzero(found).tolist() == [0, 1]


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("steps", STEPS)
def test_against_plain_loops(places, steps):
    rng = generator(0, "sessions")
    sessions = [rng.integers(0, 15, rng.integers(1, 7)).tolist() for _ in range(60)]
    current = [rng.integers(0, 15, rng.integers(1, 9)).tolist() for _ in range(150)]
    padded = np.full((150, 8), -1)
    for row, items in zip(padded, current, strict=True):
        row[: len(items)] = items
    config = VsknnConfig(neighbours=5, sample=12, places=places, steps=steps, idf=0.7)
    found = fit_vsknn(log_of(sessions, 15), config).scores_of(padded)
    wanted = [reference(sessions, each, 15, config) for each in current]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_a_user_s_current_session_is_the_end_of_the_user_s_log():
    sessions = [[0, 1, 2], [1, 3], [0, 3], [4, 5], [2, 4, 6]]
    users = [0, 1, 0, 1, 0]
    past = log_of(sessions, 8, users)
    every = fit_vsknn(past)
    found = every.scores_of([[0, 1, 2, 0, 3, 2, 4, 6], [1, 3, 4, 5, -1, -1, -1, -1]])
    np.testing.assert_allclose(every.scores([0, 1]), found)
    short = fit_vsknn(past, VsknnConfig(length=2))
    np.testing.assert_allclose(short.scores([0, 1]), short.scores_of([[4, 6], [4, 5]]))


def test_the_order_of_the_rows_is_that_of_their_times():
    past = log_of(SESSIONS, 7, [0, 0, 1, 1])
    order = generator(0, "rows").permutation(len(past.users))
    mixed = past._replace(**{n: c[order] for n, c in past._asdict().items() if n != "shape"})
    np.testing.assert_array_equal(fit_vsknn(mixed).scores([0, 1]), fit_vsknn(past).scores([0, 1]))


def test_items_of_one_moment_share_a_place():
    """A basket has no order: items 0 and 1 come at one time, item 2 later."""
    past = interactions([0, 0, 0, 1, 2, 3], [0, 1, 2, 0, 1, 2], (4, 3), seconds=[5, 5, 8, 1, 1, 1])
    model = fit_vsknn(past)
    assert model.lengths.tolist() == [2, 1, 1, 1]
    assert model.places.toarray()[0].tolist() == [1, 1, 2]
    scores = model.scores([0])[0]
    assert scores[0] == scores[1] < scores[2]


def test_nothing_shared_or_nothing_had_scores_nothing():
    past = log_of(SESSIONS, 7)
    model = fit_vsknn(past._replace(shape=(6, 7)))
    assert not model.scores([4, 5]).any()
    assert not model.scores_of([[6, -1], [-1, -1]]).any()
    assert np.isfinite(model.idf).all()


@pytest.mark.parametrize(
    ("sessions", "sentence"),
    [
        ([[1, 2], [-1, 1]], "row 1 has an item after a gap: pad on the right"),
        ([[7, 1]], "items must be from 0 to 6, or -1 for padding"),
        ([[1, -2]], "items must be from 0 to 6, or -1 for padding"),
    ],
)
def test_sessions_that_cannot_be_meant_are_refused(sessions, sentence):
    with pytest.raises(ValueError, match=sentence):
        fit_vsknn(log_of(SESSIONS, 7)).scores_of(sessions)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"neighbours": 0}, "neighbours must be 1 or more; got 0"),
        ({"sample": 0}, "sample must be 1 or more; got 0"),
        ({"length": 0}, "length must be 1 or more; got 0"),
        ({"places": "div"}, "places must be one of same, linear, quadratic, log; got 'div'"),
        ({"steps": "linear"}, "steps must be one of same, inverse, .*; got 'linear'"),
        ({"idf": -1}, "idf must be 0 or more and finite; got -1"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(change, sentence):
    with pytest.raises(ValueError, match=sentence):
        VsknnConfig(**change)
