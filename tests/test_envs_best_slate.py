"""The best page is the best of all pages, by enumeration."""

from itertools import permutations

import numpy as np
import pytest

from companion.envs.best_slate import best_slate, page_value, place_factors

# Odds 1, 9 and 0.1. Of the second item a click is likely, but it is worth little.
ODDS = np.log([[1.0, 9.0, 0.1]])
WORTH = np.array([[1.0, 0.2, 0.5]])
ALL = np.ones((1, 3), bool)


def worth_of(pages, utility, value, none, place=1.0):
    shown = [np.take_along_axis(x, pages, 1) for x in (utility, value)]
    return page_value(*shown, none, place=place)


def best_of_all(utility, value, none, mask, k, place):
    """The largest value of any ordered page, for one shopper."""
    pages = [list(page) for page in permutations(np.flatnonzero(mask), k)]
    return max(page_value(utility[page], value[page], none, place=place) for page in pages)


def case(seed, shoppers=6):
    """Numbers of every kind: values of both signs, places in any order, some items forbidden."""
    rng = np.random.default_rng(seed)
    m = int(rng.integers(1, 7))
    k = int(rng.integers(1, m + 1))
    mask = rng.random((shoppers, m)) < 0.8
    mask[:, rng.permutation(m)[:k]] = True
    spread = rng.choice([0.3, 3.0, 9.0])
    utility, value = rng.normal(-1, spread, (shoppers, m)), rng.normal(0, 2, (shoppers, m))
    return utility, value, rng.normal(0, 1, shoppers), mask, k, rng.uniform(0.2, 1.5, k)


@pytest.mark.parametrize("seed", range(60))
def test_no_page_is_worth_more(seed):
    utility, value, none, mask, k, place = case(seed)
    pages = best_slate(utility, value, none, mask, k, place=place)
    assert np.take_along_axis(mask, pages, 1).all()
    assert all(len(set(page)) == k for page in pages.tolist())
    found = worth_of(pages, utility, value, none, place)
    each = zip(utility, value, none, mask, strict=True)
    expected = [best_of_all(*one, k, place) for one in each]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


def test_what_a_page_is_worth_by_hand():
    # (1 x 1 + 0.1 x 0.5) / (1 + 1 + 0.1), and with half of the odds at the second place
    page = np.log([1.0, 0.1]), np.array([1.0, 0.5])
    assert page_value(*page, 0.0) == pytest.approx(1.05 / 2.1)
    assert page_value(*page, 0.0, place=0.5) == pytest.approx(1.025 / 2.05)
    assert page_value(*page, 4.0, place=np.array([0.5, 2.0])) == pytest.approx(4.6 / 1.7)


def test_the_likeliest_click_is_left_out_where_it_keeps_from_a_better_one():
    # 0 with 1: 2.8 / 11; 0 with 2: 1.05 / 2.1; 1 with 2: 1.85 / 10.1
    assert best_slate(ODDS, WORTH, 0.0, ALL, 2).tolist() == [[0, 2]]
    mask = np.array([[False, True, True]])
    assert best_slate(ODDS, WORTH, 0.0, mask, 2).tolist() == [[1, 2]]


def test_a_dear_silence_is_kept_by_items_that_nobody_clicks():
    assert best_slate(ODDS, WORTH, 5.0, ALL, 1).tolist() == [[2]]
    assert best_slate(ODDS, WORTH, np.array([-5.0]), ALL, 1).tolist() == [[1]]


def test_the_best_item_stands_where_the_factor_is_largest():
    utility, value = np.zeros((1, 3)), np.array([[3.0, 9.0, 6.0]])
    assert best_slate(utility, value, 0.0, ALL, 3, place=0.5).tolist() == [[1, 2, 0]]
    assert best_slate(utility, value, 0.0, ALL, 3, place=2.0).tolist() == [[0, 2, 1]]
    place = np.array([0.5, 0.9, 0.7])
    assert best_slate(utility, value, 0.0, ALL, 3, place=place).tolist() == [[0, 1, 2]]


