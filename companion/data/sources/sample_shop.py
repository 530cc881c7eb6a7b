"""The shelves of the simulated shop: words, prices and popularity of this project's own making."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]
WEEKS, PER_CATEGORY = 26, 15
CATALOGUE = {
    "bakery": "bread:loaf roll baguette|cake:sponge tart muffin|biscuits:oatcake wafer cookie|"
    "pastry:croissant turnover bun|crackers:rye-crisp breadstick rusk",
    "dairy": "milk:milk buttermilk oat-drink|cheese:cheddar gouda feta|yogurt:yogurt skyr kefir|"
    "butter:butter ghee spread|eggs:eggs quail-eggs egg-white",
    "produce": "apples:apple pear quince|berries:blueberries raspberries currants|"
    "greens:lettuce spinach rocket|roots:carrots potatoes beetroot|herbs:basil parsley mint",
    "pantry": "pasta:spaghetti penne fusilli|sauces:passata pesto ragout|rice:rice couscous bulgur|"
    "tins:chickpeas tomatoes sweetcorn|oils:olive-oil rapeseed-oil vinegar",
    "drinks": "coffee:coffee espresso decaf|tea:black-tea green-tea rooibos|juice:juice nectar "
    "smoothie|water:still-water tonic soda|cereal:muesli granola porridge",
    "frozen": "pizza:pizza calzone flatbread|ice:ice-cream sorbet lolly|vegetables:peas beans "
    "broccoli|fish:fish-fingers salmon cod|ready:lasagne curry stew",
    "household": "laundry:washing-powder softener stain-bar|dishes:dish-soap tablets sponges|"
    "paper:kitchen-roll tissues toilet-roll|cleaning:cleaner bleach cloths|bins:bin-bags foil wrap",
    "care": "soap:soap shower-gel bath-salt|hair:shampoo conditioner hair-oil|teeth:toothpaste "
    "toothbrush floss|baby:nappies wipes baby-food|pets:cat-food dog-food litter",
}
BRANDS = ("Hollin", "Marbeck", "Tansy", "Oldwick", "Ferrow", "Penhale", "Quillan", "Brae")
KINDS = ("plain", "fine", "organic", "classic", "light", "family", "garden", "winter", "extra")
SIZES = ("small", "medium", "large")


class Shop(NamedTuple):
    """The catalogue and, for each item, what the generator needs of it."""

    items: pl.DataFrame
    category: Array  # [I] number of the category
    pull: Array  # [I] popularity
    price: Array  # [I] regular price
    promoted: Array  # [weeks, I] whether on promotion


def pick(rng: np.random.Generator, weights: Array) -> int:
    """A number from 0, with chances in proportion to the weights. [N]"""
    total = np.cumsum(weights)
    return int(np.searchsorted(total, rng.random() * total[-1], side="right"))


def several(rng: np.random.Generator, weights: Array, count: int) -> list[int]:
    """Different ones, in the order in which they were drawn."""
    left, chosen = np.array(weights, float), []
    for _ in range(min(count, int((left > 0).sum()))):
        chosen.append(pick(rng, left))
        left[chosen[-1]] = 0
    return chosen


def exponential(rng: np.random.Generator, size: int) -> Array:
    """Draws of mean 1. [size]"""
    return -np.log1p(-rng.random(size))


def make_shop(rng: np.random.Generator) -> Shop:
    """600 items in 40 categories of 8 departments; a few popular ones in each category."""
    rows: list[tuple[object, ...]] = []
    pull: list[float] = []
    groups = [(d, *g.split(":")) for d, text in CATALOGUE.items() for g in text.split("|")]
    for department, category, words in groups:
        weight, level = 0.2 + exponential(rng, 1)[0], 1 + 4 * rng.random()
        order = several(rng, np.ones(PER_CATEGORY), PER_CATEGORY)
        nouns = words.split()
        for k in range(PER_CATEGORY):
            kind, size = KINDS[pick(rng, np.ones(len(KINDS)))], k // len(nouns) % len(SIZES)
            brand = BRANDS[pick(rng, np.ones(len(BRANDS)))]
            noun = nouns[k % len(nouns)].replace("-", " ")
            price = round(level * (0.7 + 0.5 * size) * (0.7 + 0.6 * rng.random()), 2)
            name = f"{brand} {kind} {noun}, {SIZES[size]}"
            item = f"sim_i{len(rows) + 1:03d}"
            rows.append((item, name, department, category, brand, SIZES[size], price))
            pull.append(weight / (1 + order[k]) ** 1.3)
    names = ["item_id", "name", "department", "category", "brand", "size", "price"]
    items = pl.DataFrame(rows, schema=names, orient="row")
    count = len(rows)
    return Shop(
        items,
        np.arange(count) // PER_CATEGORY,
        np.array(pull),
        items["price"].to_numpy(),
        rng.random((WEEKS, count)) < 0.08,
    )
