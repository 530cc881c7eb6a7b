"""The table of assumptions is whole, and says what the code does."""

import re
from dataclasses import fields, replace

import pytest

from companion.envs import assumptions as module
from companion.envs import calibration_targets, shop_page, shop_view, shop_world, shopper
from companion.envs.assumptions import assumptions, meanings
from companion.envs.calibration import CALIBRATED, PROFILES, SHOPPERS
from companion.envs.calibration_fit import FREE
from companion.envs.shop_view import ShopConfig
from companion.envs.shopper import ShopperConfig

TABLE = assumptions()
CONFIGS = {"shopper": ShopperConfig, "shop": ShopConfig}
HOW = {"fitted", "published", "by hand", "declared", "from the log", "left out"}


@pytest.mark.parametrize("part", CONFIGS)
def test_every_setting_is_in_the_table_once_with_its_value_and_nothing_else_is(part):
    settings = {field.name: field.default for field in fields(CONFIGS[part])}
    assert TABLE.loc[part]["value"].to_dict() == settings


def test_every_setting_has_a_meaning_a_unit_and_an_origin():
    for column in ("meaning", "unit", "how", "source"):
        assert all(isinstance(text, str) and text for text in TABLE[column]), column
    assert set(TABLE["how"]) == HOW
    assert TABLE.index.is_unique


def test_fitted_are_just_those_that_the_calibration_may_move():
    shown = TABLE.loc["shopper"]
    assert set(shown.index[shown["how"] == "fitted"]) == set(FREE)


def test_where_another_profile_differs_its_value_is_shown():
    for profile in PROFILES[1:]:
        shown = TABLE.loc["shopper"][profile]
        for field in fields(ShopperConfig):
            other, ours = getattr(SHOPPERS[profile], field.name), getattr(CALIBRATED, field.name)
            assert shown[field.name] == ("" if other == ours else other), (profile, field.name)
    assert TABLE.loc[("shopper", "place"), "open bandit"] == 1.0
    assert TABLE.loc[("shopper", "drift"), "taobao"] == ""


def test_published_settings_name_a_paper_that_the_code_names_too():
    said = f"{shopper.__doc__}{ShopperConfig.__doc__}{ShopConfig.__doc__}"
    shown = TABLE.loc["shopper"]
    for name, source in shown["source"][shown["how"] == "published"].items():
        for number in re.findall(r"arXiv:\d+\.\d+", source):
            assert number in said, name
    for name in ("drift", "boredom_clicks", "boredom_window", "place"):
        entry = next(t for t in ShopperConfig.__doc__.split("\n        ") if t.startswith(name))
        assert "SARDINE" in ShopperConfig.__doc__[ShopperConfig.__doc__.index(entry) :][:200]
        assert "SARDINE" in shown.loc[name, "source"]


def test_fitted_settings_name_a_source_that_the_targets_have():
    sources = {
        calibration_targets.VIRTUAL_TAOBAO,
        calibration_targets.OPEN_BANDIT,
        calibration_targets.BETWEEN,
        calibration_targets.RETAILROCKET,
        module.LATER,
    }
    shown = TABLE.loc["shopper"]
    for name, source in shown["source"][shown["how"] == "fitted"].items():
        assert any(known in source for known in sources), name


def test_the_weeks_of_the_fit_are_the_last_of_the_training_weeks():
    weeks = 53
    first = int(weeks * shop_world.TRAIN_SHARE**2) + 1
    assert (
        f"weeks {first} to {int(weeks * shop_world.TRAIN_SHARE)} of Complete " + ("Journey")
        == module.LATER
    )


def test_constants_are_read_from_the_code():
    assert TABLE.loc[("world", "smoothing"), "value"] == shop_world.SMOOTHING
    assert TABLE.loc[("world", "training weeks"), "value"] == shop_world.TRAIN_SHARE
    assert TABLE.loc[("world", "items"), "value"] == 500
    assert TABLE.loc[("world", "topics"), "value"] == 20
    assert TABLE.loc[("log", "memory"), "value"] == shop_page.MEMORY
    assert TABLE.loc[("log", "long away"), "value"] == shop_view.YEAR
    assert TABLE.loc[("log", "many purchases"), "value"] == shop_view.ENOUGH


def test_a_setting_that_was_changed_is_no_longer_called_fitted_or_published():
    table = assumptions(replace(CALIBRATED, boredom=2.0, no_click=1.0), ShopConfig(slate_size=3))
    found = table.loc["shopper"].loc[["boredom", "no_click", "drift"], ["value", "how"]]
    assert found.to_numpy().tolist() == [[2.0, "changed"], [1.0, "changed"], [0.05, "published"]]
    assert table.loc[("shop", "slate_size"), "how"] == "changed"
    assert table.loc[("shop", "horizon"), "how"] == "declared"


def test_meanings_are_the_first_sentences_of_the_docstring():
    class Config:
        """Settings.

        Attributes:
            one: what it is. More.
            two: a longer one, which
                goes on. SARDINE: 3.
        """

    assert meanings(Config) == {"one": "what it is", "two": "a longer one, which goes on"}
    assert meanings(ShopConfig)["purchase"] == "reward of a purchase"
    assert set(meanings(ShopperConfig)) == {field.name for field in fields(ShopperConfig)}
    for text in meanings(ShopperConfig).values():
        assert not re.search(r"\b(its logarithm|that fades|same terms|it fades)\b", text), text


def test_every_mechanism_of_the_docstring_is_named():
    """The table at the head of `shopper` and this one speak of the same things."""
    first = re.findall(r"^\| ([^|]+) \|", shopper.__doc__, re.MULTILINE)[2:]
    text = " ".join([*TABLE["meaning"], *(name for _, name in TABLE.index)])
    words = {"choice": "logit", "satisfied need": "need", "place on the page": "place"}
    for mechanism in first:
        for word in re.split(r", | of | in | by ", words.get(mechanism, mechanism)):
            assert word.rstrip("s")[:6] in text, mechanism
