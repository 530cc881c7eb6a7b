"""What a simulated shopper types: words of a product type, in other words, with slips. Simulated.

The types of Complete Journey are shelf labels ("SFT DRNK 2 LITER BTL CARB INCL"). They are spelled
out first, then one or two of their words are kept, perhaps by another name, perhaps mistyped.
"""

import re

import numpy as np

SPELLED = {
    "sft": "soft", "drnk": "drink", "btl": "bottle", "carb": "fizzy", "frzn": "frozen",
    "choc": "chocolate", "veg": "vegetables", "vegs": "vegetables", "chix": "chicken",
    "chkn": "chicken", "bkfst": "breakfast", "brkfst": "breakfast", "pnt": "peanut",
    "btr": "butter", "sce": "sauce", "dnr": "dinner", "crm": "cream", "sndwch": "sandwich",
    "sw": "sweet", "bns": "beans", "pkg": "packet", "flvr": "flavour",
    "mwv": "microwave", "fz": "frozen", "ckd": "cooked", "grnd": "ground", "chs": "cheese",
}  # fmt: skip
OTHERWISE = {
    "soft drinks": "soda", "fluid milk": "milk", "soda": "fizzy drink", "cookie": "biscuit",
    "cookies": "biscuits", "chips": "crisps", "candy": "sweets", "yogurt": "yoghurt",
    "buns": "rolls", "beef": "steak", "laundry": "washing powder", "dishes": "dish soap",
    "bins": "bin bags", "pets": "pet food", "ice": "ice cream", "ready": "ready meal",
}  # fmt: skip
DULL = {"and", "of", "the", "other", "only", "all", "misc", "incl", "reg", "nf", "ea", "lb", "oz"}
SYNONYM, SHORT, SLIP = 0.3, 0.5, 0.08  # how often: another name, one word alone, a mistyped letter


def words(kind: str) -> list[str]:
    """The telling words of a product type, spelled out, in lower case; never none."""
    found = [SPELLED.get(word, word) for word in re.findall(r"[^\W\d_]{2,}", kind.lower())]
    telling = list(dict.fromkeys(word for word in found if word not in DULL))
    return telling or [kind.lower().strip() or "anything"]


def query(kind: str, rng: np.random.Generator) -> str:
    """One search for a product type.

    Args:
        kind: name of the type.
        rng: of the choices.
    """
    telling = words(kind)
    text = " ".join(telling[: 1 if rng.random() < SHORT else 2])
    if rng.random() < SYNONYM:
        for known, other in OTHERWISE.items():
            if text == known or telling[0] == known or " ".join(telling).startswith(known + " "):
                text = other
                break
    return mistyped(text, rng) if rng.random() < SLIP else text


def mistyped(text: str, rng: np.random.Generator) -> str:
    """The text with two neighbouring letters swapped, one left out, or one doubled."""
    places = [n for n in range(1, len(text) - 1) if text[n - 1 : n + 2].isalpha()]
    if not places:
        return text
    at = places[int(rng.integers(len(places)))]
    swapped = text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    left_out, doubled = text[:at] + text[at + 1 :], text[:at] + text[at] + text[at:]
    return (swapped, left_out, doubled)[int(rng.integers(3))]
