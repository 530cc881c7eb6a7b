"""Drawn pictures of products."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from companion.data.picture_forms import FORMS
from companion.data.product_pictures import COLOURS, WORDS, form_of, hue_of, picture, pictures

EXAMPLES = {
    "can": "CANNED SOUP",
    "jar": "JELLY",
    "bottle": "SODA",
    "carton": "MILK",
    "wedge": "CHEESE",
    "tube": "TOOTHPASTE",
    "bag": "CHIPS",
    "tray": "BEEF",
    "loaf": "BREAD",
    "fruit": "APPLES",
    "greens": "LETTUCE",
    "packet": "CEREAL",
    "tag": "MAGAZINE",
}


@pytest.mark.parametrize(("form", "name"), EXAMPLES.items())
def test_the_form_follows_from_the_words(form, name):
    assert form_of(name) == form


def test_every_form_has_words_and_is_drawn_differently():
    assert set(EXAMPLES) == set(FORMS) == {*WORDS, "tag"}
    line = np.linspace(-1, 1, 60)
    u, v = np.meshgrid(line, line)
    drawn = []
    for form in FORMS.values():
        patches = form(u, v)
        assert all(mask.shape == u.shape and mask.any() for mask, _ in patches)
        assert {part for _, part in patches} <= {"main", "dark", "label", "white", "green"}
        seen = np.full(u.shape, "", dtype=object)
        for mask, part in patches:
            seen[mask] = part
        assert 0.1 < (seen != "").mean() < 0.75
        assert all((seen != other).mean() > 0.05 for other in drawn)
        drawn.append(seen)


def test_the_package_comes_before_the_contents_and_abbreviations_are_read():
    assert form_of("CANNED APPLES") == "can"
    assert form_of("FRZN BRD SEAFD") == form_of("frozen breaded seafood") == "bag"
    assert form_of("CHIX: FRD 8PC") == "tray"
    assert form_of("") == "tag"


def test_no_word_stands_for_two_things():
    for table in (WORDS, COLOURS):
        words = " ".join(table.values()).split()
        assert len(words) == len(set(words))


def test_a_colour_follows_from_a_word_else_from_the_form_else_from_the_name():
    assert hue_of("GREEN APPLES") == hue_of("green") == 0.33
    assert hue_of("APPLES") == 0.0
    assert hue_of("BAGELS") == hue_of("MUFFINS") == 0.09
    assert hue_of("VIDEO") == hue_of("video") != hue_of("MAGAZINE")
    assert 0 <= hue_of("VIDEO") < 1


def test_a_picture_is_the_same_with_the_same_seed_alone():
    one = picture("MILK", seed=3)
    assert one.shape == (32, 32, 3)
    assert one.dtype == np.float32
    assert one.min() >= 0
    assert one.max() <= 1
    np.testing.assert_array_equal(one, picture("MILK", seed=3))
    assert np.abs(one - picture("MILK", seed=4)).mean() > 0.02
    np.testing.assert_array_equal(pictures(["SODA", "MILK"], seed=2)[1], one)


def test_sizes():
    assert picture("MILK", seed=0, size=8).shape == (8, 8, 3)
    assert pictures([], seed=0, size=16).shape == (0, 16, 16, 3)
    with pytest.raises(ValueError, match="8 or more; got 7"):
        picture("MILK", seed=0, size=7)


def test_the_main_colour_is_seen():
    """The saturated part of an apple is red, of lettuce green."""
    for name, channel in (("APPLES", 0), ("LETTUCE", 1)):
        mean = np.mean([picture(name, seed=n).reshape(-1, 3) for n in range(20)], axis=0)
        strong = mean[np.argsort(mean.max(1) - mean.min(1))[-100:]].mean(axis=0)
        assert strong.argmax() == channel


def test_forms_can_be_told_apart_but_not_by_a_single_point():
    """A linear model on coarse pictures does well; the point in the middle does not say enough."""
    names = [name for name in EXAMPLES.values() for _ in range(40)]
    drawn = pictures(names, seed=0, size=16).reshape(len(names), -1)
    labels = np.repeat(np.arange(len(EXAMPLES)), 40)
    train = np.arange(len(names)) % 40 < 30
    model = LogisticRegression(C=0.1, max_iter=300).fit(drawn[train], labels[train])
    assert 0.6 < model.score(drawn[~train], labels[~train]) <= 1.0
    point = LogisticRegression(max_iter=300).fit(drawn[train][:, 360:363], labels[train])
    assert point.score(drawn[~train][:, 360:363], labels[~train]) < 0.6
