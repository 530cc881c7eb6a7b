"""Small pictures of products, drawn from their names: a stand-in for photographs of a shop.

The public logs have no pictures that may be passed on. These carry what a photograph would: the
form that a product is sold in, and a colour, with another angle, size, light and noise for every
item. They are drawings: how well a network reads them says nothing about photographs.
"""

import colorsys
import zlib
from collections.abc import Sequence

import numpy as np

from companion.core.seeding import generator
from companion.data.picture_forms import FORMS
from companion.data.product_words import expand

FINER = 3  # the canvas is so many times finer than the picture, which smooths the edges

# The first line whose word is in a name decides. Nouns of the package come first.
WORDS = {
    "can": "canned can cans beer ale soup soups beans tuna",
    "jar": "jar jam jams jelly jellies preserves pickles relish olives honey salsa spreads "
    "peanut candles babyfood baby mustard",
    "bottle": "bottle bottled water waters juice drinks drink soda wine wines whiskey vodka "
    "rum gin liquor liqueurs oil vinegar syrup ketchup sauce sauces dressing "
    "dressings shampoo shampoos conditioners detergent detergents bleach cleaners "
    "softener mouthwash liquid lotion",
    "carton": "milk cream creamers eggs egg yogurt kefir nog eggnog buttermilk carton",
    "wedge": "cheese cheeses butter margarine margarines",
    "tube": "toothpaste tube ointments deodorants deodorant cosmetics mascara makeup gel "
    "adhesives caulk sunscreen suntan glue",
    "bag": "chips chip candy snacks snack coffee flour sugar rice bag bags popcorn "
    "pretzels nuts nut litter dog cat food charcoal soil frozen potatoes seeds "
    "fertilizers ice",
    "tray": "beef pork chicken turkey lamb veal meat meats sausage sausages ham bacon "
    "seafood shrimp fish salmon catfish roast steak ribs loin patty breast "
    "lunchmeat bologna frankfurters",
    "loaf": "bread breads rolls buns bagels cake cakes pies pie donuts muffins croissants "
    "biscuits danish pastry tortillas pita loaf loaves",
    "fruit": "apple apples oranges orange lemons limes grapes peaches plums pears melons "
    "melon cherries berries strawberries blueberries raspberries bananas mango "
    "nectarines tomatoes tomato onions peppers grapefruit tangerines cantaloupe "
    "pineapple kiwi avocado squash pumpkins",
    "greens": "lettuce salad herbs spinach cabbage celery greens broccoli cauliflower "
    "asparagus flowers plants bouquet roses lily tulips carnations foliage parsley "
    "vegetables organic",
    "packet": "cereal cereals crackers cookies pasta macaroni dinner dinners mix mixes "
    "entrees pizza tea bars tissue tissues towels napkins diapers soap cigarettes "
    "waffles gum medicine tablets vitamins bandages pads toys games toy bulbs "
    "batteries film",
}
COLOURS = {
    0.0: "apple apples strawberry strawberries tomato tomatoes cherry cherries beef meat "
    "ketchup red steak ham roast salsa",
    0.05: "orange oranges carrot carrots salmon peaches pumpkin shrimp chicken turkey tangerines",
    0.09: "chocolate coffee cocoa brown bread peanut whiskey potato potatoes nuts cookies tobacco",
    0.14: "lemon lemons banana bananas butter cheese corn mustard honey yellow beer pasta oil",
    0.33: "lime limes lettuce green herbs salad peas pickles spinach olives tea cabbage celery",
    0.55: "water ice blue fish seafood tuna frozen mint",
    0.64: "blueberries blueberry milk yogurt detergent",
    0.8: "grape grapes plum plums wine purple eggplant",
    0.93: "pink pork rose roses berry berries raspberries candy baby sausage bacon shampoo",
}
HUES = {"loaf": 0.09, "tray": 0.02, "greens": 0.32, "wedge": 0.14}  # where no word has one
_FORM_OF = {word: form for form, words in WORDS.items() for word in words.split()}
_HUE_OF = {word: hue for hue, words in COLOURS.items() for word in words.split()}


def form_of(name: str) -> str:
    """The form that a product is drawn in, by the words of its name; "tag" where none is known.

    Where several are known, the one that comes first in `WORDS` decides.
    """
    found = {_FORM_OF[word] for word in expand(name).split() if word in _FORM_OF}
    return next((form for form in WORDS if form in found), "tag")


def hue_of(name: str) -> float:
    """The hue of a product in [0, 1): by the first of its words that has a colour.

    Else it is that of its form, and else one of its own, always the same.
    """
    words = expand(name).split()
    own = zlib.crc32(" ".join(words).encode()) / 2**32
    return next((_HUE_OF[word] for word in words if word in _HUE_OF), HUES.get(form_of(name), own))


def picture(name: str, *, seed: int, size: int = 32) -> np.ndarray:
    """One product. [size, size, 3] float32 in [0, 1].

    Args:
        name: its category and type, in words or a till's abbreviations.
        seed: of the item: its angle, size, place, light and noise.
        size: of the picture, 8 or more.

    Raises:
        ValueError: the size is below 8.
    """
    if size < 8:
        raise ValueError(f"size must be 8 or more; got {size}")
    rng = generator(seed, "picture")
    u, v = _coordinates(size * FINER, rng)
    light = rng.uniform(0.85, 1.0)
    canvas = np.full((*u.shape, 3), rng.uniform(0.8, 0.97)) * (1 - 0.08 * v[..., None])
    colours = _colours((hue_of(name) + rng.normal(0, 0.012)) % 1.0, rng)
    for mask, part in FORMS[form_of(name)](u, v):
        canvas[mask] = colours[part] * (1 - 0.12 * np.abs(u[mask, None]))
    fine = canvas.reshape(size, FINER, size, FINER, 3).mean(axis=(1, 3)) * light
    return np.clip(fine + rng.normal(0, 0.03, fine.shape), 0, 1).astype(np.float32)


def pictures(names: Sequence[str], *, seed: int, size: int = 32) -> np.ndarray:
    """Pictures of items, each with luck of its own. [N, size, size, 3] float32 in [0, 1].

    Args:
        names: of the N items.
        seed: item n has seed + n.
        size: as in `picture`.
    """
    drawn = [picture(name, seed=seed + n, size=size) for n, name in enumerate(names)]
    return np.stack(drawn) if drawn else np.zeros((0, size, size, 3), np.float32)


def _coordinates(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where each point of the canvas lies in the form's own plane. [S, S] each"""
    line = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(line, line)
    angle, scale = rng.uniform(-0.25, 0.25), rng.uniform(0.72, 1.0)
    x, y = x - rng.uniform(-0.12, 0.12), y - rng.uniform(-0.1, 0.1)
    u, v = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    return u / scale, v / scale


def _colours(hue: float, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """RGB of each part, [3] each."""
    strong, bright = rng.uniform(0.55, 0.85), rng.uniform(0.7, 0.95)
    label = (float(rng.uniform()), 0.25, 0.97)  # the brand's
    found = {
        "main": (hue, strong, bright),
        "dark": (hue, strong, 0.5 * bright),
        "label": label,
        "white": (hue, 0.04, 0.96),
        "green": (0.3, 0.6, 0.6),
    }
    return {part: np.array(colorsys.hsv_to_rgb(*colour)) for part, colour in found.items()}
