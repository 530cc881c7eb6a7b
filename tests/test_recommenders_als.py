"""ALS: against the normal equations and the loss of the paper, in plain NumPy."""

import sys

import numpy as np
import pytest

from companion.core.seeding import generator
from companion.recommenders.als import AlsConfig, fit_als
from companion.recommenders.interactions import interactions

CONFIG = AlsConfig(factors=5, alpha=3.0, penalty=0.7, rounds=4)


def log():
    rng = generator(0, "als")
    return interactions(
        rng.integers(0, 29, 250), rng.integers(0, 19, 250), (30, 20), weight=rng.integers(1, 4, 250)
    )


@pytest.fixture(scope="module")
def model():
    pytest.importorskip("implicit", reason="implicit is not installed")
    return fit_als(log(), CONFIG, seed=0)


def test_each_item_solves_its_normal_equations(model):
    """The items come last: given the users' factors, theirs are exact."""
    x, weights = model.users.astype(float), log().matrix().toarray()
    for item in range(20):
        confidence = 1 + CONFIG.alpha * weights[:, item]
        left = x.T @ (confidence[:, None] * x) + CONFIG.penalty * np.eye(5)
        right = x.T @ (confidence * (weights[:, item] > 0))
        np.testing.assert_allclose(model.items[item], np.linalg.solve(left, right), atol=2e-5)
    assert not model.items[19].any()  # nobody had it
    assert not model.users[29].any()  # no log


def test_the_whole_run_against_dense_algebra(model):
    """From the same start: each round solves all users, then all items."""
    rng = generator(0, "als")
    x, y = (rng.random((n, 5), dtype=np.float32) * 0.01 for n in (30, 20))
    weights = log().matrix().toarray()
    for _ in range(CONFIG.rounds):
        x = solved(y.astype(float), weights)
        y = solved(x, weights.T)
    np.testing.assert_allclose(model.scores(np.arange(30)), x @ y.T, atol=1e-3)


def solved(fixed, weights):
    found = []
    for row in weights:
        confidence = 1 + CONFIG.alpha * row
        left = fixed.T @ (confidence[:, None] * fixed) + CONFIG.penalty * np.eye(fixed.shape[1])
        found.append(np.linalg.solve(left, fixed.T @ (confidence * (row > 0))))
    return np.array(found)


def test_more_rounds_never_raise_the_loss():
    pytest.importorskip("implicit", reason="implicit is not installed")
    losses = []
    for rounds in (1, 2, 4, 8, 16):
        config = AlsConfig(factors=5, alpha=3.0, penalty=0.7, rounds=rounds)
        losses.append(loss(fit_als(log(), config, seed=1), config))
    assert (np.diff(losses) <= 1e-3).all()
    assert losses[-1] < 0.9 * losses[0]


def loss(model, config):
    """c (p - x y)^2 over all pairs, and the penalty."""
    weights = log().matrix().toarray()
    error = (weights > 0) - model.scores(np.arange(30))
    size = (model.users.astype(float) ** 2).sum() + (model.items.astype(float) ** 2).sum()
    return ((1 + config.alpha * weights) * error**2).sum() + config.penalty * size


def test_the_seed_decides_and_the_threads_do_not(model):
    again, two = fit_als(log(), CONFIG, seed=0), fit_als(log(), CONFIG, seed=0, threads=2)
    other = fit_als(log(), CONFIG, seed=1)
    for same in (again, two):
        np.testing.assert_array_equal(same.users, model.users)
        np.testing.assert_array_equal(same.items, model.items)
    assert not np.allclose(other.users, model.users)


def test_a_missing_library_and_wrong_settings_are_named(monkeypatch):
    with pytest.raises(ValueError, match="threads must be 0 or more; got -1"):
        fit_als(log(), CONFIG, seed=0, threads=-1)
    for name in ("factors", "alpha", "penalty", "rounds"):
        with pytest.raises(ValueError, match=f"{name} must be above 0 and finite; got 0"):
            AlsConfig(**{name: 0})
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(ImportError, match="pip install 'implicit"):
        fit_als(log(), CONFIG, seed=0)
