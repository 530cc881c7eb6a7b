"""Abbreviations of product names."""

import csv

import pytest

from companion.data.fetch import DataMissing
from companion.data.product_words import FILE, WORD, abbreviations, expand
from companion.data.sources import complete_journey


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("PREP FD: SEAFD ENTREES (HOT)", "prepared food seafood entrees hot"),
        ("FRZN JCE CONC/DRNKS", "frozen juice concentrate drinks"),
        ("CANDY W/O FLOUR", "candy without flour"),
        ("MUSHROOMS W/WHOLE PKG", "mushrooms with whole package"),
        ("SV BEV: N/CARB FLV", "serve beverage non carbonated flavored"),
        ("BAR-B-Q ACCESSORIES GRILLS", "barbecue accessories grills"),
        ("DISH&LNDRY DETE", "dish and laundry detergent"),
        ("MISC. OTC MEDICINES", "miscellaneous over the counter medicines"),
        ("FM-NFL", "fm nfl"),
        ("MEN'S 1.5LT 50% JUIC", "men's 1.5lt 50% juice"),
        ("plain words stay", "plain words stay"),
        ("", ""),
        (" -/: ", ""),
    ],
)
def test_names_in_whole_words(short, long):
    assert expand(short) == long


def test_a_shop_s_own_abbreviations_come_first():
    assert expand("FD BX", {"fd": "fodder", "bx": "box"}) == "fodder box"
    with pytest.raises(ValueError, match="lower case; got 'BX'"):
        expand("FD BX", {"BX": "box"})


def test_the_dictionary_is_in_order_and_says_each_word_once():
    with FILE.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))
    shorts = [short for short, _ in rows[1:]]
    assert len(set(shorts)) == len(shorts) == len(abbreviations()) > 250
    for short, long in rows[1:]:
        assert short == short.upper(), short
        assert long == long.lower() != short.lower(), short
        assert not set(long.split()) & {other.lower() for other in shorts}, short


def test_each_abbreviation_is_a_word_of_the_log():
    try:
        items = complete_journey.load().items
    except DataMissing as error:
        pytest.skip(f"the Complete Journey log is not here: {error}")
    names = {*items["type"].drop_nulls(), *items["category"].drop_nulls()}
    seen = {word for name in names for word in expand(name).split()}
    assert not set(abbreviations()) - {
        word for name in names for word in WORD.findall(name.lower())
    }
    assert not set(abbreviations()) & seen  # none is left
