import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from companion.metrics.clicks import (
    calibration_error,
    log_loss,
    log_losses,
    mean_by_user,
    reliability,
)


def skewed(count=2_000, seed=0):
    rng = np.random.default_rng(seed)
    given = rng.beta(1, 12, count)
    return (rng.random(count) < given**0.8).astype(int), given


def test_log_loss_by_hand():
    found = log_losses([1, 0, 1], [0.5, 0.25, 1.0])
    assert found == pytest.approx([np.log(2), np.log(4 / 3), 0.0])
    assert log_loss([1, 0], [0.5, 0.25]) == pytest.approx((np.log(2) + np.log(4 / 3)) / 2)


def test_the_mean_of_the_rows_is_the_figure_of_scikit_learn():
    clicks, given = skewed()
    given[:3], clicks[:3] = [0, 1, 0], [0, 1, 1]
    assert log_losses(clicks, given).mean() == pytest.approx(log_loss(clicks, given), rel=1e-12)


def test_wrong_and_sure_costs_much_and_not_everything():
    assert log_losses([1, 0], [0.0, 1.0]) == pytest.approx([36.04, 36.04], abs=0.01)
    assert log_loss([1, 1], [0.5, 0.5]) == pytest.approx(np.log(2))  # all alike is defined


def test_means_by_user():
    found = mean_by_user([1.0, 2.0, 6.0], ["b", "a", "b"])
    assert (found.index.tolist(), found.tolist()) == (["a", "b"], [2.0, 3.5])
    with pytest.raises(ValueError, match="3 rows need as many users"):
        mean_by_user([1.0, 2.0, 3.0], [0, 1])
    with pytest.raises(ValueError, match="row 0 has no user"):
        mean_by_user([1.0, 2.0], [np.nan, 1])


def test_reliability_by_hand():
    table = reliability([1, 0, 1, 1, 0], [0.0, 0.5, 0.6, 1.0, 0.5], count=2)
    assert table["low"].tolist() == [0.0, 0.5]
    assert table["high"].tolist() == [0.5, 1.0]
    assert table["impressions"].tolist() == [3, 2]  # an upper edge belongs to its bin
    assert table["predicted"].tolist() == pytest.approx([1 / 3, 0.8])
    assert table["clicked"].tolist() == pytest.approx([1 / 3, 1.0])
    gap = calibration_error([1, 0, 1, 1, 0], [0.0, 0.5, 0.6, 1.0, 0.5], count=2)
    assert gap == pytest.approx(2 / 5 * 0.2)


@pytest.mark.parametrize(
    ("bins", "strategy"), [("equal width", "uniform"), ("equal count", "quantile")]
)
@pytest.mark.parametrize("count", [1, 5, 10])
def test_bins_agree_with_scikit_learn(bins, strategy, count):
    clicks, given = skewed()
    table = reliability(clicks, given, bins=bins, count=count)
    clicked, predicted = calibration_curve(clicks, given, n_bins=count, strategy=strategy)
    np.testing.assert_allclose(table["clicked"], clicked)
    np.testing.assert_allclose(table["predicted"], predicted)
    assert table["impressions"].sum() == len(clicks)
    assert (table["predicted"] <= table["high"]).all()
    assert (table["predicted"] >= table["low"]).all()


def test_bins_of_equal_count_hold_as_many():
    clicks, given = skewed()
    table = reliability(clicks, given, bins="equal count", count=8)
    assert table["impressions"].tolist() == [250] * 8
    one = reliability([0, 1, 0], [0.2, 0.2, 0.2], bins="equal count")
    assert one.to_dict("list") == {
        "low": [0.2], "high": [0.2], "impressions": [3],
        "predicted": pytest.approx([0.2]), "clicked": pytest.approx([1 / 3]),
    }  # fmt: skip


def test_a_calibrated_model_has_a_small_error_and_a_shifted_one_its_shift():
    rng = np.random.default_rng(4)
    given = rng.uniform(0.05, 0.6, 200_000)
    clicks = rng.random(200_000) < given
    assert calibration_error(clicks, given) < 0.01
    assert calibration_error(clicks, given + 0.2) == pytest.approx(0.2, abs=0.01)
    assert calibration_error(clicks, np.full(200_000, clicks.mean())) < 1e-9  # and knows nothing


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"given": [0.1, 1.1]}, r"row 1: a probability lies in \[0, 1\]; got 1.1"),
        ({"given": [np.nan, 0.1]}, r"row 0: a probability lies in \[0, 1\]; got nan"),
        ({"clicks": [0, 3]}, "row 1: a click is 0 or 1; got 3"),
        ({"bins": "ten"}, "bins must be 'equal width' or 'equal count'; got 'ten'"),
        ({"count": 0}, "count must be 1 or more bins; got 0"),
    ],
)
def test_what_is_wrong_is_named(arguments, sentence):
    given = {"clicks": [0, 1], "given": [0.1, 0.2], **arguments}
    rows = given.pop("clicks"), given.pop("given")
    with pytest.raises(ValueError, match=sentence):
        calibration_error(*rows, **given)
    if not given:
        for loss in (log_loss, log_losses):
            with pytest.raises(ValueError, match=sentence):
                loss(*rows)
