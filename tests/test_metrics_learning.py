import numpy as np
import pytest
from scipy import stats

from companion.metrics.learning import band, smooth


def runs(n=30, length=4, seed=0):
    return np.random.default_rng(seed).normal(np.arange(length), 2.0, (n, length))


def test_the_band_is_the_bootstrap_interval_of_the_mean():
    values = runs()
    found = band(values, seed=0, samples=4_000)
    np.testing.assert_allclose(found.middle, values.mean(0))
    half = stats.norm.ppf(0.975) * values.std(0) / np.sqrt(len(values))
    np.testing.assert_allclose(found.high - found.middle, half, rtol=0.1)
    np.testing.assert_allclose(found.middle - found.low, half, rtol=0.1)
    narrow = band(values, seed=0, level=0.5)
    assert (narrow.high - narrow.low < found.high - found.low).all()


def test_the_interval_holds_the_truth_as_often_as_it_says():
    inside = 0
    for seed in range(200):
        found = band(runs(20, 1, seed), seed=seed, samples=300)
        inside += bool(found.low[0] <= 0.0 <= found.high[0])
    assert 175 <= inside <= 199


def test_one_wild_run_moves_the_robust_middle_little():
    values = runs()
    wild = values.copy()
    wild[0] += 1_000
    plain = band(wild, seed=0).middle - band(values, seed=0).middle
    robust = band(wild, seed=0, robust=True).middle - band(values, seed=0, robust=True).middle
    assert (plain > 30).all()
    assert (np.abs(robust) < 1).all()
    expected = stats.trim_mean(values, 0.25)
    np.testing.assert_allclose(band(values, seed=0, robust=True).middle, expected)


def test_runs_are_drawn_whole():
    """Two runs that cross: at each point some draw has only the one or only the other."""
    found = band([[0.0, 1.0], [1.0, 0.0]], seed=0)
    np.testing.assert_array_equal(found.low, [0, 0])
    np.testing.assert_array_equal(found.high, [1, 1])


def test_the_same_seed_gives_the_same_band():
    for one, other in zip(band(runs(), seed=1), band(runs(), seed=1), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (band(runs(), seed=1).low != band(runs(), seed=2).low).any()


@pytest.mark.parametrize("window", [1, 2, 3, 5, 9])
def test_smoothing_looks_back_only(window):
    values = runs(2, 5)
    found = smooth(values, window)
    for e in range(5):
        expected = values[:, max(0, e - window + 1) : e + 1].mean(1)
        np.testing.assert_allclose(found[:, e], expected)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="two runs or more"):
        band(np.zeros((1, 3)), seed=0)
    with pytest.raises(ValueError, match="two runs or more"):
        band(np.zeros(3), seed=0)
    values = runs()
    values[3, 1] = np.nan
    with pytest.raises(ValueError, match="run 3, place 1"):
        band(values, seed=0)
    with pytest.raises(ValueError, match="level"):
        band(runs(), seed=0, level=1)
    with pytest.raises(ValueError, match="window"):
        smooth([1.0], 0)
