import numpy as np
import pandas as pd
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
    ours = base + 0.1 + 0.1 * rng.normal(size=500)
    found = paired_difference(ours, base, seed=0)
    apart = [bootstrap_mean(values, seed=0) for values in (ours, base)]
    assert found.mean == pytest.approx(apart[0].mean - apart[1].mean)
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.1 / np.sqrt(500), rel=0.15)
    assert all(found.high - found.low < 0.2 * (one.high - one.low) for one in apart)
    assert apart[0].low < apart[1].high  # the means alone could not tell them apart
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
    assert verdict(found, "up", "base").startswith("“up” is better than “base”: +0.")
    assert verdict(found, "down", "base").startswith("“down” is worse than “base”: -0.")
    assert "cannot be told apart" in verdict(found, "same", "base")


@pytest.mark.parametrize("level", [95, 1.5, 1.0, 0.0, -0.5, float("nan")])
def test_a_level_that_is_no_share_is_refused(level):
    values = [1.0, 2.0, 3.0]
    for call in (
        lambda: bootstrap_mean(values, seed=0, level=level),
        lambda: paired_difference(values, values[::-1], seed=0, level=level),
        lambda: comparison({"a": values, "b": values[::-1]}, "a", seed=0, level=level),
    ):
        with pytest.raises(ValueError, match=r"level must lie in \(0, 1\)"):
            call()


@pytest.mark.parametrize("value", [float("inf"), float("-inf")])
def test_an_infinite_value_is_refused(value):
    with pytest.raises(ValueError, match="a value is infinite"):
        bootstrap_mean([1.0, value, np.nan], seed=0)
    with pytest.raises(ValueError, match="a value is infinite"):
        comparison({"a": [1.0, 2.0], "b": [1.0, value]}, "a", seed=0)


def test_methods_that_were_evaluated_on_other_users_are_not_compared():
    values = {"a": [1.0, np.nan, 3.0], "b": [1.0, 2.0, 3.0], "c": [3.0, np.nan, 1.0]}
    with pytest.raises(ValueError, match="'b' and 'a' were not evaluated on the same users"):
        comparison(values, "a", seed=0)
    with pytest.raises(ValueError, match="'a' and 'b' were not evaluated on the same users"):
        comparison({"b": values["b"], "a": values["a"]}, "b", seed=0)
    assert comparison({"a": values["a"], "c": values["c"]}, "a", seed=0).loc["c", "mean"] == 2.0


@pytest.mark.parametrize(("level", "deviations"), [(0.5, 0.674), (0.8, 1.282), (0.99, 2.576)])
def test_the_width_follows_the_level(level, deviations):
    values = np.random.default_rng(1).normal(size=2_000)
    expected = 2 * deviations / np.sqrt(2_000)
    for found in (
        bootstrap_mean(values, seed=0, level=level),
        paired_difference(values, np.zeros(2_000), seed=0, level=level),
    ):
        assert found.high - found.low == pytest.approx(expected, rel=0.1)
        assert found.level == level
    row = comparison({"zero": np.zeros(2_000), "a": values}, "zero", seed=0, level=level).loc["a"]
    assert row["high"] - row["low"] == pytest.approx(expected, rel=0.1)
    assert row["difference high"] - row["difference low"] == pytest.approx(expected, rel=0.1)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # one sample has no deviation
def test_as_many_samples_are_drawn_as_are_asked_for():
    values = np.random.default_rng(1).normal(size=50)
    one = bootstrap_mean(values, seed=0, samples=1)
    assert one.low == one.high
    assert paired_difference(values, np.zeros(50), seed=0, samples=1)[1:3] == one[1:3]
    assert bootstrap_mean(values, seed=0, samples=500) != bootstrap_mean(values, seed=0)


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (0.0, 0.2, "cannot be told apart"),
        (-1e-6, 0.2, "cannot be told apart"),
        (1e-6, 0.2, "is better than"),
        (-0.2, 0.0, "cannot be told apart"),
        (-0.2, 1e-6, "cannot be told apart"),
        (-0.2, -1e-6, "is worse than"),
    ],
)
def test_an_interval_that_touches_zero_decides_nothing(low, high, words):
    gap = {"difference": [(low + high) / 2], "difference low": [low], "difference high": [high]}
    assert words in verdict(pd.DataFrame(gap, index=["new"]), "new", "old")