def test_an_item_that_does_harm_stands_where_it_is_clicked_least():
    value = np.array([[1.0, -4.0]])
    pages = best_slate(np.zeros((1, 2)), value, 0.0, np.ones((1, 2), bool), 2, place=0.1)
    assert pages.tolist() == [[0, 1]]


def test_of_equal_items_those_with_the_lower_numbers_come_first():
    mask = np.array([[False, True, True, True, True]] * 2)
    pages = best_slate(np.zeros((2, 5)), np.ones((2, 5)), np.zeros(2), mask, 3)
    assert pages.tolist() == [[1, 2, 3]] * 2


def test_utilities_may_be_huge():
    utility = np.array([[640.0, 630.0, -50.0], [-600.0, -601.0, -590.0]])
    value = np.array([[1.0, 2.0, 9.0]] * 2)
    pages = best_slate(utility, value, 0.0, np.ones((2, 3), bool), 1)
    found = worth_of(pages, utility, value, 0.0)
    assert pages[0] == 1  # certain to be clicked, as item 0 is; item 2 is never
    np.testing.assert_allclose(found, [2.0, 0.0], atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_utilities_may_lie_far_apart(dtype):
    """The page of the least clicked items is filled too, where each click does harm."""
    order = np.array(list(permutations(range(4))))  # [24, 4]
    utility = np.array([900.0, -850.0, -900.0, -800.0], dtype)[order]
    value = np.array([-5.0, 1.0, 2.0, -1.0], dtype)[order]
    pages = best_slate(utility, value, 0.0, np.ones((24, 4), bool), 2)
    shown = np.take_along_axis(order, pages, axis=1)
    assert (np.sort(shown, axis=1) == [1, 2]).all()


def test_a_constant_on_all_values_changes_no_page():
    utility, value, none, mask, k, place = case(11)
    one = best_slate(utility, value, none, mask, k, place=place)
    other = best_slate(utility, value + 7, none + 7, mask, k, place=place)
    assert one.tolist() == other.tolist()


def test_what_may_not_be_shown_may_hold_any_number():
    mask = np.array([[True, False, True]])
    utility, value = ODDS.copy(), WORTH.copy()
    utility[0, 1], value[0, 1] = np.nan, np.inf
    assert best_slate(utility, value, 0.0, mask, 2).tolist() == [[0, 2]]


def test_the_arguments_stay_as_they_were():
    utility, value, none, mask, k, place = case(5)
    given = [np.array(x) for x in (utility, value, none, mask, place)]
    best_slate(utility, value, none, mask, k, place=place)
    for before, after in zip(given, (utility, value, none, mask, place), strict=True):
        assert np.array_equal(before, after)


def test_the_factors_of_places():
    assert place_factors(0.5, 3).tolist() == [1.0, 0.5, 0.25]
    assert place_factors(np.array([2.0, 3.0]), 2).tolist() == [2.0, 3.0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"utility": ODDS[:, :2]}, r"utility must be \[1, 3\]; got \[1, 2\]"),
        ({"value": WORTH[0]}, r"value must be \[1, 3\]; got \[3\]"),
        ({"value": np.array([[1, np.nan, 0]])}, "shopper 0: value must be finite"),
        ({"utility": np.array([[1, np.inf, 0]])}, "shopper 0: utility must be finite"),
        ({"no_click_value": np.nan}, "shopper 0: no_click_value must be finite; got nan"),
        ({"k": 0}, "from 1 to 3 places"),
        ({"k": 4}, "from 1 to 3 places"),
        ({"mask": np.array([[True, False, False]])}, "shopper 0: 1 items may be shown"),
        ({"mask": np.ones((1, 3))}, "true or false"),
        ({"place": 0.0}, "a factor of place must be finite and above 0; got 0"),
        ({"place": np.array([1.0, np.inf])}, "finite and above 0; got inf"),
        ({"place": np.ones(3)}, r"place must be one factor or 2; got the shape \[3\]"),
    ],
)
def test_wrong_input_is_named(change, reason):
    given = {"utility": ODDS, "value": WORTH, "no_click_value": 0.0, "mask": ALL, "k": 2} | change
    with pytest.raises(ValueError, match=reason):
        best_slate(**given)
