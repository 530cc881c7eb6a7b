"""What the abbreviations of a shop's product names stand for.

Tills have short lines, so a till's product is called "FRZN BKD FD" or "SFT DRNK 2 LITER BTL CARB
INCL". A model that has read ordinary text knows none of these words. The dictionary beside this
file (`product_words.csv`, written for this course) holds those of the Complete Journey log. What
has several meanings there, such as SW for "sweet" and "sweetener", or none that is known, is left.
"""

import csv
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

FILE = Path(__file__).with_suffix(".csv")
WORD = re.compile(r"w/o\b|w/|n/(?=carb)|bar-b-q|[a-z0-9]+(?:['.][a-z0-9]+)*%?|&")


@cache
def abbreviations() -> Mapping[str, str]:
    """Each abbreviation, in lower case, and what it stands for."""
    with FILE.open(encoding="utf-8", newline="") as lines:
        rows = {row["short"].lower(): row["long"] for row in csv.DictReader(lines)}
    return MappingProxyType(rows)


def expand(text: str, more: Mapping[str, str] = MappingProxyType({})) -> str:
    """A product's name in whole words: lower case, without separators, abbreviations written out.

    Args:
        text: such as "PREP FD: SEAFD ENTREES (HOT)"; "" gives "".
        more: abbreviations of your own shop, in lower case; they come before the dictionary's.

    Returns:
        Such as "prepared food seafood entrees hot". A word that is no abbreviation stays.

    Raises:
        ValueError: an abbreviation of `more` is not in lower case.
    """
    for short in more:
        if short != short.lower():
            raise ValueError(f"abbreviations must be in lower case; got {short!r}")
    known = abbreviations()
    words = WORD.findall(text.lower())
    return " ".join(more.get(word, known.get(word, word)) for word in words)
