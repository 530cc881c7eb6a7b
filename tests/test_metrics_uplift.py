import numpy as np
import pytest

from companion.metrics.uplift import bootstrap_mean, comparison, paired_difference, verdict


def test_the_interval_covers_the_truth_as_often_as_it_says():
    rng = np.random.default_rng(0)
    inside = 0
    for n in range(300):
        found = bootstrap_mean(rng.normal(1.0, 2.0, 80), seed=n, samples=400)
        inside += found.low <= 1.0 <= found.high
    assert 0.90 <= inside / 300 <= 0.98


def test_the_width_is_that_of_the_normal_interval():
    values = np.random.default_rng(1).normal(size=2_000)
    found = bootstrap_mean(values, seed=0)
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(2_000), rel=0.08)
    assert found.users == 2_000


def test_users_who_were_not_evaluated_are_left_out():
    found = bootstrap_mean([1.0, np.nan, 3.0], seed=0)
    assert (found.mean, found.users) == (2.0, 2)
    with pytest.raises(ValueError, match="two users"):
        bootstrap_mean([np.nan, 1.0], seed=0)


def test_a_paired_difference_is_tighter_than_two_means():
    rng = np.random.default_rng(2)
    base = rng.normal(size=500)
    found = paired_difference(base + 0.1, base, seed=0)
    assert found.mean == pytest.approx(0.1)
    assert found.excludes_zero
    assert not paired_difference(base, rng.permutation(base), seed=0).excludes_zero
    with pytest.raises(ValueError, match="same users"):
        paired_difference([1.0], [1.0, 2.0], seed=0)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(3).normal(size=50)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def table(gaps):
    rng = np.random.default_rng(0)
    base = rng.normal(size=400)
    methods = {name: base + gap + 0.1 * rng.normal(size=400) for name, gap in gaps.items()}
    return comparison({"base": base, **methods}, "base", seed=0)


def test_the_table_compares_with_the_incumbent():
    found = table({"up": 0.5, "down": -0.5})
    assert (
        found.loc["base", ["difference", "difference low", "difference high"]].tolist() == [0] * 3
    )
    assert found.loc["up", "difference"] == pytest.approx(0.5, abs=0.02)
    assert (found["low"] < found["mean"]).all()
    with pytest.raises(ValueError, match="'other' is not among"):
        comparison({"a": [1.0, 2.0]}, "other", seed=0)


def test_a_verdict_says_no_more_than_the_interval():
    found = table({"up": 0.5, "down": -0.5, "same": 0.001})
    assert verdict(found, "up", "base").startswith("up is better than base: +0.")
    assert verdict(found, "down", "base").startswith("down is worse than base: -0.")
    assert "cannot be told apart" in verdict(found, "same", "base")
